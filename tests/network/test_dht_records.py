"""Members, whom nobody can reach, find and keep records in the DHT through their relays, on real sockets (C1)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from railgun import Peer, Room
from railgun.crypto.epoch import EpochKeys
from railgun.dht.records import RecordKind, sign_record
from railgun.errors import DiscoveryError, MalformedInput, RefusalCode
from railgun.limits import DHT_CLIENT_ASKS_BURST
from railgun.types import DeviceKey, NodeKey, PeerKey
from railgun.wire.dht_frames import DhtFind, DhtFound, DhtPut
from railgun.wire.frames import FRAMES
from railgun.wire.tag_payloads import TraversalHints
from tests.support.api_lab import WAIT_SECONDS, Lab, lab

RELAYS = 4


def keys_of(room: Room) -> EpochKeys:
    keys = room._peer.member_room(room.room_id).sending_keys(room._peer.wall())
    assert keys is not None
    return keys


class FirstOfAll:
    """Implements `railgun.ports.Chooser` for a choice between two: always the first, or always the last."""

    def __init__(self, last: bool) -> None:
        self._last = last

    def random(self) -> float:
        return 0.0

    def randrange(self, start: int, stop: int | None = None, /) -> int:
        return start - 1 if self._last else 0


async def joined(net: Lab) -> None:
    for relay in net.relays:
        assert await relay.wait_until(lambda relay=relay: len(relay.dht.node.table) == RELAYS - 1, WAIT_SECONDS)  # type: ignore[misc]


async def put_through(peer: Peer, encoded: bytes) -> RefusalCode | None:
    """What the first linked relay makes of a record, past this side's own checks."""
    dht = peer.shared.dht
    reply = await dht._ask(sorted(peer.machine.connector.relays)[0], DhtPut(dht._next_number(), encoded))
    assert reply is not None
    return getattr(reply, "code", None)


async def test_keys_contacts_and_hints_go_and_come_through_relays(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=RELAYS) as net:
        await joined(net)
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        told = anna.shared.tools.prekey
        assert told is not None
        assert await bert.records.keys_of(anna.identity.device_key) is None
        assert await anna.records.put_keys(anna.identity.device_seed, told) == RELAYS
        assert await bert.records.keys_of(anna.identity.device_key) == told

        keys = keys_of(here)
        assert await anna.records.put_contact(keys, anna.identity.device_key, b"at home") >= 1
        assert await anna.records.put_contact(keys, anna.identity.device_key, b"moved") >= 1
        assert await bert.records.put_contact(keys, bert.identity.device_key, b"on the road") >= 1
        wanted = {anna.identity.device_key: b"moved", bert.identity.device_key: b"on the road"}
        assert await bert.records.contacts(keys_of(there)) == wanted
        lying = [signed.encoded for relay in net.relays for signed in relay.dht.node.store.due(0.0, 1_000)]
        assert not [one for one in lying if b"at home" in one or b"moved" in one]

        first, second = TraversalHints((bytes(6),), ()), TraversalHints((), (bytes(18),))
        await anna.records.put_hints(keys, anna.identity.device_key, first)
        await bert.records.put_hints(keys, bert.identity.device_key, second)
        found = await bert.records.hints_of(keys)
        assert sorted(found, key=str) == sorted([first, second], key=str)


async def test_who_serves_a_tag_is_announced_under_it(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=RELAYS) as net:
        await joined(net)
        anna = await net.connect("anna")
        (room,) = await net.room_of(anna)
        keys = keys_of(room)
        view = next(view for view in anna.status().rooms if view.room_id == room.room_id)
        anna._announcer._due[room.room_id] = (keys.start, 0.0)  # now, and not at some time in the epoch
        assert await anna.wait_until(lambda: room.room_id in anna._announcer._told, WAIT_SECONDS)
        told = await anna.records.committee_of(keys, ())
        assert told is not None
        assert (told.start, told.seats, told.dead) == (keys.start, view.seats, ())

        dead = next(relay for relay in net.relays if relay.machine.node_key == view.attached[0])
        net.relays.remove(dead)
        dead._driver.stop()  # no goodbye and no withdrawal, as from a crash
        await dead._tasks.aclose()
        await dead.links.aclose()

        def is_announced() -> bool:
            said = anna._announcer._told.get(room.room_id)
            return said is not None and said.dead == (view.attached[0],)

        assert await anna.wait_until(is_announced, WAIT_SECONDS)
        told = await anna.records.committee_of(keys, ())
        assert told is not None
        assert (told.seats, told.dead) == (view.seats, (view.attached[0],))


async def test_relays_refuse_a_client_that_puts_nonsense_or_asks_too_much(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=RELAYS) as net:
        await joined(net)
        anna = await net.connect("anna")
        now = int(net.clock.wall())
        good = sign_record(bytes(32), RecordKind.KEY_BUNDLE, b"x", version=1, issued=now, expires=now + 60)
        future = sign_record(bytes(32), RecordKind.KEY_BUNDLE, b"x", version=1, issued=now + 900, expires=now + 960)
        assert await put_through(anna, good.encoded[:-1] + bytes([good.encoded[-1] ^ 1])) is RefusalCode.BAD_SIGNATURE
        assert await put_through(anna, good.encoded + b"\x00") is RefusalCode.MALFORMED
        assert await put_through(anna, future.encoded) is RefusalCode.OUTSIDE_WINDOW
        with pytest.raises(MalformedInput):
            await anna.shared.dht.put(future)
        relay = next(one for one in net.relays if PeerKey(one.machine.node_key) in anna.machine.connector.relays)
        before = dict(relay.dht.desk.declined)
        ask = FRAMES.encode(DhtFind(1, good.key, 1))
        for _ in range(int(DHT_CLIENT_ASKS_BURST) + 40):
            anna.shared.links.send_frame(PeerKey(relay.machine.node_key), ask)

        def is_limited() -> bool:
            declined = relay.dht.desk.declined
            return sum(declined.values()) > sum(before.values()) and RefusalCode.RATE_LIMITED in declined

        assert await relay.wait_until(is_limited, WAIT_SECONDS)
        assert anna.shared.dht.counters.answers_unexpected or await anna.wait_until(
            lambda: anna.shared.dht.counters.answers_unexpected > 0, WAIT_SECONDS
        )


async def test_a_lying_relay_is_caught_and_another_asked(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=RELAYS) as net:
        await joined(net)
        anna = await net.connect("anna")
        assert await anna.wait_until(lambda: len(anna.machine.connector.relays) >= 2, WAIT_SECONDS)
        now = int(net.clock.wall())
        good = sign_record(bytes(32), RecordKind.KEY_BUNDLE, b"x", version=1, issued=now, expires=now + 600)
        other = sign_record(bytes([1]) * 32, RecordKind.KEY_BUNDLE, b"x", version=1, issued=now, expires=now + 600)
        await anna.shared.dht.put(good)
        liar = next(one for one in net.relays if PeerKey(one.machine.node_key) in anna.machine.connector.relays)

        class Lying:
            async def serve(self, client: PeerKey, ask: DhtFind) -> DhtFound:
                return DhtFound(ask.number, (other.encoded,), is_certain=True)

        liar.dht.desk._desk = Lying()  # type: ignore[assignment]
        honest = next(NodeKey(key) for key in anna.machine.connector.relays if key != liar.machine.node_key)
        through = [NodeKey(liar.machine.node_key), honest]
        anna.shared.dht._chooser = FirstOfAll(sorted(through)[0] != liar.machine.node_key)  # the liar first
        found = await anna.shared.dht.find(RecordKind.KEY_BUNDLE, good.record.author, through=through)
        assert [signed.encoded for signed in found.records] == [good.encoded]
        assert anna.shared.dht.counters.records_poisoned == 1


async def test_without_any_relay_it_is_said(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=1) as net:
        anna = await net.connect("anna")
        await net.relays[0].aclose()
        assert await anna.wait_until(lambda: not anna.machine.connector.relays, WAIT_SECONDS)
        async with asyncio.timeout(1.0):
            with pytest.raises(DiscoveryError):
                await anna.records.keys_of(DeviceKey(bytes(32)))
