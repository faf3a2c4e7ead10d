"""Small machines that exercise the world without any of the protocol."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from railgun.core.effects import Connect, Effect, Notify, Persist, SendFrame, SendPulse, SetTimer
from railgun.core.events import (
    ClockRead,
    DialFailed,
    Event,
    FrameReceived,
    PeerConnected,
    PeerDisconnected,
    PulseReceived,
    TimerFired,
    TurnEnded,
)
from railgun.core.persistence import Write
from railgun.sim.virtual_node import Persisted
from railgun.types import Address, EnvelopeId, NodeKey, PeerKey, RelayContact, Tag
from railgun.wire.frames import Frame, Pulse, SeatPull

TAG = Tag(bytes(32))


def key_of(number: int) -> PeerKey:
    return PeerKey(number.to_bytes(32, "big"))


def contact_of(key: PeerKey) -> RelayContact:
    return RelayContact(NodeKey(key), (Address("192.0.2.1", 9000),), bytes(32))


def frame_of(number: int) -> SeatPull:
    """A frame that carries a number and nothing else of meaning."""
    return SeatPull(TAG, (EnvelopeId(number.to_bytes(16, "big")),))


def number_of(frame: Frame) -> int:
    assert isinstance(frame, SeatPull)
    return int.from_bytes(frame.ids[0], "big")


@dataclass(frozen=True, slots=True)
class Heard:
    """Tells the test that a number arrived."""

    number: int


class Recorder:
    """Keeps all events with their times; does what the test's hooks put in ``replies``."""

    def __init__(self, contacts: Sequence[RelayContact] = (), persisted: Persisted | None = None) -> None:
        self.contacts = contacts
        self.persisted = persisted or {}
        self.seen: list[tuple[float, Event]] = []
        self.turns = 0

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        if isinstance(event, TurnEnded):
            self.turns += 1
            return ()
        self.seen.append((now, event))
        if isinstance(event, ClockRead) and len(self.seen) == 1:
            return [Connect(contact) for contact in self.contacts]
        return ()

    def of(self, kind: type) -> list[tuple[float, Event]]:
        return [(at, event) for at, event in self.seen if isinstance(event, kind)]

    def numbers(self) -> list[int]:
        return [number_of(event.frame) for _, event in self.seen if isinstance(event, FrameReceived)]

    def state_sizes(self) -> dict[str, int]:
        return {"seen": len(self.seen)}


class Pinger:
    """Dials relays, then pings one of them by its own dice every ``interval`` seconds; the relay answers."""

    def __init__(self, seed: int, contacts: Sequence[RelayContact], interval: float) -> None:
        self._random = random.Random(seed)
        self._contacts = contacts
        self._interval = interval
        self._peers: list[PeerKey] = []
        self._generation = 0
        self._sent = 0

    def _arm(self, now: float) -> SetTimer:
        self._generation += 1
        return SetTimer(self._generation, now + self._interval * (0.5 + self._random.random()))

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        if isinstance(event, TimerFired):
            if not self._peers:
                return [self._arm(now)]
            self._sent += 1
            return [
                SendFrame((self._random.choice(self._peers),), frame_of(self._sent)),
                SendPulse(self._peers[0], Pulse(self._sent, 0, True, ())),
                self._arm(now),
            ]
        if isinstance(event, ClockRead):
            return [*(Connect(contact) for contact in self._contacts), self._arm(now)]
        if isinstance(event, PeerConnected):
            self._peers.append(event.peer)
        elif isinstance(event, PeerDisconnected):
            self._peers.remove(event.peer)
            return [Connect(contact) for contact in self._contacts if PeerKey(contact.node_key) == event.peer]
        elif isinstance(event, DialFailed):
            return [Connect(contact) for contact in self._contacts if PeerKey(contact.node_key) == event.peer]
        return ()


class Echo:
    """Answers every frame and pulse, counts what it answered on its disk every hundredth time."""

    def __init__(self, persisted: Persisted) -> None:
        self.answered = int.from_bytes(persisted.get("echo", {}).get(b"answered", b""), "big")

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        if isinstance(event, FrameReceived):
            self.answered += 1
            out: list[Effect] = [SendFrame((event.peer,), event.frame)]
            if self.answered % 100 == 0:
                out.append(Persist((Write("echo", b"answered", self.answered.to_bytes(8, "big")),)))
                out.append(Notify(Heard(self.answered)))
            return out
        if isinstance(event, PulseReceived) and event.pulse.wants_echo:
            return [SendPulse(event.peer, Pulse(1, event.pulse.sequence, False, ()))]
        return ()
