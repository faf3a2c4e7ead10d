"""When a member asks whether its roster is everyone's: after a start, now and then, and when something does not fit.

Owns: the instants. Must not know: how it asks, who answers. Spec: docs/spec/rooms.md, "Catching up".

Who speaks in the room and is neither in the roster nor put out by it was let in by an entry that got lost on its way.
Until that is had, nothing of what it says can be read; an entry whose predecessors got lost does not count either, and
with a new generation in it the room cannot be heard. So both are asked for at once, but seldom: strangers cost nothing.
"""

from __future__ import annotations

from railgun.core.stragglers import Stragglers
from railgun.errors import PeerError, RefusalCode
from railgun.limits import ROSTER_ASK_AGAIN_SECONDS, ROSTER_ASK_DOUBT_SECONDS, ROSTER_ASK_FIRST_SECONDS
from railgun.types import DeviceKey


class UnknownAuthor(PeerError):
    """Signed by a device that the roster does not know of; it may be new."""

    def __init__(self, what: str) -> None:
        super().__init__(RefusalCode.BAD_SIGNATURE, what)


class RosterDoubts:
    """One member's in one room; ``stragglers`` are others that seem to know less. All times are monotonic seconds."""

    def __init__(self, own: DeviceKey) -> None:
        self.stragglers = Stragglers(own)
        self._ask_at: float | None = None
        self._not_before = 0.0
        self._has_asked = False
        self._again_seconds = ROSTER_ASK_AGAIN_SECONDS

    def next_at(self, now: float) -> float:
        """When to ask."""
        if self._ask_at is None:
            self._ask_at = now + ROSTER_ASK_FIRST_SECONDS
        return self._ask_at

    def asked(self, now: float) -> None:
        """It is asked now."""
        if not self._has_asked:
            # A device that has just started may not be attached yet: the first question is easily lost.
            self._has_asked = True
            self._ask_at = self._not_before = now + ROSTER_ASK_DOUBT_SECONDS
            return
        self._ask_at = now + self._again_seconds
        self._again_seconds = min(2 * self._again_seconds, ROSTER_ASK_AGAIN_SECONDS)
        self._not_before = now + ROSTER_ASK_DOUBT_SECONDS

    def once_more(self, now: float) -> None:
        """The answer was of another roster than ours: others may differ from both, and only one answers at a time."""
        self._ask_at = min(self.next_at(now), now + ROSTER_ASK_DOUBT_SECONDS)

    def arose(self, now: float) -> None:
        """Somebody spoke whom the roster does not know, or an entry came before those that it builds on."""
        self._ask_at = min(self.next_at(now), max(now, self._not_before))
        # What lost the entry may lose the question, or the answer.
        self._again_seconds = ROSTER_ASK_DOUBT_SECONDS
