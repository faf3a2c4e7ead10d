"""Which tags a relay has room for, and which give way when it has none.

Owns: who opened each tag, how many each has open, the caps, the choice of a victim. Must not know: how tags are opened
or closed, proofs, frames (spec: delivery, "Opening a tag").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from railgun.core.seat import Seat, TagStanding
from railgun.errors import PeerError, RefusalCode
from railgun.limits import TAGS_MAX, TAGS_OPENED_BY_RELAY_MAX, TAGS_PER_PEER_MAX, TAGS_PER_PREFIX_MAX
from railgun.types import PeerKey, Tag


@dataclass(frozen=True, slots=True)
class Opener:
    """Who shows a tag. ``proved``: it knows the tag's key, as clients do and seats do not. ``prefix``: the network
    prefix that it shares a quota with; empty for none."""

    key: PeerKey
    proved: bool
    prefix: bytes = b""


class TagAdmission:
    """Bookkeeping of the tags in ``seats``, which the owner fills and empties."""

    def __init__(self, seats: Mapping[Tag, Seat]) -> None:
        self._seats = seats
        self._opened: dict[Tag, Opener] = {}
        self._counts: dict[bytes, int] = {}
        """Of peers by key (32 bytes) and of prefixes (3 or 6 bytes)."""

    def opened_by(self, peer: bytes) -> int:
        """How many of the tags that are open a peer, or the peers of a prefix, have opened."""
        return self._counts.get(peer, 0)

    def check(self, opener: Opener) -> Tag | None:
        """Whether ``opener`` may open one more tag, and which other must give way to it (None: there is room).

        Raises PeerError: QUOTA_EXCEEDED where it has opened its share, BUSY where none gives way.
        """
        if self.opened_by(opener.key) >= (TAGS_PER_PEER_MAX if opener.proved else TAGS_OPENED_BY_RELAY_MAX):
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "tags of one peer", penalty_points=0)
        if opener.prefix and self.opened_by(opener.prefix) >= TAGS_PER_PREFIX_MAX:
            raise PeerError(RefusalCode.QUOTA_EXCEEDED, "tags of one prefix", penalty_points=0)
        if len(self._seats) < TAGS_MAX:
            return None
        victim = self._victim(opener.key, TagStanding.SUBSCRIBED if opener.proved else TagStanding.OPENED)
        if victim is None:
            raise PeerError(RefusalCode.BUSY, "tags", penalty_points=0)
        return victim

    def enter(self, tag: Tag, opener: Opener) -> None:
        """``opener`` has opened the tag."""
        self._opened[tag] = opener
        for name in _accounts(opener):
            self._counts[name] = self.opened_by(name) + 1

    def prove(self, tag: Tag, opener: Opener) -> None:
        """A client has shown a tag that only a seat had told of: it no longer counts against that seat."""
        opened = self._opened.get(tag)
        if opened is not None and not opened.proved and self.opened_by(opener.key) < TAGS_PER_PEER_MAX:
            self.leave(tag)
            self.enter(tag, opener)

    def leave(self, tag: Tag) -> None:
        """The tag was closed. Idempotent."""
        opened = self._opened.pop(tag, None)
        if opened is None:
            return
        for name in _accounts(opened):
            left = self._counts[name] - 1
            if left:
                self._counts[name] = left
            else:
                del self._counts[name]

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
            count = self.opened_by(self._opened[tag].key)
            if found == standing and count <= own_count:
                continue
            rank = (found, -count)
            if best is None or rank < best:
                best, victim = rank, tag
        return victim


def _accounts(opener: Opener) -> tuple[bytes, ...]:
    return (opener.key, opener.prefix) if opener.prefix else (opener.key,)
