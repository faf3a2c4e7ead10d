"""F5, as far as it is built: a crash of a member or of a relay loses no acknowledged message and no key."""

from __future__ import annotations

from pathlib import Path

from tests.requirements.real import Ear, members_of, quiet_room
from tests.support.api_lab import WAIT_SECONDS, lab, settled, texts
from tests.support.disks import disk_of


async def test_f5_what_a_member_had_when_it_died_it_has_when_it_comes_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        ear = Ear(there)
        await here.send("said, and receipted")
        await ear.hears("said, and receipted")
        await there.send("heard")
        await Ear(here).hears("heard")
        left = disk_of(net, "anna", "anna after the crash")
        device = anna.identity.device_key
        await anna.aclose()
        anna = await net.connect(left)
        assert anna.identity.device_key == device
        here = anna.room("ops")
        await settled(anna, here, 2)
        assert texts(here.history()) == ["said, and receipted", "heard"]
        # Its sessions are where they were: what it says now is read, and no index is used twice.
        await here.send("back again")
        await ear.hears("back again")
        await there.send("welcome")
        assert await anna.wait_until(lambda: "welcome" in texts(here.history()), WAIT_SECONDS)
        assert texts(there.history()) == ["said, and receipted", "heard", "back again", "welcome"]


async def test_f5_a_receipted_message_outlives_all_relays_but_one(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        await here.send("the session's key goes ahead")
        assert await bert.wait_until(lambda: bool(there.history()), WAIT_SECONDS)
        await bert.aclose()
        await here.send("while bert is away")
        assert await anna.wait_until(lambda: not anna.member_room(here.room_id).conversation.outbox, WAIT_SECONDS)
        assert await anna.wait_until(
            lambda: all(relay.machine.counters.envelopes_stored for relay in net.relays), WAIT_SECONDS
        )
        survivor = net.relays[-1]
        for relay in net.relays[:-1]:
            relay._driver.stop()  # no goodbye and no withdrawal, as from a crash
            await relay.links.aclose()
            await relay._tasks.aclose()
        assert await anna.wait_until(lambda: len(anna.machine.connector.relays) == 1, WAIT_SECONDS)
        net.relays = [survivor]
        bert = await net.connect("bert")
        there = bert.room("ops")
        said = ["the session's key goes ahead", "while bert is away"]
        assert await bert.wait_until(lambda: texts(there.history()) == said, WAIT_SECONDS)
