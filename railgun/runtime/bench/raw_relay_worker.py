"""A worker: copies every message of one data channel to all others, with nothing checked.

Owns: the raw counterpart of a relay. Must not know: the load.
"""

from __future__ import annotations

import asyncio
import sys

from aiortc import RTCDataChannel, RTCPeerConnection

from railgun.errors import UsageError
from railgun.runtime.bench import raw_channels
from railgun.runtime.bench.processor_time import processor_seconds
from railgun.runtime.worker_main import Orders, main
from railgun.runtime.workers import Message


class RawRelay:
    """The first connection is the publisher's, all others are subscribers'."""

    def __init__(self, send_budget_bytes: int) -> None:
        self.refused = 0
        self._budget = send_budget_bytes
        self._connections: list[RTCPeerConnection] = []
        self._subscribers: list[RTCDataChannel] = []

    async def connect(self, offered: str) -> str:
        """Take an offer; the answer's SDP."""
        connection = raw_channels.new_connection()
        is_publisher = not self._connections
        self._connections.append(connection)
        connection.on("datachannel", self._publisher_came if is_publisher else self._subscribers.append)
        return await raw_channels.answer(connection, offered)

    def _publisher_came(self, channel: RTCDataChannel) -> None:
        channel.on("message", self._copy)

    def _copy(self, message: bytes) -> None:
        for channel in self._subscribers:
            if channel.bufferedAmount + len(message) > self._budget:
                self.refused += 1
            else:
                channel.send(message)

    async def aclose(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(connection.close() for connection in self._connections))


async def work(orders: Orders, start: Message) -> None:
    """Connect as offered, copy, and tell the processor time when asked."""
    raw_channels.use_loopback()
    relay = RawRelay(start["send_budget_bytes"])
    try:
        orders.tell("ready")
        async for order in orders:
            match order["kind"]:
                case "offer":
                    orders.tell("answer", sdp=await relay.connect(order["sdp"]))
                case "usage" if relay.refused:
                    raise UsageError("the raw channels' send budget was full: use fewer --subscribers")
                case "usage":
                    orders.tell("usage", processor_seconds=processor_seconds())
    finally:
        await relay.aclose()


if __name__ == "__main__":
    sys.exit(main(work))
