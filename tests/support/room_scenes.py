"""Scenes around rooms in virtual time: who hears whom, members who come and go, what was said under the header keys."""

from __future__ import annotations

from railgun.core.room_port import TagPurpose
from railgun.crypto.sealing import open_parsed
from railgun.types import EnvelopeKind, RoomId
from railgun.wire.envelope import parse_envelope
from railgun.wire.roster import AddEntry
from railgun.wire.sealed import SEALED_BODIES, SealedBody
from tests.support import rosters as r
from tests.support.virtual_rooms import NETWORK, Node, Weather, World


class Deaf(Weather):
    """One node hears nothing."""

    def __init__(self, node: str) -> None:
        super().__init__(0)
        object.__setattr__(self, "node", node)

    def arrival(self, node: str, place: int, now: float) -> float:
        return float("inf") if node == self.node else now  # type: ignore[attr-defined]


class Apart(Weather):
    """These nodes hear each other, and so do all the others."""

    def __init__(self, world: World, some: tuple[str, ...]) -> None:
        super().__init__(0)
        object.__setattr__(self, "world", world)
        object.__setattr__(self, "some", some)

    def arrival(self, node: str, place: int, now: float) -> float:
        world: World = self.world  # type: ignore[attr-defined]
        some: tuple[str, ...] = self.some  # type: ignore[attr-defined]
        return now if (node in some) == (world.publishing in some) else float("inf")


def make_admin(world: World, room: RoomId, admin: Node, device: r.Device) -> None:
    member = admin.member(room)
    assert member is not None
    own, now = admin.device.key, int(world.wall)
    outcome = member.file(
        lambda number, previous: AddEntry(room, own, number, previous, now, device.key, device.certificate, True, None),
        world.wall,
    )
    admin.apply(member, outcome)


def room_of(world: World, *devices: r.Device) -> tuple[RoomId, list[Node]]:
    nodes = [Node(world, device) for device in devices]
    room = nodes[0].create()
    for node in nodes[1:]:
        node.join(nodes[0].invite(room))
        world.pass_time(5)
    world.pass_time(30)
    return room, nodes


def remove(world: World, room: RoomId, admin: Node, other: Node) -> None:
    member = admin.member(room)
    assert member is not None
    admin.apply(member, member.remove([other.device.key], world.wall))


def digests(room: RoomId, *nodes: Node) -> set[bytes]:
    members = [node.member(room) for node in nodes]
    return {member.roster.digest() for member in members if member is not None}


def sealed_since(world: World, node: Node, room: RoomId, place: int) -> list[SealedBody]:
    """Sealed bodies published from ``place`` on that this node has keys for."""
    member = node.member(room)
    assert member is not None
    found: list[SealedBody] = []
    start = member.epoch_start(world.wall)
    plans = [plan for epoch in (start - NETWORK.epoch_seconds, start) for plan in member.tag_plans(epoch, world.wall)]
    by_tag = {plan.keys.tag: plan.keys for plan in plans if plan.purpose is TagPurpose.ROOM}
    for data in world.envelopes[place:]:
        parsed = parse_envelope(data)
        keys = by_tag.get(parsed.tag)
        if keys is not None:
            inner = open_parsed(keys, parsed)
            if inner.kind is EnvelopeKind.SEALED:
                found.append(SEALED_BODIES.decode(inner.body))
    return found
