"""One seat of one tag's committee: a relay's half of a message's way.

Owns: checking, storing, delivering and receipting the envelopes of one tag (spec: delivery). Seat-to-seat traffic
is `railgun.core.seat_exchange`, subscribers are `railgun.core.seat_subscribers`.
Must not know: rooms, keys of rooms, members, sockets.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee
from railgun.core.counters import RelayCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.epochs import EpochWindow
from railgun.core.seat_exchange import SeatExchanger
from railgun.core.seat_subscribers import SeatSubscribers
from railgun.core.tag_store import Held, TagStore
from railgun.crypto.receipts import sign_receipt
from railgun.crypto.sealing import is_signed
from railgun.errors import PeerError, RefusalCode
from railgun.limits import OFFERS_MAX, OFFERS_PER_PEER_MAX, RECEIPT_IDS_MAX, TAG_BYTES_MAX, TAG_SUBSCRIBERS_MAX
from railgun.types import EnvelopeId, NodeKey, PeerKey, Tag
from railgun.wire.envelope import ParsedEnvelope
from railgun.wire.frames import (
    Deliver,
    Offer,
    Publish,
    Pull,
    Receipt,
    Refused,
    Subscribe,
    SubscriptionMode,
    TagDescriptor,
)

CLIENT_ACTIVE_SECONDS = 15.0
"""A relay that is no seat takes part for so long after a client published through it."""
FORGED_PENALTY_POINTS = 10
UNRANKED_RECEIPTS_MAX = 7
"""Receipts kept of relays that we do not rank: their senders may see other seats than we do."""


class TagStanding(enum.IntEnum):
    """Of tags that cannot all stay, who outlives whom."""

    OPENED = 0
    """Somebody has shown its descriptor."""
    SUBSCRIBED = 1
    """A client that has proved its key is subscribed."""
    HOLDS = 2
    """It holds envelopes that were receipted: a promise, never closed before its time."""


@dataclass(slots=True)
class SeatContext:
    """What all seats of one relay share."""

    node_key: NodeKey
    signing_key: bytes = field(repr=False)
    incarnation: bytes
    agenda: Agenda
    counters: RelayCounters
    reserve_bytes: Callable[[int], bool]
    """Takes bytes from the relay's total for envelopes; False when there is no room."""
    tag_bytes_max: int = TAG_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Arrival:
    """An envelope whose layout is right and whose id is known; nothing is proved yet."""

    envelope: ParsedEnvelope
    digest: bytes
    envelope_id: EnvelopeId


class Seat:
    """Serves one tag from its first descriptor to the end of its retention."""

    def __init__(
        self, context: SeatContext, descriptor: TagDescriptor, committee: Committee, window: EpochWindow
    ) -> None:
        self._context = context
        self.descriptor = descriptor
        self.window = window
        self.use(committee)
        self.store = TagStore(context.tag_bytes_max)
        self.exchange = SeatExchanger(context.node_key, descriptor, self.store, context.agenda, context.counters)
        self.subscribers = SeatSubscribers(descriptor.tag, self.store, context.incarnation, context.counters)
        self.linked_for: dict[NodeKey, None] = {}
        """Relays whose links this tag has asked for."""
        self.watched: dict[NodeKey, None] = {}
        """Relays whose life this tag watches because they take part, or are to."""
        self.included: dict[NodeKey, None] = {}
        """Standbys that we asked to stand in for dead seats."""
        self.included_by: dict[NodeKey, None] = {}
        """Seats that see the seats that we see and asked us, a standby, to take part."""
        self._deferred: dict[PeerKey, Subscribe] = {}
        self._receipts_due: dict[PeerKey, dict[EnvelopeId, None]] = {}
        self._offers: dict[EnvelopeId, PeerKey] = {}
        self._client_active_until = 0.0

    @property
    def tag(self) -> Tag:
        return self.descriptor.tag

    def use(self, committee: Committee) -> None:
        """Take these for the tag's relays from now on."""
        self.committee = committee
        self.seat_keys = committee.seat_keys
        self.seats_hash = committee.seats_hash
        self.is_own = self._context.node_key in self.seat_keys
        """Whether this relay is among the seats, as it sees them."""

    def takes_part(self, now: float) -> bool:
        """Whether envelopes are to be exchanged with others: seats do, and standbys while anyone uses them."""
        return (
            self.is_own
            or len(self.subscribers) > 0
            or bool(self._deferred)
            or bool(self.included_by)
            or now < self._client_active_until
        )

    # --- subscribers --------------------------------------------------------------------------

    def subscribe(self, peer: PeerKey, frame: Subscribe, now: float, out: Effects) -> None:
        """Serve a subscriber whose proof has been checked: at once, or once the other seats have told what they hold.

        Raises PeerError: BUSY.
        """
        waiting = len(self._deferred) - (peer in self._deferred)
        if len(self.subscribers) + waiting >= TAG_SUBSCRIBERS_MAX and not self.subscribers.has(peer):
            raise PeerError(RefusalCode.BUSY, "subscribers", penalty_points=0)
        if self.exchange.is_filling(now):
            if frame.mode is not SubscriptionMode.AUDIT or peer not in self._deferred:
                self._deferred[peer] = frame  # an audit that comes after a subscription asks for nothing more
            return
        self._serve(peer, frame, out)

    def _serve(self, peer: PeerKey, frame: Subscribe, out: Effects) -> None:
        self.subscribers.subscribe(peer, frame, self.seats_hash, out)

    def fill_due(self, now: float, out: Effects) -> None:
        """Serve those who waited, once the tag is filled."""
        if self._deferred and not self.exchange.is_filling(now):
            deferred, self._deferred = self._deferred, {}
            for peer, frame in deferred.items():
                self._serve(peer, frame, out)

    def drop_client(self, peer: PeerKey) -> None:
        """The client unsubscribed or is gone."""
        self.subscribers.drop(peer)
        self._deferred.pop(peer, None)
        self._receipts_due.pop(peer, None)

    def drop_relay(self, node: NodeKey) -> None:
        """The relay's link is gone."""
        self._receipts_due.pop(PeerKey(node), None)
        self.included_by.pop(node, None)
        self.exchange.exclude(node)

    def pull(self, peer: PeerKey, frame: Pull, allows: Callable[[int], bool], out: Effects) -> None:
        """Send what is held of what was asked for, as far as the peer's budget ``allows`` bytes."""
        wanted = [self.store.by_number(number) for number in frame.numbers]
        wanted += [self.store.get(envelope_id) for envelope_id in frame.ids]
        absent = tuple(envelope_id for envelope_id in frame.ids if self.store.get(envelope_id) is None)
        if absent:
            out.append(SendFrame((peer,), Refused(RefusalCode.NOT_HELD, self.tag, absent, None)))
        sent: set[int] = set()
        for held in wanted:
            if held is None or held.number in sent:
                continue
            if not allows(len(held.envelope)):
                self._context.counters.refused(RefusalCode.RATE_LIMITED)
                out.append(SendFrame((peer,), Refused(RefusalCode.RATE_LIMITED, self.tag, None, 1000)))
                return
            sent.add(held.number)
            self._context.counters.deliveries += 1
            out.append(SendFrame((peer,), Deliver(held.number, held.envelope)))

    # --- publishes ----------------------------------------------------------------------------

    def publish(self, peer: PeerKey, arrival: Arrival, frame: Publish, now: float, out: Effects) -> None:
        """A client's envelope, whose size, window and budget have been checked.

        Raises:
            PeerError: QUOTA_EXCEEDED, BAD_SIGNATURE or MALFORMED.
        """
        held = self.store.get(arrival.envelope_id)
        if held is None:
            held = self._insert(arrival, None, peer, now, out)
            self.exchange.spread_from_client(held, frame.other_entry, self.committee, out)
        self._client_active_until = now + CLIENT_ACTIVE_SECONDS
        held.add_publisher(peer)
        self._receipt_to(peer, arrival.envelope_id)
        for receipt in held.receipts.values():
            out.append(SendFrame((peer,), receipt))

    def offer(self, peer: PeerKey, frame: Offer, now: float) -> None:
        """A client brought these whole to another seat and wants our receipts too."""
        for envelope_id in frame.ids[:OFFERS_PER_PEER_MAX]:
            held = self.store.get(envelope_id)
            if held is not None:
                held.add_publisher(peer)
                self._receipt_to(peer, envelope_id)
                continue
            if not self.exchange.is_open_with(frame.entry):
                continue
            self._remember_offer(peer, envelope_id)
            self.exchange.heard_of(envelope_id, frame.entry, now, urgent=False)

    def _remember_offer(self, peer: PeerKey, envelope_id: EnvelopeId) -> None:
        if self._offers.pop(envelope_id, None) is None:
            same = [item for item, offerer in self._offers.items() if offerer == peer]
            oldest = same[0] if len(same) >= OFFERS_PER_PEER_MAX else next(iter(self._offers), None)
            if oldest is not None and (len(same) >= OFFERS_PER_PEER_MAX or len(self._offers) >= OFFERS_MAX):
                del self._offers[oldest]
                self.exchange.pulls.arrived(oldest)
        self._offers[envelope_id] = peer

    def pushed(self, seat: NodeKey, arrival: Arrival, now: float, out: Effects) -> None:
        """Another relay's envelope. Raises PeerError as `publish`."""
        held = self.store.get(arrival.envelope_id)
        if held is None:
            held = self._insert(arrival, seat, None, now, out)
            self.exchange.arrived(held, now)
        held.holders.add(seat)
        self._receipt_to(PeerKey(seat), arrival.envelope_id)

    @property
    def clients(self) -> tuple[PeerKey, ...]:
        """Who is subscribed, or waits to be."""
        return (*self.subscribers.peers, *(peer for peer in self._deferred if not self.subscribers.has(peer)))

    @property
    def standing(self) -> TagStanding:
        """What closing it before its end would cost."""
        if len(self.store):
            return TagStanding.HOLDS
        return TagStanding.SUBSCRIBED if self.clients else TagStanding.OPENED

    def lacks_receipt(self, receipt: Receipt) -> bool:
        """Whether another seat's receipt says anything new of what is held here."""
        held = [self.store.get(envelope_id) for envelope_id in receipt.ids]
        return any(item is not None and receipt.seat not in item.receipts for item in held)

    def holds(self, seat: NodeKey, ids: Iterable[EnvelopeId]) -> None:
        """Another relay says that it holds these (perhaps again, after a restart)."""
        for envelope_id in ids:
            held = self.store.get(envelope_id)
            if held is not None:
                held.holders.add(seat)

    def receipt_received(self, receipt: Receipt, out: Effects) -> None:
        """Another seat's receipt, whose signature has been checked: pass it to whoever waits for it."""
        is_ranked = self.committee.rank_of(receipt.seat) is not None
        forward: dict[PeerKey, None] = {}
        for envelope_id in receipt.ids:
            held = self.store.get(envelope_id)
            if held is None:
                continue
            if receipt.seat in held.receipts:
                # Passed on before: restarted seats may have got an envelope from each other, in a circle.
                held.holders.add(receipt.seat)
                continue
            if not is_ranked:
                if held.unranked_receipts >= UNRANKED_RECEIPTS_MAX:
                    continue  # anyone can make keys, and sign with each
                held.unranked_receipts += 1
            held.holders.add(receipt.seat)
            held.receipts[receipt.seat] = receipt
            for publisher in held.publishers:
                forward[publisher] = None
            if not held.publishers and held.source is not None and held.source != receipt.seat:
                forward[PeerKey(held.source)] = None
        if forward:
            out.append(SendFrame(tuple(forward), receipt))

    def _insert(
        self, arrival: Arrival, source: NodeKey | None, publisher: PeerKey | None, now: float, out: Effects
    ) -> Held:
        data = arrival.envelope.data
        context = self._context
        if not self.store.has_room_for(data):
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "no room for this tag", penalty_points=0)
        context.counters.envelopes_checked += 1
        if arrival.envelope.epoch_start != self.descriptor.start:
            raise PeerError(RefusalCode.MALFORMED, "start and tag do not belong together", FORGED_PENALTY_POINTS)
        if not is_signed(arrival.envelope, arrival.digest):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "envelope", FORGED_PENALTY_POINTS)
        if not context.reserve_bytes(len(data)):
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "no room on this relay", penalty_points=0)
        held = self.store.insert(arrival.envelope_id, data, source)
        context.counters.envelopes_stored += 1
        self.subscribers.deliver(held, publisher, out)
        waiting = self._offers.pop(arrival.envelope_id, None)
        if waiting is not None:
            held.add_publisher(waiting)
            self._receipt_to(waiting, arrival.envelope_id)
        return held

    def _receipt_to(self, peer: PeerKey, envelope_id: EnvelopeId) -> None:
        self._receipts_due.setdefault(peer, {})[envelope_id] = None

    # --- the turn's end -----------------------------------------------------------------------

    def flush(self, now: float, out: Effects) -> None:
        """Send the receipts, digests and exchanges that this turn gathered."""
        self.subscribers.flush(out)
        if self._receipts_due:
            self._flush_receipts(out)
        self.exchange.flush(now, out)
        self.fill_due(now, out)

    def _flush_receipts(self, out: Effects) -> None:
        due, self._receipts_due = self._receipts_due, {}
        destinations: dict[tuple[EnvelopeId, ...], list[PeerKey]] = {}
        for peer, items in due.items():
            ids = tuple(items)
            for first in range(0, len(ids), RECEIPT_IDS_MAX):
                destinations.setdefault(ids[first : first + RECEIPT_IDS_MAX], []).append(peer)
        context = self._context
        for group, peers in destinations.items():
            signature = sign_receipt(context.signing_key, self.tag, group, context.node_key)
            context.counters.receipts_signed += 1
            out.append(SendFrame(tuple(peers), Receipt(self.tag, group, context.node_key, signature)))
