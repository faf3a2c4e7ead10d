"""What members say to move a file's bytes: pieces of it, and which pieces are missing.

Owns: the two contents, units and their bounds. Must not know: the offer's own form, files, sessions.
Spec: docs/spec/files.md.

A file is counted in units of FILE_UNIT_BYTES, the last one shorter. A piece is some consecutive units: one fits an
envelope of 4096 bytes, FILE_UNITS_PER_PART_MAX fit one of 65536.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.limits import FILE_BYTES_MAX, FILE_WANT_RANGES_MAX
from railgun.types import MessageId
from railgun.wire.schema import Array, Bytes, Nested, Uint

FILE_UNIT_BYTES: Final = 3_840
FILE_UNITS_PER_PART_MAX: Final = 17
FILE_UNITS_MAX: Final = -(-FILE_BYTES_MAX // FILE_UNIT_BYTES)
FILE_PART_BYTES_MAX: Final = FILE_UNITS_PER_PART_MAX * FILE_UNIT_BYTES

FileField = Annotated[MessageId, Bytes(16)]


@dataclass(frozen=True, slots=True)
class FilePartContent:
    """Units of the file that the message ``file`` offers, from ``first`` on. Acted on, and no part of the history."""

    file: FileField
    first: Annotated[int, Uint(FILE_UNITS_MAX - 1)]
    data: Annotated[bytes, Bytes(1, FILE_PART_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class UnitRange:
    """``count`` units from ``first`` on."""

    first: Annotated[int, Uint(FILE_UNITS_MAX - 1)]
    count: Annotated[int, Uint(FILE_UNITS_MAX)]

    def __post_init__(self) -> None:
        if self.count < 1 or self.first + self.count > FILE_UNITS_MAX:
            raise ValueError("a range of units that no file has")


@dataclass(frozen=True, slots=True)
class FileWantContent:
    """Units of an offered file that the author lacks, ascending."""

    file: FileField
    ranges: Annotated[tuple[UnitRange, ...], Array(Nested(UnitRange), FILE_WANT_RANGES_MAX, 1)]


def units_of(size_bytes: int) -> int:
    """Units of a file; of an empty one, which is offered and never sent, none."""
    return -(-size_bytes // FILE_UNIT_BYTES)


class UnitSet:
    """Some of a file's units, ``count`` in all."""

    def __init__(self, count: int, held: bytes = b"") -> None:
        """``held``: as `encoded` gives it. Raises ValueError where it names units that there are not."""
        self.count = count
        self._bits = int.from_bytes(held, "little")
        if self._bits >> count:
            raise ValueError("units beyond the file's end")

    def __len__(self) -> int:
        return self._bits.bit_count()

    @property
    def is_full(self) -> bool:
        return len(self) == self.count

    def bytes_of(self, size_bytes: int) -> int:
        """How many of a file's ``size_bytes`` these units are; the last is mostly shorter."""
        return min(size_bytes, len(self) * FILE_UNIT_BYTES)

    def encoded(self) -> bytes:
        """A bitmap, the first unit lowest, without zeros at its end."""
        return self._bits.to_bytes((self._bits.bit_length() + 7) // 8, "little")

    def add(self, first: int, count: int) -> None:
        self._bits |= self._mask(first, count)

    def remove(self, first: int, count: int) -> int:
        """Take units out; returns how many were in."""
        gone = self._bits & self._mask(first, count)
        self._bits ^= gone
        return gone.bit_count()

    def has_any(self, first: int, count: int) -> bool:
        return bool(self._bits & self._mask(first, count))

    def __contains__(self, unit: int) -> bool:
        return bool(self._bits >> unit & 1)

    def missing(self) -> Iterable[UnitRange]:
        """What is not in, ascending, in ranges that are as long as can be."""
        start: int | None = None
        for unit in range(self.count + 1):
            lacks = unit < self.count and unit not in self
            if lacks and start is None:
                start = unit
            elif not lacks and start is not None:
                yield UnitRange(start, unit - start)
                start = None

    def _mask(self, first: int, count: int) -> int:
        return ((1 << max(0, min(count, self.count - first))) - 1) << first
