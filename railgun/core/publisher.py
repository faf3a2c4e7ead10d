"""Getting one tag's envelopes receipted.

Owns: envelopes under way, which seats have receipted them, publishing again (spec: delivery, sender).
Must not know: what is inside, rooms, how seats are chosen.

Publishing again is always safe: seats and recipients drop what they have.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee
from railgun.core.counters import ClientCounters
from railgun.core.effects import Effects, SendFrame
from railgun.crypto.receipts import verify_receipt
from railgun.errors import PeerError, RefusalCode
from railgun.types import EnvelopeId, NodeKey, PeerKey, SizeClass, Tag
from railgun.wire.frames import Offer, Publish, Receipt

REPUBLISH_SECONDS = 1.0
REPUBLISH_SECONDS_MAX = 8.0
WHOLE_TO_SECOND_SECONDS = 0.5
TRIES_AFTER_MAJORITY_MAX = 4


@dataclass(slots=True)
class Outgoing:
    """An envelope under way. ``reference`` is the owner's name for it; ``published_at`` is None while it waits."""

    envelope_id: EnvelopeId
    envelope: bytes
    reference: object
    queued_at: float
    receipts: set[NodeKey] = field(default_factory=set)
    tries: int = 0
    tries_after_majority: int = 0
    next_at: float = 0.0
    whole_to_both: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """An envelope's receipts grew. ``majority_reached`` is true once only."""

    outgoing: Outgoing
    receipts: int
    of: int
    majority_reached: bool
    complete: bool


class Publisher:
    """Publishes one tag's envelopes through the seats that the owner is attached to."""

    def __init__(self, tag: Tag, agenda: Agenda, counters: ClientCounters) -> None:
        self._tag = tag
        self._agenda = agenda
        self._counters = counters
        self._outgoing: dict[EnvelopeId, Outgoing] = {}

    def __len__(self) -> int:
        return len(self._outgoing)

    def publish(
        self,
        outgoing: Outgoing,
        entries: list[NodeKey],
        committee: Committee,
        now: float,
        out: Effects,
    ) -> None:
        """Take an envelope on; it leaves at once if there is a seat, else when `entries_changed` names one."""
        self._outgoing[outgoing.envelope_id] = outgoing
        self._send(outgoing, entries, committee, now, out)

    def entries_changed(self, entries: list[NodeKey], committee: Committee, now: float, out: Effects) -> None:
        """The attached seats changed: what waited leaves; what lacks a majority is published again."""
        for outgoing in list(self._outgoing.values()):
            if not outgoing.settled:
                self._send(outgoing, entries, committee, now, out)

    def due(self, entries: list[NodeKey], committee: Committee, now: float, out: Effects) -> list[NodeKey]:
        """Publish again what is short of receipts. Returns seats that should be linked and published to directly."""
        lacking: dict[NodeKey, None] = {}
        for outgoing in list(self._outgoing.values()):
            if outgoing.next_at > now + 1e-9:
                continue
            if outgoing.settled:
                outgoing.tries_after_majority += 1
                if outgoing.tries_after_majority > TRIES_AFTER_MAJORITY_MAX:
                    del self._outgoing[outgoing.envelope_id]
                    continue
            if outgoing.tries >= 2:
                for ad in committee.seats:
                    if ad.node_key not in outgoing.receipts:
                        lacking[ad.node_key] = None
            outgoing.whole_to_both = outgoing.whole_to_both or outgoing.tries > 0
            self._counters.republished += 1
            self._send(outgoing, entries, committee, now, out)
        self._arm()
        return list(lacking)

    def publish_directly(self, seat: NodeKey, committee: Committee, out: Effects) -> None:
        """A seat that had not receipted is linked now: bring it what it lacks."""
        for outgoing in self._outgoing.values():
            if seat not in outgoing.receipts and outgoing.tries >= 2:
                out.append(SendFrame((PeerKey(seat),), Publish(outgoing.envelope, committee.seats_hash, None)))

    def receipt_received(self, receipt: Receipt, committee: Committee) -> list[Progress]:
        """Check a receipt and note it.

        Raises:
            PeerError: BAD_SIGNATURE, or the signer is no seat of this tag.
        """
        concerned = [self._outgoing[item] for item in receipt.ids if item in self._outgoing]
        fresh = [outgoing for outgoing in concerned if receipt.seat not in outgoing.receipts]
        if not fresh:
            return []
        if committee.rank_of(receipt.seat) is None:
            self._counters.receipts_refused += 1
            raise PeerError(RefusalCode.NOT_A_SEAT, "receipt by a relay of no rank", penalty_points=0)
        if not verify_receipt(receipt):
            self._counters.receipts_refused += 1
            raise PeerError(RefusalCode.BAD_SIGNATURE, "receipt", penalty_points=20)
        self._counters.receipts_verified += 1
        return [self._note(outgoing, receipt.seat, committee) for outgoing in fresh]

    def refused(self, ids: tuple[EnvelopeId, ...], retry_after_seconds: float, now: float) -> list[Outgoing]:
        """A seat refused; publish again later. Returns the envelopes concerned."""
        concerned = [self._outgoing[item] for item in ids if item in self._outgoing]
        for outgoing in concerned:
            outgoing.next_at = max(outgoing.next_at, now + retry_after_seconds)
        self._arm()
        return concerned

    def take_unsettled(self) -> list[Outgoing]:
        """Give up on this epoch: everything without a majority, to be sealed again in the next."""
        unsettled = [outgoing for outgoing in self._outgoing.values() if not outgoing.settled]
        for outgoing in unsettled:
            del self._outgoing[outgoing.envelope_id]
        return unsettled

    def is_pending(self, envelope_id: EnvelopeId) -> bool:
        return envelope_id in self._outgoing

    def _note(self, outgoing: Outgoing, seat: NodeKey, committee: Committee) -> Progress:
        outgoing.receipts.add(seat)
        seats = committee.seat_keys
        from_seats = sum(1 for key in outgoing.receipts if key in seats)
        # Standbys stand in for dead seats, but the count never passes n.
        count = min(committee.n, len(outgoing.receipts))
        reached = count >= committee.majority and not outgoing.settled
        outgoing.settled = outgoing.settled or reached
        complete = from_seats >= committee.n
        if complete:
            del self._outgoing[outgoing.envelope_id]
        return Progress(outgoing, count, committee.n, reached, complete)

    def _send(self, outgoing: Outgoing, entries: list[NodeKey], committee: Committee, now: float, out: Effects) -> None:
        if not entries:
            outgoing.next_at = now + REPUBLISH_SECONDS
            self._agenda.set_earlier(("publish", self._tag), outgoing.next_at)
            return
        first, second = entries[0], entries[1] if len(entries) > 1 else None
        seats_hash = committee.seats_hash
        large = SizeClass(outgoing.envelope[1]) is SizeClass.LARGE
        wait = min(REPUBLISH_SECONDS_MAX, REPUBLISH_SECONDS * 2.0**outgoing.tries)
        out.append(SendFrame((PeerKey(first),), Publish(outgoing.envelope, seats_hash, second)))
        if second is not None:
            if large and not outgoing.whole_to_both:
                out.append(SendFrame((PeerKey(second),), Offer(self._tag, (outgoing.envelope_id,), first)))
                outgoing.whole_to_both = True
                wait = WHOLE_TO_SECOND_SECONDS
            else:
                out.append(SendFrame((PeerKey(second),), Publish(outgoing.envelope, seats_hash, first)))
        if outgoing.tries == 0:
            self._counters.published += 1
        outgoing.tries += 1
        outgoing.next_at = now + wait
        self._agenda.set_earlier(("publish", self._tag), outgoing.next_at)

    def _arm(self) -> None:
        if self._outgoing:
            self._agenda.set_earlier(
                ("publish", self._tag), min(outgoing.next_at for outgoing in self._outgoing.values())
            )
