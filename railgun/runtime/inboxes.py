"""What links bring and the machine has not handled yet: one inbox a peer.

Owns: the order of one peer's events, whose turn it is, how much may wait. Must not know: what events mean, the machine.

Each peer may fill what the others have left free, and a little in any case: a flood takes half of the room at most, two
floods a third each, and there is always room for the next peer. What does not fit is lost to its own sender, as a link
loses frames. Peers are served in turn, a few events at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from railgun.limits import (
    PEER_EVENT_BYTES_QUEUE_MAX,
    PEER_EVENT_BYTES_SURE,
    PEER_EVENTS_QUEUE_MAX,
    PEER_EVENTS_SURE,
)
from railgun.types import PeerKey

Item = TypeVar("Item")
EVENTS_PER_VISIT: Final = 8


@dataclass(slots=True)
class _Inbox(Generic[Item]):
    items: deque[tuple[Item, int]] = field(default_factory=deque)
    total_bytes: int = 0


class Inboxes(Generic[Item]):
    """Bounded, fair queues by peer."""

    def __init__(self) -> None:
        self._inboxes: dict[PeerKey, _Inbox[Item]] = {}
        self._turns: deque[PeerKey] = deque()
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Items that wait."""
        return self._count

    def offer(self, peer: PeerKey, item: Item, size_bytes: int) -> bool:
        """Queue what a peer caused; False (and nothing queued) where the peer has its share waiting already."""
        inbox = self._inboxes.get(peer)
        if inbox is not None:
            free = max(PEER_EVENTS_SURE, PEER_EVENTS_QUEUE_MAX - self._count)
            free_bytes = max(PEER_EVENT_BYTES_SURE, PEER_EVENT_BYTES_QUEUE_MAX - self._bytes)
            if len(inbox.items) >= free or inbox.total_bytes + size_bytes > free_bytes:
                return False
        self.put(peer, item, size_bytes)
        return True

    def put(self, peer: PeerKey, item: Item, size_bytes: int = 0) -> None:
        """Queue in any case: what this node itself found out about the peer's link."""
        inbox = self._inboxes.get(peer)
        if inbox is None:
            inbox = self._inboxes[peer] = _Inbox()
            self._turns.append(peer)
        inbox.items.append((item, size_bytes))
        inbox.total_bytes += size_bytes
        self._count += 1
        self._bytes += size_bytes

    def take(self, most: int) -> Iterator[Item]:
        """Up to ``most`` items: each peer's in their order, peers in turn. What is queued meanwhile may come along."""
        left = most
        while self._turns and left > 0:
            peer = self._turns[0]
            inbox = self._inboxes[peer]
            for _ in range(min(EVENTS_PER_VISIT, len(inbox.items), left)):
                item, size_bytes = inbox.items.popleft()
                inbox.total_bytes -= size_bytes
                self._count -= 1
                self._bytes -= size_bytes
                left -= 1
                yield item
            self._turns.popleft()
            if inbox.items:
                self._turns.append(peer)
            else:
                del self._inboxes[peer]

    def clear(self) -> None:
        """Forget everything."""
        self._inboxes.clear()
        self._turns.clear()
        self._count = self._bytes = 0
