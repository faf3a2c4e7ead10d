"""What is due when: many deadlines behind a node's single timer.

Owns: named deadlines and the generation number of the timer that stands for the earliest.
Must not know: what a name means.

A deadline may have slack: it is met with whatever else is due from its time on, and wakes the node by itself only when
the slack is used up. A node that pulses each second wakes no more often for what can wait a second.

One deadline, BEAT, is set anew several times a second and mostly put off before it is due: it stands beside the heap.
"""

from __future__ import annotations

import heapq
import math
from typing import Any, Final, TypeAlias

from railgun.core.effects import Effects, SetTimer

DeadlineName: TypeAlias = tuple[Any, ...]
"""A word and what it concerns: ``("pulse", peer)``."""
BEAT: Final[DeadlineName] = ("beat",)
"""The name under which `Agenda.beat_at` is due; it is set by `Agenda.set_beat` alone."""


class Agenda:
    """Deadlines by name; setting a name again replaces its deadline."""

    def __init__(self) -> None:
        self._deadlines: dict[DeadlineName, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, DeadlineName]] = []
        """By when the node is to be woken at the latest."""
        self._soft: list[tuple[float, int, DeadlineName]] = []
        """Those with slack, by when they may be met first."""
        self.beat_at = math.inf
        """When BEAT is due; infinite while it is not set."""
        self._sequence = 0
        self._generation = 0
        self._armed_at = math.inf
        """When the timer that was asked for goes off; infinite while none was."""
        self._is_armed_in_vain = False
        """Whether that was for a beat that has been put off since."""
        self.to_arm = False
        """Whether `arm` would do anything."""

    def __len__(self) -> int:
        return len(self._deadlines) + (self.beat_at < math.inf)

    def set(self, name: DeadlineName, at: float, slack_seconds: float = 0.0) -> None:
        """Name a deadline at monotonic second ``at``, or up to ``slack_seconds`` later with what else is due then."""
        self._sequence = sequence = self._sequence + 1
        self._deadlines[name] = (at, sequence)
        if slack_seconds:
            heapq.heappush(self._soft, (at, sequence, name))
            at += slack_seconds
        heapq.heappush(self._heap, (at, sequence, name))
        if at < self._armed_at:
            self.to_arm = True

    def set_earlier(self, name: DeadlineName, at: float, slack_seconds: float = 0.0) -> None:
        """As `set`, unless the name is already due at or before ``at``."""
        standing = self._deadlines.get(name)
        if standing is None or standing[0] > at:
            self.set(name, at, slack_seconds)

    def set_beat(self, at: float) -> None:
        """Have BEAT due at monotonic second ``at``, infinite for never. A timer that was armed for one that is put off
        is armed anew, so that the node sleeps on."""
        if at < self._armed_at:
            self.to_arm = True
        elif self.beat_at == self._armed_at < at:
            self._is_armed_in_vain = self.to_arm = True
        self.beat_at = at

    def cancel(self, name: DeadlineName) -> None:
        """Forget a deadline; harmless when there is none."""
        self._deadlines.pop(name, None)

    def is_set(self, name: DeadlineName) -> bool:
        return name in self._deadlines

    def take_due(self, now: float) -> list[DeadlineName]:
        """Remove and return the names due at ``now``: BEAT, then the others, earliest first; after them those whose
        slack has begun."""
        due: list[DeadlineName] = []
        if self.beat_at <= now:
            self.beat_at = math.inf
            due.append(BEAT)
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
        if generation != self._generation:
            return []
        self.fired()
        return self.take_due(now)

    def fired(self) -> None:
        """The armed timer went off; `arm` will ask for the next."""
        self._armed_at = math.inf
        self.to_arm = True

    def arm(self, out: Effects) -> None:
        """Ask for a timer at the earliest deadline, unless the standing one already serves."""
        if not self.to_arm:
            return
        self.to_arm = False
        heap, deadlines = self._heap, self._deadlines
        at = self.beat_at
        while heap:
            first_at, sequence, name = heap[0]
            standing = deadlines.get(name)
            if standing is not None and standing[1] == sequence:
                at = min(at, first_at)
                break
            heapq.heappop(heap)
        if at < self._armed_at or (self._is_armed_in_vain and self._armed_at < at < math.inf):
            self._is_armed_in_vain = False
            self._generation += 1
            self._armed_at = at
            out.append(SetTimer(self._generation, at))
