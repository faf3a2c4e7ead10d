"""Members whose clocks are wrong, on real links: harmless up to half the overlap, corrected and said beyond."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from railgun import Room
from railgun.runtime.system import SystemClock
from tests.support.api_lab import WAIT_SECONDS, lab, network_of, texts_of, whole_history

EPOCH_SECONDS, OVERLAP_SECONDS = 10, 2
SAID = "this machine's clock is off"


@pytest.mark.slow
async def test_skew_up_to_half_the_overlap_is_harmless_uncorrected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two relays are too few to correct a clock by: the windows alone carry two boundaries, with the extremes."""
    network = network_of(EPOCH_SECONDS, OVERLAP_SECONDS)
    half = 0.95 * OVERLAP_SECONDS / 2
    async with lab(tmp_path, relays=2, network=network) as net:
        anna = await net.connect("anna", SystemClock(half))
        bert = await net.connect("bert", SystemClock(-half))
        cara = await net.connect("cara")
        peers = (anna, bert, cara)
        rooms = await net.room_of(*peers)
        before = [peer.status().rooms[0].epochs_seen for peer in peers]
        over = asyncio.create_task(
            cara.wait_until(
                lambda: all(
                    peer.status().rooms[0].epochs_seen >= seen + 2 for peer, seen in zip(peers, before, strict=True)
                ),
                3 * EPOCH_SECONDS + WAIT_SECONDS,
            )
        )

        async def talk(room: Room, name: str) -> list[str]:
            said: list[str] = []
            while not over.done() or len(said) < 20:
                said.append(f"{name} {len(said)}")
                await room.send(said[-1])
                await asyncio.wait([over], timeout=0.1)
            return said

        said = await asyncio.gather(*(talk(room, name) for room, name in zip(rooms, "abc", strict=True)))
        assert await over
        for index, room in enumerate(rooms):
            expected = [text for other, texts in enumerate(said) if other != index for text in texts]
            assert sorted(await texts_of(room, len(expected))) == sorted(expected)
            assert [message.text for message in whole_history(room) if message.is_own] == said[index]
        assert all(peer.status().clock_correction_seconds == 0 for peer in peers)
        assert SAID not in caplog.text


@pytest.mark.parametrize("skew_seconds", [-200.0, -25.0, 25.0, 200.0])
async def test_skew_beyond_is_corrected_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, skew_seconds: float
) -> None:
    async with lab(tmp_path, relays=3, network=network_of(EPOCH_SECONDS, OVERLAP_SECONDS)) as net:
        anna = await net.connect("anna")
        bert = await net.connect("bert", SystemClock(skew_seconds))
        assert await bert.wait_until(lambda: bert.status().clock_correction_seconds != 0, WAIT_SECONDS)
        assert bert.status().clock_correction_seconds == pytest.approx(-skew_seconds, abs=0.5)
        assert SAID in caplog.text
        assert abs(anna.status().clock_correction_seconds) < 0.5
        here, there = await net.room_of(anna, bert)
        ends = [peer.status().rooms[0].epoch_ends_in_seconds for peer in (anna, bert)]
        assert (ends[0] - ends[1] + EPOCH_SECONDS / 2) % EPOCH_SECONDS == pytest.approx(EPOCH_SECONDS / 2, abs=1.0)
        await here.send("to whose clock is wrong")
        await there.send("from whose clock is wrong")
        assert await texts_of(there, 1) == ["to whose clock is wrong"]
        assert await texts_of(here, 1) == ["from whose clock is wrong"]


async def test_a_clock_that_is_set_while_running_is_followed(tmp_path: Path) -> None:
    """Somebody sets the machine's clock wrong, then right again: the corrected time does not move."""
    async with lab(tmp_path, relays=3) as net:
        clock = MovableClock()
        anna = await net.connect("anna", clock)
        assert await anna.wait_until(lambda: anna.machine.clock.measured_offset_seconds is not None, WAIT_SECONDS)
        for offset in (90.0, -90.0, 0.0):
            clock.offset_seconds = offset
            assert await anna.wait_until(
                lambda: abs(anna.status().clock_correction_seconds + clock.offset_seconds) < 0.5, WAIT_SECONDS
            )
            assert abs(anna.wall() - SystemClock().wall()) < 0.5


class MovableClock(SystemClock):
    offset_seconds = 0.0

    def wall(self) -> float:
        return super().wall() + self.offset_seconds
