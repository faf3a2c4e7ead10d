"""Links on real sockets: dialling, both proofs, frames, pulses, and the ends of links."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import socket
from pathlib import Path

import pytest
import uvloop

from railgun.crypto.signing import public_key_of
from railgun.errors import ClosedByPeer, ClosedLocally, LinkLost, LocalError, RefusalCode, UsageError
from railgun.links.pool import WebRtcLinks
from railgun.links.settings import LinkIdentity
from railgun.types import Address, NodeKey, PeerKey
from tests.support.links_lab import LAN, NETWORK, Recorder, SystemClock, SystemEntropy, certificate, client, relay


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
        assert (up.prefix, theirs.prefix) == (b"", b"\x7f\x00\x00")  # where an inbound link comes from
        assert dialler.links.peers() == (up.peer,)
        assert (dialler.links.dialled_count, server.links.dialled_count) == (1, 0)  # who dials has a socket for it


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


async def test_frames_of_one_turn_share_messages() -> None:
    async with relay() as server, client() as dialler:
        up = await dialler.up_with(server)
        before = server.links.counters.messages_received
        frames = [bytes([n]) * 256 for n in range(100)]
        for frame in frames:
            assert dialler.links.send_frame(up.peer, frame)
        await server.seen.until(lambda: len(server.seen.frames) == 100)
        assert server.links.counters.messages_received - before == 2
        assert sorted(server.seen.frames) == sorted(frames)


async def test_a_full_budget_refuses_and_says_when_there_is_room() -> None:
    async with relay() as server, client() as dialler:
        up = await dialler.up_with(server)
        sent = 0
        while dialler.links.send_frame(up.peer, bytes(65_536)):
            sent += 1
        assert sent == 16
        assert dialler.links.buffered_bytes(up.peer) <= dialler.links.settings.send_budget_bytes
        assert dialler.links.counters.frames_refused == 1
        await dialler.seen.until(lambda: dialler.seen.writable == [up.peer])
        assert dialler.links.send_frame(up.peer, bytes(65_536))
        await server.seen.until(lambda: len(server.seen.frames) == sent + 1)


async def test_nothing_can_be_sent_without_a_link() -> None:
    async with relay() as server, client() as dialler:
        key = PeerKey(server.links.local_contact().node_key)
        assert not dialler.links.send_frame(key, b"x")
        assert not dialler.links.send_pulse(key, b"x")
        dialler.links.close_link(key, RefusalCode.BUSY)


@pytest.mark.parametrize("frame", [b"", bytes(70_001)])
async def test_impossible_frames_are_the_callers_fault(frame: bytes) -> None:
    async with relay() as server, client() as dialler:
        up = await dialler.up_with(server)
        with pytest.raises(ValueError, match="a frame has"):
            dialler.links.send_frame(up.peer, frame)


async def test_close_tells_the_peer_why_and_loses_nothing_before() -> None:
    async with relay() as server, client() as dialler:
        up = await dialler.up_with(server)
        for n in range(50):
            server.links.send_frame(up.local_key, bytes([n]) * 10_000)
        server.links.close_link(up.local_key, RefusalCode.RATE_LIMITED, 1_500)
        await dialler.seen.until(lambda: bool(dialler.seen.downs))
        peer, error = dialler.seen.downs[0]
        assert peer == up.peer
        assert isinstance(error, ClosedByPeer)
        assert (error.code, error.retry_after_ms) == (RefusalCode.RATE_LIMITED, 1_500)
        assert len(dialler.seen.frames) == 50
        assert [type(error) for _, error in server.seen.downs] == [ClosedLocally]
        assert not dialler.links.peers()


async def test_idle_links_close_and_say_so() -> None:
    settings = dataclasses.replace(LAN, idle_seconds=0.2)
    async with relay(settings=settings) as server, client() as dialler:
        await dialler.up_with(server)
        await dialler.seen.until(lambda: bool(dialler.seen.downs))
        error = dialler.seen.downs[0][1]
        assert isinstance(error, ClosedByPeer)
        assert error.code is RefusalCode.IDLE
        assert server.links.counters.links_idle == 1


@pytest.mark.parametrize("full", [{"links_max": 1}, {"links_per_prefix_max": 1}])
async def test_a_full_relay_refuses_with_a_retry_time(full: dict[str, int]) -> None:
    settings = dataclasses.replace(LAN, busy_retry_ms=2_500, **full)  # type: ignore[arg-type]
    async with relay(settings=settings) as server, client() as first, client() as second:
        await first.up_with(server)
        second.links.dial(server.links.local_contact())
        await second.seen.until(lambda: bool(second.seen.failures))
        error = second.seen.failures[0][1]
        assert isinstance(error, ClosedByPeer)
        assert (error.code, error.retry_after_ms) == (RefusalCode.BUSY, 2_500)
        assert server.links.counters.refused_busy == 1
        assert len(server.links.peers()) == 1


async def test_relays_that_dial_each_other_keep_one_link() -> None:
    for _ in range(10):
        async with relay() as left, relay(certificate_name="other") as right:
            left.links.dial(right.links.local_contact())
            right.links.dial(left.links.local_contact())
            await left.seen.until(lambda: bool(left.seen.ups))
            await right.seen.until(lambda: bool(right.seen.ups))
            smaller, greater = sorted((left, right), key=lambda node: node.links.local_contact().node_key)
            assert not smaller.seen.ups[0].inbound
            assert greater.seen.ups[0].inbound
            smaller.links.send_frame(smaller.seen.ups[0].peer, b"hello")
            await greater.seen.until(lambda: greater.seen.frames == [b"hello"])  # noqa: B023
            greater.links.send_frame(greater.seen.ups[0].peer, b"again")
            await smaller.seen.until(lambda: smaller.seen.frames == [b"again"])  # noqa: B023
            for node in (left, right):
                assert len(node.seen.ups) == 1
                assert not node.seen.downs
                assert not node.seen.failures


async def test_a_key_that_dials_again_replaces_its_link() -> None:
    """The relay that dials again has lost the old link, or it would not dial."""
    seed = os.urandom(32)
    async with relay() as server, relay(seed) as before:
        await before.up_with(server)
        async with relay(seed) as after:
            await after.up_with(server)
            assert [error for _, error in server.seen.downs] != []
            assert server.links.peers() == (after.seen.ups[0].local_key,)
            await before.seen.until(lambda: bool(before.seen.downs))
            error = before.seen.downs[0][1]
            assert isinstance(error, ClosedByPeer)
            assert error.code is RefusalCode.REPLACED
            assert server.links.counters.links_replaced == 1


async def test_dial_is_idempotent() -> None:
    async with relay() as server, client() as dialler:
        contact = server.links.local_contact()
        for _ in range(5):
            dialler.links.dial(contact)
        await dialler.seen.until(lambda: bool(dialler.seen.ups))
        dialler.links.dial(contact)
        assert dialler.links.counters.dials_started == 1


async def test_fifty_at_once() -> None:
    async with relay() as server, contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(client()) for _ in range(50)]
        for node in nodes:
            node.links.dial(server.links.local_contact())
        for node in nodes:
            await node.seen.until(lambda node=node: bool(node.seen.ups))  # type: ignore[misc]
        assert len(server.links.peers()) == 50
        assert server.links.half_open_count == 0


async def test_a_taken_port_is_one_line_that_helps() -> None:
    async with relay() as first:
        port = first.links.local_contact().addresses[0].port
        with pytest.raises(LocalError, match=f"port {port}.*choose another port"):
            async with relay(port=port):
                pass


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_close_leaves_no_task_timer_or_descriptor() -> None:
    before_tasks, before_descriptors = asyncio.all_tasks(), open_descriptors()
    async with relay() as server, client() as dialler, client() as other:
        up = await dialler.up_with(server)
        other.links.dial(dataclasses.replace(server.links.local_contact(), node_key=NodeKey(bytes(32))))
        dialler.links.send_frame(up.peer, bytes(60_000))
    await server.links.aclose()
    assert asyncio.all_tasks() == before_tasks
    assert open_descriptors() == before_descriptors
    assert [type(error) for _, error in server.seen.downs][:1] in ([ClosedLocally], [ClosedByPeer])


async def test_close_leaves_no_timer_either() -> None:
    loop = asyncio.get_running_loop()

    def timers() -> list[asyncio.TimerHandle]:
        return [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]

    before = timers()
    async with relay() as server, client() as dialler, client() as other:
        up = await dialler.up_with(server)
        other.links.dial(server.links.local_contact())
        dialler.links.send_frame(up.peer, bytes(60_000))
        dialler.links.send_pulse(up.peer, b"pulse")
        assert timers() != before
    assert timers() == before


async def test_a_held_back_dial_gets_in_when_the_preferred_one_fails() -> None:
    """The smaller key prefers its own dial; when that cannot succeed, the greater's is not lost."""
    quick = dataclasses.replace(LAN, dial_seconds=0.4)
    seeds = sorted((os.urandom(32), os.urandom(32)), key=public_key_of)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        nowhere = (Address("127.0.0.1", silent.getsockname()[1]),)
        async with relay(seeds[0], settings=quick) as smaller, relay(seeds[1]) as greater:
            smaller.links.dial(dataclasses.replace(greater.links.local_contact(), addresses=nowhere))
            greater.links.dial(smaller.links.local_contact())
            await greater.seen.until(lambda: bool(greater.seen.ups))
            await smaller.seen.until(lambda: bool(smaller.seen.ups))
            assert smaller.seen.ups[0].inbound
            assert not smaller.seen.failures
            greater.links.send_frame(greater.seen.ups[0].peer, b"through")
            await smaller.seen.until(lambda: smaller.seen.frames == [b"through"])


async def test_an_observer_that_raises_loses_that_link_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def raise_it(_peer: PeerKey, _frame: bytes) -> None:
        raise RuntimeError("a bug above")

    async with relay() as server, client() as first, client() as second:
        up = await first.up_with(server)
        await second.up_with(server)
        server.seen.on_frame = raise_it
        first.links.send_frame(up.peer, b"x")
        await server.seen.until(lambda: bool(server.seen.downs))
        assert isinstance(server.seen.downs[0][1], LinkLost)
        assert "a bug above" in caplog.text
        assert len(server.links.peers()) == 1


def test_everything_works_on_uvloop_too() -> None:
    async def scenario() -> None:
        async with relay() as server, client() as dialler:
            up = await dialler.up_with(server)
            frames = [os.urandom(length) for length in (1, 300, 5_000, 70_000)]
            for frame in frames:
                assert dialler.links.send_frame(up.peer, frame)
                assert server.links.send_frame(up.local_key, frame)
            for node in (server, dialler):
                await node.seen.until(lambda node=node: len(node.seen.frames) == 4)  # type: ignore[misc]
                assert sorted(node.seen.frames) == sorted(frames)
            server.links.close_link(up.local_key, RefusalCode.BUSY)
            await dialler.seen.until(lambda: bool(dialler.seen.downs))

    uvloop.run(scenario())


def test_listening_takes_a_relays_identity_and_certificate() -> None:
    for identity, own in (
        (LinkIdentity(None, is_relay=False), certificate()),
        (LinkIdentity(bytes(32), is_relay=True), None),
    ):
        with pytest.raises(UsageError):
            WebRtcLinks(Recorder(), identity, NETWORK, SystemClock(), SystemEntropy(), own, Address("127.0.0.1", 9_000))
