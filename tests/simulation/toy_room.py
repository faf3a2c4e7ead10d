"""Toy relays and members for the rotation scenario: each room has one relay, which sends what it gets to all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from railgun.core.effects import Connect, Effect, Notification, Notify, SendFrame
from railgun.core.events import ClockRead, DialFailed, Event, FrameReceived, PeerConnected, PeerDisconnected
from railgun.sim.rotation import ClientSpec, RelaySpec, RoomSpec, RotationMachines
from railgun.sim.virtual_node import MachineFactory
from railgun.types import PeerKey, Tag
from railgun.wire.frames import SeatPull, Unsubscribe
from tests.simulation.toys import Heard, frame_of, number_of


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Tells the scenario that the relay has a message."""

    number: int


class ToyRelay:
    def __init__(self, deliveries: int) -> None:
        self._deliveries = deliveries
        self._rooms: dict[Tag, list[PeerKey]] = {}
        self._room_of: dict[PeerKey, Tag] = {}

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        if isinstance(event, FrameReceived):
            if isinstance(event.frame, Unsubscribe):
                self._rooms.setdefault(event.frame.tag, []).append(event.peer)
                self._room_of[event.peer] = event.frame.tag
                return ()
            tag = self._room_of[event.peer]
            return [SendFrame(tuple(self._rooms[tag]), event.frame)] * self._deliveries
        return ()


class ToyMember:
    def __init__(self, spec: ClientSpec) -> None:
        self._contact = spec.contacts[int(spec.room.name.split("-")[1]) % len(spec.contacts)]
        self._tag = Tag(bytes(spec.room.room_id))
        self._mine: set[int] = set()

    def send(self, number: int) -> Sequence[Effect]:
        self._mine.add(number)
        return [SendFrame((PeerKey(self._contact.node_key),), frame_of(number))]

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        if isinstance(event, (ClockRead, DialFailed, PeerDisconnected)):
            return [Connect(self._contact)]
        if isinstance(event, PeerConnected):
            return [SendFrame((event.peer,), Unsubscribe(self._tag))]
        if isinstance(event, FrameReceived) and isinstance(event.frame, SeatPull):
            number = number_of(event.frame)
            return [Notify(Acknowledged(number) if number in self._mine else Heard(number))]
        return ()


def toy_machines(deliveries: int = 1) -> RotationMachines:
    """``deliveries``: how often the relay sends each message to each member; 1 is right."""

    def relay(spec: RelaySpec) -> MachineFactory:
        return lambda persisted: ToyRelay(deliveries)

    def client(spec: ClientSpec) -> MachineFactory:
        return lambda persisted: ToyMember(spec)

    def send(machine: ToyMember, room: RoomSpec, number: int, now: float) -> Sequence[Effect]:
        return machine.send(number)

    def delivered(notification: Notification) -> int | None:
        return notification.number if isinstance(notification, Heard) else None

    def acknowledged(notification: Notification) -> int | None:
        return notification.number if isinstance(notification, Acknowledged) else None

    return RotationMachines(relay, client, send, delivered, acknowledged)
