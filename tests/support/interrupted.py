"""A program with two workers that says who they are, and waits to be interrupted."""

from __future__ import annotations

import asyncio
import sys

from railgun.runtime.workers import WorkerGroup


async def main() -> None:
    async with WorkerGroup("test") as group:
        for name in ("one", "two"):
            await group.start(name, "tests.support.odd_worker", 20, manner="plain")
        print(group.directory, *(worker.pid for worker in group.workers), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
