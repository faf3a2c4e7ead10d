"""A DHT of hundreds or thousands of nodes in virtual time, some of which die or lie.

Owns: building it, the measurement of lookups. Must not know: how a node does what it does.

Spec: docs/spec/dht.md. The nodes are the real ones, on the virtual loop and network; only the agreement of MAC keys is
a stand-in of equal size.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import random
from dataclasses import dataclass

from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import NodeIdentity
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.dht.contacts import ID_BITS, Contact
from railgun.dht.messages import Answer, Found, Ping, Request, Store, Stored
from railgun.dht.node import DhtNode, DhtSettings
from railgun.dht.ports import DhtPorts
from railgun.dht.records import RecordKind, SignedRecord, sign_record
from railgun.dht.session_keys import Agree
from railgun.errors import UsageError
from railgun.limits import DHT_BUCKET_CONTACTS, DHT_CONTACTS_PER_ANSWER_MAX, DHT_LOOKUP_SECONDS
from railgun.sim.loop import SeededEntropy, VirtualClock, VirtualDatagrams, VirtualLoop, run_virtual
from railgun.sim.network_model import NetworkModel
from railgun.types import Address, NetworkId, NodeKey

NETWORK = NetworkId(hashlib.blake2b(b"a virtual network", digest_size=32).digest())
NODES_MAX = 5_000
PREFILLED_NODES_MAX = 20_000
_JOIN_AT_ONCE = 8
_BOOTSTRAPS = 3
_WARM_SECONDS = 60.0
_LOOKUPS_PER_SECOND = 200.0
"""All within seconds of the deaths: later ones would profit from what the first found out."""
_FAKES = 8_192
_RECORD_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class DhtWorldOptions:
    """What to build and measure.

    Attributes:
        nodes: 2 to 5,000, or 20,000 with ``prefilled``.
        dead: the share that dies at once, without notice, once tables are warm.
        hostile: the share that lies from the start.
        round_trip_seconds: the mean; pairs lie evenly between 0.4 and 1.42 of it, each datagram takes up to a fifth
            longer.
        loss: of one datagram.
        lookups: how many to measure, each by a living honest node that lacks the record.
        records: how many are published, in two versions.
        seed: equal ones give equal runs.
        prefilled: nobody joins; each table is as full as it can get. For more nodes, none of which dies or lies.

    Raises:
        UsageError: a value is out of its range.
    """

    nodes: int = 200
    dead: float = 0.2
    hostile: float = 0.0
    round_trip_seconds: float = 0.08
    loss: float = 0.0
    lookups: int = 1_000
    records: int = 50
    seed: int = 1
    prefilled: bool = False

    def __post_init__(self) -> None:
        most = PREFILLED_NODES_MAX if self.prefilled else NODES_MAX
        if not 2 <= self.nodes <= most:
            raise UsageError(f"{self.nodes} nodes: from 2 to {most}, please")
        if self.prefilled and (self.dead or self.hostile):
            raise UsageError("prefilled tables: without dead or hostile nodes, please")
        if not (0 <= self.dead < 1 and 0 <= self.hostile < 1 and self.dead + self.hostile < 0.9):
            raise UsageError("dead and hostile nodes: shares from 0, together below 0.9")
        if not 0.001 <= self.round_trip_seconds <= 1.0:
            raise UsageError("the round trip must be from 1 to 1000 ms")
        if not 0 <= self.loss <= 0.5:
            raise UsageError("loss must be from 0 to 0.5")
        if not (1 <= self.lookups <= 100_000 and 1 <= self.records <= 1_000):
            raise UsageError("1 to 100000 lookups of 1 to 1000 records, please")


@dataclass(frozen=True, slots=True)
class LookupSample:
    """One lookup. ``is_right``: it gave the newest version within 5 s."""

    seconds: float
    is_right: bool
    is_certain: bool
    hops: int


@dataclass(frozen=True, slots=True)
class DhtMeasurement:
    """All lookups of one world.

    Attributes:
        datagrams: sent by all nodes while the lookups ran, upkeep included.
        bytes: the same in bytes.
        contacts: mean size of the tables before the deaths.
        join_datagrams: sent until all nodes had joined.
        trace: digest of the lookup phase; equal options give equal ones.
    """

    samples: tuple[LookupSample, ...]
    datagrams: int
    bytes: int
    contacts: float
    join_datagrams: int
    trace: str


def stand_in_agreement(own_key: NodeKey) -> Agree:
    """In place of X25519, which would be most of a simulation's work: a hash of both keys, known to everyone."""

    def agree(peer: NodeKey) -> bytes:
        return keyed_hash(None, "railgun/sim/agreement/v1", min(own_key, peer) + max(own_key, peer))

    return agree


def node_identity(seed: int, number: int) -> NodeIdentity:
    """The identity of one node of a world."""
    secret = keyed_hash(None, "railgun/sim/node/v1", f"{seed}:{number}".encode())
    return NodeIdentity(NodeKey(public_key_of(secret)), signing_key_of(secret))


def node_address(number: int) -> Address:
    """Each in a /24 of its own."""
    return Address(f"20.{number // 250}.{number % 250}.1", 9000)


@dataclass(slots=True)
class Conspiracy:
    """What hostile nodes know of each other: their contacts, invented ones, and the records as they once were."""

    members: list[Contact]
    fakes: list[bytes]
    fake_ids: list[int]
    old_records: dict[bytes, SignedRecord]

    def near(self, target: bytes) -> tuple[bytes, ...]:
        """The members nearest to a key."""
        number = int.from_bytes(target, "big")
        ordered = sorted(self.members, key=lambda contact: contact.long_id ^ number)
        return tuple(contact.raw for contact in ordered[:DHT_CONTACTS_PER_ANSWER_MAX])

    def invented(self, target: bytes) -> tuple[bytes, ...]:
        """Contacts that do not exist, nearer to the key than most that do."""
        number = int.from_bytes(target, "big")
        ordered = sorted(range(len(self.fakes)), key=lambda index: self.fake_ids[index] ^ number)
        return tuple(self.fakes[index] for index in ordered[:DHT_CONTACTS_PER_ANSWER_MAX])


class HostileNode(DhtNode):
    """Takes part properly in everything but its answers."""

    conspiracy: Conspiracy
    dice: random.Random

    def handle(self, request: Request, sender: Contact, *, proved: bool, message_bytes_max: int) -> Answer | None:
        """Drop, or lead astray with invented contacts, with accomplices, with old and with forged records."""
        if isinstance(request, Ping):
            return super().handle(request, sender, proved=proved, message_bytes_max=message_bytes_max)
        if isinstance(request, Store):
            return Stored()  # and forget it
        choice = self.dice.randrange(4)
        if choice == 0:
            return None
        target = getattr(request, "key", None) or request.target  # type: ignore[union-attr]
        contacts = self.conspiracy.invented(target) if choice == 1 else self.conspiracy.near(target)
        old = self.conspiracy.old_records.get(target)
        if old is None:
            return Found(contacts, (), more=False)
        record = old.encoded
        if choice == 3:
            record = record[:-1] + bytes([record[-1] ^ 1])
        room = max(0, (message_bytes_max - len(record) - 20) // 40)
        return Found(contacts[:room], (record,), more=False)


class DhtWorld:
    """One network on one virtual loop."""

    def __init__(self, options: DhtWorldOptions, loop: VirtualLoop) -> None:
        self.options = options
        self.loop = loop
        self.dice = random.Random(f"railgun dht world {options.seed}")
        half = options.round_trip_seconds / 2
        # Jitter only lengthens: the least delay is lowered so that the mean stays the one asked for.
        model = NetworkModel(delay_min_seconds=half * 0.4, delay_max_seconds=half * 1.42, loss=options.loss)
        self.network = VirtualDatagrams(loop, options.seed, model)
        self.nodes: list[DhtNode] = []
        self.hostile: set[int] = set()
        self.alive: list[int] = []
        self.conspiracy = Conspiracy([], [], [], {})

    def make_node(self, number: int, *, hostile: bool = False) -> DhtNode:
        """A node that is not started yet."""
        identity = node_identity(self.options.seed, number)
        ports = DhtPorts(
            carrier=self.network.open(node_address(number)),
            clock=VirtualClock(self.loop),
            entropy=SeededEntropy(f"{self.options.seed}:{number}"),
            chooser=random.Random(f"railgun dht node {self.options.seed}:{number}"),
        )
        cls = HostileNode if hostile else DhtNode
        node = cls(identity, NETWORK, ports, settings=DhtSettings(), agree=stand_in_agreement(identity.node_key))
        if isinstance(node, HostileNode):
            node.conspiracy = self.conspiracy
            node.dice = random.Random(f"railgun hostile {self.options.seed}:{number}")
        return node

    async def build(self) -> None:
        """All nodes join, a few at a time, each through three earlier ones of which at least one is honest, and
        have a minute to look around."""
        count = self.options.nodes
        self.hostile = set(self.dice.sample(range(1, count), round(self.options.hostile * count)))
        self._conspire()
        self.nodes = [self.make_node(number, hostile=number in self.hostile) for number in range(count)]
        self.alive = list(range(count))
        if self.options.prefilled:
            for node in self.nodes:
                await node.start()
            self._fill_tables()
            return
        await self.nodes[0].start()
        for first in range(1, count, _JOIN_AT_ONCE):
            batch = range(first, min(first + _JOIN_AT_ONCE, count))
            await asyncio.gather(*(self._join(number, first) for number in batch))
        await asyncio.sleep(_WARM_SECONDS)

    async def _join(self, number: int, earlier: int) -> None:
        through = self.dice.sample(range(earlier), min(earlier, _BOOTSTRAPS))
        if self.hostile.issuperset(through):
            through[0] = 0  # a new node to whom nobody honest is named is lost, in any DHT
        await self.nodes[number].start()
        await self.nodes[number].join([node_address(one) for one in through])

    def _fill_tables(self) -> None:
        """In each table, of every subtree beyond the own one a bucket's worth of random nodes: what years of traffic
        leave. Nodes share their contacts' objects, which is all the same while nobody dies."""
        contacts = [Contact(node.identity.node_key, node_address(number)) for number, node in enumerate(self.nodes)]
        ordered = sorted(contacts, key=lambda contact: contact.long_id)
        ids = [contact.long_id for contact in ordered]
        for node in self.nodes:
            own = int.from_bytes(node.identity.node_id, "big")
            first, last, lower = 0, len(ids), 0
            for bit in reversed(range(ID_BITS)):
                if last - first <= 1:
                    break
                middle = bisect.bisect_left(ids, lower + (1 << bit), first, last)
                is_upper = bool(own >> bit & 1)
                beyond = range(first, middle) if is_upper else range(middle, last)
                for index in self.dice.sample(beyond, min(len(beyond), DHT_BUCKET_CONTACTS)):
                    node.table.add_contact(ordered[index])
                first, last = (middle, last) if is_upper else (first, middle)
                lower += is_upper << bit

    def _conspire(self) -> None:
        conspiracy = self.conspiracy
        for number in sorted(self.hostile):
            conspiracy.members.append(Contact(node_identity(self.options.seed, number).node_key, node_address(number)))
        for _ in range(_FAKES if self.hostile else 0):
            address = Address(f"21.{self.dice.randrange(256)}.{self.dice.randrange(256)}.1", 9000)
            fake = Contact(NodeKey(self.dice.randbytes(32)), address)
            conspiracy.fakes.append(fake.raw)
            conspiracy.fake_ids.append(fake.long_id)

    async def publish(self) -> list[SignedRecord]:
        """Store each record in two versions; returns the newer ones. Hostile nodes keep the older."""
        honest = [number for number in self.alive if number not in self.hostile]
        newer: list[SignedRecord] = []
        now = int(VirtualClock(self.loop).wall())
        for number in range(self.options.records):
            seed = keyed_hash(None, "railgun/sim/author/v1", f"{self.options.seed}:{number}".encode())
            for version in (1, 2):
                payload = f"record {number} version {version}".encode()
                signed = sign_record(
                    seed, RecordKind.KEY_BUNDLE, payload, version=version, issued=now, expires=now + _RECORD_SECONDS
                )
                await self.nodes[self.dice.choice(honest)].put(signed)
                if version == 1:
                    self.conspiracy.old_records[signed.key] = signed
                else:
                    newer.append(signed)
        return newer

    def kill(self) -> None:
        """The deaths: from one moment to the next, and nobody is told."""
        doomed = set(self.dice.sample(self.alive, round(self.options.dead * self.options.nodes)))
        for number in sorted(doomed):
            self.network.kill(node_address(number))
        self.alive = [number for number in self.alive if number not in doomed]

    async def look_up(self, wanted: list[SignedRecord]) -> list[LookupSample]:
        """All lookups, started evenly over a few seconds."""
        honest = [number for number in self.alive if number not in self.hostile]
        tasks = []
        for index in range(self.options.lookups):
            signed = wanted[index % len(wanted)]
            lacking = [number for number in honest if not self.nodes[number].store.records(signed.key)]
            start = self.loop.time() + index / _LOOKUPS_PER_SECOND
            tasks.append(self._one(self.nodes[self.dice.choice(lacking)], signed, start))
        return list(await asyncio.gather(*tasks))

    async def _one(self, node: DhtNode, signed: SignedRecord, start: float) -> LookupSample:
        await asyncio.sleep(start - self.loop.time())
        found = await node.get(signed.record.kind, signed.record.author)
        seconds = self.loop.time() - start
        is_right = [one.encoded for one in found.records] == [signed.encoded] and seconds <= DHT_LOOKUP_SECONDS
        return LookupSample(seconds, is_right, found.is_certain, found.hops)

    async def aclose(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            await node.aclose()


async def _measure(options: DhtWorldOptions, loop: VirtualLoop) -> DhtMeasurement:
    world = DhtWorld(options, loop)
    try:
        await world.build()
        join_datagrams = world.network.carried
        wanted = await world.publish()
        contacts = sum(len(node.table) for node in world.nodes) / len(world.nodes)
        world.kill()
        world.network.record_trace()
        datagrams, carried_bytes = world.network.carried, world.network.carried_bytes
        samples = await world.look_up(wanted)
        return DhtMeasurement(
            samples=tuple(samples),
            datagrams=world.network.carried - datagrams,
            bytes=world.network.carried_bytes - carried_bytes,
            contacts=contacts,
            join_datagrams=join_datagrams,
            trace=world.network.trace,
        )
    finally:
        await world.aclose()


def measure_lookups(options: DhtWorldOptions) -> DhtMeasurement:
    """Build a world, let nodes die, and look records up. Takes about a minute of one core for 2,000 nodes."""
    return run_virtual(lambda loop: _measure(options, loop))
