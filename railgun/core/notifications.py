"""What the application is told.

Owns: the notifications of the network's half. The rooms' own are in `railgun.core.room_notifications`.
Must not know: who listens.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.types import NodeKey, RoomId, Tag


@dataclass(frozen=True, slots=True)
class ClockCorrected:
    """Our clock is off by ``offset_seconds`` against the median of relays; ``harmful`` when it is beyond half the
    overlap, so that the correction carries us."""

    offset_seconds: float
    harmful: bool


@dataclass(frozen=True, slots=True)
class CommitteeJoined:
    """A tag is attached: this client holds acknowledged subscriptions at ``seats``."""

    room_id: RoomId
    tag: Tag
    start: int
    seats: tuple[NodeKey, ...]


@dataclass(frozen=True, slots=True)
class EpochOpened:
    """Senders of this room switched to the epoch that starts at ``start``. ``seats`` are its committee, in order."""

    room_id: RoomId
    start: int
    seats: tuple[NodeKey, ...]


@dataclass(frozen=True, slots=True)
class NoCommittee:
    """No relay is known, or none of the committee's can be reached."""

    room_id: RoomId
    start: int
    known_relays: int


@dataclass(frozen=True, slots=True)
class NotSent:
    """As many of this room's requests as may be are waiting already; this one was dropped."""

    room_id: RoomId
    reference: bytes | None
