"""A room that this device is a member of: roster, secrets, messages, lobbies behind one `Room`.

Owns: which part an envelope's body goes to, what a change of one part means for the others.
Must not know: seats, links, disks, the application. Parts: `roster`, `generations`, `conversation`, `lobby`,
`room_upkeep`. Spec: docs/spec/rooms.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from railgun.core.answers import Answerer
from railgun.core.catch_up import CatchUp
from railgun.core.conversation import Conversation, Received, ReceiveOutcome
from railgun.core.fragments import FragmentAssembly
from railgun.core.generations import Generations, MadeGeneration, OwnDevice
from railgun.core.lobby import Admission, LobbyHost, MadeInvite, make_invite
from railgun.core.pairwise import BundleOf
from railgun.core.persistence import Write
from railgun.core.room_keys import cover_plan, member_plans, sending_keys
from railgun.core.room_notifications import (
    MessagePrepared,
    MessageReceipted,
    MessageReceived,
    RemovedFromRoom,
    RosterChanged,
)
from railgun.core.room_port import CoverPlan, RoomOutcome, SealRequest, TagPlan, TagPurpose
from railgun.core.room_upkeep import GenerationUpkeep
from railgun.core.roster import Roster
from railgun.core.roster_entries import DeviceBundle
from railgun.core.roster_state import GenerationState, RosterState
from railgun.crypto.epoch import EpochKeys, epoch_start
from railgun.errors import CryptoError, MalformedInput, NotMember, PeerError, UsageError
from railgun.limits import PENDING_SENDS_MAX, ROSTER_ASK_AGAIN_SECONDS, ROSTER_ASK_FIRST_SECONDS
from railgun.network import NetworkParameters
from railgun.ports import Entropy, Sessions
from railgun.types import DeviceKey, EnvelopeKind, MessageId, RoomId, SizeClass
from railgun.wire.content import (
    ROSTER_ENTRIES_PER_CONTENT_MAX,
    Content,
    HeadsContent,
    RosterContent,
    WantContent,
)
from railgun.wire.envelope import Inner
from railgun.wire.roster import SECONDS_PER_DAY, LaterEntry, LeaveEntry, PrekeyRecord, RemoveEntry
from railgun.wire.sealed import (
    SEALED_BODIES,
    AnswerChunk,
    DayDelivery,
    Fragment,
    GenerationDelivery,
    GenerationRequest,
    JoinPost,
    KeyRequest,
    RosterRequest,
)

FORGET_SECONDS = 600.0
PREKEY_TELL_AGAIN_SECONDS = 60.0
PREKEY_TELL_WHEN_ABLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RoomTools:
    """What all rooms of one device share.

    ``pickle_key`` is secret, 32 bytes. ``prekey`` is the device's newest bundle; None where its account has none yet.
    """

    me: OwnDevice
    network: NetworkParameters
    sessions: Sessions
    entropy: Entropy
    pickle_key: bytes = field(repr=False)
    prekey: PrekeyRecord | None = None


@dataclass(frozen=True, slots=True)
class _QueuedSend:
    content: Content
    token: int
    size_class: SizeClass | None


class MemberRoom:
    """Implements `railgun.core.room_port.Room` for a member."""

    def __init__(
        self, tools: RoomTools, roster: Roster, generations: Generations, conversation: Conversation | None = None
    ) -> None:
        self._tools = tools
        self._me = tools.me
        self.roster = roster
        self.generations = generations
        self.conversation = conversation or Conversation(roster.room, tools.me, tools.sessions, tools.pickle_key)
        self.fragments = FragmentAssembly(roster.room)
        self._host = LobbyHost(tools.me, tools.sessions)
        self._upkeep = GenerationUpkeep(roster.room, generations, tools.me, tools.sessions, tools.entropy)
        self._catch_up = CatchUp(roster.room, tools.sessions)
        self._ask_roster_at: float | None = None
        self._queued: deque[_QueuedSend] = deque()
        self._bound: dict[bytes, GenerationState] = {}
        self._forget_at = 0.0
        self._prekey_at: float | None = None
        self._prekey_told_at = -PREKEY_TELL_AGAIN_SECONDS
        self._prekey_told: PrekeyRecord | None = None
        self._told_removed = False

    def use_tools(self, tools: RoomTools) -> None:
        """The same device with other prekeys: after a new one was made, and once an old one's secret is dropped.

        `next_deadlines` then asks for the room to be told, if it has to be.
        """
        self._tools = tools
        self._me = tools.me
        self.conversation.use_device(tools.me)
        self._host.use_device(tools.me)
        self._upkeep.use_device(tools.me)

    # --- reading ------------------------------------------------------------------------------

    @property
    def room_id(self) -> RoomId:
        return self.roster.room

    @property
    def tools(self) -> RoomTools:
        return self._tools

    def epoch_start(self, wall: float) -> int:
        """Unix second at which the open epoch started."""
        return self._start(wall)

    def state(self, wall: float) -> RosterState:
        """What the roster says today."""
        return self.roster.state(int(wall) // SECONDS_PER_DAY)

    def tag_plans(self, start: int, wall: float) -> list[TagPlan]:
        """See `Room`."""
        state = self.state(wall)
        if state.member(self._me.device) is None:
            return []
        return member_plans(state, self.generations, start, wall)

    def sending_keys(self, wall: float) -> EpochKeys | None:
        """See `Room`."""
        sending = self._sending(self.state(wall), wall)
        return None if sending is None else sending[1]

    def cover_plan(self, wall: float) -> CoverPlan | None:
        """See `Room`."""
        return cover_plan(self.state(wall), self._me.device, self._start(wall))

    def _sending(self, state: RosterState, wall: float) -> tuple[GenerationState, EpochKeys] | None:
        return sending_keys(state, self.generations, self._tools.network.epoch_seconds, wall)

    def _start(self, wall: float) -> int:
        return epoch_start(wall, self.room_id, self._tools.network.epoch_seconds)

    # --- what the application does ------------------------------------------------------------

    def resume(self) -> RoomOutcome:
        """After a start: what had been prepared and not receipted goes out first."""
        return RoomOutcome(requests=self.conversation.outbox.waiting(), plan_changed=True)

    def send(self, content: Content, token: int, wall: float, size_class: SizeClass | None = None) -> RoomOutcome:
        """Say something. `MessagePrepared` tells its id; it waits where no generation may be sent under yet.

        Raises:
            NotMember: this device is out.
            UsageError: too much waits already, or the content does not fit ``size_class``.
            ValueError: a field of the content does not fit.
        """
        state = self.state(wall)
        if state.member(self._me.device) is None:
            raise NotMember("this device is no longer a member of the room")
        sending = self._sending(state, wall)
        if sending is None:
            if len(self._queued) >= PENDING_SENDS_MAX:
                raise UsageError("too many messages wait for the room's new keys; try again later")
            self._queued.append(_QueuedSend(content, token, size_class))
            return RoomOutcome()
        prepared = self.conversation.prepare_send(
            content,
            state=state,
            generation=sending[0],
            bundle_of=self.roster.bundle,
            wall=wall,
            size_class=size_class,
        )
        # A session's key may be among the requests: its receipts are not the message's.
        parts = [
            MessageId(request.reference)
            for request in prepared.requests
            if request.kind is EnvelopeKind.GROUP and request.reference is not None
        ]
        return RoomOutcome(
            list(prepared.writes),
            list(prepared.requests),
            [MessagePrepared(self.room_id, token, prepared.message_id, tuple(parts))],
        )

    def invite(self, uses: int, expires: int, wall: float) -> tuple[MadeInvite, RoomOutcome]:
        """Make an invite and tell the room. ``expires``: Unix seconds. Raises NotMember, UsageError."""
        made = make_invite(self.roster, self._me, self._tools.entropy, uses=uses, expires=expires, wall=wall)
        outcome = RoomOutcome(list(made.writes), plan_changed=True)
        outcome.add(self._spread((made.entry.data,), (), self.state(wall), wall))
        return made, outcome

    def remove(self, devices: Sequence[DeviceKey], wall: float) -> RoomOutcome:
        """Remove devices for good, with a new generation that they never get.

        Raises:
            NotMember: this device may not.
            UsageError: one of them is no member.
        """
        before = self.state(wall)
        if not set(devices) <= set(before.devices):
            raise UsageError("only members can be removed")
        made = self.generations.make(self._tools.entropy, before, self._start(wall), devices)
        targets = tuple(self.roster.removal_of(device) for device in devices)

        def entry(number: int, previous: bytes) -> LaterEntry:
            return RemoveEntry(self.room_id, self._me.device, number, previous, int(wall), targets, made.named)

        return self._renew(entry, made, before, wall)

    def leave(self, wall: float) -> RoomOutcome:
        """Tell the room that this device is out. The caller erases what is here."""
        return self.file(
            lambda number, previous: LeaveEntry(self.room_id, self._me.device, number, previous, int(wall)), wall
        )

    def file(
        self, make_entry: Callable[[int, bytes], LaterEntry], wall: float, prekeys: tuple[PrekeyRecord, ...] = ()
    ) -> RoomOutcome:
        """File an entry of ours (made with its number and the hash before it), and tell all who were in before.

        Raises:
            NotMember, UsageError: as `Roster.append`.
        """
        before, bundles = self.state(wall), self._bundles(wall)
        result = self.roster.append(self._me.seed, make_entry(*self.roster.next_place(self._me.device)))
        outcome = RoomOutcome(list(result.writes))
        for record in prekeys:
            outcome.writes += self.roster.insert_prekey(record)
        outcome.add(self._spread((result.added[0].data,), prekeys, before, wall, bundle_of=bundles.get))
        if self.state(wall).member(self._me.device) is not None:
            outcome.add(self._roster_changed(self.state(wall), forked=False))
        return outcome

    def _renew(
        self, make_entry: Callable[[int, bytes], LaterEntry], made: MadeGeneration, before: RosterState, wall: float
    ) -> RoomOutcome:
        """File an entry that names a generation, tell all who were in before, give the secret to all who are in now."""
        old, bundles = self._sending(before, wall), self._bundles(wall)
        number, previous = self.roster.next_place(self._me.device)
        result = self.roster.append(self._me.seed, make_entry(number, previous))
        after = self.state(wall)
        outcome = RoomOutcome([*made.writes, *result.writes], plan_changed=True)
        outcome.add(self._spread((result.added[0].data,), (), before, wall, under=old, bundle_of=bundles.get))
        recipients = [
            (device, prekey)
            for device in after.devices
            if device != self._me.device and (prekey := self.roster.prekey(device)) is not None
        ]
        deliveries = self.generations.deliver(
            made, self._me, recipients, self._tools.sessions, None if old is None else old[1]
        )
        outcome.writes += self.conversation.outbox.add(deliveries)
        outcome.requests += self._under(deliveries, old)
        outcome.add(self._roster_changed(after, forked=False))
        return outcome

    def _bundles(self, wall: float) -> dict[DeviceKey, DeviceBundle | None]:
        """As they are before an entry puts somebody out: who goes is told so, if need be under a key of its own."""
        return {device: self.roster.bundle(device) for device in self.state(wall).devices}

    def _spread(
        self,
        entries: tuple[bytes, ...],
        prekeys: tuple[PrekeyRecord, ...],
        state: RosterState,
        wall: float,
        *,
        under: tuple[GenerationState, EpochKeys] | None = None,
        bundle_of: BundleOf | None = None,
    ) -> RoomOutcome:
        """Tell the members of ``state`` of roster entries."""
        sending = under or self._sending(state, wall)
        if sending is None:
            # Whoever asks later gets the whole roster; meanwhile nobody can be told.
            return RoomOutcome()
        prepared = self.conversation.prepare_send(
            RosterContent(entries, prekeys),
            state=state,
            generation=sending[0],
            bundle_of=bundle_of or self.roster.bundle,
            wall=wall,
        )
        return RoomOutcome(list(prepared.writes), self._under(list(prepared.requests), under))

    def _under(
        self, requests: list[SealRequest], generation: tuple[GenerationState, EpochKeys] | None
    ) -> list[SealRequest]:
        """Seal these under a generation that all recipients hold, also when they are sealed again."""
        if generation is None:
            return requests
        for request in requests:
            if request.reference is not None:
                self._bound[request.reference] = generation[0]
        return [replace(request, keys=generation[1]) for request in requests]

    # --- what seats bring ---------------------------------------------------------------------

    def envelope_opened(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        """See `Room`. What a member did wrong is dropped here; seats are not to blame for it."""
        try:
            if plan.purpose is TagPurpose.LOBBY:
                return self._lobby(plan, inner, now, wall)
            if inner.kind is EnvelopeKind.GROUP:
                received = self.conversation.receive_group(inner.hint, inner.body, self.state(wall), now, wall)
                return self._received([received], wall)
            if inner.kind is EnvelopeKind.PAIRWISE:
                taken = self.conversation.receive_pairwise(inner.body, self.state(wall), self.roster.bundle, now, wall)
                return self._received(taken, wall)
            if inner.kind is EnvelopeKind.SEALED:
                return self._sealed(plan, inner.body, now, wall)
        except PeerError:
            return RoomOutcome()
        except CryptoError:
            if inner.kind is EnvelopeKind.SEALED and plan.purpose is TagPurpose.ROOM:
                self._sealed_for_another_prekey(now)
            return RoomOutcome()
        return RoomOutcome()

    def _lobby(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        if inner.kind is not EnvelopeKind.SEALED:
            return RoomOutcome()
        body = SEALED_BODIES.decode(inner.body)
        if isinstance(body, Fragment):
            return self._fragment(plan, body, now, wall)
        if isinstance(body, JoinPost):
            self._host.receive(body, plan.keys, self.state(wall), now, wall)
        return RoomOutcome()

    def _fragment(self, plan: TagPlan, fragment: Fragment, now: float, wall: float) -> RoomOutcome:
        """A piece of what came in one envelope in other rooms."""
        whole, writes = self.fragments.add(fragment)
        outcome = RoomOutcome(list(writes))
        if whole is not None:
            outcome.add(self.envelope_opened(plan, whole, now, wall))
        return outcome

    def _sealed(self, plan: TagPlan, data: bytes, now: float, wall: float) -> RoomOutcome:
        body = SEALED_BODIES.decode(data)
        state, keys = self.state(wall), plan.keys
        sessions = self._tools.sessions
        match body:
            case KeyRequest():
                writes = [] if body.prekey is None else list(self.roster.insert_prekey(body.prekey))
                more, requests = self.conversation.receive_key_request(body, state, self.roster.bundle, now, wall)
                return RoomOutcome([*writes, *more], requests)
            case GenerationDelivery():
                return self._gained(self.generations.take_delivery(body, self._me, state, sessions), wall)
            case DayDelivery():
                self._upkeep.answered(body)
                return self._gained(self.generations.take_days(body, self._me, state, sessions), wall)
            case GenerationRequest():
                self._upkeep.asked(body, keys, state, now)
                return RoomOutcome()
            case RosterRequest():
                self._catch_up.asked(body, keys, self.roster, state, self._me, now)
                return RoomOutcome()
            case AnswerChunk():
                return self._caught_up(body, wall)
            case Fragment():
                return self._fragment(plan, body, now, wall)
            case _:
                return RoomOutcome()

    def _sealed_for_another_prekey(self, now: float) -> None:
        """Something for us does not open: who sealed it may know only a prekey whose secret is gone. Tell them again,
        now and then: their keys and messages can be asked for anew."""
        if self._tools.prekey is not None and self._prekey_at is None:
            self._prekey_at = max(now, self._prekey_told_at + PREKEY_TELL_AGAIN_SECONDS)

    def _tell_prekey(self, now: float, wall: float) -> RoomOutcome:
        """Bring the room our newest prekey."""
        record, state = self._tools.prekey, self.state(wall)
        self._prekey_at = None
        if record is None or state.member(self._me.device) is None:
            return RoomOutcome()
        if self._sending(state, wall) is None:
            self._prekey_at = now + PREKEY_TELL_WHEN_ABLE_SECONDS
            return RoomOutcome()
        self._prekey_told_at, self._prekey_told = now, record
        outcome = RoomOutcome(list(self.roster.insert_prekey(record)))
        if len(state.members) > 1:
            outcome.add(self._spread((), (record,), state, wall))
        return outcome

    def _received(self, results: list[Received], wall: float) -> RoomOutcome:
        outcome = RoomOutcome()
        for received in results:
            outcome.writes += received.writes
            message = received.message
            if received.outcome is not ReceiveOutcome.NEW or message is None:
                continue
            if isinstance(message.content, RosterContent):
                outcome.add(self._roster_content(message.content, wall))
            elif not isinstance(message.content, (HeadsContent, WantContent)):
                outcome.notifications.append(MessageReceived(self.room_id, message))
        return outcome

    def _roster_content(self, content: RosterContent, wall: float) -> RoomOutcome:
        outcome = RoomOutcome()
        forked = False
        changed = False
        for data in content.entries:
            try:
                result = self.roster.insert(data)
            except (MalformedInput, PeerError, CryptoError):
                continue
            outcome.writes += result.writes
            forked = forked or result.forked
            changed = changed or bool(result.added)
        for record in content.prekeys:
            try:
                outcome.writes += self.roster.insert_prekey(record)
            except PeerError:
                continue
        if changed:
            outcome.add(self._roster_changed(self.state(wall), forked=forked))
            outcome.add(self._flush(wall))
        return outcome

    def _caught_up(self, chunk: AnswerChunk, wall: float) -> RoomOutcome:
        """An answer to our question whether our roster is everyone's: file what is new, spread what others lack."""
        caught = self._catch_up.receive(chunk, self.roster, self.generations, self._me)
        if caught is None:
            return RoomOutcome()
        outcome = RoomOutcome(list(caught.writes), plan_changed=True)
        if caught.changed:
            outcome.add(self._roster_changed(self.state(wall), forked=False))
        for first in range(0, len(caught.unknown), ROSTER_ENTRIES_PER_CONTENT_MAX):
            some = caught.unknown[first : first + ROSTER_ENTRIES_PER_CONTENT_MAX]
            outcome.add(self._spread(some, (), self.state(wall), wall))
        outcome.add(self._flush(wall))
        return outcome

    def _roster_changed(self, state: RosterState, *, forked: bool) -> RoomOutcome:
        outcome = RoomOutcome(plan_changed=True)
        outcome.notifications.append(RosterChanged(self.room_id, state.devices, forked))
        if state.member(self._me.device) is None and not self._told_removed:
            self._told_removed = True
            outcome.notifications.append(RemovedFromRoom(self.room_id))
        return outcome

    def _gained(self, writes: tuple[Write, ...], wall: float) -> RoomOutcome:
        if not writes:
            return RoomOutcome()
        outcome = RoomOutcome(list(writes), plan_changed=True)
        outcome.add(self._flush(wall))
        return outcome

    def _flush(self, wall: float) -> RoomOutcome:
        """Send what waited for keys."""
        outcome = RoomOutcome()
        state = self.state(wall)
        while self._queued and state.member(self._me.device) and self._sending(state, wall) is not None:
            queued = self._queued.popleft()
            outcome.add(self.send(queued.content, queued.token, wall, queued.size_class))
        return outcome

    # --- receipts -----------------------------------------------------------------------------

    def receipts_grew(
        self, reference: bytes, receipts: int, of: int, *, majority: bool, complete: bool, now: float
    ) -> RoomOutcome:
        """See `Room`."""
        outcome = RoomOutcome()
        if majority:
            outcome.writes += self.conversation.outbox.settle(reference)
            self._bound.pop(reference, None)
        outcome.notifications.append(
            MessageReceipted(self.room_id, MessageId(reference), receipts, of, majority, complete)
        )
        return outcome

    def seal_again(self, reference: bytes, wall: float) -> RoomOutcome:
        """See `Room`."""
        request = self.conversation.outbox.seal_again(reference)
        if request is None:
            return RoomOutcome()
        generation = self._bound.get(reference)
        keys = None if generation is None else self.generations.keys(generation, self._start(wall))
        return RoomOutcome(requests=[replace(request, keys=keys)])

    # --- deadlines ----------------------------------------------------------------------------

    def next_deadlines(self, now: float, wall: float) -> dict[str, float]:
        """See `Room`."""
        state = self.state(wall)
        found = self._upkeep.deadlines(state, self._start(wall), now)
        for name, at in (("keys", self.conversation.next_key_request_at()), ("lobby", self._host.next_due())):
            if at is not None:
                found[name] = at
        found["forget"] = max(self._forget_at, now)
        if self._ask_roster_at is None:
            self._ask_roster_at = now + ROSTER_ASK_FIRST_SECONDS
        found["roster-ask"] = self._ask_roster_at
        answer_at = self._catch_up.next_due()
        if answer_at is not None:
            found["roster-answer"] = answer_at
        prekey_at = self._prekey_due_at(state, now)
        if prekey_at is not None:
            found["prekey"] = prekey_at
        return found

    def _prekey_due_at(self, state: RosterState, now: float) -> float | None:
        record = self._tools.prekey
        if self._prekey_at is not None or record is None or record is self._prekey_told:
            return self._prekey_at
        if state.member(self._me.device) is None:
            return None
        held = self.roster.prekey_record(self._me.device)
        return now if held is None or held.issued < record.issued else None

    def due(self, name: str, now: float, wall: float) -> RoomOutcome:
        """See `Room`."""
        state, start = self.state(wall), self._start(wall)
        match name:
            case "keys":
                writes, request = self.conversation.key_requests_due(now, wall, self._tools.prekey)
                return RoomOutcome(writes, [] if request is None else [request])
            case "lobby":
                return self._admit(
                    self._host.due(self.roster, self.generations, start, self._tools.entropy, now, wall), wall
                )
            case "forget":
                self._forget_at = now + FORGET_SECONDS
                oldest = start - self._tools.network.epoch_seconds
                writes = [*self.generations.forget(state, oldest), *self.conversation.sessions.forget(state, wall)]
                return RoomOutcome(writes)
            case "roster-ask":
                self._ask_roster_at = now + ROSTER_ASK_AGAIN_SECONDS
                # Under every generation that we know: the others may no longer listen to the one we would send under.
                is_in = state.member(self._me.device) is not None
                listening = self.generations.listening(state, start) if is_in else []
                return RoomOutcome(requests=[self._catch_up.request(self.roster, self._me, keys) for keys in listening])
            case "roster-answer":
                answerer = Answerer(self._me, self._tools.sessions, self._tools.entropy)
                due = self._catch_up.due(self.roster, self.generations, answerer, start, now, wall)
                return RoomOutcome(requests=due)
            case "prekey":
                return self._tell_prekey(now, wall)
            case "generation-make":
                return self._make_generation(state, start, wall)
            case "generation-ask":
                return self._ask_generations(state, start, now)
            case "generation-answer":
                requests = self._upkeep.answers_due(state, start, self.roster.prekey, now)
                return RoomOutcome(requests=requests)
            case _:
                return RoomOutcome()

    def _admit(self, admissions: list[Admission], wall: float) -> RoomOutcome:
        outcome = RoomOutcome()
        for admission in admissions:
            outcome.writes += admission.writes
            if admission.entry is not None:
                prekeys = () if admission.prekey is None else (admission.prekey,)
                state = self.state(wall)
                outcome.add(self._spread((admission.entry.data,), prekeys, state, wall))
                outcome.add(self._roster_changed(state, forked=False))
            outcome.requests += admission.requests
        return outcome

    def _make_generation(self, state: RosterState, start: int, wall: float) -> RoomOutcome:
        if not self._upkeep.may_make(state, start):
            return RoomOutcome()
        made = self.generations.make(self._tools.entropy, state, start)
        return self._renew(self._upkeep.entry_for(made, int(wall)), made, state, wall)

    def _ask_generations(self, state: RosterState, start: int, now: float) -> RoomOutcome:
        request = self._upkeep.ask(state, start, now)
        listening = self.generations.listening(state, start)
        if request is None or not listening:
            return RoomOutcome()
        # The generation to send under may be the very one that is missing: ask under any that we hold.
        return RoomOutcome(requests=[replace(request, keys=listening[0])])
