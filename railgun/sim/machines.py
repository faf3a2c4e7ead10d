"""The rotation scenario's machines: the real relays and the real members, with real rooms.

Owns: making rosters for rooms that exist from the start, and what a simulated application says.
Must not know: the scenario's timing, the world. HPKE and Megolm are the deterministic stand-ins of equal sizes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from railgun.core.assembly import build_client, build_relay
from railgun.core.client import ClientMachine
from railgun.core.effects import Effect, Notification
from railgun.core.generations import Generations, OwnDevice, first_generation
from railgun.core.room import MemberRoom, RoomTools
from railgun.core.room_notifications import MessagePrepared, MessageReceipted, MessageReceived
from railgun.core.roster import Roster, create_roster
from railgun.core.roster_entries import sign_prekey
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.identity import device_identity, issue_certificate, root_identity
from railgun.network import NetworkParameters
from railgun.sim.rotation import ClientSpec, RelaySpec, RoomSpec, RotationMachines
from railgun.sim.virtual_node import MachineFactory, Persisted
from railgun.types import SizeClass
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.content import TextContent
from railgun.wire.roster import AddEntry, CreateEntry, PrekeyRecord, RoomSettings

CERTIFICATE_SECONDS = 10 * 365 * 86_400
SIZES = (SizeClass.SMALL,) * 12 + (SizeClass.MEDIUM,) * 7 + (SizeClass.LARGE,)
"""Sixty of a hundred messages are small, thirty-five medium, five large."""


class SeededEntropy:
    """Implements `railgun.ports.Entropy` for a world that must repeat exactly. Never for anything real."""

    def __init__(self, seed: bytes) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


@dataclass(frozen=True, slots=True)
class _Person:
    """A member with one device, made of its name."""

    me: OwnDevice
    certificate: bytes
    record: PrekeyRecord
    pickle_key: bytes
    entropy: SeededEntropy
    sessions: DeterministicSessions


class _Rooms:
    """Rooms whose members were all let in before the scenario starts."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[bytes, bytes]]] = {}
        self._people: dict[str, _Person] = {}
        self._rosters: dict[str, Roster] = {}

    def make(self, spec: RoomSpec, wall_base_seconds: float) -> Roster:
        """The room's roster: the first member made it and let the others in."""
        time = int(wall_base_seconds)
        people = [self._person(spec, name, time) for name in spec.members]
        first = people[0]
        settings = RoomSettings(committee_size=spec.committee_size, cover=spec.cover)
        made = first_generation(SeededEntropy(spec.secret), time)
        nonce = spec.secret[:16]
        creation = CreateEntry(first.me.device, time, first.certificate, spec.name, nonce, settings, made.named)
        roster, writes = create_roster(first.me.seed, creation)
        for person in people[1:]:
            number, previous = roster.next_place(first.me.device)
            entry = AddEntry(
                roster.room,
                first.me.device,
                number,
                previous,
                time,
                person.me.device,
                person.certificate,
                admin=False,
                request=None,
            )
            writes += roster.append(first.me.seed, entry).writes
        for person in people:
            writes += roster.insert_prekey(person.record)
        self._rows[spec.name] = [(write.key, write.value) for write in writes if write.value is not None]
        self._rosters[spec.name] = roster
        return roster

    def member(self, spec: RoomSpec, name: str, network: NetworkParameters, wall_base_seconds: float) -> MemberRoom:
        """One member's own copy of the room."""
        if spec.name not in self._rosters:
            self.make(spec, wall_base_seconds)
        person = self._people[name]
        room_id = self._rosters[spec.name].room
        roster = Roster.load(room_id, self._rows[spec.name])
        generations = Generations(room_id)
        generations.adopt(first_generation(SeededEntropy(spec.secret), int(wall_base_seconds)))
        tools = RoomTools(person.me, network, person.sessions, person.entropy, person.pickle_key, person.record)
        return MemberRoom(tools, roster, generations)

    def _person(self, spec: RoomSpec, name: str, time: int) -> _Person:
        entropy = SeededEntropy(spec.secret + name.encode())
        sessions = DeterministicSessions(entropy.random_bytes(32))
        pickle_key = entropy.random_bytes(32)
        root = root_identity(entropy.random_bytes(32))
        seed, prekey_secret = entropy.random_bytes(32), entropy.random_bytes(32)
        account = sessions.olm_new_fallback(sessions.olm_account_new(pickle_key).pickle, pickle_key)
        device = device_identity(seed, prekey_secret, account, sessions)
        certificate = issue_certificate(root, device, time, time + CERTIFICATE_SECONDS)
        me = OwnDevice(device.device_key, seed, (prekey_secret,), account.pickle, time)
        record = sign_prekey(seed, me.device, time, device.prekey, account.fallback_key)
        person = _Person(me, CERTIFICATES.encode(certificate), record, pickle_key, entropy, sessions)
        self._people[name] = person
        return person


class _Speech:
    """What is said, and which notification is about which of it."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def send(self, machine: ClientMachine, room: RoomSpec, number: int, now: float) -> Sequence[Effect]:
        member = next(iter(machine.rooms.values()))
        if not isinstance(member, MemberRoom):
            raise TypeError("the scenario's rooms have members from the start")
        wall = machine.wall(now)
        outcome = member.send(TextContent(str(number)), number, wall, SIZES[number % len(SIZES)])
        for notification in outcome.notifications:
            if isinstance(notification, MessagePrepared):
                self._numbers[notification.message_id] = number
        return machine.apply(member, outcome, now)

    def delivered(self, notification: Notification) -> int | None:
        if isinstance(notification, MessageReceived) and isinstance(notification.message.content, TextContent):
            return int(notification.message.content.text)
        return None

    def acknowledged(self, notification: Notification) -> int | None:
        if isinstance(notification, MessageReceipted) and notification.majority:
            return self._numbers.pop(notification.message_id, None)
        return None


def rotation_machines() -> RotationMachines:
    """The real machines for one run of the scenario."""
    rooms, speech = _Rooms(), _Speech()

    def relay(spec: RelaySpec) -> MachineFactory:
        return lambda persisted: build_relay(
            seed=spec.seed,
            contact=spec.contact,
            network=spec.network,
            bootstrap=spec.contacts[:1],
            entropy=SeededEntropy(spec.seed),
            chooser=random.Random(spec.seed),
        )

    def client(spec: ClientSpec) -> MachineFactory:
        def make(persisted: Persisted) -> Any:
            machine = build_client(
                network=spec.network,
                bootstrap=spec.contacts[:1],
                entropy=SeededEntropy(spec.seed),
                chooser=random.Random(spec.seed),
                cover=spec.cover,
            )
            machine.add_room(rooms.member(spec.room, spec.name, spec.network, spec.wall_base_seconds), 0.0)
            return machine

        return make

    return RotationMachines(
        relay,
        client,
        speech.send,
        speech.delivered,
        speech.acknowledged,
        lambda spec, wall: rooms.make(spec, wall).room,
        _decoys_sent,
    )


def _decoys_sent(machine: ClientMachine) -> int:
    return machine.counters.decoys_sent
