"""How much others may ask.

Owns: token buckets, one for all and one a part of the internet, and who has misbehaved lately. Pure: time is passed in.
Must not know: what is asked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from railgun.limits import DHT_MISCONDUCT_MAX, DHT_MISCONDUCT_SECONDS, DHT_RATE_CELLS
from railgun.types import NodeKey


class PrefixRates:
    """A token bucket a cell; a keyed hash of the prefix picks the cell, so that nobody can aim at another's."""

    def __init__(self, per_second: float, burst: float, salt: bytes, now: float, cells: int = DHT_RATE_CELLS) -> None:
        """``salt``: 16 random bytes. ``cells`` = 1 makes one bucket for all."""
        self._per_second = per_second
        self._burst = burst
        self._salt = salt
        self._cells = cells
        self._since = now
        self._levels: dict[int, tuple[float, float]] = {}

    def take(self, prefix: bytes, now: float) -> bool:
        """Take one token of the prefix; False when there is none."""
        digest = hashlib.blake2b(prefix, key=self._salt, digest_size=4).digest()
        cell = int.from_bytes(digest, "big") % self._cells
        level, since = self._levels.get(cell, (self._burst, self._since))
        level = min(self._burst, level + (now - since) * self._per_second)
        taken = level >= 1.0
        self._levels[cell] = (level - 1.0 if taken else level, now)
        return taken


class Misconduct:
    """Nodes that sent what no honest node sends, for a while. Steers only whom this node asks and heeds."""

    def __init__(self) -> None:
        self._until: OrderedDict[NodeKey, float] = OrderedDict()

    def note(self, node_key: NodeKey, now: float) -> None:
        """Shun the node for DHT_MISCONDUCT_SECONDS."""
        self._until[node_key] = now + DHT_MISCONDUCT_SECONDS
        self._until.move_to_end(node_key)
        if len(self._until) > DHT_MISCONDUCT_MAX:
            self._until.popitem(last=False)

    def is_noted(self, node_key: NodeKey, now: float) -> bool:
        """Whether the node is shunned."""
        until = self._until.get(node_key)
        if until is None:
            return False
        if until <= now:
            del self._until[node_key]
            return False
        return True
