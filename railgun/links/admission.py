"""How much of the listener any part of the internet may use.

Owns: token buckets per prefix, and the quotas on unfinished handshakes. Pure: time is passed in.
Must not know: datagrams, sessions.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from railgun.limits import TOKEN_BUCKET_CELLS

K = TypeVar("K", bound=Hashable)
H = TypeVar("H", bound=Hashable)


@functools.lru_cache(maxsize=4_096)
def prefix_of(host: str) -> bytes:
    """The /24 of an IPv4 address or the /48 of an IPv6 address, as bytes that name it."""
    packed = ipaddress.ip_address(host).packed
    return packed[:3] if len(packed) == 4 else packed[:6]


class TokenBuckets:
    """One bucket a cell; a keyed hash of the prefix picks the cell."""

    def __init__(self, per_second: float, burst: float, salt: bytes) -> None:
        """``salt``: 16 random bytes, so that nobody can aim at another's cell."""
        self._per_second = per_second
        self._burst = burst
        self._salt = salt
        self._levels = [burst] * TOKEN_BUCKET_CELLS
        self._filled_at = [0.0] * TOKEN_BUCKET_CELLS

    def take(self, host: str, now: float) -> bool:
        """Take one token for ``host``'s prefix; False when there is none. ``now`` is monotonic seconds."""
        digest = hashlib.blake2b(prefix_of(host), key=self._salt, digest_size=2).digest()
        cell = int.from_bytes(digest, "big") % TOKEN_BUCKET_CELLS
        level = min(self._burst, self._levels[cell] + (now - self._filled_at[cell]) * self._per_second)
        self._filled_at[cell] = now
        if level < 1.0:
            self._levels[cell] = level
            return False
        self._levels[cell] = level - 1.0
        return True


@dataclass(slots=True)
class _HalfOpen:
    host: str
    prefix: bytes
    since: float


@dataclass(slots=True)
class HalfOpenTable(Generic[K]):
    """Handshakes under way. The newest is never refused: the oldest within a full quota goes.

    Bounded by ``total_max``; the quotas bound what one address or prefix can take of it.
    """

    total_max: int
    per_address_max: int
    per_prefix_max: int
    _all: OrderedDict[K, _HalfOpen] = field(default_factory=OrderedDict)
    _by_address: dict[str, OrderedDict[K, None]] = field(default_factory=dict)
    _by_prefix: dict[bytes, OrderedDict[K, None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, key: K, host: str, now: float) -> list[K]:
        """Enter a new handshake; returns those that it evicts."""
        entry = _HalfOpen(host, prefix_of(host), now)
        evicted: list[K] = []
        for scope, most in (
            (self._by_address.get(entry.host), self.per_address_max),
            (self._by_prefix.get(entry.prefix), self.per_prefix_max),
            (self._all, self.total_max),
        ):
            if scope is not None and len(scope) >= most:
                oldest = next(iter(scope))
                self.remove(oldest)
                evicted.append(oldest)
        self._all[key] = entry
        self._by_address.setdefault(entry.host, OrderedDict())[key] = None
        self._by_prefix.setdefault(entry.prefix, OrderedDict())[key] = None
        return evicted

    def remove(self, key: K) -> None:
        """A handshake ended, either way. Idempotent."""
        entry = self._all.pop(key, None)
        if entry is None:
            return
        self._drop(self._by_address, entry.host, key)
        self._drop(self._by_prefix, entry.prefix, key)

    def expire(self, now: float, seconds: float) -> list[K]:
        """Remove and return those that took longer than ``seconds``."""
        expired: list[K] = []
        while self._all:
            key, entry = next(iter(self._all.items()))
            if now - entry.since < seconds:
                break
            self.remove(key)
            expired.append(key)
        return expired

    @staticmethod
    def _drop(index: dict[H, OrderedDict[K, None]], name: H, key: K) -> None:
        keys = index[name]
        del keys[key]
        if not keys:
            del index[name]
