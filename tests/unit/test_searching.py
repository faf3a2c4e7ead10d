"""Searching a room's history: newest first, page by page, bounded."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.errors import UsageError
from railgun.limits import SEARCH_FOUND_BYTES_MAX, SEARCH_PAGE_MESSAGES, SEARCH_TEXT_BYTES_MAX, TEXT_BYTES_MAX
from railgun.runtime.room_views import Message
from railgun.runtime.searching import search_history
from railgun.types import DeviceKey, MessageId
from railgun.wire.content import TextContent


class Room:
    """Messages, oldest first."""

    def __init__(self, *texts: str) -> None:
        self.messages = [_message(index, text) for index, text in enumerate(texts)]
        self.pages: list[int] = []

    def history(self, limit: int = 100, before: MessageId | None = None) -> list[Message]:
        ids = [message.message_id for message in self.messages]
        end = len(ids) if before is None else ids.index(before)
        page = self.messages[max(0, end - limit) : end]
        self.pages.append(len(page))
        return page


def _message(index: int, text: str) -> Message:
    identifier = MessageId(index.to_bytes(16, "big"))
    return Message(identifier, DeviceKey(bytes(32)), "Ada", "text", text, None, index, False, TextContent(text, ()))


async def test_the_newest_come_first_over_all_pages() -> None:
    room = Room(*(f"word {index}" if index % 10 == 0 else "else" for index in range(3 * SEARCH_PAGE_MESSAGES)))
    found = await search_history(room, "WORD", 500)
    numbers = [int(message.text.split()[1]) for message in found.messages]
    assert numbers == sorted(numbers, reverse=True) == list(range(90, -1, -10))
    assert (found.searched, found.is_complete) == (96, True)
    assert max(room.pages) == SEARCH_PAGE_MESSAGES


async def test_it_ends_at_the_limit_and_says_so() -> None:
    room = Room(*["word"] * 5)
    found = await search_history(room, "word", 3)
    assert [message.received_at for message in found.messages] == [4, 3, 2]
    assert not found.is_complete
    assert (await search_history(room, "word", 5)).is_complete


async def test_an_answer_is_bounded_in_bytes() -> None:
    found = await search_history(Room(*["w" * TEXT_BYTES_MAX] * 9), "w", 9)
    assert sum(len(message.text) for message in found.messages) <= SEARCH_FOUND_BYTES_MAX
    assert (len(found.messages), found.is_complete) == (SEARCH_FOUND_BYTES_MAX // TEXT_BYTES_MAX, False)


@pytest.mark.parametrize(("said", "wanted"), [("Stra\u00dfe", "STRASSE"), ("Cafe\u0301", "caf\u00e9"), ("a.*b", ".*")])
async def test_spellings_of_one_word_are_one(said: str, wanted: str) -> None:
    assert len((await search_history(Room(said, "else"), wanted, 9)).messages) == 1


@pytest.mark.parametrize("text", ["", "   ", "x" * (SEARCH_TEXT_BYTES_MAX + 1)])
async def test_what_cannot_be_looked_for(text: str) -> None:
    with pytest.raises(UsageError):
        await search_history(Room("x"), text, 9)


def _about(index: int, kind: str, target: int, text: str = "", author: int = 0) -> Message:
    message = _message(index, text)
    return dataclasses.replace(
        message, kind=kind, author=DeviceKey(bytes([author]) * 32), target=MessageId(target.to_bytes(16, "big"))
    )


async def test_what_was_edited_or_deleted_is_not_found_by_its_old_text() -> None:
    room = Room("the secret plan", "the old price", "the old price too", "else")
    room.messages += [
        _about(4, "edit", 1, "a first new price"),
        _about(5, "delete", 0),
        _about(6, "edit", 1, "the new price"),
        _about(7, "edit", 2, "somebody else's words", author=9),
        _about(8, "delete", 3, author=9),
        _about(9, "edit", 0, "the secret plan again"),
    ]
    found = {text: (await search_history(room, text, 9)).messages for text in ("secret", "old", "first", "new", "else")}
    assert [message.text for message in found["secret"]] == [], "a deletion stands, whatever comes after it"
    assert [message.text for message in found["old"]] == ["the old price too"], "only its author edits a message"
    assert found["first"] == (), "the newest edit counts"
    assert [(message.text, message.received_at) for message in found["new"]] == [("the new price", 1)]
    assert [message.text for message in found["else"]] == ["else"]


async def test_edits_that_fit_are_bounded_in_bytes_and_what_is_left_out_is_told() -> None:
    count = 2 * SEARCH_FOUND_BYTES_MAX // TEXT_BYTES_MAX
    room = Room(*["old"] * count)
    room.messages += [_about(count + n, "edit", n, "w" * TEXT_BYTES_MAX) for n in range(count)]
    found = await search_history(room, "w", 500)
    assert (len(found.messages), found.is_complete) == (SEARCH_FOUND_BYTES_MAX // TEXT_BYTES_MAX, False)
