"""Rooms on the command line, over real relays: each command a process of its own."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Lab, Running

pytestmark = pytest.mark.processes


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()


def start_room(lab: Lab) -> str:
    """Three relays, Ada with a room, Bob with a profile; returns an invite."""
    contact = lab.relays(3)[0]["contact"]
    lab.member("ada")
    lab.member("bob")
    made = lab("--profile", "ada", "room", "create", "ops", "--network", "lab.toml", "--bootstrap", contact, "--json")
    assert made.checked("room-create")["committee_size"] == 5
    invite = lab("--profile", "ada", "room", "invite", "ops", "--uses", "3", "--json").checked("room-invite")
    assert invite["id"] == made.result["id"]
    return str(invite["link"])


def send_files(lab: Lab) -> None:
    """From Bob, by a process of its own, to Ada, whose profile a `tail` serves."""
    source = lab.home / "a b.txt"
    source.write_bytes(b"x" * 200_000)
    sent = lab("--profile", "bob", "send", "ops", "--file", source, "--json").checked("send-file")
    assert (sent["name"], sent["state"], sent["done_bytes"]) == ("a b.txt", "sent", 200_000)
    where = lab.home / "saved"
    where.mkdir()
    saved = lab("--profile", "ada", "file", "save", "ops", "a b.txt", "--to", "saved", "--json").checked("file-save")
    assert saved["path"] == str(where / "a b.txt")
    assert (where / "a b.txt").read_bytes() == source.read_bytes()
    listed = lab("--profile", "ada", "file", "list", "ops", "--json").checked("file-list")["files"]
    assert [(item["name"], item["state"]) for item in listed] == [("a b.txt", "saved")]
    assert "already" in lab("--profile", "ada", "file", "save", "ops", listed[0]["message_id"][:8]).complaint
    taken = lab("--profile", "bob", "file", "cancel", "ops", "a b.txt", "--json").checked("file-cancel")
    assert taken["state"] == "cancelled"
    assert "directory" in lab("--profile", "bob", "send", "ops", "--file", lab.home).complaint.lower()


def interrupt_a_file(lab: Lab, reading: Running) -> None:
    """Ctrl-C takes a file back at the others too, though no command of Bob's follows."""
    source = lab.home / "long.bin"
    source.write_bytes(os.urandom(6_000_000))
    sending = lab.start("--profile", "bob", "send", "ops", "--file", source, "--json")
    while json.loads(reading.line())["text"] != "long.bin":
        pass
    stopped = sending.end(signal.SIGINT)
    assert stopped.status == 130
    assert "taking the file back" in stopped.err
    assert "withdrawn" in lab("--profile", "ada", "file", "save", "ops", "long.bin").complaint


@pytest.mark.timeout(300)  # some fifty commands, each a process of its own
def test_two_people_talk(lab: Lab) -> None:
    link = start_room(lab)
    reading = lab.start("--profile", "ada", "tail", "ops", "--lines")
    joined = lab("--profile", "bob", "join", link, "--network", "lab.toml", "--json").checked("join")
    assert joined["members"] == 2

    sent = lab("--profile", "bob", "send", "ops", "hello", "--json").checked("send")
    assert (sent["of"], sent["receipts"] >= 2) == (3, True)
    assert '"text": "hello"' in reading.line()
    lab.must("--profile", "bob", "send", "ops", "-", stdin=b"zwei\nlines \x1b[31m\n")
    assert "zwei\\nlines \\u001b[31m" in reading.line()

    # Ada's profile is open in the process that reads: it serves these.
    assert stat.S_IMODE((lab.home / "ada" / "control").stat().st_mode) == 0o600
    assert lab("--profile", "ada", "send", "ops", "hello Bob", "--json").checked("send")["receipts"] >= 2
    status = lab("--profile", "ada", "status", "--json").checked("status")
    assert (status["mode"], status["relays_known"], len(status["rooms"][0]["attached"])) == ("volunteers", 3, 2)
    listed = lab("--profile", "ada", "room", "list", "--json").checked("room-list")["rooms"][0]
    assert (listed["mode"], listed["settings"]["cover"], listed["next_settings"]) == ("volunteers", "steady", None)
    change = ("--profile", "ada", "room", "set", "ops", "--cover", "off", "--committee", "3")
    changed = lab(*change, "--json").checked("room-set")
    assert (changed["settings"]["committee_size"], changed["next_settings"]["committee_size"]) == (5, 3)
    day = changed["next_settings"]["from"]
    assert day > changed["settings"]["from"]
    for command in (("room", "list"), ("status",)):
        shown = lab("--profile", "ada", *command).out
        assert f"From {day} (UTC) on, ops has cover off and a committee of 3" in shown
        assert "volunteers" in shown
    refused = lab("--profile", "bob", "room", "set", "ops", "--cover", "strict")
    assert (refused.status, "only an admin" in refused.complaint) == (2, True)
    beside = lab("--profile", "ada", "tail", "ops", "--history", "1", "--count", "1", "--json").checked("tail")
    assert [message["text"] for message in beside["messages"]] == ["hello Bob"]
    members = lab("--profile", "ada", "room", "members", "ops", "--json").checked("room-members")["members"]
    (bob,) = [member["device"] for member in members if not member["is_self"]]

    history = ("--profile", "bob", "tail", "ops", "--history", "5", "--count", "3", "--json")
    shown = lab(*history).checked("tail")["messages"]
    assert [message["text"] for message in shown] == ["hello", "zwei\nlines \x1b[31m", "hello Bob"]
    again = lab("--profile", "bob", "tail", "ops", "--history", "0", "--seconds", "1", "--json").checked("tail")
    assert again["messages"] == []
    people = lab("--profile", "bob", "tail", "ops", "--history", "2", "--seconds", "0.5").out
    assert "\n    lines \\x1b[31m" in people
    assert "\x1b" not in people

    for name in ("ada", "bob"):
        found = lab("--profile", name, "search", "ops", "HELLO", "--json").checked("search")
        assert [message["text"] for message in found["messages"]] == ["hello Bob", "hello"]
        assert (found["searched"], found["is_complete"]) == (3, True)
    people = lab("--profile", "bob", "search", "ops", "lines", "--limit", "1").out
    assert "\\x1b[31m" in people
    assert "\x1b" not in people

    send_files(lab)
    interrupt_a_file(lab, reading)
    removed = lab("--profile", "ada", "room", "remove", "ops", bob[:12], "--json").checked("room-remove")
    assert removed["removed"] == bob
    left = reading.end(signal.SIGINT)
    assert (left.status, "Traceback" in left.err) == (130, False)
    assert not (lab.home / "ada" / "control").exists()
    assert lab("--profile", "ada", "room", "leave", "ops", "--json").checked("room-leave")["room"] == "ops"
    assert lab("--profile", "ada", "room", "list", "--json").checked("room-list") == {"rooms": []}


def test_a_member_restored_from_a_backup_talks_on_though_the_original_went_on(lab: Lab) -> None:
    link = start_room(lab)
    reading = lab.start("--profile", "ada", "tail", "ops", "--lines")
    lab("--profile", "bob", "join", link, "--network", "lab.toml", "--json").checked("join")
    (lab.home / "words").write_text("of the backup\n")
    (lab.home / "words").chmod(0o600)
    words = ("--backup-passphrase-file", "words", "--json")
    lab.must("--profile", "bob", "send", "ops", "one")
    assert '"text": "one"' in reading.line()
    lab("--profile", "bob", "backup", "bob.backup", *words).checked("backup")
    # Ada's profile is in use.
    lab("--profile", "ada", "backup", "ada.backup", *words).checked("backup")
    lab.must("--profile", "bob", "send", "ops", "two, unknown to the backup")
    assert "two, unknown" in reading.line()

    back = lab("--profile", "back", "restore", "bob.backup", *words).checked("restore")
    assert back["sessions_retired"] >= 1
    lab.must("--profile", "back", "send", "ops", "three, of the restored one")
    assert "three, of" in reading.line()
    lab.must("--profile", "ada", "send", "ops", "welcome back")
    shown = lab("--profile", "back", "tail", "ops", "--history", "0", "--count", "1", "--json").checked("tail")
    assert [message["text"] for message in shown["messages"]] == ["welcome back"]
    assert reading.end(signal.SIGINT).status == 130


def test_committees_are_shown_and_verified(lab: Lab) -> None:
    relays = lab.relays(4)
    contact = relays[0]["contact"]
    _, fallback = lab.relay("last", "--fallback", "--bootstrap", contact)
    relays.append(fallback)
    assert [relay["roles"] for relay in relays] == [["relay"]] * 4 + [["fallback"]]
    lab.member("ada")
    made = ("--profile", "ada", "room", "create", "ops", "--committee", "3", "--network", "lab.toml")
    lab.must(*made, "--bootstrap", contact)
    of_room = lab("--profile", "ada", "committee", "ops", "--json").checked("committee")
    now, following = of_room["committees"]
    assert following["start"] == now["start"] + 600
    assert (now["n"], now["majority"], len(now["standbys"])) == (3, 2, 2)
    assert now["standbys"][-1]["node"] == fallback["node"]  # behind all volunteers

    tag = ("committee", "--tag", now["tag"], "--start", str(now["start"]), "--size", "3")
    network = ("--network", "lab.toml", "--bootstrap", contact)
    of_tag = lab(*tag, *network, "--json").checked("committee")
    assert of_tag["room"] is None
    assert of_tag["committees"] == [now]
    assert of_tag["relays_agreeing"] >= 2
    assert {relay["node"] for relay in now["seats"] + now["standbys"]} == {relay["node"] for relay in relays}

    seated = lab(*tag, *network, "--verify", now["seats"][0]["node"], "--json")
    assert (seated.status, seated.checked("committee")["verified"]) == (0, True)
    standby = lab(*tag, *network, "--verify", now["standbys"][0]["node"], "--json")
    assert (standby.status, standby.checked("committee")["verified"]) == (1, False)

    lab.must("network", "create", "other", "--kind", "lan", "--output", "other.toml")
    complaint = lab(*tag, "--network", "other.toml", "--bootstrap", contact).complaint
    assert "wrong_network" in complaint
    assert relays[0]["address"] in complaint


def test_relays_start_and_stop(lab: Lab) -> None:
    running, started = lab.relay("relay0")
    assert "in use by process" in lab("--profile", "relay0", "node", "--network", "lab.toml").complaint
    lab.must("--profile", "other", "init", "--relay")
    taken = ("--profile", "other", "node", "--network", "lab.toml", "--host", "127.0.0.1")
    complaint = lab(*taken, "--port", str(started["port"])).complaint
    assert f"cannot listen on UDP 127.0.0.1 port {started['port']}" in complaint
    assert "choose another port" in complaint
    ended = running.end(signal.SIGTERM)
    assert (ended.status, ended.out, "Traceback" in ended.err) == (0, "", False)
    running, again = lab.start_relay("relay0")
    assert again["node"] == started["node"]
    status = lab("--profile", "relay0", "status", "--json").checked("status-relay")
    assert (status["node"], status["dht"]["contacts"]) == (started["node"], 0)
    assert "0 contacts, 0 records" in lab("--profile", "relay0", "status").out
    assert "a relay's" in lab("--profile", "relay0", "room", "list").complaint
    assert "start it with `railgun node`" in lab("--profile", "other", "status").complaint
    ended = running.end(signal.SIGINT)
    assert (ended.status, ended.out, "Traceback" in ended.err) == (130, "", False)


def test_nobody_answers(lab: Lab) -> None:
    running, started = lab.relay("relay0")
    lab.member("ada")
    made = ("--profile", "ada", "room", "create", "ops", "--network", "lab.toml")
    lab.must(*made, "--bootstrap", started["contact"])
    link = lab("--profile", "ada", "room", "invite", "ops", "--qr-file", "invite.svg").out.strip()
    assert (lab.home / "invite.svg").read_bytes().startswith(b"<?xml")
    taken = lab("--profile", "ada", "room", "invite", "ops", "--qr-file", "invite.svg")
    assert "exists already" in taken.complaint
    assert running.end().status == 0
    sent = lab("--profile", "ada", "send", "ops", "hello", "--json")
    assert sent.checked("error")["error"]["kind"] == "DiscoveryError"
    assert f"tried {started['address']}" in sent.complaint
    lab.member("bob")
    complaint = lab("--profile", "bob", "join", link, "--network", "lab.toml").err.splitlines()[-1]
    assert f"tried {started['address']}" in complaint
    complaint = lab(
        "committee", "--tag", "0" * 64, "--start", "0", "--size", "3", "--network", "lab.toml",
        "--bootstrap", started["contact"],
    ).complaint  # fmt: skip
    assert f"no relay answered: tried {started['address']}" in complaint
