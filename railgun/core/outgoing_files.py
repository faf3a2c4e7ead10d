"""Own files that a room was offered: what of them has left, what is asked for again.

Owns: which units go next, how much is sent again, their rows. Must not know: disks, sessions, how anything travels.
Spec: docs/spec/files.md.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.core.file_table import TABLE, FileTable
from railgun.core.persistence import Write
from railgun.limits import FILE_BYTES_MAX, FILE_NAME_BYTES_MAX, FILE_RESEND_TIMES_MAX, FILES_OUTGOING_MAX
from railgun.types import MessageId
from railgun.wire.file_content import FILE_UNITS_MAX, FileWantContent, UnitRange, UnitSet, units_of
from railgun.wire.schema import Bytes, Codec, Text, Uint

OWN_KEY: Final = b"o"
PATH_BYTES_MAX: Final = 4_096


class OutgoingState(enum.IntEnum):
    """How it stands with an own file."""

    LEAVING = 0
    SENT = 1
    """Every piece has a majority of seats, or is in the outbox; pieces are sent again to who asks."""
    CANCELLED = 2
    FAILED = 3
    """The file on the disk is gone, or another than was offered."""


@dataclass(frozen=True, slots=True)
class _Row:
    path: Annotated[bytes, Bytes(1, PATH_BYTES_MAX)]
    name: Annotated[str, Text(FILE_NAME_BYTES_MAX, 1)]
    size_bytes: Annotated[int, Uint(FILE_BYTES_MAX)]
    changed_microseconds: Annotated[int, Uint()]
    sequence: Annotated[int, Uint()]
    state: Annotated[OutgoingState, Uint(3, OutgoingState)]
    resent: Annotated[int, Uint()]
    left: Annotated[bytes, Bytes(0, FILE_UNITS_MAX // 8 + 1)]


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=PATH_BYTES_MAX + FILE_UNITS_MAX // 8 + 1_024)


@dataclass(slots=True)
class OutgoingFile:
    """One file. ``path`` is as the system has it, ``changed_microseconds`` its time of change when it was offered;
    ``left`` are the units that went out."""

    file: MessageId
    path: bytes
    name: str
    size_bytes: int
    changed_microseconds: int
    sequence: int
    state: OutgoingState
    resent: int
    left: UnitSet

    @property
    def bytes_left(self) -> int:
        """Of the file's own bytes."""
        return self.left.bytes_of(self.size_bytes)


class OutgoingFiles(FileTable[OutgoingFile]):
    """One room's."""

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Fill an empty machine from the rows of ``files`` whose keys start with the room's id and ``o``.

        Raises:
            MalformedInput, ValueError: a row is damaged.
        """
        found = []
        for key, value in rows:
            row = _ROWS.decode(value)
            left = UnitSet(units_of(row.size_bytes), row.left)
            found.append(
                OutgoingFile(
                    self._file_of(key),
                    row.path,
                    row.name,
                    row.size_bytes,
                    row.changed_microseconds,
                    row.sequence,
                    row.state,
                    row.resent,
                    left,
                )
            )
        self._restore(found)

    def begin(self, file: MessageId, path: bytes, name: str, size_bytes: int, changed_microseconds: int) -> list[Write]:
        """An own file was offered. Raises ValueError where something does not fit."""
        writes = self._make_room()
        left = UnitSet(units_of(size_bytes))
        state = OutgoingState.LEAVING if size_bytes else OutgoingState.SENT
        made = OutgoingFile(file, path, name, size_bytes, changed_microseconds, next(self._sequence), state, 0, left)
        writes.append(self._write(made))
        self._files[file] = made
        return writes

    def next_piece(self, outgoing: OutgoingFile, units_max: int) -> UnitRange | None:
        """The first units that have not left, at most so many; None where all have."""
        if outgoing.state is not OutgoingState.LEAVING:
            return None
        gap = next(iter(outgoing.left.missing()), None)
        return None if gap is None else UnitRange(gap.first, min(gap.count, units_max))

    def piece_left(self, outgoing: OutgoingFile, piece: UnitRange) -> list[Write]:
        """These units are in the outbox, or have their receipts."""
        outgoing.left.add(piece.first, piece.count)
        if outgoing.left.is_full and outgoing.state is OutgoingState.LEAVING:
            outgoing.state = OutgoingState.SENT
        return [self._write(outgoing)]

    def wanted(self, want: FileWantContent) -> list[Write]:
        """A member lacks units: those that left go again, within FILE_RESEND_TIMES_MAX."""
        outgoing = self._files.get(want.file)
        if outgoing is None or outgoing.state not in (OutgoingState.LEAVING, OutgoingState.SENT):
            return []
        again = 0
        for gap in want.ranges:
            if outgoing.resent + again + gap.count > FILE_RESEND_TIMES_MAX * outgoing.left.count:
                break
            again += outgoing.left.remove(gap.first, gap.count)
        if not again:
            return []
        outgoing.resent += again
        outgoing.state = OutgoingState.LEAVING
        return [self._write(outgoing)]

    def end(self, outgoing: OutgoingFile, state: OutgoingState) -> list[Write]:
        """Send no more of it."""
        outgoing.state = state
        return [self._write(outgoing)]

    def _make_room(self) -> list[Write]:
        if len(self._files) < FILES_OUTGOING_MAX:
            return []
        done = (file for file, item in self._files.items() if item.state is not OutgoingState.LEAVING)
        oldest = next(done, next(iter(self._files)))
        del self._files[oldest]
        return [Write(TABLE, self._room + OWN_KEY + oldest, None)]

    def _write(self, outgoing: OutgoingFile) -> Write:
        row = _Row(
            outgoing.path,
            outgoing.name,
            outgoing.size_bytes,
            outgoing.changed_microseconds,
            outgoing.sequence,
            outgoing.state,
            outgoing.resent,
            outgoing.left.encoded(),
        )
        return Write(TABLE, self._room + OWN_KEY + outgoing.file, _ROWS.encode(row))
