"""A strict or steady room in virtual time, and what a member's line shows of it."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from railgun.core.client import ClientMachine
from railgun.core.cover import CoverOptions
from railgun.core.effects import Effect, SendFrame
from railgun.core.room import MemberRoom
from railgun.crypto.signing import PUBLIC_KEY_BYTES, signing_key_of
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.machines import rotation_machines
from railgun.sim.network_model import NetworkModel
from railgun.sim.rotation import ClientSpec, RelaySpec, RoomSpec
from railgun.sim.virtual_node import Node
from railgun.sim.world import WALL_BASE_SECONDS, World
from railgun.types import Address, NodeKey, PeerKey, RelayContact, RoomId, SizeClass
from railgun.wire.content import TextContent
from railgun.wire.frames import Offer, Publish
from railgun.wire.roster import Cover

NETWORK = NetworkParameters(name="cover", kind=NetworkKind.LAN)


@dataclass(frozen=True)
class Sent:
    """One frame with an envelope, or naming one, as it leaves a member."""

    at: float
    bytes: int
    seats: tuple[NodeKey, ...]
    frame: Publish | Offer


class WatchedWorld(World):
    """Keeps what members publish."""

    def __init__(self, seed: int, model: NetworkModel) -> None:
        super().__init__(seed, model)
        self.keep_notifications = False
        self.sent: dict[str, list[Sent]] = {}

    def _send_frame(self, node: Node, effect: SendFrame) -> None:
        frame = effect.frame
        if not node.is_relay and isinstance(frame, Publish | Offer):
            size = len(frame.envelope) if isinstance(frame, Publish) else 0
            seats = tuple(NodeKey(peer) for peer in effect.peers)
            self.sent.setdefault(node.name, []).append(Sent(self.now, size, seats, frame))
        super()._send_frame(node, effect)


@dataclass
class CoverLab:
    """A room of ``roster`` devices, of which the first ``online`` are there, on ``relays`` relays."""

    options: CoverOptions
    roster: int = 3
    online: int = 1
    relays: int = 1
    seed: int = 1
    model: NetworkModel = field(default_factory=NetworkModel)

    def __post_init__(self) -> None:
        self.world = WatchedWorld(self.seed, self.model)
        machines = rotation_machines()
        names = tuple(f"member-{index}" for index in range(self.roster))
        draft = RoomSpec("room", RoomId(bytes(32)), self._seed_of("room"), 5, names, self.options.mode)
        assert machines.room_id is not None
        self.room = RoomSpec(
            draft.name,
            machines.room_id(draft, WALL_BASE_SECONDS),
            draft.secret,
            draft.committee_size,
            names,
            draft.cover,
        )
        seeds = [self._seed_of(f"relay {index}") for index in range(self.relays)]
        self.contacts = tuple(
            RelayContact(_public(seed), (Address(f"10.0.{index}.1", 9000),), hashlib.sha256(seed).digest())
            for index, seed in enumerate(seeds)
        )
        for index, (seed, contact) in enumerate(zip(seeds, self.contacts, strict=True)):
            relay = RelaySpec(f"relay-{index}", index, seed, contact, self.contacts, NETWORK, WALL_BASE_SECONDS)
            self.world.add_node(relay.name, PeerKey(contact.node_key), True, machines.relay(relay))
        for index, name in enumerate(names[: self.online]):
            seed, key = self._seed_of(name), PeerKey(_public(self._seed_of(f"link {name}")))
            client = ClientSpec(
                name, index, seed, key, self.room, self.contacts, NETWORK, WALL_BASE_SECONDS, self.options
            )
            self.world.add_node(name, key, False, machines.client(client))
        self.world.run(30.0)

    def _seed_of(self, what: str) -> bytes:
        return hashlib.blake2b(f"{self.seed} {what}".encode(), digest_size=32).digest()

    def machine(self, index: int = 0) -> ClientMachine:
        machine = self.world.machine(f"member-{index}")
        assert isinstance(machine, ClientMachine)
        return machine

    def member(self, index: int = 0) -> MemberRoom:
        room = self.machine(index).rooms[self.room.room_id]
        assert isinstance(room, MemberRoom)
        return room

    def say(self, at: float, text: str, size: SizeClass | None = None, index: int = 0) -> None:
        """Let a member say something at virtual second ``at``."""

        def speak(machine: ClientMachine, now: float) -> Sequence[Effect]:
            room = machine.rooms[self.room.room_id]
            assert isinstance(room, MemberRoom)
            return machine.apply(room, room.send(TextContent(text), 0, machine.wall(now), size), now)

        self.world.call(f"member-{index}", at, "say", 0, speak)

    def talk(self, until: float, per_second: float, large_every: int, index: int = 0) -> list[float]:
        """Plan a busy member's messages: Poisson, each ``large_every``-th one of 60,000 bytes. Returns the times."""
        dice, at = random.Random(f"talk {self.seed} {index}"), self.world.now
        times: list[float] = []
        while (at := at + dice.expovariate(per_second)) < until:
            text = "x" * (60_000 if len(times) % large_every == large_every - 1 else dice.randrange(1, 3_000))
            self.say(at, text, None, index)
            times.append(at)
        return times

    def leave(self, index: int = 0) -> None:
        """Take the room away from a member's client."""
        room_id = self.room.room_id

        def leave(machine: ClientMachine, now: float) -> Sequence[Effect]:
            return machine.remove_room(room_id)

        self.world.call(f"member-{index}", self.world.now, "leave", 0, leave)

    def emissions(self, index: int = 0) -> list[Sent]:
        """What the member has published so far, without what it published again."""
        seen: set[bytes] = set()
        first = []
        for sent in self.world.sent.get(f"member-{index}", []):
            if isinstance(sent.frame, Publish) and sent.frame.envelope not in seen:
                seen.add(sent.frame.envelope)
                first.append(sent)
        return first


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def _public(seed: bytes) -> NodeKey:
    return NodeKey(signing_key_of(seed)[-PUBLIC_KEY_BYTES:])


STRICT = CoverOptions(Cover.STRICT)
STEADY = CoverOptions(Cover.STEADY)
