"""How much a subscriber of one tag asks of each seat at a time, and whose word was empty.

Owns: pulls in flight by seat, pauses, ids that a seat named and did not have. Must not know: frames, envelopes, which
seats serve whom. Spec: docs/spec/delivery.md, "Numbers".

A seat may name ids without end. What is asked of it at a time is bounded, so that is what it can make us wait for and
take in; and a seat whose ids never come is believed no more.
"""

from __future__ import annotations

from railgun.limits import BROKEN_WORDS_MAX, PULLS_AT_LAST_PER_SEAT_MAX, PULLS_IN_FLIGHT_PER_SEAT_MAX
from railgun.types import NodeKey


class PullWindows:
    """One tag's. A seat has an entry once it has named something."""

    def __init__(self) -> None:
        self._in_flight: dict[NodeKey, int] = {}
        self._asked_at_last: dict[NodeKey, int] = {}
        self._paused: dict[NodeKey, float] = {}
        self._brought_at: dict[NodeKey, float] = {}
        self._broken: dict[NodeKey, int] = {}
        self._to_tell: dict[NodeKey, None] = {}
        self.is_blocked = False
        """Whether something is due that no window has room for: look again when one opens."""

    def in_flight(self, seat: NodeKey) -> int:
        """Ids asked of it that have neither come nor been denied, and may still."""
        return self._in_flight.get(seat, 0)

    def has_room(self, seat: NodeKey, now: float) -> bool:
        """Whether one more id may be asked of it."""
        return self.in_flight(seat) < PULLS_IN_FLIGHT_PER_SEAT_MAX and now >= self._paused.get(seat, 0.0)

    def asked(self, seat: NodeKey) -> None:
        self._in_flight[seat] = self.in_flight(seat) + 1

    def ask_at_last(self, seat: NodeKey) -> bool:
        """One more id at the tag's end, when each is asked of all who named it at once; False once that is enough."""
        asked = self._asked_at_last[seat] = self._asked_at_last.get(seat, 0) + 1
        return asked <= PULLS_AT_LAST_PER_SEAT_MAX

    def answered(self, seat: NodeKey) -> bool:
        """One less in flight. True when that is a good moment to ask for what waits."""
        left = self._in_flight[seat] = max(0, self.in_flight(seat) - 1)
        return self.is_blocked and left <= PULLS_IN_FLIGHT_PER_SEAT_MAX // 2

    def brought(self, seat: NodeKey, now: float) -> None:
        """Something that it was asked for came from it."""
        self._brought_at[seat] = now

    def brought_since(self, seat: NodeKey, since: float) -> bool:
        """Whether it has brought anything that it was asked for after ``since``: then it is busy with the rest."""
        return self._brought_at.get(seat, since) > since

    def pause(self, seat: NodeKey, until: float) -> None:
        """It has said that it sends no more before ``until``."""
        self._paused[seat] = until

    def broke_word(self, seat: NodeKey) -> None:
        """It named an id, and does not have it, or never sent it."""
        self._broken[seat] = self._broken.get(seat, 0) + 1
        if self._broken[seat] == BROKEN_WORDS_MAX:
            self._to_tell[seat] = None

    def is_believed(self, seat: NodeKey) -> bool:
        """Whether ids that it alone names are worth asking for."""
        return self._broken.get(seat, 0) < BROKEN_WORDS_MAX

    def take_unbelieved(self) -> list[NodeKey]:
        """Seats that have just ceased to be believed, each once."""
        told, self._to_tell = list(self._to_tell), {}
        return told
