"""The orders that both loads take: when to begin counting, when to tell.

Owns: these orders. Must not know: what carries the messages.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from railgun.runtime.bench.closed_loop import ClosedLoop
from railgun.runtime.tasks import Supervisor
from railgun.runtime.worker_main import Orders


async def measure_as_ordered(orders: Orders, load: ClosedLoop, tasks: Supervisor) -> None:
    """Answer `begin` and `end` until the orders end. Raises what any of ``tasks`` raises."""
    watch = asyncio.ensure_future(tasks.wait())
    listen = asyncio.ensure_future(_listen(orders, load))
    try:
        await asyncio.wait([watch, listen], return_when=asyncio.FIRST_COMPLETED)
        for future in (watch, listen):
            if future.done():
                future.result()
    finally:
        for future in (watch, listen):
            future.cancel()
        await asyncio.gather(watch, listen, return_exceptions=True)


async def _listen(orders: Orders, load: ClosedLoop) -> None:
    async for order in orders:
        match order["kind"]:
            case "begin":
                load.begin()
                orders.tell("begun")
            case "end":
                orders.tell("measured", **asdict(load.end()))
