"""What happened: the frozen events that machines handle. Past tense.

Owns: the vocabulary between the shell and the machines, inward. Must not know: who raises an event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from railgun.types import PeerKey
from railgun.wire.frames import Frame, Pulse
from railgun.wire.quick import quick_value


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A link is up and both ends have proved their keys.

    ``local_key`` is the key that this end proved. ``clock_offset_seconds``: the remote's wall time less ours.
    ``prefix``: the network prefix that an inbound link comes from, empty where it is not known."""

    peer: PeerKey
    local_key: PeerKey
    is_relay: bool
    inbound: bool
    clock_offset_seconds: float
    round_trip_seconds: float
    prefix: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """A link is gone. ``retry_after_seconds`` is the remote's wish, if it gave one."""

    peer: PeerKey
    reason: str
    retry_after_seconds: float | None = None


def ended_idle(reason: str) -> bool:
    """Whether a link ended because nobody used it, at this end or the other: that is nobody's failure.

    A machine that closes a link itself has forgotten the peer before the shell tells it so; what it is told of as
    closed here is therefore the shell's doing.
    """
    return reason == "ClosedLocally" or reason.endswith(": idle")


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A link that we asked for did not come up."""

    peer: PeerKey
    reason: str
    retry_after_seconds: float | None = None


@quick_value
class FrameReceived:
    """A frame that decoded; nothing of it is checked yet."""

    peer: PeerKey
    frame: Frame


@dataclass(frozen=True, slots=True)
class FrameMalformed:
    """Bytes that did not decode. Never raised inward as an exception: it is a penalty."""

    peer: PeerKey
    detail: str


@quick_value
class PulseReceived:
    """A pulse that decoded."""

    peer: PeerKey
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class PeerWritable:
    """A link whose send budget had been full has room again."""

    peer: PeerKey


@dataclass(frozen=True, slots=True)
class SendBlocked:
    """A frame was not sent: no link, or its budget was full. Everything that matters heals by numbering,
    exchange and republishing; the event feeds counters and back-pressure."""

    peer: PeerKey
    frame: Frame


@quick_value
class TimerFired:
    """The node's timer. A stale ``generation`` is ignored."""

    generation: int


@dataclass(frozen=True, slots=True)
class ClockRead:
    """The machine's wall clock less its monotonic clock, in seconds; at start and after every jump."""

    wall_minus_monotonic_seconds: float


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """No event is waiting: send what was gathered (receipts, digests, exchanges)."""


Event: TypeAlias = (
    PeerConnected
    | PeerDisconnected
    | DialFailed
    | FrameReceived
    | FrameMalformed
    | PulseReceived
    | PeerWritable
    | SendBlocked
    | TimerFired
    | ClockRead
    | TurnEnded
)
