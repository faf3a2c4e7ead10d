"""How long a directory keeps a record, and which nodes it drops when there are too many.

Owns: the two rules. Must not know: the records' signatures, or who asks.

Spec: docs/spec/directory.md, retention and overflow. Both rules are functions of the set of records (and the time),
never of the order in which they came, so that peers who hear the same end up with the same.
"""

from __future__ import annotations

import bisect
import heapq
from typing import Final

from railgun.crypto.hashing import keyed_hash
from railgun.network import NetworkParameters
from railgun.types import NodeKey

KEEP_LABEL: Final = "railgun/keep/v1"


def tail_seconds(network: NetworkParameters) -> int:
    """How long an epoch is still served after its end: 2 O, and O more for skewed clocks."""
    return 3 * network.overlap_seconds


def kept_until(instant: int, network: NetworkParameters) -> int:
    """When a node's newest ad, or an obituary, may go: once nothing older of that node can live any more.

    ``instant`` is the ad's issue or the obituary's date. Leaving publishes an ad that expires at once; it has to
    outlive what it revokes, so the lifetime counts from its issue.
    """
    return instant + network.ad_lifetime_seconds + network.epoch_seconds + tail_seconds(network)


def superseded_until(successor_instant: int, network: NetworkParameters) -> int:
    """When an ad may go whose node issued a newer one at ``successor_instant``: no open epoch cuts off before that."""
    return successor_instant + 2 * network.epoch_seconds + tail_seconds(network)


class OverflowOrder:
    """Nodes by the order in which they would be dropped.

    Each prefix ranks its nodes by H(-, 'railgun/keep/v1', node key); the node of the highest rank goes first, of equal
    ranks that of the greatest hash. Adding nodes never brings back one that was dropped, so peers that drop one at a
    time agree with one who sees all at once.
    """

    __slots__ = ("_heap", "_members", "_prefix_of")

    def __init__(self) -> None:
        self._prefix_of: dict[NodeKey, bytes] = {}
        self._members: dict[bytes, list[tuple[bytes, NodeKey]]] = {}
        self._heap: list[tuple[int, int, bytes]] = []
        """(-rank, -hash, prefix) of prefixes' last nodes; entries that no longer hold are passed over."""

    def __len__(self) -> int:
        return len(self._prefix_of)

    def place(self, node_key: NodeKey, prefix: bytes) -> None:
        """Add a node, or move it to another prefix."""
        if self._prefix_of.get(node_key) == prefix:
            return
        self.remove(node_key)
        self._prefix_of[node_key] = prefix
        bisect.insort(self._members.setdefault(prefix, []), (_keep_hash(node_key), node_key))
        self._note_last(prefix)

    def remove(self, node_key: NodeKey) -> None:
        """Forget a node; nothing happens if it is unknown."""
        prefix = self._prefix_of.pop(node_key, None)
        if prefix is None:
            return
        members = self._members[prefix]
        del members[bisect.bisect_left(members, (_keep_hash(node_key), node_key))]
        if members:
            self._note_last(prefix)
        else:
            del self._members[prefix]

    def last(self) -> NodeKey:
        """The node to drop next. Raises IndexError if there is none."""
        while True:
            rank, keep_hash, prefix = self._heap[0]
            members = self._members.get(prefix)
            if members and (1 - len(members), -int.from_bytes(members[-1][0], "big")) == (rank, keep_hash):
                return members[-1][1]
            heapq.heappop(self._heap)

    def _note_last(self, prefix: bytes) -> None:
        members = self._members[prefix]
        heapq.heappush(self._heap, (1 - len(members), -int.from_bytes(members[-1][0], "big"), prefix))
        if len(self._heap) > 4 * len(self._members) + 64:
            self._heap = [
                (1 - len(group), -int.from_bytes(group[-1][0], "big"), name) for name, group in self._members.items()
            ]
            heapq.heapify(self._heap)


def _keep_hash(node_key: NodeKey) -> bytes:
    return keyed_hash(None, KEEP_LABEL, node_key)
