"""Room machines and new prekeys: when the room is told, and told again, and that old secrets leave every part."""

from __future__ import annotations

import dataclasses
import types

import pytest

from railgun.core.generations import Generations, OwnDevice
from railgun.core.room import MemberRoom, RoomTools
from railgun.core.room_notifications import MessageReceived
from railgun.core.room_port import RoomOutcome, TagPlan, TagPurpose
from railgun.core.room_prekeys import PREKEY_TELL_AGAIN_SECONDS
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
    """With a newer bundle, if there are secrets: its prekey is the first one's."""
    sessions, me, record = VodozemacSessions(), device.own, device.record
    if secrets:
        account = sessions.olm_new_fallback(me.account, r.PICKLE_KEY)
        public, issued = sessions.hpke_public_key(secrets[0]), r.NOON + 10
        record = sign_prekey(device.seed, device.key, issued, public, account.fallback_key)
        me = OwnDevice(device.key, device.seed, secrets, account.pickle, issued)
    return RoomTools(me, NETWORK, sessions, CountingEntropy(device.name), r.PICKLE_KEY, record)


@pytest.fixture
def rooms() -> Rooms:
    """One room, as its two members hold it."""
    anna, bert = tools_of(ANNA), tools_of(BERT)
    start = r.NOON // 600 * 600
    roster, generations, writes = create_room(
        anna.me, ANNA.certificate, "room", RoomSettings(), anna.entropy, start, WALL
    )
    r.add(roster, ANNA, BERT)
    for device in (ANNA, BERT):
        roster.insert_prekey(device.record)
    same = r.copy_of(roster)
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
    tools = tools_of(BERT, NEW, BERT.prekey_secret)
    bert.use_tools(tools)
    assert bert.next_deadlines(5.0, WALL)["prekey"] == 5.0
    told = bert.due("prekey", 5.0, WALL)
    assert "roster_entries" in {write.table for write in told.writes}
    assert "prekey" not in bert.next_deadlines(6.0, WALL)
    carry(told, anna, 6.0)
    assert anna.roster.prekey(BERT.key) == bert.roster.prekey(BERT.key) == VodozemacSessions().hpke_public_key(NEW)
    tools = dataclasses.replace(tools, me=dataclasses.replace(tools.me, prekey_secrets=(NEW,)))
    bert.use_tools(tools)  # the old secret goes
    assert carry(anna.send(TextContent("hello"), 1, WALL), bert, 7.0) == ["hello"]
    # The same again after a restart: what the room's roster holds need not be told.
    again = MemberRoom(tools, bert.roster, bert.generations, bert.conversation)
    assert "prekey" not in again.next_deadlines(8.0, WALL)


def test_who_seals_under_a_prekey_that_is_gone_is_told_again_and_starts_over(rooms: Rooms) -> None:
    anna, bert = rooms
    bert.use_tools(tools_of(BERT, NEW))
    bert.due("prekey", 5.0, WALL)  # it reached nobody
    assert anna.roster.prekey_record(BERT.key) == BERT.record
    assert carry(anna.send(TextContent("unreadable yet"), 1, WALL), bert, 6.0) == []
    due = bert.next_deadlines(6.0, WALL)["keys"]
    assert due == 7.0
    asked = bert.due("keys", due, WALL)
    keys = anna.sending_keys(WALL)
    assert keys is not None
    plan = TagPlan(keys, 5, 0, TagPurpose.ROOM)
    answer = RoomOutcome()
    for request in asked.requests:
        answer.add(anna.envelope_opened(plan, Inner(request.kind, request.hint, request.body), due, WALL))
    assert anna.roster.prekey_record(BERT.key) == bert.roster.prekey_record(BERT.key)
    assert carry(answer, bert, due + 1) == ["unreadable yet"]
    assert "keys" not in bert.next_deadlines(due + 1, WALL)


def test_an_answer_under_a_prekey_that_is_gone_has_the_room_told_again_but_not_all_the_time(rooms: Rooms) -> None:
    anna, bert = rooms
    bert.use_tools(tools_of(BERT, NEW))
    bert.due("prekey", 5.0, WALL)  # it reached nobody
    keys = bert.sending_keys(WALL)
    assert keys is not None
    plan = TagPlan(keys, 5, 0, TagPurpose.ROOM)
    before = anna.state(WALL)
    made = anna.generations.make(CountingEntropy("new"), before, keys.start)
    prekey = anna.roster.prekey(BERT.key)
    assert prekey is not None
    (delivery,) = anna.generations.deliver(made, ANNA.own, [(BERT.key, prekey)], VodozemacSessions(), keys)
    bert.envelope_opened(plan, Inner(delivery.kind, delivery.hint, delivery.body), 6.0, WALL)
    due = bert.next_deadlines(6.0, WALL)["prekey"]
    assert due == 5.0 + PREKEY_TELL_AGAIN_SECONDS
    carry(bert.due("prekey", due, WALL), anna, due)
    assert "prekey" not in bert.next_deadlines(due, WALL)


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
    (record,) = [record for record in bert.roster.export_prekeys() if record.device == BERT.key]
    assert record == bert.roster.prekey_record(BERT.key)
