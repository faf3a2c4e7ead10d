"""What a node of the DHT does unasked: check who is still there, refresh its table, store records again.

Owns: the rhythm, and how much is done a turn. Must not know: datagrams, how lookups work.

Spec: docs/spec/dht.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Protocol

from railgun.dht.contacts import ID_BITS, Contact
from railgun.dht.counters import DhtCounters
from railgun.dht.records import SignedRecord
from railgun.dht.store import RecordStore
from railgun.dht.table import Bucket, Table
from railgun.errors import RailGunError, UsageError
from railgun.limits import (
    DHT_CHECKED_PER_TURN_MAX,
    DHT_MAINTAIN_SECONDS,
    DHT_PUBLISHED_MAX,
    DHT_REFRESH_SECONDS,
    DHT_REPUBLISH_SECONDS,
    DHT_REPUBLISHED_PER_TURN_MAX,
    DHT_SILENT_SECONDS,
)
from railgun.ports import Chooser, Clock

logger = logging.getLogger(__name__)


class Worker(Protocol):
    """What upkeep has the node do."""

    async def find_nodes(self, target: bytes) -> tuple[Contact, ...]:
        """A lookup for nodes."""

    async def put(self, signed: SignedRecord) -> int:
        """Store a record where it belongs; how many nodes hold it now."""

    def check(self, contact: Contact) -> None:
        """Ask whether it is there."""


class Upkeep:
    """See the module."""

    def __init__(
        self,
        worker: Worker,
        table: Table,
        store: RecordStore,
        *,
        clock: Clock,
        chooser: Chooser,
        counters: DhtCounters,
    ) -> None:
        self._worker = worker
        self._table = table
        self._store = store
        self._clock = clock
        self._chooser = chooser
        self._counters = counters
        self._own_lookup_seconds = 0.0
        self._own_lookup_at = clock.monotonic()
        self._published: OrderedDict[tuple[bytes, int], SignedRecord] = OrderedDict()
        self._stored_at: dict[tuple[bytes, int], float] = {}

    def publish(self, signed: SignedRecord, stored_at: float | None) -> None:
        """Store this record again and again until it expires, is replaced or withdrawn. ``stored_at``: monotonic
        seconds of when it was stored first; None if that is still to be done. Raises UsageError for too many."""
        name = (signed.key, signed.record.item)
        if name not in self._published and len(self._published) >= DHT_PUBLISHED_MAX:
            raise UsageError(f"{DHT_PUBLISHED_MAX} records are published already; withdraw some first")
        self._published[name] = signed
        self._stored_at.pop(name, None)
        if stored_at is not None:
            self._stored_at[name] = stored_at

    def withdraw(self, key: bytes, item: int) -> None:
        """Store it no more; what others hold expires. Idempotent."""
        self._published.pop((key, item), None)
        self._stored_at.pop((key, item), None)

    async def run(self) -> None:
        """Until cancelled. A turn's failure is logged and counted, and the next one comes."""
        while True:
            await asyncio.sleep(DHT_MAINTAIN_SECONDS * (0.75 + 0.5 * self._chooser.random()))
            try:
                await self.turn()
            except RailGunError as error:
                logger.warning("upkeep of the DHT: %s", error)
            except Exception:
                # A mistake of ours, of whatever kind, must not end all upkeep: what is due is due again next turn. It
                # is logged with its trace, and tests hold the counter at 0.
                self._counters.internal_errors += 1
                logger.exception("upkeep of the DHT")

    async def turn(self) -> None:
        """Do what is due now."""
        self._store.sweep()
        self._check_silent()
        await self._look_around()
        for bucket in self._table.stale_buckets(DHT_REFRESH_SECONDS)[:1]:
            bucket.touch_last_updated()
            await self._worker.find_nodes(self.target_in(bucket))
        await self._store_own()
        for signed in self._store.due(DHT_REPUBLISH_SECONDS, DHT_REPUBLISHED_PER_TURN_MAX):
            self._store.refreshed(signed)
            await self._worker.put(signed)

    async def _look_around(self) -> None:
        """Look for the own id: often at first, when few know this node and it knows few, then once an hour."""
        now = self._clock.monotonic()
        if now - self._own_lookup_at >= self._own_lookup_seconds:
            self._own_lookup_at = now
            self._own_lookup_seconds = min(2 * self._own_lookup_seconds + DHT_MAINTAIN_SECONDS, DHT_REFRESH_SECONDS)
            await self._worker.find_nodes(self._table.node.id)

    def target_in(self, bucket: Bucket) -> bytes:
        """A random id of the bucket's range, 20 bytes."""
        lower, upper = bucket.range
        return self._chooser.randrange(lower, upper + 1).to_bytes(ID_BITS // 8, "big")

    def _check_silent(self) -> None:
        limit = self._clock.monotonic() - DHT_SILENT_SECONDS
        silent = [contact for contact in self._table.contacts() if contact.heard_at < limit]
        silent.sort(key=lambda contact: (contact.heard_at, contact.long_id))
        for contact in silent[:DHT_CHECKED_PER_TURN_MAX]:
            self._worker.check(contact)

    async def _store_own(self) -> None:
        now, wall = self._clock.monotonic(), self._clock.wall()
        for name in [name for name, signed in self._published.items() if signed.record.expires <= wall]:
            self.withdraw(*name)
        due = [
            name
            for name in self._published
            if self._stored_at.get(name, -DHT_REPUBLISH_SECONDS) + DHT_REPUBLISH_SECONDS <= now
        ]
        for name in due[:DHT_REPUBLISHED_PER_TURN_MAX]:
            signed = self._published.get(name)
            if signed is not None and await self._worker.put(signed):
                self._stored_at[name] = now
