"""Messages between members with real sessions: each once, in order, split, kept waiting, sealed again."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from railgun.core.conversation import ReceiveOutcome, read_message
from railgun.core.group_sessions import Encrypted
from railgun.core.persistence import Write
from railgun.crypto.message_ids import message_id
from railgun.crypto.signing import sign
from railgun.errors import CryptoError, MalformedInput, PeerError, UsageError
from railgun.limits import (
    KEY_REQUEST_TIMES_MAX,
    MESSAGE_PARENTS_MAX,
    MESSAGES_REMEMBERED_MAX,
    RECENT_MESSAGES_MAX,
    SESSION_MESSAGES_MAX,
    TEXT_BYTES_MAX,
    UNKNOWN_SESSION_ENVELOPES_MAX,
)
from railgun.types import EnvelopeKind, MessageId, RoomId, SizeClass
from railgun.wire import cbor
from railgun.wire.content import (
    PARENTED,
    Content,
    DeleteContent,
    EditContent,
    FileOfferContent,
    HeadsContent,
    ReplyContent,
    TextContent,
    TypingContent,
    UnsupportedContent,
)
from railgun.wire.pairwise import PAIRWISE_BODIES, PAIRWISE_LABEL, PairwiseBody, pairwise_content
from railgun.wire.sealed import SEALED_BODIES, KeyRequest
from tests.support import rosters as r
from tests.support.members import Member, Wire, room_of

ANNA, BERT, CARA = (r.Device(name) for name in ("anna", "bert", "cara"))


@pytest.fixture
def room() -> tuple[Wire, Member, Member]:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    return wire, anna, bert


def session_of(member: Member) -> bytes:
    own = member.conversation.sessions._current()
    assert own is not None
    return own.session_id


def test_every_content_arrives_as_it_was_said(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    first = anna.say("hello").message_id
    contents: list[Content] = [
        ReplyContent(first, "an answer"),
        EditContent(first, "hello!"),
        DeleteContent(first),
        FileOfferContent("a.png", "image/png", 12_345, bytes(32)),
        UnsupportedContent(77, cbor.encode([77, "from the future"])),
        TypingContent(True),
        HeadsContent((first,)),
    ]
    for content in contents:
        anna.say(content)
    wire.settle()
    heard = [message.content for message in bert.heard[1:]]
    assert [dataclasses.replace(c, parents=()) if isinstance(c, PARENTED) else c for c in heard] == contents


def test_a_replayed_message_is_dropped_also_after_a_restart(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    anna.say("once")
    wire.settle()
    again = bert.restarted()
    for member in (bert, again):
        before = len(member.heard)
        for envelope in wire.envelopes:
            member.try_to_read(envelope)
        assert len(member.heard) == before
        assert any(result.outcome is ReceiveOutcome.DUPLICATE for result in member.results)


def test_own_messages_that_come_back_are_dropped(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, _ = room
    anna.say("mine")
    wire.settle()
    assert anna.texts == []
    stored = anna.disk.rows("messages")
    assert [read_message(MessageId(key[32:]), value).author for key, value in stored] == [ANNA.key]


def test_a_message_sealed_again_has_the_same_id_and_is_heard_once(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    sent = anna.say("once")
    wire.settle()
    request = anna.conversation.outbox.seal_again(sent.message_id)
    assert request is not None
    assert message_id(ANNA.key, request.body) == sent.message_id
    anna.publish([request])
    wire.settle()
    assert bert.texts == ["once"]
    anna.disk.commit(anna.conversation.outbox.settle(sent.message_id))
    assert anna.conversation.outbox.seal_again(sent.message_id) is None
    assert anna.conversation.outbox.settle(sent.message_id) == ()


def test_typing_is_neither_kept_nor_sealed_again(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    sent = anna.say(TypingContent(True))
    wire.settle()
    assert sent.requests[-1].reference is None
    assert sent.requests[-1].size_class is SizeClass.SMALL
    assert anna.disk.rows("messages") == bert.disk.rows("messages") == []
    assert anna.conversation.heads == bert.conversation.heads == ()


def test_text_names_the_newest_messages_that_its_author_had_seen(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    one, two = anna.say("one"), bert.say("two")
    wire.settle()
    three = bert.say("three")
    wire.settle()
    content = anna.heard[-1].content
    assert isinstance(content, TextContent)
    assert set(content.parents) == {one.message_id, two.message_id}
    assert anna.conversation.heads == bert.conversation.heads == (three.message_id,)


def test_parents_are_bounded(room: tuple[Wire, Member, Member]) -> None:
    _, anna, bert = room
    for index in range(RECENT_MESSAGES_MAX + 4):
        bert.conversation._note(MessageId(bytes([index]) * 16), TextContent("x"), 0.0)
    assert len(bert.conversation.heads) == RECENT_MESSAGES_MAX
    prepared = bert.prepare(TextContent("y"))
    row = prepared.writes[-2].value
    assert row is not None
    content = read_message(prepared.message_id, row).content
    assert isinstance(content, TextContent)
    assert len(content.parents) == MESSAGE_PARENTS_MAX
    assert anna.texts == []


def test_of_old_messages_the_store_knows_and_memory_does_not(room: tuple[Wire, Member, Member]) -> None:
    _, _, bert = room
    conversation, asked = bert.conversation, []

    class Archive:
        """Holds everything."""

        def find(self, room_id: RoomId, name: MessageId) -> bytes | None:
            asked.append(name)
            return b"a row"

    conversation.archive = Archive()  # type: ignore[assignment]
    names = [MessageId(index.to_bytes(16, "big")) for index in range(MESSAGES_REMEMBERED_MAX + 100)]
    for before, name in itertools.pairwise(names):
        conversation._note(name, TextContent("x", (before,)), 1.0)
    assert len(conversation._recent) == len(conversation._named) == MESSAGES_REMEMBERED_MAX
    assert conversation.knows(names[-1])
    assert asked == []
    assert conversation.knows(names[1])
    assert asked == [names[1]]


def test_a_parent_that_never_came_is_named(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    anna.say("heard")
    wire.settle()
    lost = anna.say("lost")
    bert.read = len(wire.envelopes)
    anna.say("found")
    wire.pass_time(5)
    wire.settle()
    assert bert.results[-1].missing == (lost.message_id,)


def test_a_session_is_renewed_by_count_age_and_removal() -> None:
    wire = Wire()
    anna, bert, cara = room_of(wire, ANNA, BERT, CARA)
    bert.say("first")
    by_count = session_of(bert)
    for index in range(SESSION_MESSAGES_MAX - 1):
        bert.say(f"{index}")
    assert session_of(bert) == by_count
    bert.say("one too many")
    assert session_of(bert) != by_count
    wire.settle()
    by_age = session_of(bert)
    wire.pass_time(86_400)
    bert.say("a day later")
    assert session_of(bert) != by_age
    wire.settle()
    by_removal = session_of(bert)
    anna.remove(cara)
    wire.settle()
    bert.say("without her")
    assert session_of(bert) != by_removal
    wire.settle()
    assert len(anna.texts) == len(set(anna.texts)) == SESSION_MESSAGES_MAX + 3
    assert len(cara.texts) == SESSION_MESSAGES_MAX + 2


def test_in_large_rooms_a_session_lasts_longer(room: tuple[Wire, Member, Member]) -> None:
    _, _, bert = room
    for index in range(50):
        r.add(bert.room, ANNA, r.Device(f"extra {index}"))
    bert.prepare(TextContent("first"))
    session = session_of(bert)
    for _ in range(SESSION_MESSAGES_MAX + 5):
        bert.prepare(TypingContent(True))
    assert session_of(bert) == session


def test_keys_go_out_only_when_their_device_speaks_and_once_to_each(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    first = bert.say("one")
    assert [request.kind for request in first.requests] == [EnvelopeKind.PAIRWISE, EnvelopeKind.GROUP]
    assert first.requests[0].size_class is SizeClass.MEDIUM
    second = bert.say("two")
    assert [request.kind for request in second.requests] == [EnvelopeKind.GROUP]
    wire.settle()
    assert anna.texts == ["one", "two"]


def test_a_key_for_many_devices_is_packed(room: tuple[Wire, Member, Member]) -> None:
    _, _, bert = room
    for index in range(50):
        r.add(bert.room, ANNA, r.Device(f"extra {index}"))
        bert.room.insert_prekey(r.Device(f"extra {index}").record)
    packed = [request for request in bert.prepare(TextContent("all")).requests if request.kind is EnvelopeKind.PAIRWISE]
    assert [request.size_class for request in packed] == [SizeClass.LARGE, SizeClass.LARGE]
    assert [len(PAIRWISE_BODIES.decode(request.body).items) for request in packed] == [41, 10]


def test_a_message_waits_for_its_key_and_the_key_is_asked_for(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    sent = bert.prepare(TextContent("patience"))
    bert.disk.commit(sent.writes)
    bert.publish(sent.requests[1:])
    wire.settle()
    assert anna.conversation.next_key_request_at() == pytest.approx(wire.now + 1)
    anna.try_to_read(wire.envelopes[-1])
    outcomes = [result.outcome for result in anna.results[-2:]]
    assert outcomes == [ReceiveOutcome.WAITING, ReceiveOutcome.DUPLICATE]
    restarted = anna.restarted(wire)
    wire.members.remove(anna)
    wire.pass_time(2)
    wire.settle()
    assert restarted.texts == ["patience"]
    assert restarted.conversation._asked == {}
    assert not [key for key, _ in restarted.disk.rows("inbound_sessions") if key[32:33] == b"w"]


def test_what_never_gets_its_key_is_given_up_and_bounded(room: tuple[Wire, Member, Member]) -> None:
    wire, _, bert = room
    for index in range(UNKNOWN_SESSION_ENVELOPES_MAX + 3):
        result = bert.conversation.receive_group(b"unknown!", b"%d" % index, bert.state, wire.now, wire.wall)
        bert.disk.commit(result.writes)
    waiting = [key for key, _ in bert.disk.rows("inbound_sessions") if key[32:33] == b"w"]
    assert len(waiting) == UNKNOWN_SESSION_ENVELOPES_MAX
    requests = []
    for round_number in range(2 * KEY_REQUEST_TIMES_MAX):
        writes, request, _ = bert.conversation.key_requests_due(wire.now + 1e6 * (round_number + 1), wire.wall, None)
        bert.disk.commit(writes)
        requests += [request] if request else []
    assert len(requests) == KEY_REQUEST_TIMES_MAX
    assert bert.conversation.next_key_request_at() is None
    assert not [key for key, _ in bert.disk.rows("inbound_sessions") if key[32:33] == b"w"]


def test_a_newcomer_who_asks_gets_a_session_from_the_next_message_on(room: tuple[Wire, Member, Member]) -> None:
    wire, _, bert = room
    hint = bert.say("before").requests[-1].hint
    wire.settle()
    r.add(bert.room, ANNA, CARA)
    cara = Member(wire, CARA)
    cara._enter(bert.room, bert.secrets)
    asked = SEALED_BODIES.decode(cara.conversation.sessions.request([hint], [], CARA.record, wire.wall).body)
    assert isinstance(asked, KeyRequest)
    assert asked.prekey is not None
    bert.room.insert_prekey(asked.prekey)
    now, wall = wire.now, wire.wall
    _, requests = bert.conversation.receive_key_request(asked, bert.state, bert.room.bundle, now, wall)
    assert len(requests) == 1
    assert bert.conversation.receive_key_request(asked, bert.state, bert.room.bundle, now, wall)[1] == []
    assert bert.conversation.sessions._given[session_of(bert)] == {ANNA.key: 0, CARA.key: 1}
    cara.take(cara.conversation.receive_pairwise(requests[0].body, cara.state, cara.room.bundle, now, wall))
    cara.read = len(wire.envelopes)
    for envelope in wire.envelopes:
        cara.try_to_read(envelope)
    bert.say("after")
    cara.pull()
    assert cara.texts == ["after"]


def test_long_content_is_split_and_put_together_across_a_restart(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    text = "long " * 20_000
    bert.read = len(wire.envelopes)
    first = len(wire.envelopes)
    sent = anna.say(text)
    parts = [request for request in sent.requests if request.kind is EnvelopeKind.GROUP]
    assert [request.size_class for request in parts] == [SizeClass.LARGE, SizeClass.LARGE]
    assert parts[0].reference == sent.message_id
    *_, one, two = wire.envelopes[first:]
    bert.try_to_read(two)
    assert bert.results[-1].outcome is ReceiveOutcome.PARTIAL
    later = bert.restarted()
    later.try_to_read(two)
    assert later.results[-1].outcome is ReceiveOutcome.DUPLICATE
    later.try_to_read(one)
    assert later.texts == [text]
    assert later.heard[-1].message_id == sent.message_id
    assert not [key for key, _ in later.disk.rows("inbound_sessions") if key[32:33] == b"p"]
    assert len(later.disk.rows("messages")) == 1


def test_text_beyond_the_bound_is_refused(room: tuple[Wire, Member, Member]) -> None:
    _, anna, _ = room
    with pytest.raises(ValueError, match="expected"):
        anna.prepare(TextContent("x" * (TEXT_BYTES_MAX + 1)))
    with pytest.raises(UsageError, match="do not fit"):
        anna.prepare(TextContent("x" * 40), SizeClass.SMALL)


def test_nonsense_under_a_good_session_is_refused_once_and_for_all(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    anna.say("hello")
    wire.settle()
    garbage: Encrypted = anna.conversation.sessions.encrypt(b"\xff nonsense")
    for expected in (ReceiveOutcome.REFUSED, ReceiveOutcome.DUPLICATE):
        result = bert.conversation.receive_group(garbage.hint, garbage.message, bert.state, wire.now, wire.wall)
        assert result.outcome is expected
    altered = garbage.message[:-1] + bytes([garbage.message[-1] ^ 1])
    result = bert.conversation.receive_group(garbage.hint, altered, bert.state, wire.now, wire.wall)
    assert result.outcome is ReceiveOutcome.REFUSED


def test_a_damaged_row_is_told(room: tuple[Wire, Member, Member]) -> None:
    _, anna, _ = room
    anna.disk.commit([Write("outbox", anna.room.room + bytes(16), b"\xff")])
    with pytest.raises(MalformedInput):
        anna.restarted()
    with pytest.raises(MalformedInput):
        read_message(MessageId(bytes(16)), b"\xa0")


def test_a_message_of_a_room_that_one_is_not_in_cannot_be_prepared(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    anna.remove(bert)
    wire.settle()
    assert bert.state.member(BERT.key) is None
    with pytest.raises(UsageError, match="not a member"):
        bert.conversation.prepare_send(
            TextContent("?"),
            state=bert.state,
            generation=bert.state.generations[0],
            bundle_of=bert.room.bundle,
            wall=wire.wall,
        )


def test_a_session_belongs_to_the_device_that_brought_it(room: tuple[Wire, Member, Member]) -> None:
    """Who was given a session's key cannot pass it on as its own, nor alter what carries it."""
    wire, anna, bert = room
    sent = bert.say("mine")
    wire.settle()
    r.add(anna.room, ANNA, CARA)
    body = PAIRWISE_BODIES.decode(sent.requests[0].body)
    content = pairwise_content(anna.room.room, CARA.key, body.made, body.items)
    stolen = PairwiseBody(CARA.key, body.made, body.items, sign(CARA.seed, PAIRWISE_LABEL, content))
    anna.conversation.sessions.pairwise._taken.clear()
    with pytest.raises(CryptoError):
        receive(anna, stolen)
    for altered in (
        dataclasses.replace(body, signature=bytes(64)),
        dataclasses.replace(body, author=CARA.key),
        dataclasses.replace(body, items=(dataclasses.replace(body.items[0], first=not body.items[0].first),)),
    ):
        with pytest.raises(PeerError, match="pairwise body"):
            receive(anna, altered)
    assert bert.conversation.sessions._keys
    key = bert.conversation.sessions._key_for(session_of(bert), ANNA.key)
    with pytest.raises(PeerError, match="someone else"):
        anna.conversation.sessions.take_key(CARA.key, key, wire.wall)
    assert anna.conversation.sessions.take_key(BERT.key, key, wire.wall) == (None, [])


def receive(member: Member, body: PairwiseBody) -> None:
    data = PAIRWISE_BODIES.encode(body)
    member.conversation.receive_pairwise(data, member.state, member.room.bundle, member.wire.now, member.wire.wall)


def test_a_new_session_starts_when_someone_left_though_no_generation_follows_yet() -> None:
    wire = Wire()
    _, bert, cara = room_of(wire, ANNA, BERT, CARA)
    bert.say("to all")
    session = session_of(bert)
    r.leave(cara.room, CARA)
    bert.room.insert_all(cara.room.export())
    bert.say("to those who stayed")
    assert session_of(bert) != session
    assert CARA.key not in bert.conversation.sessions._given[session_of(bert)]
