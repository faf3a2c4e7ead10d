"""Looking for words in what this device has of a room.

Owns: going through the messages page by page, what counts as found. Must not know: how messages are kept or shown.
"""

from __future__ import annotations

import asyncio
import unicodedata
from dataclasses import dataclass
from typing import Protocol

from railgun.errors import UsageError
from railgun.limits import SEARCH_FOUND_BYTES_MAX, SEARCH_PAGE_MESSAGES, SEARCH_TEXT_BYTES_MAX
from railgun.runtime.room_views import Message
from railgun.types import MessageId


class History(Protocol):
    """A `Room`, as far as it is needed here."""

    def history(self, limit: int = 100, before: MessageId | None = None) -> list[Message]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        messages: newest first.
        searched: how many messages were looked at.
        is_complete: False where the search ended at its limit, and older messages were not looked at.
    """

    messages: tuple[Message, ...]
    searched: int
    is_complete: bool


async def search_history(room: History, text: str, limit: int) -> Found:
    """The newest ``limit`` messages that contain ``text``, whatever its case. Edits and deletes change nothing here:
    they are messages of their own.

    A page is in memory at a time, and other work goes on between pages.

    Raises:
        UsageError: ``text`` is empty or longer than SEARCH_TEXT_BYTES_MAX, or this device left the room.
        StoreError: the disk.
    """
    if not text.strip() or len(text.encode(errors="replace")) > SEARCH_TEXT_BYTES_MAX:
        raise UsageError(f"a text to look for has 1 to {SEARCH_TEXT_BYTES_MAX} bytes and is not blank")
    wanted = _folded(text)
    found: list[Message] = []
    searched = found_bytes = 0
    before: MessageId | None = None
    while page := room.history(SEARCH_PAGE_MESSAGES, before):
        for message in reversed(page):
            if wanted in _folded(message.text):
                size = len(message.text.encode(errors="replace"))
                if len(found) == limit or (found and found_bytes + size > SEARCH_FOUND_BYTES_MAX):
                    return Found(tuple(found), searched, False)
                found.append(message)
                found_bytes += size
            searched += 1
        before = page[0].message_id
        await asyncio.sleep(0)
    return Found(tuple(found), searched, True)


def _folded(text: str) -> str:
    """One spelling for what people take for the same word."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
