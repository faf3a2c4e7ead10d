"""Room machines and new prekeys: when the room is told, and told again, and that old secrets leave every part."""

from __future__ import annotations

import types

import pytest

from railgun.core.generations import Generations, OwnDevice
from railgun.core.room import PREKEY_TELL_AGAIN_SECONDS, MemberRoom, RoomTools
from railgun.core.room_notifications import MessageReceived
from railgun.core.room_port import RoomOutcome, TagPlan, TagPurpose
from railgun.core.roster import Roster
from railgun.core.roster_entries import sign_prekey
from railgun.crypto.sessions import VodozemacSessions
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import EnvelopeKind
from railgun.wire.content import TextContent
from railgun.wire.envelope import Inner
from railgun.wire.roster import RoomSettings
from tests.support import rosters as r
from tests.support.members import CountingEntropy
from tests.support.room_changes import create_room

ANNA, BERT = r.Device("anna"), r.Device("bert")
NETWORK = NetworkParameters("lab", kind=NetworkKind.LAN, epoch_seconds=600, overlap_seconds=120)
NEW = b"n" * 32
WALL = float(r.NOON)
Rooms = tuple[MemberRoom, MemberRoom]


def tools_of(device: r.Device, *secrets: bytes) -> RoomTools:
    sessions = VodozemacSessions()
    held = secrets or (device.prekey_secret,)
    record = sign_prekey(device.seed, device.key, r.NOON + 10, sessions.hpke_public_key(held[0])) if secrets else None
    me = OwnDevice(device.key, device.seed, held)
    return RoomTools(me, NETWORK, sessions, CountingEntropy(device.name), b"p" * 32, record)


@pytest.fixture
def rooms() -> Rooms:
    """One room, as its two members hold it."""
    anna, bert = tools_of(ANNA), tools_of(BERT)
    start = r.NOON // 600 * 600
    roster, generations, writes = create_room(
        anna.me, ANNA.certificate, "room", RoomSettings(), anna.entropy, start, WALL
    )
    r.add(roster, ANNA, BERT)
    same = Roster(roster.room)
    same.insert_all(roster.export())
    held = Generations.load(
        roster.room, [(write.key, write.value or b"") for write in writes if write.table == "generations"]
    )
    return MemberRoom(anna, roster, generations), MemberRoom(bert, same, held)


def carry(outcome: RoomOutcome, to: MemberRoom, now: float) -> list[str]:
    """Bring all envelope bodies to another member; the texts that it reads."""
    keys = to.sending_keys(WALL)
    assert keys is not None
    plan = TagPlan(keys, 5, 0, TagPurpose.ROOM)
    texts = []
    for request in outcome.requests:
        answer = to.envelope_opened(plan, Inner(request.kind, request.hint, request.body), now, WALL)
        texts += [
            notification.message.content.text
            for notification in answer.notifications
            if isinstance(notification, MessageReceived) and isinstance(notification.message.content, TextContent)
        ]
    return texts


def test_a_new_prekey_is_told_once_and_then_sealed_under(rooms: Rooms) -> None:
    anna, bert = rooms
    assert "prekey" not in bert.next_deadlines(5.0, WALL)
    bert.use_tools(tools_of(BERT, NEW, BERT.prekey_secret))
    assert bert.next_deadlines(5.0, WALL)["prekey"] == 5.0
    told = bert.due("prekey", 5.0, WALL)
    assert "roster_entries" in {write.table for write in told.writes}
    assert "prekey" not in bert.next_deadlines(6.0, WALL)
    carry(told, anna, 6.0)
    assert anna.roster.prekey(BERT.key) == bert.roster.prekey(BERT.key) == VodozemacSessions().hpke_public_key(NEW)
    bert.use_tools(tools_of(BERT, NEW))  # the old secret goes
    assert carry(anna.send(TextContent("hello"), 1, WALL), bert, 7.0) == ["hello"]
    # The same again after a restart: what the room's roster holds need not be told.
    again = MemberRoom(tools_of(BERT, NEW), bert.roster, bert.generations, bert.conversation)
    assert "prekey" not in again.next_deadlines(8.0, WALL)


def test_who_seals_under_a_prekey_that_is_gone_is_told_again_but_not_all_the_time(rooms: Rooms) -> None:
    anna, bert = rooms
    bert.use_tools(tools_of(BERT, NEW))
    told = bert.due("prekey", 5.0, WALL)
    keys_alone = [request for request in told.requests if request.kind is EnvelopeKind.SEALED]
    carry(RoomOutcome(requests=keys_alone), anna, 5.0)
    assert anna.roster.prekey_record(BERT.key) is None  # his session's key arrived, what he said was lost
    assert carry(anna.send(TextContent("unreadable yet"), 1, WALL), bert, 6.0) == []
    due = bert.next_deadlines(6.0, WALL)["prekey"]
    assert due == 5.0 + PREKEY_TELL_AGAIN_SECONDS
    carry(bert.due("prekey", due, WALL), anna, due)
    assert "prekey" not in bert.next_deadlines(due, WALL)
    asked = bert.due("keys", due, WALL)
    assert asked.requests
    answer = RoomOutcome()
    keys = anna.sending_keys(WALL)
    assert keys is not None
    for request in asked.requests:
        plan = TagPlan(keys, 5, 0, TagPurpose.ROOM)
        answer.add(anna.envelope_opened(plan, Inner(request.kind, request.hint, request.body), due, WALL))
    assert carry(answer, bert, due + 1) == ["unreadable yet"]


def test_garbage_from_a_stranger_does_not_make_a_member_talk(rooms: Rooms) -> None:
    _, bert = rooms
    keys = bert.sending_keys(WALL)
    assert keys is not None
    plan = TagPlan(keys, 5, 0, TagPurpose.ROOM)
    bert.envelope_opened(plan, Inner(EnvelopeKind.SEALED, bytes(8), b"\xff" * 100), 5.0, WALL)
    bert.envelope_opened(plan, Inner(EnvelopeKind.GROUP, bytes(8), b"\xff" * 100), 5.0, WALL)
    assert "prekey" not in bert.next_deadlines(5.0, WALL)


def test_a_dropped_secret_is_nowhere_in_the_room(rooms: Rooms) -> None:
    _, bert = rooms
    assert held_by(bert, BERT.prekey_secret)
    bert.use_tools(tools_of(BERT, NEW))
    assert held_by(bert, NEW)
    assert not held_by(bert, BERT.prekey_secret)


def held_by(thing: object, secret: bytes, seen: set[int] | None = None) -> bool:
    """Whether the bytes can be reached from ``thing``."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type | types.ModuleType | types.FunctionType):
        return False
    seen.add(id(thing))
    if isinstance(thing, bytes):
        return thing == secret
    if isinstance(thing, dict):
        return any(held_by(item, secret, seen) for pair in thing.items() for item in pair)
    if isinstance(thing, list | tuple | set | frozenset):
        return any(held_by(item, secret, seen) for item in thing)
    parts = [getattr(thing, name, None) for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    return held_by([*parts, *getattr(thing, "__dict__", {}).values()], secret, seen)


def test_the_new_prekey_travels_with_a_roster(rooms: Rooms) -> None:
    """Whoever is answered in a lobby, or catches up, gets the record with the roster."""
    _, bert = rooms
    bert.use_tools(tools_of(BERT, NEW))
    bert.due("prekey", 5.0, WALL)
    (record,) = bert.roster.export_prekeys()
    assert record == bert.roster.prekey_record(BERT.key)
