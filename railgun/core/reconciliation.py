"""Making two sets of record hashes alike by comparing ranges.

Owns: fingerprints, splitting, and the answer to each frame. Must not know: what a record is, or who the peer is.

Spec: docs/spec/directory.md, reconciliation. Symmetric and without state: each frame is answered from the sets as they
are now, and every answer concerns strictly less than the question, so that an exchange ends whatever the peer does.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from railgun.crypto.hashing import keyed_hash
from railgun.limits import (
    ADS_PER_FRAME_MAX,
    DIRECTORY_IDS_PER_FRAME_MAX,
    DIRECTORY_IDS_PER_RANGE_MAX,
    DIRECTORY_PUSH_BYTES_MAX,
    DIRECTORY_RANGES_PER_FRAME_MAX,
)
from railgun.wire.directory_frames import (
    FINGERPRINT_BYTES,
    AdsPush,
    AdsRequest,
    DirectoryFrame,
    DirectoryIds,
    DirectoryRange,
    DirectoryRanges,
    IdRange,
)

RANGE_LABEL: Final = "railgun/range/v1"
PUSH_FRAME_BYTES: Final = 49_152
"""Records in one push; well below the largest frame."""
_SPLIT_PARTS: Final = 16

Lookup = Callable[[bytes], bytes | None]
"""From a record's hash to its encoding, or None."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The hashes h with ``lower <= h < upper``; empty ``upper``: no bound."""

    lower: bytes
    upper: bytes

    def slice_of(self, hashes: Sequence[bytes]) -> tuple[int, int]:
        """First and past-the-last index of the range in ascending ``hashes``."""
        first = bisect.bisect_left(hashes, self.lower)
        last = bisect.bisect_left(hashes, self.upper) if self.upper else len(hashes)
        return first, max(first, last)


EVERYTHING: Final = Bounds(b"", b"")


def fingerprint(hashes: Iterable[bytes]) -> bytes:
    """16 bytes that name a set, given ascending: H(-, 'railgun/range/v1', all hashes)[0..16].

    A hash over the sorted set rather than a sum: no one can choose records whose hashes cancel out.
    """
    return keyed_hash(None, RANGE_LABEL, b"".join(hashes))[:FINGERPRINT_BYTES]


def describe(hashes: Sequence[bytes], bounds: Bounds = EVERYTHING) -> DirectoryRange:
    """Our side of one range of ascending ``hashes``."""
    first, last = bounds.slice_of(hashes)
    return DirectoryRange(bounds.lower, bounds.upper, last - first, fingerprint(hashes[first:last]))


def open_comparison(hashes: Sequence[bytes]) -> DirectoryRanges:
    """The frame that starts a comparison: one range, everything."""
    return DirectoryRanges((describe(hashes),))


def answer_ranges(hashes: Sequence[bytes], frame: DirectoryRanges) -> list[DirectoryFrame]:
    """Ids for ranges in which we hold few, smaller ranges for the others, an empty `DirectoryIds` if nothing differs.

    At most 2 frames of ranges and 5 of ids, whatever was asked.
    """
    differing = [
        (bounds, bounds.slice_of(hashes))
        for item in frame.ranges
        if describe(hashes, bounds := Bounds(item.lower, item.upper)) != item
    ]
    if not differing:
        return [DirectoryIds(())]
    large = [item for item in differing if item[1][1] - item[1][0] > DIRECTORY_IDS_PER_RANGE_MAX]
    parts = max(2, min(_SPLIT_PARTS, 2 * DIRECTORY_RANGES_PER_FRAME_MAX // max(1, len(large))))
    ids: list[IdRange] = []
    ranges: list[DirectoryRange] = []
    for bounds, (first, last) in differing:
        if last - first > DIRECTORY_IDS_PER_RANGE_MAX:
            ranges += [describe(hashes, part) for part in split(hashes, bounds, parts)]
        else:
            ids.append(IdRange(bounds.lower, bounds.upper, tuple(hashes[first:last])))
    return [*_ranges_frames(ranges), *_ids_frames(ids)]


def answer_ids(hashes: Sequence[bytes], frame: DirectoryIds, lookup: Lookup, *, push: bool) -> list[DirectoryFrame]:
    """A request for what the peer has and we lack, and (if ``push``) what we have and it lacks.

    Pushes at most 128 KiB; what is left of a range is described again, so that the peer's answers set the pace.
    """
    wanted: list[bytes] = []
    pushed: list[bytes] = []
    rest: list[DirectoryRange] = []
    room_bytes = DIRECTORY_PUSH_BYTES_MAX
    for item in frame.ranges:
        bounds = Bounds(item.lower, item.upper)
        first, last = bounds.slice_of(hashes)
        ours, theirs = frozenset(hashes[first:last]), frozenset(item.ids)
        wanted += [record_hash for record_hash in item.ids if record_hash not in ours]
        if not push:
            continue
        for record_hash in hashes[first:last]:
            encoded = None if record_hash in theirs else lookup(record_hash)
            if encoded is None:
                continue
            if len(encoded) > room_bytes:
                room_bytes = 0
                rest.append(describe(hashes, Bounds(record_hash, item.upper)))
                break
            room_bytes -= len(encoded)
            pushed.append(encoded)
    requests = [
        AdsRequest(tuple(wanted[at : at + ADS_PER_FRAME_MAX])) for at in range(0, len(wanted), ADS_PER_FRAME_MAX)
    ]
    return [*requests, *push_frames(pushed), *_ranges_frames(rest)]


def answer_request(frame: AdsRequest, lookup: Lookup) -> list[DirectoryFrame]:
    """The records that were asked for and are still here."""
    found = (lookup(record_hash) for record_hash in dict.fromkeys(frame.hashes))
    return [*push_frames([encoded for encoded in found if encoded is not None])]


def push_frames(records: Sequence[bytes]) -> list[AdsPush]:
    """As many pushes as the records need, each within a frame's size."""
    frames: list[AdsPush] = []
    batch: list[bytes] = []
    batch_bytes = 0
    for encoded in records:
        if len(batch) == ADS_PER_FRAME_MAX or batch_bytes + len(encoded) > PUSH_FRAME_BYTES:
            frames.append(AdsPush(tuple(batch)))
            batch, batch_bytes = [], 0
        batch.append(encoded)
        batch_bytes += len(encoded)
    if batch:
        frames.append(AdsPush(tuple(batch)))
    return frames


def split(hashes: Sequence[bytes], bounds: Bounds, parts: int) -> list[Bounds]:
    """Cut a range into at most ``parts`` that together are it, each with about as many of our hashes (at least one)."""
    first, last = bounds.slice_of(hashes)
    parts = min(parts, last - first)
    cuts = [first + (last - first) * part // parts for part in range(1, parts)]
    edges = [bounds.lower, *(_between(hashes[cut - 1], hashes[cut]) for cut in cuts), bounds.upper]
    return [Bounds(lower, upper) for lower, upper in itertools.pairwise(edges)]


def _between(below: bytes, above: bytes) -> bytes:
    """The shortest prefix of ``above`` that is greater than ``below``."""
    length = next(index for index, (left, right) in enumerate(zip(below, above, strict=True)) if left != right)
    return above[: length + 1]


def _ranges_frames(ranges: Sequence[DirectoryRange]) -> list[DirectoryRanges]:
    size = DIRECTORY_RANGES_PER_FRAME_MAX
    ordered = sorted(ranges, key=lambda item: item.lower)
    return [DirectoryRanges(tuple(ordered[at : at + size])) for at in range(0, len(ordered), size)]


def _ids_frames(ranges: Sequence[IdRange]) -> list[DirectoryIds]:
    frames: list[DirectoryIds] = []
    batch: list[IdRange] = []
    count = 0
    for item in ranges:
        if len(batch) == DIRECTORY_RANGES_PER_FRAME_MAX or count + len(item.ids) > DIRECTORY_IDS_PER_FRAME_MAX:
            frames.append(DirectoryIds(tuple(batch)))
            batch, count = [], 0
        batch.append(item)
        count += len(item.ids)
    if batch:
        frames.append(DirectoryIds(tuple(batch)))
    return frames
