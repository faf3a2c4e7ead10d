"""A relay: its peers, their budgets, its tags, its directory.

Owns: dispatch of events to the parts, admission of peers' frames (cheapest check first), budgets.
Must not know: rooms, sockets, disks. Parts: `relay_tags`, `seat`, `node_directory`, `connector`, `liveness`.

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
from railgun.core.effects import Disconnect, Effects, Notify, PenalisePeer, SendFrame, SendPulse
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
    ended_idle,
)
from railgun.core.liveness import Liveness
from railgun.core.node_directory import NodeDirectory
from railgun.core.notifications import ClockCorrected
from railgun.core.relay_limits import RelayLimits
from railgun.core.relay_tags import RelayTags
from railgun.core.seat import Arrival, Seat, SeatContext
from railgun.crypto.receipts import verify_receipt, verify_subscription
from railgun.crypto.sealing import id_of_digest, signed_digest
from railgun.errors import PeerError, RefusalCode
from railgun.limits import (
    CLIENT_SILENCE_SECONDS,
    IDS_PER_FRAME_MAX,
    PULSE_TAGS_MAX,
    PULSES_BURST,
    PULSES_PER_SECOND,
    RECEIPT_IDS_MAX,
    SEAT_BYTES_MAX,
    TAGS_PER_PEER_MAX,
    WORK_BURST,
    WORK_FORGED,
    WORK_OF_RELAY_BURST,
    WORK_OF_RELAY_PER_SECOND,
    WORK_OPENING_A_TAG,
    WORK_PER_SECOND,
)
from railgun.network import NetworkParameters
from railgun.types import ENVELOPE_SIZES_BYTES, Handle, NodeKey, PeerKey, Tag
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
    TagNumber,
    Unsubscribe,
)

SWEEP_SECONDS = 10.0
TAG_DEADLINES = frozenset({"exchange", "seat-pull", "filled", "phase", "tag-end"})


@dataclass(slots=True)
class _Peer:
    is_relay: bool
    publish_bytes: TokenBucket
    pull_bytes: TokenBucket
    work: TokenBucket
    pulses: TokenBucket
    heard_at: float
    tags: dict[Tag, tuple[Handle, bytes]] = field(default_factory=dict)
    """Tags that it has proved, with handle and proof: the same need not be checked again on the same link."""
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
        self.clock = EpochClock(corrects=True)
        self.counters = RelayCounters()
        self.directory = directory
        self.liveness = Liveness(self.agenda, PeerKey(node_key))
        self._peers: dict[PeerKey, _Peer] = {}
        self._held_bytes = 0
        self._clock_told = 0.0
        self._limits = relay_limits or RelayLimits()
        context = SeatContext(
            node_key,
            signing_key,
            incarnation,
            self.agenda,
            self.counters,
            self._reserve_bytes,
            self._limits.tag_bytes_max,
        )
        self.tags = RelayTags(context, network, directory, self.liveness, self.clock, self._release_bytes)
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
            Refused: self._refused,  # type: ignore[dict-item]
        }

    @property
    def seats(self) -> dict[Tag, Seat]:
        """The tags that are open here."""
        return self.tags.seats

    # --- events -------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> Effects:
        """Take one event; return what is to be done."""
        out: Effects = []
        kind = type(event)  # the frequent ones first, and without matching
        if kind is FrameReceived:
            self._frame_received(event.peer, event.frame, now, out)  # type: ignore[union-attr]
        elif kind is PulseReceived:
            self._pulse_received(event.peer, event.pulse, now, out)  # type: ignore[union-attr]
        elif kind is TimerFired:
            if self.agenda.is_current(event.generation):  # type: ignore[union-attr]
                self.agenda.fired()
                for name in self.agenda.take_due(now):
                    self._due(name, now, out)
        elif kind is TurnEnded:
            self.tags.flush(now, out)
        else:
            self._rare(event, now, out)
        self.agenda.arm(out)
        return out

    def _rare(self, event: Event, now: float, out: Effects) -> None:
        match event:
            case PeerConnected():
                self._peer_connected(event, now, out)
            case PeerDisconnected(peer, reason, retry):
                if peer in self._peers:
                    self._peer_gone(peer, retry, now, out, idle=ended_idle(reason))
            case DialFailed(peer, _, retry):
                newly = self.connector.lost(peer, retry, now)
                self.tags.relay_gone(NodeKey(peer), now, out, newly=newly)
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

    @property
    def turn_due(self) -> bool:
        """Whether `TurnEnded` would do anything; the shell may spare itself the event."""
        return bool(self.tags.flush_due)

    def state_sizes(self) -> dict[str, int]:
        """How much is held, for checks that it returns to its baseline."""
        return {
            "peers": len(self._peers),
            "seats": len(self.seats),
            "held_bytes": self._held_bytes,
            "agenda": len(self.agenda),
            "watched": len(self.liveness),
            "wanted": self.connector.wanted_count,
        }

    def _reserve_bytes(self, count: int) -> bool:
        if self._held_bytes + count > SEAT_BYTES_MAX:
            return False
        self._held_bytes += count
        return True

    def _release_bytes(self, count: int) -> None:
        self._held_bytes -= count

    # --- peers --------------------------------------------------------------------------------

    def _peer_connected(self, event: PeerConnected, now: float, out: Effects) -> None:
        limits = self._limits
        work = (WORK_OF_RELAY_PER_SECOND, WORK_OF_RELAY_BURST) if event.is_relay else (WORK_PER_SECOND, WORK_BURST)
        self._peers[event.peer] = _Peer(
            event.is_relay,
            TokenBucket(limits.publish_bytes_per_second, limits.publish_bytes_burst, now),
            TokenBucket(limits.pull_bytes_per_second, limits.pull_bytes_burst, now),
            TokenBucket(*work, now),
            TokenBucket(PULSES_PER_SECOND, PULSES_BURST, now),
            now,
        )
        self.connector.connected(event, now)
        self.directory.peer_connected(event.peer, now, out, is_relay=event.is_relay)
        if not event.is_relay:
            self.agenda.set_earlier(("sweep",), now + SWEEP_SECONDS)
            return
        if not event.inbound:  # whoever dials us must not choose our time
            self.clock.sample(event.peer, event.clock_offset_seconds)
            self._tell_clock(out)
        self.tags.relay_connected(NodeKey(event.peer), now, out)

    def _tell_clock(self, out: Effects) -> None:
        """Say so when the clock is off, and again when that has changed."""
        correction, half_overlap = self.clock.correction_seconds, self.network.overlap_seconds / 2
        if abs(correction - self._clock_told) > half_overlap / 4:
            self._clock_told = correction
            out.append(Notify(ClockCorrected(correction, abs(correction) > half_overlap)))

    def _peer_gone(
        self, peer_key: PeerKey, retry_after_seconds: float | None, now: float, out: Effects, *, idle: bool = False
    ) -> None:
        peer = self._peers.pop(peer_key, None)
        self.liveness.forget(peer_key)
        newly = self.connector.lost(peer_key, retry_after_seconds, now, idle=idle)
        self.directory.peer_gone(peer_key)
        if peer is None:
            return
        if peer.is_relay:
            self.tags.relay_gone(NodeKey(peer_key), now, out, newly=newly and not idle)
        for tag in peer.tags:
            self.tags.client_left(peer_key, tag, now, out)

    # --- deadlines ----------------------------------------------------------------------------

    def _due(self, name: DeadlineName, now: float, out: Effects) -> None:
        if name[0] == "pulse":
            sequence = self.liveness.pulse_due(name[1], now)
            if sequence is not None:
                out.append(SendPulse(name[1], Pulse(sequence, 0, True, ())))
            return
        match name:
            case ("silence", peer):
                if self.liveness.silence_due(peer, now):
                    out.append(Disconnect(peer, RefusalCode.REPLACED))
                    self._peer_gone(peer, None, now, out)
            case ("sweep",):
                self._sweep(now, out)
            case ("dial", peer):
                self.connector.dial_due(peer, now, out)
            case (str(word), tag) if word in TAG_DEADLINES:
                self.tags.due(word, tag, now, out)
            case _:
                self.directory.due(name, self.clock.wall(now), now, out)
                self.directory.take_changed()
                # Not only after changes: while a network is young, ads begin to count by the clock.
                self.tags.directory_changed(now, out)

    def _sweep(self, now: float, out: Effects) -> None:
        """Let go of clients that have not been heard for long."""
        silent = [
            key
            for key, peer in self._peers.items()
            if not peer.is_relay and now >= peer.heard_at + CLIENT_SILENCE_SECONDS
        ]
        for key in silent:
            out.append(Disconnect(key, RefusalCode.IDLE))
            self._peer_gone(key, None, now, out)
        if any(not peer.is_relay for peer in self._peers.values()):
            self.agenda.set(("sweep",), now + SWEEP_SECONDS)

    # --- frames -------------------------------------------------------------------------------

    def _frame_received(self, peer_key: PeerKey, frame: Frame, now: float, out: Effects) -> None:
        peer = self._peers.get(peer_key)
        if peer is None:
            return
        peer.heard_at = now
        if peer.is_relay:
            self.liveness.heard(peer_key, now)
        try:
            handler = self._frame_handlers.get(type(frame))
            if handler is not None:
                handler(peer_key, peer, frame, now, out)
            elif isinstance(frame, DirectoryFrame):
                self.directory.frame_received(peer_key, frame, self.clock.wall(now), now, out)
                if self.directory.take_changed():
                    self.tags.directory_changed(now, out)
            else:
                raise PeerError(RefusalCode.MALFORMED, "a frame for clients", penalty_points=5)
        except PeerError as error:
            if error.code is RefusalCode.BAD_SIGNATURE:
                peer.work.spend(WORK_FORGED, now)
            self._refuse(peer_key, peer, frame, error, now, out)

    def _refuse(self, peer_key: PeerKey, peer: _Peer, frame: Frame, error: PeerError, now: float, out: Effects) -> None:
        self._penalise(peer_key, error, out)
        if isinstance(frame, Refused):
            return
        retry_after_ms = None
        tag, ids = getattr(frame, "tag", None), None
        if isinstance(frame, Publish):
            try:
                envelope = parse_envelope(frame.envelope)
                tag, ids = envelope.tag, (id_of_digest(signed_digest(envelope)),)
            except PeerError:
                ids = None
        if isinstance(frame, (Subscribe, SeatOpen)):
            tag = frame.descriptor.tag
        if error.code is RefusalCode.RATE_LIMITED:
            wait = peer.work.wait_seconds(1.0, now)
            if isinstance(frame, Publish):
                wait = max(wait, peer.publish_bytes.wait_seconds(len(frame.envelope), now))
            retry_after_ms = int(1000 * wait) + 1
        out.append(SendFrame((peer_key,), Refused(error.code, tag, ids, retry_after_ms)))

    def _penalise(self, peer: PeerKey, error: PeerError, out: Effects) -> None:
        self.counters.refused(error.code)
        if error.penalty_points:
            out.append(PenalisePeer(peer, error.code, error.detail, error.penalty_points))

    def _charge(self, peer: _Peer, units: float, now: float) -> None:
        """Take from what a peer may have us do. Raises PeerError: RATE_LIMITED."""
        if not peer.work.take(units, now):
            raise PeerError(RefusalCode.RATE_LIMITED, "too much work", penalty_points=1)

    def _pulse_received(self, peer_key: PeerKey, pulse: Pulse, now: float, out: Effects) -> None:
        peer = self._peers.get(peer_key)
        if peer is None:
            return
        peer.heard_at = now
        if peer.is_relay:
            self.liveness.heard(peer_key, now, answer=not pulse.wants_echo)
        if not pulse.wants_echo:
            return
        if not peer.pulses.take(1.0, now):
            self.counters.refused(RefusalCode.RATE_LIMITED)
            return
        numbers = self._numbers(peer_key, peer) if peer.tags else ()
        out.append(SendPulse(peer_key, Pulse(0, pulse.sequence, False, numbers)))

    def _numbers(self, peer_key: PeerKey, peer: _Peer) -> tuple[TagNumber, ...]:
        """The last numbers of the tags that a client is subscribed to; busy links take turns."""
        seats = self.tags.seats
        tags = list(peer.tags)
        if len(tags) > PULSE_TAGS_MAX:
            start = peer.tags_told % len(tags)
            tags = (tags[start:] + tags[:start])[:PULSE_TAGS_MAX]
            peer.tags_told += PULSE_TAGS_MAX
        return tuple(
            [
                TagNumber(tag, seats[tag].store.last_number)
                for tag in tags
                if tag in seats and seats[tag].subscribers.has(peer_key)
            ]
        )

    # --- clients' frames ----------------------------------------------------------------------

    def _subscribe(self, peer_key: PeerKey, peer: _Peer, frame: Subscribe, now: float, out: Effects) -> None:
        tag = frame.descriptor.tag
        if tag not in peer.tags and len(peer.tags) >= TAGS_PER_PEER_MAX:
            peer.tags = {item: proof for item, proof in peer.tags.items() if item in self.seats}
        if tag not in peer.tags and len(peer.tags) >= TAGS_PER_PEER_MAX:
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "tags of one peer", penalty_points=0)
        is_open = self.tags.check_cheaply(frame.descriptor, now)
        named = self.seats[tag].store.last_number / IDS_PER_FRAME_MAX if is_open else WORK_OPENING_A_TAG
        self._charge(peer, 1.0 + named, now)
        is_proved = peer.tags.get(tag) == (frame.handle, frame.proof)
        if not is_proved and not verify_subscription(tag, self.node_key, peer_key, frame.handle, frame.proof):
            raise PeerError(RefusalCode.BAD_PROOF, "subscription", penalty_points=10)
        seat = self.tags.open(frame.descriptor, now)
        seat.subscribe(peer_key, frame, now, out)
        peer.tags[tag] = (frame.handle, frame.proof)
        if frame.seats_hash != seat.seats_hash:
            self.directory.views_differ(peer_key, self.clock.wall(now), now, out)
        if not is_open or not seat.is_own:
            self.tags.settle(seat, now, out)
        self.tags.flush_due[tag] = None

    def _unsubscribe(self, peer_key: PeerKey, peer: _Peer, frame: Unsubscribe, now: float, out: Effects) -> None:
        if frame.tag in peer.tags:
            del peer.tags[frame.tag]
            self.tags.client_left(peer_key, frame.tag, now, out)

    def _arrival(self, data: bytes) -> Arrival:
        """Parse an envelope and hash it, once. Raises MalformedInput."""
        if len(data) not in ENVELOPE_SIZES_BYTES:
            self.counters.wrong_size_on_wire += 1
        envelope = parse_envelope(data)
        digest = signed_digest(envelope)
        return Arrival(envelope, digest, id_of_digest(digest))

    def _publish(self, peer_key: PeerKey, peer: _Peer, frame: Publish, now: float, out: Effects) -> None:
        if not peer.publish_bytes.take(len(frame.envelope), now) or not peer.work.has(1.0, now):
            raise PeerError(RefusalCode.RATE_LIMITED, "bytes a second", penalty_points=0)
        arrival = self._arrival(frame.envelope)
        seat = self.tags.find(arrival.envelope.tag)
        wall = self.clock.wall(now)
        if wall >= seat.window.accept_until:
            raise PeerError(RefusalCode.TOO_LATE, "the epoch is over", penalty_points=0)
        if not seat.window.accepts(wall):
            raise PeerError(RefusalCode.OUTSIDE_WINDOW, "the epoch is not open", penalty_points=0)
        did_take_part = seat.is_own or seat.takes_part(now)
        seat.publish(peer_key, arrival, frame, now, out)
        if not did_take_part:
            self.tags.settle(seat, now, out)
        self.tags.flush_due[seat.tag] = None

    def _offer(self, peer_key: PeerKey, peer: _Peer, frame: Offer, now: float, out: Effects) -> None:
        self._charge(peer, 1.0 + len(frame.ids) / RECEIPT_IDS_MAX, now)
        self.tags.find(frame.tag).offer(peer_key, frame, now)
        self.tags.flush_due[frame.tag] = None

    def _pull(self, peer_key: PeerKey, peer: _Peer, frame: Pull, now: float, out: Effects) -> None:
        # An audit pulls without being subscribed: whoever knows an id has proved the tag before.
        self._charge(peer, 1.0, now)
        self.tags.find(frame.tag).pull(peer_key, frame, lambda count: peer.pull_bytes.take(count, now), out)

    # --- seats' frames ------------------------------------------------------------------------

    def _require_relay(self, peer: _Peer, units: float, now: float) -> None:
        if not peer.is_relay:
            raise PeerError(RefusalCode.NOT_A_SEAT, "only relays exchange", penalty_points=5)
        self._charge(peer, units, now)

    def _seat_open(self, peer_key: PeerKey, peer: _Peer, frame: SeatOpen, now: float, out: Effects) -> None:
        is_open = self.tags.check_cheaply(frame.descriptor, now)
        self._require_relay(peer, 1.0 if is_open else WORK_OPENING_A_TAG, now)
        self.tags.opened_by(NodeKey(peer_key), frame, now, out)

    def _seat_push(self, peer_key: PeerKey, peer: _Peer, frame: SeatPush, now: float, out: Effects) -> None:
        self._require_relay(peer, 0.25, now)
        arrival = self._arrival(frame.envelope)
        seat = self.tags.find(arrival.envelope.tag)
        seat.pushed(NodeKey(peer_key), arrival, now, out)
        self.tags.flush_due[seat.tag] = None

    def _seat_exchange(self, peer_key: PeerKey, peer: _Peer, frame: SeatExchange, now: float, out: Effects) -> None:
        self._require_relay(peer, 0.25 + len(frame.ids) / IDS_PER_FRAME_MAX, now)
        seat = self.tags.find(frame.tag)
        if not seat.exchange.exchange_received(NodeKey(peer_key), frame, now):
            raise PeerError(RefusalCode.UNKNOWN_TAG, "open it first", penalty_points=0)
        self.tags.flush_due[frame.tag] = None

    def _seat_pull(self, peer_key: PeerKey, peer: _Peer, frame: SeatPull, now: float, out: Effects) -> None:
        self._require_relay(peer, 0.25, now)
        seat = self.tags.find(frame.tag)
        for wanted in frame.ids:
            held = seat.store.get(wanted)
            if held is not None and peer.pull_bytes.take(len(held.envelope), now):
                self.counters.pushes_to_seats += 1
                out.append(SendFrame((peer_key,), SeatPush(held.envelope)))

    def _receipt(self, peer_key: PeerKey, peer: _Peer, frame: Receipt, now: float, out: Effects) -> None:
        is_own = frame.seat == NodeKey(peer_key)
        self._require_relay(peer, 0.25 if is_own else 1.0, now)
        seat = self.tags.find(frame.tag)
        # The link has proved its own key; a receipt of somebody else has to prove itself.
        if not is_own and not verify_receipt(frame):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "receipt", penalty_points=10)
        seat.receipt_received(frame, out)

    def _refused(self, peer_key: PeerKey, peer: _Peer, frame: Refused, now: float, out: Effects) -> None:
        if peer.is_relay:
            self._charge(peer, 1.0, now)
            self.tags.declined_by(NodeKey(peer_key), frame, now, out)
