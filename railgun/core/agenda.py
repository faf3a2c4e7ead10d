"""What is due when: many deadlines behind a node's single timer.

Owns: named deadlines and the generation number of the timer that stands for the earliest.
Must not know: what a name means.

A deadline may have slack: it is met with whatever else is due from its time on, and wakes the node by itself only when
the slack is used up. A node that pulses each second wakes no more often for what can wait a second.
"""

from __future__ import annotations

import heapq
from typing import Any, TypeAlias

from railgun.core.effects import Effects, SetTimer

DeadlineName: TypeAlias = tuple[Any, ...]
"""A word and what it concerns: ``("pulse", peer)``."""


class Agenda:
    """Deadlines by name; setting a name again replaces its deadline."""

    def __init__(self) -> None:
        self._deadlines: dict[DeadlineName, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, DeadlineName]] = []
        """By when the node is to be woken at the latest."""
        self._soft: list[tuple[float, int, DeadlineName]] = []
        """Those with slack, by when they may be met first."""
        self._sequence = 0
        self._generation = 0
        self._armed_at: float | None = None
        self.to_arm = False
        """Whether `arm` would do anything."""

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, name: DeadlineName, at: float, slack_seconds: float = 0.0) -> None:
        """Name a deadline at monotonic second ``at``, or up to ``slack_seconds`` later with what else is due then."""
        self._sequence += 1
        self._deadlines[name] = (at, self._sequence)
        if slack_seconds:
            heapq.heappush(self._soft, (at, self._sequence, name))
            at += slack_seconds
        heapq.heappush(self._heap, (at, self._sequence, name))
        if self._armed_at is None or at < self._armed_at:
            self.to_arm = True

    def set_earlier(self, name: DeadlineName, at: float, slack_seconds: float = 0.0) -> None:
        """As `set`, unless the name is already due at or before ``at``."""
        standing = self._deadlines.get(name)
        if standing is None or standing[0] > at:
            self.set(name, at, slack_seconds)

    def cancel(self, name: DeadlineName) -> None:
        """Forget a deadline; harmless when there is none."""
        self._deadlines.pop(name, None)

    def is_set(self, name: DeadlineName) -> bool:
        return name in self._deadlines

    def is_current(self, generation: int) -> bool:
        """Whether a fired timer is the one last asked for."""
        return generation == self._generation

    def take_due(self, now: float) -> list[DeadlineName]:
        """Remove and return the names due at ``now``, earliest first; after them those whose slack has begun."""
        due: list[DeadlineName] = []
        deadlines = self._deadlines
        for heap in (self._heap, self._soft):
            while heap and heap[0][0] <= now:
                _, sequence, name = heapq.heappop(heap)
                standing = deadlines.get(name)
                if standing is not None and standing[1] == sequence:
                    del deadlines[name]
                    due.append(name)
        return due

    def take_fired(self, generation: int, now: float) -> list[DeadlineName]:
        """The timer of ``generation`` went off: what is due, as `take_due`; nothing if another was asked for since."""
        if not self.is_current(generation):
            return []
        self.fired()
        return self.take_due(now)

    def fired(self) -> None:
        """The armed timer went off; `arm` will ask for the next."""
        self._armed_at = None
        self.to_arm = True

    def arm(self, out: Effects) -> None:
        """Ask for a timer at the earliest deadline, unless the standing one already serves."""
        if not self.to_arm:
            return
        self.to_arm = False
        heap = self._heap
        while heap:
            standing = self._deadlines.get(heap[0][2])
            if standing is not None and standing[1] == heap[0][1]:
                break
            heapq.heappop(heap)
        if not heap:
            return
        at = heap[0][0]
        if self._armed_at is None or at < self._armed_at:
            self._generation += 1
            self._armed_at = at
            out.append(SetTimer(self._generation, at))
