"""What a client asks of a room, and what a room answers.

Owns: the seam between the network's half (tags, seats, links) and the people's half (keys, rosters,
messages). Must not know: either half's inside.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from railgun.core.effects import Notification
from railgun.core.persistence import Write
from railgun.crypto.epoch import EpochKeys
from railgun.types import DeviceKey, EnvelopeKind, RoomId, SizeClass
from railgun.wire.envelope import Inner
from railgun.wire.roster import Cover


class TagPurpose(enum.Enum):
    """What a tag is for."""

    ROOM = "room"
    LOBBY = "lobby"


@dataclass(frozen=True, slots=True)
class TagPlan:
    """A tag that should be open. ``committee_size`` is K, ``gate`` 0 to 100."""

    keys: EpochKeys
    committee_size: int
    gate: int
    purpose: TagPurpose


@dataclass(frozen=True, slots=True)
class CoverPlan:
    """How a room hides when this member speaks. ``devices``: of the roster, which share steady decoys."""

    mode: Cover
    devices: int


@dataclass(frozen=True, slots=True)
class SealRequest:
    """A body to seal and publish. ``keys`` None: under the room's sending epoch. ``reference`` names it in progress
    reports and when it has to be sealed again; None: nobody asks."""

    kind: EnvelopeKind
    hint: bytes
    body: bytes
    size_class: SizeClass
    reference: bytes | None = None
    keys: EpochKeys | None = None


@dataclass(slots=True)
class RoomOutcome:
    """What a room wants done: writes first, then envelopes, then word to the application.

    ``plan_changed``: the tags that should be open may be others now. ``successor`` takes the room's place."""

    writes: list[Write] = field(default_factory=list)
    requests: list[SealRequest] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    plan_changed: bool = False
    successor: Room | None = None

    def add(self, other: RoomOutcome) -> None:
        """Append another outcome, in order."""
        self.writes += other.writes
        self.requests += other.requests
        self.notifications += other.notifications
        self.plan_changed = self.plan_changed or other.plan_changed
        self.successor = other.successor or self.successor


class Room(Protocol):
    """One room, or the joining of one. ``wall`` is corrected Unix seconds, ``now`` monotonic seconds."""

    @property
    def room_id(self) -> RoomId: ...

    def tag_plans(self, start: int, wall: float) -> list[TagPlan]:
        """The tags of the epoch that starts at ``start``; called for every epoch that should be open."""

    def sending_keys(self, wall: float) -> EpochKeys | None:
        """What to seal under now; None while no generation may be sent under (requests then wait with the room)."""

    def cover_plan(self, wall: float) -> CoverPlan | None:
        """The room's cover now; None where this device adds none, and has nothing to send as a member."""

    def envelope_opened(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        """An envelope of one of the room's tags, new to this client, opened under the tag's keys."""

    def served(self, keys: EpochKeys, now: float, wall: float) -> None:
        """A seat takes this client on under one of the room's tags, which had none until now."""

    def receipts_grew(
        self, reference: bytes, receipts: int, of: int, *, majority: bool, complete: bool, now: float
    ) -> RoomOutcome: ...

    def seal_again(self, reference: bytes, wall: float) -> RoomOutcome:
        """What ``reference`` named did not get its receipts in time; ask for it again if it still matters."""

    def due(self, name: str, now: float, wall: float) -> RoomOutcome:
        """A deadline that the room asked for (see `next_deadlines`)."""

    def next_deadlines(self, now: float, wall: float) -> dict[str, float]:
        """Name to monotonic second, asked after every call."""


@runtime_checkable
class HasDevices(Room, Protocol):
    """A room whose members may link directly."""

    def has_device(self, device: DeviceKey, wall: float) -> bool:
        """Whether the device is in the room now."""
