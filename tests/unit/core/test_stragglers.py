"""Who lost the word of a removal goes on under the old generation: it is told soon, and who was removed is not."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.core.catch_up import CatchUp
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import RemovedFromRoom
from railgun.core.room_port import TagPlan
from railgun.core.stragglers import Due, Stragglers
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.hashing import content_hash
from railgun.crypto.sealing import open_parsed, seal_envelope
from railgun.crypto.signing import sign
from railgun.errors import CryptoError
from railgun.limits import (
    KEY_REQUEST_BEHIND_SECONDS,
    ROSTER_ANSWER_ANYWAY,
    ROSTER_ASK_DOUBT_SECONDS,
    STRAGGLERS_FIRST_SECONDS,
    STRAGGLERS_LOOK_TURN_SECONDS,
    STRAGGLERS_TURN_SECONDS,
)
from railgun.types import EnvelopeKind, RoomId, SizeClass
from railgun.wire.envelope import NO_HINT, Inner, parse_envelope
from railgun.wire.sealed import ROSTER_REQUEST_LABEL, SEALED_BODIES, AnswerChunk, KeyRequest, RosterRequest, context
from tests.support import rosters as r
from tests.support.members import Wire
from tests.support.members import room_of as members_of
from tests.support.room_scenes import Apart, Deaf, digests, make_admin, remove, room_of, sealed_since
from tests.support.virtual_rooms import CALM, Node, World

ANNA, BERT, CARA, DORA, EMIL = (r.Device(name) for name in ("anna", "bert", "cara", "dora", "emil"))
HEALED_SECONDS = 30.0


@pytest.mark.parametrize("spoke_before", [False, True])
def test_who_missed_a_removal_is_told_when_it_speaks(spoke_before: bool) -> None:
    """Also where all lack its session's key: they ask for it in the generation in which they heard it."""
    world = World()
    room, (anna, bert, cara, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    if spoke_before:
        bert.say(room, "as a member of old")
        world.pass_time(5)
    world.weather = Deaf("bert")
    remove(world, room, anna, dora)
    world.pass_time(20)
    anna.say(room, "without dora")
    world.settle()
    world.weather = CALM
    assert len(digests(room, anna, bert)) == 2
    bert.say(room, "who is here?")
    world.pass_time(HEALED_SECONDS)
    assert len(digests(room, anna, bert, cara)) == 1
    assert "who is here?" in anna.read.values()
    assert "who is here?" in cara.read.values()
    anna.say(room, "you are")
    bert.say(room, "nice")
    world.pass_time(5)
    assert "you are" in bert.read.values()
    assert "nice" in cara.read.values()
    assert not {"without dora", "you are", "nice"} & set(dora.read.values())


def test_the_removed_learns_nothing_from_what_a_straggler_is_told() -> None:
    """It keeps the old generation's header keys, and sees that something is said under them: not what."""
    world = World()
    room, (anna, bert, cara, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    world.weather = Deaf("bert")
    copied = dora.member(room)
    assert copied is not None
    before = copied.roster.digest()
    start = copied.epoch_start(world.wall)
    keys = copied.generations.listening(copied.state(world.wall), start)
    remove(world, room, anna, dora)
    bert.say(room, "who is here?")
    place = len(world.envelopes)
    world.weather = CALM
    dora.rooms.clear()  # what it would do by itself is another matter: it keeps its state and looks
    world.pass_time(HEALED_SECONDS)
    assert len(digests(room, anna, bert, cara)) == 1
    assert copied.roster.digest() == before
    read = 0
    for data in world.envelopes[place:]:
        parsed = parse_envelope(data)
        for held in keys:
            if held.tag != parsed.tag:
                continue
            inner = open_parsed(held, parsed)
            plan = next(plan for plan in copied.tag_plans(start, world.wall) if plan.keys.tag == held.tag)
            told = copied.envelope_opened(plan, inner, world.now, world.wall)
            assert not told.notifications
            read += 1
    assert read
    assert copied.roster.digest() == before
    with pytest.raises(CryptoError):
        open_parsed(keys[0], parse_envelope(_newest(world, bert, room)))


def _newest(world: World, node: Node, room: RoomId) -> bytes:
    node.say(room, "not for dora")
    return world.envelopes[-1]


def test_one_member_asks_for_all_who_heard_a_straggler() -> None:
    world = World()
    room, (anna, bert, cara, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    world.pass_time(60)
    world.weather = Deaf("bert")
    remove(world, room, anna, dora)
    world.pass_time(20)
    world.weather = CALM
    place = len(world.envelopes)
    for number in range(10):
        bert.say(room, f"number {number}")
        world.pass_time(0.1)
    world.pass_time(20)
    assert len(digests(room, anna, bert, cara)) == 1
    asked = [body for body in sealed_since(world, anna, room, place) if isinstance(body, RosterRequest)]
    assert len(asked) == 1


def test_nobody_is_asked_while_all_send_under_one_generation() -> None:
    world = World()
    room, (anna, bert, cara, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    world.pass_time(60)
    bert.say(room, "before")
    remove(world, room, anna, dora)
    world.pass_time(10)
    place = len(world.envelopes)
    for node in (anna, bert, cara):
        node.say(room, f"{node.device.name} goes on")
    world.pass_time(ROSTER_ASK_DOUBT_SECONDS - 15)
    assert not [body for body in sealed_since(world, anna, room, place) if isinstance(body, RosterRequest)]


@pytest.mark.parametrize("silent", [False, True])
def test_two_owners_who_removed_each_other_apart_end_in_one_room(silent: bool) -> None:
    """Each half has a generation of its own, and hears nothing of the other's: both still listen to the one before."""
    world = World()
    room, (anna, bert, cara, dora, emil) = room_of(world, ANNA, BERT, CARA, DORA, EMIL)
    for device in (BERT, CARA):
        make_admin(world, room, anna, device)
    world.pass_time(30)
    world.weather = Apart(world, ("anna", "bert", "dora"))
    remove(world, room, bert, cara)
    remove(world, room, cara, bert)
    world.pass_time(20)
    world.weather = CALM
    for _ in range(8):
        if not silent:
            dora.say(room, "dora goes on")
            emil.say(room, "emil goes on")
        world.pass_time(30)
    winner, loser = (bert, cara) if BERT.key < CARA.key else (cara, bert)  # both were made admins by anna
    assert len(digests(room, anna, winner, dora, emil)) == 1
    there = anna.member(room)
    assert there is not None
    assert there.state(world.wall).removed == (loser.device.key,)
    assert RemovedFromRoom(room) in loser.told
    assert RemovedFromRoom(room) not in winner.told
    emil.say(room, "to all")
    dora.say(room, "to all as well")
    world.pass_time(20)
    assert "to all" in dora.read.values()
    assert "to all as well" in emil.read.values()
    assert not {"to all", "to all as well"} & set(loser.read.values())


def test_it_is_asked_after_a_turn_and_at_most_once_a_minute() -> None:
    old, new = (derive_epoch_keys(bytes(32), generation, 600) for generation in (1, 2))
    stragglers = Stragglers(ANNA.key)
    assert stragglers.may_ask(100.0)
    assert stragglers.next_due() is None
    stragglers.spoke(old, 100.0)
    stragglers.spoke(new, 101.0)
    at = stragglers.next_due()
    assert at is not None
    assert 0 <= at - 100.0 - STRAGGLERS_FIRST_SECONDS <= STRAGGLERS_TURN_SECONDS
    assert stragglers.due(at - 0.1, 600.0).heard is None
    assert stragglers.due(at, 600.0) == Due(old, all_older=False)
    assert stragglers.due(at, 600.0) == Due(None, all_older=False)
    assert not stragglers.may_ask(at + ROSTER_ASK_DOUBT_SECONDS - 1)
    stragglers.spoke(old, at + ROSTER_ASK_DOUBT_SECONDS)
    stragglers.asked(new, at + ROSTER_ASK_DOUBT_SECONDS, 600.0)
    assert stragglers.next_due() is not None
    stragglers.asked(old, at + ROSTER_ASK_DOUBT_SECONDS, 600.0)
    assert stragglers.next_due() is None


def test_older_generations_are_looked_at_ever_more_seldom_down_to_once_an_epoch() -> None:
    stragglers = Stragglers(ANNA.key)
    stragglers.named(1, 0.0)
    assert stragglers.next_due() is None  # there is no older one
    stragglers.named(2, 0.0)
    asked, last = [], 0.0
    for _ in range(6):
        at = stragglers.next_due()
        assert at is not None
        assert not stragglers.due(at - 0.1, 600.0).all_older
        assert stragglers.due(at, 600.0).all_older
        asked.append(at - last)
        last = at
    for between, seconds in zip(asked, (60, 120, 240, 480, 600, 600), strict=True):
        assert seconds <= between <= seconds + STRAGGLERS_LOOK_TURN_SECONDS
    old = derive_epoch_keys(bytes(32), 1, 600)
    stragglers.named(3, last)
    stragglers.asked(old, last + 59.0, 600.0)  # another did it
    later = stragglers.next_due()
    assert later is not None
    assert later >= last + 59.0 + 120.0


def test_who_was_removed_cannot_make_the_others_ask_as_fast_as_it_speaks() -> None:
    """Its sessions are known to nobody: each envelope of its would have everybody ask for a key."""
    world = World()
    room, (anna, bert, _, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    there = dora.member(room)
    assert there is not None
    start = there.epoch_start(world.wall)
    keys = there.generations.listening(there.state(world.wall), start)[0]
    dora.rooms.clear()
    remove(world, room, anna, dora)
    world.pass_time(10)
    place = len(world.envelopes)
    for number in range(100):
        body = b"session %d" % number
        hint = content_hash(body)[:8]
        nonce = number.to_bytes(12, "big")
        world.envelopes.append(seal_envelope(keys, EnvelopeKind.GROUP, hint, body, SizeClass.SMALL, nonce))
        world.pass_time(0.1)
    asked = [body for body in sealed_since(world, bert, room, place) if isinstance(body, KeyRequest)]
    of_bert = [body for body in asked if body.author == BERT.key]
    assert 1 <= len(of_bert) <= 2  # one question, under two generations
    world.pass_time(KEY_REQUEST_BEHIND_SECONDS)
    asked = [body for body in sealed_since(world, bert, room, place) if isinstance(body, KeyRequest)]
    assert len(of_bert) < len([body for body in asked if body.author == BERT.key]) <= 4


def test_what_is_said_under_an_older_generation_does_not_delay_the_questions_of_the_newest() -> None:
    """A session that was heard under both is one of a member that has moved on."""
    wire = Wire()
    anna, _ = members_of(wire, ANNA, BERT)
    talk = anna.conversation
    old, new = (1, bytes(32)), (2, bytes(32))

    def asks(now: float) -> int:
        _, request, _ = talk.key_requests_due(now, wire.wall, None)
        if request is None:
            return 0
        body = SEALED_BODIES.decode(request.body)
        assert isinstance(body, KeyRequest)
        return len(body.hints)

    def hear(hint: bytes, generation: tuple[int, bytes], now: float) -> None:
        talk.receive_group(hint, b"not to be read yet", anna.state, now, wire.wall)
        assert talk.waits_for(hint)
        talk.heard_under(hint, generation, is_behind=generation == old)

    hear(b"behind 1", old, 100.0)
    assert asks(102.0) == 1
    hear(b"behind 2", old, 102.0)
    hear(b"behind 3", old, 102.0)
    assert talk.next_key_request_at() == 102.0 + KEY_REQUEST_BEHIND_SECONDS
    assert asks(104.0) == 0
    hear(b"newest 1", new, 104.0)
    hear(b"newest 1", old, 104.0)
    hear(b"behind 2", new, 104.0)
    assert talk.next_key_request_at() == 103.0
    assert asks(106.0) == 2
    assert asks(102.0 + KEY_REQUEST_BEHIND_SECONDS) == 4


def test_who_was_removed_cannot_have_the_roster_sent_again_and_again_by_repeating_others() -> None:
    """With the old generation's keys a request for the roster can be said again, for its author: it counts once."""
    world = World()
    room, (anna, bert, cara, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    there, own = dora.member(room), bert.member(room)
    assert there is not None
    assert own is not None
    keys = there.generations.listening(there.state(world.wall), there.epoch_start(world.wall))[0]
    digest = own.roster.digest()
    said = SEALED_BODIES.encode(request_of(BERT, room, int(world.wall), digest))
    dora.rooms.clear()
    remove(world, room, anna, dora)
    world.pass_time(10)
    place = len(world.envelopes)
    for number in range(60):
        sealed = seal_envelope(keys, EnvelopeKind.SEALED, NO_HINT, said, SizeClass.MEDIUM, number.to_bytes(12, "big"))
        world.envelopes.append(sealed)
        world.pass_time(1)
    answers = [body for body in sealed_since(world, cara, room, place) if isinstance(body, AnswerChunk)]
    assert 1 <= len(answers) <= 2  # of anna and of cara: under an older generation the first in turn do not yield
    assert {answer.recipient for answer in answers} == {BERT.key}


def request_of(device: r.Device, room: RoomId, time: int, digest: bytes) -> RosterRequest:
    content = context(ROSTER_REQUEST_LABEL, room, device.key, time, digest)
    return RosterRequest(device.key, time, digest, sign(device.seed, ROSTER_REQUEST_LABEL, content))


def after_a_removal() -> tuple[World, RoomId, MemberRoom, TagPlan]:
    """Anna's room, in which dora was removed, and the plan of the generation that dora still has the keys of."""
    world = World()
    room, (anna, _, _, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    there = anna.member(room)
    assert there is not None
    old = there.sending_keys(world.wall)
    remove(world, room, anna, dora)
    assert old is not None
    start = there.epoch_start(world.wall)
    plan = next(plan for plan in there.tag_plans(start, world.wall) if plan.keys.generation == old.generation)
    assert plan.keys != there.sending_keys(world.wall)
    return world, room, there, plan


def say(world: World, there: MemberRoom, plan: TagPlan, body: RosterRequest | AnswerChunk) -> None:
    inner = Inner(EnvelopeKind.SEALED, NO_HINT, SEALED_BODIES.encode(body))
    there.envelope_opened(plan, inner, world.now, world.wall)


def test_who_was_removed_cannot_pretend_that_a_straggler_was_answered() -> None:
    world, room, there, plan = after_a_removal()
    newest = there.sending_keys(world.wall)
    assert newest is not None
    pretended = AnswerChunk(BERT.key, bytes(8), 0, 1, bytes(1_200))
    say(world, there, plan, request_of(BERT, room, int(world.wall), bytes(32)))
    assert "roster-answer" in there.next_deadlines(world.now, world.wall)
    say(world, there, plan, pretended)
    assert "roster-answer" in there.next_deadlines(world.now, world.wall)
    say(world, there, dataclasses.replace(plan, keys=newest), pretended)  # a member's word
    assert "roster-answer" not in there.next_deadlines(world.now, world.wall)


def test_who_was_removed_cannot_keep_the_others_from_asking_by_repeating_their_question() -> None:
    world, room, there, plan = after_a_removal()
    stragglers = there._doubts.stragglers
    asked = request_of(BERT, room, int(world.wall), there.roster.digest())
    stragglers.spoke(plan.keys, world.now)
    say(world, there, plan, asked)
    assert stragglers.may_ask(world.now + ROSTER_ASK_DOUBT_SECONDS)  # bert has asked for all of us
    world.pass_time(ROSTER_ASK_DOUBT_SECONDS)
    stragglers.spoke(plan.keys, world.now)
    look_at = stragglers._look_at
    say(world, there, plan, asked)
    assert stragglers._heard == plan.keys
    assert stragglers._look_at == look_at
    say(world, there, plan, request_of(BERT, room, int(world.wall), there.roster.digest()))
    assert stragglers._heard is None


def test_the_first_in_turn_answer_a_straggler_and_the_others_yield() -> None:
    wire = Wire()
    devices = [r.Device(f"member {number}") for number in range(ROSTER_ANSWER_ANYWAY + 3)]
    members = members_of(wire, *devices)
    asker, *others = members
    keys = others[0].secrets.sending(others[0].state, others[0].start)
    assert keys is not None
    body = request_of(asker.device, asker.room.room, int(wire.wall), bytes(32))
    pretended = AnswerChunk(asker.device.key, bytes(8), 0, 1, bytes(1_200))
    other_keys = derive_epoch_keys(bytes(32), keys.generation + 1, 600)
    left = {False: 0, True: 0}
    for member in others:
        assert member.catch_up.asked(body, keys, member.room, member.state, member.me, wire.now, wire.wall)
        for under in (other_keys, keys):
            member.catch_up.receive(pretended, under, member.room, member.secrets, member.me, wire.now, is_behind=True)
            left[under is keys] += member.catch_up.next_due() is not None
    assert left == {False: len(others), True: ROSTER_ANSWER_ANYWAY}


def test_a_question_of_another_hour_is_none() -> None:
    wire = Wire()
    anna, _ = members_of(wire, ANNA, BERT)
    keys = anna.secrets.sending(anna.state, anna.start)
    assert keys is not None
    for seconds, counts in ((-4_000, False), (4_000, False), (-1_000, True), (-1_001, False), (-1_000, False)):
        body = request_of(BERT, anna.room.room, int(wire.wall) + seconds, bytes(32))
        asks = anna.catch_up.asked(body, keys, anna.room, anna.state, anna.me, wire.now, wire.wall)
        assert asks == counts


@pytest.mark.parametrize("now", [0.1, 0.3, 3.7, 19.3, 41.1, 59.9])
def test_a_first_question_is_answered_also_when_the_clock_has_just_started(now: float) -> None:
    """A monotonic clock may start at zero; so did a sum that rounding made greater than ``now``."""
    wire = Wire()
    anna, _ = members_of(wire, ANNA, BERT)
    keys = anna.secrets.sending(anna.state, anna.start)
    assert keys is not None
    for place in range(200):
        lag = CatchUp(anna.room.room, anna.sessions)
        body = request_of(BERT, anna.room.room, int(wire.wall), bytes(32))
        lag.asked(body, keys, anna.room, anna.state, anna.me, now + place / 997, wire.wall)
        assert lag.next_due() is not None, place


def test_three_rosters_become_one_though_one_member_answers_at_a_time() -> None:
    """Each of three lacks what one other filed; whoever asks hears of one of the two."""
    world = World()
    room, (anna, bert, cara, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    nodes = (anna, bert, cara, dora)
    for speaker in nodes[:3]:
        world.weather = Apart(world, (speaker.device.name,))  # nobody hears it
        speaker.invite(room)
        world.settle()
    world.weather = CALM
    assert len(digests(room, *nodes)) == 4
    dora.crash()  # it asks soon after its start, and nobody else for an hour
    # A question a minute until it has all, and one more, whose answer shows it what the first to answer lacks by now.
    world.pass_time(6 * ROSTER_ASK_DOUBT_SECONDS)
    assert len(digests(room, *nodes)) == 1
