"""A worker: one relay, all checks on, whose budgets a single publisher cannot reach.

Owns: starting that relay and telling its processor time. Must not know: the load.
"""

from __future__ import annotations

import sys

from railgun.core.relay_limits import RelayLimits
from railgun.limits import SEAT_BYTES_MAX
from railgun.links.pool import ListenAt
from railgun.runtime.bench.processor_time import processor_seconds
from railgun.runtime.bench.room import bench_network
from railgun.runtime.relay_host import RelayHost, RelayKeys
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.runtime.worker_main import Orders, main
from railgun.runtime.workers import Message
from railgun.wire.contacts import format_contact

UNREACHABLE_BYTES = 1 << 40
WITHOUT_BUDGETS = RelayLimits(
    publish_bytes_per_second=UNREACHABLE_BYTES,
    publish_bytes_burst=UNREACHABLE_BYTES,
    pull_bytes_per_second=UNREACHABLE_BYTES,
    pull_bytes_burst=UNREACHABLE_BYTES,
    tag_bytes_max=SEAT_BYTES_MAX,
)
"""One publisher stands for a room full of members, so its own share would be what is measured."""


async def work(orders: Orders, start: Message) -> None:
    """Serve until the orders end."""
    clock, entropy = SystemClock(), SystemEntropy()
    host = await RelayHost.start(
        keys=RelayKeys.generate(entropy, clock),
        network=bench_network(),
        listen=ListenAt("127.0.0.1", 0),
        bootstrap=(),
        clock=clock,
        entropy=entropy,
        relay_limits=WITHOUT_BUDGETS,
    )
    try:
        orders.tell("ready", contact=format_contact(host.contact))
        async for order in orders:
            if order["kind"] == "usage":
                orders.tell("usage", processor_seconds=processor_seconds())
    finally:
        await host.aclose()


if __name__ == "__main__":
    sys.exit(main(work))
