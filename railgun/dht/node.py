"""A node of the DHT: join, find, store, remember.

Owns: the table, the store and the tasks of one node. Must not know: links, rooms, what records are for.

Spec: docs/spec/dht.md. Runs on any asyncio loop and any datagram carrier, real or virtual.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from railgun.crypto.identity import NodeIdentity
from railgun.dht.contacts import Contact, ContactReader, can_be_asked, target_node
from railgun.dht.counters import DhtCounters
from railgun.dht.exchange import Exchange, Reply
from railgun.dht.lookup import Lookup, LookupRules
from railgun.dht.messages import Answer, FindNodes, FindRecords, Ping, Refused, Request, Store, Stored
from railgun.dht.ports import DhtPorts
from railgun.dht.records import RecordKind, SignedRecord, record_key
from railgun.dht.responder import Responder
from railgun.dht.search import Search, SearchResult
from railgun.dht.session_keys import Agree, NodeAgreement
from railgun.dht.state import decode_state, encode_state
from railgun.dht.store import RecordStore, Source, StoreLimits
from railgun.dht.table import Bucket, Table
from railgun.dht.upkeep import Upkeep
from railgun.errors import DiscoveryError, RefusalCode, UsageError
from railgun.limits import (
    DHT_CONSIDERED_MAX,
    DHT_CONTACTS_READ_MAX,
    DHT_ITEMS_MAX,
    DHT_LOOKUPS_MAX,
    DHT_PATHS,
    DHT_QUORUM,
    DHT_REJOIN_AT_ONCE,
    DHT_REPLICAS,
)
from railgun.types import Address, NetworkId, NodeId

_JOIN_TRIES = 3
_OTHERS_SECONDS = 0.3
"""Once one node answers a joiner, how long it waits for the others that it asked: through one alone, which may lie, the
network is seen as that one wants."""
_STAGGER_SECONDS = 0.5
"""After this long without an answer a joiner asks the next of those that it knows, beside the first."""
_SILENCES_MAX = 2
"""Requests in a row that a contact may leave unanswered: one may be the network's fault."""
_SEEDS_PER_PATH = 8
_REFRESHES_AT_ONCE = 4
_REFRESH_ANSWERS = 4
"""Answers that end the refreshing of a bucket: the contacts that they name prove themselves by pings, which are
small."""


@dataclass(frozen=True, slots=True)
class DhtSettings:
    """How a node takes part.

    Attributes:
        is_lan: any address will do, and a /24 may fill a bucket.
        serves: it can be reached and answers others; else it only asks.
    """

    is_lan: bool = False
    serves: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """What `DhtNode.get` found.

    Attributes:
        records: the newest valid record of each item, in ascending order of items.
        is_certain: enough holders near the key have answered, on disjoint paths.
        hops: requests that had to follow one another.
    """

    records: tuple[SignedRecord, ...]
    is_certain: bool
    hops: int


class DhtNode:
    """See the module. Use: `start`, `join`, then anything; `aclose` in the end."""

    def __init__(
        self,
        identity: NodeIdentity,
        network_id: NetworkId,
        ports: DhtPorts,
        *,
        settings: DhtSettings,
        agree: Agree | None = None,
        store_limits: StoreLimits | None = None,
    ) -> None:
        """``agree`` replaces the key agreement in simulations only."""
        self.identity = identity
        self.counters = DhtCounters()
        self._network_id = network_id
        clock = self._clock = ports.clock
        self._settings = settings
        self._reader = ContactReader(is_lan=settings.is_lan, remembered_max=DHT_CONTACTS_READ_MAX)
        own_node = target_node(identity.node_id)
        self.table = Table(own_node, is_lan=settings.is_lan, now=clock.monotonic)
        limits = store_limits or (StoreLimits(prefix_records_max=None) if settings.is_lan else StoreLimits())
        self.store = RecordStore(
            identity.node_id, counters=self.counters, wall=clock.wall, now=clock.monotonic, limits=limits
        )
        self._responder = Responder(self.table, self.store, clock.wall)
        self._exchange = Exchange(
            self, identity, network_id, ports=ports, counters=self.counters, reader=self._reader,
            agree=agree or NodeAgreement(identity.signing_key),
        )  # fmt: skip
        self._upkeep = Upkeep(
            self, self.table, self.store, clock=clock, chooser=ports.chooser, counters=self.counters
        )
        self._rules = (
            LookupRules(one_holder_per_prefix=False, hearsay_per_prefix=None) if settings.is_lan else LookupRules()
        )
        self._upkeep_task: asyncio.Task[None] | None = None
        self._searches: dict[int, Search] = {}
        self._search_number = 0
        self._checking: dict[NodeId, bool] = {}
        """Pings under way; True: another is to follow."""
        self._refusal: Refused | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to answer."""
        self._loop = asyncio.get_running_loop()
        self._exchange.open(self._loop)
        self._upkeep_task = self._loop.create_task(self._upkeep.run(), name="dht upkeep")

    async def aclose(self) -> None:
        """End everything; lookups under way end with what they have. Idempotent."""
        task, self._upkeep_task = self._upkeep_task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._exchange.close()
        for search in list(self._searches.values()):
            search.close()
        self._loop = None

    async def join(self, addresses: Sequence[Address] = (), state: bytes = b"") -> int:
        """Enter the network through anyone at ``addresses`` or remembered in ``state`` (`export_state`); one that
        lives is enough. Returns how many contacts the table has.

        Raises:
            DiscoveryError: nobody answered.
            MalformedInput: ``state`` is none.
        """
        remembered = decode_state(state, self._network_id, self._reader) if state else []
        known: list[Contact | Address] = [*addresses, *remembered]
        if not known:
            raise DiscoveryError("no address to join the DHT through; name one of any running relay")
        if not await self._any_answers(known):
            if self._refusal is not None and self._refusal.code is RefusalCode.CLOCK_SKEWED:
                offset = self._refusal.time - self._clock.wall()
                raise DiscoveryError(f"the DHT's nodes refuse this clock: it differs by {offset:.0f} s; set it right")
            shown = ", ".join(str(getattr(one, "address", one)) for one in known[:4])
            raise DiscoveryError(f"none of {len(known)} nodes of the DHT answers ({shown}, ...)")
        await self.find_nodes(self.identity.node_id)
        await self.refresh()
        return len(self.table)

    async def refresh(self) -> None:
        """Fill the table: look for a random id in each bucket beyond the own neighbourhood's."""
        own = target_node(self.identity.node_id)
        buckets = [bucket for bucket in self.table.buckets if not bucket.has_in_range(own)]
        buckets.sort(key=lambda bucket: bucket.range[0] ^ bucket.range[1], reverse=True)
        for first in range(0, len(buckets), _REFRESHES_AT_ONCE):
            await asyncio.gather(*(self._refresh_bucket(one) for one in buckets[first : first + _REFRESHES_AT_ONCE]))

    async def _refresh_bucket(self, bucket: Bucket) -> None:
        rules = replace(self._rules, paths=1, replicas=_REFRESH_ANSWERS)
        await self._search(self._upkeep.target_in(bucket), None, rules)

    def export_state(self) -> bytes:
        """Whom to rejoin through, heard last first; for `join` after a restart."""
        contacts = sorted(self.table.contacts(), key=lambda one: (one.failures, -one.heard_at, one.long_id))
        return encode_state(self._network_id, contacts)

    # --- records --------------------------------------------------------------------------------

    async def get(self, kind: RecordKind, author: bytes, *, quorum: int = DHT_QUORUM) -> Finding:
        """The newest records of an author (32 bytes). With ``quorum`` 1 the first valid one will do.

        Raises UsageError when too many lookups are under way.
        """
        return await self.get_by_key(record_key(kind, author), quorum=quorum)

    async def get_by_key(self, key: bytes, *, quorum: int = DHT_QUORUM) -> Finding:
        """As `get`, by `record_key` (20 bytes)."""
        newest = {signed.record.item: signed for signed in self.store.records(key)}
        rules = replace(self._rules, quorum=quorum, holder_distance=self.table.holder_distance(DHT_REPLICAS))
        certain, hops, first_item = True, 0, 0
        while True:
            result = await self._search(key, first_item, rules)
            certain, hops = certain and result.is_certain, hops + result.hops
            for signed in result.records:
                old = newest.get(signed.record.item)
                if old is None or old.rank < signed.rank:
                    newest[signed.record.item] = signed
            if result.next_item is None or not first_item < result.next_item < DHT_ITEMS_MAX:
                return Finding(tuple(newest[item] for item in sorted(newest)), certain, hops)
            first_item = result.next_item

    async def put(self, signed: SignedRecord) -> int:
        """Store a record at the nodes nearest to its key. Returns how many hold it now, this one included."""
        nearest = await self.find_nodes(signed.key)
        here = self._belongs_here(signed.key, nearest)
        if here:
            nearest = nearest[: DHT_REPLICAS - 1]
        accepted = [False] * len(nearest)
        waiting = self._running_loop().create_future()
        left = len(nearest)

        def done(index: int, reply: Reply | None) -> None:
            nonlocal left
            left -= 1
            accepted[index] = reply is not None and isinstance(reply.answer, Stored)
            if left == 0 and not waiting.done():
                waiting.set_result(None)

        request = Store(signed.encoded, self._settings.serves)
        for index, contact in enumerate(nearest):
            if not self._exchange.ask(contact, request, lambda reply, index=index: done(index, reply)):  # type: ignore[misc]
                done(index, None)
        if nearest:
            await waiting
        if here:
            here = self.store.offer(signed.encoded, Source(self.identity.node_key, b"")) is None
        return sum(accepted) + here

    def _belongs_here(self, key: bytes, nearest: Sequence[Contact]) -> bool:
        """Whether this node is one of those nearest to the key."""
        number = int.from_bytes(key, "big")
        distance = int.from_bytes(self.identity.node_id, "big") ^ number
        few = len(nearest) < DHT_REPLICAS
        return self._settings.serves and (few or distance < nearest[-1].long_id ^ number)

    async def publish(self, signed: SignedRecord) -> int:
        """`put`, and again every hour until it expires. Raises UsageError for too many."""
        self._upkeep.publish(signed, None)
        holders = await self.put(signed)
        if holders:
            self._upkeep.publish(signed, self._clock.monotonic())
        return holders

    def withdraw(self, kind: RecordKind, author: bytes, item: int = 0) -> None:
        """Publish it no more. What others hold goes when it expires."""
        self._upkeep.withdraw(record_key(kind, author), item)

    # --- nodes ----------------------------------------------------------------------------------

    async def find_nodes(self, target: bytes) -> tuple[Contact, ...]:
        """The nodes nearest to an id or key (20 bytes), nearest first; at most 16."""
        return (await self._search(target, None, self._rules)).nearest

    async def _search(self, target: bytes, first_item: int | None, rules: LookupRules) -> SearchResult:
        self._running_loop()
        if len(self._searches) >= DHT_LOOKUPS_MAX:
            raise UsageError(f"{DHT_LOOKUPS_MAX} lookups are under way; try again in a moment")
        node = target_node(target)
        self.table.touch(node)
        seeds = self.table.find_neighbors(node, _SEEDS_PER_PATH * DHT_PATHS)
        lookup = Lookup(target, self.identity.node_id, seeds, wants_records=first_item is not None, rules=rules)
        serves = self._settings.serves
        request = FindNodes(target, serves) if first_item is None else FindRecords(target, first_item, serves)
        search = Search(
            lookup, request, exchange=self._exchange, reader=self._reader, counters=self.counters, clock=self._clock,
            consider=self._consider,
        )  # fmt: skip
        self._search_number += 1
        number = self._search_number
        self._searches[number] = search
        try:
            return await search.result
        finally:
            search.close()
            del self._searches[number]

    def _consider(self, contact: Contact) -> None:
        """Another has named ``contact``: where it has a place in the table, let it prove itself."""
        if len(self._checking) < DHT_CONSIDERED_MAX and self.table.wants(contact):
            self.check(contact)

    def check(self, contact: Contact) -> None:
        """Ask a contact whether it is there; if it is not, it goes sooner or later."""
        if contact.id in self._checking:
            return

        def done(reply: Reply | None) -> None:
            if self._checking.pop(contact.id, False) and reply is not None:
                self.check(contact)

        if self._exchange.ask(contact, Ping(self._settings.serves), done):
            self._checking[contact.id] = False

    def _introduce(self, contact: Contact) -> None:
        """It gave us a cookie: returning it makes us a contact of its own."""
        if contact.id in self._checking:
            self._checking[contact.id] = True  # that ping has left without one
        else:
            self.check(contact)

    async def _any_answers(self, known: Sequence[Contact | Address]) -> bool:
        """Ask all, some at a time, each up to three times, until one has answered and the others have had a moment to.

        The next ones are asked before the first are given up: most of those remembered may be gone."""
        loop = self._running_loop()
        over: asyncio.Future[None] = loop.create_future()
        left, has_answer = len(known), False
        waiting = deque(known)

        def finish() -> None:
            if not over.done():
                over.set_result(None)

        def asker(one: Contact | Address, tries_left: int) -> Callable[[Reply | None], None]:
            def done(reply: Reply | None) -> None:
                nonlocal left, has_answer
                if reply is not None and isinstance(reply.answer, Refused):
                    self._refusal = reply.answer
                elif reply is not None and not has_answer:
                    has_answer = True
                    loop.call_later(_OTHERS_SECONDS, finish)
                tries_on = reply is None and not over.done() and tries_left > 0
                if tries_on and self._exchange.ask(one, Ping(self._settings.serves), asker(one, tries_left - 1)):
                    return
                left -= 1
                if left == 0:
                    finish()

            return done

        def ask_some() -> None:
            if over.done() or has_answer:
                return
            for _ in range(min(DHT_REJOIN_AT_ONCE, len(waiting))):
                one = waiting.popleft()
                if not self._exchange.ask(one, Ping(self._settings.serves), asker(one, _JOIN_TRIES - 1)):
                    asker(one, 0)(None)
            if waiting:
                loop.call_later(_STAGGER_SECONDS, ask_some)

        ask_some()
        await over
        return has_answer

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise UsageError("the DHT's node is not running; call start() first")
        return self._loop

    # --- what the exchange tells ----------------------------------------------------------------

    def handle(self, request: Request, sender: Contact, *, proved: bool, message_bytes_max: int) -> Answer | None:
        """See `railgun.dht.exchange.Owner`."""
        if not self._settings.serves:
            return None
        return self._responder.answer(request, sender, proved=proved, message_bytes_max=message_bytes_max)

    def heard(self, contact: Contact, *, serves: bool, answered_us: bool) -> None:
        """A contact has proved its key and address: keep it if there is room."""
        known = self.table.get(contact.id)
        if known is not None and known.raw == contact.raw:
            contact = known
        elif not serves or not can_be_asked(contact.address, is_lan=self._settings.is_lan):
            return
        contact.heard_at = self._clock.monotonic()
        contact.failures = 0
        crowded = self.table.add_contact(contact)
        if crowded is not None:
            if crowded.failures:
                self.check(crowded)
            return
        if known is None and answered_us and self._settings.serves and self.table.get(contact.id) is contact:
            self._introduce(contact)

    def silent(self, contact: Contact) -> None:
        """A request of ours has expired."""
        known = self.table.get(contact.id)
        if known is None or known.raw != contact.raw:
            return
        known.failures += 1
        if known.failures >= _SILENCES_MAX:
            self.table.remove_contact(known)
        else:
            self.check(known)
