"""Files of one room in the order of their offers: what those of others and own ones have in common.

Owns: their order, finding one, the table's name. Must not know: what becomes of a file.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Generic, Protocol, TypeVar

from railgun.types import MessageId, RoomId

TABLE: Final = "files"


class Numbered(Protocol):
    """A file, by the id of the message that offers it; ``sequence`` grows from offer to offer."""

    file: MessageId
    sequence: int


File = TypeVar("File", bound=Numbered)


class FileTable(Generic[File]):
    """See the module."""

    def __init__(self, room: RoomId) -> None:
        self._room = room
        self._files: OrderedDict[MessageId, File] = OrderedDict()
        self._sequence = itertools.count(1)

    def get(self, file: MessageId) -> File | None:
        """By the id of the message that offers it."""
        return self._files.get(file)

    def all(self) -> list[File]:
        """In the order of their offers."""
        return list(self._files.values())

    def _restore(self, found: Iterable[File]) -> None:
        """Fill an empty table with what was kept, in whatever order; new ones are numbered on."""
        for item in sorted(found, key=lambda item: item.sequence):
            self._files[item.file] = item
        self._sequence = itertools.count(max((item.sequence for item in self._files.values()), default=0) + 1)

    def _file_of(self, key: bytes) -> MessageId:
        """From a row's key: room, one byte for the kind of row, id."""
        return MessageId(key[len(self._room) + 1 :])
