"""L6, as far as it is built: a command for everything, a configuration file, port 9000. Units, containers and rolling
restarts are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun.runtime.config import PORT_DEFAULT, setting_names
from tests.support.commands import SCHEMAS, Commands
from tests.support.processes import Lab

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    "init", "network create", "network show", "node", "room create", "room list", "room invite", "room members",
    "room remove", "room leave", "join", "send", "tail", "status", "committee", "demo", "bench fanout", "bench dht",
    "backup", "restore", "search",
    "sim committee", "sim rotation", "sim swarm", "config check",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_l6_every_command_is_there_and_documented(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = Commands(tmp_path, monkeypatch, capsys)(*command.split(), "--help")
    assert ran.status == 0
    assert f"railgun {command}" in ran.out
    assert f"`railgun {command}`" in (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert (SCHEMAS / f"{command.replace(' ', '-')}.json").exists()


def test_l6_every_setting_is_documented_and_the_port_is_9000() -> None:
    reference = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert PORT_DEFAULT == 9000
    missing = [name for name in setting_names() if name.rpartition(".")[2] not in reference]
    assert not missing


@pytest.mark.slow
@pytest.mark.processes
def test_l6_a_relay_is_run_from_a_configuration_file_alone(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    try:
        lab.must("--profile", "relay", "init", "--relay")
        (tmp_path / "railgun.toml").write_text(
            '[profile]\ndirectory = "relay"\n[network]\nfile = "lab.toml"\n[node]\nhost = "127.0.0.1"\nport = 0\n'
        )
        lab.must("--config", "railgun.toml", "config", "check")
        running = lab.start("--config", "railgun.toml", "node")
        assert running.line()
        ended = running.end()
        assert ended.status == 0, ended.err
    finally:
        lab.close()
