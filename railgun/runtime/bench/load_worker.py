"""A worker: one publisher and the subscribers, each with a link of its own.

Owns: these clients and the load. Must not know: the relay's inside.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from railgun.runtime.bench.closed_loop import ClosedLoop
from railgun.runtime.bench.lean_client import LeanClient
from railgun.runtime.bench.measuring import measure_as_ordered
from railgun.runtime.bench.room import bench_network, room_keys
from railgun.runtime.system import SystemClock
from railgun.runtime.tasks import Supervisor
from railgun.runtime.worker_main import Orders, main
from railgun.runtime.workers import Message
from railgun.types import ENVELOPE_SIZES_BYTES, EnvelopeId, SizeClass
from railgun.wire.contacts import parse_contact

JOIN_SECONDS = 60.0


async def work(orders: Orders, start: Message) -> None:
    """Join all, then load the relay as ordered."""
    clock = SystemClock()
    network, keys, relay = bench_network(), room_keys(clock.wall()), parse_contact(start["contact"])
    size_class = SizeClass(ENVELOPE_SIZES_BYTES.index(start["size"]))
    load = ClosedLoop(subscribers=start["subscribers"], window=start["window"], now=clock.monotonic)
    publisher = LeanClient(network, keys, relay, _ignore)
    subscribers = [
        LeanClient(network, keys, relay, partial(load.delivered, index)) for index in range(start["subscribers"])
    ]
    clients = [publisher, *subscribers]
    tasks = Supervisor()
    try:
        async with asyncio.timeout(JOIN_SECONDS):
            for client in clients:
                await client.start()
                await asyncio.wait([client.subscribed, client.failed], return_when=asyncio.FIRST_COMPLETED)
                tasks.start("watch", _watch(client))
        orders.tell("ready")
        tasks.start("load", _publish_forever(publisher, load, size_class))
        await measure_as_ordered(orders, load, tasks)
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))
        await tasks.aclose()


def _ignore(envelope_id: EnvelopeId) -> None:
    """The publisher gets only digests of what it published itself."""


async def _watch(client: LeanClient) -> None:
    await client.failed


async def _publish_forever(publisher: LeanClient, load: ClosedLoop, size_class: SizeClass) -> None:
    while True:
        for _ in range(await load.room()):
            envelope_id, envelope = publisher.seal(size_class)
            load.sent(envelope_id)
            publisher.publish(envelope)


if __name__ == "__main__":
    sys.exit(main(work))
