"""What to do: the frozen effects that machines return. Imperative.

Owns: the vocabulary between the machines and the shell, outward. Must not know: how any is done.

The shell commits all `Persist` effects of a turn before it carries out any other of that turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from railgun.core.persistence import Write
from railgun.errors import RefusalCode
from railgun.types import PeerKey, RelayContact
from railgun.wire.frames import Frame, Pulse
from railgun.wire.quick import quick_value


@dataclass(frozen=True, slots=True)
class Connect:
    """Dial a relay; ends in `PeerConnected` or `DialFailed`."""

    contact: RelayContact


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close a link and tell the peer why."""

    peer: PeerKey
    code: RefusalCode
    retry_after_ms: int | None = None


@quick_value
class SendFrame:
    """One frame to one or many peers: encoded once."""

    peers: tuple[PeerKey, ...]
    frame: Frame


@quick_value
class SendPulse:
    """One pulse on the unreliable channel."""

    peer: PeerKey
    pulse: Pulse


@quick_value
class SetTimer:
    """The node's one timer; replaces the one before."""

    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class Persist:
    """Commit these before any other effect of the turn leaves.

    ``survives_power_loss``: something leaves, or is forgotten, that must never be undone (a ratchet that moved on, an
    erased key). Without it a crash of the process still loses nothing; a loss of power may lose the last such commits
    together, as if what they tell of had not arrived yet.
    """

    writes: tuple[Write, ...]
    survives_power_loss: bool = True


@dataclass(frozen=True, slots=True)
class PenalisePeer:
    """A peer did what no honest peer does; ``points`` weigh it."""

    peer: PeerKey
    code: RefusalCode
    detail: str
    points: int


class Notification(Protocol):
    """What the application is told; see `railgun.core.notifications`."""


@quick_value
class Notify:
    """Tell the application."""

    notification: Notification


Effect: TypeAlias = Connect | Disconnect | SendFrame | SendPulse | SetTimer | Persist | PenalisePeer | Notify
Effects: TypeAlias = list[Effect]
