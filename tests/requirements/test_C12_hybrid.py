"""C12: where too few volunteers are up, configured fallback relays serve, and every peer says which mode it is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun import Peer, Room, ServiceMode
from railgun.types import Role
from tests.requirements.real import Ear, members_of, quiet_room, relays_agree, tag_of
from tests.support.api_lab import WAIT_SECONDS, Lab, lab, network_of

VOLUNTEERS = 3
FALLBACKS = 2
TWO_EPOCHS_SECONDS = 2 * 10 + WAIT_SECONDS


async def until_mode(peer: Peer, room: Room, mode: ServiceMode) -> None:
    assert await peer.wait_until(lambda: room.mode is mode, TWO_EPOCHS_SECONDS), peer.status()
    assert peer.status().mode is mode


async def until_seats(net: Lab, peer: Peer, room: Room, *, fallbacks: int) -> None:
    """Until so many seats of the open epoch are fallbacks', and every relay that is up computes the same."""

    def done() -> bool:
        tag = tag_of(peer, room)
        if sum(ad.roles.is_fallback for ad in tag.committee.seats) != fallbacks:
            return False
        wall = net.clock.wall()
        views = [
            relay.machine.directory.committee(tag.tag, tag.keys.start, tag.committee.committee_size, wall)
            for relay in net.relays
        ]
        return all(view.seat_keys == tag.committee.seat_keys for view in views)

    assert await peer.wait_until(done, TWO_EPOCHS_SECONDS), tag_of(peer, room).committee


@pytest.mark.slow
async def test_c12_volunteers_leave_fallbacks_serve_and_volunteers_return(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=VOLUNTEERS, network=network_of(10, 2)) as net:
        for _ in range(FALLBACKS):
            await net.add_relay(Role.FALLBACK)
        members = await members_of(net, "anna", "bert")
        await relays_agree(net, members[0])
        anna, bert = await quiet_room(*members)
        ear = Ear(bert)

        for member, room in zip(members, (anna, bert), strict=True):
            await until_mode(member, room, ServiceMode.VOLUNTEERS)
        await until_seats(net, members[0], anna, fallbacks=0)
        await anna.send("through volunteers")
        await ear.hears("through volunteers")

        leaving, net.relays = net.relays[:2], net.relays[2:]
        for relay in leaving:
            await relay.aclose()
        for member, room in zip(members, (anna, bert), strict=True):
            await until_mode(member, room, ServiceMode.HYBRID)
        await anna.send("while they leave")
        await ear.hears("while they leave")
        await until_seats(net, members[0], anna, fallbacks=2)
        assert all(relay.machine.seats for relay in net.relays[1:])
        receipt = await anna.send("through fallbacks")
        assert (receipt.of, receipt.receipts >= 2) == (3, True)
        await ear.hears("through fallbacks")

        for _ in leaving:
            await net.add_relay()
        await until_seats(net, members[0], anna, fallbacks=0)
        for member, room in zip(members, (anna, bert), strict=True):
            await until_mode(member, room, ServiceMode.VOLUNTEERS)
        await anna.send("through volunteers again")
        await ear.hears("through volunteers again")


async def test_c12_fallbacks_alone_serve_and_nobody_calls_that_direct(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=0) as net:
        first = await net.add_relay(Role.FALLBACK)
        peer, *_ = await members_of(net, "anna")
        room, *_ = await quiet_room(peer)
        await until_mode(peer, room, ServiceMode.HYBRID)
        net.relays.remove(first)
        await first.aclose()
        # No relay is left, and no link between members: nobody serves.
        assert await peer.wait_until(lambda: room.mode is None, WAIT_SECONDS)
        assert peer.status().mode is None
