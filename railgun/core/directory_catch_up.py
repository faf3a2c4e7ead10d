"""A client that lacks many records takes them from one relay at a time, not all of them from two at once.

Owns: from whom it takes them, and for how long the others have to wait. Must not know: frames' answers, links.
Spec: docs/spec/directory.md, gossip. Whoever promises much and sends little is waited for no longer than
DIRECTORY_CATCH_UP_PAUSE_SECONDS, whoever sends slowly DIRECTORY_CATCH_UP_SECONDS_MAX, and each only once.
"""

from __future__ import annotations

from collections.abc import Sequence

from railgun.core.reconciliation import Bounds
from railgun.limits import (
    DIRECTORY_CATCH_UP_PAUSE_SECONDS,
    DIRECTORY_CATCH_UP_RECORDS_MIN,
    DIRECTORY_CATCH_UP_SECONDS_MAX,
)
from railgun.types import PeerKey
from railgun.wire.directory_frames import DirectoryRanges


class DirectoryCatchUp:
    """Whom a client catches up from. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._source: PeerKey | None = None
        self._left = 0
        """Records that the source said to have and that have not come yet."""
        self._until = 0.0
        self._at_most_until = 0.0
        self._were_sources: set[PeerKey] = set()
        """Peers that are linked and have been waited for."""

    def must_wait(self, peer: PeerKey, frame: DirectoryRanges, hashes: Sequence[bytes], now: float) -> bool:
        """Whether ``peer``, which describes ranges that differ, is to be asked again later.

        ``hashes``: of our records, ascending. Who describes many more than we hold becomes the source if there is none.
        """
        lacking = _lacking(frame, hashes)
        if lacking < DIRECTORY_CATCH_UP_RECORDS_MIN or peer == self._source:
            return False
        if self._source is not None and now < min(self._until, self._at_most_until):
            return True
        self._source = None
        if peer not in self._were_sources:
            self._were_sources.add(peer)
            self._source, self._left = peer, lacking
            self._until = now + DIRECTORY_CATCH_UP_PAUSE_SECONDS
            self._at_most_until = now + DIRECTORY_CATCH_UP_SECONDS_MAX
        return False

    def learnt(self, peer: PeerKey, records: int, now: float) -> None:
        """So many new records came from ``peer``."""
        if peer != self._source or not records:
            return
        self._left -= records
        self._until = now + DIRECTORY_CATCH_UP_PAUSE_SECONDS
        if self._left <= 0:
            self._source = None

    def gone(self, peer: PeerKey) -> None:
        """The link to ``peer`` is gone."""
        self._were_sources.discard(peer)
        if peer == self._source:
            self._source = None


def _lacking(frame: DirectoryRanges, hashes: Sequence[bytes]) -> int:
    """By how many records the peer's ranges are larger than ours."""
    lacking = 0
    for item in frame.ranges:
        first, last = Bounds(item.lower, item.upper).slice_of(hashes)
        lacking += max(0, item.count - (last - first))
    return lacking
