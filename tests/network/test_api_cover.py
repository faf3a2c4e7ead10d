"""Cover on real links: what the application chooses, sees and pays."""

from __future__ import annotations

from pathlib import Path

import pytest

import railgun
from railgun import Cover, CoverOptions, CoverView, Peer, UsageError
from railgun.core.relay import RelayMachine
from tests.support.api_lab import WAIT_SECONDS, Lab, lab, settled, texts_of

STRICT = CoverOptions(Cover.STRICT, strict_ticks_per_second=40)
LONG = "long " * 12_000


async def connect(net: Lab, name: str) -> Peer:
    peer = await railgun.connect(net.profile(name), network=net.network, bootstrap=net.bootstrap, cover=STRICT)
    assert await peer.wait_until(lambda: peer.status().relays_known >= len(net.relays), WAIT_SECONDS)
    return peer


def cover_of(peer: Peer) -> CoverView:
    return peer.status().rooms[0].cover


async def test_a_strict_room_talks_in_one_size_and_says_what_it_costs(tmp_path: Path) -> None:
    async with lab(tmp_path) as net, await connect(net, "anna") as anna, await connect(net, "bert") as bert:
        room = await anna.create_room("ops", committee_size=3)  # the mode is the one that anna was opened with
        link = room.invite()
        there = await bert.join(link)
        for peer in (anna, bert):
            await settled(peer, room, 2)
        sizes: set[int] = set()
        for relay in net.relays:
            _watch(relay.machine, sizes)
        receipt = await room.send("hello")
        assert receipt.receipts >= 2
        assert (await room.send(LONG)).receipts >= 2
        await there.send("hello yourself")
        assert await texts_of(there, 2) == ["hello", LONG]
        assert await texts_of(room, 1) == ["hello yourself"]
        for peer in (anna, bert):
            assert await peer.wait_until(lambda peer=peer: cover_of(peer).decoys_sent > 20, WAIT_SECONDS)  # type: ignore[misc]
            assert (cover_of(peer).mode, cover_of(peer).wait_p95_seconds) == ("strict", 3 / 40)
        assert sizes == {4_096}


def _watch(machine: RelayMachine, sizes: set[int]) -> None:
    """Note the sizes of all envelopes that clients publish at a relay."""
    handle = machine.handle

    def watched(event: object, now: float) -> object:
        frame = getattr(event, "frame", None)
        if type(frame).__name__ == "Publish":
            sizes.add(len(frame.envelope))  # type: ignore[union-attr]
        return handle(event, now)  # type: ignore[arg-type]

    machine.handle = watched  # type: ignore[method-assign, assignment]


async def test_rooms_are_steady_unless_something_else_is_asked_for(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna = await net.connect("anna")
        steady = await anna.create_room("steady", committee_size=3)
        off = await anna.create_room("off", committee_size=3, cover="off")
        with pytest.raises(UsageError, match="off, steady, strict"):
            await anna.create_room("loud", cover="loud")

        def cover(room_id: bytes) -> CoverView:
            return next(view.cover for view in anna.status().rooms if view.room_id == room_id)

        assert await anna.wait_until(lambda: cover(steady.room_id).decoys_sent > 0, WAIT_SECONDS)
        assert cover(steady.room_id).mode == "steady"
        assert cover(off.room_id) == CoverView("off", 0, 0, None)
