"""A room's settings change from a named day on, for everyone alike: with real room machines, in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from railgun.core.room import MemberRoom
from railgun.core.room_port import TagPurpose
from railgun.errors import NotMember, UsageError
from railgun.limits import SETTINGS_DAYS_AHEAD_MAX
from railgun.runtime.room_settings import LEAD_SECONDS, change, coming, holding
from railgun.runtime.room_views import SettingsView
from railgun.types import RoomId
from railgun.wire.roster import SECONDS_PER_DAY, Cover
from tests.support import rosters as r
from tests.support.virtual_rooms import NETWORK, Node, World

ANNA, BERT = r.Device("anna"), r.Device("bert")
TODAY = r.NOON // SECONDS_PER_DAY
MIDNIGHT = (TODAY + 1) * SECONDS_PER_DAY


class TwoMembers:
    """Anna made the room, Bert was let in."""

    def __init__(self) -> None:
        self.world = World()
        self.anna, self.bert = Node(self.world, ANNA), Node(self.world, BERT)
        self.room: RoomId = self.anna.create()
        link = self.anna.invite(self.room)
        assert link is not None
        self.bert.join(link)
        self.world.pass_time(30)
        assert len(self.machine(self.bert).state(self.world.wall).devices) == 2

    def machine(self, node: Node) -> MemberRoom:
        member = node.member(self.room)
        assert member is not None
        return member

    def change(self, node: Node, **wanted: object) -> SettingsView:
        machine = self.machine(node)
        made, outcome = change(machine, node.device.key, self.world.wall, **wanted)  # type: ignore[arg-type]
        node.apply(machine, outcome)
        self.world.settle()
        assert isinstance(made, SettingsView)
        return made


def first_start(machine: MemberRoom, day: int) -> int:
    """When the first epoch starts that is of this day."""
    start = machine.epoch_start(float(day * SECONDS_PER_DAY))
    return start if start >= day * SECONDS_PER_DAY else start + NETWORK.epoch_seconds


def test_a_change_holds_from_the_next_day_for_every_member_alike() -> None:
    two = TwoMembers()
    made = two.change(two.anna, cover="strict", committee_size=3)
    assert made == coming(two.machine(two.anna).state(two.world.wall), TODAY)
    for node in (two.anna, two.bert):
        machine = two.machine(node)
        state = machine.state(two.world.wall)
        assert (holding(state, TODAY).cover, holding(state, TODAY).committee_size) == ("steady", 5)
        after = coming(state, TODAY)
        assert after is not None
        assert (after.cover, after.committee_size, after.from_day) == ("strict", 3, TODAY + 1)
        assert coming(state, TODAY + 1) is None
        first = first_start(machine, TODAY + 1)
        for start, size in ((first - NETWORK.epoch_seconds, 5), (first, 3)):
            plans = machine.tag_plans(start, two.world.wall)
            assert {plan.committee_size for plan in plans if plan.purpose is TagPurpose.ROOM} == {size}
        covers = [machine.cover_plan(float(wall)) for wall in (first - 1, first)]
        assert [plan.mode for plan in covers if plan is not None] == [Cover.STEADY, Cover.STRICT]


def test_one_setting_is_changed_and_the_others_stay_as_they_would_be_then() -> None:
    two = TwoMembers()
    two.change(two.anna, cover="off", from_day=TODAY + 2)
    two.change(two.anna, committee_size=7, from_day=TODAY + 2)
    two.change(two.anna, committee_size=3)
    schedule = [holding(two.machine(two.bert).state(two.world.wall), TODAY + days) for days in range(4)]
    assert [(view.committee_size, view.cover) for view in schedule] == [
        (5, "steady"),
        (3, "steady"),
        (7, "off"),
        (7, "off"),
    ]
    assert [view.from_day - TODAY for view in schedule[1:]] == [1, 2, 2]
    assert schedule[2].date == datetime.fromtimestamp(MIDNIGHT + SECONDS_PER_DAY, UTC).strftime("%Y-%m-%d")


def test_only_admins_change_settings() -> None:
    two = TwoMembers()
    with pytest.raises(NotMember, match="admin"):
        two.change(two.bert, cover="off")
    assert coming(two.machine(two.bert).state(two.world.wall), TODAY) is None


def test_shortly_before_midnight_it_is_the_day_after() -> None:
    two = TwoMembers()
    two.world.pass_time(MIDNIGHT - LEAD_SECONDS - two.world.wall - 1.0)
    assert two.change(two.anna, cover="off").from_day == TODAY + 1
    two.world.pass_time(2.0)
    assert two.change(two.anna, cover="strict").from_day == TODAY + 2
    assert two.change(two.anna, cover="strict", from_day=TODAY + 1).from_day == TODAY + 1


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "name what is to change"),
        ({"cover": "loud"}, "off, steady, strict"),
        ({"committee_size": 2}, "from 3 to 7"),
        ({"committee_size": 8}, "from 3 to 7"),
        ({"committee_size": -1}, "from 3 to 7"),
        ({"cover": "off", "from_day": TODAY}, "from tomorrow"),
        ({"cover": "off", "from_day": 0}, "from tomorrow"),
        ({"cover": "off", "from_day": TODAY + SETTINGS_DAYS_AHEAD_MAX + 1}, "days ahead"),
    ],
)
def test_what_cannot_be_set_is_refused_and_leaves_no_trace(wanted: dict[str, object], words: str) -> None:
    two = TwoMembers()
    before = two.machine(two.anna).roster.next_place(ANNA.key)
    with pytest.raises(UsageError, match=words):
        two.change(two.anna, **wanted)
    assert two.machine(two.anna).roster.next_place(ANNA.key) == before
