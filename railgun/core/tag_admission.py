"""Which tags a relay has room for, and which give way when it has none.

Owns: who opened each tag, how many each has open, the caps, the choice of a victim. Must not know: how tags are opened
or closed, proofs, frames (spec: delivery, "Opening a tag").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from railgun.core.seat import Seat, TagStanding
from railgun.errors import PeerError, RefusalCode
from railgun.limits import TAGS_MAX, TAGS_OPENED_BY_RELAY_MAX, TAGS_PER_PEER_MAX
from railgun.types import PeerKey, Tag


@dataclass(frozen=True, slots=True)
class _Opened:
    by: PeerKey
    proved: bool


class TagAdmission:
    """Bookkeeping of the tags in ``seats``, which the owner fills and empties."""

    def __init__(self, seats: Mapping[Tag, Seat]) -> None:
        self._seats = seats
        self._opened: dict[Tag, _Opened] = {}
        self._counts: dict[PeerKey, int] = {}

    def opened_by(self, peer: PeerKey) -> int:
        """How many of the tags that are open a peer has opened."""
        return self._counts.get(peer, 0)

    def check(self, peer: PeerKey, *, proved: bool) -> Tag | None:
        """Whether ``peer`` may open one more tag, and which other must give way to it (None: there is room).

        ``proved``: it shows that it knows the tag's key, as clients do and seats do not.

        Raises PeerError: QUOTA_EXCEEDED where it has opened its share, BUSY where none gives way.
        """
        if self.opened_by(peer) >= (TAGS_PER_PEER_MAX if proved else TAGS_OPENED_BY_RELAY_MAX):
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "tags of one peer", penalty_points=0)
        if len(self._seats) < TAGS_MAX:
            return None
        victim = self._victim(peer, TagStanding.SUBSCRIBED if proved else TagStanding.OPENED)
        if victim is None:
            raise PeerError(RefusalCode.BUSY, "tags", penalty_points=0)
        return victim

    def enter(self, tag: Tag, peer: PeerKey, *, proved: bool) -> None:
        """``peer`` has opened the tag."""
        self._opened[tag] = _Opened(peer, proved)
        self._counts[peer] = self.opened_by(peer) + 1

    def prove(self, tag: Tag, peer: PeerKey) -> None:
        """A client has shown a tag that only a seat had told of: it no longer counts against that seat."""
        opened = self._opened.get(tag)
        if opened is not None and not opened.proved and self.opened_by(peer) < TAGS_PER_PEER_MAX:
            self.leave(tag)
            self.enter(tag, peer, proved=True)

    def leave(self, tag: Tag) -> None:
        """The tag was closed. Idempotent."""
        opened = self._opened.pop(tag, None)
        if opened is None:
            return
        left = self._counts[opened.by] - 1
        if left:
            self._counts[opened.by] = left
        else:
            del self._counts[opened.by]

    def _victim(self, peer: PeerKey, standing: TagStanding) -> Tag | None:
        """Of the tags that hold nothing: one of lower standing, else one of whoever has opened more than ``peer``
        will have. The lowest first, then those of whoever has opened most, then the oldest."""
        best: tuple[int, int] | None = None
        victim: Tag | None = None
        own_count = self.opened_by(peer) + 1
        for tag, seat in self._seats.items():
            found = seat.standing
            if found is TagStanding.HOLDS or found > standing:
                continue
            count = self.opened_by(self._opened[tag].by)
            if found == standing and count <= own_count:
                continue
            rank = (found, -count)
            if best is None or rank < best:
                best, victim = rank, tag
        return victim
