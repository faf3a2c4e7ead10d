"""Rooms without people's keys: one fixed generation and bodies in the clear, to test the network's half alone."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from railgun.core.assembly import build_client, build_relay
from railgun.core.client import ClientMachine
from railgun.core.effects import Effect, Notification
from railgun.core.relay import RelayMachine
from railgun.core.room_port import RoomOutcome, SealRequest, TagPlan, TagPurpose
from railgun.crypto.epoch import EpochKeys, day_of, derive_epoch_keys, epoch_start, first_day_secret
from railgun.network import NetworkParameters
from railgun.sim.rotation import ClientSpec, RelaySpec, RoomSpec, RotationMachines
from railgun.sim.virtual_node import MachineFactory
from railgun.types import EnvelopeKind, Role, RoomId, SizeClass
from railgun.wire.envelope import NO_HINT, Inner


@dataclass(frozen=True)
class PlainDelivered:
    number: int


@dataclass(frozen=True)
class PlainSent:
    number: int
    receipts: int
    of: int


class PlainRoom:
    """Implements `railgun.core.room_port.Room`."""

    def __init__(self, room_id: RoomId, secret: bytes, network: NetworkParameters, committee_size: int) -> None:
        self.room_id = room_id
        self._secret = secret
        self._network = network
        self._committee_size = committee_size
        self._bodies: dict[bytes, SealRequest] = {}
        self._seen: set[int] = set()

    def _keys(self, start: int) -> EpochKeys:
        return derive_epoch_keys(first_day_secret(self._secret, 1, day_of(start)), 1, start)

    def tag_plans(self, start: int, wall: float) -> list[TagPlan]:
        return [TagPlan(self._keys(start), self._committee_size, 0, TagPurpose.ROOM)]

    def sending_keys(self, wall: float) -> EpochKeys:
        return self._keys(epoch_start(wall, self.room_id, self._network.epoch_seconds))

    def cover_plan(self, wall: float) -> None:
        return None

    def say(self, number: int, size_class: SizeClass = SizeClass.SMALL) -> RoomOutcome:
        reference = struct.pack(">Q", number)
        request = SealRequest(EnvelopeKind.SEALED, NO_HINT, reference, size_class, reference)
        self._bodies[reference] = request
        return RoomOutcome(requests=[request])

    def envelope_opened(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        number = struct.unpack(">Q", inner.body)[0]
        if number in self._seen:
            return RoomOutcome()
        self._seen.add(number)
        return RoomOutcome(notifications=[PlainDelivered(number)])

    def served(self, keys: EpochKeys, now: float, wall: float) -> None:
        """See `Room`: nothing is asked for."""

    def receipts_grew(
        self, reference: bytes, receipts: int, of: int, *, majority: bool, complete: bool, now: float
    ) -> RoomOutcome:
        if not majority:
            return RoomOutcome()
        self._bodies.pop(reference, None)
        return RoomOutcome(notifications=[PlainSent(struct.unpack(">Q", reference)[0], receipts, of)])

    def seal_again(self, reference: bytes, wall: float) -> RoomOutcome:
        request = self._bodies.get(reference)
        return RoomOutcome() if request is None else RoomOutcome(requests=[request])

    def due(self, name: str, now: float, wall: float) -> RoomOutcome:
        return RoomOutcome()

    def next_deadlines(self, now: float, wall: float) -> dict[str, float]:
        return {}


class SeededEntropy:
    """Implements `railgun.ports.Entropy` for tests."""

    def __init__(self, seed: bytes) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


def _fresh_entropy(seed: bytes, starts: Iterator[int]) -> SeededEntropy:
    """Other bytes at each start of a node: incarnations and nonces must never repeat."""
    return SeededEntropy(seed + next(starts).to_bytes(4, "big"))


def plain_machines(fallbacks: Container[str] = ()) -> RotationMachines:
    """The real relay and client machines with plain rooms; the relays of these names offer to be fallbacks."""

    def relay(spec: RelaySpec) -> MachineFactory:
        starts = itertools.count()

        def make(persisted: Any) -> RelayMachine:
            return build_relay(
                seed=spec.seed,
                contact=spec.contact,
                network=spec.network,
                bootstrap=spec.contacts[:1],
                entropy=_fresh_entropy(spec.seed, starts),
                chooser=random.Random(spec.seed),
                roles=Role.FALLBACK if spec.name in fallbacks else Role.RELAY,
            )

        return make

    def client(spec: ClientSpec) -> MachineFactory:
        starts = itertools.count()

        def make(persisted: Any) -> ClientMachine:
            machine = build_client(
                network=spec.network,
                bootstrap=spec.contacts[:1],
                entropy=_fresh_entropy(spec.seed, starts),
                chooser=random.Random(spec.seed),
            )
            room = PlainRoom(spec.room.room_id, spec.room.secret, spec.network, spec.room.committee_size)
            machine.add_room(room, 0.0)
            return machine

        return make

    def send(machine: ClientMachine, room: RoomSpec, number: int, now: float) -> Sequence[Effect]:
        plain = machine.rooms[room.room_id]
        assert isinstance(plain, PlainRoom)
        size = (SizeClass.SMALL, SizeClass.MEDIUM, SizeClass.LARGE)[
            0 if number % 20 < 12 else 1 if number % 20 < 19 else 2
        ]
        return machine.apply(plain, plain.say(number, size), now)

    def delivered(notification: Notification) -> int | None:
        return notification.number if isinstance(notification, PlainDelivered) else None

    def acknowledged(notification: Notification) -> int | None:
        return notification.number if isinstance(notification, PlainSent) else None

    return RotationMachines(relay, client, send, delivered, acknowledged)
