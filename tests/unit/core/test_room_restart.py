"""A member that dies between committing and sending says after its restart what it had to say, to those it was for."""

from __future__ import annotations

import pytest

from railgun.core.outbox import Outbox
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.runtime.member_store import load_rooms
from railgun.types import EnvelopeKind, RoomId
from tests.support import rosters as r
from tests.support.virtual_rooms import Node, World

ANNA, BERT, CARA = (r.Device(name) for name in ("anna", "bert", "cara"))


@pytest.fixture
def room() -> tuple[World, list[Node], RoomId]:
    world = World()
    nodes = [Node(world, device) for device in (ANNA, BERT, CARA)]
    room_id = nodes[0].create()
    for node in nodes[1:]:
        node.join(nodes[0].invite(room_id))
        world.settle()
        world.pass_time(30)
    assert all(len(member_of(node, room_id).state(world.wall).members) == 3 for node in nodes)
    return world, nodes, room_id


def member_of(node: Node, room_id: RoomId) -> MemberRoom:
    member = node.member(room_id)
    assert member is not None
    return member


def test_a_removal_that_was_committed_and_not_sent_reaches_all_at_once_after_a_restart(
    room: tuple[World, list[Node], RoomId],
) -> None:
    """Under the generation before it: nobody else holds the new one yet, and would have to ask for the roster."""
    world, (anna, bert, cara), room_id = room
    remover = member_of(anna, room_id)
    outcome = remover.remove([CARA.key], world.wall)
    assert {request.kind for request in outcome.requests} >= {EnvelopeKind.GROUP, EnvelopeKind.SEALED}
    anna.apply(remover, outcome, leaves=False)
    anna.crash()
    world.settle()  # no time passes: nobody asks for anything
    for node in (bert, cara):
        assert CARA.key not in member_of(node, room_id).state(world.wall).devices, node.device.name
    bert.say(room_id, "without her")
    world.settle()
    assert list(anna.read.values()) == ["without her"]
    assert not cara.read, "the new generation is not hers"


def test_what_is_bound_is_sealed_again_under_the_same_generation_after_a_restart(
    room: tuple[World, list[Node], RoomId],
) -> None:
    world, (anna, _, _), room_id = room
    member = member_of(anna, room_id)
    before = member.sending_keys(world.wall)
    outcome = member.remove([CARA.key], world.wall)
    anna.apply(member, outcome, leaves=False)
    references = [request.reference for request in outcome.requests if request.reference is not None]
    member = load_rooms(anna.disk, anna.tools, ANNA.certificate, world.now).members[0]
    assert member.sending_keys(world.wall) != before
    assert len(references) >= 2
    assert [request.keys for request in member.resume(world.wall).requests] == [before] * len(references)
    for reference in references:
        again: RoomOutcome = member.seal_again(reference, world.wall)
        assert [request.keys for request in again.requests] == [before]


def test_rows_from_before_there_were_bindings_are_read() -> None:
    room = RoomId(bytes(32))
    old = bytes.fromhex("a6000101010201" + "0348" + "0011223344556677" + "0441" + "aa" + "0500")
    outbox = Outbox.load(room, [(room + bytes(16), old)])
    assert outbox.bound(bytes(16)) is None
    assert [request.body for request in outbox.waiting()] == [b"\xaa"]
