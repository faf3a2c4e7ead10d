"""Members whose relays all die, over the public API and real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from railgun import Peer, Room, ServiceMode
from railgun.runtime.peer import open_peer
from tests.support.api_lab import WAIT_SECONDS, Lab, hears, lab, network_of, settled
from tests.support.disks import disk_of

pytestmark = pytest.mark.slow


async def until_contacts(peer: Peer, room: Room, others: int) -> None:
    """Until the peer knows how to reach so many members without relays."""
    known = peer.machine.direct.contacts
    assert await peer.wait_until(lambda: len(known(room.room_id)) >= others, WAIT_SECONDS), known(room.room_id)


async def kill_relays(net: Lab) -> None:
    dying, net.relays = net.relays, []
    await asyncio.gather(*(relay.aclose() for relay in dying))


async def test_members_talk_without_relays_and_tell_so(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=3, network=network_of(20, 4)) as net:
        peers = [await net.connect(name) for name in ("anna", "bert", "cleo")]
        rooms = await net.room_of(*peers)
        for peer, room in zip(peers, rooms, strict=True):
            await until_contacts(peer, room, 2)
        assert all(len(peer.machine.direct) == 0 for peer in peers)
        await kill_relays(net)
        for peer, room in zip(peers, rooms, strict=True):
            assert await peer.wait_until(lambda room=room: room.mode is ServiceMode.DIRECT, WAIT_SECONDS)  # type: ignore[misc]
            assert peer.status().mode is ServiceMode.DIRECT
        receipt = await asyncio.wait_for(rooms[0].send("nobody serves us"), WAIT_SECONDS)
        assert (receipt.receipts, receipt.of) in {(1, 1), (2, 2), (2, 3)} or receipt.receipts > receipt.of // 2
        for room in rooms[1:]:
            await hears(room, "nobody serves us")


async def test_who_restarts_while_no_relay_lives_finds_the_others_again(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=3, network=network_of(20, 4)) as net:
        peers = [await net.connect(name) for name in ("anna", "bert", "cleo")]
        rooms = await net.room_of(*peers)
        for peer, room in zip(peers, rooms, strict=True):
            await until_contacts(peer, room, 2)
        await rooms[0].send("before")
        await hears(rooms[1], "before")
        await kill_relays(net)
        assert await peers[0].wait_until(lambda: rooms[0].mode is ServiceMode.DIRECT, WAIT_SECONDS)
        left = disk_of(net, "bert", "bert after the crash")
        await peers[1].aclose()
        await rooms[0].send("while bert is away")
        bert = await net.connect(left)
        there = bert.room("ops")
        # Nobody tells it of the others: no relay lives, and they know only where it was before.
        assert len(bert.machine.direct.contacts(there.room_id)) == 2
        assert await bert.wait_until(lambda: there.mode is ServiceMode.DIRECT, WAIT_SECONDS)
        await hears(there, "while bert is away")
        await there.send("back without relays")
        for room in (rooms[0], rooms[2]):
            await hears(room, "back without relays")


async def test_who_does_not_listen_is_linked_to_no_member(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=3, network=network_of(20, 4)) as net:
        anna = await net.connect("anna")
        bert = await open_peer(net.profile("bert"), network=net.network, bootstrap=net.bootstrap, listen=False)
        try:
            rooms = await net.room_of(anna, bert)
            await settled(bert, rooms[1], 2)
            assert bert.machine.direct.own is None
            assert anna.machine.direct.own is not None
            await kill_relays(net)
            assert await anna.wait_until(lambda: not anna.status().relays_linked, WAIT_SECONDS)
            assert await bert.wait_until(lambda: not bert.status().relays_linked, WAIT_SECONDS)
            assert len(anna.machine.direct) == len(bert.machine.direct) == 0
            assert bert.status().mode is None
        finally:
            await bert.aclose()
