"""What a chat remembers and shows: numbers, reactions, corrections, marks, typing; times are passed in."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.cli.chat import model as chat_model
from railgun.cli.chat.model import TYPING_SECONDS, TYPISTS_MAX, Change, ChatModel
from railgun.cli.chat.texts import (
    committee_lines,
    delivery_line,
    entry_text,
    heard_line,
    member_lines,
    reaction_marks,
    status_line,
    typing_line,
)
from railgun.errors import UsageError
from railgun.runtime.room_views import MemberView, Message, Receipt, Typing
from railgun.runtime.status import CoverView, RoomStatusView
from railgun.types import DeviceKey, MessageId, NodeKey, RoomId, RootKey, ServiceMode
from railgun.wire.content import TextContent

ADA, BOB, EVE = (DeviceKey(letter * 32) for letter in (b"a", b"b", b"e"))
NAMES = {ADA: "Ada", BOB: "Bob", EVE: "Eve\x1b[2J"}


def mid(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def message(number: int, author: DeviceKey, text: str, kind: str = "text", target: int | None = None) -> Message:
    about = None if target is None else mid(target)
    return Message(mid(number), author, NAMES[author], kind, text, about, 1_000, author == ADA, TextContent(text))


@pytest.fixture
def model() -> ChatModel:
    return ChatModel(ADA, "Ada")


def test_messages_are_numbered_and_shown_once(model: ChatModel) -> None:
    first = model.heard(message(1, BOB, "hello"))
    assert first is not None
    assert (first.change, first.entry.number) == (Change.SAID, 1)
    assert model.heard(message(1, BOB, "hello")) is None
    answer = model.heard(message(2, EVE, "hi", "reply", 1))
    assert answer is not None
    assert entry_text(model, answer.entry).endswith('Eve\\x1b[2J to 1 "hello": hi')
    lost = model.heard(message(3, BOB, "what?", "reply", 99))
    assert lost is not None
    assert "to an older message" in entry_text(model, lost.entry)


def test_a_message_cannot_steer_the_terminal_nor_pose_as_another(model: ChatModel) -> None:
    heard = model.heard(message(1, EVE, "a\x1b]0;x\x07\r\n[2] 10:00 you: b\u202ec"))
    assert heard is not None
    shown = heard_line(model, heard)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert all(line.startswith("    ") for line in shown.split("\n")[1:])
    reaction = model.heard(message(2, EVE, "\x1b[A", "reaction", 1))
    assert reaction is not None
    assert heard_line(model, reaction).isprintable()
    assert typing_line(["\x1b[H"]).isprintable()


def test_a_gap_is_shown_before_what_follows_it(model: ChatModel) -> None:
    heard = model.heard(dataclasses.replace(message(1, BOB, "after"), is_after_gap=True))
    assert heard is not None
    first, second = entry_text(model, heard.entry).split("\n")
    assert "messages are missing" in first
    assert second.endswith("after")


def test_a_reaction_takes_the_place_of_the_same_persons_last(model: ChatModel) -> None:
    model.heard(message(1, ADA, "hello"))
    entry = model.entry(1)
    model.heard(message(2, BOB, "+", "reaction", 1))
    model.heard(message(3, EVE, "+", "reaction", 1))
    assert reaction_marks(entry) == ["+ 2"]
    changed = model.heard(message(4, BOB, "-", "reaction", 1))
    assert changed is not None
    assert "Bob reacts - to 1" in heard_line(model, changed)
    assert sorted(reaction_marks(entry)) == ["+", "-"]
    assert model.reacted(entry, BOB, "Bob", "-") is None
    back = model.heard(message(5, BOB, "", "reaction", 1))
    assert back is not None
    assert "takes a reaction back from 1" in heard_line(model, back)
    assert reaction_marks(entry) == ["+"]
    assert model.heard(message(6, BOB, "?", "reaction", 77)) is None


def test_only_its_author_edits_and_deletes(model: ChatModel) -> None:
    model.heard(message(1, BOB, "hello"))
    assert model.heard(message(2, EVE, "forged", "edit", 1)) is None
    assert model.heard(message(3, EVE, "", "delete", 1)) is None
    assert model.heard(message(4, BOB, "hello all", "edit", 1)) is not None
    assert entry_text(model, model.entry(1)).endswith("Bob: hello all (edited)")
    assert model.heard(message(5, BOB, "", "delete", 1)) is not None
    assert entry_text(model, model.entry(1)).endswith("Bob: (deleted)")
    assert model.heard(message(6, BOB, "again", "edit", 1)) is None


def test_delivery_is_marked(model: ChatModel) -> None:
    entry = model.saying("hello", 1_000)
    assert entry_text(model, entry).endswith("you: hello  (sending)")
    with pytest.raises(UsageError, match="not sent yet"):
        model.entry(entry.number)
    model.signed(entry, Receipt(mid(9), 2, 3, 10.0))
    assert delivery_line(entry) == "* [1] sent, 2 of 3 seats"
    assert model.entry(1) is entry
    assert model.heard(message(9, ADA, "hello")) is None, "what comes back is no second message"
    kept, refused = model.saying("later", 1_001), model.saying("never", 1_002, mid(9))
    model.kept(kept)
    model.refused(refused, "no \x1b")
    assert "kept and going on" in delivery_line(kept)
    assert delivery_line(refused) == "* [3] not sent: no \\x1b"
    assert 'to 1 "hello"' in entry_text(model, refused)


def test_typing_ends_by_itself_by_a_word_and_by_what_is_said(model: ChatModel) -> None:
    assert model.typing(Typing(BOB, "Bob", True), 100.0)
    assert not model.typing(Typing(BOB, "Bob", True), 101.0)
    assert model.typists(101.0 + TYPING_SECONDS - 0.1) == ["Bob"]
    assert model.typists(101.0 + TYPING_SECONDS) == []
    model.typing(Typing(BOB, "Bob", True), 200.0)
    model.typing(Typing(EVE, "Eve", True), 200.0)
    assert typing_line(model.typists(200.0)) == "Bob, Eve are typing"
    model.typing(Typing(BOB, "Bob", False), 201.0)
    model.heard(message(1, EVE, "done"))
    assert typing_line(model.typists(201.0)) == ""
    for number in range(TYPISTS_MAX + 9):
        model.typing(Typing(DeviceKey(number.to_bytes(32, "big")), str(number), True), 300.0)
    assert len(model.typists(300.0)) == TYPISTS_MAX
    assert typing_line(model.typists(300.0)) == f"{TYPISTS_MAX} people are typing"


def test_what_is_kept_is_bounded(model: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("ENTRIES_MAX", "SEEN_MAX", "REACTIONS_MAX"):
        monkeypatch.setattr(chat_model, bound, 4)
    for number in range(10):
        model.heard(message(number, BOB, str(number)))
    assert [entry.number for entry in model.entries] == [7, 8, 9, 10]
    with pytest.raises(UsageError, match="no message 1 here"):
        model.entry(1)
    assert len(model._seen) == len(model._by_id) == 4
    for number in range(9):
        model.reacted(model.entry(10), DeviceKey(bytes([number]) * 32), "x", "+")
    assert reaction_marks(model.entry(10)) == ["+ 4"]


def test_members_committee_and_clock() -> None:
    seats = tuple(NodeKey(bytes([n]) * 32) for n in range(3))
    cover = CoverView("off", 0, 0, None)
    mode = ServiceMode.VOLUNTEERS
    attached = (seats[1], seats[0])
    view = RoomStatusView(RoomId(b"r" * 32), "ops", True, 2, 0, 125.9, 1, seats, attached, mode, cover, None, None)
    assert status_line(view, "ops") == "ops | 2 devices | 3 seats, epoch ends in 2:05"
    hybrid = dataclasses.replace(view, mode=ServiceMode.HYBRID)
    assert status_line(hybrid, "ops") == "ops | 2 devices | hybrid, 3 seats, epoch ends in 2:05"
    alone = dataclasses.replace(view, attached=(), mode=None)
    assert status_line(alone, "ops") == "ops | 2 devices | offline: no relay yet"
    assert committee_lines(view) == [
        "3 relays have a seat; they change in 2:05:",
        f"1  {'00' * 8}  serves you",
        f"2  {'01' * 8}  serves you, first",
        f"3  {'02' * 8}",
    ]
    members = [
        MemberView(ADA, RootKey(b"r" * 32), "Ada", True, True),
        MemberView(EVE, RootKey(b"s" * 32), "\x1b[31m", False, False),
    ]
    assert member_lines(members) == [
        "2 devices are in the room:",
        f"{'61' * 8}  Ada  (admin, this device)",
        f"{'65' * 8}  \\x1b[31m",
    ]
