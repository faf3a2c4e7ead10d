"""Links on real sockets: dialling, both proofs, frames, pulses, and the ends of links."""

from __future__ import annotations

import random

import pytest

from tests.support.links_lab import client, relay


async def test_dial_proves_both_ends_and_measures_the_clock() -> None:
    async with relay(skew_seconds=40.0) as server, client() as dialler:
        up = await dialler.up_with(server)
        theirs = server.seen.ups[0]
        assert up.peer == server.links.local_contact().node_key
        assert (up.is_relay, up.inbound) == (True, False)
        assert (theirs.is_relay, theirs.inbound) == (False, True)
        assert theirs.peer == up.local_key
        assert theirs.local_key == up.peer
        assert up.clock_offset_seconds == pytest.approx(40.0, abs=0.5)
        assert theirs.clock_offset_seconds == pytest.approx(-40.0, abs=0.5)
        assert 0 < up.round_trip_seconds < 1
        assert dialler.links.peers() == (up.peer,)


@pytest.mark.parametrize("to_listener", [True, False])
async def test_frames_of_every_size_arrive_whole(to_listener: bool) -> None:
    lengths = [1, 255, 256, 1_159, 1_160, 1_161, 4_096, 16_381, 16_382, 32_000, 65_536, 65_800, 70_000]
    frames = [random.Random(length).randbytes(length) for length in lengths]
    async with relay() as server, client() as dialler:
        up = await dialler.up_with(server)
        if to_listener:
            sender, receiver, peer = dialler, server, up.peer
        else:
            sender, receiver, peer = server, dialler, up.local_key
        for frame in frames:
            assert sender.links.send_frame(peer, frame)
        await receiver.seen.until(lambda: len(receiver.seen.frames) == len(frames))
        assert sorted(receiver.seen.frames) == sorted(frames)


async def test_pulses_travel_both_ways() -> None:
    async with relay() as server, client() as dialler:
        up = await dialler.up_with(server)
        assert dialler.links.send_pulse(up.peer, b"ping")
        await server.seen.until(lambda: server.seen.pulses == [b"ping"])
        assert server.links.send_pulse(up.local_key, bytes(1_100))
        await dialler.seen.until(lambda: dialler.seen.pulses == [bytes(1_100)])
