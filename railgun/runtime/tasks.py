"""Tasks with an owner: none is forgotten, and none's error is lost.

Owns: starting, watching and ending a group of named tasks. Must not know: what they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from railgun.runtime.logs import Log

log = Log("tasks")


@asynccontextmanager
async def running(**works: Coroutine[Any, Any, Any]) -> AsyncIterator[tuple[asyncio.Task[Any], ...]]:
    """Tasks of these names, in their order, for the length of the block. At its end those that still run are cancelled;
    it waits for all. An error that the block has not raised is logged."""
    loop = asyncio.get_running_loop()
    tasks = tuple(loop.create_task(work, name=name) for name, work in works.items())
    raised: BaseException | None = None
    try:
        yield tasks
    except BaseException as error:
        raised = error
        raise
    finally:
        for task in tasks:
            task.cancel()
        for task, result in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            if isinstance(result, Exception) and result is not raised:
                log.error("task failed", cause=result, task=task.get_name())


async def first_ended(*tasks: asyncio.Task[Any]) -> None:
    """Until one of ``tasks`` has ended; raises its error. Of several that have, the first in this order counts."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()


class Supervisor:
    """A group of tasks of one owner. The first error ends `wait`; `aclose` ends all of them."""

    def __init__(self, on_failure: Callable[[BaseException], None] | None = None) -> None:
        """``on_failure`` is told of the first error, on the loop, before `wait` raises it."""
        self._on_failure = on_failure
        self._tasks: dict[asyncio.Task[Any], str] = {}
        self._error: BaseException | None = None
        self._ended = asyncio.Event()

    @property
    def failed(self) -> bool:
        """Whether a task ended by an error."""
        return self._error is not None

    def start(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run ``coroutine`` under this owner."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = name
        task.add_done_callback(self._done)

    async def wait(self) -> None:
        """Until a task fails, and raise its error; or until `aclose`."""
        await self._ended.wait()
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        """Cancel what still runs and wait for it. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ended.set()

    def _done(self, task: asyncio.Task[Any]) -> None:
        name = self._tasks.pop(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("task failed", cause=error, task=name)
            if self._error is None:
                self._error = error
                if self._on_failure is not None:
                    self._on_failure(error)
            self._ended.set()
