"""Names that others chose: harmless wherever they are shown, and told apart."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.core.room import MemberRoom
from railgun.core.roster_state import RosterState
from railgun.runtime.display_names import NAME_CHARACTERS_MAX, RoomNames, display_names, harmless
from railgun.types import DeviceKey, RoomId
from tests.support import rosters as r
from tests.support.virtual_rooms import Node, World


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Ada", "Ada"),
        ("A\x1b[2Jda\x07", "A[2Jda"),
        ("Ada\u202eboB\u2066", "AdaboB"),
        ("A\u200bd\ufeffa\u200d", "Ada"),
        ("Ada\nBob: hi", "Ada Bob: hi"),
        ("A\ufe0fda\u3164\u2800\U000e0100", "Ada"),
        ("\u115f\u3164", ""),
        ("x" + "\u0301" * 9, "x\u0301\u0301"),
        ("\u202e", ""),
        ("x" * 200, "x" * NAME_CHARACTERS_MAX),
    ],
)
def test_what_is_shown_of_a_name(said: str, shown: str) -> None:
    assert harmless(said) == harmless(shown)
    assert len(harmless(said)) <= NAME_CHARACTERS_MAX


@given(st.text(max_size=200))
def test_any_name_is_harmless(name: str) -> None:
    shown = harmless(name)
    assert shown.isprintable()
    assert harmless(shown) == shown


@pytest.mark.parametrize("imitation", ["\u0410nna", "ANNA", "\u0391nn\u0430", "\uff21nna", "Ann\u00e1", "A n n a"])
def test_two_that_look_alike_have_their_keys_beside_them(
    room: tuple[World, list[Node], RoomId], imitation: str
) -> None:
    _, (anna, bert), room_id = room
    call(anna, room_id, "Anna")
    call(bert, room_id, imitation)
    names = display_names(state_of(anna, room_id))
    assert names[anna.device.key] == f"Anna ({anna.device.key.hex()[:8]})"
    assert names[bert.device.key].endswith(f"({bert.device.key.hex()[:8]})")
    call(bert, room_id, "Bert")
    assert display_names(state_of(anna, room_id))[anna.device.key] == "Anna"


@pytest.mark.parametrize("name", ["you", "Y0U", "This Device", "Ra\u0131lgun", "s\u043emebody"])
def test_who_is_called_as_this_program_calls_people_has_the_key_beside_it(
    room: tuple[World, list[Node], RoomId], name: str
) -> None:
    _, (anna, bert), room_id = room
    call(bert, room_id, name)
    assert display_names(state_of(anna, room_id))[bert.device.key] == f"{name} ({bert.device.key.hex()[:8]})"


@pytest.mark.parametrize("pair", [("Ian", "lan"), ("Bill", "BiII"), ("Bob 0", "Bob O"), ("\u0421\u043e\u0440", "Cop")])
def test_letters_of_one_form_are_one(room: tuple[World, list[Node], RoomId], pair: tuple[str, str]) -> None:
    _, (anna, bert), room_id = room
    call(anna, room_id, pair[0])
    call(bert, room_id, pair[1])
    assert all(name.endswith(")") for name in display_names(state_of(bert, room_id)).values())


@pytest.fixture
def room() -> tuple[World, list[Node], RoomId]:
    world = World()
    nodes = [Node(world, r.Device(name)) for name in ("anna", "bert")]
    room_id = nodes[0].create()
    nodes[1].join(nodes[0].invite(room_id))
    world.settle()
    world.pass_time(30)
    return world, nodes, room_id


def state_of(node: Node, room_id: RoomId) -> RosterState:
    return member_of(node, room_id).state(node.world.wall)


def member_of(node: Node, room_id: RoomId) -> MemberRoom:
    member = node.member(room_id)
    assert member is not None
    return member


def call(node: Node, room_id: RoomId, name: str) -> None:
    """Give this device a name, as a start of its profile does."""
    node.tools = dataclasses.replace(node.tools, name=name)
    member_of(node, room_id).use_tools(node.tools)
    node.world.pass_time(1)


def test_everyone_sees_what_a_device_is_called_also_who_comes_later(room: tuple[World, list[Node], RoomId]) -> None:
    world, (anna, bert), room_id = room
    assert display_names(state_of(bert, room_id))[anna.device.key] == anna.device.key.hex()[:8]
    call(anna, room_id, "Anna \x1b[31m")
    call(anna, room_id, "Anna")
    before = len(world.envelopes)
    world.pass_time(100)
    assert len(world.envelopes) - before <= 2, "a name is said once"
    cara = Node(world, r.Device("cara"))
    cara.join(anna.invite(room_id))
    world.settle()
    world.pass_time(30)
    for node in (anna, bert, cara):
        assert display_names(state_of(node, room_id))[anna.device.key] == "Anna"
    call(anna, room_id, "")
    assert state_of(bert, room_id).names == ()


def test_names_that_look_alike_have_keys_beside_them(room: tuple[World, list[Node], RoomId]) -> None:
    _, (anna, bert), room_id = room
    anna_key, bert_key = anna.device.key, bert.device.key
    call(anna, room_id, "Anna")
    for said in ("ANNA", "An na", "A\u200bnna", "\uff21nna"):
        call(bert, room_id, said)
        shown = display_names(state_of(anna, room_id))
        assert shown[anna_key] == f"Anna ({anna_key.hex()[:8]})", said
        assert shown[bert_key].endswith(f" ({bert_key.hex()[:8]})"), said
    call(bert, room_id, "You")
    shown = display_names(state_of(anna, room_id))
    assert (shown[anna_key], shown[bert_key]) == ("Anna", f"You ({bert_key.hex()[:8]})")
    for bracketed in (f"Anna ({anna_key.hex()[:8]})", f"Anna \uff08{anna_key.hex()[:8]}\uff09", "Anna [1]"):
        call(bert, room_id, bracketed)
        shown = display_names(state_of(anna, room_id))
        assert shown[bert_key].endswith(f" ({bert_key.hex()[:8]})"), "a third who is called Anna would be taken for it"
    call(anna, room_id, "")
    call(bert, room_id, anna_key.hex()[:8])
    shown = display_names(state_of(anna, room_id))
    assert shown[bert_key].endswith(f"({bert_key.hex()[:8]})")


def test_an_own_name_is_shown_before_the_room_knows_it(room: tuple[World, list[Node], RoomId]) -> None:
    _, (anna, _), room_id = room
    names = RoomNames(lambda: state_of(anna, room_id), anna.device.key, lambda: "Anna\x07")
    assert names()[anna.device.key] == "Anna"
    gone = RoomNames(lambda: None, DeviceKey(bytes(32)), lambda: "x")
    assert dict(gone()) == {}
