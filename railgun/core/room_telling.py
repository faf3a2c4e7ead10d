"""What one member tells its room: messages, roster entries, new generations.

Owns: what waits until the room may be sent to, under which generation something is sealed again, who is told of a
change. Must not know: what comes in, deadlines, seats, links, disks. Spec: docs/spec/rooms.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from railgun.core.conversation import Conversation
from railgun.core.generations import GenerationId, Generations, MadeGeneration, OwnDevice
from railgun.core.pairwise import BundleOf
from railgun.core.room_keys import sending_keys
from railgun.core.room_notifications import MessagePrepared, MessageReceipted, RemovedFromRoom, RosterChanged
from railgun.core.room_port import RoomOutcome, SealRequest
from railgun.core.roster import Roster
from railgun.core.roster_entries import DeviceBundle
from railgun.core.roster_state import GenerationState, RosterState
from railgun.core.send_keys import KnownSend, SendKeys
from railgun.crypto.epoch import EpochKeys, epoch_start
from railgun.errors import NotMember, UsageError
from railgun.limits import FILE_BYTES_DEFAULT_MAX, PENDING_SENDS_MAX
from railgun.network import NetworkParameters
from railgun.ports import Entropy, MessageArchive, Sessions
from railgun.types import DeviceKey, EnvelopeKind, MessageId, SizeClass
from railgun.wire.content import Content, RosterContent
from railgun.wire.roster import SECONDS_PER_DAY, LaterEntry, PrekeyRecord


@dataclass(frozen=True, slots=True)
class RoomTools:
    """What all rooms of one device share.

    ``pickle_key`` is secret, 32 bytes. ``prekey`` is the device's newest bundle; None where its account has none yet.
    ``file_bytes_max``: larger files are neither sent nor collected. ``name``: how this device wants to be shown.
    ``archive``: its stored messages; without one others are brought none again.
    """

    me: OwnDevice
    network: NetworkParameters
    sessions: Sessions
    entropy: Entropy
    pickle_key: bytes = field(repr=False)
    prekey: PrekeyRecord | None = None
    file_bytes_max: int = FILE_BYTES_DEFAULT_MAX
    name: str = ""
    archive: MessageArchive | None = None


@dataclass(frozen=True, slots=True)
class _QueuedSend:
    content: Content
    token: int
    size_class: SizeClass | None
    key: bytes | None


class RoomTelling:
    """The outgoing half of a `railgun.core.room.MemberRoom`, and what both of its halves stand on."""

    def __init__(self, tools: RoomTools, roster: Roster, generations: Generations, conversation: Conversation) -> None:
        self.tools = tools
        self.roster = roster
        self.generations = generations
        self.conversation = conversation
        self.send_keys = SendKeys(roster.room)
        self._queued: deque[_QueuedSend] = deque()
        self._told_removed = False

    def state(self, wall: float) -> RosterState:
        """What the roster says today."""
        return self.roster.state(int(wall) // SECONDS_PER_DAY)

    def start(self, wall: float) -> int:
        """Unix second at which the open epoch started."""
        return epoch_start(wall, self.roster.room, self.tools.network.epoch_seconds)

    def sending(self, state: RosterState, wall: float) -> tuple[GenerationState, EpochKeys] | None:
        """Under what may be sent now; None while nothing may."""
        return sending_keys(state, self.generations, self.tools.network.epoch_seconds, wall)

    def send(
        self,
        content: Content,
        token: int,
        wall: float,
        size_class: SizeClass | None = None,
        key: bytes | None = None,
    ) -> RoomOutcome:
        """Say something. `MessagePrepared` tells its id; it waits where no generation may be sent under yet.

        Under a ``key`` that was used before nothing is said again: what the first send led to is told.

        Raises:
            NotMember: this device is out.
            UsageError: too much waits already, or the content does not fit ``size_class``.
            ValueError: a field of the content does not fit.
        """
        state = self.state(wall)
        if state.member(self.tools.me.device) is None:
            raise NotMember("this device is no longer a member of the room")
        known = None if key is None else self.send_keys.find(key)
        if known is not None:
            return self._tell_again(known, token)
        sending = self.sending(state, wall)
        if sending is None:
            if len(self._queued) >= PENDING_SENDS_MAX:
                raise UsageError("too many messages wait for the room's new keys; try again later")
            self._queued.append(_QueuedSend(content, token, size_class, key))
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
        parts = tuple(
            MessageId(request.reference)
            for request in prepared.requests
            if request.kind is EnvelopeKind.GROUP and request.reference is not None
        )
        writes = list(prepared.writes)
        if key is not None:
            writes += self.send_keys.remember(key, prepared.message_id, parts)
        told = MessagePrepared(self.roster.room, token, prepared.message_id, parts)
        return RoomOutcome(writes, list(prepared.requests), [told])

    def _tell_again(self, known: KnownSend, token: int) -> RoomOutcome:
        room, waiting = self.roster.room, self.conversation.outbox
        outcome = RoomOutcome(notifications=[MessagePrepared(room, token, known.message_id, known.parts)])
        outcome.notifications += [
            MessageReceipted(room, part, known.receipts, known.of, True, False)
            for part in known.parts
            if not waiting.holds(part)
        ]
        return outcome

    def flush(self, wall: float) -> RoomOutcome:
        """Send what waited for keys."""
        outcome = RoomOutcome()
        state = self.state(wall)
        while self._queued and state.member(self.tools.me.device) and self.sending(state, wall) is not None:
            queued = self._queued.popleft()
            outcome.add(self.send(queued.content, queued.token, wall, queued.size_class, queued.key))
        return outcome

    # --- the roster ---------------------------------------------------------------------------

    def file(
        self, make_entry: Callable[[int, bytes], LaterEntry], wall: float, prekeys: tuple[PrekeyRecord, ...] = ()
    ) -> RoomOutcome:
        """File an entry of ours (made with its number and the hash before it), and tell all who were in before.

        Raises:
            NotMember, UsageError: as `Roster.append`.
        """
        before, bundles = self.state(wall), self._bundles(wall)
        result = self.roster.append(self.tools.me.seed, make_entry(*self.roster.next_place(self.tools.me.device)))
        outcome = RoomOutcome(list(result.writes))
        for record in prekeys:
            outcome.writes += self.roster.insert_prekey(record)
        outcome.add(self.spread((result.added[0].data,), prekeys, before, wall, bundle_of=bundles.get))
        if self.state(wall).member(self.tools.me.device) is not None:
            outcome.add(self.roster_changed(self.state(wall), forked=False))
        return outcome

    def renew(
        self, make_entry: Callable[[int, bytes], LaterEntry], made: MadeGeneration, before: RosterState, wall: float
    ) -> RoomOutcome:
        """File an entry that names a generation, tell all who were in before, give the secret to all who are in now."""
        old, bundles = self.sending(before, wall), self._bundles(wall)
        number, previous = self.roster.next_place(self.tools.me.device)
        result = self.roster.append(self.tools.me.seed, make_entry(number, previous))
        after = self.state(wall)
        outcome = RoomOutcome([*made.writes, *result.writes], plan_changed=True)
        outcome.add(self.spread((result.added[0].data,), (), before, wall, under=old, bundle_of=bundles.get))
        recipients = [
            (device, prekey)
            for device in after.devices
            if device != self.tools.me.device and (prekey := self.roster.prekey(device)) is not None
        ]
        deliveries = self.generations.deliver(
            made, self.tools.me, recipients, self.tools.sessions, None if old is None else old[1]
        )
        outcome.writes += self.conversation.outbox.add(deliveries)
        outcome.add(self._under(deliveries, old))
        outcome.add(self.roster_changed(after, forked=False))
        return outcome

    def _bundles(self, wall: float) -> dict[DeviceKey, DeviceBundle | None]:
        """As they are before an entry puts somebody out: who goes is told so, if need be under a key of its own."""
        return {device: self.roster.bundle(device) for device in self.state(wall).devices}

    def spread(
        self,
        entries: tuple[bytes, ...],
        prekeys: tuple[PrekeyRecord, ...],
        state: RosterState,
        wall: float,
        *,
        under: tuple[GenerationState, EpochKeys] | None = None,
        asked: EpochKeys | None = None,
        bundle_of: BundleOf | None = None,
    ) -> RoomOutcome:
        """Tell the members of ``state`` of roster entries; under the generation of ``asked``, if that is given: who
        lacks the entries may listen to no other."""
        sending = under or self.sending(state, wall)
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
        outcome, requests = RoomOutcome(list(prepared.writes)), list(prepared.requests)
        outcome.add(self._under(requests, under) if asked is None else self.answer(requests, asked, state, wall))
        return outcome

    def roster_changed(self, state: RosterState, *, forked: bool) -> RoomOutcome:
        """Tell the application, once also that we are out."""
        outcome = RoomOutcome(plan_changed=True)
        outcome.notifications.append(RosterChanged(self.roster.room, state.devices, forked))
        if self.tools.me.device in state.out:
            outcome.add(self.out_of_the_room())
        return outcome

    def out_of_the_room(self) -> RoomOutcome:
        """Tell the application, once, that we are out."""
        if self._told_removed:
            return RoomOutcome()
        self._told_removed = True
        return RoomOutcome(notifications=[RemovedFromRoom(self.roster.room)], plan_changed=True)

    # --- receipts -----------------------------------------------------------------------------

    def receipts_grew(self, reference: bytes, receipts: int, of: int, *, majority: bool, complete: bool) -> RoomOutcome:
        """Seats hold more of what we sent. With a majority it is out of the outbox."""
        outcome = RoomOutcome()
        if majority:
            outcome.writes += self.conversation.outbox.settle(reference)
            outcome.writes += self.send_keys.receipted(MessageId(reference), receipts, of)
        outcome.notifications.append(
            MessageReceipted(self.roster.room, MessageId(reference), receipts, of, majority, complete)
        )
        return outcome

    def seal_again(self, reference: bytes, wall: float) -> RoomOutcome:
        """What ``reference`` named did not get its receipts in time: again, if it is still in the outbox."""
        request = self.conversation.outbox.seal_again(reference)
        if request is None:
            return RoomOutcome()
        return RoomOutcome(requests=[self._bound(request, wall)])

    def resume(self, wall: float) -> RoomOutcome:
        """After a start: what had been prepared and not receipted, each under the generation that it was for."""
        waiting = self.conversation.outbox.waiting()
        return RoomOutcome(requests=[self._bound(request, wall) for request in waiting], plan_changed=True)

    def _bound(self, request: SealRequest, wall: float) -> SealRequest:
        """Under the generation that ``request`` is bound to, while that lives."""
        generation = None if request.reference is None else self.conversation.outbox.bound(request.reference)
        keys = None if generation is None else self.generations.keys_of(generation, self.start(wall))
        return replace(request, keys=keys)

    def answer(self, requests: list[SealRequest], asked: EpochKeys, state: RosterState, wall: float) -> RoomOutcome:
        """Seal these under the generation that they were asked for under: who asks may not hold the one in use yet."""
        generation = self.generation_of(asked, state)
        keys = None if generation is None else self.generations.keys(generation, self.start(wall))
        return self._under(requests, None if generation is None or keys is None else (generation, keys))

    def wherever(
        self, request: SealRequest, under: Collection[GenerationId] | None, state: RosterState, wall: float
    ) -> list[SealRequest]:
        """The same under the room's own keys and, besides, under these generations; None: under all that we listen to.
        Who is to hear it may have heard of no newer one."""
        start, sending = self.start(wall), self.sending(state, wall)
        others = [
            keys
            for generation in state.generations
            if under is None or (generation.generation, generation.commitment) in under
            if (sending is None or generation != sending[0])
            and (keys := self.generations.keys(generation, start)) is not None
        ]
        return [request, *(replace(request, keys=keys) for keys in others)]

    def generation_of(self, keys: EpochKeys, state: RosterState) -> GenerationState | None:
        """Whose keys these are; None: of none that the roster names and we hold."""
        for generation in state.generations:
            then = self.generations.keys(generation, keys.start) if generation.generation == keys.generation else None
            if then is not None and then.tag == keys.tag:
                return generation
        return None

    def is_behind(self, keys: EpochKeys, state: RosterState, wall: float) -> bool:
        """Whether these are keys of a generation that nobody should send under who knows what we know."""
        newest = state.generations[-1].generation
        if keys.generation == newest and all(other.generation < newest for other in state.generations[:-1]):
            return False  # nearly always
        sending, generation = self.sending(state, wall), self.generation_of(keys, state)
        return sending is not None and generation is not None and generation != sending[0]

    def _under(self, requests: list[SealRequest], generation: tuple[GenerationState, EpochKeys] | None) -> RoomOutcome:
        """Seal these under a generation that all recipients hold, also when they are sealed again."""
        if generation is None:
            return RoomOutcome(requests=requests)
        state, keys = generation
        outcome = RoomOutcome()
        for request in requests:
            if request.reference is not None:
                outcome.writes += self.conversation.outbox.bind(request.reference, state.generation, state.commitment)
            outcome.requests.append(replace(request, keys=keys))
        return outcome
