"""Members' commands without any relay: what works offline, and what bad input is told."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from railgun.cli import unlock
from railgun.cli.messages import message_line
from railgun.cli.rooms import membership_word, removed_words
from railgun.core.effects import Persist
from railgun.core.reputation import BLACKLIST_SECONDS, Reputation
from railgun.errors import RefusalCode
from railgun.limits import TEXT_BYTES_MAX
from railgun.network import NetworkKind, NetworkParameters
from railgun.runtime.network_file import save_network
from railgun.runtime.profile import open_profile
from railgun.runtime.system import SystemEntropy
from railgun.storage.process_lock import ProcessLock
from railgun.types import Address, NodeKey, RelayContact
from railgun.wire.contacts import format_contact
from tests.support.commands import Commands

ROOT = Path(__file__).resolve().parents[3]
NOBODY = format_contact(RelayContact(NodeKey(b"k" * 32), (Address("127.0.0.1", 9),), b"c" * 32))
"""Port 9 of this machine: nobody listens."""


@pytest.fixture
def ada(railgun: Commands) -> Commands:
    """A member with a room, who has never met a relay."""
    save_network(railgun.home / "lan.toml", NetworkParameters("g", NetworkKind.LAN))
    railgun.set("RAILGUN_PROFILE_DIRECTORY", str(railgun.home / "ada"))
    made = railgun("init", "--no-passphrase", "--name", "Ada", "--json").checked("init")
    assert (made["kind"], made["unlock"]) == ("member", "device key")
    railgun("room", "create", "ops", "--network", "lan.toml", "--json").checked("room-create")
    return railgun


def test_rooms_without_a_relay(ada: Commands) -> None:
    (room,) = ada("room", "list", "--json").checked("room-list")["rooms"]
    assert (room["name"], room["is_member"], room["members"]) == ("ops", True, 1)
    assert room["id"][:8] in ada("room", "list").out
    (member,) = ada("room", "members", room["id"][:8], "--json").checked("room-members")["members"]
    assert (member["name"], member["is_admin"], member["is_self"]) == ("Ada", True, True)
    invite = ada("room", "invite", "ops", "--json").checked("room-invite")
    assert invite["uses"] == 1
    status = ada("status", "--wait-seconds", "0", "--json").checked("status")
    assert (status["mode"], status["network"], status["relays_linked"]) == (None, "g", 0)
    assert "waiting" in ada("status", "--wait-seconds", "0").out
    assert ada("room", "leave", "ops", "--json").checked("room-leave")["id"] == room["id"]
    assert ada("room", "list", "--json").result == {"rooms": []}


def test_without_any_relay_to_start_from(ada: Commands) -> None:
    complaint = ada("send", "ops", "hello").complaint
    assert "no relay to start from: give --bootstrap CONTACT" in complaint


def test_a_network_is_named_once_and_stays(railgun: Commands, ada: Commands) -> None:
    save_network(ada.home / "other.toml", NetworkParameters("other", NetworkKind.LAN))
    assert "belongs to the network" in ada("room", "list", "--network", "other.toml").complaint
    assert railgun("--profile", "eve", "init", "--no-passphrase").status == 0
    assert "--network FILE" in railgun("--profile", "eve", "room", "list").complaint


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("hello", "this is no invite link"),
        ("railgun://join/abc", "mistyped or cut short"),
        ("railgun://join/", "mistyped or cut short"),
        ("", "this is no invite link"),
    ],
)
def test_a_mistyped_invite(ada: Commands, link: str, said: str) -> None:
    assert said in ada("join", link).err.splitlines()[-1]
    assert ada("join", link, "--json").checked("error")["error"]["kind"] == "UsageError"


def test_one_wrong_letter_in_an_invite(ada: Commands) -> None:
    link = ada("room", "invite", "ops").out.strip()
    wrong = link[:40] + ("A" if link[40] != "A" else "B") + link[41:]
    complaint = ada("join", wrong).complaint
    assert "mistyped or cut short: copy it again" in complaint
    assert link[30:60] not in complaint


def test_rooms_and_members_that_are_not_there(ada: Commands) -> None:
    assert "`railgun room list` shows those" in ada("room", "members", "opps").complaint
    assert "`railgun room members`" in ada("room", "remove", "ops", "Bob").complaint
    complaint = ada("room", "create", "x" * 129).complaint
    assert "a room's name has at most 128 bytes, this one 129" in complaint


def test_texts_that_cannot_be_sent(ada: Commands) -> None:
    too_long = "é" * (TEXT_BYTES_MAX // 2 + 1)
    assert f"at most {TEXT_BYTES_MAX} fit: send it in parts" in ada("send", "ops", too_long).complaint
    assert "send it in parts" in ada("send", "ops", "-", stdin=b"x" * (TEXT_BYTES_MAX + 1)).complaint
    complaint = ada("send", "ops", "-", stdin=b"ok so far \xff\xfe").complaint
    assert "not UTF-8 text (byte 11): convert it first" in complaint
    assert "there is nothing to send" in ada("send", "ops", "").complaint
    assert "there is nothing to send" in ada("send", "ops", "-", stdin=b"\n").complaint
    assert "convert it first" in ada("send", "ops", "caf\udce9").complaint
    assert "did you mean --json?" in ada("send", "ops", "--jsn", "x").complaint
    assert "--key names a text" in ada("send", "ops", "--file", "x", "--key", "k").complaint


def test_a_send_that_no_relay_answers_ends_in_its_time_and_says_that_nothing_was_taken(ada: Commands) -> None:
    complaint = ada("send", "ops", "hello", "--timeout-seconds", "1", "--bootstrap", NOBODY).complaint
    assert complaint.startswith("nothing was sent or kept: no relay answered within 1 s, tried 127.0.0.1:9")


def test_tail_with_json_has_to_end(ada: Commands) -> None:
    assert "--count or --seconds" in ada("tail", "ops", "--json").complaint
    assert "give one of them" in ada("tail", "ops", "--json", "--lines", "--count", "1").complaint
    found = ada("tail", "ops", "--seconds", "0.1", "--json").checked("tail")
    assert found == {"room": "ops", "messages": []}


def test_a_committee_is_of_a_room_or_of_a_tag(ada: Commands) -> None:
    assert "give a room, or all of --tag" in ada("committee", "--size", "3").complaint
    assert "the one or the other" in ada("committee", "ops", "--size", "3").complaint
    assert "64 hexadecimal digits" in ada("committee", "--tag", "xyz", "--start", "0", "--size", "3").complaint
    tag = ("committee", "--tag", "0" * 64, "--start", "0", "--size", "3", "--network", "lan.toml")
    assert "give --bootstrap CONTACT" in ada(*tag).complaint
    complaint = ada(*tag, "--bootstrap", NOBODY).complaint
    assert "no relay answered: tried 127.0.0.1:9 (" in complaint


def test_a_profile_that_another_process_holds(ada: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.cli.peers.RETRY_SECONDS", 0.1)
    lock = ProcessLock(ada.home / "ada" / "lock", "it")
    try:
        complaint = ada("room", "list").complaint
    finally:
        lock.release()
    assert f"in use by process {os.getpid()}: stop it" in complaint


def test_a_full_disk_under_a_room(ada: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("railgun.runtime.control.os.fchmod", full)
    complaint = ada("room", "list").complaint
    assert "No space left on device: check that the disk has room" in complaint


def test_a_message_cannot_steer_the_terminal() -> None:
    item = {
        "message_id": "00" * 16,
        "author": "00" * 32,
        "author_name": "Eve\x1b[2J\nAda",
        "kind": "text",
        "text": "\x1b]0;owned\x07\n12:00:00 Ada: I agree\u202e",
        "target": None,
        "received_at": 0,
        "is_after_gap": False,
    }
    first, second = message_line(item).split("\n")
    assert "Eve\\x1b[2J\\nAda: \\x1b]0;owned\\x07" in first
    assert second == "    12:00:00 Ada: I agree\\u202e"
    reaction = {**item, "kind": "reaction", "text": "\x1b", "target": "ab" * 16}
    assert message_line(reaction).endswith("(reaction to abababab): \\x1b")
    assert "cannot show" in message_line({**item, "kind": "unsupported"})
    assert message_line({**reaction, "is_after_gap": True}).startswith("-- messages are missing here")


def test_a_passphrase_is_asked_for_twice_on_the_terminal(tmp_path: Path) -> None:
    """On a terminal of its own, as a person has one."""

    def dialogue(*answers: str) -> tuple[int, str]:
        controller, terminal = pty.openpty()
        program = (
            "import fcntl, os, sys, termios\n"
            "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
            "from railgun.cli.main import main; sys.exit(main(sys.argv[1:]))"
        )
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RAILGUN_")}
        child = subprocess.Popen(
            [sys.executable, "-c", program, "--profile", str(tmp_path / "p"), "init"],
            stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT, env=environ,
        )  # fmt: skip
        os.close(terminal)
        shown = ""
        waiting = list(answers)
        while True:
            ready, _, _ = select.select([controller], [], [], 30)
            try:
                data = os.read(controller, 4096) if ready else b""
            except OSError:  # the other end is closed
                data = b""
            if not data:
                break
            shown += data.decode()
            if waiting and shown.rstrip(" ").endswith(":"):
                os.write(controller, waiting.pop(0).encode() + b"\n")
        os.close(controller)
        return child.wait(30), shown

    status, shown = dialogue("one", "two")
    assert status == 2
    assert "the two passphrases differ" in shown
    assert "the passphrase is empty" in dialogue("")[1]
    status, shown = dialogue("secret", "secret")
    assert (status, "secret" in shown) == (0, False)
    assert "New passphrase for" in shown
    assert (tmp_path / "p" / "secrets").exists()
    assert "secret" not in repr(unlock.Credentials(passphrase="secret"))


def test_the_rotation_simulation(railgun: Commands) -> None:
    words = ("sim", "rotation", "--peers", "4", "--rooms", "2", "--hours", "0.02", "--json")
    ran = railgun(*words)
    found = ran.checked("sim-rotation")
    assert (ran.status, found["lost"], found["duplicated"]) == (0, 0, 0)
    assert found["expected"] == found["delivered"] > 0
    assert found["cover"] == {"mode": "off", "decoys_sent": 0}
    hidden = railgun(*words, "--cover", "steady").checked("sim-rotation")
    assert (hidden["lost"], hidden["cover"]["mode"]) == (0, "steady")
    assert hidden["cover"]["decoys_sent"] > 0
    assert railgun(*words).result["trace_digest"] == found["trace_digest"]
    assert railgun(*words, "--seed", "2").result["trace_digest"] != found["trace_digest"]
    assert "two peers for each" in railgun("sim", "rotation", "--peers", "3", "--rooms", "2").complaint


def test_the_measurement_of_the_dht(railgun: Commands) -> None:
    words = ("bench", "dht", "--nodes", "20", "--json")
    ran = railgun(*words)
    found = ran.checked("bench-dht")
    assert ran.status == 0
    assert 0 < found["p50_ms"] <= found["p95_ms"] < 500
    assert found["success"] >= 0.999
    assert found["hops"] > 0
    assert found["messages_per_lookup"] >= 2
    slow = railgun(*words, "--rtt-ms", "400")
    assert (slow.status, slow.checked("bench-dht")["p95_ms"] >= 500) == (1, True)
    assert "from 1000 to 100000" in railgun("bench", "dht", "--lookups", "10").complaint


def test_a_profile_in_one_file_and_back(ada: Commands) -> None:
    ada.set("RAILGUN_BACKUP_PASSPHRASE", "correct horse")
    made = ada("backup", "ada.backup", "--json").checked("backup")
    assert (made["kind"], made["unlock"]) == ("member", "device key")
    assert made["bytes"] == (ada.home / "ada.backup").stat().st_size
    assert "exists already" in ada("backup", "ada.backup").complaint
    assert "there is a profile at" in ada("restore", "ada.backup").complaint
    back = ada("restore", "ada.backup", "--profile", "back", "--json")
    assert (back.status, back.checked("restore")["sessions_retired"]) == (0, 0)
    assert "must not go on" in back.err
    (room,) = ada("room", "list", "--profile", "back", "--json").checked("room-list")["rooms"]
    assert (room["name"], room["members"]) == ("ops", 1)
    ada.set("RAILGUN_BACKUP_PASSPHRASE", "guess")
    assert "wrong passphrase" in ada("restore", "ada.backup", "--profile", "other").complaint
    assert "there is no backup" in ada("restore", "none", "--profile", "other").complaint
    (ada.home / "words").write_text("correct horse\n")
    (ada.home / "words").chmod(0o600)
    words = ("restore", "ada.backup", "--profile", "other", "--backup-passphrase-file", "words")
    assert "retired" in ada(*words).out


def test_a_backup_of_a_profile_with_a_passphrase_asks_for_both(ada: Commands) -> None:
    ada.set("RAILGUN_BACKUP_PASSPHRASE", "of the file")
    ada.set("RAILGUN_PASSPHRASE", "of the profile")
    ada("init", "--profile", "eve", "--json").checked("init")
    ada("backup", "eve.backup", "--profile", "eve", "--json").checked("backup")
    ada.set("RAILGUN_PASSPHRASE", "wrong")
    complaint = ada("restore", "eve.backup", "--profile", "back").complaint
    assert "opens with another passphrase" in complaint
    assert not (ada.home / "back").exists()
    ada.set("RAILGUN_PASSPHRASE", "of the profile")
    assert ada("restore", "eve.backup", "--profile", "back", "--json").checked("restore")["unlock"] == "passphrase"


def test_searching_a_room_that_is_empty(ada: Commands) -> None:
    found = ada("search", "ops", "lunch", "--json").checked("search")
    assert (found["messages"], found["searched"], found["is_complete"]) == ([], 0, True)
    assert "Not found in the 0 messages" in ada("search", "ops", "lunch").out
    for nothing in ("", "  "):
        assert "not blank" in ada("search", "ops", nothing).complaint
    assert "from 1 to 500" in ada("search", "ops", "x", "--limit", "0").complaint


def test_status_shows_whom_this_device_avoids_and_why(ada: Commands) -> None:
    assert ada("status", "--wait-seconds", "0", "--json").checked("status")["blacklist"] == []
    assert "relays avoided" not in ada("status", "--wait-seconds", "0").out
    account, effects, now = Reputation(()), [], time.time()  # type: ignore[var-annotated]
    node = NodeKey(b"\xab" * 32)
    account.report(node, RefusalCode.BAD_SIGNATURE, "an envelope that no member sealed", 60)
    account.settle(lambda _: True, now, effects)
    opened = open_profile(ada.home / "ada", SystemEntropy())
    for effect in effects:
        if isinstance(effect, Persist):
            opened.store.commit(effect.writes)
    opened.close()
    (listed,) = ada("status", "--wait-seconds", "0", "--json").checked("status")["blacklist"]
    assert (listed["relay"], listed["reason"], listed["points"]) == (node.hex(), "bad_signature", 60)
    assert listed["until"] - listed["since"] == BLACKLIST_SECONDS
    shown = ada("status", "--wait-seconds", "0").out
    assert "relays avoided" in shown
    assert "an envelope that no member sealed" in shown


def test_an_invite_of_another_network_is_refused_at_once(ada: Commands) -> None:
    link = ada("room", "invite", "ops", "--json").checked("room-invite")["link"]
    save_network(ada.home / "other.toml", NetworkParameters("other", NetworkKind.LAN))
    ada.set("RAILGUN_PROFILE_DIRECTORY", str(ada.home / "bob"))
    ada("init", "--no-passphrase", "--json").checked("init")
    ran = ada("join", link, "--network", "other.toml", "--bootstrap", NOBODY)
    assert ran.status == 2
    assert ran.complaint.startswith("this invite is for another network")


def test_members_are_named_by_their_keys(ada: Commands) -> None:
    complaint = ada("room", "remove", "ops", "Bob").complaint
    assert "nobody in ops fits 'Bob'" in complaint
    assert "8 digits or more of the device's key" in complaint


def test_settings_are_set_and_seen(ada: Commands) -> None:
    changed = ada("room", "set", "ops", "--committee", "7", "--from", "2001-01-01")
    assert "from tomorrow at the earliest" in changed.complaint
    assert "nothing to change: give --cover, --committee, or both" in ada("room", "set", "ops").complaint
    made = ada("room", "set", "ops", "--committee", "7", "--json").checked("room-set")
    assert (made["next_settings"]["committee_size"], made["next_settings"]["cover"]) == (7, "steady")
    (room,) = ada("room", "list", "--json").checked("room-list")["rooms"]
    assert room["next_settings"] == made["next_settings"]
    assert f"From {made['next_settings']['from']} (UTC) on, ops has" in ada("room", "list").out
    assert f"From {made['next_settings']['from']} (UTC) on, ops has" in ada("status", "--wait-seconds", "0").out


def test_a_room_that_put_this_device_out_is_told_from_one_that_is_being_joined() -> None:
    joining, inside, out = (
        {"name": name, "is_member": is_member} for name, is_member in ((None, False), ("ops", True), ("a\nb", False))
    )
    assert [membership_word(room) for room in (joining, inside, out)] == ["joining", "member", "removed"]
    (line,) = removed_words([joining, inside, out])
    assert "removed from a\\nb" in line


def test_a_tampered_backup_is_one_line_and_no_profile(ada: Commands) -> None:
    ada.set("RAILGUN_BACKUP_PASSPHRASE", "correct horse")
    assert ada("backup", "ada.backup").status == 0
    whole = (ada.home / "ada.backup").read_bytes()
    altered = [whole[:-1], whole + b"x", whole[:-1] + bytes([whole[-1] ^ 1]), bytes([whole[0] ^ 1]) + whole[1:], b""]
    for content in altered:
        (ada.home / "tampered").write_bytes(content)
        assert "backup" in ada("restore", "tampered", "--profile", "back").complaint
        assert not (ada.home / "back").exists()
