"""A client: its links, its directory, its tags; rooms plug in.

Owns: dispatch of events to the parts, sealing what rooms ask for, opening what seats bring.
Must not know: what rooms do, sockets, disks. Parts: `tag_set`, `tag_client`, `node_directory`,
`connector`, `liveness`; rooms behind `railgun.core.room_port.Room`.

Peer input never raises out of `handle`: a `PeerError` becomes a count and a penalty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized

from railgun.core.agenda import DeadlineName
from railgun.core.clock import EpochClock
from railgun.core.counters import ClientCounters
from railgun.core.cover import (
    COVER_TICK,
    CoverOptions,
    CoverTraffic,
    DecoyReference,
    FragmentReference,
    Leaving,
    Seats,
)
from railgun.core.direct import DirectLinks
from railgun.core.effects import Disconnect, Effects, Notify, Persist, SendPulse
from railgun.core.events import (
    ClockRead,
    DialFailed,
    Event,
    FrameMalformed,
    FrameReceived,
    PeerConnected,
    PeerDisconnected,
    PeerWritable,
    PulseReceived,
    SendBlocked,
    TimerFired,
    ended_idle,
)
from railgun.core.liveness import PULSES, Liveness
from railgun.core.node_directory import NodeDirectory
from railgun.core.notifications import ClockCorrected, NotSent
from railgun.core.publisher import Outgoing, Progress
from railgun.core.reputation import Reputation
from railgun.core.room_port import HasDevices, Room, RoomOutcome, SealRequest, TagPurpose
from railgun.core.seen_envelopes import SeenEnvelopes
from railgun.core.tag_client import ClientContext, TagClient
from railgun.core.tag_set import TAG_WORDS, TagSet
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.sealing import (
    envelope_id,
    id_of_digest,
    is_signed,
    open_parsed,
    seal_envelope,
    signed_digest,
)
from railgun.errors import CryptoError, MalformedInput, PeerError, RefusalCode
from railgun.network import NetworkParameters
from railgun.ports import Chooser, Entropy
from railgun.types import DeviceKey, EnvelopeId, EnvelopeKind, NodeKey, PeerKey, RelayContact, RoomId
from railgun.wire.direct_contacts import DirectContact
from railgun.wire.directory_frames import AdsPush, AdsRequest, DirectoryIds, DirectoryRanges
from railgun.wire.envelope import NONCE_BYTES, ParsedEnvelope, parse_envelope
from railgun.wire.frames import (
    Deliver,
    Digest,
    Frame,
    Pulse,
    Receipt,
    Refused,
    SeatDown,
    Subscribed,
    SubscriptionMode,
)
from railgun.wire.roster import Cover

WAITING_REQUESTS_MAX = 1_024
"""Seal requests of one room that wait for an epoch that may be sent under."""


class ClientMachine:
    """One client with any number of rooms."""

    def __init__(
        self,
        *,
        network: NetworkParameters,
        directory: NodeDirectory,
        entropy: Entropy,
        chooser: Chooser,
        cover: CoverOptions | None = None,
        reputation: Reputation | None = None,
        seen: SeenEnvelopes | None = None,
    ) -> None:
        self.network = network
        self.directory = directory
        self.agenda = directory.agenda
        self.connector = directory.connector
        self.clock = EpochClock(corrects=True)
        self.counters = ClientCounters()
        self.liveness = Liveness(self.agenda, None)
        self.reputation = Reputation() if reputation is None else reputation
        directory.report = self.reputation.report
        self.rooms: dict[RoomId, Room] = {}
        self._entropy = entropy
        self._clock_told: float | None = None
        self._waiting: dict[RoomId, list[Leaving]] = {}
        context = ClientContext(
            self.agenda,
            self.connector,
            self.liveness,
            self.clock,
            self.counters,
            chooser,
            self.reputation,
            self._views_differ,
        )
        self.cover = CoverTraffic(self.agenda, entropy, self.counters, cover or CoverOptions())
        self.tags = TagSet(context, network, directory, self.clock, entropy, chooser, seen or SeenEnvelopes())
        self.direct = DirectLinks(
            agenda=self.agenda,
            connector=self.connector,
            liveness=self.liveness,
            clock=self.clock,
            tags=self.tags,
            entropy=entropy,
            admits=self._admits,
            take_in=self._take_in,
            tell=self._progress,
        )

    # --- rooms --------------------------------------------------------------------------------

    def add_room(self, room: Room, now: float) -> Effects:
        """Serve a room from now on."""
        out: Effects = []
        self.rooms[room.room_id] = room
        if self.clock.was_read:
            self._plan(room, now, out)
        self.agenda.arm(out)
        return out

    def remove_room(self, room_id: RoomId) -> Effects:
        """Leave a room's tags. Idempotent."""
        out: Effects = []
        if self.rooms.pop(room_id, None) is not None:
            self.tags.close_room(room_id, out)
            self._waiting.pop(room_id, None)
            self.cover.drop(room_id)
            self.agenda.cancel(("plan", room_id))
            self.direct.forget_room(room_id)
        self.agenda.arm(out)
        return out

    def add_bootstrap(self, contact: RelayContact, now: float) -> Effects:
        """Another relay to start from."""
        out: Effects = []
        self.directory.add_bootstrap(contact, now, out)
        self.agenda.arm(out)
        return out

    def learn_contacts(self, room_id: RoomId, contacts: Mapping[DeviceKey, DirectContact], now: float) -> Effects:
        """How members of a room can be reached, should no relay be left."""
        out: Effects = []
        self.direct.learn(room_id, contacts, now, out)
        self.agenda.arm(out)
        return out

    def restore_contacts(self, rows: Iterable[tuple[bytes, bytes]], now: float) -> Effects:
        """What the last run of this device knew of members, once its rooms are served."""
        out: Effects = []
        self.direct.restore(rows, now, out)
        self.agenda.arm(out)
        return out

    def apply(self, room: Room, outcome: RoomOutcome, now: float) -> Effects:
        """Carry out what a call on a room answered (the API's way in)."""
        out: Effects = []
        self._apply(room, outcome, now, out)
        self.agenda.arm(out)
        return out

    def wall(self, now: float) -> float:
        """Corrected Unix seconds."""
        return self.clock.wall(now)

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
            for name in self.agenda.take_fired(event.generation, now):  # type: ignore[union-attr]
                self._due(name, now, out)
        else:
            self._rare(event, now, out)
        if self.reputation.reports:
            self._settle_reports(now, out)
        if self.agenda.to_arm:
            self.agenda.arm(out)
        return out

    def _rare(self, event: Event, now: float, out: Effects) -> None:
        match event:
            case PeerConnected():
                self._peer_connected(event, now, out)
            case PeerDisconnected(peer, reason, retry):
                if self.connector.is_linked(peer):
                    self._peer_gone(peer, retry, now, out, idle=ended_idle(reason))
            case DialFailed(peer, _, retry):
                self._peer_gone(peer, retry, now, out)
            case FrameMalformed(peer, detail):
                self.counters.malformed_frames += 1
                self.reputation.report(peer, RefusalCode.MALFORMED, detail, 10)
                self.direct.malformed(peer, now, out)
            case SendBlocked(peer):
                self.counters.frames_blocked += 1
                if self.connector.is_linked(peer):
                    self.cover.link_blocked(peer)
            case PeerWritable(peer):
                self.cover.link_free(peer)
            case ClockRead(offset):
                self._clock_read(offset, now, out)
            case _:
                pass

    def _settle_reports(self, now: float, out: Effects) -> None:
        def is_relay(node: NodeKey) -> bool:
            return self.directory.directory.newest_ad(node) is not None

        if self.reputation.settle(is_relay, self.clock.wall(now), out):
            self.tags.standings_changed(now, out)

    @property
    def turn_work(self) -> Sized:
        """As a relay's; see `turn_due`."""
        return ()

    @property
    def turn_due(self) -> bool:
        """Whether `TurnEnded` would do anything: clients gather nothing over a turn."""
        return False

    def state_sizes(self) -> dict[str, int]:
        """How much is held, for checks that it returns to its baseline."""
        return {
            "tags": len(self.tags),
            "agenda": len(self.agenda),
            "linked": len(self.connector.linked),
            **self.direct.state_sizes(),
        }

    def _clock_read(self, wall_minus_monotonic_seconds: float, now: float, out: Effects) -> None:
        self.clock.read(wall_minus_monotonic_seconds)
        self.directory.started(self.clock.wall(now), now, out)
        self._plan_all(now, out)

    def _plan_all(self, now: float, out: Effects) -> None:
        """The clock was set: what is open, and when it ends, may be different."""
        self.tags.clock_moved(now)
        for room in list(self.rooms.values()):
            self._plan(room, now, out)

    def _peer_connected(self, event: PeerConnected, now: float, out: Effects) -> None:
        self.connector.connected(event, now)
        if not event.is_relay:
            self.direct.peer_connected(event, now, out)
            return
        before = self.clock.correction_seconds
        self.clock.sample(event.peer, event.clock_offset_seconds)
        self._clock_moved(before, now, out)
        self.directory.peer_connected(event.peer, now, out, is_relay=True)
        self.tags.peer_connected(event.peer, now, out)

    def _clock_moved(self, before: float, now: float, out: Effects) -> None:
        correction = self.clock.correction_seconds
        half_overlap = self.network.overlap_seconds / 2
        if abs(correction - (self._clock_told or 0.0)) > half_overlap / 4:
            self._clock_told = correction
            out.append(Notify(ClockCorrected(correction, abs(correction) > half_overlap)))
        if abs(correction - before) > 0.05:
            self._plan_all(now, out)

    def _peer_gone(
        self, peer: PeerKey, retry_after_seconds: float | None, now: float, out: Effects, *, idle: bool = False
    ) -> None:
        self.liveness.forget(peer)
        self.cover.link_free(peer)
        self.connector.lost(peer, retry_after_seconds, now, idle=idle)
        self.directory.peer_gone(peer)
        self.tags.peer_gone(peer, now, out)
        self.direct.peer_gone(peer)
        self.direct.look(now, out)

    def _views_differ(self, peer: PeerKey, now: float, out: Effects) -> None:
        self.directory.views_differ(peer, self.clock.directory_wall(now), now, out)

    def _due(self, name: DeadlineName, now: float, out: Effects) -> None:
        if name == PULSES:
            self.liveness.pulses_due(now, out)
            return
        if name[0] in TAG_WORDS:
            self.tags.due_in_tag(name, now, out)
        else:
            self._rarely_due(name, now, out)
        self._reseal(self.tags.take_orphans(), now, out)

    def _rarely_due(self, name: DeadlineName, now: float, out: Effects) -> None:
        match name:
            case ("silence", peer):
                if self.liveness.silence_due(peer, now):
                    out.append(Disconnect(peer, RefusalCode.REPLACED))
                    self._peer_gone(peer, None, now, out)
                elif self.liveness.is_doubted(peer):
                    self.tags.peer_doubted(peer, now, out)
                    self.direct.look(now, out)
            case ("dial", peer):
                self.connector.dial_due(peer, now, out)
            case ("plan", room_id):
                if room_id in self.rooms:
                    self._plan(self.rooms[room_id], now, out)
            case ("room", room_id, what):
                room = self.rooms.get(room_id)
                if room is not None and what == COVER_TICK:
                    self._cover_due(room, now, out)
                elif room is not None:
                    self._apply(room, room.due(what, now, self.clock.wall(now)), now, out)
            case ("direct" | "direct-pull", _):
                self.direct.due(name, now, out)
            case ("reseal", tag):
                self._reseal(self.tags.take_unsettled(tag), now, out)
            case _:
                if not self.tags.due(name, now, out):
                    self.directory.due(name, self.clock.directory_wall(now), now, out)
                    self.directory.take_changed()
                    # Not only after changes: while a network is young, ads begin to count by the clock.
                    self.tags.directory_changed(now, out)

    # --- frames -------------------------------------------------------------------------------

    def _frame_received(self, peer: PeerKey, frame: Frame, now: float, out: Effects) -> None:
        self.liveness.heard(peer, now)
        if self.direct.has_link(peer):
            self.direct.frame_received(peer, frame, now, out)
            return
        try:
            match frame:
                case Deliver():
                    self._deliver(peer, frame, now, out)
                case Digest() | Subscribed() | Receipt() | Refused() | SeatDown():
                    self._tag_frame(peer, frame, now, out)
                case DirectoryRanges() | DirectoryIds() | AdsPush() | AdsRequest():
                    self.directory.frame_received(peer, frame, self.clock.directory_wall(now), now, out)
                    if self.directory.take_changed():
                        self.tags.directory_changed(now, out)
                case _:
                    raise PeerError(RefusalCode.MALFORMED, "a frame for relays", penalty_points=5)
        except PeerError as error:
            self.reputation.report(peer, error.code, error.detail, error.penalty_points)

    def _tag_frame(
        self, peer: PeerKey, frame: Digest | Subscribed | Receipt | Refused | SeatDown, now: float, out: Effects
    ) -> None:
        tag = self.tags.get(frame.tag)
        if tag is None:
            return
        match frame:
            case Digest():
                tag.digest(peer, frame, now)
            case Subscribed(mode=SubscriptionMode.AUDIT):
                tag.subscribed(peer, frame, now, out)
            case Subscribed():
                was_served = bool(tag.attached)
                self.tags.subscribed(tag, peer, frame, now, out)
                if not was_served and tag.attached:
                    self._served(tag, now)
            case Receipt():
                for progress in tag.receipt(frame, now):
                    self._progress(progress, tag, now, out)
            case SeatDown():
                tag.seat_down(peer, frame, now, out)
            case Refused():
                self._reseal([(self.tags.room_of(tag), item) for item in tag.refused(peer, frame, now, out)], now, out)

    def _served(self, tag: TagClient, now: float) -> None:
        room = self.rooms.get(self.tags.room_of(tag))
        if room is not None and self.tags.plan_of(tag).purpose is TagPurpose.ROOM:
            room.served(tag.keys, now, self.clock.wall(now))
            self._room_deadlines(room, now)

    def _deliver(self, peer: PeerKey, frame: Deliver, now: float, out: Effects) -> None:
        envelope = parse_envelope(frame.envelope)
        tag = self.tags.get(envelope.tag)
        if tag is None:
            return
        digest = signed_digest(envelope)
        item = id_of_digest(digest)
        if tag.deliver(peer, frame, item, now):
            self._take_in(tag, envelope, digest, item, now, out)
            self.direct.came(tag, item, frame.envelope, out)

    def _take_in(
        self, tag: TagClient, envelope: ParsedEnvelope, digest: bytes, item: EnvelopeId, now: float, out: Effects
    ) -> None:
        """An envelope that is new to us, whoever brought it. Raises PeerError where no member sealed it."""
        room = self.rooms.get(self.tags.room_of(tag))
        if room is None:
            return
        try:
            inner = open_parsed(tag.keys, envelope)
        except (CryptoError, MalformedInput) as error:
            self.counters.unopenable += 1
            if is_signed(envelope, digest):
                return  # a member's garbage: its seat could not know
            tag.intake.forget(item)
            raise PeerError(
                RefusalCode.BAD_SIGNATURE, "an envelope that no member sealed", penalty_points=20
            ) from error
        if inner.kind is EnvelopeKind.COVER:
            return
        outcome = room.envelope_opened(self.tags.plan_of(tag), inner, now, self.clock.wall(now))
        self._apply(room, outcome, now, out)

    def _pulse_received(self, peer: PeerKey, pulse: Pulse, now: float, out: Effects) -> None:
        self.liveness.heard(peer, now, answer=not pulse.wants_echo)
        for entry in pulse.numbers:
            tag = self.tags.get(entry.tag)
            if tag is not None:
                tag.intake.pulse(NodeKey(peer), entry.last_number, now)
        if pulse.wants_echo:
            out.append(SendPulse(peer, Pulse(0, pulse.sequence, False, ())))

    # --- what rooms want ----------------------------------------------------------------------

    def _plan(self, room: Room, now: float, out: Effects) -> None:
        self.tags.plan(room, now, out)
        self._follow_cover(room, now, out)
        self._room_deadlines(room, now)
        self._send_waiting(room, now, out)
        self.direct.look(now, out)

    def _admits(self, room_id: RoomId, device: DeviceKey, wall: float) -> bool:
        """Direct links show addresses and who is linked to whom: a room under strict cover has none."""
        room = self.rooms.get(room_id)
        if not isinstance(room, HasDevices) or not room.has_device(device, wall):
            return False
        cover = room.cover_plan(wall)
        return cover is None or cover.mode is not Cover.STRICT

    def _follow_cover(self, room: Room, now: float, out: Effects) -> None:
        for leaving in self.cover.follow(room.room_id, room.cover_plan(self.clock.wall(now)), now):
            self._publish_now(room, leaving, now, out)

    def _room_deadlines(self, room: Room, now: float) -> None:
        for what, at in room.next_deadlines(now, self.clock.wall(now)).items():
            self.agenda.set_earlier(("room", room.room_id, what), at)

    def _apply(self, room: Room, outcome: RoomOutcome, now: float, out: Effects) -> None:
        if outcome.writes:
            # What merely arrived can arrive again; what leaves, or what keys and rosters become, cannot be taken back.
            moves_on = bool(outcome.requests) or outcome.plan_changed or outcome.successor is not None
            out.append(Persist(tuple(outcome.writes), survives_power_loss=moves_on))
        if outcome.successor is not None:
            self._waiting.pop(room.room_id, None)
            room = self.rooms[room.room_id] = outcome.successor
        if outcome.plan_changed and self.clock.was_read:
            self.tags.plan(room, now, out)
            self._follow_cover(room, now, out)
        for request in outcome.requests:
            self._publish(room, request, now, out)
        if outcome.plan_changed:
            self._send_waiting(room, now, out)
        out.extend(Notify(notification) for notification in outcome.notifications)
        self._room_deadlines(room, now)

    def _publish(self, room: Room, request: SealRequest, now: float, out: Effects) -> None:
        if not self.cover.holds_back(room.room_id, request):
            self._publish_now(room, Leaving(request, request.reference), now, out)

    def _publish_now(self, room: Room, leaving: Leaving, now: float, out: Effects) -> None:
        request = leaving.request
        keys = request.keys or (room.sending_keys(self.clock.wall(now)) if self.clock.was_read else None)
        tag = None if keys is None else self.tags.get(keys.tag)
        if keys is None or tag is None or tag.publisher.is_full:
            waiting = self._waiting.setdefault(room.room_id, [])
            if isinstance(leaving.reference, DecoyReference):
                return
            if len(waiting) < WAITING_REQUESTS_MAX:
                waiting.append(leaving)
            else:
                out.append(Notify(NotSent(room.room_id, request.reference)))
            return
        nonce = self._entropy.random_bytes(NONCE_BYTES)
        envelope = seal_envelope(keys, request.kind, request.hint, request.body, request.size_class, nonce)
        item = envelope_id(envelope)
        tag.publish(item, envelope, leaving.reference, now, out)
        self.direct.published(tag, item, envelope, out)

    def _cover_due(self, room: Room, now: float, out: Effects) -> None:
        wall = self.clock.wall(now)

        def attached(keys: EpochKeys | None) -> Sequence[NodeKey]:
            keys = keys or room.sending_keys(wall)
            tag = None if keys is None else self.tags.get(keys.tag)
            return () if tag is None else tag.attached

        def is_over(keys: EpochKeys) -> bool:
            return self.tags.get(keys.tag) is None and keys.start + self.network.epoch_seconds <= wall

        leaving, again = self.cover.due(room.room_id, Seats(attached, is_over), now)
        if leaving is not None:
            self._publish_now(room, leaving, now, out)
        for reference in again:
            self._apply(room, room.seal_again(reference, wall), now, out)

    def _send_waiting(self, room: Room, now: float, out: Effects) -> None:
        for leaving in self._waiting.pop(room.room_id, []):
            keys, reference = leaving.request.keys, leaving.reference
            if isinstance(reference, FragmentReference):
                self._publish_now(room, leaving, now, out)
            elif keys is not None and self.tags.get(keys.tag) is None:
                # Bound to a generation, in an epoch that may be over: under the same generation's keys of today. What
                # has no reference is asked for, or said, anew by whoever did.
                if isinstance(reference, bytes):
                    self._apply(room, room.seal_again(reference, self.clock.wall(now)), now, out)
                elif self.clock.wall(now) < keys.start + self.network.epoch_seconds:
                    self._publish(room, leaving.request, now, out)
            else:
                self._publish(room, leaving.request, now, out)

    def _progress(self, progress: Progress, tag: TagClient, now: float, out: Effects) -> None:
        room = self.rooms.get(self.tags.room_of(tag))
        reference = progress.outgoing.reference
        receipts, of = progress.receipts, progress.of
        majority, complete = progress.majority_reached, progress.complete
        if room is not None and isinstance(reference, FragmentReference):
            whole = self.cover.progress(room.room_id, reference, receipts, of, majority=majority, complete=complete)
            if whole is None:
                return
            reference, receipts, of = whole.whole, whole.receipts, whole.of
            majority, complete = whole.majority, whole.complete
        if room is None or not isinstance(reference, bytes):
            return
        outcome = room.receipts_grew(reference, receipts, of, majority=majority, complete=complete, now=now)
        self._apply(room, outcome, now, out)
        if room.room_id in self._waiting and tag.publisher.has_room:
            self._send_waiting(room, now, out)

    def _reseal(self, unsettled: list[tuple[RoomId, Outgoing]], now: float, out: Effects) -> None:
        for room_id, outgoing in unsettled:
            room, reference = self.rooms.get(room_id), outgoing.reference
            if room is not None and isinstance(reference, DecoyReference):
                decoy = self.cover.decoy_again(room_id, reference)
                if decoy is not None:
                    self.counters.resealed += 1
                    self._publish_now(room, decoy, now, out)
            if isinstance(reference, FragmentReference):
                reference = reference.whole
            if room is None or not isinstance(reference, bytes):
                continue
            self.counters.resealed += 1
            self._apply(room, room.seal_again(reference, self.clock.wall(now)), now, out)
