"""Who said what to whom, and what became of it: the account that a swarm's run is judged by.

Owns: messages, their readers, acknowledgements and deliveries by number. Must not know: machines, how messages travel.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from railgun.sim.swarm.plan import OUTAGE_SECONDS_MAX, RECOVERY_SECONDS

UNDER_WAY_SECONDS: Final = OUTAGE_SECONDS_MAX + RECOVERY_SECONDS
"""By then a message is with a reader that is up: no outage cuts it off for longer than the first, and within the second
it is attached again and has what seats and members bring. Who learns of a removal first refuses what comes after it."""


@dataclass(slots=True)
class Entry:
    """One message. ``view`` are the nodes that its sender meant; ``barred`` those that it knew to be put out."""

    number: int
    sender: str
    room: str
    sent_at: float
    view: frozenset[str]
    barred: frozenset[str]
    message_id: bytes | None = None
    died_with_sender: bool = False
    """Its sender died before it can have been on disk."""
    acknowledged_at: float | None = None
    delivered: dict[str, list[float]] = field(default_factory=dict)


class SwarmLedger:
    """Filled while a run goes on, judged when it is over."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.latencies_seconds: list[float] = []
        self._off: dict[str, list[tuple[float, float]]] = {}
        """When each member was down or stood still."""
        self.put_out: dict[str, float] = {}
        """Members that were removed from their rooms, and when."""
        self._by_id: dict[bytes, Entry] = {}
        self.refused: dict[int, str] = {}
        """Who was not allowed to say each of these numbers."""

    def said(
        self, number: int, sender: str, room: str, now: float, view: Collection[str], barred: Collection[str]
    ) -> None:
        """A message was handed to its sender's machine."""
        self.entries[number] = Entry(number, sender, room, now, frozenset(view) - {sender}, frozenset(barred))

    def died(self, sender: str, since: float) -> None:
        """A member began another life; the last one did nothing after ``since``. What was not yet stored is gone."""
        for entry in self.entries.values():
            if entry.sender == sender and (entry.message_id is None or entry.sent_at >= since):
                entry.died_with_sender = True

    def unsaid(self, planned: Collection[int]) -> list[int]:
        """Which of the ``planned`` numbers were neither said nor refused to somebody who had been put out."""
        return [
            number for number in planned if number not in self.entries and self.refused.get(number) not in self.put_out
        ]

    def prepared(self, number: int, message_id: bytes) -> None:
        """It has its id."""
        entry = self.entries[number]
        entry.message_id = message_id
        self._by_id[message_id] = entry

    def acknowledged(self, message_id: bytes, now: float) -> int | None:
        """Its sender's application was told that a majority holds it. Returns its number, if it is a message."""
        entry = self._by_id.get(message_id)
        if entry is None:
            return None
        if entry.acknowledged_at is None:
            entry.acknowledged_at = now
        return entry.number

    def delivered(self, number: int, reader: str, now: float) -> None:
        """A reader's application got it."""
        entry = self.entries[number]
        times = entry.delivered.setdefault(reader, [])
        if not times:
            self.latencies_seconds.append(now - entry.sent_at - self._off_seconds(reader, entry.sent_at, now))
        times.append(now)

    def was_off(self, name: str, since: float, until: float) -> None:
        """A member was down or stood still: no message could be there sooner than it."""
        self._off.setdefault(name, []).append((since, until))

    def _off_seconds(self, name: str, first: float, last: float) -> float:
        """Of the time from ``first`` to ``last``; nothing counts twice."""
        total = 0.0
        for since, until in sorted(self._off.get(name, ())):
            begin, end = max(first, since), min(last, until)
            if begin < end:
                total += end - begin
                first = end
        return total

    def has_read(self, number: int, reader: str) -> bool:
        return reader in self.entries[number].delivered

    def owed(self, entry: Entry) -> list[str]:
        """Who must get it: all that its sender meant, but for what a removal of either may have overtaken."""
        return [reader for reader in sorted(entry.view) if not self._is_overtaken(entry, reader)]

    def _is_overtaken(self, entry: Entry, reader: str) -> bool:
        """Whether one of the two was put out before the message, or while it may still have been under way: time in
        which either was off does not count."""
        ends = [self.put_out[name] for name in (entry.sender, reader) if name in self.put_out]
        if not ends:
            return False
        until = min(ends)
        up = (
            until
            - entry.sent_at
            - sum(self._off_seconds(name, entry.sent_at, until) for name in (entry.sender, reader))
        )
        return up < UNDER_WAY_SECONDS

    def missing(self, kept: Collection[int]) -> list[tuple[Entry, str]]:
        """Readers still waiting for what was said, but for what died with its sender: never acknowledged, and not
        among what is ``kept`` on disk."""
        return [
            (entry, reader)
            for entry in self.entries.values()
            if not entry.died_with_sender or entry.acknowledged_at is not None or entry.number in kept
            for reader in self.owed(entry)
            if reader not in entry.delivered
        ]
