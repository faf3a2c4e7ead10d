"""Getting one tag's envelopes receipted.

Owns: envelopes under way, which seats have receipted them, publishing again (spec: message way, sender).
Must not know: what is inside, rooms, how seats are chosen.

Publishing again is always safe: seats and recipients drop what they have. An envelope is settled once a majority has
receipted it, and done once every live seat has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee
from railgun.core.counters import ClientCounters
from railgun.core.effects import Effects, SendFrame
from railgun.crypto.receipts import verify_receipt
from railgun.errors import PeerError, RefusalCode
from railgun.limits import PENDING_SENDS_MAX
from railgun.types import EnvelopeId, NodeKey, PeerKey, SizeClass, Tag
from railgun.wire.frames import Offer, Publish, Receipt

REPUBLISH_SECONDS = 1.0
REPUBLISH_SECONDS_MAX = 8.0
REPUBLISH_SETTLED_SECONDS_MAX = 60.0
WHOLE_TO_SECOND_SECONDS = 0.5
ENTRIES = 2
OWED_SECONDS = 20.0
"""How long a seat that is there and takes an envelope may say nothing to it, though it is given again and again."""
_EPSILON = 1e-6

IsDead = Callable[[NodeKey], bool]
"""Whether we ourselves find a seat dead."""


@dataclass(slots=True)
class Outgoing:
    """An envelope under way. ``reference`` is the owner's name for it."""

    envelope_id: EnvelopeId
    envelope: bytes
    reference: object
    queued_at: float
    receipts: dict[NodeKey, None] = field(default_factory=dict)
    tries: int = 0
    next_at: float = 0.0
    offered_to: NodeKey | None = None
    """The entry that was given the id alone and is still to be given the whole, unless there is progress."""
    settled: bool = False
    by_members: bool = False
    """No committee settled it: linked members' acknowledgements stand for receipts, until there is one."""
    owed_since: dict[NodeKey, float] = field(default_factory=dict)
    """Seats that were given it directly, and owe a receipt or a refusal since then."""
    delayed_at_try: int = 0
    """The try that a seat's refusal has delayed already."""

    @property
    def is_large(self) -> bool:
        return SizeClass(self.envelope[1]) is SizeClass.LARGE


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

    @property
    def is_full(self) -> bool:
        """Whether as many envelopes as may be are short of a majority."""
        return len(self._outgoing) >= PENDING_SENDS_MAX and not any(
            outgoing.settled for outgoing in self._outgoing.values()
        )

    @property
    def has_room(self) -> bool:
        """Whether a good part of what may be under way is free again."""
        return len(self._outgoing) <= PENDING_SENDS_MAX // 2

    def publish(
        self, outgoing: Outgoing, entries: list[NodeKey], committee: Committee, now: float, out: Effects
    ) -> None:
        """Take an envelope on; it leaves at once if there is a seat, else when `entries_changed` names one."""
        if len(self._outgoing) >= PENDING_SENDS_MAX:
            self._drop_a_settled_one()
        self._outgoing[outgoing.envelope_id] = outgoing
        self._send_first(outgoing, entries[:ENTRIES], committee, now, out)

    def entries_changed(
        self, added: list[NodeKey], entries: list[NodeKey], committee: Committee, now: float, out: Effects
    ) -> None:
        """The attached seats changed: what waited leaves; what lacks a majority goes to the new ones too."""
        chosen = entries[:ENTRIES]
        for outgoing in list(self._outgoing.values()):
            if outgoing.tries == 0:
                self._send_first(outgoing, chosen, committee, now, out)
            elif not outgoing.settled or outgoing.by_members:
                fresh = [seat for seat in chosen if seat in added and seat not in outgoing.receipts]
                self._send_whole(outgoing, fresh, chosen, committee, out)

    def due(
        self, entries: list[NodeKey], committee: Committee, is_dead: IsDead, now: float, out: Effects
    ) -> list[NodeKey]:
        """Publish again what is short of receipts. Returns seats that should be linked and published to directly."""
        direct: dict[NodeKey, None] = {}
        live = [seat for seat in committee.seat_keys if not is_dead(seat)]
        chosen = entries[:ENTRIES]
        for outgoing in list(self._outgoing.values()):
            if outgoing.next_at > now + _EPSILON:
                continue
            lacking = [seat for seat in live if seat not in outgoing.receipts]
            if outgoing.settled and not lacking and not outgoing.by_members:
                del self._outgoing[outgoing.envelope_id]
                continue
            if outgoing.tries == 0:
                self._send_first(outgoing, chosen, committee, now, out)
                continue
            if outgoing.offered_to is not None and outgoing.receipts:
                outgoing.offered_to = None  # there is progress: the seats bring it to each other
                self._wait(outgoing, now)
                continue
            outgoing.offered_to = None
            self._counters.republished += 1
            if not outgoing.settled or outgoing.by_members:
                again = [seat for seat in chosen if seat not in outgoing.receipts]
                self._send_whole(outgoing, again, chosen, committee, out)
            if outgoing.tries > 1 or outgoing.settled:
                direct.update((seat, None) for seat in lacking)
            outgoing.tries += 1
            self._wait(outgoing, now)
        self._arm()
        return list(direct)

    def publish_directly(self, seat: NodeKey, committee: Committee, now: float, out: Effects) -> None:
        """A seat that had not receipted is linked and knows the tag: bring it what it lacks."""
        for outgoing in self._outgoing.values():
            if seat not in outgoing.receipts and outgoing.tries > 1:
                outgoing.owed_since.setdefault(seat, now)
                self._send_whole(outgoing, [seat], [seat], committee, out)

    def excuse(self, seat: NodeKey) -> None:
        """It refused something, or its link broke: it owes nothing for what it was given before."""
        for outgoing in self._outgoing.values():
            outgoing.owed_since.pop(seat, None)

    def owing(self, now: float) -> list[tuple[NodeKey, EnvelopeId]]:
        """Seats that took an envelope OWED_SECONDS ago and have answered nothing; each envelope's once."""
        found = []
        for outgoing in self._outgoing.values():
            late = [seat for seat, since in outgoing.owed_since.items() if now - since >= OWED_SECONDS]
            for seat in late:
                del outgoing.owed_since[seat]
                if seat not in outgoing.receipts:
                    found.append((seat, outgoing.envelope_id))
        return found

    def receipt_received(self, receipt: Receipt, committee: Committee, is_dead: IsDead) -> list[Progress]:
        """Check a receipt and note it.

        Raises:
            PeerError: BAD_SIGNATURE, or the signer is no relay of this tag.
        """
        # A receipt may name an id twice: it counts once.
        concerned = [self._outgoing[item] for item in dict.fromkeys(receipt.ids) if item in self._outgoing]
        fresh = [outgoing for outgoing in concerned if receipt.seat not in outgoing.receipts]
        if not fresh:
            return []
        if committee.rank_of(receipt.seat) is None:
            # No fault: whoever passed it on may see other seats than we do.
            self._counters.receipts_refused += 1
            raise PeerError(RefusalCode.NOT_A_SEAT, "receipt by a relay of no rank", penalty_points=0)
        if not verify_receipt(receipt):
            self._counters.receipts_refused += 1
            raise PeerError(RefusalCode.BAD_SIGNATURE, "receipt", penalty_points=20)
        self._counters.receipts_verified += 1
        return [self._note(outgoing, receipt.seat, committee, is_dead) for outgoing in fresh]

    def refused(self, ids: Iterable[EnvelopeId], retry_after_seconds: float, now: float) -> None:
        """A seat refused for now; publish again later, once a try and never much later: one seat that refuses again
        and again, or for a day, must not keep the envelope from the others."""
        for envelope_id in ids:
            outgoing = self._outgoing.get(envelope_id)
            if outgoing is not None and outgoing.delayed_at_try < outgoing.tries:
                outgoing.delayed_at_try = outgoing.tries
                outgoing.next_at = max(outgoing.next_at, now + min(retry_after_seconds, REPUBLISH_SECONDS_MAX))
        self._arm()

    def too_late(self, ids: Iterable[EnvelopeId]) -> list[Outgoing]:
        """A seat takes no more in this epoch: forget these. Returns those without a majority, to be sealed again."""
        dropped = [self._outgoing.pop(item) for item in ids if item in self._outgoing]
        return [outgoing for outgoing in dropped if not outgoing.settled]

    def take_unsettled(self) -> list[Outgoing]:
        """Give up on this epoch: everything without a majority, to be sealed again in the next."""
        unsettled = [outgoing for outgoing in self._outgoing.values() if not outgoing.settled]
        for outgoing in unsettled:
            del self._outgoing[outgoing.envelope_id]
        return unsettled

    def pending(self) -> list[Outgoing]:
        """All that is under way, the oldest first; to be read."""
        return list(self._outgoing.values())

    def envelope_of(self, envelope_id: EnvelopeId) -> bytes | None:
        """An envelope under way."""
        outgoing = self._outgoing.get(envelope_id)
        return None if outgoing is None else outgoing.envelope

    def acknowledged(self, outgoing: Outgoing, count: int, reachable: int) -> Progress | None:
        """No committee serves the tag, and ``count`` of the members that can be reached have the envelope: most of
        them stand for a majority. None where that says nothing new."""
        if outgoing.settled or count < reachable // 2 + 1:
            return None
        outgoing.settled = outgoing.by_members = True
        return Progress(outgoing, count, reachable, True, False)

    def is_pending(self, envelope_id: EnvelopeId) -> bool:
        return envelope_id in self._outgoing

    # --- inside -------------------------------------------------------------------------------

    def _note(self, outgoing: Outgoing, seat: NodeKey, committee: Committee, is_dead: IsDead) -> Progress:
        outgoing.receipts[seat] = None
        seats = committee.seat_keys
        from_seats = sum(key in outgoing.receipts for key in seats)
        # Standbys stand in for dead seats, and for no others.
        dead = sum(key not in outgoing.receipts and is_dead(key) for key in seats)
        count = from_seats + min(dead, len(outgoing.receipts) - from_seats)
        enough = count >= committee.majority
        reached = enough and not outgoing.settled
        outgoing.settled = outgoing.settled or reached
        outgoing.by_members = outgoing.by_members and not enough
        complete = from_seats >= committee.n
        if complete:
            del self._outgoing[outgoing.envelope_id]
        return Progress(outgoing, count, committee.n, reached, complete)

    def _send_first(
        self, outgoing: Outgoing, chosen: list[NodeKey], committee: Committee, now: float, out: Effects
    ) -> None:
        if not chosen:
            outgoing.next_at = now + REPUBLISH_SECONDS
            self._agenda.set_earlier(("publish", self._tag), outgoing.next_at)
            return
        self._counters.published += 1
        outgoing.tries = 1
        if outgoing.is_large and len(chosen) > 1:
            first, second = chosen[0], chosen[1]
            out.append(SendFrame((PeerKey(first),), Publish(outgoing.envelope, committee.seats_hash, second)))
            out.append(SendFrame((PeerKey(second),), Offer(self._tag, (outgoing.envelope_id,), first)))
            outgoing.offered_to = second
            outgoing.next_at = now + WHOLE_TO_SECOND_SECONDS
            self._agenda.set_earlier(("publish", self._tag), outgoing.next_at)
            return
        self._send_whole(outgoing, chosen, chosen, committee, out)
        self._wait(outgoing, now)

    def _send_whole(
        self, outgoing: Outgoing, to: list[NodeKey], chosen: list[NodeKey], committee: Committee, out: Effects
    ) -> None:
        """Publish, naming to each entry the other one."""
        for seat in to:
            other = next((entry for entry in chosen if entry != seat), None)
            out.append(SendFrame((PeerKey(seat),), Publish(outgoing.envelope, committee.seats_hash, other)))

    def _wait(self, outgoing: Outgoing, now: float) -> None:
        most = REPUBLISH_SETTLED_SECONDS_MAX if outgoing.settled else REPUBLISH_SECONDS_MAX
        outgoing.next_at = now + min(most, REPUBLISH_SECONDS * 2.0 ** min(outgoing.tries - 1, 10))
        self._agenda.set_earlier(("publish", self._tag), outgoing.next_at)

    def _drop_a_settled_one(self) -> None:
        for envelope_id, outgoing in self._outgoing.items():
            if outgoing.settled:
                del self._outgoing[envelope_id]
                return

    def _arm(self) -> None:
        if self._outgoing:
            self._agenda.set_earlier(
                ("publish", self._tag), min(outgoing.next_at for outgoing in self._outgoing.values())
            )
