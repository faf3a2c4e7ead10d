"""C3: committees rotate; the next one is attached before it starts; nothing is lost or doubled across a rotation."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from railgun import Peer, Room
from tests.requirements.real import members_of, relays_agree
from tests.support.api_lab import WAIT_SECONDS, lab, network_of

ROTATIONS = 2
PAUSE_SECONDS = 0.1


async def _talk(peer: Peer, room: Room, said: list[str], enough: asyncio.Event) -> None:
    while not enough.is_set():
        text = f"{peer.identity.name} {len(said)}"
        said.append(text)
        await room.send(text)
        await peer.wait_until(enough.is_set, PAUSE_SECONDS)


async def _listen(room: Room, heard: Counter[str]) -> None:
    async for message in room.messages():
        heard[message.text] += 1


def _warm(peer: Peer, room: Room, starts: dict[int, float], attached: dict[int, float]) -> None:
    """Note when each epoch's committee served this peer, and when the epoch began by its clock."""
    for tag in peer.machine.tags.of_room(room.room_id):
        if tag.keys.generation and len(tag.attached) >= 2:
            attached.setdefault(tag.keys.start, peer.wall())
            starts[tag.keys.start] = tag.keys.start


@pytest.mark.slow
async def test_c3_two_rotations_lose_and_double_nothing_and_the_next_committee_is_there_before(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=5, network=network_of(epoch_seconds=10, overlap_seconds=2)) as net:
        names = ("anna", "bert", "cara")
        members = await members_of(net, *names)
        await relays_agree(net, members[0])
        rooms = await net.room_of(*members)
        enough = asyncio.Event()
        said: dict[str, list[str]] = {name: [] for name in names}
        heard: dict[str, Counter[str]] = {name: Counter() for name in names}
        starts: dict[int, float] = {}
        attached: list[dict[int, float]] = [{} for _ in members]
        first = members[0].status().rooms[0].epoch_start

        def rotated() -> bool:
            for peer, room, times in zip(members, rooms, attached, strict=True):
                _warm(peer, room, starts, times)
            return all(peer.status().rooms[0].epoch_start >= first + 10 * ROTATIONS for peer in members)

        async with asyncio.TaskGroup() as group:
            listening = [group.create_task(_listen(r, heard[n])) for n, r in zip(names, rooms, strict=True)]
            talking = [
                group.create_task(_talk(m, r, said[n], enough)) for n, m, r in zip(names, members, rooms, strict=True)
            ]
            assert await members[0].wait_until(rotated, 10 * (ROTATIONS + 1) + WAIT_SECONDS)
            enough.set()
            await asyncio.gather(*talking)
            expected = {n: Counter(text for other in names if other != n for text in said[other]) for n in names}
            assert await members[0].wait_until(
                lambda: all(sum(heard[n].values()) >= sum(expected[n].values()) for n in names), WAIT_SECONDS
            )
            for task in listening:
                task.cancel()
        assert heard == expected
        assert min(map(len, said.values())) > 20
        # Each of the two committees that began meanwhile served everyone before its epoch did.
        for times in attached:
            for start in (first + 10 * number for number in range(1, ROTATIONS + 1)):
                assert times[start] < start, f"attached {times[start] - start:.1f} s after the epoch's start"
