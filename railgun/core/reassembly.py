"""Split messages, put together again.

Owns: parts by author and first id, their bounds and rows. Must not know: sessions, what the whole says.
Spec: docs/spec/messages.md, "Long content". Parts are kept on disk: once marked as seen they will not come again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Final

from railgun.core.persistence import Write
from railgun.limits import CONTENT_ASSEMBLIES_MAX, CONTENT_BYTES_MAX, CONTENT_PARTS_MAX
from railgun.types import DeviceKey, MessageId, RoomId
from railgun.wire.content import PART_BYTES_MAX, PartContent
from railgun.wire.roster import DeviceField
from railgun.wire.schema import Bytes, Codec, Uint
from railgun.wire.sealed import SEALED_BODY_BYTES_MAX

TABLE: Final = "inbound_sessions"
ROW_KEY: Final = b"p"


@dataclass(frozen=True, slots=True)
class _Part:
    author: DeviceField
    first: Annotated[bytes, Bytes(16)]
    index: Annotated[int, Uint(CONTENT_PARTS_MAX)]
    count: Annotated[int, Uint(CONTENT_PARTS_MAX)]
    data: Annotated[bytes, Bytes(1, PART_BYTES_MAX)] = field(repr=False)
    megolm: Annotated[bytes, Bytes(1, SEALED_BODY_BYTES_MAX)] = field(repr=False)


_ROWS: Final[Codec[_Part]] = Codec({1: _Part}, bytes_max=2 * SEALED_BODY_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Assembled:
    """A whole: its id (of part 0), its encoded content, its Megolm messages in order."""

    message_id: MessageId
    data: bytes = field(repr=False)
    megolm: tuple[bytes, ...] = field(repr=False)


class Reassembly:
    """Parts of messages that are not whole yet, of all authors of a room."""

    def __init__(self, room: RoomId) -> None:
        self._room = room
        self._open: OrderedDict[tuple[DeviceKey, bytes], dict[int, _Part]] = OrderedDict()

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Fill an empty machine from the rows of ``inbound_sessions`` whose keys start with the room's id.

        Raises:
            MalformedInput: a row is damaged.
        """
        for key, value in rows:
            if key[len(self._room) : len(self._room) + 1] == ROW_KEY:
                part = _ROWS.decode(value)
                self._open.setdefault((part.author, part.first), {})[part.index] = part

    def __len__(self) -> int:
        return len(self._open)

    def add(
        self, author: DeviceKey, part_id: MessageId, part: PartContent, megolm: bytes
    ) -> tuple[Assembled | None, list[Write]]:
        """Take one part; the whole with the last of them. Parts that do not fit those before them are dropped."""
        first = part.first or part_id
        parts = self._open.setdefault((author, first), {})
        row = _Part(author, first, part.index, part.count, part.data, megolm)
        size = len(part.data) + sum(len(held.data) for held in parts.values())
        if part.index in parts or any(held.count != part.count for held in parts.values()) or size > CONTENT_BYTES_MAX:
            return None, []
        parts[part.index] = row
        if len(parts) < part.count:
            writes = [Write(TABLE, self._key(row), _ROWS.encode(row))]
            while len(self._open) > CONTENT_ASSEMBLIES_MAX:
                writes += self._drop(next(iter(self._open)))
            return None, writes
        ordered = [parts[index] for index in range(part.count)]
        writes = self._drop((author, first))
        data = b"".join(held.data for held in ordered)
        return Assembled(MessageId(first), data, tuple(held.megolm for held in ordered)), writes

    def _drop(self, key: tuple[DeviceKey, bytes]) -> list[Write]:
        return [Write(TABLE, self._key(part), None) for part in self._open.pop(key).values()]

    def _key(self, part: _Part) -> bytes:
        return self._room + ROW_KEY + part.author + part.first + bytes([part.index])
