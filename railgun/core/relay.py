"""A relay: all its seats, its directory, its peers.

Owns: dispatch of events to the parts, admission of peers' frames (cheapest check first), tags' life times.
Must not know: rooms, sockets, disks. Parts: `seat`, `seat_exchange`, `tag_directory`, `connector`, `liveness`.

Peer input never raises out of `handle`: a `PeerError` becomes a refusal, a count and a penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda, DeadlineName
from railgun.core.budgets import TokenBucket
from railgun.core.clock import EpochClock
from railgun.core.connector import Connector
from railgun.core.counters import RelayCounters
from railgun.core.effects import Disconnect, Effects, PenalisePeer, SendFrame, SendPulse
from railgun.core.epochs import EpochWindow
from railgun.core.events import (
    ClockRead,
    DialFailed,
    Event,
    FrameMalformed,
    FrameReceived,
    PeerConnected,
    PeerDisconnected,
    PulseReceived,
    SendBlocked,
    TimerFired,
    TurnEnded,
)
from railgun.core.liveness import Liveness
from railgun.core.node_directory import NodeDirectory
from railgun.core.relay_limits import RelayLimits
from railgun.core.seat import Seat, SeatContext
from railgun.crypto.receipts import verify_receipt, verify_subscription, verify_tag_descriptor
from railgun.crypto.sealing import envelope_id
from railgun.errors import PeerError, RefusalCode
from railgun.limits import (
    CLIENT_SILENCE_SECONDS,
    PULSE_SECONDS,
    PULSE_TAGS_MAX,
    SEAT_BYTES_MAX,
    TAGS_MAX,
    TAGS_PER_PEER_MAX,
)
from railgun.network import NetworkParameters
from railgun.types import ENVELOPE_SIZES_BYTES, NodeKey, PeerKey, Tag
from railgun.wire.directory_frames import DirectoryFrame
from railgun.wire.envelope import parse_envelope
from railgun.wire.frames import (
    Frame,
    Offer,
    Publish,
    Pull,
    Pulse,
    Receipt,
    Refused,
    SeatExchange,
    SeatOpen,
    SeatPull,
    SeatPush,
    Subscribe,
    TagDescriptor,
    TagNumber,
    Unsubscribe,
)


@dataclass(slots=True)
class _Peer:
    is_relay: bool
    publish_bytes: TokenBucket
    pull_bytes: TokenBucket
    heard_at: float
    tags: dict[Tag, None] = field(default_factory=dict)
    tags_told: int = 0


class RelayMachine:
    """One relay. `handle` is its whole life; `counters` and `seats` may be read at any time."""

    def __init__(
        self,
        *,
        node_key: NodeKey,
        signing_key: bytes,
        incarnation: bytes,
        network: NetworkParameters,
        directory: NodeDirectory,
        relay_limits: RelayLimits | None = None,
    ) -> None:
        """``signing_key``: seed || public key, 64 bytes. ``incarnation``: 8 random bytes, fresh at each start.

        ``directory`` shares this machine's ``agenda`` (see `NodeDirectory`).
        """
        self.node_key = node_key
        self.network = network
        self.agenda: Agenda = directory.agenda
        self.connector: Connector = directory.connector
        self.clock = EpochClock(corrects=False)
        self.counters = RelayCounters()
        self.directory = directory
        self.liveness = Liveness(self.agenda)
        self.seats: dict[Tag, Seat] = {}
        self._peers: dict[PeerKey, _Peer] = {}
        self._held_bytes = 0
        self._limits = relay_limits or RelayLimits()
        self._context = SeatContext(
            node_key,
            signing_key,
            incarnation,
            self.agenda,
            self.counters,
            self._reserve_bytes,
            self._limits.tag_bytes_max,
        )
        self._flush_due: dict[Tag, None] = {}
        self._frame_handlers: dict[type, Callable[[PeerKey, _Peer, Frame, float, Effects], None]] = {
            Subscribe: self._subscribe,  # type: ignore[dict-item]
            Unsubscribe: self._unsubscribe,  # type: ignore[dict-item]
            Publish: self._publish,  # type: ignore[dict-item]
            Offer: self._offer,  # type: ignore[dict-item]
            Pull: self._pull,  # type: ignore[dict-item]
            SeatOpen: self._seat_open,  # type: ignore[dict-item]
            SeatPush: self._seat_push,  # type: ignore[dict-item]
            SeatExchange: self._seat_exchange,  # type: ignore[dict-item]
            SeatPull: self._seat_pull,  # type: ignore[dict-item]
            Receipt: self._receipt,  # type: ignore[dict-item]
        }

    # --- events -------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> Effects:
        """Take one event; return what is to be done."""
        out: Effects = []
        match event:
            case FrameReceived(peer, frame):
                self._frame_received(peer, frame, now, out)
            case PulseReceived(peer, pulse):
                self._pulse_received(peer, pulse, now, out)
            case TurnEnded():
                self._turn_ended(now, out)
            case TimerFired(generation):
                if self.agenda.is_current(generation):
                    self.agenda.fired()
                    for name in self.agenda.take_due(now):
                        self._due(name, now, out)
            case PeerConnected():
                self._peer_connected(event, now, out)
            case PeerDisconnected(peer, _, retry):
                self._peer_gone(peer, retry, now)
            case DialFailed(peer, _, retry):
                self.connector.lost(peer, retry, now)
            case FrameMalformed(peer, detail):
                self.counters.malformed_frames += 1
                self._penalise(peer, PeerError(RefusalCode.MALFORMED, detail, 10), out)
            case SendBlocked():
                self.counters.frames_blocked += 1
            case ClockRead(offset):
                self.clock.read(offset)
                self.directory.started(self.clock.wall(now), now, out)
            case _:
                pass
        self.agenda.arm(out)
        return out

    @property
    def turn_due(self) -> bool:
        """Whether `TurnEnded` would do anything; the shell may spare itself the event."""
        return bool(self._flush_due)

    def state_sizes(self) -> dict[str, int]:
        """How much is held, for checks that it returns to its baseline."""
        return {
            "peers": len(self._peers),
            "seats": len(self.seats),
            "held_bytes": self._held_bytes,
            "agenda": len(self.agenda),
        }

    def _peer_connected(self, event: PeerConnected, now: float, out: Effects) -> None:
        self._peers[event.peer] = _Peer(
            event.is_relay,
            TokenBucket(self._limits.publish_bytes_per_second, self._limits.publish_bytes_burst, now),
            TokenBucket(self._limits.pull_bytes_per_second, self._limits.pull_bytes_burst, now),
            now,
        )
        self.connector.connected(event, now)
        self.directory.peer_connected(event.peer, now, out, is_relay=event.is_relay)
        if not event.is_relay:
            self.agenda.set(("client-silence", event.peer), now + CLIENT_SILENCE_SECONDS)
            return
        self.clock.sample(event.peer, event.clock_offset_seconds)
        node = NodeKey(event.peer)
        for tag, seat in self.seats.items():
            if seat.committee.rank_of(node) is not None and self.connector.is_wanted(event.peer):
                seat.exchange.open_with(node, seat.committee.seats_hash, out)
                self.liveness.watch(event.peer, ("seat", tag), PULSE_SECONDS, now)
                self._flush_due[tag] = None

    def _peer_gone(self, peer: PeerKey, retry_after_seconds: float | None, now: float) -> None:
        self._peers.pop(peer, None)
        self.agenda.cancel(("client-silence", peer))
        self.liveness.forget(peer)
        self.connector.lost(peer, retry_after_seconds, now)
        self.directory.peer_gone(peer)
        for seat in self.seats.values():
            seat.drop_peer(peer)

    def _turn_ended(self, now: float, out: Effects) -> None:
        if self._flush_due:
            due, self._flush_due = self._flush_due, {}
            for tag in due:
                seat = self.seats.get(tag)
                if seat is not None:
                    seat.flush(now, out)

    def _due(self, name: DeadlineName, now: float, out: Effects) -> None:
        match name:
            case ("exchange", tag) if tag in self.seats:
                self.seats[tag].exchange.exchange_due(now, out)
            case ("seat-pull", tag) if tag in self.seats:
                self.seats[tag].exchange.pull_due(now, out)
            case ("tag-end", tag):
                self._close_tag(tag)
            case ("pulse", peer):
                sequence = self.liveness.pulse_due(peer, now)
                if sequence is not None:
                    out.append(SendPulse(peer, Pulse(sequence, 0, True, ())))
            case ("silence", peer):
                if self.liveness.silence_due(peer, now):
                    out.append(Disconnect(peer, RefusalCode.REPLACED))
                    self._peer_gone(peer, None, now)
            case ("client-silence", peer):
                self._client_silence_due(peer, now, out)
            case ("dial", peer):
                self.connector.dial_due(peer, now, out)
            case _:
                self.directory.due(name, self.clock.wall(now), now, out)
                if self.directory.take_changed():
                    self._directory_changed(now, out)

    def _client_silence_due(self, peer: PeerKey, now: float, out: Effects) -> None:
        standing = self._peers.get(peer)
        if standing is None:
            return
        deadline = standing.heard_at + CLIENT_SILENCE_SECONDS
        if now < deadline:
            self.agenda.set(("client-silence", peer), deadline)
            return
        out.append(Disconnect(peer, RefusalCode.REPLACED))
        self._peer_gone(peer, None, now)

    # --- frames -------------------------------------------------------------------------------

    def _frame_received(self, peer_key: PeerKey, frame: Frame, now: float, out: Effects) -> None:
        peer = self._peers.get(peer_key)
        if peer is None:
            return
        peer.heard_at = now
        self.liveness.heard(peer_key, now)
        try:
            handler = self._frame_handlers.get(type(frame))
            if handler is not None:
                handler(peer_key, peer, frame, now, out)
            elif isinstance(frame, DirectoryFrame):
                self.directory.frame_received(peer_key, frame, self.clock.wall(now), now, out)
                if self.directory.take_changed():
                    self._directory_changed(now, out)
        except PeerError as error:
            self._refuse(peer_key, frame, error, out)

    def _refuse(self, peer: PeerKey, frame: Frame, error: PeerError, out: Effects) -> None:
        retry_after_ms = None
        tag, ids = getattr(frame, "tag", None), None
        if isinstance(frame, Publish):
            try:
                ids = (envelope_id(frame.envelope),)
                tag = parse_envelope(frame.envelope).tag
            except PeerError:
                ids = None
            if error.code is RefusalCode.RATE_LIMITED:
                bucket = self._peers[peer].publish_bytes
                retry_after_ms = int(1000 * bucket.wait_seconds(len(frame.envelope), self._peers[peer].heard_at)) + 1
        if isinstance(frame, (Subscribe, SeatOpen)):
            tag = frame.descriptor.tag
        out.append(SendFrame((peer,), Refused(error.code, tag, ids, retry_after_ms)))
        self._penalise(peer, error, out)

    def _penalise(self, peer: PeerKey, error: PeerError, out: Effects) -> None:
        self.counters.refused(error.code)
        if error.penalty_points:
            out.append(PenalisePeer(peer, error.code, error.detail, error.penalty_points))

    def _pulse_received(self, peer_key: PeerKey, pulse: Pulse, now: float, out: Effects) -> None:
        peer = self._peers.get(peer_key)
        if peer is None:
            return
        peer.heard_at = now
        self.liveness.heard(peer_key, now)
        if not pulse.wants_echo:
            return
        tags = list(peer.tags)
        if len(tags) > PULSE_TAGS_MAX:
            start = peer.tags_told % len(tags)
            tags = (tags[start:] + tags[:start])[:PULSE_TAGS_MAX]
            peer.tags_told += PULSE_TAGS_MAX
        numbers = tuple(TagNumber(tag, self.seats[tag].store.last_number) for tag in tags if tag in self.seats)
        out.append(SendPulse(peer_key, Pulse(0, pulse.sequence, False, numbers)))

    # --- tags ---------------------------------------------------------------------------------

    def _reserve_bytes(self, count: int) -> bool:
        if self._held_bytes + count > SEAT_BYTES_MAX:
            return False
        self._held_bytes += count
        return True

    def _open_tag(self, descriptor: TagDescriptor, now: float, out: Effects) -> Seat:
        """The seat of a descriptor, opened if need be. Raises PeerError where it may not be."""
        standing = self.seats.get(descriptor.tag)
        if standing is not None and standing.descriptor == descriptor:
            return standing
        window = EpochWindow.of(descriptor.start, self.network)
        wall = self.clock.wall(now)
        if not window.accept_from <= wall < window.keep_until:
            raise PeerError(RefusalCode.OUTSIDE_WINDOW, "the tag's epoch", penalty_points=0)
        if standing is None and len(self.seats) >= TAGS_MAX:
            raise PeerError(RefusalCode.BUSY, "tags", penalty_points=0)
        if not verify_tag_descriptor(descriptor):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "tag descriptor", penalty_points=10)
        if standing is not None:
            self._settle_conflict(standing, descriptor, wall)
            return standing
        committee = self.directory.committee(descriptor.tag, descriptor.start, descriptor.committee_size, wall)
        if committee.rank_of(self.node_key) is None:
            raise PeerError(RefusalCode.NOT_A_SEAT, "not among the ranks kept", penalty_points=0)
        seat = self.seats[descriptor.tag] = Seat(self._context, descriptor, committee, window)
        self.counters.tags_opened += 1
        self.agenda.set(("tag-end", descriptor.tag), now + (window.keep_until - wall))
        self._link_seats(seat, now, out)
        return seat

    def _settle_conflict(self, seat: Seat, descriptor: TagDescriptor, wall: float) -> None:
        """Of two descriptors signed by one r_e the bytewise smaller wins, whatever came first."""
        if (descriptor.start, descriptor.committee_size, descriptor.gate) < (
            seat.descriptor.start,
            seat.descriptor.committee_size,
            seat.descriptor.gate,
        ):
            self.counters.refused(RefusalCode.CONFLICT)
            seat.descriptor = descriptor
            seat.committee = self.directory.committee(descriptor.tag, descriptor.start, descriptor.committee_size, wall)

    def _link_seats(self, seat: Seat, now: float, out: Effects) -> None:
        if self.node_key not in seat.committee.seat_keys:
            return
        for ad in seat.committee.seats:
            if ad.node_key == self.node_key:
                continue
            peer = PeerKey(ad.node_key)
            self.connector.want(("seat", seat.descriptor.tag), ad.contact(), now, out)
            if self.connector.is_linked(peer) and ad.node_key not in seat.exchange.others:
                seat.exchange.open_with(ad.node_key, seat.committee.seats_hash, out)
                self.liveness.watch(peer, ("seat", seat.descriptor.tag), PULSE_SECONDS, now)

    def _close_tag(self, tag: Tag) -> None:
        seat = self.seats.pop(tag, None)
        if seat is None:
            return
        self._held_bytes -= seat.store.held_bytes
        self.agenda.cancel(("exchange", tag))
        self.agenda.cancel(("seat-pull", tag))
        for ad in seat.committee.ranking:
            self.connector.release(("seat", tag), ad.node_key)
        for other in seat.exchange.others:
            self.liveness.unwatch(PeerKey(other), ("seat", tag))
        for standing in self._peers.values():
            standing.tags.pop(tag, None)

    def _directory_changed(self, now: float, out: Effects) -> None:
        wall = self.clock.wall(now)
        for seat in self.seats.values():
            committee = self.directory.committee(
                seat.descriptor.tag, seat.descriptor.start, seat.descriptor.committee_size, wall
            )
            if committee.ranking == seat.committee.ranking:
                continue
            for ad in seat.committee.seats:
                if ad.node_key not in committee.seat_keys:
                    self._part(seat, ad.node_key)
            seat.committee = committee
            self._link_seats(seat, now, out)

    def _part(self, seat: Seat, other: NodeKey) -> None:
        """The directory no longer names ``other`` as a seat: it gets no more of this tag from us."""
        tag = seat.descriptor.tag
        self.connector.release(("seat", tag), other)
        self.liveness.unwatch(PeerKey(other), ("seat", tag))
        seat.exchange.peer_gone(other)

    def _seat(self, tag: Tag) -> Seat:
        seat = self.seats.get(tag)
        if seat is None:
            raise PeerError(RefusalCode.UNKNOWN_TAG, "open it first", penalty_points=0)
        return seat

    # --- clients' frames ----------------------------------------------------------------------

    def _subscribe(self, peer_key: PeerKey, peer: _Peer, frame: Subscribe, now: float, out: Effects) -> None:
        tag = frame.descriptor.tag
        if tag not in peer.tags and len(peer.tags) >= TAGS_PER_PEER_MAX:
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "tags of one peer", penalty_points=0)
        if not verify_subscription(tag, self.node_key, peer_key, frame.handle, frame.proof):
            raise PeerError(RefusalCode.BAD_PROOF, "subscription", penalty_points=10)
        seat = self._open_tag(frame.descriptor, now, out)
        seat.subscribe(peer_key, frame, out)
        if seat.is_subscribed(peer_key):
            peer.tags[tag] = None
        if frame.seats_hash != seat.committee.seats_hash:
            self.directory.views_differ(peer_key, self.clock.wall(now), now, out)
        self._flush_due[tag] = None

    def _unsubscribe(self, peer_key: PeerKey, peer: _Peer, frame: Unsubscribe, now: float, out: Effects) -> None:
        peer.tags.pop(frame.tag, None)
        seat = self.seats.get(frame.tag)
        if seat is not None:
            seat.drop_peer(peer_key)

    def _publish(self, peer_key: PeerKey, peer: _Peer, frame: Publish, now: float, out: Effects) -> None:
        if len(frame.envelope) not in ENVELOPE_SIZES_BYTES:
            self.counters.wrong_size_on_wire += 1
        header = parse_envelope(frame.envelope).header
        seat = self._seat(header.tag)
        wall = self.clock.wall(now)
        if wall >= seat.window.accept_until:
            raise PeerError(RefusalCode.TOO_LATE, "the epoch is over", penalty_points=0)
        if not seat.window.accepts(wall):
            raise PeerError(RefusalCode.OUTSIDE_WINDOW, "the epoch is not open", penalty_points=0)
        if not peer.publish_bytes.take(len(frame.envelope), now):
            raise PeerError(RefusalCode.RATE_LIMITED, "bytes a second", penalty_points=0)
        seat.publish(peer_key, envelope_id(frame.envelope), frame, out)
        self._flush_due[header.tag] = None

    def _offer(self, peer_key: PeerKey, peer: _Peer, frame: Offer, now: float, out: Effects) -> None:
        self._seat(frame.tag).offer(peer_key, frame, now)
        self._flush_due[frame.tag] = None

    def _pull(self, peer_key: PeerKey, peer: _Peer, frame: Pull, now: float, out: Effects) -> None:
        # An audit pulls without being subscribed: whoever knows an id has proved the tag before.
        self._seat(frame.tag).pull(peer_key, frame, lambda count: peer.pull_bytes.take(count, now), out)

    # --- seats' frames ------------------------------------------------------------------------

    def _require_relay(self, peer: _Peer) -> None:
        if not peer.is_relay:
            raise PeerError(RefusalCode.NOT_A_SEAT, "only relays exchange", penalty_points=5)

    def _seat_open(self, peer_key: PeerKey, peer: _Peer, frame: SeatOpen, now: float, out: Effects) -> None:
        self._require_relay(peer)
        seat = self._open_tag(frame.descriptor, now, out)
        node = NodeKey(peer_key)
        if frame.reply:
            seat.exchange.open_with(node, seat.committee.seats_hash, out, reply=False)
        seat.exchange.opened_by(node)
        self.liveness.watch(peer_key, ("seat", frame.descriptor.tag), PULSE_SECONDS, now)
        if frame.seats_hash != seat.committee.seats_hash:
            self.directory.views_differ(peer_key, self.clock.wall(now), now, out)

    def _seat_push(self, peer_key: PeerKey, peer: _Peer, frame: SeatPush, now: float, out: Effects) -> None:
        self._require_relay(peer)
        if len(frame.envelope) not in ENVELOPE_SIZES_BYTES:
            self.counters.wrong_size_on_wire += 1
        header = parse_envelope(frame.envelope).header
        self._seat(header.tag).pushed(NodeKey(peer_key), envelope_id(frame.envelope), frame.envelope, out)
        self._flush_due[header.tag] = None

    def _seat_exchange(self, peer_key: PeerKey, peer: _Peer, frame: SeatExchange, now: float, out: Effects) -> None:
        self._require_relay(peer)
        self._seat(frame.tag).exchange.exchange_received(NodeKey(peer_key), frame, now)
        self._flush_due[frame.tag] = None

    def _seat_pull(self, peer_key: PeerKey, peer: _Peer, frame: SeatPull, now: float, out: Effects) -> None:
        self._require_relay(peer)
        seat = self._seat(frame.tag)
        for wanted in frame.ids:
            held = seat.store.get(wanted)
            if held is not None and peer.pull_bytes.take(len(held.envelope), now):
                self.counters.pushes_to_seats += 1
                out.append(SendFrame((peer_key,), SeatPush(held.envelope)))

    def _receipt(self, peer_key: PeerKey, peer: _Peer, frame: Receipt, now: float, out: Effects) -> None:
        self._require_relay(peer)
        # The link has proved its own key; a receipt of somebody else has to prove itself.
        if frame.seat != NodeKey(peer_key) and not verify_receipt(frame):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "receipt", penalty_points=10)
        self._seat(frame.tag).receipt_received(frame, out)
