"""Looking for words in what this device has of a room.

Owns: going through the messages page by page, what counts as found. Must not know: how messages are kept or shown.
"""

from __future__ import annotations

import asyncio
import dataclasses
import unicodedata
from dataclasses import dataclass
from typing import Final, Protocol

from railgun.errors import UsageError
from railgun.limits import SEARCH_FOUND_BYTES_MAX, SEARCH_PAGE_MESSAGES, SEARCH_TEXT_BYTES_MAX
from railgun.runtime.room_views import Message
from railgun.types import DeviceKey, MessageId

EDIT: Final = "edit"
DELETE: Final = "delete"


class History(Protocol):
    """A `Room`, as far as it is needed here."""

    def history(self, limit: int = 100, before: MessageId | None = None) -> list[Message]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        messages: newest first. One that its author edited is found by its newest text, and has that text.
        searched: how many messages were looked at.
        is_complete: False where the search ended at its limit, and older messages were not looked at.
    """

    messages: tuple[Message, ...]
    searched: int
    is_complete: bool


@dataclass(slots=True)
class _Correction:
    """The newest word about a message: deleted, or edited to a text that fits (and then that text) or does not."""

    text: str | None


class _Corrections:
    """Edits and deletes met so far. History is read backwards, so that each is met before what it is about.

    Of an edit no more is kept than a search may return; of one beyond that, its target is left out, and that is told.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[DeviceKey, MessageId], _Correction] = {}
        self._bytes = 0
        self.is_cut = False

    def note(self, message: Message, *, fits: bool) -> None:
        if message.target is None:
            return
        # By the same author or not at all: whoever is in the room can name any message.
        key = (message.author, message.target)
        held = self._held.get(key)
        if held is not None and (message.kind == EDIT or held.text is None):
            return  # a newer one stands; a deletion stands for good
        text = message.text if message.kind == EDIT and fits else None
        if text is not None:
            size = _size(text)
            if self._bytes + size > SEARCH_FOUND_BYTES_MAX:
                text, self.is_cut = None, True
            else:
                self._bytes += size
        self._held[key] = _Correction(text)

    def of(self, message: Message) -> _Correction | None:
        return self._held.pop((message.author, message.message_id), None)


async def search_history(room: History, text: str, limit: int) -> Found:
    """The newest ``limit`` messages that contain ``text``, whatever its case.

    What its author has deleted is not found; what was edited is found by its newest text alone. Only an edit or delete
    that is here counts. A page is in memory at a time, and other work goes on between pages.

    Raises:
        UsageError: ``text`` is empty or longer than SEARCH_TEXT_BYTES_MAX, or this device left the room.
        StoreError: the disk.
    """
    if not text.strip() or len(text.encode(errors="replace")) > SEARCH_TEXT_BYTES_MAX:
        raise UsageError(f"a text to look for has 1 to {SEARCH_TEXT_BYTES_MAX} bytes and is not blank")
    wanted = _folded(text)
    corrections = _Corrections()
    found: list[Message] = []
    searched = found_bytes = 0
    before: MessageId | None = None
    while page := room.history(SEARCH_PAGE_MESSAGES, before):
        for message in reversed(page):
            shown = _as_it_stands(message, wanted, corrections)
            if shown is not None:
                size = _size(shown.text)
                if len(found) == limit or (found and found_bytes + size > SEARCH_FOUND_BYTES_MAX):
                    return Found(tuple(found), searched, False)
                found.append(shown)
                found_bytes += size
            searched += 1
        before = page[0].message_id
        await asyncio.sleep(0)
    return Found(tuple(found), searched, not corrections.is_cut)


def _as_it_stands(message: Message, wanted: str, corrections: _Corrections) -> Message | None:
    """The message with its newest text if that is looked for; None where it is not, and for edits and deletes."""
    fits = wanted in _folded(message.text)
    if message.kind in (EDIT, DELETE):
        corrections.note(message, fits=fits)
        return None
    correction = corrections.of(message)
    if correction is None:
        return message if fits else None
    return None if correction.text is None else dataclasses.replace(message, text=correction.text)


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def _folded(text: str) -> str:
    """One spelling for what people take for the same word."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
