"""Seat to seat: who pushes what to whom, and how seats fill each other up.

Owns: who takes part in one tag with us, pushes of clients' envelopes, announcements, pulls, the periodic comparison
(spec: delivery, seats). Must not know: subscribers, receipts, why a relay is to take part.

A body from a client is pushed: the two entries halve the other seats by rank. Everything else is announced and
pulled, so that a body crosses between seats about K - 2 times.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee
from railgun.core.counters import RelayCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.seat_pulls import SeatPulls
from railgun.core.tag_store import Held, TagStore
from railgun.limits import (
    FILL_SECONDS,
    FILL_SECONDS_MAX,
    IDS_PER_FRAME_MAX,
    SEAT_EXCHANGE_SECONDS,
    SEATS_LINKED_MAX,
)
from railgun.types import EnvelopeId, NodeKey, PeerKey, SizeClass
from railgun.wire.frames import SeatExchange, SeatOpen, SeatPush, TagDescriptor

COMPARE_SECONDS = 10.0
"""A comparison without news goes out this often, either way; with news, every SEAT_EXCHANGE_SECONDS."""
EXCHANGE_SLACK_SECONDS = 0.25
"""An exchange may leave so much earlier, with the pulses that are due then."""
OPEN_RETRY_SECONDS = 1.0
OPEN_RETRY_SECONDS_MAX = 8.0
FRAMES_PER_EXCHANGE_MAX = 8
MISMATCHES_BEFORE_RESET = 2
"""One comparison may cross news on its way; two that differ are a difference."""
FILL_PROGRESS_SECONDS = 0.5


@dataclass(slots=True)
class _Other:
    """Another relay that takes part, or that we want to."""

    has_opened: bool = False
    """It has told us of the tag: what we send it is not lost on it."""
    has_told: bool = False
    """It has told us what it holds."""
    is_wanted: bool = False
    announced_through: int = 0
    compared_at: float = -1e9
    """When either told the other last what it holds."""
    mismatches: int = 0
    asked_at: float = -1e9
    asks: int = 0
    held_count: int = 0

    @property
    def next_ask_at(self) -> float:
        return self.asked_at + min(OPEN_RETRY_SECONDS_MAX, OPEN_RETRY_SECONDS * 2.0 ** max(0, min(self.asks, 8) - 1))


@dataclass(slots=True)
class _Announcements:
    soon: list[EnvelopeId] = field(default_factory=list)
    urgent: list[EnvelopeId] = field(default_factory=list)


class SeatExchanger:
    """The seat's dealings with the other seats of its tag."""

    def __init__(
        self,
        node_key: NodeKey,
        descriptor: TagDescriptor,
        store: TagStore,
        agenda: Agenda,
        counters: RelayCounters,
    ) -> None:
        self._node_key = node_key
        self._descriptor = descriptor
        self._tag = descriptor.tag
        self._store = store
        self._agenda = agenda
        self._counters = counters
        self._others: dict[NodeKey, _Other] = {}
        self._announcements: dict[NodeKey, _Announcements] = {}
        self._stored_through = 0
        self._fill_until: float | None = None
        self._fill_until_last = 0.0
        self._fill_needed = 0
        self.pulls = SeatPulls(self._tag, store, agenda)

    @property
    def others(self) -> tuple[NodeKey, ...]:
        """The relays that are linked and have opened the tag with us."""
        return tuple(seat for seat, other in self._others.items() if other.has_opened)

    @property
    def wanted(self) -> dict[NodeKey, None]:
        """The relays that were asked to take part and are still to."""
        return {seat: None for seat, other in self._others.items() if other.is_wanted}

    def is_open_with(self, seat: NodeKey) -> bool:
        other = self._others.get(seat)
        return other is not None and other.has_opened

    def knows(self, seat: NodeKey) -> bool:
        """Whether it takes part, or is to."""
        return seat in self._others

    # --- who takes part -----------------------------------------------------------------------

    def include(self, seat: NodeKey, seats_hash: bytes, now: float, out: Effects) -> None:
        """A linked relay is to take part: tell it of the tag, again and again (ever less often) until it answers."""
        other = self._others.setdefault(seat, _Other())
        other.is_wanted = True
        if other.has_opened:
            return
        if now >= other.next_ask_at:
            other.asked_at = now
            other.asks += 1
            out.append(SendFrame((PeerKey(seat),), SeatOpen(self._descriptor, seats_hash, True)))
        self._agenda.set_earlier(("exchange", self._tag), now + OPEN_RETRY_SECONDS)

    def opened_by(self, seat: NodeKey, committee: Committee, now: float) -> bool:
        """A relay told us of the tag, or answered. False when too many take part already: one that the committee
        ranks takes the place of one that it does not.

        It may have restarted: what it was known to hold it may hold no longer, and is told again.
        """
        other = self._others.get(seat)
        if other is None:
            if len(self._others) >= SEATS_LINKED_MAX and not self._make_room(seat, committee):
                return False
            other = self._others[seat] = _Other()
        other.has_opened = True
        other.compared_at = -1e9
        other.asks = 0
        self._announce_again(seat, other)
        self._agenda.set_earlier(("exchange", self._tag), now)
        return True

    def _make_room(self, seat: NodeKey, committee: Committee) -> bool:
        if committee.rank_of(seat) is None:
            return False
        unranked = [other for other in self._others if committee.rank_of(other) is None]
        for other in unranked[:1]:
            self.exclude(other)
        return bool(unranked)

    def declined_by(self, seat: NodeKey) -> None:
        """It does not take part (any more): ask again later if it should."""
        other = self._others.get(seat)
        if other is None:
            return
        if other.is_wanted:
            self._others[seat] = _Other(is_wanted=True, asked_at=other.asked_at, asks=max(other.asks, 1))
        else:
            self.exclude(seat)

    def unwant(self, seat: NodeKey) -> None:
        """It need not take part for our sake."""
        other = self._others.get(seat)
        if other is not None:
            other.is_wanted = False
            if not other.has_opened:
                self.exclude(seat)

    def exclude(self, seat: NodeKey) -> None:
        """It is to take part no more, or its link is gone. Idempotent."""
        self._others.pop(seat, None)
        self._announcements.pop(seat, None)
        self.pulls.forget_source(seat)

    # --- spreading ----------------------------------------------------------------------------

    def spread_from_client(self, held: Held, other_entry: NodeKey | None, committee: Committee, out: Effects) -> None:
        """Pass on what a client brought: bodies to our half of the other seats, ids to the rest."""
        if SizeClass(held.envelope[1]) is SizeClass.LARGE:
            for seat, other in self._others.items():
                if other.has_opened:
                    self._announcement(seat).urgent.append(held.envelope_id)
            return
        half = self._half(other_entry, committee)
        targets = tuple(PeerKey(seat) for seat in half if self.is_open_with(seat))
        if targets:
            held.holders.update(NodeKey(target) for target in targets)
            self._counters.pushes_to_seats += len(targets)
            out.append(SendFrame(targets, SeatPush(held.envelope)))
        for seat, other in self._others.items():
            if other.has_opened and PeerKey(seat) not in targets:
                self._announcement(seat).soon.append(held.envelope_id)

    def _half(self, other_entry: NodeKey | None, committee: Committee) -> list[NodeKey]:
        """Whom we bring a client's envelope to: every second seat by rank, if another entry brings it to the rest.

        Relays that take part without being seats (they stand in for dead ones, or see other seats than we do) are
        the first entry's to serve.
        """
        seats = [seat for seat in committee.seat_keys if seat != self._node_key]
        extras = [seat for seat in self._others if seat not in seats and seat != other_entry]
        if other_entry is None or not self.is_open_with(other_entry):
            return seats + extras
        rest = [seat for seat in seats if seat != other_entry]
        ranks = {ad.node_key: rank for rank, ad in enumerate(committee.ranking)}
        mine = (ranks.get(self._node_key, len(ranks)), self._node_key)
        if mine < (ranks.get(other_entry, len(ranks)), other_entry):
            return rest[0::2] + extras
        return rest[1::2]

    def _announcement(self, seat: NodeKey) -> _Announcements:
        return self._announcements.setdefault(seat, _Announcements())

    def flush(self, now: float, out: Effects) -> None:
        """Send the announcements of this turn, and the pulls that were asked for at once."""
        if self._announcements:
            due, self._announcements = self._announcements, {}
            for seat, announcements in due.items():
                self._send_ids(seat, announcements.urgent, now, out, urgent=True)
                self._send_ids(seat, announcements.soon, now, out, urgent=False)
        if self._store.last_number != self._stored_through:
            self._stored_through = self._store.last_number
            if self._others:
                self._plan_exchange(now + SEAT_EXCHANGE_SECONDS)
        if self.pulls.has_urgent:
            self.pulls.due(self.others, now, out)

    def _plan_exchange(self, at: float) -> None:
        self._agenda.set_earlier(("exchange", self._tag), at - EXCHANGE_SLACK_SECONDS, EXCHANGE_SLACK_SECONDS)

    def _send_ids(self, seat: NodeKey, ids: list[EnvelopeId], now: float, out: Effects, *, urgent: bool) -> None:
        other = self._others.get(seat)
        if other is None:
            return
        for first in range(0, len(ids), IDS_PER_FRAME_MAX):
            other.compared_at = now
            out.append(SendFrame((PeerKey(seat),), self._frame(tuple(ids[first : first + IDS_PER_FRAME_MAX]), urgent)))

    def _frame(self, ids: tuple[EnvelopeId, ...], urgent: bool = False) -> SeatExchange:
        return SeatExchange(self._tag, ids, urgent, len(self._store), self._store.fingerprint)

    # --- comparing ----------------------------------------------------------------------------

    def exchange_due(self, seats_hash: bytes, now: float, out: Effects) -> None:
        """Every SEAT_EXCHANGE_SECONDS with news: announce what each other seat is not known to hold."""
        if not self._others:
            return
        compare: list[PeerKey] = []
        next_at = now + COMPARE_SECONDS
        for seat, other in self._others.items():
            if not other.has_opened:
                self.include(seat, seats_hash, now, out)
                next_at = min(next_at, other.next_ask_at)
                continue
            ids = self._unannounced(seat, other)
            if ids:
                self._send_ids(seat, ids, now, out, urgent=False)
            elif now - other.compared_at >= COMPARE_SECONDS - SEAT_EXCHANGE_SECONDS:
                other.compared_at = now
                compare.append(PeerKey(seat))
            if other.announced_through < self._store.last_number:
                next_at = min(next_at, now + SEAT_EXCHANGE_SECONDS)
        if compare:
            out.append(SendFrame(tuple(compare), self._frame(())))
        self._plan_exchange(next_at)

    def _announce_again(self, seat: NodeKey, other: _Other) -> None:
        other.announced_through = 0
        for held in self._store.since(1):
            held.holders.discard(seat)

    def _unannounced(self, seat: NodeKey, other: _Other) -> list[EnvelopeId]:
        ids: list[EnvelopeId] = []
        for held in self._store.since(other.announced_through + 1):
            if len(ids) == FRAMES_PER_EXCHANGE_MAX * IDS_PER_FRAME_MAX:
                break
            other.announced_through = held.number
            if seat not in held.holders:
                ids.append(held.envelope_id)
        return ids

    def exchange_received(self, seat: NodeKey, frame: SeatExchange, now: float) -> bool:
        """Note what the other holds, plan pulls of what we lack, and compare the whole. False if it takes no part."""
        other = self._others.get(seat)
        if other is None:
            return False
        other.has_told = True
        other.held_count = frame.held_count
        for envelope_id in frame.ids:
            self.heard_of(envelope_id, seat, now, urgent=frame.urgent)
        if frame.held_count == len(self._store) and frame.held_fingerprint == self._store.fingerprint:
            # It holds what we hold: nothing is to be announced to it, and our telling it so would be no news.
            other.mismatches = 0
            other.announced_through = self._store.last_number
            other.compared_at = now
        elif not frame.ids:
            other.mismatches += 1
            if other.mismatches >= MISMATCHES_BEFORE_RESET:
                # Nothing under way explains the difference: announce everything again.
                other.mismatches = 0
                self._announce_again(seat, other)
            else:
                other.compared_at = -1e9
            self._plan_exchange(now + SEAT_EXCHANGE_SECONDS)
        return True

    def heard_of(self, envelope_id: EnvelopeId, seat: NodeKey, now: float, *, urgent: bool) -> None:
        """Relay ``seat`` holds this id; pull it soon unless somebody pushes it first."""
        held = self._store.get(envelope_id)
        if held is not None:
            held.holders.add(seat)
        else:
            self.pulls.add(envelope_id, seat, now, urgent=urgent)

    def arrived(self, held: Held, now: float) -> None:
        """A body came: stop asking for it, and remember who has it anyway."""
        held.holders.update(self.pulls.arrived(held.envelope_id))
        if self._fill_until is not None:
            self._fill_until = min(self._fill_until_last, max(self._fill_until, now + FILL_PROGRESS_SECONDS))

    # --- filling up before serving ------------------------------------------------------------

    def start_filling(self, committee: Committee, now: float) -> None:
        """The tag was opened just now: hear what the other seats hold before subscribers are served.

        Whatever a majority has receipted, one of the first n - majority + 1 others to answer holds.
        """
        if committee.n < 2:
            return
        self._fill_needed = min(committee.n - 1, committee.n - committee.majority + 1)
        self._fill_until = now + FILL_SECONDS
        self._fill_until_last = now + FILL_SECONDS_MAX
        self._agenda.set_earlier(("filled", self._tag), self._fill_until)

    def is_filling(self, now: float) -> bool:
        """Whether what the other seats hold is still being fetched."""
        if self._fill_until is None:
            return False
        told = [other for other in self._others.values() if other.has_told]
        complete = (
            len(told) >= self._fill_needed
            and not len(self.pulls)
            and all(other.held_count <= len(self._store) for other in told)
        )
        if complete or now + 1e-6 >= self._fill_until:
            self._fill_until = None
            return False
        self._agenda.set_earlier(("filled", self._tag), self._fill_until)
        return True
