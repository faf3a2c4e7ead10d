"""Frames by which two peers make their directories alike.

Owns: the fields and bounds of ranges, ids, requests and pushes. Must not know: what a directory is.

Spec: docs/spec/directory.md, reconciliation. A range is the record hashes h with ``lower <= h < upper``, compared as
bytes; bounds are hashes or prefixes of hashes, and an empty ``upper`` means no upper bound.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.limits import (
    ADS_PER_FRAME_MAX,
    DIRECTORY_IDS_PER_FRAME_MAX,
    DIRECTORY_IDS_PER_RANGE_MAX,
    DIRECTORY_RANGES_PER_FRAME_MAX,
    OBITUARY_BYTES_MAX,
)
from railgun.wire.schema import Array, Bytes, Nested, Uint

RECORD_HASH_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 16

_BoundField = Annotated[bytes, Bytes(0, RECORD_HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class DirectoryRange:
    """What the sender holds in one range: how many records, and the fingerprint of their hashes (16 bytes)."""

    lower: _BoundField
    upper: _BoundField
    count: Annotated[int, Uint(2**32 - 1)]
    fingerprint: Annotated[bytes, Bytes(FINGERPRINT_BYTES)]


@dataclass(frozen=True, slots=True)
class IdRange:
    """All record hashes that the sender holds in one range, ascending."""

    lower: _BoundField
    upper: _BoundField
    ids: Annotated[tuple[bytes, ...], Array(Bytes(RECORD_HASH_BYTES), DIRECTORY_IDS_PER_RANGE_MAX)]

    def __post_init__(self) -> None:
        if any(left >= right for left, right in itertools.pairwise(self.ids)):
            raise ValueError("ids ascend")
        if self.ids and (self.ids[0] < self.lower or (self.upper and self.ids[-1] >= self.upper)):
            raise ValueError("ids lie in their range")


@dataclass(frozen=True, slots=True)
class DirectoryRanges:
    """Compare these: 1 to 64 ranges, ascending and disjoint."""

    ranges: Annotated[tuple[DirectoryRange, ...], Array(Nested(DirectoryRange), DIRECTORY_RANGES_PER_FRAME_MAX, 1)]

    def __post_init__(self) -> None:
        _check_disjoint([(item.lower, item.upper) for item in self.ranges])


@dataclass(frozen=True, slots=True)
class DirectoryIds:
    """All that I hold in ranges that differed: at most 64 ranges and 512 ids. No range at all: nothing differed."""

    ranges: Annotated[tuple[IdRange, ...], Array(Nested(IdRange), DIRECTORY_RANGES_PER_FRAME_MAX)]

    def __post_init__(self) -> None:
        _check_disjoint([(item.lower, item.upper) for item in self.ranges])
        if sum(len(item.ids) for item in self.ranges) > DIRECTORY_IDS_PER_FRAME_MAX:
            raise ValueError("too many ids")


@dataclass(frozen=True, slots=True)
class AdsRequest:
    """Send me these records; 1 to 128 hashes."""

    hashes: Annotated[tuple[bytes, ...], Array(Bytes(RECORD_HASH_BYTES), ADS_PER_FRAME_MAX, 1)]


@dataclass(frozen=True, slots=True)
class AdsPush:
    """Records (ads or obituaries) in their encoding; 1 to 128 of them."""

    records: Annotated[tuple[bytes, ...], Array(Bytes(1, OBITUARY_BYTES_MAX), ADS_PER_FRAME_MAX, 1)]


DirectoryFrame = DirectoryRanges | DirectoryIds | AdsRequest | AdsPush


def _check_disjoint(bounds: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise ValueError unless each range is non-empty and starts where, or after, the one before ends."""
    for lower, upper in bounds:
        if upper and lower >= upper:
            raise ValueError("a range's upper bound lies above its lower")
    for (_, before), (lower, _) in itertools.pairwise(bounds):
        if not before or lower < before:
            raise ValueError("ranges ascend and are disjoint")
