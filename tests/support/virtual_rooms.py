"""Room machines around a wire that is a list: whole members with disks, deadlines and crashes, in virtual time."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from railgun.core.answers import AnswerCollector
from railgun.core.effects import Notification
from railgun.core.generations import Generations, OwnDevice, first_generation
from railgun.core.joining import JoiningRoom
from railgun.core.persistence import Write
from railgun.core.room import MemberRoom, RoomTools
from railgun.core.room_notifications import MessagePrepared, MessageReceived
from railgun.core.room_port import Room, RoomOutcome, SealRequest, TagPlan
from railgun.core.room_rows import RoomRow, RoomStatus, room_write
from railgun.core.roster import create_roster
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.epoch import epoch_start
from railgun.crypto.sealing import open_parsed, seal_envelope
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError
from railgun.network import NetworkKind, NetworkParameters
from railgun.ports import Sessions, Store
from railgun.runtime.member_store import load_rooms
from railgun.sim.archives import DiskArchive
from railgun.types import NetworkId, RoomId
from railgun.wire.content import TextContent
from railgun.wire.envelope import ParsedEnvelope, parse_envelope
from railgun.wire.invites import Invite, format_invite
from railgun.wire.roster import CreateEntry, RoomSettings
from railgun.wire.sealed import AnswerChunk
from tests.support import rosters as r
from tests.support.members import CountingEntropy

NETWORK = NetworkParameters("lab", kind=NetworkKind.LAN, epoch_seconds=600, overlap_seconds=120)


class MemoryStore:
    """Implements `railgun.ports.Store` in memory: what was committed, and nothing else, outlives a crash."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = defaultdict(dict)

    def commit(self, writes: Iterable[Write], *, survives_power_loss: bool = True) -> None:
        for write in writes:
            if write.value is None:
                self.tables[write.table].pop(write.key, None)
            else:
                self.tables[write.table][write.key] = write.value

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.tables[table].get(key)

    def load(self, table: str, prefix: bytes = b"") -> list[tuple[bytes, bytes]]:
        return sorted((key, value) for key, value in self.tables[table].items() if key.startswith(prefix))

    def keys(self, table: str, prefix: bytes = b"") -> list[bytes]:
        return sorted(key for key in self.tables[table] if key.startswith(prefix))

    def count(self, table: str) -> int:
        return len(self.tables[table])

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Weather:
    """What becomes of an envelope on its way to each node: ``loss`` of 1 never arrive, others take ``delay_seconds``
    or less, so that they overtake each other. ``seed`` decides."""

    seed: int
    loss: float = 0.0
    delay_seconds: float = 0.0

    def arrival(self, node: str, place: int, now: float) -> float:
        """Monotonic second; infinite: never."""
        fate = random.Random(f"{self.seed} {node} {place}")
        return float("inf") if fate.random() < self.loss else now + fate.random() * self.delay_seconds


CALM = Weather(0)


class World:
    """Every envelope ever published, the time, and who is there."""

    def __init__(self) -> None:
        self.envelopes: list[bytes] = []
        self.weather = CALM
        self.publishing = ""
        """Whose envelope the weather is asked about."""
        self.carriers: dict[str, list[int]] = defaultdict(list)
        """Which envelopes carried a text."""
        self.wall = float(r.NOON)
        self.now = 100.0
        self.nodes: list[Node] = []

    def settle(self) -> None:
        """Deliver until nobody has anything to say at this moment."""
        for _ in range(300):
            before = len(self.envelopes)
            for node in self.nodes:
                node.pull()
                node.act()
            if len(self.envelopes) == before and not any(node.due_at() <= self.now for node in self.nodes):
                return
        raise AssertionError("the rooms never come to rest")

    def pass_time(self, seconds: float) -> None:
        """From deadline to deadline."""
        self.settle()
        end = self.now + seconds
        while True:
            at = min([end, *(node.due_at() for node in self.nodes)])
            if at > self.now:
                self.wall += at - self.now
                self.now = at
            self.settle()
            if self.now >= end:
                return


class Node:
    """One device, its disk, and the rooms that it serves."""

    def __init__(self, world: World, device: r.Device, *, real: bool = True) -> None:
        self.world, self.device, self.real = world, device, real
        self.disk = MemoryStore()
        self.lives = 0
        self.rooms: dict[RoomId, Room] = {}
        self.told: list[Notification] = []
        self.read: dict[int, str] = {}
        self.views: dict[str, tuple[bytes, ...]] = {}
        self._spoken: dict[int, str] = {}
        self._untried: dict[int, ParsedEnvelope] = {}
        self._arrivals: dict[int, float] = {}
        self._texts: dict[bytes, str] = {}
        self._read_up_to = 0
        self._held_back: list[tuple[RoomId, SealRequest]] = []
        self.tools = self._make_tools()
        world.nodes.append(self)

    def _make_tools(self) -> RoomTools:
        life = f"{self.device.name} {self.lives}"
        sessions: Sessions = VodozemacSessions() if self.real else DeterministicSessions(life.encode())
        me: OwnDevice = self.device.own
        archive = DiskArchive(lambda: self.disk.tables)
        return RoomTools(
            me, NETWORK, sessions, CountingEntropy(life), r.PICKLE_KEY, self.device.record, archive=archive
        )

    # --- what its person does ------------------------------------------------------------------

    def create(self, name: str = "room") -> RoomId:
        wall = int(self.world.wall)
        made = first_generation(self.tools.entropy, wall)
        nonce = self.tools.entropy.random_bytes(16)
        creation = CreateEntry(self.device.key, wall, self.device.certificate, name, nonce, RoomSettings(), made.named)
        roster, writes = create_roster(self.device.seed, creation)
        generations = Generations(roster.room)
        row = room_write(roster.room, RoomRow(RoomStatus.MEMBER, wall, ""))
        room = MemberRoom(self.tools, roster, generations)
        self.add_room(room, RoomOutcome([*writes, *generations.adopt(made), row]))
        return roster.room

    def add_room(self, room: Room, outcome: RoomOutcome) -> None:
        self.rooms[room.room_id] = room
        self.apply(room, outcome)

    def member(self, room: RoomId) -> MemberRoom | None:
        found = self.rooms.get(room)
        return found if isinstance(found, MemberRoom) else None

    def join(self, invite: Invite) -> None:
        row = RoomRow(RoomStatus.JOINING, int(self.world.wall), format_invite(invite))
        joining = JoiningRoom(self.tools, invite, self.device.certificate)
        self.add_room(joining, RoomOutcome([room_write(invite.room, row)]))

    def invite(self, room: RoomId) -> Invite:
        member = self.member(room)
        assert member is not None
        made, outcome = member.invite(1, int(self.world.wall) + 86_400, self.world.wall)
        self.apply(member, outcome)
        return Invite(NetworkId(bytes(32)), room, made.seed, ())

    def say(self, room: RoomId, text: str, *, leaves: bool = True) -> None:
        """``leaves``: else what is prepared is kept, and the device dies before it is out."""
        member = self.member(room)
        assert member is not None
        token = len(self._spoken) + 1
        self._spoken[token] = text
        self.apply(member, member.send(TextContent(text), token, self.world.wall), leaves=leaves)

    def crash(self) -> None:
        """Die, and come back with what the disk has."""
        self.lives += 1
        self._held_back.clear()
        self.tools = self._make_tools()
        store: Store = self.disk
        loaded = load_rooms(store, self.tools, self.device.certificate, self.world.now)
        assert not loaded.damaged
        self.rooms = {}
        # What seats hold is had again; what was dealt with is known from the disk alone.
        self._read_up_to, self._untried = 0, {}
        for joining in loaded.joining:
            self.add_room(joining, RoomOutcome())
        for member in loaded.members:
            self.add_room(member, member.resume(self.world.wall))

    def forget(self, room: RoomId) -> None:
        """Erase all that is here of a room."""
        del self.rooms[room]
        for table in list(self.disk.tables):
            self.disk.commit([Write(table, key, None) for key, _ in self.disk.load(table, room)])

    # --- what the client around its rooms does -------------------------------------------------

    def apply(self, room: Room, outcome: RoomOutcome, *, leaves: bool = True) -> None:
        self.disk.commit(outcome.writes)
        for notification in outcome.notifications:
            self._notified(room, notification)
        successor = outcome.successor
        if successor is not None:
            self.rooms[room.room_id] = room = successor
        if leaves:
            self._publish(room, outcome.requests)

    def _notified(self, room: Room, notification: Notification) -> None:
        self.told.append(notification)
        is_text = isinstance(notification, MessagePrepared) and notification.token in self._spoken
        if is_text and isinstance(notification, MessagePrepared) and isinstance(room, MemberRoom):
            text = self._spoken[notification.token]
            self.views[text] = room.state(self.world.wall).devices
            self._texts.update(dict.fromkeys(notification.parts, text))
        elif isinstance(notification, MessageReceived) and isinstance(notification.message.content, TextContent):
            self.read[len(self.read)] = notification.message.content.text

    def _publish(self, room: Room, requests: Iterable[SealRequest]) -> None:
        for request in requests:
            keys = request.keys or room.sending_keys(self.world.wall)
            if keys is None:
                self._held_back.append((room.room_id, request))
                continue
            nonce = self.tools.entropy.random_bytes(12)
            sealed = seal_envelope(keys, request.kind, request.hint, request.body, request.size_class, nonce)
            place = len(self.world.envelopes)
            self.world.envelopes.append(sealed)
            self.world.publishing = self.device.name
            for node in self.world.nodes:
                if node is not self and self.world.weather is not CALM:
                    node._arrivals[place] = self.world.weather.arrival(node.device.name, place, self.world.now)
            if request.reference is not None:
                if request.reference in self._texts:
                    self.world.carriers[self._texts[request.reference]].append(place)
                told = room.receipts_grew(request.reference, 3, 3, majority=True, complete=True, now=self.world.now)
                self.disk.commit(told.writes)

    def plans(self) -> list[tuple[Room, TagPlan]]:
        found = []
        for room in self.rooms.values():
            start = epoch_start(self.world.wall, room.room_id, NETWORK.epoch_seconds)
            for epoch in (start - NETWORK.epoch_seconds, start):
                found += [(room, plan) for plan in room.tag_plans(epoch, self.world.wall)]
        return found

    def pull(self) -> None:
        """Try what nobody could open so far, too: another tag may be open by now, and seats hold all of it."""
        while self._read_up_to < len(self.world.envelopes):
            parsed = parse_envelope(self.world.envelopes[self._read_up_to])
            if parsed.epoch_start + 3 * NETWORK.epoch_seconds > self.world.wall:  # no longer than seats keep them
                self._untried[self._read_up_to] = parsed
            self._read_up_to += 1
        progress = True
        while progress and self._untried:
            progress = False
            by_tag = {plan.keys.tag: (room, plan) for room, plan in self.plans()}
            for place, parsed in sorted(self._untried.items(), key=lambda item: self.arrival(item[0])):
                if self.arrival(place) > self.world.now:
                    break
                if parsed.epoch_start + 3 * NETWORK.epoch_seconds <= self.world.wall:
                    del self._untried[place]
                    continue
                found = by_tag.get(parsed.tag)
                if found is None or found[0].room_id not in self.rooms:
                    continue
                del self._untried[place]
                progress = True
                try:
                    inner = open_parsed(found[1].keys, parsed)
                except CryptoError:
                    continue
                room = self.rooms[found[0].room_id]
                self.apply(room, room.envelope_opened(found[1], inner, self.world.now, self.world.wall))

    def arrival(self, place: int) -> float:
        """Monotonic second at which this node gets an envelope; infinite: never."""
        return self._arrivals.get(place, 0.0)

    def has_lost(self, text: str) -> bool:
        """Whether no envelope with this text ever reaches this node."""
        return all(self.arrival(place) == float("inf") for place in self.world.carriers[text])

    def due_at(self) -> float:
        """Monotonic second of the first deadline of any room, or of the first envelope to come."""
        now, wall = self.world.now, self.world.wall
        deadlines = [at for room in self.rooms.values() for at in room.next_deadlines(now, wall).values()]
        deadlines += [at for at in self._arrivals.values() if at > now]
        return min(deadlines, default=float("inf"))

    def act(self) -> None:
        """Whatever is due."""
        held, self._held_back = self._held_back, []
        for room_id, request in held:
            if room_id in self.rooms:
                self._publish(self.rooms[room_id], [request])
        for room in list(self.rooms.values()):
            for name, at in sorted(room.next_deadlines(self.world.now, self.world.wall).items()):
                if at <= self.world.now:
                    self.apply(room, room.due(name, self.world.now, self.world.wall))


def read_answer(node: Node, room: RoomId, chunks: Iterable[AnswerChunk], wall: int) -> list[Write]:
    """The rows of a room that was handed over to a new device."""
    collector = AnswerCollector(room, node.tools.sessions)
    for chunk in chunks:
        opened = collector.add(chunk, node.tools.me)
        if opened is not None:
            generations = Generations(room)
            secrets = generations.take_secrets(opened.secrets, opened.state, opened.author)
            return [*opened.writes, *secrets, room_write(room, RoomRow(RoomStatus.MEMBER, wall, ""))]
    raise AssertionError("the answer is not whole")
