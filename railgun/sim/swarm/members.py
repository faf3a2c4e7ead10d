"""A swarm's members: real machines that live, die and come back with what their disk holds.

Owns: the rooms' first rosters, reading a room back from a virtual disk, what a member's application does.
Must not know: what goes wrong, what is judged. HPKE and Megolm are the deterministic stand-ins of equal sizes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from railgun.core.assembly import build_client
from railgun.core.conversation import Conversation, Message, read_message
from railgun.core.cover import CoverOptions
from railgun.core.effects import Effect
from railgun.core.events import ClockRead, Event
from railgun.core.generations import Generations, OwnDevice, first_generation
from railgun.core.persistence import Write
from railgun.core.reputation import KEY_PREFIX, Reputation
from railgun.core.reputation import TABLE as REPUTATION
from railgun.core.room import MemberRoom
from railgun.core.room_telling import RoomTools
from railgun.core.roster import Roster, create_roster
from railgun.core.roster_entries import sign_prekey
from railgun.core.seen_envelopes import TABLE as SEEN
from railgun.core.seen_envelopes import SeenEnvelopes
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.identity import device_identity, issue_certificate, root_identity
from railgun.network import NetworkParameters
from railgun.ports import MessageArchive
from railgun.sim.machines import SIZES, SeededEntropy
from railgun.sim.swarm.breaks import NO_BREAK, Break
from railgun.sim.virtual_node import Persisted
from railgun.types import DeviceKey, MessageId, RelayContact, RoomId
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.content import TextContent
from railgun.wire.roster import AddEntry, Cover, CreateEntry, RoomSettings

CERTIFICATE_SECONDS: Final = 10 * 365 * 86_400
MESSAGES: Final = "messages"
INVITE_SECONDS: Final = 3_600


@dataclass(frozen=True, slots=True)
class Person:
    """A member with one device. Its dice go on over its lives: nothing random is drawn twice."""

    name: str
    tools: RoomTools
    certificate: bytes
    entropy: SeededEntropy = field(repr=False)


@dataclass(slots=True)
class SwarmRoom:
    """A room whose members are in from the start. ``rows``: what each has on its disk then."""

    name: str
    room_id: RoomId
    people: tuple[Person, ...]
    rows: Persisted

    def node_of(self, device: DeviceKey) -> str | None:
        """The member whose device it is."""
        return next((person.name for person in self.people if person.tools.me.device == device), None)


def make_room(
    name: str, seed: bytes, members: Sequence[str], network: NetworkParameters, committee_size: int, wall: int
) -> SwarmRoom:
    """A room made by its first member, who let the others in at Unix second ``wall``."""
    people = tuple(_person(member, seed, network, wall) for member in members)
    maker = people[0]
    made = first_generation(SeededEntropy(seed), wall)
    settings = RoomSettings(committee_size=committee_size, cover=Cover.OFF)
    device = maker.tools.me.device
    creation = CreateEntry(device, wall, maker.certificate, name, seed[:16], settings, made.named)
    roster, writes = create_roster(maker.tools.me.seed, creation)
    for index, person in enumerate(people[1:], 1):
        number, previous = roster.next_place(device)
        entry = AddEntry(
            roster.room,
            device,
            number,
            previous,
            wall,
            person.tools.me.device,
            person.certificate,
            admin=index == 1,
            request=None,
        )
        writes += roster.append(maker.tools.me.seed, entry).writes
    for person in people:
        if person.tools.prekey is not None:
            writes += roster.insert_prekey(person.tools.prekey)
    writes += Generations(roster.room).adopt(made)
    return SwarmRoom(name, roster.room, people, _tables(writes))


def _person(name: str, seed: bytes, network: NetworkParameters, wall: int) -> Person:
    entropy = SeededEntropy(seed + name.encode())
    sessions = DeterministicSessions(entropy.random_bytes(32))
    pickle_key = entropy.random_bytes(32)
    root = root_identity(entropy.random_bytes(32))
    device_seed, prekey_secret = entropy.random_bytes(32), entropy.random_bytes(32)
    account = sessions.olm_new_fallback(sessions.olm_account_new(pickle_key).pickle, pickle_key)
    device = device_identity(device_seed, prekey_secret, account, sessions)
    certificate = issue_certificate(root, device, wall, wall + CERTIFICATE_SECONDS)
    me = OwnDevice(device.device_key, device_seed, (prekey_secret,), account.pickle, wall)
    record = sign_prekey(device_seed, me.device, wall, device.prekey, account.fallback_key)
    tools = RoomTools(me, network, sessions, entropy, pickle_key, record)
    return Person(name, tools, CERTIFICATES.encode(certificate), entropy)


def _tables(writes: Sequence[Write]) -> Persisted:
    tables: Persisted = {}
    for write in writes:
        if write.value is not None:
            tables.setdefault(write.table, {})[write.key] = write.value
    return tables


def load_room(room: SwarmRoom, person: Person, disk: Persisted, archive: MessageArchive | None = None) -> MemberRoom:
    """The room as the disk has it. ``archive`` goes on reading what is written later."""

    def rows(table: str) -> list[tuple[bytes, bytes]]:
        return sorted(disk.get(table, {}).items())

    tools = replace(person.tools, archive=archive)
    conversation = Conversation(room.room_id, tools.me, tools.sessions, tools.pickle_key)
    conversation.load(rows("outbound_sessions"), rows("inbound_sessions"), rows("seen_indexes"), rows("outbox"), 0.0)
    loaded = MemberRoom(
        tools,
        Roster.load(room.room_id, rows("roster_entries")),
        Generations.load(room.room_id, rows("generations")),
        conversation,
    )
    loaded.fragments.load(rows("inbound_sessions"))
    loaded.gaps.gaps.load(rows("outbound_sessions"), 0.0)
    return loaded


def stored_numbers(room: SwarmRoom, disk: Persisted) -> list[tuple[int, Message]]:
    """The messages in a member's store, by the number that each says; one that is no number is left out."""
    found = []
    for key, value in sorted(disk.get(MESSAGES, {}).items()):
        message = read_message(MessageId(key[len(room.room_id) :]), value)
        if isinstance(message.content, TextContent):
            found.append((int(message.content.text), message))
    return found


class MemberMachine:
    """One life of one member: the real client with its real room, and the application on top."""

    def __init__(
        self,
        room: SwarmRoom,
        person: Person,
        bootstrap: Sequence[RelayContact],
        chooser: random.Random,
        disk: Persisted,
        planted: Break = NO_BREAK,
        archive: MessageArchive | None = None,
    ) -> None:
        self.person = person
        rows = {table: sorted(kept.items()) for table, kept in disk.items()}
        remembered = [(key, value) for key, value in rows.get(REPUTATION, []) if key.startswith(KEY_PREFIX)]
        self.client = build_client(
            network=person.tools.network,
            bootstrap=bootstrap,
            entropy=person.entropy,
            chooser=chooser,
            cover=CoverOptions(Cover.OFF),
            reputation=Reputation(remembered),
            seen=SeenEnvelopes(rows.get(SEEN, [])),
        )
        self.room = load_room(room, person, disk or room.rows, archive)
        self.client.add_room(self.room, 0.0)
        self._is_fresh = True
        planted.plant_in_member(self.client, self.room)
        self._outgoing = planted.outgoing()

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """As the client; the first thing a new life does is to send what the last one left unfinished."""
        effects = self.client.handle(event, now)
        if self._is_fresh and type(event) is ClockRead:
            self._is_fresh = False
            effects = [*effects, *self.client.apply(self.room, self.room.resume(self.client.wall(now)), now)]
        return self._leave(effects)

    def _leave(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        return effects if self._outgoing is None else self._outgoing(effects)

    @property
    def turn_due(self) -> bool:
        return self.client.turn_due

    def state_sizes(self) -> dict[str, int]:
        """As the client's, and what its room still has to bring home."""
        return {**self.client.state_sizes(), "outbox": len(self.room.conversation.outbox)}

    # --- what its person does -----------------------------------------------------------------

    def say(self, number: int, now: float) -> tuple[Sequence[Effect], bytes | None]:
        """Say a number. Returns the message's id, unless it has to wait for keys."""
        outcome = self.room.send(TextContent(str(number)), number, self.client.wall(now), SIZES[number % len(SIZES)])
        ids = [getattr(notification, "message_id", None) for notification in outcome.notifications]
        return self._leave(self.client.apply(self.room, outcome, now)), next(iter(ids), None)

    def remove(self, device: DeviceKey, now: float) -> Sequence[Effect]:
        """Put somebody out of the room."""
        return self._leave(self.client.apply(self.room, self.room.remove([device], self.client.wall(now)), now))

    def invite(self, now: float) -> Sequence[Effect]:
        """Make an invite and tell the room."""
        wall = self.client.wall(now)
        _, outcome = self.room.invite(1, int(wall) + INVITE_SECONDS, wall)
        return self._leave(self.client.apply(self.room, outcome, now))

    def devices(self, now: float) -> tuple[Sequence[DeviceKey], Sequence[DeviceKey]]:
        """Who is in, and who was put out, as far as this member knows."""
        state = self.room.state(self.client.wall(now))
        return tuple(state.devices), tuple(state.removed)
