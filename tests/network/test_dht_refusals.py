"""What a relay refuses of the DHT on its real UDP port, and that its operator can see it counted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from railgun.crypto.identity import NodeIdentity
from railgun.crypto.network_ids import network_id
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.dht.contacts import Contact
from railgun.dht.messages import Answer, Ping, Refused, Request, Store, Stored
from railgun.dht.node import DhtNode, DhtSettings
from railgun.dht.ports import DhtPorts
from railgun.dht.records import RecordKind, SignedRecord, sign_record
from railgun.errors import RefusalCode
from railgun.limits import DHT_RECORDS_PER_SOURCE_MAX
from railgun.ports import Clock
from railgun.runtime.dht_status import relay_dht_status
from railgun.runtime.relay_host import RelayHost
from railgun.runtime.relay_service import RelayService
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.types import Address, NetworkId, NodeKey
from tests.support.api_lab import WAIT_SECONDS, lab
from tests.support.commands import check_schema

ANSWER_FORM = 0xD2


class Socket(asyncio.DatagramProtocol):
    """A UDP socket of a stranger. Implements `railgun.ports.DatagramCarrier`."""

    def __init__(self) -> None:
        self.receive: Callable[[bytes, Address], None] | None = None
        self.answers_from: Socket | None = None
        """Send answers from there instead."""
        self.transport: asyncio.DatagramTransport | None = None
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.receive is not None:
            self.receive(data, Address(*addr))

    def send_datagram(self, data: bytes, to: Address) -> None:
        out = self.answers_from if self.answers_from is not None and data[0] == ANSWER_FORM else self
        assert out.transport is not None
        out.transport.sendto(data, (to.host, to.port))

    @property
    def address(self) -> Address:
        assert self.transport is not None
        return Address(*self.transport.get_extra_info("sockname"))

    def on_datagram(self, receive: Callable[[bytes, Address], None]) -> None:
        self.receive = receive


class Attack:
    """One relay, and a stranger's node that speaks the protocol when it wants to."""

    def __init__(self, relay: RelayHost, socket: Socket, aside: Socket, network: NetworkId) -> None:
        self.relay = relay
        self.socket = socket
        self.aside = aside
        self.address = relay.contact.addresses[0]
        self.network = network
        self.target = Contact(NodeKey(relay.machine.node_key), self.address)

    def node(self, number: int = 1, clock: Clock | None = None, network: NetworkId | None = None) -> DhtNode:
        seed = bytes([number]) * 32
        identity = NodeIdentity(NodeKey(public_key_of(seed)), signing_key_of(seed))
        ports = DhtPorts(self.socket, clock or SystemClock(), SystemEntropy(), random.Random(number))
        return DhtNode(identity, network or self.network, ports, settings=DhtSettings(is_lan=True))

    def throw(self, data: bytes) -> None:
        self.socket.send_datagram(data, self.address)

    async def ask(self, node: DhtNode, to: Contact | Address, request: Request) -> Answer | None:
        """One request and what comes back."""
        answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        assert node._exchange.ask(
            to, request, lambda reply: answered.set_result(None if reply is None else reply.answer)
        )
        return await asyncio.wait_for(answered, WAIT_SECONDS)

    async def counted(self, reason: str, least: int = 1) -> None:
        def is_counted() -> bool:
            return int(relay_dht_status(self.relay.dht)["refused"][reason]) >= least

        assert await self.relay.wait_until(is_counted, WAIT_SECONDS), relay_dht_status(self.relay.dht)


@asynccontextmanager
async def attack(directory: Path) -> AsyncIterator[Attack]:
    loop = asyncio.get_running_loop()
    async with lab(directory, relays=1) as net:
        (relay,) = net.relays
        assert await relay.wait_until(lambda: relay.dht.node._loop is not None, WAIT_SECONDS)
        sockets = [(await loop.create_datagram_endpoint(Socket, local_addr=("127.0.0.1", 0)))[1] for _ in range(2)]
        try:
            yield Attack(relay, sockets[0], sockets[1], network_id(net.network))
        finally:
            assert relay.dht.node.counters.internal_errors == 0
            assert relay.links.counters.internal_errors == 0
            for socket in sockets:
                assert socket.transport is not None
                socket.transport.close()
                await socket.closed


def record(number: int = 1, *, issued: int, seconds: int = 600, version: int = 1) -> SignedRecord:
    seed = number.to_bytes(2, "big") * 16
    return sign_record(seed, RecordKind.KEY_BUNDLE, b"x", version=version, issued=issued, expires=issued + seconds)


async def test_datagrams_that_prove_nothing_are_refused_and_counted(tmp_path: Path) -> None:
    async with attack(tmp_path) as it:
        sent: list[bytes] = []
        it.socket.send_datagram = lambda data, to: sent.append(data)  # type: ignore[method-assign]
        node = it.node()
        await node.start()
        node._exchange.ask(it.address, Ping(True), lambda _: None)
        await node.aclose()
        del it.socket.send_datagram
        (good,) = sent

        it.throw(b"\xd0" + bytes(40))
        it.throw(b"\xd2")
        it.throw(good + b"x" * 900)  # too long
        await it.counted("datagrams_malformed", 3)
        it.throw(good[:1] + b"\xff" * 8 + good[9:])
        await it.counted("datagrams_of_another_network")
        it.throw(good[:-1] + bytes([good[-1] ^ 1]))
        await it.counted("datagrams_forged")
        it.throw(b"\xd0" + good[1:41] + b"\x01" * 20 + good[61:-64] + bytes(64))
        await it.counted("datagrams_to_another_id")
        it.throw(b"\xd2" + good[1:41] + it.target.id + good[61:-64] + bytes(64))
        await it.counted("answers_unexpected")
        assert not len(it.relay.dht.node.table)


async def test_a_clock_of_yesterday_is_told_so(tmp_path: Path) -> None:
    async with attack(tmp_path) as it:
        node = it.node(clock=SystemClock(wall_offset_seconds=-86_400))
        await node.start()
        answer = await it.ask(node, it.address, Ping(True))
        assert isinstance(answer, Refused)
        assert answer.code is RefusalCode.CLOCK_SKEWED
        await it.counted("clock_skewed")
        await node.aclose()


async def test_bad_records_are_refused_and_counted_by_reason(tmp_path: Path) -> None:
    async with attack(tmp_path) as it:
        node = it.node()
        await node.start()
        now = int(SystemClock().wall())
        good = record(issued=now, version=2)
        assert isinstance(await it.ask(node, it.target, Store(good.encoded, True)), Stored)

        async def refused(encoded: bytes, code: RefusalCode) -> None:
            answer = await it.ask(node, it.target, Store(encoded, True))
            assert isinstance(answer, Refused)
            assert answer.code is code

        await refused(good.encoded[:-1] + bytes([good.encoded[-1] ^ 1]), RefusalCode.BAD_SIGNATURE)
        await refused(good.encoded + b"\x00", RefusalCode.MALFORMED)
        await refused(record(issued=now - 900, seconds=600).encoded, RefusalCode.OUTSIDE_WINDOW)
        await refused(record(issued=now + 900).encoded, RefusalCode.OUTSIDE_WINDOW)
        await refused(record(issued=now, version=1).encoded, RefusalCode.CONFLICT)
        for reason in ("poisoned", "malformed", "expired", "from_the_future", "outdated"):
            await it.counted(f"records_{reason}")
        store = it.relay.dht.node.store
        store._limits = type(store._limits)(prefix_records_max=None, source_records_max=3)
        for number in range(2, 4):
            assert isinstance(await it.ask(node, it.target, Store(record(number, issued=now).encoded, True)), Stored)
        await refused(record(9, issued=now).encoded, RefusalCode.QUOTA_EXCEEDED)
        await it.counted("records_too_many")
        assert len(store) == 3
        assert DHT_RECORDS_PER_SOURCE_MAX > 3
        await node.aclose()


async def test_an_answer_from_elsewhere_proves_nothing(tmp_path: Path) -> None:
    """However well it is sealed: whoever was asked answers from where it was asked."""
    async with attack(tmp_path) as it:
        it.socket.answers_from = it.aside
        node = it.node()
        await node.start()
        assert await it.ask(node, it.address, Ping(True)) is not None
        it.relay.dht.node.check(Contact(node.identity.node_key, it.socket.address))
        await it.counted("answers_from_elsewhere")
        assert it.relay.dht.node.counters.answers_received == 0
        await node.aclose()


async def test_what_is_counted_is_what_the_operator_reads(tmp_path: Path) -> None:
    async with attack(tmp_path) as it:
        it.throw(b"\xd1")
        await it.counted("datagrams_malformed")
        network = it.relay.machine.network
        status = await RelayService(it.relay, network).call("status", {})
        check_schema("status-relay", status)
        assert status["dht"]["refused"]["datagrams_malformed"] == 1
