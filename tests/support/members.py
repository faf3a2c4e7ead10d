"""Members of a room around real keys and a wire that is a list: what the machines need, and no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from railgun.core.answers import Answerer
from railgun.core.catch_up import CatchUp
from railgun.core.conversation import Conversation, Message, PreparedSend, Received, ReceiveOutcome
from railgun.core.generations import Generations
from railgun.core.lobby import Joined, Joiner, LobbyHost, make_invite
from railgun.core.persistence import Write
from railgun.core.room_keys import joiner_plans, member_plans, sending_keys
from railgun.core.room_port import SealRequest
from railgun.core.roster import Roster
from railgun.core.roster_state import RosterState
from railgun.crypto.epoch import EpochKeys, epoch_start
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.sealing import open_envelope, seal_envelope
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError, PeerError
from railgun.types import EnvelopeKind, NetworkId, RoomId, SizeClass
from railgun.wire.content import Content, RosterContent, TextContent
from railgun.wire.invites import Invite
from railgun.wire.roster import PrekeyRecord, RoomSettings
from railgun.wire.sealed import (
    SEALED_BODIES,
    AnswerChunk,
    DayDelivery,
    GenerationDelivery,
    GenerationRequest,
    JoinPost,
    KeyRequest,
    RosterRequest,
)
from tests.support import rosters as r
from tests.support.room_changes import Change, create_room, remove_devices, renew_generation

EPOCH_SECONDS = 600
PICKLE_KEY = r.PICKLE_KEY
TABLES = (
    "roster_entries",
    "generations",
    "outbound_sessions",
    "inbound_sessions",
    "seen_indexes",
    "messages",
    "outbox",
    "invites",
)


class CountingEntropy:
    """Bytes that differ by name and count."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def random_bytes(self, count: int) -> bytes:
        self._count += 1
        data = keyed_hash(None, "test/entropy", f"{self._name} {self._count}".encode())
        return (data * (count // 32 + 1))[:count]


class Disk:
    """What was committed: table to key to value."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {table: {} for table in TABLES}

    def commit(self, writes: Iterable[Write]) -> None:
        for write in writes:
            if write.value is None:
                self.tables[write.table].pop(write.key, None)
            else:
                self.tables[write.table][write.key] = write.value

    def rows(self, table: str) -> list[tuple[bytes, bytes]]:
        return sorted(self.tables[table].items())

    def copy(self) -> Disk:
        other = Disk()
        other.tables = {table: dict(rows) for table, rows in self.tables.items()}
        return other


class Wire:
    """Every envelope ever published, and the time."""

    def __init__(self) -> None:
        self.envelopes: list[bytes] = []
        self.wall = float(r.NOON)
        self.now = 100.0
        self.members: list[Member] = []

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.now += seconds

    def settle(self) -> None:
        """Deliver, answer and deliver again until nothing is left to say."""
        for _ in range(200):
            before = len(self.envelopes)
            for member in self.members:
                member.pull()
                member.act()
            if len(self.envelopes) == before:
                return
        raise AssertionError("the room never comes to rest")


class Member:
    """One device in one room."""

    def __init__(self, wire: Wire, device: r.Device, sessions: VodozemacSessions | None = None) -> None:
        self.wire = wire
        self.device = device
        self.me = device.own
        self.record: PrekeyRecord = device.record
        self.sessions = sessions or VodozemacSessions()
        self.entropy = CountingEntropy(device.name)
        self.disk = Disk()
        self.host = LobbyHost(self.me, self.sessions)
        self.joiner: Joiner | None = None
        self.roster: Roster | None = None
        self.generations: Generations | None = None
        self.talk: Conversation | None = None
        self.lag: CatchUp | None = None
        self.heard: list[Message] = []
        self.results: list[Received] = []
        self.refused: list[Exception] = []
        self.read = 0
        self._asked: set[bytes] = set()
        self._held_back: list[SealRequest] = []
        wire.members.append(self)

    # --- a room's beginnings -------------------------------------------------------------------

    def create(self, settings: RoomSettings | None = None) -> None:
        wall = self.wire.wall
        start = int(wall) // EPOCH_SECONDS * EPOCH_SECONDS
        roster, generations, writes = create_room(
            self.me, self.device.certificate, "room", settings or RoomSettings(), self.entropy, start, wall
        )
        self._enter(roster, generations)
        self.disk.commit((*writes, *roster.insert_prekey(self.record)))

    def invite(self, uses: int = 1, seconds: float = 86_400) -> Invite:
        made = make_invite(
            self.room, self.me, self.entropy, uses=uses, expires=int(self.wire.wall + seconds), wall=self.wire.wall
        )
        self.disk.commit(made.writes)
        self.spread([made.entry.data])
        return Invite(NetworkId(bytes(32)), self.room.room, made.seed, ())

    def join(self, invite: Invite) -> None:
        self.joiner = Joiner(invite, self.me, self.device.certificate, self.sessions, self.record)
        self.disk.commit(self.joiner.writes())
        self.read = len(self.wire.envelopes)
        self.post()

    def post(self) -> None:
        assert self.joiner is not None
        request = self.joiner.post(epoch_start(self.wire.wall, self.joiner.invite.room, EPOCH_SECONDS), self.wire.wall)
        self.publish([] if request is None else [request])

    def _enter(self, roster: Roster, generations: Generations) -> None:
        self.roster, self.generations = roster, generations
        self.talk = Conversation(roster.room, self.me, self.sessions, PICKLE_KEY)
        self.lag = CatchUp(roster.room, self.sessions)

    def restarted(self, wire: Wire | None = None) -> Member:
        """Another member made of what this one has committed."""
        other = Member(wire or Wire(), self.device)
        other.entropy = CountingEntropy(self.device.name + " restarted")
        other.disk = self.disk.copy()
        other.wire.wall, other.wire.now, other.read = self.wire.wall, self.wire.now, self.read
        room = self.room.room
        other.roster = Roster.load(room, other.disk.rows("roster_entries"))
        other.generations = Generations.load(room, other.disk.rows("generations"))
        other.lag = CatchUp(room, other.sessions)
        other.talk = Conversation(room, other.me, other.sessions, PICKLE_KEY)
        rows = other.disk.rows
        other.talk.load(
            rows("outbound_sessions"), rows("inbound_sessions"), rows("seen_indexes"), rows("outbox"), other.wire.now
        )
        return other

    # --- what it holds -------------------------------------------------------------------------

    @property
    def room(self) -> Roster:
        assert self.roster is not None
        return self.roster

    @property
    def secrets(self) -> Generations:
        assert self.generations is not None
        return self.generations

    @property
    def conversation(self) -> Conversation:
        assert self.talk is not None
        return self.talk

    @property
    def catch_up(self) -> CatchUp:
        assert self.lag is not None
        return self.lag

    @property
    def state(self) -> RosterState:
        return self.room.state(int(self.wire.wall) // 86_400)

    @property
    def start(self) -> int:
        return epoch_start(self.wire.wall, self.room.room, EPOCH_SECONDS)

    @property
    def texts(self) -> list[str]:
        return [message.content.text for message in self.heard if isinstance(message.content, TextContent)]

    # --- saying things -------------------------------------------------------------------------

    def prepare(self, content: Content, size_class: SizeClass | None = None) -> PreparedSend:
        found = sending_keys(self.state, self.secrets, EPOCH_SECONDS, self.wire.wall)
        assert found is not None, "sends must wait"
        return self.conversation.prepare_send(
            content,
            state=self.state,
            generation=found[0],
            bundle_of=self.room.bundle,
            wall=self.wire.wall,
            size_class=size_class,
        )

    def say(self, content: Content | str, size_class: SizeClass | None = None) -> PreparedSend:
        prepared = self.prepare(TextContent(content) if isinstance(content, str) else content, size_class)
        self.disk.commit(prepared.writes)
        self.publish(prepared.requests)
        return prepared

    def spread(
        self, entries: list[bytes], prekeys: tuple[PrekeyRecord, ...] = (), change: Change | None = None
    ) -> None:
        found = sending_keys(self.state, self.secrets, EPOCH_SECONDS, self.wire.wall)
        generation, keys = found or (None, None)
        if change is not None and change.generation is not None:
            generation, keys = change.generation, change.keys
        assert generation is not None
        prepared = self.conversation.prepare_send(
            RosterContent(tuple(entries), prekeys),
            state=self.state if change is None else change.before,
            generation=generation,
            bundle_of=self.room.bundle,
            wall=self.wire.wall,
            keys=keys,
        )
        self.disk.commit(prepared.writes)
        self.publish(prepared.requests)

    def apply(self, change: Change) -> None:
        self.disk.commit(change.writes)
        self.publish(change.requests)
        self.spread([change.entry.data], change=change)

    def remove(self, *others: Member) -> None:
        targets = [other.device.key for other in others]
        self.apply(
            remove_devices(
                self.room, self.secrets, self.me, targets, self.entropy, self.sessions, self.start, self.wire.wall
            )
        )

    def renew(self) -> None:
        self.apply(
            renew_generation(self.room, self.secrets, self.me, self.entropy, self.sessions, self.start, self.wire.wall)
        )

    def ask_for_roster(self) -> None:
        self.publish(
            self.catch_up.request(self.room, self.me, keys, self.wire.wall)
            for keys in self.secrets.listening(self.state, self.start)
        )

    def publish(self, requests: Iterable[SealRequest]) -> None:
        for request in requests:
            keys = request.keys or self.secrets.sending(self.state, self.start)
            if keys is None:
                self._held_back.append(request)  # as a room does: until there is a generation to send under
                continue
            nonce = self.entropy.random_bytes(12)
            self.wire.envelopes.append(
                seal_envelope(keys, request.kind, request.hint, request.body, request.size_class, nonce)
            )

    # --- hearing things ------------------------------------------------------------------------

    def open_keys(self) -> list[EpochKeys]:
        if self.roster is None:
            assert self.joiner is not None
            start = epoch_start(self.wire.wall, self.joiner.invite.room, EPOCH_SECONDS)
            starts = (start - EPOCH_SECONDS, start)
            return [plan.keys for epoch in starts for plan in joiner_plans(self.joiner, epoch)]
        plans = []
        for start in (self.start - EPOCH_SECONDS, self.start):
            plans += member_plans(self.state, self.secrets, start, self.wire.wall)
        return [plan.keys for plan in plans]

    def pull(self) -> None:
        while self.read < len(self.wire.envelopes):
            envelope = self.wire.envelopes[self.read]
            self.read += 1
            self.try_to_read(envelope)

    def try_to_read(self, envelope: bytes) -> None:
        for keys in self.open_keys():
            try:
                inner = open_envelope(keys, envelope)
            except CryptoError:
                continue
            try:
                if inner.kind is EnvelopeKind.GROUP and self.roster is not None:
                    self.take(
                        [
                            self.conversation.receive_group(
                                inner.hint, inner.body, self.state, self.wire.now, self.wire.wall
                            )
                        ]
                    )
                elif inner.kind is EnvelopeKind.PAIRWISE and self.roster is not None:
                    taken = self.conversation.receive_pairwise(
                        inner.body, self.state, self.room.bundle, self.wire.now, self.wire.wall
                    )
                    self.take(taken)
                elif inner.kind is EnvelopeKind.SEALED:
                    self.take_sealed(inner.body, keys)
            except (PeerError, CryptoError) as error:
                self.refused.append(error)
            return

    def take_sealed(self, data: bytes, keys: EpochKeys) -> None:
        body = SEALED_BODIES.decode(data)
        state = None if self.roster is None else self.state
        match body:
            case AnswerChunk() if self.joiner is not None and self.roster is None:
                joined = self.joiner.receive(body)
                if isinstance(joined, Joined):
                    self._enter(joined.roster, joined.generations)
                    self.disk.commit((*joined.writes, *self.joiner.forgotten()))
            case RosterRequest() if state is not None:
                self.catch_up.asked(body, keys, self.room, state, self.me, self.wire.now, self.wire.wall)
            case AnswerChunk() if state is not None:
                caught = self.catch_up.receive(
                    body, keys, self.room, self.secrets, self.me, self.wire.now, is_behind=False
                )
                if caught is not None:
                    self.disk.commit(caught.writes)
                    if caught.unknown:
                        self.spread(list(caught.unknown))
            case JoinPost() if state is not None:
                self.host.receive(body, keys, state, self.wire.now, self.wire.wall)
            case GenerationDelivery() if state is not None:
                self.disk.commit(self.secrets.take_delivery(body, self.me, state, self.sessions))
            case KeyRequest() if state is not None:
                if body.prekey is not None:
                    self.disk.commit(self.room.insert_prekey(body.prekey))
                writes, requests = self.conversation.receive_key_request(
                    body, state, self.room.bundle, self.wire.now, self.wire.wall
                )
                self.disk.commit(writes)
                self.publish(requests)
            case GenerationRequest() if state is not None:
                prekey = self.room.prekey(body.author)
                assert prekey is not None
                answer = self.secrets.answer(body, self.me, state, self.start, prekey, self.sessions, keys)
                self.publish([] if answer is None else [answer])
            case DayDelivery() if state is not None:
                self.disk.commit(self.secrets.take_days(body, self.me, state, self.sessions))

    def take(self, results: list[Received]) -> None:
        for result in results:
            self.results.append(result)
            self.disk.commit(result.writes)
            if result.outcome is not ReceiveOutcome.NEW or result.message is None:
                continue
            content = result.message.content
            if isinstance(content, RosterContent):
                for entry in content.entries:
                    self.disk.commit(self.room.insert(entry).writes)
                for record in content.prekeys:
                    self.disk.commit(self.room.insert_prekey(record))
            else:
                self.heard.append(result.message)

    def act(self) -> None:
        """Whatever is due: answers in lobbies, requests for keys."""
        if self.roster is None:
            return
        held, self._held_back = self._held_back, []
        self.publish(held)
        for admission in self.host.due(
            self.room, self.secrets, self.start, self.entropy, self.wire.now, self.wire.wall
        ):
            self.disk.commit(admission.writes)
            self.publish(admission.requests)
            if admission.entry is not None:
                self.spread([admission.entry.data], () if admission.prekey is None else (admission.prekey,))
        answerer = Answerer(self.me, self.sessions, self.entropy)
        wire = self.wire
        self.publish(self.catch_up.due(self.room, self.secrets, answerer, self.start, wire.now, wire.wall))
        writes, request, _ = self.conversation.key_requests_due(self.wire.now, self.wire.wall, self.record)
        self.disk.commit(writes)
        self.publish([] if request is None else [request])

    def reopened(self, *prekey_secrets: bytes) -> None:
        """Use other prekeys from now on, newest first."""
        self.me = dataclasses.replace(self.me, prekey_secrets=prekey_secrets)
        self.conversation.use_device(self.me)


def room_of(wire: Wire, *devices: r.Device, settings: RoomSettings | None = None) -> list[Member]:
    """A room whose first device created it and let the others in by invite, all at rest."""
    members = [Member(wire, devices[0])]
    members[0].create(settings)
    for device in devices[1:]:
        link = members[0].invite()
        wire.settle()
        member = Member(wire, device)
        member.join(link)
        wire.settle()
        wire.pass_time(60)
        wire.settle()
        members.append(member)
    return members


__all__ = ["CountingEntropy", "Disk", "Member", "RoomId", "Wire", "room_of"]
