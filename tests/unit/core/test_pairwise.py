"""Olm between the members of a room: first contact, replies, losses, and sessions that heal by themselves."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from railgun.core.pairwise import PairwiseSessions, Taken
from railgun.core.persistence import Write
from railgun.core.roster_entries import sign_prekey
from railgun.crypto.message_ids import pairwise_hint
from railgun.crypto.sealing import open_envelope
from railgun.errors import CryptoError, PeerError
from railgun.limits import (
    KEY_ANSWER_AGAIN_SECONDS,
    PAIRWISE_FRESH_SECONDS,
    PAIRWISE_HEAL_TIMES_MAX,
    PAIRWISE_SESSIONS_PER_DEVICE_MAX,
    SESSION_AGE_MAX_SECONDS,
)
from railgun.ports import EncryptedOlm
from railgun.types import EnvelopeKind, SizeClass
from railgun.wire.content import TextContent
from railgun.wire.pairwise import PAIRWISE_BODIES, PairwiseBody
from railgun.wire.sealed import HPKE_ADDED_BYTES, SEALED_BODIES, KeyRequest
from tests.support import rosters as r
from tests.support.members import Member, Wire, room_of

ANNA, BERT, CARA = (r.Device(name) for name in ("anna", "bert", "cara"))
KEY = r.SESSIONS.megolm_new(r.PICKLE_KEY).session_key


@pytest.fixture
def room() -> tuple[Wire, Member, Member]:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    for member in (anna, bert):  # as if they had not met yet
        pairwise(member)._held.clear()
        member.disk.commit(
            Write("outbound_sessions", key, None)
            for key, _ in member.disk.rows("outbound_sessions")
            if key[32:33] == b"d"
        )
    return wire, anna, bert


def pairwise(member: Member) -> PairwiseSessions:
    return member.conversation.sessions.pairwise


def tell(author: Member, to: Member, *, anew: bool = False) -> PairwiseBody:
    wire = author.wire
    writes, requests = pairwise(author).deliver(
        [(to.device.key, [KEY])], author.room.bundle, wire.wall, anew=anew, now=wire.now
    )
    author.disk.commit(writes)
    return PAIRWISE_BODIES.decode(requests[0].body)


def hear(member: Member, body: PairwiseBody) -> Taken | None:
    wire = member.wire
    taken = pairwise(member).take(PAIRWISE_BODIES.encode(body), member.state, member.room.bundle, wire.now, wire.wall)
    if taken is not None:
        member.disk.commit(taken.writes)
    return taken


def asked_of(wire: Wire, member: Member) -> list[KeyRequest]:
    """Key requests that were ever published, in order."""
    found = []
    for envelope in wire.envelopes:
        for keys in member.open_keys():
            try:
                inner = open_envelope(keys, envelope)
            except CryptoError:
                continue
            if inner.kind is EnvelopeKind.SEALED:
                body = SEALED_BODIES.decode(inner.body)
                found += [body] if isinstance(body, KeyRequest) else []
    return found


def test_first_messages_are_under_xwing_until_something_came_back(room: tuple[Wire, Member, Member]) -> None:
    _, anna, bert = room
    first, second = tell(bert, anna), tell(bert, anna)
    assert [item.first for item in (*first.items, *second.items)] == [True, True]
    assert len(first.items[0].message) > HPKE_ADDED_BYTES
    assert hear(anna, first) is not None
    assert hear(anna, second) is not None
    back = tell(anna, bert)
    assert not back.items[0].first
    assert hear(bert, back) is not None
    third = tell(bert, anna)
    assert not third.items[0].first
    assert hear(anna, third) is not None
    assert len(pairwise(anna)._held[BERT.key]) == len(pairwise(bert)._held[ANNA.key]) == 1


def test_both_may_start_at_once(room: tuple[Wire, Member, Member]) -> None:
    _, anna, bert = room
    ours, theirs = tell(bert, anna), tell(anna, bert)
    assert hear(anna, ours) is not None
    assert hear(bert, theirs) is not None
    for _ in range(4):
        one, two = tell(bert, anna), tell(anna, bert)
        assert not one.items[0].first
        assert hear(anna, one) is not None
        assert hear(bert, two) is not None


def test_what_comes_again_is_nothing_new(room: tuple[Wire, Member, Member]) -> None:
    _, anna, bert = room
    body = tell(bert, anna)
    assert hear(anna, body) is not None
    assert hear(anna, body) is None
    assert pairwise(anna).next_broken_at() is None


def test_what_is_for_others_is_passed_over(room: tuple[Wire, Member, Member]) -> None:
    _, anna, bert = room
    assert hear(bert, tell(bert, anna)) is None


def test_only_a_members_own_words_are_heard(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    body = tell(bert, anna)
    for forged in (
        dataclasses.replace(body, author=CARA.key),
        dataclasses.replace(body, signature=bytes(64)),
        dataclasses.replace(body, made=body.made + 1, items=(dataclasses.replace(body.items[0], hint=bytes(8)),)),
    ):
        try:
            assert hear(anna, forged) is None
        except PeerError:
            continue
    stranger = Member(wire, CARA)
    stranger._enter(bert.room, bert.secrets)
    with pytest.raises(PeerError, match="pairwise body"):
        hear(anna, tell(stranger, anna))
    assert pairwise(anna)._held == {}


def test_an_account_key_copied_into_another_certificate_hears_nothing(room: tuple[Wire, Member, Member]) -> None:
    """The context under Olm names both devices: what was meant for one is not taken by another of the same account."""
    _, anna, bert = room
    body = tell(bert, anna)
    pairwise(anna)._context = lambda author, recipient: bytes(32)  # type: ignore[method-assign]
    with pytest.raises(CryptoError):
        hear(anna, body)


def test_a_newer_bundle_starts_a_new_session(room: tuple[Wire, Member, Member]) -> None:
    _, anna, bert = room
    hear(anna, tell(bert, anna))
    hear(bert, tell(anna, bert))
    renew_bundle(anna, bert)
    fresh = tell(bert, anna)
    assert fresh.items[0].first
    assert hear(anna, fresh) is not None
    # And the other way round: who renewed its own uses no older session either.
    again = tell(anna, bert)
    assert not again.items[0].first
    assert hear(bert, again) is not None
    assert len(pairwise(anna)._held[BERT.key]) == 2


def renew_bundle(member: Member, *others: Member) -> None:
    account = member.sessions.olm_new_fallback(member.me.account, r.PICKLE_KEY)
    record = dataclasses.replace(member.record, issued=member.record.issued + 1)
    member.record = sign_prekey(
        member.device.seed, member.device.key, record.issued, record.prekey, account.fallback_key
    )
    member.me = dataclasses.replace(member.me, account=account.pickle, issued=record.issued)
    member.conversation.use_device(member.me)
    for holder in (member, *others):
        holder.disk.commit(holder.room.insert_prekey(member.record))


def test_sessions_of_one_device_are_bounded(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    for _ in range(PAIRWISE_SESSIONS_PER_DEVICE_MAX + 3):
        wire.pass_time(PAIRWISE_FRESH_SECONDS)
        assert hear(anna, tell(bert, anna, anew=True)) is not None
    for member, other in ((anna, BERT), (bert, ANNA)):
        assert len(pairwise(member)._held[other.key]) == PAIRWISE_SESSIONS_PER_DEVICE_MAX
        kept = [key for key, _ in member.disk.rows("outbound_sessions") if key[32:33] == b"d"]
        assert len(kept) == PAIRWISE_SESSIONS_PER_DEVICE_MAX


def test_a_device_is_not_started_over_with_too_often(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    hear(anna, tell(bert, anna))
    hear(bert, tell(anna, bert))
    assert [tell(bert, anna, anew=True).items[0].first for _ in range(3)] == [True, True, True]
    assert len(pairwise(bert)._held[ANNA.key]) == 2
    wire.pass_time(PAIRWISE_FRESH_SECONDS)
    tell(bert, anna, anew=True)
    assert len(pairwise(bert)._held[ANNA.key]) == 3


def test_a_device_restored_from_an_old_copy_is_started_over_with(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    anna.say("one")
    bert.say("two")
    wire.settle()
    old = bert.disk.copy()
    for _ in range(2):
        wire.pass_time(SESSION_AGE_MAX_SECONDS)
        anna.say("moves on")
        bert.say("moves on, too")
        wire.settle()
    bert.disk = old
    restored = bert.restarted(wire)
    wire.members.remove(bert)
    wire.pass_time(SESSION_AGE_MAX_SECONDS)
    anna.say("after the loss")
    wire.settle()
    assert "after the loss" not in restored.texts
    assert pairwise(restored).next_broken_at() == pytest.approx(wire.now + 1)
    wire.pass_time(1.5)
    wire.settle()
    assert restored.texts[-1] == "after the loss"
    assert pairwise(restored).next_broken_at() is None
    # What the restored one says goes through the same way.
    restored.say("and back")
    wire.settle()
    wire.pass_time(1.5)
    wire.settle()
    assert anna.texts[-1] == "and back"


def test_a_lost_key_is_asked_for_and_comes_over_a_new_session(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    sent = bert.prepare(TextContent("patience"))
    bert.disk.commit(sent.writes)
    bert.publish(sent.requests[1:])
    wire.settle()
    wire.pass_time(1.5)
    wire.settle()
    assert anna.texts == ["patience"]
    (request,) = asked_of(wire, anna)
    assert (len(request.hints), request.senders, request.prekey) == (1, (), ANNA.record)
    assert len(pairwise(bert)._held[ANNA.key]) == 2


def test_asking_in_vain_grows_rare_and_ends(room: tuple[Wire, Member, Member]) -> None:
    """Anna's account is lost for good: nothing that bert starts can work. They must not go on for ever."""
    wire, anna, bert = room
    lost = r.SESSIONS.olm_new_fallback(r.SESSIONS.olm_account_new(r.PICKLE_KEY).pickle, r.PICKLE_KEY)
    anna.me = dataclasses.replace(anna.me, account=lost.pickle)
    anna.conversation.use_device(anna.me)
    bert.say("unheard")
    wire.settle()
    before = len(wire.envelopes)
    for _ in range(400):
        wire.pass_time(60)
        wire.settle()
    assert pairwise(anna)._broken[BERT.key].times == PAIRWISE_HEAL_TIMES_MAX
    assert PAIRWISE_HEAL_TIMES_MAX < len(wire.envelopes) - before <= 6 * PAIRWISE_HEAL_TIMES_MAX
    assert pairwise(anna).next_broken_at() is None


def test_a_repeated_request_is_not_answered(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    bert.say("hello")
    wire.settle()
    hint = bert.say("again").requests[-1].hint
    wire.settle()

    def request_of(wall: float) -> KeyRequest:
        body = SEALED_BODIES.decode(anna.conversation.sessions.request([hint], [], ANNA.record, wall).body)
        assert isinstance(body, KeyRequest)
        return body

    def answered(body: KeyRequest) -> int:
        return len(bert.conversation.receive_key_request(body, bert.state, bert.room.bundle, wire.now, wire.wall)[1])

    old, new = request_of(wire.wall), request_of(wire.wall + 5)
    assert answered(new) == 1
    assert answered(new) == 0
    wire.pass_time(KEY_ANSWER_AGAIN_SECONDS)
    with pytest.raises(PeerError, match="old key request"):
        answered(old)
    with pytest.raises(PeerError, match="key request"):
        answered(dataclasses.replace(new, time=new.time + 1))
    wire.pass_time(200_000)
    with pytest.raises(PeerError, match="old key request"):
        answered(new)


def test_a_member_whose_bundle_never_came_brings_it_along(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    bert.room._prekeys.pop(ANNA.key)
    said = ["who are you?", "are you there?", "well then"]
    for text in said:
        assert [request.kind for request in bert.say(text).requests] == [EnvelopeKind.GROUP]
    wire.settle()
    wire.pass_time(1.5)
    wire.settle()
    assert sorted(anna.texts) == sorted(said), "whoever was a member when it was said reads it, from the first on"


def test_sessions_with_those_who_are_out_are_erased() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    for member in (anna, bert, cara):
        member.say("hello")
    wire.settle()
    anna.remove(cara)
    wire.settle()
    bert.disk.commit(bert.conversation.sessions.forget(bert.state, wire.wall))
    assert sorted(pairwise(bert)._held) == [ANNA.key]
    assert not [key for key, _ in bert.disk.rows("outbound_sessions") if key[32:65] == b"d" + CARA.key]


def test_sizes_of_what_carries_keys(room: tuple[Wire, Member, Member]) -> None:
    _, anna, bert = room
    first = tell(bert, anna)
    hear(anna, first)
    hear(bert, tell(anna, bert))
    later = tell(bert, anna)
    assert (len(first.items[0].message), len(later.items[0].message)) == (1_578, 336)
    writes, requests = pairwise(bert).deliver([(ANNA.key, [KEY])], bert.room.bundle, 0.0)
    assert requests[0].size_class is SizeClass.MEDIUM
    assert writes


def test_what_seats_bring_again_after_a_start_is_no_broken_session(room: tuple[Wire, Member, Member]) -> None:
    """Each start used to ask for new sessions, and the one that was needed a moment later had to wait for a minute."""
    wire, anna, bert = room
    anna.say("one")
    wire.settle()
    restarted = bert.restarted(wire)
    wire.members.remove(bert)
    restarted.read = 0
    wire.settle()
    assert pairwise(restarted).next_broken_at() is None
    assert restarted.texts == []


class Unspeakable:
    """The members' sessions, save that nothing can be said under the session of one pickle."""

    def __init__(self, pickle: bytes) -> None:
        self._pickle = pickle

    def __getattr__(self, name: str) -> Any:
        return getattr(r.SESSIONS, name)

    def olm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedOlm:
        if pickle == self._pickle:
            raise CryptoError
        return r.SESSIONS.olm_encrypt(pickle, pickle_key, plaintext)


def test_a_member_that_cannot_be_answered_keeps_nothing_from_the_others(
    room: tuple[Wire, Member, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever names an Olm key of small order in its message is heard, and cannot be spoken to."""
    wire, anna, bert = room
    (cara,) = room_of(Wire(), CARA)
    assert hear(anna, tell(bert, anna)) is not None
    (held,) = pairwise(anna)._held[BERT.key].values()
    monkeypatch.setattr(pairwise(anna), "_sessions", Unspeakable(held.pickle))
    bundles = {BERT.key: anna.room.bundle(BERT.key), CARA.key: cara.room.bundle(CARA.key)}
    _, requests = pairwise(anna).deliver([(BERT.key, [KEY]), (CARA.key, [KEY])], bundles.get, wire.wall)
    (item,) = PAIRWISE_BODIES.decode(requests[0].body).items
    assert item.hint == pairwise_hint(CARA.key, int(wire.wall))
    assert pairwise(anna).unreachable_count == 1
