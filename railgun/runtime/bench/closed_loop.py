"""A load that keeps a relay busy without drowning it: so many messages under way, never more.

Owns: which messages are under way, latencies, counting between two instants. Must not know: how messages travel.

A message is under way from its sending until the last subscriber has it; then the next may leave. Whatever carries
the messages sets the pace, so a slow carrier is measured at its own full speed and not at a rate that another set.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from railgun.runtime.percentiles import percentile


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted: deliveries, over how many seconds, and their latencies in milliseconds."""

    delivered: int
    seconds: float
    p50_ms: float | None
    p95_ms: float | None


@dataclass(slots=True)
class _UnderWay:
    sent_at: float
    missing: set[int]


class ClosedLoop:
    """Bookkeeping of one run. All times are monotonic seconds; a message is named by anything hashable."""

    def __init__(self, *, subscribers: int, window: int, now: Callable[[], float]) -> None:
        self._subscribers = range(subscribers)
        self._window = window
        self._now = now
        self._under_way: dict[Hashable, _UnderWay] = {}
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._measuring_since: float | None = None
        self._latencies = array("d")

    async def room(self) -> int:
        """How many messages may leave now; waits until there is one."""
        await self._has_room.wait()
        return self._window - len(self._under_way)

    def sent(self, message: Hashable) -> None:
        """A message leaves."""
        self._under_way[message] = _UnderWay(self._now(), set(self._subscribers))
        if len(self._under_way) >= self._window:
            self._has_room.clear()

    def delivered(self, subscriber: int, message: Hashable) -> None:
        """A subscriber has it; telling again, or of what was never sent, changes nothing."""
        entry = self._under_way.get(message)
        if entry is None or subscriber not in entry.missing:
            return
        entry.missing.discard(subscriber)
        if self._measuring_since is not None:
            self._latencies.append(self._now() - entry.sent_at)
        if not entry.missing:
            del self._under_way[message]
            self._has_room.set()

    def begin(self) -> None:
        """Count from here on."""
        self._latencies = array("d")
        self._measuring_since = self._now()

    def end(self) -> Measured:
        """What was counted since `begin`. Raises RuntimeError without one."""
        if self._measuring_since is None:
            raise RuntimeError("begin comes first")
        seconds = self._now() - self._measuring_since
        self._measuring_since = None
        ascending = sorted(latency * 1000 for latency in self._latencies)
        return Measured(len(ascending), seconds, percentile(ascending, 50), percentile(ascending, 95))
