"""A device restored from a copy while its original went on: no key serves twice, and the room goes on."""

from __future__ import annotations

import pytest

from railgun.core.group_sessions import INBOUND, OUTBOUND, retired_writes
from railgun.errors import MalformedInput
from tests.support import rosters as r
from tests.support.members import Member, Wire, room_of

ANNA, BERT = (r.Device(name) for name in ("anna", "bert"))


@pytest.fixture
def room() -> tuple[Wire, Member, Member]:
    wire = Wire()
    anna, bert = room_of(wire, ANNA, BERT)
    anna.say("one")
    bert.say("two")
    wire.settle()
    return wire, anna, bert


def restored_from(member: Member, wire: Wire) -> Member:
    member.disk = member.disk.copy()
    member.disk.commit(retired_writes(member.disk.rows(OUTBOUND)))
    wire.members.remove(member)
    return member.restarted(wire)


def session_used(member: Member) -> tuple[bytes, int]:
    own = member.conversation.sessions._current()
    assert own is not None
    return own.session_id, own.next_index


def test_no_index_is_used_twice_though_the_original_went_on(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    copy = bert.disk.copy()
    bert.say("three, after the copy")
    wire.settle()
    assert anna.texts[-1] == "three, after the copy"
    before, _ = session_used(bert)
    bert.disk = copy
    restored = restored_from(bert, wire)
    assert restored.conversation.sessions._current() is None
    restored.say("three, once more")
    after, next_index = session_used(restored)
    assert (after != before, next_index) == (True, 1)
    wire.settle()
    wire.pass_time(1.5)
    wire.settle()
    assert anna.texts[-1] == "three, once more"


def test_without_retiring_the_same_index_would_serve_twice(room: tuple[Wire, Member, Member]) -> None:
    wire, _, bert = room
    copy = bert.disk.copy()
    bert.say("three, after the copy")
    used = session_used(bert)
    bert.disk = copy
    wire.members.remove(bert)
    again = bert.restarted(wire)
    again.say("three, once more")
    assert session_used(again) == used


def test_what_others_say_is_read_on(room: tuple[Wire, Member, Member]) -> None:
    wire, anna, bert = room
    inbound = bert.disk.rows(INBOUND)
    restored = restored_from(bert, wire)
    assert restored.disk.rows(INBOUND) == inbound
    anna.say("under the session that bert had")
    wire.settle()
    assert restored.texts[-1] == "under the session that bert had"


def test_no_pairwise_session_and_no_pickle_to_send_with_is_left(room: tuple[Wire, Member, Member]) -> None:
    _, _, bert = room
    bert.disk.commit(retired_writes(bert.disk.rows(OUTBOUND)))
    rows = bert.disk.rows(OUTBOUND)
    assert {key[32:33] for key, _ in rows} <= {b"o", b"g", b"h", b"t"}
    assert all(len(value) < 256 for key, value in rows if key[32:33] == b"o")
    again = retired_writes(rows)
    bert.disk.commit(again)
    assert bert.disk.rows(OUTBOUND) == rows


def test_a_damaged_row_is_told() -> None:
    with pytest.raises(MalformedInput):
        retired_writes([(bytes(32) + b"o" + bytes(32), b"nonsense")])
