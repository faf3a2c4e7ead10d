"""A person's devices and safety numbers on the command line, over real relays: each command a process of its own."""

from __future__ import annotations

import json
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Ran, check_schema
from tests.support.processes import Lab, Running

pytestmark = pytest.mark.processes


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()


def two_people(lab: Lab) -> tuple[str, str]:
    """Ada, whose room Bob joins, and a new profile for Bob's phone; returns a relay's contact and an invite."""
    contact = str(lab.relays(3)[0]["contact"])
    for name in ("ada", "bob", "phone"):
        lab.member(name)
    lab.must("--profile", "ada", "room", "create", "ops", "--network", "lab.toml", "--bootstrap", contact)
    return contact, lab.must("--profile", "ada", "room", "invite", "ops", "--uses", "5").out.strip()


def until(running: Running, start: str) -> str:
    """The rest of the next line that starts so."""
    while True:
        line = running.line()
        if line.startswith(start):
            return line.removeprefix(start)


def finished(running: Running, schema: str) -> dict[str, object]:
    done = running.end(0)
    assert done.status == 0, done.out + done.err
    found: dict[str, object] = json.loads(done.out.splitlines()[-1])
    check_schema(schema, found)
    return found


def test_a_device_is_linked_listed_and_revoked(lab: Lab) -> None:
    _, invite = two_people(lab)
    reading = lab.start("--profile", "ada", "tail", "ops", "--lines")
    lab.must("--profile", "bob", "join", invite, "--network", "lab.toml")
    # Bob's computer reads on meanwhile: it is its process that serves the commands.
    serving = lab.start("--profile", "bob", "tail", "ops", "--lines")

    old = lab.start("--profile", "bob", "device", "add", asks=True)
    link = until(old, "railgun device join ").strip("'")
    new = lab.start("--profile", "phone", "device", "join", link, "--network", "lab.toml", asks=True)
    codes = [until(running, "This device shows: ") for running in (old, new)]
    assert codes[0].removesuffix(", which calls itself Phone") == codes[1]
    old.answer("yes")
    new.answer("y")
    linked = old.end(0)
    assert linked.status == 0, linked.err
    assert "Linked Phone: it is in ops" in linked.out
    joined = new.end(0)
    assert joined.status == 0, joined.err
    assert "This device is yours now, and in ops" in joined.out

    phone = ("--profile", "phone")
    assert lab(*phone, "send", "ops", "from the phone", "--json").checked("send")["of"] == 3
    assert '"text": "from the phone"' in reading.line()
    lab.must("--profile", "ada", "send", "ops", "to both")
    shown = lab(*phone, "tail", "ops", "--history", "5", "--count", "2", "--json").checked("tail")["messages"]
    assert [message["text"] for message in shown] == ["from the phone", "to both"]
    listed = lab(*phone, "device", "list", "--json").checked("device-list")
    assert (listed["holds_root"], len(listed["devices"])) == (False, 2)
    assert [one["name"] for one in listed["devices"] if one["is_self"]] == ["Phone"]
    assert "root key is not on this device" in lab(*phone, "device", "add").complaint
    assert [room["name"] for room in lab(*phone, "room", "list", "--json").checked("room-list")["rooms"]] == ["ops"]

    revoked = lab("--profile", "bob", "device", "revoke", "Phone", "--json").checked("device-revoke")
    assert [(room["name"], room["is_revoked"]) for room in revoked["rooms"]] == [("ops", True)]
    assert revoked["is_told"]
    assert len(lab("--profile", "bob", "device", "list", "--json").checked("device-list")["devices"]) == 1
    assert "none of your devices fits" in lab("--profile", "bob", "device", "revoke", "Phone").complaint
    lab.must("--profile", "ada", "send", "ops", "not for the phone")
    last = lab(*phone, "tail", "ops", "--history", "5", "--seconds", "3", "--json").checked("tail")["messages"]
    assert [message["text"] for message in last] == ["from the phone", "to both"]
    for running in (reading, serving):
        assert running.process.poll() is None, running.log.read_text()


def test_a_link_can_be_driven_by_scripts_and_a_no_links_nothing(lab: Lab) -> None:
    contact, _ = two_people(lab)
    where = ("--network", "lab.toml", "--bootstrap", contact)
    for answer in ("no", "yes"):
        old = lab.start("--profile", "bob", "device", "add", "--json", *where, asks=True)
        link = link_of(old)
        new = lab.start("--profile", "phone", "device", "join", link, "--json", *where, asks=True)
        old.answer(answer)
        new.answer(answer)
        if answer == "yes":
            added, joined = finished(old, "device-add"), finished(new, "device-join")
            assert (added["code"], added["root"]) == (joined["code"], joined["root"])
            assert added["device"] == joined["device"]
        else:
            for running in (old, new):
                done = running.end(0)
                assert done.status == 2
                assert "nobody said yes" in done.err
    assert "this links no device" in lab("--profile", "phone", "device", "join", "railgun://join/x").complaint


def link_of(running: Running) -> str:
    """With ``--json`` all that is told to people goes to standard error, which is a file here."""
    stdout = running.process.stdout
    assert stdout is not None
    while running.process.poll() is None:
        for line in running.log.read_text().splitlines():
            if line.startswith("railgun device join "):
                return line.removeprefix("railgun device join ").strip("'")
        select.select([stdout], [], [], 0.05)  # its end can be waited for, a file cannot
    raise AssertionError(running.log.read_text())


def test_two_people_compare_safety_numbers(lab: Lab) -> None:
    _, invite = two_people(lab)
    lab.start("--profile", "ada", "tail", "ops", "--lines")
    lab.must("--profile", "bob", "join", invite, "--network", "lab.toml")

    def members(name: str) -> list[dict[str, object]]:
        found = lab("--profile", name, "room", "members", "ops", "--json").checked("room-members")
        return list(found["members"])

    def other(name: str) -> str:
        return str(next(member["device"] for member in members(name) if not member["is_self"]))

    ada = lab("--profile", "ada", "verify", "ops", other("ada")[:8], "--json").checked("verify")
    bob = lab("--profile", "bob", "verify", "ops", other("bob")[:8], "--json").checked("verify")
    assert ada["safety_number"] == bob["safety_number"]
    assert (ada["is_verified"], ada["verified_at"]) == (False, None)
    people: Ran = lab.must("--profile", "ada", "verify", "ops", other("ada")[:8])
    assert "".join(people.out.split("\n")[1:4]).replace(" ", "") == ada["safety_number"]
    assert "Not verified yet" in people.out

    marked = lab("--profile", "ada", "verify", "ops", other("ada")[:8], "--confirm", "--json").checked("verify")
    assert marked["is_verified"]
    assert [member["is_verified"] for member in members("ada")].count(True) == 1
    assert not any(member["is_verified"] for member in members("bob"))
    assert "verified" in lab.must("--profile", "ada", "room", "members", "ops").out
    lab.must("--profile", "ada", "verify", "ops", other("ada")[:8], "--undo")
    assert not any(member["is_verified"] for member in members("ada"))
    own = next(str(member["device"]) for member in members("ada") if member["is_self"])
    assert "a device of yours" in lab("--profile", "ada", "verify", "ops", own[:8]).complaint
