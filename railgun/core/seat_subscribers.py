"""The subscribers of one tag at one seat, and what each has been sent.

Owns: modes, numbered deliveries and digests. Must not know: signatures, other seats, links.

Fan-out is the hot path: every primary gets one and the same frame, and nothing is noted for any of them. A frame that
a full link swallows shows as a gap in the numbering, and the subscriber pulls it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from railgun.core.counters import RelayCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.tag_store import Held, TagStore
from railgun.limits import IDS_PER_FRAME_MAX
from railgun.types import PeerKey, Tag
from railgun.wire.frames import Deliver, Digest, Subscribe, Subscribed, SubscriptionMode, TagNumber


@dataclass(slots=True)
class _Subscriber:
    mode: SubscriptionMode
    told_through: int
    """Secondaries: the last number that a digest named."""
    own: list[int] = field(default_factory=list)
    """Primaries: numbers of their own publishes, which are named and not sent back."""


class SeatSubscribers:
    """Who gets what of one tag."""

    def __init__(self, tag: Tag, store: TagStore, incarnation: bytes, counters: RelayCounters) -> None:
        self._tag = tag
        self._store = store
        self._incarnation = incarnation
        self._counters = counters
        self._subscribers: dict[PeerKey, _Subscriber] = {}
        self._primaries: tuple[PeerKey, ...] = ()
        self._has_secondaries = False
        self._digests_due = False
        self._told = TagNumber(tag, 0)

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def peers(self) -> tuple[PeerKey, ...]:
        return tuple(self._subscribers)

    def has(self, peer: PeerKey) -> bool:
        return peer in self._subscribers

    def number_for(self, peer: PeerKey) -> TagNumber | None:
        """What a pulse to the peer repeats; None if it is no subscriber."""
        if peer not in self._subscribers:
            return None
        last = self._store.last_number
        if self._told.last_number != last:
            self._told = TagNumber(self._tag, last)
        return self._told

    def subscribe(self, peer: PeerKey, frame: Subscribe, seats_hash: bytes, out: Effects) -> None:
        """Answer, name all ids that the peer lacks, and (but for an audit) serve it from now on."""
        last = self._store.last_number
        out.append(SendFrame((peer,), Subscribed(self._tag, frame.mode, seats_hash, self._incarnation, last)))
        known = frame.from_number if frame.incarnation == self._incarnation else 1
        self._send_digests((peer,), max(known, 1), last, out)
        if frame.mode is not SubscriptionMode.AUDIT:
            self._subscribers[peer] = _Subscriber(frame.mode, last)
            self._count()

    def drop(self, peer: PeerKey) -> None:
        """Idempotent."""
        if self._subscribers.pop(peer, None) is not None:
            self._count()

    def _count(self) -> None:
        self._primaries = tuple(
            peer for peer, item in self._subscribers.items() if item.mode is SubscriptionMode.PRIMARY
        )
        self._has_secondaries = len(self._primaries) < len(self._subscribers)

    def deliver(self, held: Held, publisher: PeerKey | None, out: Effects) -> None:
        """To every primary at once; secondaries, and the publisher itself, get a digest at the turn's end."""
        primaries = self._primaries
        own = None if publisher is None else self._subscribers.get(publisher)
        if own is not None and own.mode is SubscriptionMode.PRIMARY:
            own.own.append(held.number)
            self._digests_due = True
            primaries = tuple(peer for peer in primaries if peer != publisher)
        if self._has_secondaries:
            self._digests_due = True
        if primaries:
            self._counters.deliveries += len(primaries)
            out.append(SendFrame(primaries, Deliver(held.number, held.envelope)))

    def flush(self, out: Effects) -> None:
        """Send the digests that this turn gathered."""
        if not self._digests_due:
            return
        self._digests_due = False
        last = self._store.last_number
        behind: dict[int, list[PeerKey]] = {}
        for peer, subscriber in self._subscribers.items():
            if subscriber.mode is SubscriptionMode.SECONDARY and subscriber.told_through < last:
                behind.setdefault(subscriber.told_through, []).append(peer)
                subscriber.told_through = last
            for number in subscriber.own:
                self._send_digests((peer,), number, number, out)
            subscriber.own.clear()
        for told_through, peers in behind.items():
            self._send_digests(tuple(peers), told_through + 1, last, out)

    def _send_digests(self, peers: tuple[PeerKey, ...], first_number: int, last: int, out: Effects) -> None:
        for first in range(first_number, last + 1, IDS_PER_FRAME_MAX):
            count = min(IDS_PER_FRAME_MAX, last + 1 - first)
            out.append(SendFrame(peers, Digest(self._tag, first, self._store.ids_from(first, count))))
