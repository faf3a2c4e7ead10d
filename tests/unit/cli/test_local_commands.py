"""Commands that need no network: network, config check, init, sim."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from railgun.crypto.signing import public_key_of
from railgun.network import NetworkKind, NetworkParameters
from railgun.runtime.network_file import load_network, save_network
from railgun.runtime.profile import ProfileKind, Unlock, open_profile, read_profile_facts
from railgun.runtime.relay_host import RelayKeys
from railgun.runtime.system import SystemEntropy
from tests.support.commands import Commands

# --- network ------------------------------------------------------------------------------------


def test_a_network_is_created_and_shown(railgun: Commands) -> None:
    made = railgun(
        "network", "create", "garden", "--kind", "lan", "--epoch-seconds", "20", "--output", "g.toml", "--json"
    ).checked("network-create")
    assert (made["kind"], made["epoch_seconds"], made["overlap_seconds"]) == ("lan", 20, 4)
    assert railgun("network", "show", "g.toml", "--json").checked("network-show") == made
    assert made["id"] in railgun("network", "show", "g.toml").out
    expected = NetworkParameters("garden", NetworkKind.LAN, epoch_seconds=20, overlap_seconds=4)
    assert load_network(Path(made["file"])) == expected


def test_a_network_out_of_bounds(railgun: Commands) -> None:
    words = ("network", "create", "garden", "--output", "g.toml")
    assert "must be from 1 to 150" in railgun(*words, "--overlap-seconds", "151").complaint
    assert "1 to 64 printable" in railgun("network", "create", "", "--output", "g.toml").complaint
    assert not (railgun.home / "g.toml").exists()
    assert railgun(*words).status == 0
    assert "exists already" in railgun(*words).complaint


def test_a_typo_in_a_network_file(railgun: Commands) -> None:
    (railgun.home / "g.toml").write_text('name = "g"\nepoch_secs = 20')
    assert "did you mean epoch_seconds?" in railgun("network", "show", "g.toml").complaint
    assert "did you mean epoch_seconds?" in railgun("config", "check", "--network", "g.toml").complaint


# --- config check -------------------------------------------------------------------------------


def test_the_configuration_that_holds_is_shown(railgun: Commands) -> None:
    (railgun.home / "railgun.toml").write_text('[node]\nport = 9001\nroles = ["relay", "fallback"]\n')
    railgun.set("RAILGUN_NODE_NAME", "north\x1b[2J".replace("\x1b[2J", ""))
    ran = railgun("--config", "railgun.toml", "config", "check", "--log-level", "error", "--json")
    settings = ran.checked("config-check")["settings"]
    assert (settings["node.port"], settings["node.roles"]) == (9001, ["relay", "fallback"])
    assert (settings["node.name"], settings["log.level"]) == ("north", "error")
    assert settings["network.file"] is None
    assert "node.port = 9001" in railgun("--config", "railgun.toml", "config", "check").out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[node]\nprot = 9", "did you mean node.port?"),
        ("[nod]\nport = 9", "did you mean node?"),
        ("[node]\nport = 99999", "node.port"),
        ("[node", "not valid TOML"),
        ('[network]\nfile = "absent.toml"', "no such file"),
        ('[network]\nbootstrap = ["railgun-relay:x"]', "`railgun node` prints"),
    ],
)
def test_a_typo_in_the_configuration(railgun: Commands, text: str, said: str) -> None:
    (railgun.home / "railgun.toml").write_text(text)
    complaint = railgun("--config", "railgun.toml", "config", "check").complaint
    assert "railgun.toml" in complaint or "network.file" in complaint
    assert said in complaint


def test_a_typo_in_the_environment_stops_every_command(railgun: Commands) -> None:
    railgun.set("RAILGUN_NODE_PROT", "9")
    assert "did you mean RAILGUN_NODE_PORT?" in railgun("node").complaint


# --- init ---------------------------------------------------------------------------------------


def test_a_relays_profile_starts_unattended(railgun: Commands) -> None:
    made = railgun("--profile", "r", "init", "--relay", "--json").checked("init")
    assert (made["kind"], made["unlock"], made["key_file"]) == ("relay", "device key", None)
    with open_profile(railgun.home / "r", SystemEntropy()) as profile:
        assert profile.kind is ProfileKind.RELAY
        assert public_key_of(RelayKeys.load(profile.store).seed).hex() == made["key"]


def test_a_profile_stays_as_it_is(railgun: Commands) -> None:
    assert railgun("--profile", "r", "init", "--relay").status == 0
    before = (railgun.home / "r" / "secrets").read_bytes()
    assert "there is a profile at" in railgun("--profile", "r", "init", "--relay").complaint
    assert (railgun.home / "r" / "secrets").read_bytes() == before


def test_what_opens_a_profile_is_what_was_given(railgun: Commands) -> None:
    passphrase = railgun.home / "passphrase"
    passphrase.write_text("correct horse\nbattery\n")
    passphrase.chmod(0o600)
    made = railgun("--profile", "a", "init", "--relay", "--passphrase-file", passphrase, "--json").checked("init")
    assert made["unlock"] == "passphrase"
    open_profile(railgun.home / "a", SystemEntropy(), passphrase="correct horse").close()

    made = railgun("--profile", "b", "init", "--relay", "--key-file", "b.key", "--json").checked("init")
    assert (made["unlock"], made["key_file"]) == ("key file", str(railgun.home / "b.key"))
    open_profile(railgun.home / "b", SystemEntropy(), key_file=railgun.home / "b.key").close()
    made = railgun("--profile", "c", "init", "--relay", "--key-file", "b.key", "--json").checked("init")
    open_profile(railgun.home / "c", SystemEntropy(), key_file=railgun.home / "b.key").close()

    railgun.set("RAILGUN_PASSPHRASE", "from the environment")
    assert railgun("--profile", "d", "init", "--relay").status == 0
    open_profile(railgun.home / "d", SystemEntropy(), passphrase="from the environment").close()
    assert read_profile_facts(railgun.home / "d").unlock is Unlock.PASSPHRASE


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"secret\n", 0o644, "others may read it: run chmod 600"),
        (b"\nsecret\n", 0o600, "its first line is empty"),
        (b"", 0o600, "its first line is empty"),
        (b"\xff\xfe\n", 0o600, "not UTF-8"),
        (b"x" * 5_000, 0o600, "this is something else"),
        (None, 0o600, "No such file"),
    ],
)
def test_passphrase_files_that_do_not_serve(railgun: Commands, content: bytes | None, mode: int, said: str) -> None:
    if content is not None:
        (railgun.home / "p").write_bytes(content)
        (railgun.home / "p").chmod(mode)
    complaint = railgun("--profile", "r", "init", "--relay", "--passphrase-file", "p").complaint
    assert said in complaint
    assert not (railgun.home / "r").exists()


def test_ways_to_open_that_exclude_each_other(railgun: Commands) -> None:
    railgun.set("RAILGUN_PASSPHRASE", "x")
    assert "leave one of them out" in railgun("--profile", "r", "init", "--no-passphrase").complaint
    assert "not both" in railgun("--profile", "r", "init", "--relay", "--key-file", "k").complaint
    assert not (railgun.home / "k").exists()


def test_a_place_where_no_profile_can_be_made(railgun: Commands) -> None:
    (railgun.home / "file").write_text("mine")
    for place, said in (("/proc/nowhere/profile", "is missing"), ("file/profile", "is a file")):
        for words in (("init", "--no-passphrase"), ("init", "--relay")):
            told = railgun("--profile", place, *words).complaint
            assert said in told
            assert "give another path" in told
            assert "backup" not in told
    assert (railgun.home / "file").read_text() == "mine"


def test_a_full_disk_under_init(railgun: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("railgun.runtime.profile.write_private_file", full)
    complaint = railgun("--profile", "r", "init", "--relay").complaint
    assert "No space left on device: check that the disk has room" in complaint
    assert not (railgun.home / "r").exists()


# --- sim ----------------------------------------------------------------------------------------

SMALL = ("sim", "committee", "--relays", "60", "--rooms", "5", "--views", "3")


def test_the_committee_simulation(railgun: Commands) -> None:
    ran = railgun(*SMALL, "--json")
    found = ran.checked("sim-committee")
    assert (ran.status, found["rooms_without_common_seat"]) == (0, 0)
    again = railgun(*SMALL, "--json").result
    assert {**again, "seconds": 0} == {**found, "seconds": 0}
    assert re.search(r"^worst seat overlap +\d$", railgun(*SMALL).out, re.MULTILINE)


def test_unmeasured_is_null(railgun: Commands) -> None:
    found = railgun(*SMALL, "--views", "1", "--json").checked("sim-committee")
    assert found["rooms_without_common_seat"] is None
    assert found["mean_seat_overlap"] is None


def test_a_broken_promise_is_exit_status_1_and_the_object_is_printed(railgun: Commands) -> None:
    ran = railgun(*SMALL, "--view-loss", "0.95", "--views", "8", "--json")
    assert ran.status == 1
    assert ran.checked("sim-committee")["rooms_without_common_seat"] > 0


# --- relays that do not start -------------------------------------------------------------------


@pytest.fixture
def relay(railgun: Commands) -> Commands:
    save_network(railgun.home / "lan.toml", NetworkParameters("g", NetworkKind.LAN))
    save_network(railgun.home / "public.toml", NetworkParameters("g", NetworkKind.PUBLIC))
    assert railgun("--profile", "r", "init", "--relay").status == 0
    return railgun


def test_a_relay_needs_a_network_and_a_profile(relay: Commands) -> None:
    assert "give --network FILE" in relay("node", "--profile", "r").complaint
    assert "create one with railgun init" in relay("node", "--network", "lan.toml", "--profile", "none").complaint


def test_a_public_relay_must_be_reachable(relay: Commands) -> None:
    words = ("node", "--profile", "r", "--network", "public.toml", "--host", "127.0.0.1", "--port", "0")
    assert "give --advertise ADDRESS:PORT" in relay(*words).complaint
    assert "an address is written" in relay(*words, "--advertise", "example").complaint
    assert "give --advertise" in relay(*words, "--advertise", "10.0.0.1:9000").complaint


def test_a_wrong_passphrase(relay: Commands) -> None:
    relay.set("RAILGUN_PASSPHRASE", "right")
    assert relay("--profile", "p", "init", "--relay").status == 0
    relay.set("RAILGUN_PASSPHRASE", "wrong")
    complaint = relay("--profile", "p", "node", "--network", "lan.toml").complaint
    assert "passphrase" in complaint
    assert "try again with the one it was created with" in complaint


def test_without_a_terminal_nobody_is_asked(relay: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    relay.set("RAILGUN_PASSPHRASE", "right")
    assert relay("--profile", "p", "init", "--relay").status == 0
    monkeypatch.delenv("RAILGUN_PASSPHRASE")
    really_open = os.open

    def no_terminal(path: Any, *rest: Any, **more: Any) -> int:
        if path == "/dev/tty":
            raise OSError(6, "No such device or address")
        return really_open(path, *rest, **more)

    monkeypatch.setattr("railgun.cli.unlock.os.open", no_terminal)
    assert (
        "a passphrase is needed: give --passphrase-file"
        in relay("--profile", "p", "node", "--network", "lan.toml").complaint
    )
    assert "a passphrase is needed" in relay("--profile", "q", "init").complaint
