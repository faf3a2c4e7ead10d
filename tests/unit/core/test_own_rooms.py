"""What a person's devices tell each other of rooms, and when a member doubts its roster."""

from __future__ import annotations

import itertools

from railgun.core.own_rooms import OwnRooms, words
from railgun.core.roster import Roster
from railgun.core.roster_doubts import RosterDoubts
from railgun.core.roster_state import RosterState
from railgun.limits import (
    OWN_ROOMS_PER_CONTENT_MAX,
    OWN_ROOMS_TELL_AGAIN_SECONDS,
    ROSTER_ASK_AGAIN_SECONDS,
    ROSTER_ASK_DOUBT_SECONDS,
    ROSTER_ASK_FIRST_SECONDS,
)
from railgun.types import NetworkId, RoomId
from railgun.wire.invites import Invite, format_invite
from railgun.wire.roster import LeaveEntry, SettingsEntry
from tests.support import rosters as r
from tests.support.virtual_rooms import Node, World

NETWORK = NetworkId(b"n" * 32)
BERT, CARA = r.Device("bert"), r.Device("cara")
PHONE = r.Device("phone", person="bert")


def state_of(*devices: r.Device, name: str = "room") -> RosterState:
    """A room made by the first, in which the others are."""
    world = World()
    nodes = [Node(world, device) for device in devices]
    room = nodes[0].create(name)
    world.settle()
    for node in nodes[1:]:
        node.join(nodes[0].invite(room))
        world.pass_time(5)
    member = nodes[0].member(room)
    assert member is not None
    return member.state(world.wall)


OWN = state_of(BERT, PHONE, name="own")
ALONE = state_of(BERT)
BOTH = state_of(BERT, PHONE, name="both")


def machine(device: r.Device = BERT) -> OwnRooms:
    return OwnRooms(device.key, device.root.root_key, NETWORK)


def link_to(room: bytes, network: NetworkId = NETWORK) -> str:
    return format_invite(Invite(network, RoomId(room), b"s" * 32, ()))


def test_only_who_could_be_in_and_is_not_lacks_a_room() -> None:
    assert machine().lacking(OWN, ALONE) == (PHONE.key,)
    assert machine().lacking(OWN, BOTH) == ()
    assert machine(CARA).lacking(OWN, ALONE) == ()
    assert machine().lacking(OWN, state_of(CARA)) == ()


def test_a_room_is_told_of_again_while_somebody_lacks_it() -> None:
    own = machine()
    assert own.to_tell(OWN, [ALONE, BOTH], 10.0) == [ALONE]
    assert own.to_tell(OWN, [ALONE], 11.0) == []
    assert own.to_tell(OWN, [ALONE], 10.0 + OWN_ROOMS_TELL_AGAIN_SECONDS) == [ALONE]
    own.asked()
    assert own.to_tell(OWN, [ALONE], 12.0 + OWN_ROOMS_TELL_AGAIN_SECONDS) == [ALONE]


def test_nobody_but_a_device_of_the_same_person_is_believed() -> None:
    link = link_to(b"r" * 32)
    (content,) = words("phone", [link])
    ((invite, text),) = machine().invites_for_us(content, PHONE.key, OWN, ())
    assert (invite.room, text) == (b"r" * 32, link)
    assert machine().invites_for_us(content, PHONE.key, OWN, (RoomId(b"r" * 32),)) == []
    assert machine().invites_for_us(content, BERT.key, OWN, ()) == []
    assert machine().invites_for_us(content, CARA.key, OWN, ()) == []
    # Somebody who was let into the room of the devices by mistake is still another person.
    assert machine().invites_for_us(content, CARA.key, state_of(BERT, CARA), ()) == []
    for wrong in (link[:-1], "", link_to(b"r" * 32, NetworkId(b"o" * 32))):
        assert machine().invites_for_us(words("x", [wrong])[0], PHONE.key, OWN, ()) == []


def test_many_rooms_take_several_words() -> None:
    links = [link_to(bytes([n]) * 32) for n in range(OWN_ROOMS_PER_CONTENT_MAX + 1)]
    contents = words("phone", links, asks=True)
    assert [len(content.invites) for content in contents] == [OWN_ROOMS_PER_CONTENT_MAX, 1]
    assert [content.asks for content in contents] == [True, False]
    assert [content.invites for content in words("phone", [], asks=True)] == [()]


def test_a_doubt_is_asked_about_at_once_but_not_often() -> None:
    doubts = RosterDoubts(r.Device("own").key)
    assert doubts.next_at(100.0) == 100.0 + ROSTER_ASK_FIRST_SECONDS
    doubts.arose(101.0)
    assert doubts.next_at(101.0) == 101.0
    doubts.asked(101.0)
    doubts.arose(102.0)
    assert doubts.next_at(102.0) == 101.0 + ROSTER_ASK_DOUBT_SECONDS
    # The question or its answer may be lost as well: it is asked again, ever more rarely.
    asked = []
    for _ in range(9):
        asked.append(doubts.next_at(102.0))
        doubts.asked(asked[-1])
    between = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert between == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]


def test_after_an_answer_that_differed_it_is_asked_once_more() -> None:
    doubts = RosterDoubts(r.Device("own").key)
    doubts.asked(10.0)
    doubts.asked(100.0)
    doubts.once_more(101.0)
    assert doubts.next_at(101.0) == 101.0 + ROSTER_ASK_DOUBT_SECONDS
    doubts.asked(161.0)
    assert doubts.next_at(161.0) == 161.0 + ROSTER_ASK_AGAIN_SECONDS


def test_without_a_doubt_it_is_asked_once_an_hour() -> None:
    doubts = RosterDoubts(r.Device("own").key)
    asked = []
    for _ in range(4):
        asked.append(doubts.next_at(0.0))
        doubts.asked(asked[-1])
    # The first question may be lost, since a device that has just started is attached nowhere.
    second = ROSTER_ASK_FIRST_SECONDS + ROSTER_ASK_DOUBT_SECONDS
    hours = [second + ROSTER_ASK_AGAIN_SECONDS, second + 2 * ROSTER_ASK_AGAIN_SECONDS]
    assert asked == [ROSTER_ASK_FIRST_SECONDS, second, *hours]


def test_an_entry_whose_predecessors_are_missing_shows() -> None:
    roster = r.new_roster(BERT)
    whole = r.copy_of(roster)
    filed = []
    for number in (1, 2, 3):
        place = whole.next_place(BERT.key)
        assert place[0] == number
        entry = (
            LeaveEntry(whole.room, BERT.key, *place, r.NOON)
            if number == 3
            else SettingsEntry(whole.room, BERT.key, *place, r.NOON, whole.state(r.DAY).settings, r.DAY + number)
        )
        (stored,) = whole.append(BERT.seed, entry).added
        filed.append(stored)
        assert not whole.lacks_before(stored)
    late = Roster(roster.room)
    late.insert_all(roster.export())
    for index in (2, 0, 1):
        late.insert(filed[index].data)
    assert not late.lacks_before(filed[2])
    early = r.copy_of(roster)
    early.insert(filed[2].data)
    assert early.lacks_before(filed[2])
