"""Records that a node holds for others.

Owns: which are kept, under which caps, which give way, which are due to be stored again.
Must not know: datagrams, lookups; time is passed in.

Spec: docs/spec/dht.md. Behind the library's `IStorage`, values are tuples of encoded records; nothing enters unchecked,
not even through `__setitem__`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kademlia.storage import IStorage

from railgun.dht.counters import DhtCounters
from railgun.dht.records import RecordFromFuture, SignedRecord, read_record
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import (
    DHT_BYTES_PER_SOURCE_MAX,
    DHT_KEY_BYTES_MAX,
    DHT_RECORDS_MAX,
    DHT_RECORDS_PER_PREFIX_MAX,
    DHT_RECORDS_PER_SOURCE_MAX,
    DHT_STORE_BYTES_MAX,
)


@dataclass(frozen=True, slots=True)
class Source:
    """Who brought a record: its node key and the part of the internet that it sits in."""

    node_key: bytes
    prefix: bytes


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Caps of one store; see the names in `railgun.limits`."""

    records_max: int = DHT_RECORDS_MAX
    bytes_max: int = DHT_STORE_BYTES_MAX
    key_bytes_max: int = DHT_KEY_BYTES_MAX
    source_records_max: int = DHT_RECORDS_PER_SOURCE_MAX
    source_bytes_max: int = DHT_BYTES_PER_SOURCE_MAX
    prefix_records_max: int | None = DHT_RECORDS_PER_PREFIX_MAX


@dataclass(slots=True)
class _Held:
    signed: SignedRecord
    source: Source
    refreshed_at: float


@dataclass(slots=True)
class _Usage:
    records: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Books:
    """What each source takes up; entries go with their last record."""

    usage: dict[bytes, _Usage] = field(default_factory=dict)

    def of(self, name: bytes) -> _Usage:
        return self.usage.get(name) or _Usage()

    def add(self, name: bytes, size: int, sign: int) -> None:
        usage = self.usage.setdefault(name, _Usage())
        usage.records += sign
        usage.bytes += sign * size
        if usage.records == 0:
            del self.usage[name]


class RecordStore(IStorage):  # type: ignore[misc] # the library has no types
    """See the module."""

    def __init__(
        self,
        own_id: bytes,
        *,
        counters: DhtCounters,
        wall: Callable[[], float],
        now: Callable[[], float],
        limits: StoreLimits,
    ) -> None:
        """``own_id``: 20 bytes. ``wall`` gives Unix seconds, ``now`` monotonic ones."""
        self._own = int.from_bytes(own_id, "big")
        self._own_source = Source(own_id, b"")
        self._counters = counters
        self._wall = wall
        self._now = now
        self._limits = limits
        self._held: dict[bytes, dict[int, _Held]] = {}
        self._farthest: list[tuple[int, bytes]] = []
        """A heap of (minus distance, key), one entry a key; entries of keys that are gone are dropped when met."""
        self._books = _Books()
        self._prefixes = _Books()
        self._total = _Usage()

    # --- writing --------------------------------------------------------------------------------

    def offer(self, encoded: bytes, source: Source) -> RefusalCode | None:
        """Hold a record, or one as new that is held already: None. Otherwise why not. Never raises for its content."""
        try:
            signed = read_record(encoded, now=self._wall())
        except MalformedInput as error:
            self._counters.refused(error.code)
            self._counters.records_from_future += isinstance(error, RecordFromFuture)
            return error.code
        code = self._keep(signed, source)
        if code is not None:
            self._counters.refused(code)
        return code

    def _keep(self, signed: SignedRecord, source: Source) -> RefusalCode | None:
        key, item = signed.key, signed.record.item
        items = self._held.get(key, {})
        old = items.get(item)
        if old is not None and old.signed.rank >= signed.rank:
            if old.signed.rank > signed.rank:
                return RefusalCode.CONFLICT
            old.refreshed_at = self._now()
            return None
        size = len(signed.encoded)
        if sum(len(held.signed.encoded) for number, held in items.items() if number != item) + size > (
            self._limits.key_bytes_max
        ):
            return RefusalCode.QUOTA_EXCEEDED
        if not self._source_may_bring(source, size, old):
            return RefusalCode.QUOTA_EXCEEDED
        if old is not None:
            self._remove(key, item)
        if not self._make_room(int.from_bytes(key, "big") ^ self._own, size):
            if old is not None:  # its successor found no room, but it had one
                self._insert(key, old)
            return RefusalCode.QUOTA_EXCEEDED
        self._insert(key, _Held(signed, source, self._now()))
        self._counters.records_stored += 1
        return None

    def _source_may_bring(self, source: Source, size: int, old: _Held | None) -> bool:
        limits = self._limits
        usage, prefix = self._books.of(source.node_key), self._prefixes.of(source.prefix)
        ours = old is not None and old.source.node_key == source.node_key
        near = old is not None and old.source.prefix == source.prefix
        freed = len(old.signed.encoded) if old is not None and ours else 0
        return (
            usage.records - ours < limits.source_records_max
            and usage.bytes - freed + size <= limits.source_bytes_max
            and (limits.prefix_records_max is None or prefix.records - near < limits.prefix_records_max)
        )

    def _make_room(self, distance: int, size: int) -> bool:
        """Evict the farthest keys' records while there is too much, unless the new one is farther still."""
        while self._total.records >= self._limits.records_max or self._total.bytes + size > self._limits.bytes_max:
            while self._farthest and self._farthest[0][1] not in self._held:
                heapq.heappop(self._farthest)
            if not self._farthest or -self._farthest[0][0] <= distance:
                return False
            key = self._farthest[0][1]
            for item in list(self._held[key]):
                self._remove(key, item)
                self._counters.records_evicted += 1
        return True

    def _insert(self, key: bytes, held: _Held) -> None:
        if key not in self._held:
            self._held[key] = {}
            heapq.heappush(self._farthest, (-(int.from_bytes(key, "big") ^ self._own), key))
            if len(self._farthest) > 2 * len(self._held) + 64:
                self._farthest = [(-(int.from_bytes(one, "big") ^ self._own), one) for one in self._held]
                heapq.heapify(self._farthest)
        self._held[key][held.signed.record.item] = held
        self._account(held, 1)

    def _remove(self, key: bytes, item: int) -> None:
        held = self._held[key].pop(item)
        if not self._held[key]:
            del self._held[key]
        self._account(held, -1)

    def _account(self, held: _Held, sign: int) -> None:
        size = len(held.signed.encoded)
        self._books.add(held.source.node_key, size, sign)
        self._prefixes.add(held.source.prefix, size, sign)
        self._total.records += sign
        self._total.bytes += sign * size

    def sweep(self) -> None:
        """Forget what has expired."""
        wall = self._wall()
        expired = [
            (key, item)
            for key, items in self._held.items()
            for item, held in items.items()
            if held.signed.record.expires <= wall
        ]
        for key, item in expired:
            self._remove(key, item)
        self._counters.records_expired += len(expired)

    # --- reading --------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._total.records

    @property
    def total_bytes(self) -> int:
        """Bytes of all records held."""
        return self._total.bytes

    @property
    def source_count(self) -> int:
        """Sources of which something is held."""
        return len(self._books.usage)

    def records(self, key: bytes, first: int = 0) -> list[SignedRecord]:
        """What is held under a key, from item ``first`` on, in ascending order of items, without what has expired."""
        items = self._held.get(key)
        if not items:
            return []
        wall = self._wall()
        return [
            items[item].signed
            for item in sorted(items)
            if item >= first and items[item].signed.record.expires > wall
        ]

    def due(self, seconds_old: float, count_max: int) -> list[SignedRecord]:
        """Records that nobody has stored here again for so long, the longest first; at most ``count_max``."""
        limit, wall = self._now() - seconds_old, self._wall()
        due = [
            (held.refreshed_at, key, item)
            for key, items in self._held.items()
            for item, held in items.items()
            if held.refreshed_at <= limit and held.signed.record.expires > wall
        ]
        return [self._held[key][item].signed for _, key, item in heapq.nsmallest(count_max, due)]

    def refreshed(self, signed: SignedRecord) -> None:
        """It has just been stored again with others."""
        held = self._held.get(signed.key, {}).get(signed.record.item)
        if held is not None:
            held.refreshed_at = self._now()

    # --- the library's seam ---------------------------------------------------------------------

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """Hold an encoded record of this node's own. Raises MalformedInput for one that is refused."""
        if read_record(value, now=self._wall()).key != key:
            raise MalformedInput("the record lies under another key")
        code = self.offer(value, self._own_source)
        if code is not None:
            raise MalformedInput("the record is refused", code)

    def __getitem__(self, key: bytes) -> tuple[bytes, ...]:
        """Encoded records under a key. Raises KeyError where there are none."""
        records = self.records(key)
        if not records:
            raise KeyError(key)
        return tuple(signed.encoded for signed in records)

    def get(self, key: bytes, default: Any = None) -> Any:
        """As `__getitem__`, or ``default``."""
        return tuple(signed.encoded for signed in self.records(key)) or default

    def iter_older_than(self, seconds_old: float) -> Iterator[tuple[bytes, bytes]]:
        """Key and encoding of each record that nobody has stored here again for so long."""
        return iter([(signed.key, signed.encoded) for signed in self.due(seconds_old, self._total.records)])

    def __iter__(self) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
        """Keys with their encoded records."""
        return iter([(key, self[key]) for key in list(self._held) if self.records(key)])
