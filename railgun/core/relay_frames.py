"""What a relay does with its peers' frames: cheapest check first, refusals with a code and a time to wait.

Owns: dispatch by frame, the order of checks, budgets charged, penalties and refusals.
Must not know: links coming and going, deadlines. Parts: `relay_peers` (budgets), `relay_tags`, `seat`,
`node_directory`.

Peer input never raises out of `received`: a `PeerError` becomes a refusal, a count and a penalty.
"""

from __future__ import annotations

from collections.abc import Callable

from railgun.core.clock import EpochClock
from railgun.core.counters import RelayCounters
from railgun.core.effects import Effects, PenalisePeer, SendFrame
from railgun.core.node_directory import NodeDirectory
from railgun.core.relay_peers import RelayPeer
from railgun.core.relay_tags import RelayTags
from railgun.core.seat import Arrival
from railgun.crypto.receipts import verify_receipt, verify_subscription
from railgun.crypto.sealing import id_of_digest, signed_digest
from railgun.errors import PeerError, RefusalCode
from railgun.limits import (
    IDS_PER_FRAME_MAX,
    RECEIPT_IDS_MAX,
    TAGS_PER_PEER_MAX,
    WORK_FORGED,
    WORK_NAMING_A_REFUSED,
    WORK_OPENING_A_TAG,
)
from railgun.types import ENVELOPE_SIZES_BYTES, EnvelopeId, NodeKey, Tag
from railgun.wire.directory_frames import AdsPush, DirectoryFrame
from railgun.wire.envelope import parse_envelope
from railgun.wire.frames import (
    Frame,
    Offer,
    Publish,
    Pull,
    Receipt,
    Refused,
    SeatExchange,
    SeatOpen,
    SeatPull,
    SeatPush,
    Subscribe,
    SubscriptionMode,
    Unsubscribe,
)

BUSY_RETRY_SECONDS = 10.0
"""What is full of others' things frees itself in time, and no waiting of the asker's hastens it."""


class RelayFrames:
    """Handles every frame of every peer of one relay."""

    def __init__(
        self,
        tags: RelayTags,
        directory: NodeDirectory,
        clock: EpochClock,
        counters: RelayCounters,
        find_ad: Callable[[RelayPeer, float], bool],
    ) -> None:
        """``find_ad`` tells whether a peer is a relay of the directory (see `RelayPeers.find_ad`)."""
        self._tags = tags
        self._directory = directory
        self._clock = clock
        self._counters = counters
        self._find_ad = find_ad
        self._handlers: dict[type, Callable[[RelayPeer, Frame, float, Effects], None]] = {
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
            Refused: self._refused,  # type: ignore[dict-item]
        }

    def received(self, peer: RelayPeer, frame: Frame, now: float, out: Effects) -> None:
        """Do what a frame asks for, or refuse it."""
        try:
            handler = self._handlers.get(type(frame))
            if handler is not None:
                handler(peer, frame, now, out)
            elif isinstance(frame, DirectoryFrame):
                self._directory_frame(peer, frame, now, out)
            else:
                raise PeerError(RefusalCode.MALFORMED, "a frame for clients", penalty_points=5)
        except PeerError as error:
            if error.code is RefusalCode.BAD_SIGNATURE:
                peer.work.spend(WORK_FORGED, now)
            self._refuse(peer, frame, error, now, out)

    def penalise(self, peer: RelayPeer, error: PeerError, out: Effects) -> None:
        """Count a refusal, and tell of it where no honest peer would have caused it."""
        self._counters.refused(error.code)
        if error.penalty_points:
            out.append(PenalisePeer(peer.key, error.code, error.detail, error.penalty_points))

    # --- refusing -----------------------------------------------------------------------------

    def _refuse(self, peer: RelayPeer, frame: Frame, error: PeerError, now: float, out: Effects) -> None:
        self.penalise(peer, error, out)
        if isinstance(frame, Refused):
            return
        retry_after_ms = None
        if error.code is RefusalCode.RATE_LIMITED:
            retry_after_ms = int(1000 * self._wait_seconds(peer, frame, now)) + 1
        elif error.code in (RefusalCode.BUSY, RefusalCode.QUOTA_EXCEEDED):
            retry_after_ms = int(1000 * BUSY_RETRY_SECONDS)
        tag, ids = self._concerned(peer, frame, now)
        out.append(SendFrame((peer.key,), Refused(error.code, tag, ids, retry_after_ms)))

    @staticmethod
    def _wait_seconds(peer: RelayPeer, frame: Frame, now: float) -> float:
        wait = peer.work_wait_seconds(now)
        if isinstance(frame, Publish):
            wait = max(wait, peer.publish_wait_seconds(len(frame.envelope), now))
        if isinstance(frame, SeatPush):
            wait = max(wait, peer.push_bytes.wait_seconds(len(frame.envelope), now))
        return wait

    @staticmethod
    def _concerned(peer: RelayPeer, frame: Frame, now: float) -> tuple[Tag | None, tuple[EnvelopeId, ...] | None]:
        """(tag, ids) that a refusal names. To name a publish is to hash it: that is work, and is paid for."""
        if isinstance(frame, (Subscribe, SeatOpen)):
            return frame.descriptor.tag, None
        if not isinstance(frame, Publish):
            return getattr(frame, "tag", None), None
        if not peer.work.take(WORK_NAMING_A_REFUSED, now):
            return None, None
        try:
            envelope = parse_envelope(frame.envelope)
        except PeerError:
            return None, None
        return envelope.tag, (id_of_digest(signed_digest(envelope)),)

    # --- the directory's frames ---------------------------------------------------------------

    def _directory_frame(self, peer: RelayPeer, frame: DirectoryFrame, now: float, out: Effects) -> None:
        if isinstance(frame, AdsPush) and not peer.is_relay:
            peer.charge(float(len(frame.records)), now)  # each is a signature to check
        self._directory.frame_received(peer.key, frame, self._clock.wall(now), now, out)
        if self._directory.take_changed():
            self._tags.directory_changed(now, out)

    # --- clients' frames ----------------------------------------------------------------------

    def _subscribe(self, peer: RelayPeer, frame: Subscribe, now: float, out: Effects) -> None:
        tag = frame.descriptor.tag
        if self._tags.is_leaving:
            raise PeerError(RefusalCode.BUSY, "this relay is about to leave", penalty_points=0)
        if tag not in peer.tags and len(peer.tags) >= TAGS_PER_PEER_MAX:
            peer.tags = {item: proof for item, proof in peer.tags.items() if item in self._tags.seats}
        if tag not in peer.tags and len(peer.tags) >= TAGS_PER_PEER_MAX:
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "tags of one peer", penalty_points=0)
        if frame.mode is SubscriptionMode.AUDIT and self._audited_again(peer, frame, now, out):
            return
        opener = peer.opener(proved=True)
        is_open = self._tags.check_cheaply(frame.descriptor, opener, now)
        named = self._tags.seats[tag].store.last_number / IDS_PER_FRAME_MAX if is_open else WORK_OPENING_A_TAG
        peer.charge(1.0 + named, now)
        is_proved = peer.tags.get(tag) == (frame.handle, frame.proof)
        if not is_proved and not verify_subscription(tag, self._tags.node_key, peer.key, frame.handle, frame.proof):
            raise PeerError(RefusalCode.BAD_PROOF, "subscription", penalty_points=10)
        seat = self._tags.open(frame.descriptor, opener, now, out)
        seat.subscribe(peer.key, frame, now, out)
        peer.tags[tag] = (frame.handle, frame.proof)
        if frame.seats_hash != seat.seats_hash:
            self._directory.views_differ(peer.key, self._clock.wall(now), now, out)
        if not is_open or not seat.is_own:
            self._tags.settle(seat, now, out)
        if not is_open or frame.mode is not SubscriptionMode.AUDIT:  # an audit of an open tag leaves nothing to be sent
            self._tags.flush_due[tag] = None

    def _audited_again(self, peer: RelayPeer, frame: Subscribe, now: float, out: Effects) -> bool:
        """Answer whoever has shown this tag on this link before and asks what is new in it, as clients do every few
        seconds. False where there is more to look at."""
        tag = frame.descriptor.tag
        seat = self._tags.seats.get(tag)
        if (
            seat is None
            or not seat.is_own
            or peer.tags.get(tag) != (frame.handle, frame.proof)
            or seat.descriptor != frame.descriptor
            or seat.seats_hash != frame.seats_hash
        ):
            return False
        peer.charge(1.0 + seat.store.last_number / IDS_PER_FRAME_MAX, now)
        self._tags.open(frame.descriptor, peer.opener(proved=True), now, out)  # it counts as this peer's from now on
        seat.subscribe(peer.key, frame, now, out)
        return True

    def _unsubscribe(self, peer: RelayPeer, frame: Unsubscribe, now: float, out: Effects) -> None:
        if frame.tag in peer.tags:
            del peer.tags[frame.tag]
            self._tags.client_left(peer.key, frame.tag, now, out)

    def _arrival(self, data: bytes) -> Arrival:
        """Parse an envelope and hash it, once. Raises MalformedInput."""
        if len(data) not in ENVELOPE_SIZES_BYTES:
            self._counters.wrong_size_on_wire += 1
        envelope = parse_envelope(data)
        digest = signed_digest(envelope)
        return Arrival(envelope, digest, id_of_digest(digest))

    def _publish(self, peer: RelayPeer, frame: Publish, now: float, out: Effects) -> None:
        if not peer.may_publish(len(frame.envelope), now):
            raise PeerError(RefusalCode.RATE_LIMITED, "bytes a second", penalty_points=0)
        arrival = self._arrival(frame.envelope)
        seat = self._tags.find(arrival.envelope.tag)
        wall = self._clock.wall(now)
        if wall >= seat.window.accept_until:
            raise PeerError(RefusalCode.TOO_LATE, "the epoch is over", penalty_points=0)
        if not seat.window.accepts(wall):
            raise PeerError(RefusalCode.OUTSIDE_WINDOW, "the epoch is not open", penalty_points=0)
        did_take_part = seat.is_own or seat.takes_part(now)
        seat.publish(peer.key, arrival, frame, now, out)
        if not did_take_part:
            self._tags.settle(seat, now, out)
        self._tags.flush_due[seat.tag] = None

    def _offer(self, peer: RelayPeer, frame: Offer, now: float, out: Effects) -> None:
        peer.charge(1.0 + len(frame.ids) / RECEIPT_IDS_MAX, now)
        self._tags.find(frame.tag).offer(peer.key, frame, now)
        self._tags.flush_due[frame.tag] = None

    def _pull(self, peer: RelayPeer, frame: Pull, now: float, out: Effects) -> None:
        # An audit pulls without being subscribed: whoever knows an id has proved the tag before.
        peer.charge(1.0, now)
        self._tags.find(frame.tag).pull(peer.key, frame, lambda count: peer.may_pull(count, now), out)

    # --- seats' frames ------------------------------------------------------------------------

    def _require_relay(self, peer: RelayPeer, units: float, now: float) -> None:
        """Raises PeerError: NOT_A_SEAT for whoever is no relay of the directory, or RATE_LIMITED."""
        if not self._find_ad(peer, now):
            if peer.says_relay:  # it may be new: its ad is on its way, and it will ask again
                peer.charge(1.0, now)
                raise PeerError(RefusalCode.NOT_A_SEAT, "a relay whose ad is not known here", penalty_points=0)
            raise PeerError(RefusalCode.NOT_A_SEAT, "only relays exchange", penalty_points=5)
        peer.charge(units, now)

    def _seat_open(self, peer: RelayPeer, frame: SeatOpen, now: float, out: Effects) -> None:
        self._require_relay(peer, 1.0, now)
        if not self._tags.check_cheaply(frame.descriptor, peer.opener(proved=False), now):
            peer.charge(WORK_OPENING_A_TAG, now)
        self._tags.opened_by(NodeKey(peer.key), frame, now, out)

    def _seat_push(self, peer: RelayPeer, frame: SeatPush, now: float, out: Effects) -> None:
        self._require_relay(peer, 0.25, now)
        if not peer.push_bytes.take(len(frame.envelope), now):
            raise PeerError(RefusalCode.RATE_LIMITED, "bytes a second", penalty_points=0)
        arrival = self._arrival(frame.envelope)
        seat = self._tags.find(arrival.envelope.tag)
        node = NodeKey(peer.key)
        if not seat.exchange.knows(node) and seat.committee.rank_of(node) is None:
            raise PeerError(RefusalCode.NOT_A_SEAT, "it takes no part in this tag", penalty_points=0)
        if not seat.window.accepts(self._clock.wall(now)) and not seat.exchange.pulls.is_pending(arrival.envelope_id):
            raise PeerError(RefusalCode.TOO_LATE, "the epoch is over, and nobody asked for it", penalty_points=0)
        seat.pushed(node, arrival, now, out)
        self._tags.flush_due[seat.tag] = None

    def _seat_exchange(self, peer: RelayPeer, frame: SeatExchange, now: float, out: Effects) -> None:
        self._require_relay(peer, 0.25 + len(frame.ids) / IDS_PER_FRAME_MAX, now)
        seat = self._tags.find(frame.tag)
        if not seat.exchange.exchange_received(NodeKey(peer.key), frame, now):
            raise PeerError(RefusalCode.UNKNOWN_TAG, "open it first", penalty_points=0)
        self._tags.flush_due[frame.tag] = None

    def _seat_pull(self, peer: RelayPeer, frame: SeatPull, now: float, out: Effects) -> None:
        self._require_relay(peer, 0.25, now)
        seat = self._tags.find(frame.tag)
        for wanted in frame.ids:
            held = seat.store.get(wanted)
            if held is not None and peer.pull_bytes.take(len(held.envelope), now):
                self._counters.pushes_to_seats += 1
                out.append(SendFrame((peer.key,), SeatPush(held.envelope)))

    def _receipt(self, peer: RelayPeer, frame: Receipt, now: float, out: Effects) -> None:
        self._require_relay(peer, 0.25, now)
        seat = self._tags.find(frame.tag)
        if not seat.lacks_receipt(frame):  # nothing of it is passed on
            if frame.seat == NodeKey(peer.key):
                seat.holds(frame.seat, frame.ids)
            return
        peer.charge(0.75, now)
        # Also a seat's own: it is passed on, and whoever gets a forged one blames who passed it on.
        if not verify_receipt(frame):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "receipt", penalty_points=10)
        seat.receipt_received(frame, out)

    def _refused(self, peer: RelayPeer, frame: Refused, now: float, out: Effects) -> None:
        if self._find_ad(peer, now):
            peer.charge(1.0, now)
            self._tags.declined_by(NodeKey(peer.key), frame, now, out)
