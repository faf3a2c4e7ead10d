"""A room's promises, with real keys from end to end: who reads what, and who does not."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.core.conversation import ReceiveOutcome
from railgun.core.generations import OwnDevice
from railgun.core.roster_entries import sign_prekey
from railgun.crypto.epoch import day_of
from railgun.errors import CryptoError, PeerError
from railgun.types import SizeClass
from railgun.wire.content import ReactionContent
from railgun.wire.roster import RoomSettings
from tests.support import rosters as r
from tests.support.members import Member, Wire, room_of

ANNA, BERT, CARA, DORA = (r.Device(name) for name in ("anna", "bert", "cara", "dora"))


def test_members_who_joined_by_invite_hear_each_other() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    assert anna.state == bert.state == cara.state
    for member in (anna, bert, cara):
        member.say(f"hello from {member.device.name}")
        wire.settle()
    assert anna.texts == ["hello from bert", "hello from cara"]
    assert bert.texts == ["hello from anna", "hello from cara"]
    assert cara.texts == ["hello from anna", "hello from bert"]
    assert not anna.refused + bert.refused + cara.refused


def test_a_joiner_reads_nothing_from_before() -> None:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    wire.pass_time(86_400)
    anna.say("before, yesterday")
    wire.settle()
    wire.pass_time(86_400)
    anna.say("before, the same day")
    bert.say("before, by bert")
    wire.settle()
    link = anna.invite()
    wire.settle()
    cara = Member(wire, CARA)
    cara.join(link)
    wire.settle()
    wire.pass_time(60)
    wire.settle()
    assert len(cara.state.members) == 3
    day = day_of(cara.start)
    generation = cara.state.generations[0]
    assert cara.secrets.keys(generation, cara.start - 86_400) is None
    assert all(cara.secrets.keys(generation, start) is None for start in range(0, day * 86_400, 86_400))
    for envelope in wire.envelopes:
        cara.try_to_read(envelope)
    wire.pass_time(100)
    wire.settle()
    assert cara.texts == []
    anna.say("after")
    wire.settle()
    assert cara.texts == ["after"]
    assert "before, the same day" in bert.texts


def test_a_removed_member_reads_nothing_sent_by_anyone_who_has_seen_the_removal() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    for member in (anna, bert, cara):
        member.say("all of us")
    wire.settle()
    heard = len(cara.heard)
    anna.remove(cara)
    wire.settle()
    assert cara.device.key in bert.state.removed
    anna.say("without her, by anna")
    bert.say("without her, by bert")
    wire.settle()
    assert "without her, by anna" in bert.texts
    assert "without her, by bert" in anna.texts
    for _ in range(3):
        for envelope in wire.envelopes:
            cara.try_to_read(envelope)
        wire.pass_time(30)
        wire.settle()
    assert not any("without her" in text for text in cara.texts)
    assert len(cara.heard) == heard
    # Nor does she open their envelopes with all the keys that she holds, whatever her roster says.
    newest = [keys for keys in cara.open_keys() if keys.generation > 1]
    assert newest == []


def test_what_a_removed_member_says_is_refused() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    cara.say("a session first")
    wire.settle()
    behind = len(wire.envelopes)
    anna.remove(cara)
    wire.members.remove(cara)
    wire.settle()
    cara.say("still here?")
    wire.settle()
    assert "still here?" not in anna.texts + bert.texts
    assert behind < len(wire.envelopes)
    assert bert.results[-1].outcome is ReceiveOutcome.REFUSED


def test_a_spent_link_computes_no_room_tag() -> None:
    wire = Wire()
    anna = Member(wire, ANNA)
    anna.create()
    link = anna.invite(uses=1)
    bert = Member(wire, BERT)
    bert.join(link)
    wire.settle()
    wire.pass_time(10)
    wire.settle()
    assert len(bert.state.members) == 2
    cara = Member(wire, CARA)
    cara.join(link)
    wire.settle()
    wire.pass_time(600)
    cara.post()
    wire.settle()
    assert cara.roster is None
    room_tags = {keys.tag for keys in anna.open_keys() if keys.generation > 0}
    assert not room_tags & {keys.tag for keys in cara.open_keys()}
    assert anna.refused
    for envelope in wire.envelopes:
        cara.try_to_read(envelope)
    assert cara.roster is None


def test_an_expired_or_revoked_link_opens_nothing() -> None:
    wire = Wire()
    anna = Member(wire, ANNA)
    anna.create()
    link = anna.invite(seconds=100)
    wire.pass_time(101)
    bert = Member(wire, BERT)
    bert.join(link)
    wire.settle()
    wire.pass_time(10)
    wire.settle()
    assert bert.roster is None
    assert all(plan.generation > 0 for plan in anna.open_keys())


def test_in_a_closed_room_only_an_admin_answers() -> None:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT, settings=RoomSettings(closed=True))
    link = anna.invite()
    wire.settle()
    wire.members.remove(anna)
    cara = Member(wire, CARA)
    cara.join(link)
    wire.pass_time(60)
    wire.settle()
    assert cara.roster is None
    wire.members.append(anna)
    wire.settle()
    wire.pass_time(60)
    wire.settle()
    assert len(cara.state.members) == 3
    assert bert.state == anna.state


def test_only_one_member_answers_when_all_are_there() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    link = anna.invite()
    wire.settle()
    dora = Member(wire, DORA)
    dora.join(link)
    for _ in range(60):
        wire.settle()
        wire.pass_time(0.5)
    wire.settle()
    adds = [data for data in anna.room.export() if DORA.certificate in data]
    assert len(adds) == 1
    assert anna.state == bert.state == cara.state == dora.state


def test_two_members_who_answer_at_once_make_one_member() -> None:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    link = anna.invite()
    wire.settle()
    cara = Member(wire, CARA)
    cara.join(link)
    anna.pull()
    bert.pull()
    wire.pass_time(60)
    anna.act()
    bert.act()
    wire.settle()
    adds = [data for data in anna.room.export() if CARA.certificate in data]
    assert len(adds) == 2
    assert anna.state == bert.state == cara.state
    assert len(anna.state.members) == 3


def test_a_joiner_whose_answer_was_lost_asks_again_with_the_spent_link() -> None:
    wire = Wire()
    anna = Member(wire, ANNA)
    anna.create()
    link = anna.invite(uses=1)
    bert = Member(wire, BERT)
    bert.join(link)
    anna.pull()
    anna.act()
    lost = Member(wire, BERT)
    wire.members.remove(bert)
    wire.pass_time(600)
    lost.join(link)
    wire.settle()
    wire.pass_time(10)
    wire.settle()
    assert len(lost.state.members) == 2
    assert len([data for data in anna.room.export() if BERT.certificate in data]) == 1


def test_a_large_roster_takes_several_envelopes() -> None:
    wire = Wire()
    anna = Member(wire, ANNA)
    anna.create()
    for index in range(45):
        r.add(anna.room, ANNA, r.Device(f"extra {index}"))
    link = anna.invite()
    bert = Member(wire, BERT)
    before = len(wire.envelopes)
    bert.join(link)
    wire.settle()
    wire.pass_time(60)
    wire.settle()
    assert bert.state == anna.state
    assert len(bert.state.members) == 47
    assert len([e for e in wire.envelopes[before:] if len(e) == 65_536]) >= 2


def test_a_copied_state_reads_nothing_after_new_prekey_generation_and_sessions() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    for member in (anna, bert, cara):
        member.say("before")
    wire.settle()
    thief_wire = Wire()
    thief = bert.restarted(thief_wire)
    # The copy works: what is said before the device heals, it reads.
    anna.say("still readable")
    wire.settle()
    read_by(thief, wire)
    assert "still readable" in thief.texts
    # 1. The device gets a new prekey and drops the old one's secret.
    fresh = b"f" * 32
    account = bert.sessions.olm_new_fallback(bert.me.account, r.PICKLE_KEY)
    public, wall = bert.sessions.hpke_public_key(fresh), int(wire.wall)
    bert.record = record = sign_prekey(BERT.seed, BERT.key, wall, public, account.fallback_key)
    bert.disk.commit(bert.room.insert_prekey(record))
    bert.me = dataclasses.replace(bert.me, account=account.pickle, issued=record.issued)
    bert.reopened(fresh, BERT.prekey_secret)
    bert.spread([], (record,))
    wire.settle()
    # 2. An admin makes a new generation. 3. Each sender's next session follows from it.
    anna.renew()
    wire.settle()
    bert.reopened(fresh)
    for member in (anna, bert, cara):
        member.say(f"healed, by {member.device.name}")
    wire.settle()
    assert {"healed, by anna", "healed, by cara"} <= set(bert.texts)
    read_by(thief, wire)
    assert not any("healed" in text for text in thief.texts)
    assert all(keys.generation <= 1 for keys in thief.open_keys())


def read_by(thief: Member, wire: Wire) -> None:
    """The thief tries all that ever travelled, several times over, at the room's own time."""
    thief.wire.wall, thief.wire.now = wire.wall, wire.now
    for _ in range(2):
        for envelope in wire.envelopes:
            thief.try_to_read(envelope)


def test_a_device_that_missed_a_generation_asks_for_it() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    anna.renew()
    entry = anna.room.export()
    bert.room.insert_all(entry)
    bert.read = len(wire.envelopes)
    missing = bert.secrets.missing(bert.state, bert.start)
    assert [generation.generation for generation in missing] == [2]
    keys = bert.secrets.listening(bert.state, bert.start)[0]
    assert keys.generation == 1
    request = bert.secrets.request(missing, bert.me)
    bert.publish([type(request)(request.kind, request.hint, request.body, request.size_class, None, keys)])
    wire.settle()
    assert bert.secrets.missing(bert.state, bert.start) == ()
    cara.say("under the second")
    wire.settle()
    assert "under the second" in bert.texts


def test_a_member_who_was_away_catches_up_on_who_came_and_went() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    anna.say("while all are here")
    wire.settle()
    wire.members.remove(bert)
    anna.remove(cara)
    wire.settle()
    dora = Member(wire, DORA)
    dora.join(anna.invite())
    wire.settle()
    wire.pass_time(60)
    wire.settle()
    assert len(dora.state.members) == 3
    wire.pass_time(7_200)
    anna.say("while bert was away")
    wire.settle()
    # Bert comes back when no relay holds what he missed, and without knowing the generation that others send under.
    bert.read = len(wire.envelopes)
    wire.members.append(bert)
    assert bert.state != anna.state
    bert.ask_for_roster()
    wire.settle()
    wire.pass_time(30)
    wire.settle()
    assert bert.state == anna.state == dora.state
    assert bert.secrets.missing(bert.state, bert.start) == ()
    dora.say("welcome back")
    bert.say("thank you")
    wire.settle()
    assert "welcome back" in bert.texts
    assert "thank you" in dora.texts
    assert "thank you" not in cara.texts


def test_two_sides_of_a_partition_merge_their_rosters() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    r.add(anna.room, ANNA, DORA)
    r.leave(cara.room, CARA)
    r.invite(bert.room, BERT, b"i" * 32)
    bert.ask_for_roster()
    wire.settle()
    wire.pass_time(60)
    wire.settle()
    assert DORA.key in bert.state.devices
    assert anna.state.invites != ()
    assert anna.room.digest() == bert.room.digest()


def test_requests_for_the_roster_by_strangers_and_equals_are_not_answered() -> None:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    bert.ask_for_roster()
    wire.settle()
    assert anna.catch_up.next_due() is None
    stranger = OwnDevice(CARA.key, CARA.seed, (CARA.prekey_secret,))
    keys = anna.open_keys()[0]
    request = bert.catch_up.request(anna.room, stranger, keys, wire.wall)
    with pytest.raises(PeerError, match="roster request"):
        anna.take_sealed(request.body, keys)


def test_a_strangers_requests_are_not_answered() -> None:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    anna.say("hello")
    wire.settle()
    stranger = Member(wire, CARA)
    stranger._enter(anna.room, anna.secrets)
    request = stranger.conversation.sessions.request([b"12345678"], [], None, wire.wall)
    with pytest.raises(PeerError, match="key request"):
        bert.take_sealed(request.body, bert.open_keys()[0])


def test_a_reaction_fits_the_smallest_envelope_and_short_text_can_be_made_to() -> None:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    sent = anna.say("hello, all of you")
    wire.settle()
    reaction = bert.say(ReactionContent(sent.message_id, "👍🏽"))
    assert reaction.requests[-1].size_class is SizeClass.SMALL
    wire.settle()
    assert anna.heard[-1].content == ReactionContent(sent.message_id, "👍🏽")
    small = anna.say("ok", SizeClass.SMALL)
    assert small.requests[-1].size_class is SizeClass.SMALL
    assert anna.say("ok", SizeClass.LARGE).requests[-1].size_class is SizeClass.LARGE
    wire.settle()
    assert bert.texts[-2:] == ["ok", "ok"]


def test_keys_stay_out_of_repr() -> None:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    shown = repr((anna.me, anna.secrets, anna.conversation.sessions, bert.joiner, anna.invite()))
    assert repr(ANNA.seed) not in shown
    assert repr(ANNA.prekey_secret) not in shown
    assert bert.joiner is not None
    assert repr(bert.joiner.invite.seed) not in shown


def test_a_wrong_prekey_opens_nothing() -> None:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    bert.reopened(b"w" * 32)
    anna.renew()
    wire.settle()
    assert any(isinstance(error, CryptoError) for error in bert.refused)
