"""What a device lacks of a history, and what it brings to others: whole room machines around a list of envelopes."""

from __future__ import annotations

import pytest

from railgun.core.conversation import Message, read_message
from railgun.core.gap_answers import GapAnswers
from railgun.core.gaps import Gaps
from railgun.core.history_order import in_order
from railgun.core.room_notifications import MessagesMissing
from railgun.crypto.epoch import epoch_start
from railgun.limits import (
    GAP_ASK_FIRST_SECONDS,
    GAP_ASK_TIMES_MAX,
    GAP_TURN_SECONDS,
    GAPS_ANSWER_BYTES_PER_ASKER_MAX,
    GAPS_ANSWERS_PER_ASKER_MAX,
    GAPS_ASKED_AT_ONCE_MAX,
    GAPS_WANTED_MAX,
)
from railgun.types import DeviceKey, MessageId, RoomId
from railgun.wire.content import ReactionContent, TextContent, WantContent
from tests.support import rosters as r
from tests.support.virtual_rooms import CALM, NETWORK, Node, World

EPOCH = NETWORK.epoch_seconds
ROOM = RoomId(bytes(32))
OWN = DeviceKey(b"o" * 32)
OTHERS = [DeviceKey(bytes([number]) * 32) for number in range(1, 6)]
IDS = [MessageId(number.to_bytes(16, "big")) for number in range(1, 2_000)]
PEOPLE = [r.Device(f"gap person {index}") for index in range(4)]


class Cut:
    """Weather in which nothing passes between two sides, and what did not pass is never had from seats."""

    seed = 0

    def __init__(self, world: World, *apart: Node) -> None:
        self._world = world
        self._apart = {node.device.name for node in apart}

    def arrival(self, node: str, place: int, now: float) -> float:
        author = self._world.publishing
        together = (author in self._apart) == (node in self._apart)
        return now if together else float("inf")


@pytest.fixture
def world() -> World:
    return World()


def people(world: World, count: int) -> tuple[list[Node], RoomId]:
    nodes = [Node(world, PEOPLE[0])]
    room = nodes[0].create()
    world.settle()
    for device in PEOPLE[1:count]:
        nodes.append(join(world, nodes[0], room, device))
    return nodes, room


def join(world: World, host: Node, room: RoomId, device: r.Device) -> Node:
    node = Node(world, device)
    node.join(host.invite(room))
    world.pass_time(30)
    assert node.member(room) is not None
    return node


def cut(world: World, *apart: Node) -> None:
    world.weather = Cut(world, *apart)  # type: ignore[assignment]


def heal(world: World) -> None:
    world.weather = CALM


def texts(node: Node) -> list[str]:
    return sorted(node.read.values())


def history(node: Node, room: RoomId) -> list[Message]:
    rows = node.disk.load("messages", room)
    return in_order(read_message(MessageId(key[len(room) :]), value) for key, value in rows)


def lines(node: Node, room: RoomId) -> list[str]:
    return [m.content.text for m in history(node, room) if isinstance(m.content, TextContent)]


def test_who_was_cut_off_for_three_epochs_gets_everything_though_nobody_speaks_again(world: World) -> None:
    (anna, bert, carla), room = people(world, 3)
    for node in (anna, bert, carla):
        node.say(room, f"hello from {node.device.name}")
    world.pass_time(60)
    cut(world, carla)
    said = [f"message {number}" for number in range(40)]
    for number, text in enumerate(said):
        (anna, bert)[number % 2].say(room, text)
        world.pass_time(3 * EPOCH / len(said))
    world.pass_time(3 * EPOCH)
    heal(world)
    assert not set(said) & set(texts(carla))
    carla.crash()
    world.pass_time(120)
    assert set(said) <= set(texts(carla))
    assert len(texts(carla)) == len(set(texts(carla)))
    assert lines(carla, room) == lines(anna, room) == lines(bert, room)


def test_two_halves_that_talk_on_end_with_one_history_in_one_order(world: World) -> None:
    (anna, bert, carla, dora), room = people(world, 4)
    everyone = (anna, bert, carla, dora)
    for node in everyone:
        node.say(room, f"hello from {node.device.name}")
        world.pass_time(10)
    cut(world, carla, dora)
    for number in range(60):
        everyone[number % 4].say(room, f"{number} of {everyone[number % 4].device.name}")
        world.pass_time(3 * EPOCH / 60)
    world.pass_time(3 * EPOCH)
    heal(world)
    anna.say(room, "there you are")
    world.pass_time(180)
    histories = [lines(node, room) for node in everyone]
    assert len(histories[0]) == 4 + 60 + 1
    assert all(other == histories[0] for other in histories)


def test_halves_that_are_silent_afterwards_find_each_other_by_an_epochs_word(world: World) -> None:
    (anna, bert), room = people(world, 2)
    cut(world, bert)
    anna.say(room, "nobody hears this")
    world.pass_time(1)
    heal(world)
    assert texts(bert) == []
    world.pass_time(2 * EPOCH)
    assert texts(bert) == ["nobody hears this"]


def test_a_reaction_that_got_lost_comes_too_and_so_does_a_split_message(world: World) -> None:
    (anna, bert), room = people(world, 2)
    anna.say(room, "first")
    world.pass_time(10)
    cut(world, bert)
    long = "long " * 20_000
    anna.say(room, long)
    member = anna.member(room)
    assert member is not None
    target = history(anna, room)[0].message_id
    anna.apply(member, member.send(ReactionContent(target, "+"), 0, world.wall))
    world.pass_time(4 * EPOCH)
    heal(world)
    bert.crash()
    world.pass_time(120)
    assert long in texts(bert)
    assert [m.content for m in history(bert, room)] == [m.content for m in history(anna, room)]


def test_a_joiner_neither_asks_for_nor_gets_what_was_said_before_it_came(world: World) -> None:
    (anna, bert), room = people(world, 2)
    for number in range(5):
        (anna, bert)[number % 2].say(room, f"old {number}")
    world.pass_time(60)
    carla = join(world, anna, room, PEOPLE[2])
    anna.say(room, "welcome")
    world.pass_time(600)
    assert texts(carla) == ["welcome"]
    assert not [told for told in carla.told if isinstance(told, MessagesMissing)]
    gaps = carla.member(room).gaps.gaps  # type: ignore[union-attr]
    assert gaps.wanted == ()
    assert gaps.missing == ()


def test_holders_refuse_a_joiner_that_wants_what_was_before_its_time(world: World) -> None:
    (anna, bert), room = people(world, 2)
    anna.say(room, "old")
    world.pass_time(60)
    old = history(anna, room)[0].message_id
    carla = join(world, anna, room, PEOPLE[2])
    world.pass_time(60)
    before = len(world.envelopes)
    member = carla.member(room)
    assert member is not None
    carla.apply(member, member.send(WantContent((old,), 200), 0, world.wall))
    world.pass_time(60)
    # The question, one "before", perhaps session keys for either: no message is among them.
    assert not set(world.carriers["old"]) & set(range(before, len(world.envelopes)))
    assert carla.read == {}
    rows = [value for node in (anna, bert) for _, value in node.disk.load("messages", room)]
    assert rows
    assert carla.disk.load("messages", room) == []


def test_what_nobody_has_is_told_as_missing_and_filled_when_its_holder_is_back(world: World) -> None:
    (anna, bert, carla), room = people(world, 3)
    anna.say(room, "before")
    world.pass_time(30)
    cut(world, carla)
    anna.say(room, "seen by two")
    world.pass_time(4 * EPOCH)
    heal(world)
    # Anna and Bert are away when Carla hears of it: only the name of it reaches her.
    missing = history(anna, room)[-1].message_id
    member = carla.member(room)
    assert member is not None
    world.nodes = [carla]
    member.gaps.gaps.lacks([missing], world.now)
    world.pass_time(600)
    assert [told.ids for told in carla.told if isinstance(told, MessagesMissing)] == [(missing,)]
    assert member.gaps.gaps.missing == (missing,)
    carla.crash()
    member = carla.member(room)
    assert member is not None
    assert member.gaps.gaps.missing == (missing,)
    world.nodes = [anna, bert, carla]
    world.pass_time(3 * EPOCH)
    assert texts(carla) == ["before", "seen by two"]
    assert member.gaps.gaps.missing == ()


def test_quiet_rooms_fall_silent(world: World) -> None:
    (anna, bert, carla), room = people(world, 3)
    anna.say(room, "one")
    bert.say(room, "two")
    world.pass_time(3 * EPOCH)
    before = len(world.envelopes)
    world.pass_time(1_500)  # not for so long that rosters are compared
    assert len(world.envelopes) == before
    assert lines(carla, room) == lines(anna, room)


def test_one_member_tells_an_epochs_news_for_all(world: World) -> None:
    _, room = people(world, 4)
    world.pass_time(2 * EPOCH)
    world.nodes[1].say(room, "news")
    world.pass_time(5)
    before = len(world.envelopes)
    world.pass_time(2 * EPOCH)
    assert len(world.envelopes) - before == 1


# --- the parts alone ------------------------------------------------------------------------------


def drain(gaps: Gaps, now: float) -> tuple[list[WantContent], list[MessageId]]:
    asked: list[WantContent] = []
    lost: list[MessageId] = []
    while (at := gaps.next_at(now)) is not None:
        now = max(now, at)
        want, given_up = gaps.due(now)
        lost += given_up
        if want is not None:
            asked.append(want)
    return asked, lost


def test_what_never_comes_is_asked_for_a_bounded_number_of_times() -> None:
    gaps = Gaps(ROOM, OWN)
    gaps.lacks(IDS[:3], 0.0)
    first = gaps.next_at(0.0)
    assert first is not None
    assert first >= GAP_ASK_FIRST_SECONDS
    asked, lost = drain(gaps, 0.0)
    assert sum(IDS[0] in want.ids for want in asked) == GAP_ASK_TIMES_MAX
    assert sorted(lost) == IDS[:3]
    assert gaps.missing == tuple(lost)


def test_much_is_asked_for_in_portions_and_what_is_wanted_is_bounded() -> None:
    gaps = Gaps(ROOM, OWN)
    gaps.lacks(IDS, 0.0, is_far=True, at_once=True)
    assert len(gaps.wanted) == GAPS_WANTED_MAX
    want, _ = gaps.due(0.0)
    assert want is not None
    assert len(want.ids) == GAPS_ASKED_AT_ONCE_MAX
    assert want.trail == 0
    assert gaps.due(0.5)[0] is None
    for item in want.ids[:40]:
        assert gaps.came(item)
    assert not gaps.came(want.ids[0])
    more, _ = gaps.due(1.0)
    assert more is not None
    assert len(more.ids) == 40
    assert not set(more.ids) & set(want.ids)


def test_a_restart_goes_on_asking() -> None:
    gaps = Gaps(ROOM, OWN)
    gaps.lacks(IDS[:2], 0.0)
    row = gaps.row()
    assert row.value is not None
    again = Gaps(ROOM, OWN)
    again.load([(row.key, row.value)], 50.0)
    assert again.wanted == tuple(IDS[:2])
    for item in IDS[:2]:
        again.came(item)
    assert again.row().value is None


def test_every_member_has_another_turn_and_the_first_one_answers_at_once() -> None:
    devices = sorted([OWN, *OTHERS])
    asker = OTHERS[0]
    turns = sorted(GapAnswers(device).turn_seconds(IDS[0], asker, devices) for device in devices if device != asker)
    assert turns == [GAP_TURN_SECONDS * rank for rank in range(5)]


def test_what_somebody_brought_is_brought_no_more() -> None:
    answers = GapAnswers(OWN)
    answers.wanted(IDS[:2], OTHERS[0], [OWN, OTHERS[0]], 0, 0.0)
    answers.heard(IDS[0], 0.0)
    assert answers.due(1.0) == [(IDS[1], OTHERS[0])]
    answers.take(IDS[1])
    answers.heard(IDS[1], 1.0)
    answers.wanted(IDS[:2], OTHERS[0], [OWN, OTHERS[0]], 0, 2.0)
    assert len(answers) == 0


def test_what_was_brought_long_ago_takes_no_room() -> None:
    answers = GapAnswers(OWN)
    for second in range(100):
        answers.heard(IDS[second], float(second))
    assert list(answers._brought) == IDS[97:100]


def test_one_asker_cannot_make_a_member_send_without_end() -> None:
    answers = GapAnswers(OWN)
    brought = 0
    for second in range(500):
        answers.wanted(IDS[:200], OTHERS[0], [OWN, OTHERS[0]], 0, float(second))
        for item, _ in answers.due(second + 0.9):
            answers.take(item)
            answers.heard(item, second + 0.9)
            brought += 1
    assert brought == GAPS_ANSWERS_PER_ASKER_MAX
    answers.spend(OTHERS[1], GAPS_ANSWER_BYTES_PER_ASKER_MAX, 500.0)
    assert answers.has_cost_too_much(OTHERS[1], 501.0)
    assert not answers.has_cost_too_much(OTHERS[2], 501.0)
    assert not answers.is_free(501.0)
    assert not answers.has_cost_too_much(OTHERS[1], 1_200.0)


def test_who_cannot_have_what_another_names_still_tells_it_what_it_lacks(world: World) -> None:
    """Said in the second in which bert was let in: it is brought to him like his own, and he cannot read it."""
    (anna,), room = people(world, 1)
    world.pass_time(epoch_start(world.wall, room, EPOCH) + 1.25 * EPOCH - world.wall)
    anna.say(room, "too early for bert")
    bert = join(world, anna, room, PEOPLE[1])
    cut(world, bert)
    bert.say(room, "lost on its way")
    world.pass_time(10)
    heal(world)
    anna.crash()
    world.pass_time(300)  # he gives up; the epoch goes on, and nobody tells of its news yet
    assert texts(anna) == ["lost on its way"]
    assert texts(bert) == []
    world.pass_time(2 * EPOCH)
    said = len(world.envelopes)
    world.pass_time(2 * EPOCH)
    assert len(world.envelopes) - said < 10  # and they rest
