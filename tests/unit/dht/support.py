"""A small DHT on the virtual loop, and an attacker's bare socket."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import NodeIdentity
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.dht import datagrams
from railgun.dht.datagrams import NO_COOKIE, Form, Header
from railgun.dht.messages import ANSWERS, REQUESTS, Answer, Request
from railgun.dht.node import DhtNode, DhtSettings
from railgun.dht.ports import DhtPorts
from railgun.dht.records import RecordKind, SignedRecord, sign_record
from railgun.dht.session_keys import NodeAgreement, SessionKeyring
from railgun.dht.store import StoreLimits
from railgun.sim.dht_world import NETWORK
from railgun.sim.loop import (
    WALL_START_SECONDS,
    SeededEntropy,
    VirtualClock,
    VirtualDatagrams,
    VirtualLoop,
    VirtualSocket,
    run_virtual,
)
from railgun.sim.network_model import NetworkModel
from railgun.types import Address, NetworkId, NodeId, NodeKey

WALL = int(WALL_START_SECONDS)


def seed_of(name: object) -> bytes:
    return keyed_hash(None, "test/seed", str(name).encode())


def identity_of(name: object) -> NodeIdentity:
    seed = seed_of(name)
    return NodeIdentity(NodeKey(public_key_of(seed)), signing_key_of(seed))


def address_of(number: int) -> Address:
    return Address(f"20.{number // 250}.{number % 250}.1", 9000)


def record_of(
    name: object = "author", payload: bytes = b"payload", kind: RecordKind = RecordKind.SEALED_CONTACT, **changes: Any
) -> SignedRecord:
    fields: dict[str, Any] = {"version": 1, "issued": WALL, "expires": WALL + 3_600, "item": 0} | changes
    return sign_record(seed_of(name), kind, payload, **fields)


class Lab:
    """Nodes and attackers on one virtual network without loss."""

    def __init__(self, loop: VirtualLoop, **model: Any) -> None:
        self.loop = loop
        self.network = VirtualDatagrams(loop, 1, NetworkModel(**model))
        self.nodes: list[DhtNode] = []

    def make(
        self,
        number: int,
        *,
        name: object = None,
        network_id: NetworkId = NETWORK,
        address: Address | None = None,
        settings: DhtSettings | None = None,
        store_limits: StoreLimits | None = None,
        wall_offset_seconds: float = 0.0,
    ) -> DhtNode:
        """A node that is not started, with the real key agreement."""
        ports = DhtPorts(
            self.network.open(address or address_of(number)),
            VirtualClock(self.loop, wall_offset_seconds),
            SeededEntropy(number),
            random.Random(number),
        )
        node = DhtNode(
            identity_of(number if name is None else name), network_id, ports,
            settings=settings or DhtSettings(), store_limits=store_limits,
        )  # fmt: skip
        self.nodes.append(node)
        return node

    async def network_of(self, count: int, **options: Any) -> list[DhtNode]:
        """So many nodes, joined through the first."""
        nodes = [self.make(number, **options) for number in range(count)]
        for number, node in enumerate(nodes):
            await node.start()
            if number:
                await node.join([address_of(0)])
        return nodes

    async def aclose(self) -> None:
        for node in self.nodes:
            await node.aclose()


def in_lab(main: Callable[[Lab], Coroutine[Any, Any, Any]], **model: Any) -> Any:
    """Run ``main(lab)`` in virtual time; no node may have met an error of its own."""

    async def run(loop: VirtualLoop) -> Any:
        lab = Lab(loop, **model)
        try:
            result = await main(lab)
        finally:
            await lab.aclose()
        assert [node.counters.internal_errors for node in lab.nodes] == [0] * len(lab.nodes)
        return result

    return run_virtual(run)


class Attacker:
    """Has a key and a socket, and sends what it likes."""

    def __init__(self, lab: Lab, number: int = 200, name: object = "attacker") -> None:
        self.identity = identity_of(name)
        self.address = address_of(number)
        self.socket: VirtualSocket = lab.network.open(self.address)
        self.socket.on_datagram(lambda data, source: self.received.append((data, source)))
        self.received: list[tuple[bytes, Address]] = []
        self.keyring = SessionKeyring(self.identity.node_key, NodeAgreement(self.identity.signing_key))

    def request(
        self,
        to: DhtNode,
        message: Request | bytes,
        *,
        cookie: bytes = NO_COOKIE,
        bytes_min: int = 0,
        request_id: bytes = b"request.",
        **changes: Any,
    ) -> bytes:
        """A MACed request, every field at will."""
        fields: dict[str, Any] = {
            "form": Form.REQUEST,
            "network": datagrams.network_mark(NETWORK),
            "sender": self.identity.node_key,
            "destination": NodeId(to.identity.node_id),
            "time": WALL,
            "request_id": request_id,
            "cookie": cookie,
        } | changes
        encoded = message if isinstance(message, bytes) else REQUESTS.encode(message)
        keys = self.keyring.keys_for(to.identity.node_key)
        return datagrams.seal(Header(**fields), encoded, keys, bytes_min=bytes_min)

    def read(self, index: int = -1) -> tuple[Header, Answer]:
        """One of the answers that came."""
        datagram = datagrams.parse(self.received[index][0])
        assert datagrams.mac_holds(datagram, self.keyring.keys_for(datagram.header.sender))
        return datagram.header, ANSWERS.decode(datagram.message)
