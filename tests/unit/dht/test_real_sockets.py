"""The same node on a real loop and real sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import cast

from railgun.dht.node import DhtNode, DhtSettings
from railgun.dht.ports import DhtPorts
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.sim.dht_world import NETWORK
from railgun.types import Address
from tests.unit.dht.support import identity_of, record_of


class UdpCarrier(asyncio.DatagramProtocol):
    """Implements `railgun.ports.DatagramCarrier` on one socket of this machine."""

    def __init__(self) -> None:
        self.receive: Callable[[bytes, Address], None] | None = None
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
        assert self.transport is not None
        self.transport.sendto(data, (to.host, to.port))

    def on_datagram(self, receive: Callable[[bytes, Address], None]) -> None:
        self.receive = receive

    @property
    def address(self) -> Address:
        assert self.transport is not None
        return Address(*self.transport.get_extra_info("sockname"))


async def test_nodes_join_store_and_find_over_udp() -> None:
    loop = asyncio.get_running_loop()
    nodes: list[DhtNode] = []
    carriers: list[UdpCarrier] = []
    clock = SystemClock()
    issued = int(clock.wall())
    signed = record_of(issued=issued, expires=issued + 600)
    try:
        for number in range(12):
            _, carrier = await loop.create_datagram_endpoint(UdpCarrier, local_addr=("127.0.0.1", 0))
            carriers.append(carrier)
            ports = DhtPorts(carrier, clock, SystemEntropy(), random.Random(number))
            node = DhtNode(identity_of(number), NETWORK, ports, settings=DhtSettings(is_lan=True))
            nodes.append(node)
            await node.start()
            if number:
                await node.join([carriers[0].address])
        assert await nodes[3].put(signed) >= 8
        finding = await nodes[11].get(signed.record.kind, signed.record.author)
        assert finding.records == (signed,)
    finally:
        for node in nodes:
            await node.aclose()
        for carrier in carriers:
            assert carrier.transport is not None
            carrier.transport.close()
            await carrier.closed
    assert [node.counters.internal_errors for node in nodes] == [0] * 12
