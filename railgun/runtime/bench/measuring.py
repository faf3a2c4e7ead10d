"""The orders that both loads take: when to begin counting, when to tell.

Owns: these orders. Must not know: what carries the messages.
"""

from __future__ import annotations

from dataclasses import asdict

from railgun.runtime.bench.closed_loop import ClosedLoop
from railgun.runtime.tasks import Supervisor, first_ended, running
from railgun.runtime.worker_main import Orders


async def measure_as_ordered(orders: Orders, load: ClosedLoop, tasks: Supervisor) -> None:
    """Answer `begin` and `end` until the orders end. Raises what any of ``tasks`` raises."""
    async with running(watch=tasks.wait(), listen=_listen(orders, load)) as both:
        await first_ended(*both)


async def _listen(orders: Orders, load: ClosedLoop) -> None:
    async for order in orders:
        match order["kind"]:
            case "begin":
                load.begin()
                orders.tell("begun")
            case "end":
                orders.tell("measured", **asdict(load.end()))
