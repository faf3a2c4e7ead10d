"""The scenario behind `railgun sim rotation`: rooms talk for hours while their committees rotate.

Owns: who is there, who says what when, what counts as lost. Must not know: how the machines work; they come in as
callables (`RotationMachines`). Spec: design, simulation; the command's keys: docs/reference.
"""

from __future__ import annotations

import gc
import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from railgun.core.cover import CoverOptions
from railgun.core.effects import Effect, Notification
from railgun.crypto.epoch import epoch_offset_seconds
from railgun.crypto.signing import PUBLIC_KEY_BYTES, signatures_remembered, signing_key_of
from railgun.errors import ConfigurationError
from railgun.limits import COMMITTEE_DEFAULT, COMMITTEE_MAX, COMMITTEE_MIN
from railgun.network import NetworkKind, NetworkParameters
from railgun.ports import Trace
from railgun.sim.checkers import DeliveryLedger
from railgun.sim.faults import Fault, schedule_faults
from railgun.sim.network_model import NetworkModel
from railgun.sim.virtual_node import MachineFactory
from railgun.sim.world import WALL_BASE_SECONDS, World
from railgun.types import Address, NodeKey, PeerKey, RelayContact, RoomId
from railgun.wire.roster import Cover

MINUTE_SECONDS: Final = 60.0
RELAYS_START_SECONDS: Final = 2.0
"""Relays start within this."""
CLIENTS_JOIN_SECONDS: Final = (5.0, 20.0)
TALK_FROM_SECONDS: Final = 40.0
DRAIN_STEP_SECONDS: Final = 5.0
SIGNATURES_REMEMBERED_MAX: Final = 16_384
"""Each is checked by several nodes within seconds, and about four are made for a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationOptions:
    """What the command's flags say.

    ``skew_seconds``: each clock is off by a uniform amount up to this, either way; None means half the overlap.
    ``cover``: of all rooms; off by default, since decoys are most of the work.
    ``relays``: by default as many as a committee ranks, so that every room's committee has its standbys. More of them
    say nothing new about rooms, and pulses between their pairs become most of the work.
    ``drain_seconds``: how long after the last message deliveries are awaited, at most.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    peers: int = 200
    rooms: int = 20
    hours: float = 2.0
    seed: int = 1
    relays: int = 2 * COMMITTEE_DEFAULT + 2
    committee_size: int = COMMITTEE_DEFAULT
    network: NetworkParameters = field(
        default_factory=lambda: NetworkParameters(name="simulation", kind=NetworkKind.LAN)
    )
    model: NetworkModel = field(
        default_factory=lambda: NetworkModel(loss=0.01, reorder=0.05, delay_min_seconds=0.005, delay_max_seconds=0.080)
    )
    skew_seconds: float | None = None
    messages_per_minute: int = 1
    drain_seconds: float = 300.0
    encode_frames: bool = False
    cover: CoverOptions = field(default_factory=lambda: CoverOptions(Cover.OFF))

    def __post_init__(self) -> None:
        if self.rooms < 1 or self.peers < 2 * self.rooms:
            raise ConfigurationError("at least one room, please, and two peers for each")
        if not COMMITTEE_MIN <= self.committee_size <= COMMITTEE_MAX or self.relays < 1:
            raise ConfigurationError(f"committees have {COMMITTEE_MIN} to {COMMITTEE_MAX} seats, of at least 1 relay")
        if not 0 < self.hours <= 1000 or not 1 <= self.messages_per_minute <= 600:
            raise ConfigurationError("hours must be above 0, and messages a minute 1 to 600")
        if self.hours * 60 * self.messages_per_minute < 1:
            raise ConfigurationError("hours: too short for a single message")

    @property
    def skew_max_seconds(self) -> float:
        return self.network.overlap_seconds / 2 if self.skew_seconds is None else self.skew_seconds


@dataclass(frozen=True, slots=True)
class RotationCover:
    """How the rooms' members hid. ``mode``: off, steady or strict. ``decoys_sent``: by all members together."""

    mode: str
    decoys_sent: int


@dataclass(frozen=True, slots=True)
class RotationResult:
    """The command's JSON keys, in order.

    ``expected``: pairs of message and recipient. ``rotations``: epoch boundaries crossed while rooms talked, summed
    over the rooms. ``seconds``: of real time.
    """

    expected: int
    delivered: int
    lost: int
    duplicated: int
    rotations: int
    events: int
    trace_digest: str
    seconds: float
    cover: RotationCover


@dataclass(frozen=True, slots=True)
class RelaySpec:
    """One relay to be. ``seed``, 32 bytes, makes its node key; ``contacts`` are all relays', its own among them."""

    name: str
    index: int
    seed: bytes = field(repr=False)
    contact: RelayContact
    contacts: tuple[RelayContact, ...]
    network: NetworkParameters
    wall_base_seconds: float


@dataclass(frozen=True, slots=True)
class RoomSpec:
    """One room to be. ``secret``, 32 bytes, is generation 1's S; ``members`` are names of nodes."""

    name: str
    room_id: RoomId
    secret: bytes = field(repr=False)
    committee_size: int
    members: tuple[str, ...]
    cover: Cover = Cover.OFF


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """One member to be. ``seed``, 32 bytes, is for its keys and its dice; ``link_key`` is what its links prove."""

    name: str
    index: int
    seed: bytes = field(repr=False)
    link_key: PeerKey
    room: RoomSpec
    contacts: tuple[RelayContact, ...]
    network: NetworkParameters
    wall_base_seconds: float
    cover: CoverOptions = field(default_factory=CoverOptions)


@dataclass(frozen=True, slots=True)
class RotationMachines:
    """What the scenario needs from the machines' side.

    Attributes:
        relay: makes the factory of one relay's machine (which gets what the node persisted).
        client: the same for a member.
        send: ``send(machine, room, number, now)`` lets a member's application say ``number`` in the room.
        delivered_number: the number that a notification delivers, or None.
        acknowledged_number: the number that a notification acknowledges, or None.
        room_id: the id of a room, of its spec and the wall time at virtual second 0; None: the spec's own.
        decoys_sent: how many decoys a member has published; None: these members have none to send.
    """

    relay: Callable[[RelaySpec], MachineFactory]
    client: Callable[[ClientSpec], MachineFactory]
    send: Callable[[Any, RoomSpec, int, float], Sequence[Effect]]
    delivered_number: Callable[[Notification], int | None]
    acknowledged_number: Callable[[Notification], int | None]
    room_id: Callable[[RoomSpec, float], RoomId] | None = None
    decoys_sent: Callable[[Any], int] | None = None


class Rotation:
    """One run of the scenario; ``world`` and ``ledger`` may be looked at afterwards."""

    def __init__(
        self,
        options: RotationOptions,
        machines: RotationMachines,
        *,
        faults: Sequence[Fault] = (),
        listener: Trace | None = None,
    ) -> None:
        self.options = options
        self.ledger = DeliveryLedger()
        self._machines = machines
        self._random = random.Random(f"railgun rotation {options.seed}")
        self._next_number = 0
        self.world = World(
            options.seed,
            options.model,
            encode_frames=options.encode_frames,
            on_notification=self._notified,
            notification_number=self._number_of,
            listener=listener,
        )
        self.world.keep_notifications = False
        self.rooms = self._make_rooms()
        self._add_relays()
        self._add_clients()
        schedule_faults(self.world, faults)

    def run(self) -> RotationResult:
        """Talk, drain, count."""
        began = time.perf_counter()
        options, world, ledger = self.options, self.world, self.ledger
        until = TALK_FROM_SECONDS + options.hours * 3600
        with _calm_collector(), signatures_remembered(SIGNATURES_REMEMBERED_MAX):
            world.run(until)
            deadline = until + options.drain_seconds
            while world.now < deadline and ledger.delivered_count < ledger.expected:
                world.run(min(deadline, world.now + DRAIN_STEP_SECONDS))
            world.run(min(deadline, world.now + DRAIN_STEP_SECONDS))  # what is doubled would show now
        return RotationResult(
            expected=ledger.expected,
            delivered=ledger.delivered_count,
            lost=ledger.expected - ledger.delivered_count,
            duplicated=ledger.duplicated,
            rotations=self._rotations(TALK_FROM_SECONDS, until),
            events=world.events,
            trace_digest=world.trace_digest(),
            seconds=round(time.perf_counter() - began, 3),
            cover=RotationCover(options.cover.mode.name.lower(), self._decoys_sent()),
        )

    def _decoys_sent(self) -> int:
        count = self._machines.decoys_sent
        if count is None:
            return 0
        return sum(count(machine) for name, machine in self.world.machines() if not self.world.nodes[name].is_relay)

    # --- who is there ---------------------------------------------------------------------------

    def _seed_of(self, what: str, index: int) -> bytes:
        return hashlib.blake2b(f"{self.options.seed} {what} {index}".encode(), digest_size=32).digest()

    def _make_rooms(self) -> list[RoomSpec]:
        options = self.options
        drafts = [
            RoomSpec(
                name=f"room-{index}",
                room_id=RoomId(self._seed_of("room id", index)),
                secret=self._seed_of("room secret", index),
                committee_size=options.committee_size,
                members=tuple(f"member-{peer}" for peer in range(index, options.peers, options.rooms)),
                cover=options.cover.mode,
            )
            for index in range(options.rooms)
        ]
        name = self._machines.room_id
        if name is None:
            return drafts
        return [replace(draft, room_id=name(draft, WALL_BASE_SECONDS)) for draft in drafts]

    def _add_relays(self) -> None:
        options = self.options
        seeds = [self._seed_of("relay", index) for index in range(options.relays)]
        self._contacts = tuple(
            RelayContact(
                NodeKey(signing_key_of(seed)[-PUBLIC_KEY_BYTES:]),
                (Address(f"10.{index >> 8}.{index & 255}.1", 9000),),
                hashlib.sha256(seed).digest(),
            )
            for index, seed in enumerate(seeds)
        )
        for index, (seed, contact) in enumerate(zip(seeds, self._contacts, strict=True)):
            spec = RelaySpec(f"relay-{index}", index, seed, contact, self._contacts, options.network, WALL_BASE_SECONDS)
            factory = self._machines.relay(spec)
            at = self._random.random() * RELAYS_START_SECONDS
            self._add_later(at, spec.name, PeerKey(contact.node_key), True, factory)

    def _add_clients(self) -> None:
        options = self.options
        first, last = CLIENTS_JOIN_SECONDS
        for index in range(options.peers):
            seed = self._seed_of("member", index)
            key = PeerKey(signing_key_of(self._seed_of("link", index))[-PUBLIC_KEY_BYTES:])
            room = self.rooms[index % options.rooms]
            spec = ClientSpec(
                f"member-{index}",
                index,
                seed,
                key,
                room,
                self._contacts,
                options.network,
                WALL_BASE_SECONDS,
                options.cover,
            )
            at = first + self._random.random() * (last - first)
            self._add_later(at, spec.name, key, False, self._machines.client(spec))
            self._talk_later(spec, 0)

    def _add_later(self, at: float, name: str, key: PeerKey, is_relay: bool, factory: MachineFactory) -> None:
        skew = self._random.uniform(-1.0, 1.0) * self.options.skew_max_seconds

        def add() -> None:
            self.world.add_node(name, key, is_relay, factory, skew)

        self.world.act(at, add)

    # --- who says what --------------------------------------------------------------------------

    def _talk_later(self, spec: ClientSpec, turn: int) -> None:
        """Each member speaks once in each of its slots, at a random moment of it."""
        slot = MINUTE_SECONDS / self.options.messages_per_minute
        if (turn + 1) * slot > self.options.hours * 3600 + 1e-6:
            return
        at = TALK_FROM_SECONDS + (turn + self._random.random()) * slot
        self.world.act(at, lambda: self._talk(spec, turn))

    def _talk(self, spec: ClientSpec, turn: int) -> None:
        self._talk_later(spec, turn + 1)
        number, self._next_number = self._next_number, self._next_number + 1
        world = self.world
        if world.machine(spec.name) is None:
            return

        def send(machine: Any, now: float) -> Sequence[Effect]:
            self.ledger.sent(number, [name for name in spec.room.members if name != spec.name], now)
            return self._machines.send(machine, spec.room, number, now)

        world.call(spec.name, world.now, "send", number, send)

    def _number_of(self, notification: Notification) -> int | None:
        number = self._machines.delivered_number(notification)
        return self._machines.acknowledged_number(notification) if number is None else number

    def _notified(self, name: str, now: float, notification: Notification) -> None:
        number = self._machines.delivered_number(notification)
        if number is not None:
            self.ledger.delivered(number, name, now)
            return
        number = self._machines.acknowledged_number(notification)
        if number is not None:
            self.ledger.acknowledged(number)

    def _rotations(self, first: float, last: float) -> int:
        length = self.options.network.epoch_seconds
        total = 0
        for room in self.rooms:
            offset = epoch_offset_seconds(room.room_id, length)
            total += int((WALL_BASE_SECONDS + last - offset) // length - (WALL_BASE_SECONDS + first - offset) // length)
        return total


def run_rotation(options: RotationOptions, machines: RotationMachines) -> RotationResult:
    """Run the scenario once."""
    return Rotation(options, machines).run()


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Millions of short-lived objects and a large standing heap: have cycles collected seldom."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
