"""A send that is repeated under its key, also after a crash, counts once."""

from __future__ import annotations

from railgun.core.conversation import Conversation
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import MessagePrepared, MessageReceipted
from railgun.core.room_port import RoomOutcome
from railgun.core.send_keys import TABLE, SendKeys
from railgun.errors import MalformedInput
from railgun.limits import SEND_KEYS_MAX
from railgun.types import MessageId, RoomId
from railgun.wire.content import TextContent
from tests.support import rosters as r
from tests.support.members import PICKLE_KEY, Disk, Wire, room_of
from tests.unit.core.test_member_room import generations_of, tools_of

ROOM = RoomId(bytes(32))


def prepared(outcome: RoomOutcome) -> MessagePrepared:
    (told,) = (item for item in outcome.notifications if isinstance(item, MessagePrepared))
    return told


class OneMember:
    """A room's member with a disk, and a crash."""

    def __init__(self) -> None:
        self.member = room_of(Wire(), r.Device("anna"), r.Device("bert"))[0]
        self.wall = self.member.wire.wall
        self.disk = Disk()
        self.disk.tables[TABLE] = {}
        self.start()

    def start(self) -> None:
        tools = tools_of(self.member)
        talk = Conversation(self.member.room.room, tools.me, tools.sessions, PICKLE_KEY)
        rows = self.disk.rows
        talk.load(rows("outbound_sessions"), rows("inbound_sessions"), rows("seen_indexes"), rows("outbox"), 0.0)
        self.room = MemberRoom(tools, r.copy_of(self.member.room), generations_of(self.member), talk)
        self.room.send_keys.load(self.disk.rows(TABLE))

    def send(self, text: str, key: bytes | None, *, crash: bool = False) -> RoomOutcome:
        outcome = self.room.send(TextContent(text), 7, self.wall, key=key)
        if not crash:
            self.disk.commit(outcome.writes)
        return outcome

    def receipted(self, part: bytes, receipts: int, of: int) -> None:
        outcome = self.room.receipts_grew(part, receipts, of, majority=True, complete=False, now=0.0)
        self.disk.commit(outcome.writes)


def test_the_same_key_leads_to_the_same_message_and_nothing_more_leaves() -> None:
    one = OneMember()
    first, again = one.send("hello", b"k"), one.send("hello", b"k")
    assert prepared(again) == prepared(first)
    assert first.requests
    assert not again.requests
    assert not again.writes


def test_other_keys_and_none_are_other_messages() -> None:
    one = OneMember()
    ids = {prepared(one.send("hello", key)).message_id for key in (b"k", b"l", None, None)}
    assert len(ids) == 4


def test_after_a_crash_the_key_still_leads_there_and_the_outbox_goes_on() -> None:
    one = OneMember()
    first = prepared(one.send("hello", b"k"))
    one.start()
    again = one.send("hello", b"k")
    assert prepared(again) == first
    assert not any(isinstance(item, MessageReceipted) for item in again.notifications), "receipts are still missing"
    waiting = [request.reference for request in one.room.resume(one.wall).requests]
    assert waiting.count(first.message_id) == 1


def test_what_was_not_committed_was_not_said() -> None:
    one = OneMember()
    one.send("hello", b"k", crash=True)
    one.start()
    assert one.send("hello", b"k").requests


def test_a_settled_send_tells_its_receipts_again() -> None:
    one = OneMember()
    text = "long " * 26_000  # two parts
    first = prepared(one.send(text, b"k"))
    assert len(first.parts) == 2
    for part, receipts in zip(first.parts, (5, 3), strict=True):
        one.receipted(part, receipts, 5)
    one.start()
    told = [item for item in one.send(text, b"k").notifications if isinstance(item, MessageReceipted)]
    assert [(item.message_id, item.receipts, item.of, item.majority) for item in told] == [
        (part, 3, 5, True) for part in first.parts
    ]


def test_the_oldest_keys_are_forgotten_on_disk_too() -> None:
    disk = Disk()
    disk.tables[TABLE] = {}
    keys = SendKeys(ROOM)
    for number in range(SEND_KEYS_MAX + 3):
        part = MessageId(number.to_bytes(16, "big"))
        disk.commit(keys.remember(b"%d" % number, part, (part,)))
    again = SendKeys(ROOM)
    again.load(disk.rows(TABLE))
    for held in (keys, again):
        assert len(held) == SEND_KEYS_MAX
        assert held.find(b"2") is None
        assert held.find(b"3") is not None
    assert not again.receipted(MessageId(bytes(16)), 3, 5)


def test_a_damaged_row_is_refused() -> None:
    try:
        SendKeys(ROOM).load([(ROOM + bytes(16), b"\xa1\x00\x01")])
    except MalformedInput:
        return
    raise AssertionError("a damaged row was taken")
