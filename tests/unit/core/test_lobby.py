"""Lobbies: what a member grants, when it is its turn, and what a joiner believes."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from railgun.core import lobby, roster_state
from railgun.core.answers import Answerer, answer_chunks
from railgun.core.lobby import Joiner, LobbyHost, check_admission, lobby_secret, make_invite, turn_seconds
from railgun.core.roster import Roster
from railgun.core.roster_entries import sign_prekey
from railgun.crypto.epoch import derive_lobby_keys
from railgun.errors import CryptoError, NotMember, PeerError, UsageError
from railgun.limits import LOBBY_JOINS_MAX, LOBBY_TURN_SECONDS
from railgun.wire.invites import Invite, parse_invite
from railgun.wire.roster import RoomSettings
from railgun.wire.sealed import SEALED_BODIES, AnswerChunk, JoinPost
from tests.support import rosters as r
from tests.support.members import Member, Wire, room_of

ANNA, BERT, CARA, DORA = (r.Device(name) for name in ("anna", "bert", "cara", "dora"))


def posted(anna: Member, device: r.Device) -> JoinPost:
    joiner = Joiner(
        anna.invite(uses=3),
        dataclasses.replace(anna.me, device=device.key, seed=device.seed),
        device.certificate,
        anna.sessions,
    )
    request = joiner.post(anna.start, anna.wire.wall)
    assert request is not None
    assert joiner.post(anna.start, anna.wire.wall) is None
    body = SEALED_BODIES.decode(request.body)
    assert isinstance(body, JoinPost)
    return body


@pytest.fixture
def anna() -> Member:
    member = Member(Wire(), ANNA)
    member.create()
    return member


def test_a_post_is_checked_in_every_part(anna: Member) -> None:
    post = posted(anna, BERT)
    check_admission(post, anna.state, ANNA.key, anna.wire.wall)
    stolen = sign_prekey(CARA.seed, CARA.key, 1, bytes(1216), bytes(32))
    bad = {
        "room": dataclasses.replace(post, room=r.new_roster(ANNA).room),
        "device": dataclasses.replace(post, device=CARA.key),
        "certificate": dataclasses.replace(post, certificate=CARA.certificate),
        "proof": dataclasses.replace(post, proof=dataclasses.replace(post.proof, time=1)),
        "prekey": dataclasses.replace(post, prekey=stolen),
    }
    for wrong in bad.values():
        with pytest.raises(PeerError):
            check_admission(wrong, anna.state, ANNA.key, anna.wire.wall)
    with pytest.raises(PeerError, match="spent, expired or revoked"):
        check_admission(post, anna.state, ANNA.key, anna.wire.wall + 86_400)
    with pytest.raises(PeerError, match="not ours"):
        check_admission(post, anna.state, BERT.key, anna.wire.wall)


def test_who_is_out_stays_out(anna: Member) -> None:
    post = posted(anna, BERT)
    r.add(anna.room, ANNA, BERT)
    anna.remove(Member(anna.wire, BERT))
    with pytest.raises(PeerError, match="stays out"):
        check_admission(post, anna.state, ANNA.key, anna.wire.wall)


def test_turns_differ_by_joiner_and_cover_all_members() -> None:
    wire = Wire()
    members = room_of(wire, ANNA, BERT, CARA)
    state = members[0].state
    post = posted(members[0], DORA)
    turns = [turn_seconds(state, member.device.key, post) for member in members]
    assert sorted(turns) == [0.0, LOBBY_TURN_SECONDS, 2 * LOBBY_TURN_SECONDS]
    firsts = set()
    for index in range(20):
        other = dataclasses.replace(post, device=r.Device(f"joiner {index}").key)
        firsts.add(min(members, key=lambda member: turn_seconds(state, member.device.key, other)).device.name)
    assert firsts == {"anna", "bert", "cara"}


def test_posts_that_wait_are_bounded(anna: Member) -> None:
    host = LobbyHost(anna.me, anna.sessions)
    invite = anna.invite(uses=10_000)
    keys = anna.open_keys()[0]
    for index in range(LOBBY_JOINS_MAX + 3):
        device = r.Device(f"many {index}")
        me = dataclasses.replace(anna.me, device=device.key, seed=device.seed)
        request = Joiner(invite, me, device.certificate, anna.sessions).post(anna.start, anna.wire.wall)
        assert request is not None
        body = SEALED_BODIES.decode(request.body)
        assert isinstance(body, JoinPost)
        host.receive(body, keys, anna.state, 0.0, anna.wire.wall)
    assert len(host._waiting) == LOBBY_JOINS_MAX
    assert host.next_due() == 0.0


def test_what_holds_no_longer_when_its_turn_comes_is_declined(anna: Member) -> None:
    post = posted(anna, BERT)
    anna.host.receive(post, anna.open_keys()[0], anna.state, anna.wire.now, anna.wire.wall)
    found = anna.host.due(anna.room, anna.secrets, anna.start, anna.entropy, anna.wire.now, anna.wire.wall + 90_000)
    assert found == []
    assert anna.host.declined_count == 1
    assert anna.host.next_due() is None


def test_a_full_room_declines_and_writes_nothing(anna: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby, "ROOM_DEVICES_MAX", 1)
    anna.host.receive(posted(anna, BERT), anna.open_keys()[0], anna.state, anna.wire.now, anna.wire.wall)
    place = anna.room.next_place(ANNA.key)
    due = anna.host.due(anna.room, anna.secrets, anna.start, anna.entropy, anna.wire.now, anna.wire.wall)
    assert (due, anna.host.declined_count) == ([], 1)
    assert anna.room.next_place(ANNA.key) == place


@pytest.mark.parametrize("what", ["the room filled up", "the answer became too large"])
def test_an_entry_that_was_filed_is_kept_and_spread_even_if_nobody_can_be_answered(
    anna: Member, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    post = posted(anna, BERT)
    anna.host.receive(post, anna.open_keys()[0], anna.state, anna.wire.now, anna.wire.wall)
    number, _ = anna.room.next_place(ANNA.key)
    if what == "the room filled up":
        monkeypatch.setattr(roster_state, "ROOM_DEVICES_MAX", 1)
    else:
        monkeypatch.setattr(lobby, "fits_an_answer", lambda roster: roster.next_place(ANNA.key)[0] == number)
    (admission,) = anna.host.due(anna.room, anna.secrets, anna.start, anna.entropy, anna.wire.now, anna.wire.wall)
    assert admission.requests == ()
    assert admission.entry is not None
    assert admission.writes
    assert anna.room.next_place(ANNA.key)[0] == number + 1
    assert anna.host.declined_count == 1


def test_a_joiner_believes_no_answer_from_outside_the_room(anna: Member) -> None:
    """Others who hold the link can seal to the lobby; only a member of the very room can make an answer."""
    invite = anna.invite(uses=2)
    joiner = Joiner(invite, Member(anna.wire, BERT).me, BERT.certificate, anna.sessions)
    prekey = anna.sessions.hpke_public_key(BERT.prekey_secret)
    secrets = anna.secrets.day_secrets(anna.state, anna.start)
    keys = joiner.keys(anna.start)
    mallory = Member(Wire(), CARA)
    mallory.create()
    r.add(mallory.room, CARA, BERT)

    def answer(author: Member, roster: Roster) -> AnswerChunk:
        answerer = Answerer(author.me, author.sessions, author.entropy)
        request = answer_chunks(answerer, BERT.key, prekey, roster, secrets, keys, anna.wire.wall)[0]
        body = SEALED_BODIES.decode(request.body)
        assert isinstance(body, AnswerChunk)
        return body

    with pytest.raises(CryptoError):
        joiner.receive(answer(mallory, mallory.room))
    with pytest.raises(PeerError, match="not a member"):
        joiner.receive(answer(anna, anna.room))
    r.add(anna.room, ANNA, BERT)
    with pytest.raises(PeerError, match="not a member"):
        joiner.receive(answer(mallory, anna.room))
    genuine = answer(anna, anna.room)
    assert joiner.receive(dataclasses.replace(genuine, recipient=CARA.key)) is None
    with pytest.raises(CryptoError):
        joiner.receive(dataclasses.replace(genuine, answer_id=bytes(8)))
    assert joiner.receive(genuine) is not None


def test_an_invite_is_kept_for_its_maker_and_for_who_joins_by_it(anna: Member) -> None:
    invite = anna.invite()
    kept = dict(anna.disk.rows("invites"))
    assert list(kept.values()) == [invite.seed]
    joiner = Joiner(invite, anna.me, ANNA.certificate, anna.sessions)
    write = joiner.writes()[0]
    assert write.value is not None
    assert parse_invite(write.value.decode()) == invite
    assert joiner.forgotten()[0].value is None
    assert repr(invite.seed) not in repr(joiner)
    assert lobby_secret(invite.seed) != invite.seed


def test_invites_need_sense_and_in_closed_rooms_an_admin(anna: Member) -> None:
    for uses, expires in ((0, anna.wire.wall + 9), (1, anna.wire.wall)):
        with pytest.raises(UsageError, match="at least one use"):
            make_invite(anna.room, anna.me, anna.entropy, uses=uses, expires=int(expires), wall=anna.wire.wall)
    closed = Member(Wire(), ANNA)
    closed.create(RoomSettings(closed=True))
    r.add(closed.room, ANNA, BERT)
    bert = dataclasses.replace(closed.me, device=BERT.key, seed=BERT.seed)
    with pytest.raises(NotMember, match="admin"):
        make_invite(closed.room, bert, closed.entropy, uses=1, expires=r.NOON * 2, wall=closed.wire.wall)


def out_post(anna: Member, invite: Invite, time: float) -> JoinPost:
    """Of bert, who is out and holds this link."""
    me = dataclasses.replace(anna.me, device=BERT.key, seed=BERT.seed)
    request = Joiner(invite, me, BERT.certificate, anna.sessions).post(anna.start, time)
    assert request is not None
    body = SEALED_BODIES.decode(request.body)
    assert isinstance(body, JoinPost)
    return body


@pytest.fixture
def without_bert(anna: Member) -> Member:
    r.add(anna.room, ANNA, BERT)
    anna.remove(Member(anna.wire, BERT))
    return anna


def test_who_is_out_is_answered_once_a_minute_whatever_it_posts(without_bert: Member) -> None:
    anna, answers = without_bert, 0
    links = [anna.invite(uses=3) for _ in range(2)]
    wall = anna.wire.wall
    for second in range(130):
        for link in links:
            body = out_post(anna, link, wall + second)
            keys = derive_lobby_keys(lobby_secret(link.seed), anna.start)
            with contextlib.suppress(PeerError):
                anna.host.receive(body, keys, anna.state, float(second), wall + second)
        answers += len(anna.host.due(anna.room, anna.secrets, anna.start, anna.entropy, float(second), wall + second))
    assert answers == 3


def test_who_is_out_needs_a_link_and_a_clock_to_be_told(without_bert: Member) -> None:
    """The lobby's secret is in the roster that it had; with a key of its own it could post as often as it liked."""
    anna = without_bert
    link = anna.invite(uses=3)
    keys = derive_lobby_keys(lobby_secret(link.seed), anna.start)
    own = dataclasses.replace(link, seed=bytes(32))
    with pytest.raises(PeerError, match="no invite"):
        anna.host.receive(out_post(anna, own, anna.wire.wall), keys, anna.state, 0.0, anna.wire.wall)
    for time in (anna.wire.wall - 7_200, anna.wire.wall + 7_200):
        with pytest.raises(PeerError, match="another time"):
            anna.host.receive(out_post(anna, link, time), keys, anna.state, 0.0, anna.wire.wall)
    assert anna.host.next_due() is None
    anna.host.receive(out_post(anna, link, anna.wire.wall), keys, anna.state, 0.0, anna.wire.wall)
    assert anna.host.next_due() == 0.0


def test_whom_another_shows_out_is_not_told_again_within_the_minute(without_bert: Member) -> None:
    anna = without_bert
    link = anna.invite(uses=3)
    keys = derive_lobby_keys(lobby_secret(link.seed), anna.start)
    anna.host.receive(out_post(anna, link, anna.wire.wall), keys, anna.state, 0.0, anna.wire.wall)
    anna.host.answered_by_another(BERT.key, keys, 1.0)
    assert anna.host.next_due() is None
    later = out_post(anna, link, anna.wire.wall + 30)
    with pytest.raises(PeerError, match="a moment ago"):
        anna.host.receive(later, keys, anna.state, 30.0, anna.wire.wall + 30)
    anna.host.receive(later, keys, anna.state, 62.0, anna.wire.wall + 62)
    assert anna.host.next_due() == 62.0
