"""What a subscriber has of one tag, and what it lacks.

Owns: ids seen, each seat's numbering, gaps, pulls, what our seats do not name (spec: delivery, digests).
Must not know: how envelopes open, rooms, which seats are primary or secondary and why.

Every seat numbers the tag's envelopes by itself, so a gap in a numbering is a loss on that link. An id that a third
seat names, and none of ours does, shows where there is more to be had; it accuses nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.counters import ClientCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.pull_windows import PullWindows
from railgun.errors import MalformedInput
from railgun.limits import (
    HIDDEN_GRACE_SECONDS,
    PULLS_PER_FRAME_MAX,
    SUSPECTS_MAX,
    TAG_IDS_MAX,
    UNSEEN_PER_SEAT_MAX,
    UNSEEN_PULL_DELAY_SECONDS,
)
from railgun.types import EnvelopeId, NodeKey, PeerKey, Tag
from railgun.wire.frames import Digest, Pull

PULL_RETRY_SECONDS = 1.0
PULL_RETRY_SECONDS_MAX = 30.0
PULL_TRIES_MAX = 8
"""An id that nobody brings in so many tries is no envelope; if it is one after all, it will be named again."""
PULL_DOUBLINGS_MAX = 3
DENIED_TRIES = 2
"""Tries that are left for an id once all who named it have said that they do not hold it."""
HIDDEN_SLACK_SECONDS = 1.0
"""What only an audited seat named is looked at so much later at most, with whatever else is due."""
_EPSILON = 1e-6
UNNAMED = bytes(8)
"""Incarnation of a numbering whose seat has not named it yet."""


@dataclass(slots=True)
class SeatLog:
    """One seat's numbering, as far as this subscriber has seen it.

    All numbers up to ``contiguous`` are known; ``beyond`` holds known ones above it.
    """

    incarnation: bytes
    contiguous: int = 0
    beyond: set[int] = field(default_factory=set)
    last_number: int = 0
    ids: dict[EnvelopeId, int] = field(default_factory=dict)
    """What it has named, with the number: another id under a number known already counts for nothing."""
    is_confirmed: bool = True
    """False while a subscription is under way: what comes may be of another incarnation."""
    has_equivocated: bool = False
    """It gave one number to two envelopes, or one envelope two numbers."""
    unseen: int = 0
    """Ids it was the first to name that we still lack."""
    stalls: int = 0
    """Pulls of missing numbers in a row that brought nothing."""
    stalled_at: int = 0

    def know(self, number: int, envelope_id: EnvelopeId) -> None:
        if number <= self.contiguous or number in self.beyond:
            if self.is_confirmed and self.ids.get(envelope_id) != number:
                self.has_equivocated = True
            return
        if self.is_confirmed and envelope_id in self.ids:
            self.has_equivocated = True
        self.ids[envelope_id] = number
        self.beyond.add(number)
        while self.contiguous + 1 in self.beyond:
            self.contiguous += 1
            self.beyond.discard(self.contiguous)
        self.last_number = max(self.last_number, number)

    def missing(self, most: int) -> list[int]:
        """Up to ``most`` numbers that the seat gave out and we have not seen, lowest first."""
        found = []
        for number in range(self.contiguous + 1, self.last_number + 1):
            if number not in self.beyond:
                found.append(number)
                if len(found) == most:
                    break
        return found


@dataclass(slots=True)
class _Unseen:
    due_at: float
    first_source: NodeKey
    sources: list[NodeKey]
    asks: int = 0
    tries: int = 0
    """Asks that ran out while the seat brought nothing else either: one that is busy sending is not to blame."""
    asked_of: NodeKey | None = None
    """Who is to answer; counts against its window."""
    asked_at: float = 0.0
    silent: dict[NodeKey, None] = field(default_factory=dict)
    """Who let such an ask run out."""
    asked: list[NodeKey] = field(default_factory=list)
    """At the tag's end: who was asked already."""


@dataclass(frozen=True, slots=True)
class _Suspect:
    source: NodeKey
    since: float
    """Whoever has served us since then should have named the id by ``due_at``."""
    due_at: float


class Intake:
    """Tracks one tag. The owner feeds frames in and sends what comes out."""

    def __init__(self, tag: Tag, agenda: Agenda, counters: ClientCounters) -> None:
        self._tag = tag
        self._agenda = agenda
        self._counters = counters
        self.logs: dict[NodeKey, SeatLog] = {}
        self._seen: dict[EnvelopeId, float] = {}
        """When each id's envelope came."""
        self._unseen: dict[EnvelopeId, _Unseen] = {}
        self._windows = PullWindows()
        self._suspects: dict[EnvelopeId, _Suspect] = {}
        self.is_closing = False
        """The tag ends soon: there is no time to ask one seat after the other, of whom all but one may lie."""

    @property
    def seen_count(self) -> int:
        return len(self._seen)

    @property
    def waiting_for(self) -> int:
        """Ids known of and not yet received."""
        return len(self._unseen)

    def position(self, seat: NodeKey) -> tuple[bytes, int]:
        """(incarnation, first number lacking) to subscribe with; 8 zero bytes and 1 for a seat never seen."""
        log = self.logs.get(seat)
        return (UNNAMED, 1) if log is None else (log.incarnation, log.contiguous + 1)

    def expect(self, seat: NodeKey) -> None:
        """A subscription was asked for: its first numbers may overtake the answer."""
        log = self.logs.setdefault(seat, SeatLog(UNNAMED))
        log.is_confirmed = False

    def subscribed(self, seat: NodeKey, incarnation: bytes, last_number: int, now: float) -> None:
        """A seat says where its numbering stands; a seat that restarted numbers afresh."""
        log = self.logs.get(seat)
        if log is not None and log.incarnation == UNNAMED:
            log.incarnation = incarnation
        if log is None or log.incarnation != incarnation:
            log = self.logs[seat] = SeatLog(incarnation, unseen=0 if log is None else log.unseen)
        log.is_confirmed = True
        self._numbered(seat, log, last_number, now)

    def pulse(self, seat: NodeKey, last_number: int, now: float) -> None:
        """A pulse repeats the last number given out."""
        log = self.logs.get(seat)
        if log is not None and not last_number == log.contiguous == log.last_number:  # nearly always nothing is missing
            self._numbered(seat, log, last_number, now)

    def has_seen(self, envelope_id: EnvelopeId) -> bool:
        """Whether it came, or was our own."""
        return envelope_id in self._seen

    def note_own(self, envelope_id: EnvelopeId, now: float) -> None:
        """We published it ourselves."""
        self._see(envelope_id, now)

    def remember(self, ids: Sequence[EnvelopeId], now: float) -> None:
        """These were dealt with before a restart."""
        self._seen.update(dict.fromkeys(ids, now))

    def newest_seen(self, most: int) -> list[EnvelopeId]:
        """The last ``most`` ids that came or were our own, the newest last."""
        return list(self._seen)[-most:]

    def delivered(self, seat: NodeKey, number: int, envelope_id: EnvelopeId, now: float) -> bool:
        """A seat sent envelope ``number``. True when it is new to us.

        Raises:
            MalformedInput: numbers run further than a tag's ids may.
        """
        log = self.logs.get(seat)
        if log is not None:
            self._check_number(number)
            log.know(number, envelope_id)
        if envelope_id in self._seen:
            self._counters.duplicates_dropped += 1
            return False
        unseen = self._unseen.get(envelope_id)
        if unseen is not None and unseen.asked_of == seat:
            self._windows.brought(seat, now)
        self._see(envelope_id, now)
        return True

    def forget(self, envelope_id: EnvelopeId) -> None:
        """What a seat delivered under this id was no good: take it from anyone else who offers it."""
        self._seen.pop(envelope_id, None)

    def digest(self, seat: NodeKey, frame: Digest, now: float, *, own_seats: Iterable[NodeKey] | None) -> None:
        """A seat names ids; what stays unseen for a while is pulled from it.

        ``own_seats``: where the seat was audited, those that serve us: what it names they should have named too. At the
        tag's end it no longer matters who names what.

        Raises:
            MalformedInput: numbers run further than a tag's ids may.
        """
        log = self.logs.get(seat)
        if log is None:
            return
        self._check_number(frame.first_number + len(frame.ids))
        is_audit = own_seats is not None and not self.is_closing
        own = [self.logs[item].ids for item in own_seats or () if item in self.logs] if is_audit else []
        for offset, envelope_id in enumerate(frame.ids):
            if envelope_id not in self._seen and not self._note_unseen(seat, log, envelope_id, now):
                # Not noted as known either: the gap in its numbering brings it back later.
                log.last_number = max(log.last_number, frame.first_number + offset)
                continue
            log.know(frame.first_number + offset, envelope_id)
            if is_audit and not any(envelope_id in ids for ids in own):
                self._suspect(seat, envelope_id, now)
        self._watch_gap(seat, log, now)

    def _suspect(self, source: NodeKey, envelope_id: EnvelopeId, now: float) -> None:
        """A seat that is none of ours named an id: see later whether ours did."""
        if envelope_id not in self._suspects and len(self._suspects) < SUSPECTS_MAX:
            self._suspects[envelope_id] = _Suspect(source, now, now + HIDDEN_GRACE_SECONDS)
            self._agenda.set_earlier(("hidden", self._tag), now + HIDDEN_GRACE_SECONDS, HIDDEN_SLACK_SECONDS)

    def _note_unseen(self, seat: NodeKey, log: SeatLog, envelope_id: EnvelopeId, now: float) -> bool:
        unseen = self._unseen.get(envelope_id)
        if unseen is None:
            if log.unseen >= UNSEEN_PER_SEAT_MAX or not self._windows.is_believed(seat):
                return False
            log.unseen += 1
            unseen = self._unseen[envelope_id] = _Unseen(now + UNSEEN_PULL_DELAY_SECONDS, seat, [])
            self._agenda.set_earlier(("unseen", self._tag), unseen.due_at)
        if seat not in unseen.sources:
            unseen.sources.append(seat)
            if self.is_closing:
                unseen.due_at = now
                self._agenda.set_earlier(("unseen", self._tag), now)
        return True

    def _drop_unseen(self, envelope_id: EnvelopeId, now: float) -> None:
        unseen = self._unseen.pop(envelope_id, None)
        if unseen is None:
            return
        log = self.logs.get(unseen.first_source)
        if log is not None:
            log.unseen = max(0, log.unseen - 1)
        self._no_longer_asked(unseen, now)

    def _no_longer_asked(self, unseen: _Unseen, now: float) -> None:
        seat, unseen.asked_of = unseen.asked_of, None
        if seat is not None and self._windows.answered(seat):
            self._agenda.set_earlier(("unseen", self._tag), now)

    def absent(self, seat: NodeKey, ids: tuple[EnvelopeId, ...], now: float) -> None:
        """A seat does not hold what it was asked for: ask another."""
        log = self.logs.get(seat)
        for envelope_id in ids:
            unseen = self._unseen.get(envelope_id)
            if unseen is None:
                continue
            if unseen.asked_of == seat:
                self._no_longer_asked(unseen, now)
            if seat not in unseen.sources:
                continue
            unseen.sources.remove(seat)
            if log is not None and log.is_confirmed and envelope_id in log.ids:
                self._windows.broke_word(seat)
            if unseen.sources:
                unseen.due_at = min(unseen.due_at, now)
                self._agenda.set_earlier(("unseen", self._tag), now)
            else:
                # Who named it denies it: the others are asked, but not at length.
                unseen.tries = max(unseen.tries, PULL_TRIES_MAX - DENIED_TRIES)

    def limited(self, seat: NodeKey, retry_after_seconds: float, now: float) -> None:
        """A seat sends no more for a while: that is no try, and nobody's fault."""
        until = now + min(retry_after_seconds, PULL_RETRY_SECONDS_MAX)
        self._windows.pause(seat, until)
        for unseen in self._unseen.values():
            if unseen.asked_of == seat:
                self._no_longer_asked(unseen, now)
                unseen.due_at = until
        if self._unseen:
            self._agenda.set_earlier(("unseen", self._tag), until)

    def believes(self, seat: NodeKey) -> bool:
        """Whether what it alone names is asked for."""
        return self._windows.is_believed(seat)

    def take_unbelieved(self, now: float) -> list[NodeKey]:
        """Seats too many of whose ids never came: what they alone name is asked for no more. Each is told once."""
        found = self._windows.take_unbelieved()
        for seat in found:
            for envelope_id, unseen in list(self._unseen.items()):
                if seat in unseen.sources:
                    unseen.sources.remove(seat)
                    if not unseen.sources:
                        self._drop_unseen(envelope_id, now)
        return found

    def pull_unseen(self, linked: list[NodeKey], now: float, out: Effects) -> None:
        """Ask for the ids that nobody has delivered in time, of each seat only as many as its window has room for."""
        by_seat: dict[NodeKey, list[EnvelopeId]] = {}
        self._windows.is_blocked = False
        next_at = now + PULL_RETRY_SECONDS
        due: list[EnvelopeId] = []
        for envelope_id, unseen in self._unseen.items():
            if unseen.due_at <= now + _EPSILON:
                self._ran_out(unseen, now)
                due.append(envelope_id)
            else:
                next_at = min(next_at, unseen.due_at)
        for envelope_id in _newest_first(due):
            unseen = self._unseen[envelope_id]
            if unseen.tries >= PULL_TRIES_MAX:
                self._give_up(envelope_id, unseen, linked, now)
                continue
            sources = [seat for seat in unseen.sources if seat in linked] or linked
            if self.is_closing:
                for seat in sources:
                    if seat not in unseen.asked and self._windows.ask_at_last(seat):
                        unseen.asked.append(seat)
                        by_seat.setdefault(seat, []).append(envelope_id)
                unseen.due_at = now + PULL_RETRY_SECONDS
                continue
            chosen = self._with_room(sources, unseen.asks, now)
            if chosen is None:
                self._windows.is_blocked = True
                continue
            by_seat.setdefault(chosen, []).append(envelope_id)
            self._windows.asked(chosen)
            unseen.asked_of, unseen.asked_at = chosen, now
            unseen.due_at = now + PULL_RETRY_SECONDS * 2.0 ** min(PULL_DOUBLINGS_MAX, unseen.asks // 2)
            unseen.asks += 1
        for seat, ids in by_seat.items():
            self._counters.pulled += len(ids)
            for first in range(0, len(ids), PULLS_PER_FRAME_MAX):
                chunk = tuple(ids[first : first + PULLS_PER_FRAME_MAX])
                out.append(SendFrame((PeerKey(seat),), Pull(self._tag, (), chunk)))
        if self._unseen:
            self._agenda.set_earlier(("unseen", self._tag), next_at)

    def _ran_out(self, unseen: _Unseen, now: float) -> None:
        """The time of an ask is over, if it was asked at all."""
        seat = unseen.asked_of
        if seat is not None:
            if not self._windows.brought_since(seat, unseen.asked_at):
                unseen.tries += 1
                unseen.silent[seat] = None
            self._no_longer_asked(unseen, now)

    def _with_room(self, sources: list[NodeKey], asks: int, now: float) -> NodeKey | None:
        """The next in turn of those that may be asked for more."""
        for turn in range(len(sources)):
            seat = sources[(asks + turn) % len(sources)]
            if self._windows.has_room(seat, now):
                return seat
        return None

    def _give_up(self, envelope_id: EnvelopeId, unseen: _Unseen, linked: list[NodeKey], now: float) -> None:
        for seat in unseen.sources:
            if seat in linked and seat in unseen.silent:
                self._windows.broke_word(seat)
        self._drop_unseen(envelope_id, now)

    def pull_gaps(self, seat: NodeKey, now: float, out: Effects) -> None:
        """Ask a seat for numbers of its own that never arrived; ever more rarely if it does not bring them."""
        log = self.logs.get(seat)
        if log is None:
            return
        missing = log.missing(PULLS_PER_FRAME_MAX)
        if not missing:
            log.stalls = 0
            return
        log.stalls = log.stalls + 1 if log.contiguous == log.stalled_at else 0
        log.stalled_at = log.contiguous
        self._counters.pulled += len(missing)
        out.append(SendFrame((PeerKey(seat),), Pull(self._tag, tuple(missing), ())))
        wait = min(PULL_RETRY_SECONDS_MAX, PULL_RETRY_SECONDS * 2.0 ** min(max(0, log.stalls - 2), 10))
        self._agenda.set(("gap", self._tag, seat), now + wait)

    def named_elsewhere(self, own_seats: dict[NodeKey, float], now: float) -> list[NodeKey]:
        """Seats that named envelopes which came, and none of ours has named after time enough to exchange them.

        ``own_seats``: since when each serves us. Ids that all of them came too late for show nothing.
        """
        found: dict[NodeKey, None] = {}
        logs = [self.logs[seat] for seat in own_seats if seat in self.logs]
        for envelope_id, suspect in list(self._suspects.items()):
            if suspect.due_at > now + _EPSILON:
                continue
            del self._suspects[envelope_id]
            served = any(since <= suspect.since for since in own_seats.values())
            if envelope_id in self._seen and served and not any(envelope_id in log.ids for log in logs):
                self._counters.hidden_ids_found += 1
                found[suspect.source] = None
        if self._suspects:
            due_at = min(suspect.due_at for suspect in self._suspects.values())
            self._agenda.set_earlier(("hidden", self._tag), due_at, HIDDEN_SLACK_SECONDS)
        return list(found)

    def _numbered(self, seat: NodeKey, log: SeatLog, last_number: int, now: float) -> None:
        if last_number > TAG_IDS_MAX:
            return
        log.last_number = max(log.last_number, last_number)
        self._watch_gap(seat, log, now)

    def _watch_gap(self, seat: NodeKey, log: SeatLog, now: float) -> None:
        name = ("gap", self._tag, seat)
        if log.contiguous < log.last_number and not self._agenda.is_set(name):
            self._agenda.set(name, now + UNSEEN_PULL_DELAY_SECONDS)

    def _see(self, envelope_id: EnvelopeId, now: float) -> None:
        self._seen[envelope_id] = now
        self._drop_unseen(envelope_id, now)

    def _check_number(self, number: int) -> None:
        if number > TAG_IDS_MAX:
            raise MalformedInput("more numbers than a tag can hold")


def _newest_first(ids: list[EnvelopeId]) -> Iterator[EnvelopeId]:
    """Three of those named last, then one of those named first, and so on: who comes back in the middle of an epoch has
    the newest at once, and however many are named meanwhile, the oldest have their turn."""
    first, last = 0, len(ids) - 1
    for turn in range(len(ids)):
        if turn % 4 == 3:
            yield ids[first]
            first += 1
        else:
            yield ids[last]
            last -= 1
