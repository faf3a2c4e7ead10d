"""A person with several devices, on real sockets through relays: linked, told of rooms, revoked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from railgun import NotMember, Peer, Room, UsageError
from railgun.cli.status import fork_words
from railgun.core.room_refusals import RoomRefusals
from railgun.core.roster import InsertOutcome, InsertResult
from railgun.core.roster_entries import sign_entry
from railgun.runtime.identity import load_root
from railgun.runtime.peer_linking import LinkCode, LinkResult
from railgun.runtime.peer_service import PeerService
from railgun.types import DeviceKey
from railgun.wire.roster import NameEntry
from tests.support.api_lab import WAIT_SECONDS, Lab, hears, lab, settled, texts_of


async def link(old: Peer, new: Peer) -> tuple[LinkResult, LinkResult]:
    """What two people with two screens do."""
    new.devices.start_join(old.devices.start_link())
    codes = await asyncio.gather(old.devices.code(WAIT_SECONDS), new.devices.code(WAIT_SECONDS))
    assert codes[0].numbers == codes[1].numbers
    results = await asyncio.gather(old.devices.confirm(WAIT_SECONDS), new.devices.confirm(WAIT_SECONDS))
    return results[0], results[1]


def own_devices(peer: Peer) -> set[DeviceKey]:
    return {view.device_key for view in peer.devices.all()}


async def linked_lab(net: Lab) -> tuple[Peer, Peer, Peer, Room]:
    """Anna with a room that bert is in, and bert's phone, linked."""
    anna, bert, phone = await net.connect("anna"), await net.connect("bert"), await net.connect("phone")
    here, _ = await net.room_of(anna, bert)
    old, new = await link(bert, phone)
    assert (old.device, new.device) == (phone.identity.device_key, phone.identity.device_key)
    assert old.missing == new.missing == ()
    await settled(anna, here, 3)
    await settled(phone, here, 3)
    return anna, bert, phone, here


async def test_a_linked_device_has_the_person_and_every_room_and_reads_from_then_on(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert, phone, here = await linked_lab(net)
        assert phone.identity.root_key == bert.identity.root_key
        assert load_root(phone.shared.store) is None
        assert load_root(bert.shared.store) is not None
        await here.send("to both of bert's")
        await hears(bert.room("ops"), "to both of bert's")
        await hears(phone.room("ops"), "to both of bert's")
        await phone.room("ops").send("from the phone")
        assert await texts_of(here, 1) == ["from the phone"]
        # Nobody is shown the room of bert's devices, and each knows how the other is called.
        assert [room.name for room in phone.rooms()] == ["ops"] == [room.name for room in bert.rooms()]
        assert [view.name for view in phone.status().rooms] == ["ops"]
        assert await phone.wait_until(lambda: len(phone.devices.all()) == 2, WAIT_SECONDS)
        assert {view.name for view in bert.devices.all()} == {"bert", "phone"}
        # It stays so after a start.
        await phone.aclose()
        phone = await net.connect("phone")
        assert phone.identity.root_key == bert.identity.root_key
        await here.send("after a start")
        await hears(phone.room("ops"), "after a start")
        with pytest.raises(UsageError, match="root key is not on this device"):
            phone.devices.start_link()
        # Whoever is somebody already stays that.
        for somebody in (anna, phone):
            with pytest.raises(UsageError, match="in rooms already"):
                somebody.devices.start_join(bert.devices.start_link())


async def test_rooms_that_one_device_joins_later_follow_to_the_others(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert, phone, _ = await linked_lab(net)
        made = await anna.create_room("later", committee_size=3)
        joined = await bert.join(made.invite())
        await settled(phone, joined, 3)
        await made.send("welcome, all of you")
        await hears(phone.room("later"), "welcome, all of you")
        # The other way round, and for a device that was away.
        await bert.aclose()
        own = await phone.create_room("of the phone", committee_size=3)
        bert = await net.connect("bert")
        await settled(bert, own, 2)
        await own.send("now you are here")
        await hears(bert.room("of the phone"), "now you are here")


async def test_a_revoked_device_reads_and_says_nothing_more(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert, phone, here = await linked_lab(net)
        there, hers = bert.room("ops"), phone.room("ops")
        await here.send("before")
        await hears(hers, "before")
        revoked = bert.devices.revoke(phone.identity.device_key)
        assert [one.reason for one in revoked] == [None, None]
        assert own_devices(bert) == {bert.identity.device_key}
        await settled(anna, here, 2)
        await settled(bert, there, 2)
        assert await phone.wait_until(lambda: not hers.is_member, WAIT_SECONDS)
        await here.send("after")
        await there.send("after, by bert")
        await hears(there, "after")
        await hears(here, "after, by bert")
        assert [message.text for message in hers.history()] == ["before"]
        with pytest.raises(NotMember):
            await hers.send("may I")


async def test_numbers_that_differ_grant_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        bert, phone = await net.connect("bert"), await net.connect("phone")
        root = phone.identity.root_key
        phone.devices.start_join(bert.devices.start_link())
        code = await bert.devices.code(WAIT_SECONDS)
        assert isinstance(code, LinkCode)
        assert code.name == "phone"
        bert.devices.refuse()
        with pytest.raises(UsageError, match="no link"):
            await bert.devices.confirm(WAIT_SECONDS)
        phone.devices.refuse()
        assert phone.identity.root_key == root
        assert own_devices(bert) == {bert.identity.device_key}


async def test_what_a_revoked_device_goes_on_to_say_is_refused_and_counted(tmp_path: Path) -> None:
    """Its program was changed: it believes no entry any more, and goes on under the keys that it has."""
    async with lab(tmp_path) as net:
        anna, bert, phone, here = await linked_lab(net)
        there, hers = bert.room("ops"), phone.room("ops")
        await hers.send("while I may")
        await hears(here, "while I may")
        await hears(there, "while I may")
        machine = phone.member_room(here.room_id)

        def believes_nothing(data: bytes) -> InsertResult:
            return InsertResult(InsertOutcome.DUPLICATE)

        machine.roster.insert = believes_nothing  # type: ignore[method-assign]
        bert.devices.revoke(phone.identity.device_key)
        await settled(anna, here, 2)
        await settled(bert, there, 2)
        machines = [peer.member_room(here.room_id) for peer in (anna, bert)]
        assert await bert.wait_until(lambda: all(generation_of(one) == 2 for one in (here, there)), WAIT_SECONDS)

        sent = await hers.send("I am still here")
        assert sent.receipts >= 2
        assert await anna.wait_until(lambda: all(one.conversation.refused_out == 1 for one in machines), WAIT_SECONDS)
        assert [view.refused for view in anna.status().rooms] == [RoomRefusals(devices_out=1)]
        assert anna.refusals()["devices_out"] == 1
        await here.send("not for the phone")
        await hears(there, "not for the phone")
        assert [message.text for message in here.history()] == ["while I may", "not for the phone"]
        assert generation_of(hers) == 1
        assert "not for the phone" not in [message.text for message in hers.history()]


def generation_of(room: Room) -> int | None:
    keys = room._peer.member_room(room.room_id).sending_keys(room._peer.wall())
    return None if keys is None else keys.generation


async def test_a_fork_of_the_roster_is_shown_to_people_with_its_author(tmp_path: Path) -> None:
    """Somebody signs two entries under one number, and they come to different members first."""
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        await net.room_of(anna, bert)
        machine = anna.member_room(anna.rooms()[0].room_id)
        author = bert.identity.device_key
        place = (machine.roster.room, author, *machine.roster.next_place(author), int(anna.wall()))
        assert anna.status().rooms[0].forked == ()
        for name in ("one", "other"):
            machine.roster.insert(sign_entry(bert.identity.device_seed, NameEntry(*place, name)).data)
        assert anna.status().rooms[0].forked == (author,)
        answer = await PeerService(anna).call("status", {"wait_seconds": 0})
        assert answer["rooms"][0]["forked"] == [author.hex()]
        (line,) = fork_words(answer["rooms"])
        assert line.startswith(f"{author.hex()[:16]} said different things about ops")
