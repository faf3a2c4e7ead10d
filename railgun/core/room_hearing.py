"""What comes to one member from its room: which part an envelope's body goes to, and what follows from it.

Owns: the dispatch by kind and body, pieces of bodies, filing what others tell of the roster.
Must not know: deadlines, seats, links, disks. Spec: docs/spec/rooms.md.
"""

from __future__ import annotations

from railgun.core.catch_up import CatchUp
from railgun.core.conversation import Received, ReceiveOutcome
from railgun.core.fragments import FragmentAssembly
from railgun.core.lobby import LobbyHost
from railgun.core.persistence import Write
from railgun.core.room_files import RoomFiles
from railgun.core.room_gaps import RoomGaps
from railgun.core.room_notifications import MessageReceived
from railgun.core.room_port import RoomOutcome, TagPlan, TagPurpose
from railgun.core.room_prekeys import PrekeyTelling
from railgun.core.room_refusals import ForgedBundle, RoomRefusals
from railgun.core.room_telling import RoomTelling
from railgun.core.room_upkeep import GenerationUpkeep
from railgun.core.roster import InsertOutcome
from railgun.core.roster_doubts import RosterDoubts, UnknownAuthor
from railgun.crypto.epoch import EpochKeys
from railgun.errors import CryptoError, MalformedInput, PeerError
from railgun.types import EnvelopeKind
from railgun.wire.content import (
    ROSTER_ENTRIES_PER_CONTENT_MAX,
    BeforeContent,
    HeadsContent,
    RosterContent,
    TrailContent,
    WantContent,
)
from railgun.wire.envelope import Inner
from railgun.wire.file_content import FilePartContent, FileWantContent
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

NOT_TOLD = (HeadsContent, WantContent, TrailContent, BeforeContent, FilePartContent, FileWantContent)
"""What members say that is no message to the application."""


class RoomHearing:
    """The incoming half of a `railgun.core.room.MemberRoom`."""

    def __init__(
        self,
        telling: RoomTelling,
        prekeys: PrekeyTelling,
        host: LobbyHost,
        upkeep: GenerationUpkeep,
        catch_up: CatchUp,
        files: RoomFiles,
        doubts: RosterDoubts,
        gaps: RoomGaps,
    ) -> None:
        self._telling = telling
        self._prekeys = prekeys
        self._host = host
        self._upkeep = upkeep
        self._catch_up = catch_up
        self._files = files
        self._doubts = doubts
        self._gaps = gaps
        self._stragglers = doubts.stragglers
        self.fragments = FragmentAssembly(telling.roster.room)
        self._refused_requests = 0

    def envelope_opened(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        """See `Room`. What a member did wrong is dropped here; seats are not to blame for it."""
        try:
            if plan.purpose is TagPurpose.LOBBY:
                return self._lobby(plan, inner, now, wall)
            if inner.kind is EnvelopeKind.GROUP:
                received = self._telling.conversation.receive_group(
                    inner.hint, inner.body, self._telling.state(wall), now, wall
                )
                self._heard_under(plan.keys, inner.hint, received, now, wall)
                return self._received([received], now, wall)
            if inner.kind is EnvelopeKind.PAIRWISE:
                taken = self._telling.conversation.receive_pairwise(
                    inner.body, self._telling.state(wall), self._telling.roster.bundle, now, wall
                )
                return self._received(taken, now, wall)
            if inner.kind is EnvelopeKind.SEALED:
                return self._sealed(plan, inner.body, now, wall)
        except UnknownAuthor:
            self._doubts.arose(now)
            return RoomOutcome()
        except ForgedBundle:  # the roster counts these
            return RoomOutcome()
        except PeerError:
            self._refused_requests += 1
            return RoomOutcome()
        except CryptoError:
            if inner.kind is EnvelopeKind.SEALED and plan.purpose is TagPurpose.ROOM:
                self._prekeys.sealed_for_another(now)
            return RoomOutcome()
        return RoomOutcome()

    @property
    def refused(self) -> RoomRefusals:
        """What was refused of the room, by kind."""
        roster, conversation = self._telling.roster.refused, self._telling.conversation
        return RoomRefusals(
            devices_out=conversation.refused_out,
            bundles_forged=roster.bundles,
            roster_entries=roster.entries,
            session_keys=conversation.refused_keys,
            messages=conversation.refused_contents,
            requests=self._refused_requests,
        )

    def _heard_under(self, keys: EpochKeys, hint: bytes, received: Received, now: float, wall: float) -> None:
        """Where the author of a group envelope listens, as far as it matters."""
        state = self._telling.state(wall)
        if self._telling.conversation.waits_for(hint):
            generation = self._telling.generation_of(keys, state)
            if generation is not None:
                is_behind = self._telling.is_behind(keys, state, wall)
                named = (generation.generation, generation.commitment)
                self._telling.conversation.heard_under(hint, named, is_behind=is_behind)
        speaks = received.outcome in (ReceiveOutcome.NEW, ReceiveOutcome.PARTIAL, ReceiveOutcome.WAITING)
        # Of a newer generation all are told under the older one.
        tells = received.message is not None and isinstance(received.message.content, RosterContent)
        if speaks and not tells and self._stragglers.may_ask(now) and self._telling.is_behind(keys, state, wall):
            self._stragglers.spoke(keys, now)

    def _lobby(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        if inner.kind is not EnvelopeKind.SEALED:
            return RoomOutcome()
        body = SEALED_BODIES.decode(inner.body)
        if isinstance(body, Fragment):
            return self._fragment(plan, body, now, wall)
        if isinstance(body, AnswerChunk):
            self._host.answered_by_another(body.recipient, plan.keys, now)
        if isinstance(body, JoinPost):
            self._host.receive(body, plan.keys, self._telling.state(wall), now, wall)
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
        state, keys = self._telling.state(wall), plan.keys
        sessions = self._telling.tools.sessions
        match body:
            case KeyRequest():
                writes = [] if body.prekey is None else list(self._telling.roster.insert_prekey(body.prekey))
                more, requests = self._telling.conversation.receive_key_request(
                    body, state, self._telling.roster.bundle, now, wall
                )
                outcome = RoomOutcome([*writes, *more])
                outcome.add(self._telling.answer(requests, keys, state, wall))
                return outcome
            case GenerationDelivery():
                return self._gained(
                    self._telling.generations.take_delivery(body, self._telling.tools.me, state, sessions), wall
                )
            case DayDelivery():
                self._upkeep.answered(body)
                return self._gained(
                    self._telling.generations.take_days(body, self._telling.tools.me, state, sessions), wall
                )
            case GenerationRequest():
                self._upkeep.asked(body, keys, state, now)
                return RoomOutcome()
            case RosterRequest():
                asks = self._catch_up.asked(body, keys, self._telling.roster, state, self._telling.tools.me, now, wall)
                if asks and body.digest == self._telling.roster.digest() and self._telling.is_behind(keys, state, wall):
                    self._stragglers.asked(keys, now, self._telling.tools.network.epoch_seconds)
                return RoomOutcome()
            case AnswerChunk():
                return self._caught_up(body, keys, now, wall)
            case Fragment():
                return self._fragment(plan, body, now, wall)
            case _:
                return RoomOutcome()

    def _received(self, results: list[Received], now: float, wall: float) -> RoomOutcome:
        outcome = RoomOutcome()
        for received in results:
            outcome.writes += received.writes
            outcome.add(self._gaps.received(received, now, wall))
            message = received.message
            if received.outcome is not ReceiveOutcome.NEW or message is None:
                continue
            outcome.add(self._files.heard(message, now))
            if isinstance(message.content, RosterContent):
                outcome.add(self._roster_content(message.content, now, wall))
            elif not isinstance(message.content, NOT_TOLD):
                outcome.notifications.append(MessageReceived(self._telling.roster.room, message))
        return outcome

    def _roster_content(self, content: RosterContent, now: float, wall: float) -> RoomOutcome:
        outcome = RoomOutcome()
        forked = False
        changed = False
        for data in content.entries:
            try:
                result = self._telling.roster.insert(data)
            except (MalformedInput, PeerError, CryptoError):
                continue
            outcome.writes += result.writes
            forked = forked or result.forked
            changed = changed or bool(result.added)
            is_early = any(self._telling.roster.lacks_before(stored) for stored in result.added)
            if is_early or result.outcome is InsertOutcome.PENDING:
                self._doubts.arose(now)
        for record in content.prekeys:
            try:
                outcome.writes += self._telling.roster.insert_prekey(record)
            except PeerError:
                continue
        if changed:
            outcome.add(self._telling.roster_changed(self._telling.state(wall), forked=forked))
            outcome.add(self._telling.flush(wall))
        return outcome

    def _caught_up(self, chunk: AnswerChunk, keys: EpochKeys, now: float, wall: float) -> RoomOutcome:
        """An answer to our question whether our roster is everyone's: file what is new, spread what its author lacks,
        where it listens."""
        telling = self._telling
        is_behind = telling.is_behind(keys, telling.state(wall), wall)
        caught = self._catch_up.receive(
            chunk, keys, telling.roster, telling.generations, telling.tools.me, now, is_behind=is_behind
        )
        if caught is None:
            return RoomOutcome()
        outcome = RoomOutcome(list(caught.writes), plan_changed=True)
        if caught.changed or caught.unknown:
            self._doubts.once_more(now)
        if caught.changed:
            outcome.add(self._telling.roster_changed(self._telling.state(wall), forked=False))
        for first in range(0, len(caught.unknown), ROSTER_ENTRIES_PER_CONTENT_MAX):
            some = caught.unknown[first : first + ROSTER_ENTRIES_PER_CONTENT_MAX]
            outcome.add(self._telling.spread(some, (), self._telling.state(wall), wall, asked=keys))
        outcome.add(self._telling.flush(wall))
        return outcome

    def _gained(self, writes: tuple[Write, ...], wall: float) -> RoomOutcome:
        if not writes:
            return RoomOutcome()
        outcome = RoomOutcome(list(writes), plan_changed=True)
        outcome.add(self._telling.flush(wall))
        return outcome
