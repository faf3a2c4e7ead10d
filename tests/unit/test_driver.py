"""The driver alone, with a machine that says what to do and links that write down what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from railgun.core.effects import Effect, Persist, SendFrame, SendPulse, SetTimer
from railgun.core.events import (
    DialFailed,
    Event,
    FrameMalformed,
    FrameReceived,
    PeerDisconnected,
    SendBlocked,
    TimerFired,
    ended_idle,
)
from railgun.errors import ClosedByPeer, ClosedLocally, LinkError, LinkLost, RefusalCode, StoreError
from railgun.limits import PEER_EVENT_BYTES_QUEUE_MAX, PEER_EVENTS_QUEUE_MAX, PEER_EVENTS_SURE
from railgun.ports import Links, Write
from railgun.runtime.driver import Driver
from railgun.runtime.inboxes import EVENTS_PER_VISIT
from railgun.runtime.system import SystemClock
from railgun.types import PeerKey, RelayContact, Tag
from railgun.wire.frames import FRAMES, PULSES, Pulse, Unsubscribe

PEER = PeerKey(b"p" * 32)
FRAME = Unsubscribe(Tag(b"t" * 32))


class Scripted:
    """A machine that keeps its events and answers with what it was given for their type."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.answers: dict[type, list[Effect]] = {}
        self.changed = asyncio.Event()

    @property
    def turn_due(self) -> bool:
        return False

    def handle(self, event: Event, now: float) -> list[Effect]:
        self.events.append(event)
        self.changed.set()
        return self.answers.pop(type(event), [])

    async def saw(self, kind: type) -> Event:
        async with asyncio.timeout(5):
            while not (found := [event for event in self.events if isinstance(event, kind)]):
                self.changed.clear()
                await self.changed.wait()
        return found[-1]


class Diary:
    """Links and store in one: what was asked of both, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.pulses: list[bytes] = []
        self.accepts = True
        self.fails = False

    def commit(self, writes: Sequence[Write], *, survives_power_loss: bool = True) -> None:
        if self.fails:
            raise StoreError("the disk is full: make room")
        self.lines.append(f"commit {len(writes)} {survives_power_loss}")

    def get(self, table: str, key: bytes) -> bytes | None:
        return None

    def load(self, table: str, prefix: bytes = b"") -> list[tuple[bytes, bytes]]:
        return []

    def keys(self, table: str, prefix: bytes = b"") -> list[bytes]:
        return []

    def count(self, table: str) -> int:
        return 0

    def close(self) -> None:
        """Nothing to release."""

    def dial(self, contact: RelayContact) -> None:
        self.lines.append("dial")

    def send_frame(self, peer: PeerKey, frame: bytes) -> bool:
        self.lines.append("send")
        return self.accepts

    def send_pulse(self, peer: PeerKey, pulse: bytes) -> bool:
        self.pulses.append(pulse)
        return True

    def close_link(self, peer: PeerKey, code: int, retry_after_ms: int | None = None) -> None:
        self.lines.append("close")

    def peers(self) -> Sequence[PeerKey]:
        return ()

    async def aclose(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def running(machine: Scripted, diary: Diary) -> AsyncIterator[Driver]:
    driver = Driver(clock=SystemClock(), store=diary, notify=lambda _: None)
    links: Links = diary
    task = asyncio.create_task(driver.run(machine, links))
    try:
        yield driver
    finally:
        driver.stop()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()


@pytest.mark.parametrize(
    ("error", "reason", "idle"),
    [
        (ClosedByPeer(RefusalCode.IDLE), "ClosedByPeer: idle", True),
        (ClosedLocally("bye"), "ClosedLocally", True),
        (ClosedByPeer(RefusalCode.BUSY, 5_000), "ClosedByPeer: busy", False),
        (LinkLost("silence"), "LinkLost", False),
    ],
)
async def test_the_machine_is_told_why_a_link_ended(error: LinkError, reason: str, idle: bool) -> None:
    machine = Scripted()
    async with running(machine, Diary()) as driver:
        driver.link_down(PEER, error)
        event = await machine.saw(PeerDisconnected)
        driver.dial_failed(PEER, error)
        failed = await machine.saw(DialFailed)
    assert isinstance(event, PeerDisconnected)
    assert isinstance(failed, DialFailed)
    assert event.reason == failed.reason == reason
    assert ended_idle(event.reason) is idle
    assert event.retry_after_seconds == (5.0 if "busy" in reason else None)


class Beside:
    """A side that writes down what it is told."""

    kinds: frozenset[type] = frozenset({Unsubscribe})

    def __init__(self) -> None:
        self.told: list[str] = []

    def frame_received(self, peer: PeerKey, frame: object) -> None:
        self.told.append("frame")

    def peer_gone(self, peer: PeerKey) -> None:
        self.told.append("gone")


async def test_a_side_hears_of_a_links_end_after_the_links_frames() -> None:
    """It would keep for good what a frame begins for a peer that has gone already: anybody could fill it so."""
    machine, side = Scripted(), Beside()
    async with running(machine, Diary()) as driver:
        driver.attach(side)
        for _ in range(2):
            for _ in range(2 * EVENTS_PER_VISIT):
                driver.frame_received(PEER, FRAMES.encode(FRAME))
            driver.link_down(PEER, LinkLost("silence"))
            await machine.saw(PeerDisconnected)
            machine.events.clear()
    assert side.told == 2 * (["frame"] * 2 * EVENTS_PER_VISIT + ["gone"])


async def test_one_pulse_to_many_is_one_encoding_and_each_pulse_is_its_own() -> None:
    machine, diary = Scripted(), Diary()
    first, second = Pulse(1, 0, True, ()), Pulse(2, 0, True, ())
    machine.answers[FrameReceived] = [SendPulse(PEER, pulse) for pulse in (first, first, second, first)]
    async with running(machine, diary) as driver:
        driver.frame_received(PEER, FRAMES.encode(FRAME))
        await machine.saw(FrameReceived)
        await asyncio.sleep(0)
    assert [PULSES.decode(sent) for sent in diary.pulses] == [first, first, second, first]
    assert diary.pulses[0] is diary.pulses[1]


async def test_what_is_kept_is_committed_before_anything_leaves() -> None:
    machine, diary = Scripted(), Diary()
    write = Write("settings", b"k", b"v")
    machine.answers[FrameReceived] = [
        SendFrame((PEER,), FRAME),
        Persist((write,), survives_power_loss=False),
        Persist((write, write)),
    ]
    async with running(machine, diary) as driver:
        driver.frame_received(PEER, FRAMES.encode(FRAME))
        await machine.saw(FrameReceived)
    assert diary.lines == ["commit 3 True", "send"]


async def test_a_store_that_fails_ends_the_node_and_nothing_leaves() -> None:
    machine, diary = Scripted(), Diary()
    diary.fails = True
    machine.answers[FrameReceived] = [SendFrame((PEER,), FRAME), Persist((Write("settings", b"k", b"v"),))]
    driver = Driver(clock=SystemClock(), store=diary, notify=lambda _: None)
    driver.frame_received(PEER, FRAMES.encode(FRAME))
    with pytest.raises(StoreError, match="make room"):
        await driver.run(machine, diary)
    assert diary.lines == []


async def test_a_refused_frame_comes_back_as_an_event() -> None:
    machine, diary = Scripted(), Diary()
    diary.accepts = False
    machine.answers[FrameMalformed] = [SendFrame((PEER,), FRAME)]
    async with running(machine, diary) as driver:
        driver.frame_received(PEER, b"\xff")
        await machine.saw(FrameMalformed)
        blocked = await machine.saw(SendBlocked)
    assert blocked == SendBlocked(PEER, FRAME)


async def test_timers_carry_their_generation() -> None:
    machine = Scripted()
    async with running(machine, Diary()) as driver:
        machine.answers[FrameMalformed] = [SetTimer(7, SystemClock().monotonic())]
        driver.frame_received(PEER, b"\xff")
        fired = await machine.saw(TimerFired)
    assert fired == TimerFired(7)


async def test_a_flooding_peer_loses_its_own_frames_and_delays_nobody_else_s() -> None:
    """Posted before the driver runs, so that everything waits at once; the honest peer comes last."""
    machine, diary = Scripted(), Diary()
    driver = Driver(clock=SystemClock(), store=None, notify=lambda _: None)
    honest = PeerKey(b"h" * 32)
    encoded = FRAMES.encode(FRAME)
    for _ in range(PEER_EVENTS_QUEUE_MAX * 2):
        driver.frame_received(PEER, encoded)
    flood_dropped = driver.events_dropped
    for _ in range(PEER_EVENTS_SURE):
        driver.frame_received(honest, encoded)
    assert flood_dropped >= PEER_EVENTS_QUEUE_MAX
    assert driver.events_dropped == flood_dropped
    links: Links = diary
    task = asyncio.create_task(driver.run(machine, links))
    async with asyncio.timeout(10):
        while (
            sum(event.peer == honest for event in machine.events if isinstance(event, FrameReceived)) < PEER_EVENTS_SURE
        ):
            machine.changed.clear()
            await machine.changed.wait()
    seen = [event.peer for event in machine.events if isinstance(event, FrameReceived)]
    driver.stop()
    await asyncio.wait([task])
    # Served in turn: the flood got no more than as many again, and a visit's worth, before the honest peer was done.
    last = max(index for index, peer in enumerate(seen) if peer == honest)
    assert seen[: last + 1].count(PEER) <= PEER_EVENTS_SURE + EVENTS_PER_VISIT


async def test_large_frames_are_bounded_by_their_bytes() -> None:
    driver = Driver(clock=SystemClock(), store=None, notify=lambda _: None)
    size = 65_000
    for _ in range(PEER_EVENTS_QUEUE_MAX // 2):
        driver.frame_received(PEER, bytes(size))
    taken = PEER_EVENTS_QUEUE_MAX // 2 - driver.events_dropped
    assert taken * size <= PEER_EVENT_BYTES_QUEUE_MAX / 2 + size
    before = driver.events_dropped
    driver.frame_received(PeerKey(b"h" * 32), bytes(size))
    assert driver.events_dropped == before


async def test_what_is_found_out_of_a_link_keeps_its_place_among_the_peer_s_frames() -> None:
    machine = Scripted()
    async with running(machine, Diary()) as driver:
        for _ in range(20):
            driver.frame_received(PEER, FRAMES.encode(FRAME))
        driver.link_down(PEER, LinkLost("silence"))
        await machine.saw(PeerDisconnected)
    kinds = [type(event) for event in machine.events if isinstance(event, (FrameReceived, PeerDisconnected))]
    assert kinds == [FrameReceived] * 20 + [PeerDisconnected]
