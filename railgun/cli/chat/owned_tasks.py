"""Tasks that end with the block which owns them.

Owns: starting, cancelling and awaiting them, and which error is told. Must not know: what they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class OwnedTasks:
    """Made by `owned_tasks`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[Any]] = set()
        self._over = asyncio.Event()

    def start(self, coroutine: Coroutine[Any, Any, Any], *, ends_all: bool = False) -> asyncio.Task[Any]:
        """Run ``coroutine`` beside the block. ``ends_all``: `wait` returns once it has."""
        task = self._group.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if ends_all:
            task.add_done_callback(lambda _: self._over.set())
        return task

    async def wait(self) -> None:
        """Until one of the tasks that end all has ended. An error of any task ends the block by itself."""
        await self._over.wait()

    def cancel(self) -> None:
        """Let what still runs end."""
        for task in self._running:
            task.cancel()


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[OwnedTasks]:
    """A block's tasks: at its end they are cancelled and awaited. The first error of any ends the block, and is raised
    as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            owned = OwnedTasks(group)
            yield owned
            owned.cancel()
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
