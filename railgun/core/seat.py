"""One seat of one tag's committee: a relay's half of a message's way.

Owns: checking, storing, delivering and receipting the envelopes of one tag, and its subscribers
(spec: message way). Seat-to-seat traffic is `railgun.core.seat_exchange`.
Must not know: rooms, keys of rooms, members, sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee
from railgun.core.counters import RelayCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.epochs import EpochWindow
from railgun.core.seat_exchange import SeatExchanger
from railgun.core.tag_store import Held, TagStore
from railgun.crypto.receipts import sign_receipt
from railgun.crypto.sealing import check_envelope
from railgun.errors import PeerError, RefusalCode
from railgun.limits import IDS_PER_FRAME_MAX, RECEIPT_IDS_MAX, TAG_BYTES_MAX, TAG_SUBSCRIBERS_MAX
from railgun.types import EnvelopeId, NodeKey, PeerKey
from railgun.wire.frames import (
    Deliver,
    Digest,
    Offer,
    Publish,
    Pull,
    Receipt,
    Refused,
    Subscribe,
    Subscribed,
    SubscriptionMode,
    TagDescriptor,
)

OFFERS_MAX = 256
"""Ids that clients announced and nobody has brought yet; the oldest gives way."""


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


@dataclass(slots=True)
class _Subscriber:
    mode: SubscriptionMode
    sent_through: int


class Seat:
    """Serves one tag from its first descriptor to the end of its retention."""

    def __init__(
        self, context: SeatContext, descriptor: TagDescriptor, committee: Committee, window: EpochWindow
    ) -> None:
        self._context = context
        self.descriptor = descriptor
        self.committee = committee
        self.window = window
        self.store = TagStore(context.tag_bytes_max)
        self.exchange = SeatExchanger(context.node_key, descriptor, self.store, context.agenda, context.counters)
        self._subscribers: dict[PeerKey, _Subscriber] = {}
        self._receipts_due: dict[PeerKey, list[EnvelopeId]] = {}
        self._offers: dict[EnvelopeId, PeerKey] = {}
        self._digests_due = False

    @property
    def subscribers_count(self) -> int:
        return len(self._subscribers)

    def is_subscribed(self, peer: PeerKey) -> bool:
        return peer in self._subscribers

    # --- subscribers --------------------------------------------------------------------------

    def subscribe(self, peer: PeerKey, frame: Subscribe, out: Effects) -> None:
        """Serve a subscriber whose proof has been checked, and send all ids that it lacks."""
        if (
            frame.mode is not SubscriptionMode.AUDIT
            and peer not in self._subscribers
            and len(self._subscribers) >= TAG_SUBSCRIBERS_MAX
        ):
            raise PeerError(RefusalCode.BUSY, "subscribers", penalty_points=0)
        last = self.store.last_number
        out.append(
            SendFrame(
                (peer,),
                Subscribed(
                    frame.descriptor.tag, frame.mode, self.committee.seats_hash, self._context.incarnation, last
                ),
            )
        )
        known = frame.from_number if frame.incarnation == self._context.incarnation else 1
        for first in range(max(known, 1), last + 1, IDS_PER_FRAME_MAX):
            ids = self.store.ids_from(first, IDS_PER_FRAME_MAX)
            out.append(SendFrame((peer,), Digest(self.descriptor.tag, first, ids)))
        if frame.mode is not SubscriptionMode.AUDIT:
            self._subscribers[peer] = _Subscriber(frame.mode, last)

    def drop_peer(self, peer: PeerKey) -> None:
        """The peer unsubscribed or is gone."""
        self._subscribers.pop(peer, None)
        self._receipts_due.pop(peer, None)
        self.exchange.peer_gone(NodeKey(peer))

    def pull(self, peer: PeerKey, frame: Pull, allows: Callable[[int], bool], out: Effects) -> None:
        """Send what is held of what was asked for, as far as the peer's budget ``allows`` bytes."""
        wanted = [self.store.by_number(number) for number in frame.numbers]
        wanted += [self.store.get(envelope_id) for envelope_id in frame.ids]
        absent = tuple(envelope_id for envelope_id in frame.ids if self.store.get(envelope_id) is None)
        sent: set[int] = set()
        for held in wanted:
            if held is None or held.number in sent:
                continue
            if not allows(len(held.envelope)):
                self._context.counters.refused(RefusalCode.RATE_LIMITED)
                out.append(SendFrame((peer,), Refused(RefusalCode.RATE_LIMITED, self.descriptor.tag, None, 1000)))
                return
            sent.add(held.number)
            self._context.counters.deliveries += 1
            out.append(SendFrame((peer,), Deliver(held.number, held.envelope)))
        if absent:
            out.append(SendFrame((peer,), Refused(RefusalCode.MALFORMED, self.descriptor.tag, absent, None)))

    # --- publishes ----------------------------------------------------------------------------

    def publish(self, peer: PeerKey, envelope_id: EnvelopeId, frame: Publish, out: Effects) -> None:
        """A client's envelope, whose size, window and budget have been checked.

        Raises:
            PeerError: QUOTA_EXCEEDED or BAD_SIGNATURE.
        """
        held = self.store.get(envelope_id)
        if held is None:
            held = self._insert(envelope_id, frame.envelope, None, peer, out)
            self.exchange.spread_from_client(held, frame.other_entry, self.committee, out)
        held.add_publisher(peer)
        self._receipt_to(peer, envelope_id)
        for receipt in held.receipts.values():
            out.append(SendFrame((peer,), receipt))

    def offer(self, peer: PeerKey, frame: Offer, now: float) -> None:
        """A client brought these whole to another seat and wants our receipts too."""
        for envelope_id in frame.ids:
            held = self.store.get(envelope_id)
            if held is not None:
                held.add_publisher(peer)
                self._receipt_to(peer, envelope_id)
                continue
            self._offers.pop(envelope_id, None)
            self._offers[envelope_id] = peer
            if len(self._offers) > OFFERS_MAX:
                del self._offers[next(iter(self._offers))]
            self.exchange.heard_of(envelope_id, frame.entry, now, urgent=False)

    def pushed(self, seat: NodeKey, envelope_id: EnvelopeId, envelope: bytes, out: Effects) -> None:
        """Another relay's envelope. Raises PeerError as `publish`."""
        held = self.store.get(envelope_id)
        if held is None:
            held = self._insert(envelope_id, envelope, seat, None, out)
            self.exchange.arrived(held)
        held.holders.add(seat)
        self._receipt_to(PeerKey(seat), envelope_id)

    def receipt_received(self, receipt: Receipt, out: Effects) -> None:
        """Another seat's receipt, whose origin has been checked: pass it to whoever waits for it."""
        forward: dict[PeerKey, None] = {}
        for envelope_id in receipt.ids:
            held = self.store.get(envelope_id)
            if held is None:
                continue
            held.holders.add(receipt.seat)
            held.receipts[receipt.seat] = receipt
            for publisher in held.publishers:
                forward[publisher] = None
            if not held.publishers and held.source is not None and held.source != receipt.seat:
                forward[PeerKey(held.source)] = None
        if forward:
            out.append(SendFrame(tuple(forward), receipt))

    def _insert(
        self, envelope_id: EnvelopeId, envelope: bytes, source: NodeKey | None, publisher: PeerKey | None, out: Effects
    ) -> Held:
        if not self.store.has_room_for(envelope) or not self._context.reserve_bytes(len(envelope)):
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "no room for this tag", penalty_points=0)
        self._context.counters.envelopes_checked += 1
        header, checked_id = check_envelope(envelope)
        if header.epoch_start != self.descriptor.start or checked_id != envelope_id:
            raise PeerError(RefusalCode.MALFORMED, "start and tag do not belong together")
        held = self.store.insert(envelope_id, envelope, source)
        self._context.counters.envelopes_stored += 1
        self._deliver(held, publisher, out)
        waiting = self._offers.pop(envelope_id, None)
        if waiting is not None:
            held.add_publisher(waiting)
            self._receipt_to(waiting, envelope_id)
        return held

    def _deliver(self, held: Held, publisher: PeerKey | None, out: Effects) -> None:
        """To every primary at once; secondaries, and the publisher itself, get a digest at the turn's end."""
        primaries = []
        for peer, subscriber in self._subscribers.items():
            if subscriber.mode is SubscriptionMode.PRIMARY and peer != publisher:
                if subscriber.sent_through == held.number - 1:
                    subscriber.sent_through = held.number
                primaries.append(peer)
            else:
                self._digests_due = True
        if primaries:
            self._context.counters.deliveries += len(primaries)
            out.append(SendFrame(tuple(primaries), Deliver(held.number, held.envelope)))

    def _receipt_to(self, peer: PeerKey, envelope_id: EnvelopeId) -> None:
        due = self._receipts_due.setdefault(peer, [])
        if envelope_id not in due[-8:]:
            due.append(envelope_id)

    # --- the turn's end -----------------------------------------------------------------------

    def flush(self, now: float, out: Effects) -> None:
        """Send the receipts, digests and exchanges that this turn gathered."""
        if self._digests_due:
            self._flush_digests(out)
        if self._receipts_due:
            self._flush_receipts(out)
        self.exchange.flush(now, out)

    def _flush_digests(self, out: Effects) -> None:
        self._digests_due = False
        last = self.store.last_number
        behind: dict[int, list[PeerKey]] = {}
        for peer, subscriber in self._subscribers.items():
            if subscriber.sent_through < last:
                behind.setdefault(subscriber.sent_through, []).append(peer)
                subscriber.sent_through = last
        for sent_through, peers in behind.items():
            for first in range(sent_through + 1, last + 1, IDS_PER_FRAME_MAX):
                ids = self.store.ids_from(first, IDS_PER_FRAME_MAX)
                out.append(SendFrame(tuple(peers), Digest(self.descriptor.tag, first, ids)))

    def _flush_receipts(self, out: Effects) -> None:
        due, self._receipts_due = self._receipts_due, {}
        destinations: dict[tuple[EnvelopeId, ...], list[PeerKey]] = {}
        for peer, ids in due.items():
            for first in range(0, len(ids), RECEIPT_IDS_MAX):
                destinations.setdefault(tuple(ids[first : first + RECEIPT_IDS_MAX]), []).append(peer)
        context = self._context
        for group, peers in destinations.items():
            signature = sign_receipt(context.signing_key, self.descriptor.tag, group, context.node_key)
            context.counters.receipts_signed += 1
            out.append(SendFrame(tuple(peers), Receipt(self.descriptor.tag, group, context.node_key, signature)))
