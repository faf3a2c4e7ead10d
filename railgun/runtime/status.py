"""What a peer can tell of itself at a moment.

Owns: the shapes, and filling them from a client's machine. Must not know: how they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from railgun.core.client import ClientMachine
from railgun.core.reputation import BlacklistedRelay
from railgun.core.room import MemberRoom
from railgun.core.room_refusals import RoomRefusals
from railgun.core.tag_client import TagClient
from railgun.crypto.epoch import epoch_start
from railgun.network import NetworkParameters
from railgun.runtime.room_settings import coming, holding
from railgun.runtime.room_views import SettingsView
from railgun.runtime.traversal import TraversalServers
from railgun.types import DeviceKey, NodeKey, RoomId, ServiceMode
from railgun.wire.roster import SECONDS_PER_DAY, Cover


@dataclass(frozen=True, slots=True)
class CoverView:
    """How a room hides when this peer speaks.

    Attributes:
        mode: ``off``, ``steady`` or ``strict``.
        decoys_sent: since this peer started, or the room was joined.
        waiting: messages and answers that wait for their ticks, in ``strict``.
        wait_p95_seconds: what one in twenty envelopes waits at least in ``strict``, when nothing waits before it; None
            in other modes.
    """

    mode: str
    decoys_sent: int
    waiting: int
    wait_p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class RoomStatusView:
    """One room.

    Attributes:
        name: None while the room is being joined.
        is_member: False while it is being joined, and once this device was removed.
        members: devices in the room.
        epoch_start: Unix seconds; when the open epoch began.
        epoch_ends_in_seconds: by the corrected clock.
        epochs_seen: epochs begun since this peer started.
        seats: the node keys of the open epoch's committee, in order.
        attached: those that serve this peer, primary first.
        mode: through whom its messages go now; None while no relay serves it and no member is linked directly.
        cover: what is done to hide when this peer speaks.
        settings: what the room's admins have set, as it holds today; None while the room is being joined.
        next_settings: other settings that hold from a later day, if there are any.
        refused: what was refused of the others here, by kind, since this peer started.
        forked: devices that signed several entries of the roster under one number, ascending: their keys are copied, or
            they cheat. Of each number one entry counts, the same at everyone.
    """

    room_id: RoomId
    name: str | None
    is_member: bool
    members: int
    epoch_start: int
    epoch_ends_in_seconds: float
    epochs_seen: int
    seats: tuple[NodeKey, ...]
    attached: tuple[NodeKey, ...]
    mode: ServiceMode | None
    cover: CoverView
    settings: SettingsView | None
    next_settings: SettingsView | None
    refused: RoomRefusals = field(default_factory=RoomRefusals)
    forked: tuple[DeviceKey, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """The whole peer.

    Attributes:
        relays_known: relays in the directory. relays_linked: those with a link to this peer.
        clock_correction_seconds: what is added to this machine's clock, 0 until three relays have told theirs; beyond
            half the network's overlap the machine's clock should be set right.
        mode: of the rooms' modes the one furthest from volunteers: ``direct`` before ``hybrid`` before ``volunteers``;
            None while no room has one.
        blacklist: relays that this peer avoids for what it saw of them, ascending by key. Others do not learn of it,
            and committees do not change by it.
        servers: STUN and TURN servers that this peer was given or that members of its rooms name, its own first.
    """

    device_key: DeviceKey
    network_name: str
    relays_known: int
    relays_linked: int
    clock_correction_seconds: float
    mode: ServiceMode | None
    rooms: tuple[RoomStatusView, ...]
    blacklist: tuple[BlacklistedRelay, ...]
    servers: TraversalServers


def member_status(
    machine: ClientMachine,
    device_key: DeviceKey,
    network: NetworkParameters,
    epochs_seen: Mapping[RoomId, int],
    wall: float,
    servers: TraversalServers,
) -> PeerStatus:
    """The status of the rooms in ``epochs_seen`` at ``wall``, corrected Unix seconds."""
    rooms = []
    for room_id, epochs in epochs_seen.items():
        room = machine.rooms.get(room_id)
        state = room.state(wall) if isinstance(room, MemberRoom) else None
        start = epoch_start(wall, room_id, network.epoch_seconds)
        tag = room_tag(machine, room_id, start, wall)
        attached = [] if tag is None else tag.attached
        rooms.append(
            RoomStatusView(
                room_id=room_id,
                name=None if state is None else state.name,
                is_member=state is not None and state.member(device_key) is not None,
                members=0 if state is None else len(state.devices),
                epoch_start=start,
                epoch_ends_in_seconds=start + network.epoch_seconds - wall,
                epochs_seen=epochs,
                seats=() if tag is None else tag.committee.seat_keys,
                attached=tuple(attached),
                mode=None if tag is None else service_mode(machine, tag),
                cover=_cover(machine, room_id, wall),
                settings=None if state is None else holding(state, int(wall) // SECONDS_PER_DAY),
                next_settings=None if state is None else coming(state, int(wall) // SECONDS_PER_DAY),
                refused=room.refused if isinstance(room, MemberRoom) else RoomRefusals(),
                forked=() if state is None else tuple(sorted({fork.author for fork in state.forks})),
            )
        )
    return PeerStatus(
        device_key=device_key,
        network_name=network.name,
        relays_known=machine.directory.relays_known,
        relays_linked=len(machine.connector.relays),
        clock_correction_seconds=machine.clock.correction_seconds,
        mode=peer_mode(room.mode for room in rooms),
        rooms=tuple(rooms),
        blacklist=machine.reputation.blacklist(wall),
        servers=servers,
    )


def room_tag(machine: ClientMachine, room_id: RoomId, start: int, wall: float) -> TagClient | None:
    """The tag of a room's epoch: the one that is sent under, if there is one; a lobby's while the room is joined."""
    room = machine.rooms.get(room_id)
    keys = room.sending_keys(wall) if room is not None and machine.clock.was_read else None
    sending = None if keys is None else machine.tags.get(keys.tag)
    if sending is not None and sending.keys.start == start:
        return sending
    return next((tag for tag in machine.tags.of_room(room_id) if tag.keys.start == start), None)


def service_mode(machine: ClientMachine, tag: TagClient) -> ServiceMode | None:
    """Through whom the tag's envelopes go now; None while through nobody."""
    if tag.is_answered or not machine.direct.serves(tag.tag):
        return tag.committee.mode(tag.attached)
    return ServiceMode.DIRECT


def peer_mode(modes: Iterable[ServiceMode | None]) -> ServiceMode | None:
    """What a peer with rooms of these modes says of itself."""
    found = frozenset(modes)
    return next((mode for mode in reversed(ServiceMode) if mode in found), None)


def _cover(machine: ClientMachine, room_id: RoomId, wall: float) -> CoverView:
    room, status = machine.rooms.get(room_id), machine.cover.status(room_id)
    plan = None if room is None else room.cover_plan(wall)
    mode = Cover.OFF if plan is None else plan.mode
    wait = machine.cover.options.strict_wait_p95_seconds if mode is Cover.STRICT else None
    return CoverView(mode.name.lower(), status.decoys_sent, status.waiting, wait)
