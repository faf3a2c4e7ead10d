"""A worker: the publisher's and the subscribers' ends of the raw data channels.

Owns: these ends and the load on them. Must not know: the relay's inside.
"""

from __future__ import annotations

import asyncio
import struct
import sys

from aiortc import RTCDataChannel, RTCPeerConnection

from railgun.errors import UsageError
from railgun.runtime.bench import raw_channels
from railgun.runtime.bench.closed_loop import ClosedLoop
from railgun.runtime.bench.measuring import measure_as_ordered
from railgun.runtime.system import SystemClock
from railgun.runtime.tasks import Supervisor
from railgun.runtime.worker_main import Orders, main
from railgun.runtime.workers import Message

NUMBER = struct.Struct(">Q")
CONNECT_SECONDS = 60.0


async def work(orders: Orders, start: Message) -> None:
    """Connect through the orders, then load the relay as ordered."""
    raw_channels.use_loopback()
    load = ClosedLoop(subscribers=start["subscribers"], window=start["window"], now=SystemClock().monotonic)
    connections: list[RTCPeerConnection] = []
    channels: list[RTCDataChannel] = []
    tasks = Supervisor()
    orders.tell("ready")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            for index in range(start["subscribers"] + 1):
                connection = raw_channels.new_connection()
                connections.append(connection)
                channel = connection.createDataChannel(raw_channels.LABEL, ordered=False)
                if index:
                    _receive(channel, load, index - 1)
                channels.append(channel)
                await _connect(orders, connection)
            for channel in channels:
                await raw_channels.opened(channel)
        orders.tell("connected")
        tasks.start("load", _publish_forever(channels[0], load, start["size"]))
        await measure_as_ordered(orders, load, tasks)
    finally:
        await tasks.aclose()
        await asyncio.gather(*(connection.close() for connection in connections))


def _receive(channel: RTCDataChannel, load: ClosedLoop, subscriber: int) -> None:
    channel.on("message", lambda message: load.delivered(subscriber, NUMBER.unpack_from(message)[0]))


async def _connect(orders: Orders, connection: RTCPeerConnection) -> None:
    orders.tell("offer", sdp=await raw_channels.offer(connection))
    answer = await orders.next()
    if answer is None or answer["kind"] != "answer":
        raise UsageError("the benchmark was ended while it connected")
    await raw_channels.accept(connection, answer["sdp"])


async def _publish_forever(channel: RTCDataChannel, load: ClosedLoop, size: int) -> None:
    padding = bytes(size - NUMBER.size)
    next_number = 0
    while True:
        for _ in range(await load.room()):
            load.sent(next_number)
            channel.send(NUMBER.pack(next_number) + padding)
            next_number += 1


if __name__ == "__main__":
    sys.exit(main(work))
