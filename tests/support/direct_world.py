"""The rotation scenario's real rooms with members that may link directly, for tests in virtual time.

Owns: giving each member its identity towards the others, and the others' contacts. Must not know: what is asserted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from railgun.core.client import ClientMachine
from railgun.core.effects import Effects
from railgun.core.room import MemberRoom
from railgun.crypto.direct import DirectSelf, contact_payload, read_contact
from railgun.crypto.epoch import EpochKeys
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.faults import Fault
from railgun.sim.machines import rotation_machines
from railgun.sim.network_model import NetworkModel
from railgun.sim.rotation import ClientSpec, Rotation, RotationMachines, RotationOptions
from railgun.sim.virtual_node import MachineFactory
from railgun.types import Address, DeviceKey
from railgun.wire.direct_contacts import DirectContact

NETWORK = NetworkParameters(name="quick", kind=NetworkKind.LAN, epoch_seconds=20, overlap_seconds=4)


def room_of(machine: ClientMachine) -> MemberRoom:
    room = next(iter(machine.rooms.values()))
    assert isinstance(room, MemberRoom)
    return room


def direct_machines() -> RotationMachines:
    """The real machines, whose members know who they are towards other members."""
    real = rotation_machines()

    def client(spec: ClientSpec) -> MachineFactory:
        make = real.client(spec)

        def made(persisted: Any) -> Any:
            machine: Any = make(persisted)
            me = room_of(machine).tools.me
            address = Address(f"10.200.{spec.index >> 8}.{spec.index & 255}", 9000)
            certificate = hashlib.sha256(spec.seed).digest()
            machine.direct.use(DirectSelf(me.device, me.seed, spec.link_key, certificate, (address,)))
            return machine

        return made

    return RotationMachines(
        real.relay,
        client,
        real.send,
        real.delivered_number,
        real.acknowledged_number,
        real.room_id,
        real.decoys_sent,
    )


def sending_keys(run: Rotation, machine: ClientMachine) -> EpochKeys:
    keys = room_of(machine).sending_keys(machine.wall(run.world.now))
    assert keys is not None
    return keys


def contact_of(run: Rotation, name: str) -> tuple[DeviceKey, DirectContact]:
    """What a member leaves under its room's tag."""
    machine: ClientMachine = run.world.machine(name)
    keys, own = sending_keys(run, machine), machine.direct.own
    assert own is not None
    return own.device, read_contact(keys, own.device, contact_payload(keys, own))


def share_contacts(run: Rotation) -> None:
    """Every member learns its room's contacts, as by the DHT."""
    for room in run.rooms:
        contacts = dict(contact_of(run, name) for name in room.members if run.world.machine(name) is not None)

        def learn(machine: ClientMachine, now: float, contacts: Any = contacts) -> Effects:
            return machine.learn_contacts(room_of(machine).room_id, contacts, now)

        for name in room.members:
            if run.world.machine(name) is not None:
                run.world.call(name, run.world.now, "contacts", 0, learn)


def direct_rotation(
    faults: Sequence[Fault] = (), *, relays: int = 3, peers: int = 6, rooms: int = 2, seconds: int = 120, seed: int = 1
) -> Rotation:
    """Rooms that talk for ``seconds`` in all; contacts are known from second 35 on."""
    options = RotationOptions(
        peers=peers,
        rooms=rooms,
        relays=relays,
        seed=seed,
        hours=(seconds - 40) / 3600,
        messages_per_minute=12,
        committee_size=3,
        network=NETWORK,
        model=NetworkModel(delay_min_seconds=0.005, delay_max_seconds=0.080, loss=0.01, reorder=0.05),
        skew_seconds=0.2,
        encode_frames=True,
    )
    run = Rotation(options, direct_machines(), faults=faults)
    run.world.act(35.0, lambda: share_contacts(run))
    return run


def members_of(run: Rotation) -> list[tuple[str, ClientMachine]]:
    return [(name, machine) for name, machine in run.world.machines() if isinstance(machine, ClientMachine)]
