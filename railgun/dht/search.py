"""A lookup that is under way: connects the decisions (`lookup`) with the requests (`exchange`).

Owns: asking, reading answers, checking the records in them. Must not know: tables, what the result is for.

Spec: docs/spec/dht.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from railgun.dht.contacts import Contact, ContactReader
from railgun.dht.counters import DhtCounters
from railgun.dht.exchange import Exchange, Reply
from railgun.dht.lookup import Lookup
from railgun.dht.messages import FindNodes, FindRecords, Found
from railgun.dht.records import SignedRecord, read_record
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import DHT_LOOKUP_SECONDS
from railgun.ports import Clock


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a lookup has found.

    Attributes:
        records: the newest of each item, in ascending order of items.
        nearest: nodes nearest to the target that answered, nearest first.
        is_certain: enough holders have answered.
        hops: requests that had to follow one another.
        next_item: where to go on if holders had more; None if not.
    """

    records: tuple[SignedRecord, ...]
    nearest: tuple[Contact, ...]
    is_certain: bool
    hops: int
    next_item: int | None


class Search:
    """One lookup over an exchange. ``result`` is a future."""

    def __init__(
        self,
        lookup: Lookup,
        request: FindNodes | FindRecords,
        *,
        exchange: Exchange,
        reader: ContactReader,
        counters: DhtCounters,
        clock: Clock,
        consider: Callable[[Contact], None],
    ) -> None:
        """``consider`` hears of every contact that an answer names."""
        self._lookup = lookup
        self._consider = consider
        self._exchange = exchange
        self._reader = reader
        self._counters = counters
        self._clock = clock
        self._request = request
        self._checked: dict[bytes, SignedRecord] = {}
        self._page_end: int | None = None
        self.result: asyncio.Future[SearchResult] = asyncio.get_running_loop().create_future()
        self._timer = asyncio.get_running_loop().call_later(DHT_LOOKUP_SECONDS, self._finish)
        self._go_on()

    def close(self) -> None:
        """End with what there is. Idempotent."""
        self._finish()

    def _go_on(self) -> None:
        """Ask whom there is to ask, and finish when there is no more need."""
        while not self.result.done():
            refused = False
            for contact in self._lookup.to_ask():
                if not self._ask(contact):
                    self._lookup.failed(contact)
                    refused = True
            if not refused:
                break
        if not self.result.done() and self._lookup.is_done:
            self._finish()

    def _ask(self, contact: Contact) -> bool:
        def done(reply: Reply | None) -> None:
            self._replied(contact, reply)

        def late() -> None:
            if not self.result.done():
                self._lookup.late(contact)
                self._go_on()

        return self._exchange.ask(contact, self._request, done, late)

    def _replied(self, contact: Contact, reply: Reply | None) -> None:
        if self.result.done():
            return
        if reply is None or not isinstance(reply.answer, Found):
            self._lookup.failed(contact)
        else:
            self._read(contact, reply.answer)
        self._go_on()

    def _read(self, contact: Contact, found: Found) -> None:
        contacts: list[Contact] = []
        for raw in found.contacts:
            try:
                contacts.append(self._reader.read(raw))
            except MalformedInput:
                self._counters.contacts_refused += 1
        records = [signed for encoded in found.records if (signed := self._check(encoded, contact)) is not None]
        if self._exchange.misconduct.is_noted(contact.node_key, self._clock.monotonic()):
            self._lookup.failed(contact)  # what it says of others counts no more than its records
            return
        if found.more and records:
            last = max(signed.record.item for signed in records)
            self._page_end = last if self._page_end is None else min(self._page_end, last)
        self._lookup.answered(contact, contacts, records)
        for other in contacts:
            self._consider(other)

    def _check(self, encoded: bytes, contact: Contact) -> SignedRecord | None:
        """The record, if it is valid and lies here. Equal ones of several holders are checked once."""
        known = self._checked.get(encoded)
        if known is not None:
            return known
        try:
            signed = read_record(encoded, now=self._clock.wall())
            request = self._request
            if not isinstance(request, FindRecords) or signed.key != request.key or signed.record.item < request.first:
                raise MalformedInput("a record that was not asked for")
        except MalformedInput as error:
            self._counters.records_poisoned += 1
            if error.code is not RefusalCode.OUTSIDE_WINDOW:  # an honest holder's clock may be off, its checks not
                self._exchange.misconduct.note(contact.node_key, self._clock.monotonic())
            return None
        self._checked[encoded] = signed
        return signed

    def _finish(self) -> None:
        self._timer.cancel()
        if self.result.done():
            return
        lookup = self._lookup
        self._counters.lookups += 1
        self._counters.lookups_certain += lookup.is_certain
        self.result.set_result(
            SearchResult(
                records=tuple(lookup.records[item] for item in sorted(lookup.records)),
                nearest=tuple(lookup.nearest()),
                is_certain=lookup.is_certain,
                hops=lookup.hops,
                next_item=None if self._page_end is None else self._page_end + 1,
            )
        )
