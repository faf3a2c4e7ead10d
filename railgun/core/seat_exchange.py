"""Seat to seat: who pushes what to whom, and how seats fill each other up.

Owns: the links' state towards the other seats of one tag: pushes of clients' envelopes, announcements,
pulls, and the periodic comparison (spec: message way, seats).
Must not know: subscribers, receipts, the committee's making.

A body from a client is pushed: the two entries halve the other seats by rank. Everything else is announced and
pulled, so that a body crosses between seats about K - 2 times.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee
from railgun.core.counters import RelayCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.tag_store import Held, TagStore
from railgun.limits import (
    ANNOUNCE_PULL_DELAY_SECONDS,
    IDS_PER_FRAME_MAX,
    PULLS_PER_FRAME_MAX,
    SEAT_EXCHANGE_SECONDS,
)
from railgun.types import EnvelopeId, NodeKey, PeerKey, SizeClass
from railgun.wire.frames import SeatExchange, SeatOpen, SeatPull, SeatPush, TagDescriptor

COMPARE_SECONDS = 5.0
"""A comparison without news goes out this often; with news, every SEAT_EXCHANGE_SECONDS."""
PULL_RETRY_SECONDS = 1.0
PULL_TRIES_MAX = 5
PENDING_PULLS_MAX = 4_096


@dataclass(slots=True)
class _Other:
    """Another seat that has opened this tag with us."""

    announced_through: int = 0
    compared_at: float = -1e9
    reset_at: float = -1e9


@dataclass(slots=True)
class _Pending:
    due_at: float
    sources: list[NodeKey] = field(default_factory=list)
    tries: int = 0


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
        self._pending: dict[EnvelopeId, _Pending] = {}
        self._announce_due: dict[NodeKey, list[EnvelopeId]] = {}
        self._announce_urgent: dict[NodeKey, list[EnvelopeId]] = {}
        self._pull_now = False
        self._stored_through = 0

    @property
    def others(self) -> tuple[NodeKey, ...]:
        """The seats that are linked and have opened the tag with us."""
        return tuple(self._others)

    @property
    def pending_pulls(self) -> int:
        return len(self._pending)

    # --- opening ------------------------------------------------------------------------------

    def open_with(self, seat: NodeKey, seats_hash: bytes, out: Effects, *, reply: bool = True) -> None:
        """Tell a linked seat of the tag."""
        out.append(SendFrame((PeerKey(seat),), SeatOpen(self._descriptor, seats_hash, reply)))
        self._others.setdefault(seat, _Other())
        self._agenda.set_earlier(("exchange", self._tag), 0.0)

    def opened_by(self, seat: NodeKey) -> None:
        """A seat told us of the tag, or answered."""
        other = self._others.setdefault(seat, _Other())
        other.announced_through = 0
        self._agenda.set_earlier(("exchange", self._tag), 0.0)

    def peer_gone(self, seat: NodeKey) -> None:
        self._others.pop(seat, None)
        self._announce_due.pop(seat, None)
        self._announce_urgent.pop(seat, None)

    # --- spreading ----------------------------------------------------------------------------

    def spread_from_client(self, held: Held, other_entry: NodeKey | None, committee: Committee, out: Effects) -> None:
        """Pass on what a client brought: bodies to our half of the other seats, ids to the rest."""
        others = [ad.node_key for ad in committee.seats if ad.node_key != self._node_key]
        if SizeClass(held.envelope[1]) is SizeClass.LARGE:
            for seat in others:
                self._announce(seat, held.envelope_id, urgent=True)
            return
        half = self._half(others, other_entry, committee)
        targets = tuple(PeerKey(seat) for seat in half if seat in self._others)
        if targets:
            held.holders.update(NodeKey(target) for target in targets)
            self._counters.pushes_to_seats += len(targets)
            out.append(SendFrame(targets, SeatPush(held.envelope)))
        for seat in others:
            if PeerKey(seat) not in targets:
                self._announce(seat, held.envelope_id, urgent=False)

    def _half(self, others: list[NodeKey], other_entry: NodeKey | None, committee: Committee) -> list[NodeKey]:
        if other_entry is None or other_entry not in others:
            return others
        rest = [seat for seat in others if seat != other_entry]
        mine, theirs = committee.rank_of(self._node_key), committee.rank_of(other_entry)
        first = mine is not None and (theirs is None or mine < theirs)
        return rest[0 if first else 1 :: 2]

    def stored(self, now: float) -> None:
        """Something new is held: the next exchange comes within SEAT_EXCHANGE_SECONDS."""
        if self._others:
            self._agenda.set_earlier(("exchange", self._tag), now + SEAT_EXCHANGE_SECONDS)

    def _announce(self, seat: NodeKey, envelope_id: EnvelopeId, *, urgent: bool) -> None:
        if seat in self._others:
            (self._announce_urgent if urgent else self._announce_due).setdefault(seat, []).append(envelope_id)

    def flush(self, now: float, out: Effects) -> None:
        """Send the announcements of this turn, and the pulls that were asked for at once."""
        for due, urgent in ((self._announce_urgent, True), (self._announce_due, False)):
            for seat, ids in due.items():
                for first in range(0, len(ids), IDS_PER_FRAME_MAX):
                    self._send_exchange(seat, tuple(ids[first : first + IDS_PER_FRAME_MAX]), urgent, now, out)
            due.clear()
        if self._store.last_number != self._stored_through:
            self._stored_through = self._store.last_number
            self.stored(now)
        if self._pull_now:
            self._pull_now = False
            self.pull_due(now, out)

    def _send_exchange(
        self, seat: NodeKey, ids: tuple[EnvelopeId, ...], urgent: bool, now: float, out: Effects
    ) -> None:
        other = self._others.get(seat)
        if other is not None:
            other.compared_at = now
        out.append(
            SendFrame((PeerKey(seat),), SeatExchange(self._tag, ids, urgent, len(self._store), self._store.fingerprint))
        )

    # --- filling up ---------------------------------------------------------------------------

    def exchange_due(self, now: float, out: Effects) -> None:
        """Every SEAT_EXCHANGE_SECONDS: announce what each other seat is not known to hold."""
        for seat, other in self._others.items():
            ids: list[EnvelopeId] = []
            for held in self._store.since(other.announced_through + 1):
                if len(ids) == IDS_PER_FRAME_MAX:
                    break
                other.announced_through = held.number
                if seat not in held.holders:
                    ids.append(held.envelope_id)
            if ids or now - other.compared_at >= COMPARE_SECONDS:
                self._send_exchange(seat, tuple(ids), False, now, out)
        if self._others:
            behind = any(other.announced_through < self._store.last_number for other in self._others.values())
            self._agenda.set_earlier(
                ("exchange", self._tag), now + (SEAT_EXCHANGE_SECONDS if behind else COMPARE_SECONDS)
            )

    def exchange_received(self, seat: NodeKey, frame: SeatExchange, now: float) -> None:
        """Note what the other holds, plan pulls of what we lack, and compare the whole."""
        other = self._others.get(seat)
        if other is None:
            return
        for envelope_id in frame.ids:
            self.heard_of(envelope_id, seat, now, urgent=frame.urgent)
        same = frame.held_count == len(self._store) and frame.held_fingerprint == self._store.fingerprint
        if not same and not frame.ids and now - other.reset_at >= COMPARE_SECONDS:
            # Nothing under way explains the difference: announce everything again, once in a while.
            other.reset_at = now
            other.announced_through = 0
            for held in self._store.since(1):
                held.holders.discard(seat)
            self._agenda.set_earlier(("exchange", self._tag), now)

    def heard_of(self, envelope_id: EnvelopeId, seat: NodeKey, now: float, *, urgent: bool) -> None:
        """Seat ``seat`` holds this id; pull it soon unless somebody pushes it first."""
        held = self._store.get(envelope_id)
        if held is not None:
            held.holders.add(seat)
            return
        pending = self._pending.get(envelope_id)
        if pending is None:
            if len(self._pending) >= PENDING_PULLS_MAX:
                return
            pending = self._pending[envelope_id] = _Pending(now + ANNOUNCE_PULL_DELAY_SECONDS)
        if seat not in pending.sources:
            pending.sources.append(seat)
        if urgent and pending.tries == 0:
            pending.due_at = now
            self._pull_now = True
        self._agenda.set_earlier(("seat-pull", self._tag), pending.due_at)

    def arrived(self, held: Held) -> None:
        """A body came: stop asking for it, and remember who has it anyway."""
        pending = self._pending.pop(held.envelope_id, None)
        if pending is not None:
            held.holders.update(pending.sources)

    def pull_due(self, now: float, out: Effects) -> None:
        """Ask for the bodies that nobody pushed in time; each try asks the next source."""
        by_source: dict[NodeKey, list[EnvelopeId]] = {}
        for envelope_id, pending in list(self._pending.items()):
            if pending.due_at > now:
                continue
            if self._store.get(envelope_id) is not None or pending.tries >= PULL_TRIES_MAX:
                del self._pending[envelope_id]
                continue
            sources = [seat for seat in pending.sources if seat in self._others]
            if sources:
                by_source.setdefault(sources[pending.tries % len(sources)], []).append(envelope_id)
            pending.tries += 1
            pending.due_at = now + PULL_RETRY_SECONDS
        for seat, ids in by_source.items():
            for first in range(0, len(ids), PULLS_PER_FRAME_MAX):
                out.append(
                    SendFrame((PeerKey(seat),), SeatPull(self._tag, tuple(ids[first : first + PULLS_PER_FRAME_MAX])))
                )
        if self._pending:
            self._agenda.set_earlier(
                ("seat-pull", self._tag), min(pending.due_at for pending in self._pending.values())
            )
