"""Who lost the word of a removal goes on under the old generation: it is told soon, and who was removed is not."""

from __future__ import annotations

import pytest

from railgun.core.room_notifications import RemovedFromRoom
from railgun.core.stragglers import Due, Stragglers
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.hashing import content_hash
from railgun.crypto.sealing import open_parsed, seal_envelope
from railgun.crypto.signing import sign
from railgun.errors import CryptoError
from railgun.limits import (
    ROSTER_ASK_DOUBT_SECONDS,
    STRAGGLERS_FIRST_SECONDS,
    STRAGGLERS_LOOK_TURN_SECONDS,
    STRAGGLERS_TURN_SECONDS,
)
from railgun.types import EnvelopeKind, RoomId, SizeClass
from railgun.wire.envelope import NO_HINT, parse_envelope
from railgun.wire.sealed import ROSTER_REQUEST_LABEL, SEALED_BODIES, AnswerChunk, KeyRequest, RosterRequest, context
from tests.support import rosters as r
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
    assert 5 <= len(of_bert) <= 2 * (10 + 1)  # under two generations


def test_who_was_removed_cannot_have_the_roster_sent_again_and_again_by_repeating_others() -> None:
    """A request for the roster holds no time: with the old generation's keys it can be said again, for its author."""
    world = World()
    room, (anna, bert, cara, dora) = room_of(world, ANNA, BERT, CARA, DORA)
    there, own = dora.member(room), bert.member(room)
    assert there is not None
    assert own is not None
    keys = there.generations.listening(there.state(world.wall), there.epoch_start(world.wall))[0]
    digest = own.roster.digest()
    signature = sign(BERT.seed, ROSTER_REQUEST_LABEL, context(ROSTER_REQUEST_LABEL, room, BERT.key, digest))
    said = SEALED_BODIES.encode(RosterRequest(BERT.key, digest, signature))
    dora.rooms.clear()
    remove(world, room, anna, dora)
    world.pass_time(10)
    place = len(world.envelopes)
    for number in range(60):
        sealed = seal_envelope(keys, EnvelopeKind.SEALED, NO_HINT, said, SizeClass.MEDIUM, number.to_bytes(12, "big"))
        world.envelopes.append(sealed)
        world.pass_time(1)
    answers = [body for body in sealed_since(world, cara, room, place) if isinstance(body, AnswerChunk)]
    assert 2 <= len(answers) <= 4
    assert {answer.recipient for answer in answers} == {BERT.key}


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
