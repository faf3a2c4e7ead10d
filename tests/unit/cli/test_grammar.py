"""The command line's grammar: help, suggestions, the rules that every command keeps."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from railgun.cli import main as entry
from railgun.cli.main import build_parser
from railgun.errors import InvariantViolated, PeerError, RefusalCode, StoreError
from tests.support.commands import SCHEMAS, Commands, check_schema

ROOT = Path(__file__).resolve().parents[3]
SLOW_MODULES = {
    "OpenSSL", "aiortc", "asyncio", "cbor2", "cryptography", "kademlia", "nacl", "prompt_toolkit", "rich", "sqlite3",
    "uvloop", "vodozemac", "websockets",
}  # fmt: skip


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


ALL = list(parsers(build_parser()))
COMMANDS = [parser for parser in ALL if parser.get_default("run") is not None]


@pytest.mark.parametrize("parser", ALL, ids=lambda parser: parser.prog)
def test_every_command_and_every_option_has_a_help_text(parser: argparse.ArgumentParser) -> None:
    assert parser.description
    assert parser.description.endswith(".")
    actions = [action for action in parser._actions if not isinstance(action, argparse._SubParsersAction)]
    silent = [action.dest for action in actions if not action.help]
    assert not silent
    assert parser.format_help()  # percent signs are escaped


@pytest.mark.parametrize("parser", COMMANDS, ids=lambda parser: parser.prog)
def test_every_command_takes_the_global_options_and_has_a_schema(parser: argparse.ArgumentParser) -> None:
    assert {"--profile", "--config", "--log-level", "--json", "--debug"} <= set(parser._option_string_actions)
    name = "-".join(parser.prog.split()[1:])
    assert (SCHEMAS / f"{name}.json").exists(), f"no schema for {parser.prog} --json"


def test_help_needs_nothing_that_is_slow_to_import() -> None:
    """Then it answers at once, however fast the machine."""
    program = """
import sys
from railgun.cli.main import main
try:
    main(["--help"])
finally:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0
    assert "commands:" in done.stdout
    assert not SLOW_MODULES & set(done.stderr.split())


@pytest.mark.slow
def test_the_reference_is_what_the_parsers_say() -> None:
    command = [sys.executable, str(ROOT / "tools" / "cli_reference.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_version(railgun: Commands) -> None:
    assert railgun("--version").out.startswith("railgun 0.")
    assert railgun("--version", "--json").checked("version")["version"][0].isdigit()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nod"], "unknown command nod: did you mean node?"),
        (["frobnicate"], "unknown command frobnicate: there are init, room, join, "),
        (["room", "frobnicate"], "unknown command frobnicate: there are create, list, "),
        (["node", "--fallback", "--role", "relay"], "--role: not allowed with argument --fallback"),
        (["room", "set", "ops", "--from", "31.12.2031"], "expected a date as 2031-12-24, not 31.12.2031"),
        (["room", "set", "ops", "--from", "1969-12-31"], "expected a date to come"),
        (["network", "shw", "x"], "unknown command shw: did you mean show?"),
        (["sim", "committee", "--veiws", "3"], "unknown option --veiws, did you mean --views?"),
        (["sim", "committee", "--view", "3"], "unknown option --view, did you mean --views?"),
        (["network", "show", "a", "b"], "one argument too many: b"),
        (["sim", "committee", "--committee", "8"], "expected a whole number from 3 to 7, not 8"),
        (["sim", "committee", "--seed", "-1"], "expected"),
        (["sim", "committee", "--view-loss", "nan"], "expected a number from 0 to 0.999, not nan"),
        (["network", "create", "x", "--output", "f", "--kind", "wan"], "expected one of public, lan, not wan"),
        (["--log-level", "loud", "config", "check"], "expected one of debug, info, warning, error, not loud"),
        (["network", "create", "x"], "--output"),
        ([], "COMMAND"),
        (["network"], "COMMAND"),
        (["no\x1b[31mde"], "unknown command no\\x1b[31mde"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(railgun: Commands, words: list[str], said: str) -> None:
    complaint = railgun(*words).complaint
    assert said in complaint
    assert "--help`" in complaint


def test_with_json_a_failure_is_an_object_too(railgun: Commands) -> None:
    ran = railgun("network", "shw", "--json")
    found = ran.checked("error")
    assert ran.status == 2
    assert found["error"]["kind"] == "UsageError"
    assert "did you mean show?" in found["error"]["message"]
    assert ran.complaint == found["error"]["message"]


def test_global_options_stand_before_or_after_the_command(railgun: Commands) -> None:
    for words in (("--json", "config", "check"), ("config", "--json", "check"), ("config", "check", "--json")):
        ran = railgun("--profile", "somewhere", *words)
        assert ran.result["settings"]["profile.directory"] == str(railgun.home / "somewhere")
    ran = railgun("config", "check", "--json", "--profile", "elsewhere")
    assert ran.result["settings"]["profile.directory"] == str(railgun.home / "elsewhere")


def test_help_goes_to_standard_output(railgun: Commands) -> None:
    ran = railgun("network", "create", "--help")
    assert (ran.status, ran.err) == (0, "")
    assert "--epoch-seconds SECONDS" in ran.out


# --- whatever a command raises ----------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("railgun.cli.configuration.run_check", fail)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (StoreError("the disk is full: make room"), "StoreError", "the disk is full: make room"),
        (PeerError(RefusalCode.BAD_PROOF, "no proof"), "PeerError", "try again, or name other relays"),
        (PermissionError(13, "Permission denied", "/x/y"), "PermissionError", "/x/y: Permission denied"),
        (OSError(28, "No space left on device"), "OSError", "No space left on device: look at the disk"),
        (KeyError("oops\nmore"), "Bug", "run it again with --debug"),
        (InvariantViolated("impossible"), "InvariantViolated", "run it again with --debug"),
    ],
)
def test_every_error_is_one_line(
    railgun: Commands, monkeypatch: pytest.MonkeyPatch, error: BaseException, kind: str, said: str
) -> None:
    failing(monkeypatch, error)
    assert said in railgun("config", "check").complaint
    assert railgun("config", "check", "--json").checked("error")["error"]["kind"] == kind


def test_the_traceback_is_for_those_who_ask(railgun: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ValueError("oops"))
    ran = railgun("config", "check", "--debug")
    assert ran.status == 2
    assert "Traceback" in ran.err
    assert "ValueError: oops" in ran.err


def test_ctrl_c_ends_cleanly(railgun: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    ran = railgun("config", "check")
    assert (ran.status, ran.out, ran.err) == (130, "", "railgun: interrupted\n")
    ran = railgun("config", "check", "--json")
    assert ran.status == 130
    assert ran.checked("error")["error"]["kind"] == "KeyboardInterrupt"


def test_a_command_that_forgets_its_object_is_found_out(railgun: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.cli.configuration.run_check", lambda _: 0)
    assert railgun("config", "check", "--json").checked("error")["error"]["kind"] == "Bug"


def test_a_full_disk_under_standard_output() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "railgun.cli.main", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=30,
            cwd=ROOT,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("railgun: No space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ["sim committee --relays 20 --rooms 1", "demo --help", "--version", "--help --json"])
def test_a_reader_that_has_had_enough(words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "railgun.cli.main", *words.split()],
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=30,
            cwd=ROOT,
        )
    assert (done.returncode, done.stderr) == (2, "")


def test_an_object_that_has_nowhere_to_go_is_no_success(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m railgun.cli.main config check --json >&-"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr


@pytest.mark.parametrize("closed", ["1", "2", "1 2", "0 1 2"])
def test_streams_that_are_closed_from_the_start(closed: str, tmp_path: Path) -> None:
    """Nothing is said, and no file that is opened later becomes a standard stream."""
    line = " ".join(f"{number}>&-" for number in closed.split())
    profile = tmp_path / "profile"
    command = f"{sys.executable} -m railgun.cli.main --profile {profile} init --no-passphrase {line}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False, text=True, timeout=30, cwd=ROOT)
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("Made the member" in done.stdout) == ("1" not in closed)
    assert (profile / "store.sqlite").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("words", [["--help"], ["demo", "--help"], ["room", "--help"], ["room", "create", "-h"]])
def test_help_is_text_for_people_and_an_object_for_machines(railgun: Commands, words: list[str]) -> None:
    people = railgun(*words)
    assert (people.status, people.err) == (0, "")
    assert people.out.startswith("usage: railgun")
    machine = railgun(*words, "--json")
    assert machine.status == 0
    assert machine.checked("help")["help"] == people.out


def test_the_entry_point_is_the_one_that_the_package_names() -> None:
    assert entry.main is not None
    check_schema("error", {"error": {"kind": "UsageError", "message": "text"}})
