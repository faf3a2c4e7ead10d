"""Members who join a room and talk at once, in virtual time: the real relays, clients and rooms, clocks that differ."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from railgun.core.assembly import build_client, build_relay
from railgun.core.client import ClientMachine
from railgun.core.effects import Effect, Notification
from railgun.core.generations import Generations, OwnDevice, first_generation
from railgun.core.joining import JoiningRoom
from railgun.core.room import MemberRoom, RoomTools
from railgun.core.room_notifications import MessageReceived
from railgun.core.room_port import RoomOutcome
from railgun.core.roster import create_roster
from railgun.core.roster_entries import sign_prekey
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.identity import RootIdentity, device_identity, issue_certificate, root_identity
from railgun.crypto.signing import PUBLIC_KEY_BYTES, signing_key_of
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.network_model import NetworkModel
from railgun.sim.world import WALL_BASE_SECONDS, World
from railgun.types import Address, NetworkId, NodeKey, PeerKey, RelayContact, RoomId
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.content import TextContent
from railgun.wire.invites import Invite
from railgun.wire.roster import Cover, CreateEntry, RoomSettings
from tests.support.plain_rooms import SeededEntropy

NETWORK = NetworkParameters(name="joining", kind=NetworkKind.LAN, epoch_seconds=10, overlap_seconds=2)
STEP_SECONDS = 0.05


def _seed_of(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Person:
    """One member's keys and clock."""

    name: str
    tools: RoomTools = field(repr=False)
    certificate: bytes = field(repr=False)


def make_person(name: str, seed: int, network: NetworkParameters) -> Person:
    entropy = SeededEntropy(_seed_of("person", seed, name))
    sessions = DeterministicSessions(entropy.random_bytes(32))
    pickle_key, time = entropy.random_bytes(32), int(WALL_BASE_SECONDS) - 100
    secret, prekey = entropy.random_bytes(32), entropy.random_bytes(32)
    account = sessions.olm_new_fallback(sessions.olm_account_new(pickle_key).pickle, pickle_key)
    device = device_identity(secret, prekey, account, sessions)
    certificate = issue_certificate(root_identity(entropy.random_bytes(32)), device, time, time + 10**8)
    me = OwnDevice(device.device_key, secret, (prekey,), account.pickle, time)
    record = sign_prekey(secret, me.device, time, device.prekey, account.fallback_key)
    tools = RoomTools(me, network, sessions, entropy, pickle_key, record)
    return Person(name, tools, CERTIFICATES.encode(certificate))


def root_of(name: str, seed: int) -> RootIdentity:
    """Who `make_person` has certified the device with."""
    entropy = SeededEntropy(_seed_of("person", seed, name))
    for _ in range(4):
        entropy.random_bytes(32)
    return root_identity(entropy.random_bytes(32))


class JoiningWorld:
    """Relays, and members named by ``skews`` (seconds by which each clock is ahead); the first makes the room."""

    def __init__(
        self,
        seed: int,
        skews: dict[str, float],
        *,
        relays: int = 2,
        committee_size: int = 3,
        network: NetworkParameters = NETWORK,
        model: NetworkModel | None = None,
    ) -> None:
        self.dice = random.Random(f"joining {seed}")
        self.network = network
        self.names = tuple(skews)
        self.heard: dict[str, Counter[str]] = {name: Counter() for name in skews}
        self.said: dict[str, list[str]] = {name: [] for name in skews}
        self._committee_size = committee_size
        self._seed = seed
        self._skews = skews
        self.world = World(seed, model or NetworkModel(), on_notification=self._notified)
        self.world.keep_notifications = False
        self._people = {name: make_person(name, seed, network) for name in skews}
        self._contacts = tuple(self._contact(index) for index in range(relays))
        for index in range(relays):
            self._add_relay(index)

    # --- who is there ---------------------------------------------------------------------------

    def _contact(self, index: int) -> RelayContact:
        seed = _seed_of("relay", self._seed, index)
        key = NodeKey(signing_key_of(seed)[-PUBLIC_KEY_BYTES:])
        return RelayContact(key, (Address(f"10.0.{index}.1", 9000),), hashlib.sha256(seed).digest())

    def _add_relay(self, index: int) -> None:
        seed, contact = _seed_of("relay", self._seed, index), self._contacts[index]
        self.world.add_node(
            f"relay-{index}",
            PeerKey(contact.node_key),
            True,
            lambda persisted: build_relay(
                seed=seed,
                contact=contact,
                network=self.network,
                bootstrap=self._contacts[:1],
                entropy=SeededEntropy(seed),
                chooser=random.Random(seed),
            ),
        )

    def come(self, name: str) -> None:
        """A member goes online."""
        seed = _seed_of("link", self._seed, name)
        self.world.add_node(
            name,
            PeerKey(signing_key_of(seed)[-PUBLIC_KEY_BYTES:]),
            False,
            lambda persisted: build_client(
                network=self.network,
                bootstrap=self._contacts[:1],
                entropy=SeededEntropy(seed),
                chooser=random.Random(seed),
            ),
            self._skews[name],
        )

    def machine(self, name: str) -> ClientMachine:
        machine = self.world.machine(name)
        assert isinstance(machine, ClientMachine)
        return machine

    def member(self, name: str) -> MemberRoom | None:
        found = next(iter(self.machine(name).rooms.values()), None)
        return found if isinstance(found, MemberRoom) else None

    def _call(self, name: str, function: Callable[[ClientMachine, float], Sequence[Effect]]) -> None:
        self.world.call(name, self.world.now, "application", 0, function)
        self.world.run(self.world.now)

    # --- what they do ---------------------------------------------------------------------------

    def create(self, name: str) -> RoomId:
        person = self._people[name]
        tools, me = person.tools, person.tools.me
        wall = int(self.machine(name).wall(self.world.now))
        made = first_generation(tools.entropy, wall)
        settings = RoomSettings(committee_size=self._committee_size, cover=Cover.STEADY)
        creation = CreateEntry(me.device, wall, person.certificate, "room", bytes(16), settings, made.named)
        roster, writes = create_roster(me.seed, creation)
        generations = Generations(roster.room)
        room = MemberRoom(tools, roster, generations)
        outcome = RoomOutcome([*writes, *generations.adopt(made)], plan_changed=True)
        self._call(name, lambda machine, now: [*machine.add_room(room, now), *machine.apply(room, outcome, now)])
        return roster.room

    def invite(self, name: str, uses: int) -> Invite:
        room = self.member(name)
        assert room is not None
        wall = self.machine(name).wall(self.world.now)
        made, outcome = room.invite(uses, int(wall) + 86_400, wall)
        self._call(name, lambda machine, now: machine.apply(room, outcome, now))
        return Invite(NetworkId(bytes(32)), room.room_id, made.seed, ())

    def join(self, name: str, invite: Invite) -> None:
        person = self._people[name]
        room = JoiningRoom(person.tools, invite, person.certificate)
        self._call(name, lambda machine, now: machine.add_room(room, now))

    def say(self, name: str, text: str) -> None:
        room = self.member(name)
        assert room is not None
        self.said[name].append(text)

        def send(machine: ClientMachine, now: float) -> Sequence[Effect]:
            return machine.apply(room, room.send(TextContent(text), len(self.said[name]), machine.wall(now)), now)

        self._call(name, send)

    # --- time -----------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = self.world.now + seconds
        while not condition() and self.world.now < end:
            self.run(STEP_SECONDS)
        return condition()

    def knows(self, name: str, members: int) -> bool:
        """Whether this one is in, and knows of so many."""
        room = self.member(name)
        return room is not None and len(room.state(self.machine(name).wall(self.world.now)).devices) == members

    def missing(self) -> dict[str, list[str]]:
        """By member, what it has not heard; a message heard twice stands with ``twice``."""
        found = {}
        for name, heard in self.heard.items():
            expected = [text for other, texts in self.said.items() if other != name for text in texts]
            wrong = [text for text in expected if not heard[text]]
            wrong += [f"{text} twice" for text, count in heard.items() if count > 1]
            if wrong:
                found[name] = wrong
        return found

    def _notified(self, name: str, now: float, notification: Notification) -> None:
        if isinstance(notification, MessageReceived) and isinstance(notification.message.content, TextContent):
            self.heard[name][notification.message.content.text] += 1
