"""A node of the virtual world and its ends of links: plain records that the world and its links share.

Owns: their fields. Must not know: what happens when.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from railgun.core.effects import Effect, Notification, PenalisePeer
from railgun.core.events import Event
from railgun.types import PeerKey
from railgun.wire.frames import Frame

Persisted: TypeAlias = dict[str, dict[bytes, bytes]]
"""Table to key to value: what a node's disk holds."""


class Machine(Protocol):
    """What the world drives (design, section 1)."""

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """React to one event at monotonic second ``now``."""


MachineFactory: TypeAlias = Callable[[Persisted], Machine]


class CrashPoint(enum.StrEnum):
    """When exactly a node dies."""

    NOW = "now"
    BEFORE_PERSIST = "before_persist"
    """In its next turn that persists something, before that is committed."""
    AFTER_PERSIST = "after_persist"
    """In its next turn that persists something, once that is committed and before anything else of it leaves."""


class LinksAfterCrash(enum.StrEnum):
    """How the remote ends learn of a crash from their transport."""

    SILENCE = "silence"
    """Not until the transport gives up: a power cut."""
    AT_ONCE = "at_once"
    """After one delay: the operating system closed the sockets."""


class Guard:
    """What a scheduled event depends on; once it is closed the event does not happen."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open = True


class Leg(Guard):
    """One node's end of a link: what it sends leaves by it, and what it is sent depends on its being open."""

    __slots__ = ("blocked", "blocked_since", "delay", "far", "held", "is_partitioned", "near", "reverse", "was_full")

    reverse: Leg

    def __init__(self, near: Node, far: Node, delay: float) -> None:
        super().__init__()
        self.near = near
        self.far = far
        self.delay = delay
        """Seconds, one way."""
        self.is_partitioned = False
        self.blocked = False
        """Nothing that is sent arrives: frames wait, pulses are lost."""
        self.blocked_since = 0.0
        self.held: list[tuple[Frame, int]] = []
        self.was_full = False


class Node:
    """One virtual computer: a machine, its disk, its clock, its links."""

    __slots__ = (
        "backlog", "crash_links", "crash_point", "dials", "factory", "handle", "index", "is_relay",
        "key", "legs", "life", "machine", "name", "notifications", "penalties", "persisted", "service_seconds",
        "timer", "turn", "turn_is_open", "turn_work", "wall_offset_seconds",
    )  # fmt: skip

    def __init__(
        self, index: int, name: str, key: PeerKey, is_relay: bool, factory: MachineFactory, wall_offset_seconds: float
    ) -> None:
        self.index = index
        self.name = name
        self.key = key
        self.is_relay = is_relay
        self.factory = factory
        self.wall_offset_seconds = wall_offset_seconds
        self.persisted: Persisted = {}
        self.notifications: list[tuple[float, Notification]] = []
        self.penalties: list[tuple[float, PenalisePeer]] = []
        self.service_seconds = 0.0
        self.life = Guard()
        self.life.open = False
        self.reset()

    def reset(self) -> None:
        """Forget what only memory held."""
        self.machine: Machine | None = None
        self.handle: Callable[[Event, float], Sequence[Effect]] = _handle_nothing
        self.turn_work: object = ()
        """True while the machine wants `TurnEnded`."""
        self.legs: dict[PeerKey, Leg] = {}
        self.dials: dict[PeerKey, Guard] = {}
        self.timer = Guard()
        self.turn: list[Effect] = []
        self.turn_is_open = False
        self.backlog: deque[tuple[Any, Guard, int, int]] = deque()
        self.crash_point: CrashPoint | None = None
        self.crash_links = LinksAfterCrash.SILENCE

    @property
    def is_up(self) -> bool:
        return self.life.open


def _handle_nothing(event: Event, now: float) -> Sequence[Effect]:
    return ()
