"""The frame of a worker process: orders in, reports out, logs to standard error.

Owns: JSON lines on standard input and output, the event loop, the end by signal or by a closed input.
Must not know: what a worker does. The other side is `railgun.runtime.workers`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import IO, Any, Final

from railgun.errors import RailGunError
from railgun.runtime.config import LogConfiguration
from railgun.runtime.logs import configure_logging
from railgun.runtime.system import die_with_parent, raise_descriptor_limit, run
from railgun.runtime.workers import MESSAGE_BYTES_MAX, Message

STATUS_FAILED: Final = 1


class Orders:
    """What the starting process wants, and the way to tell it things."""

    def __init__(self, reader: asyncio.StreamReader, out: IO[bytes]) -> None:
        self._reader = reader
        self._out = out

    def tell(self, kind: str, /, **fields: Any) -> None:
        """Report. Raises BrokenPipeError when nobody listens any more, which ends the worker."""
        self._out.write(json.dumps({"kind": kind, **fields}).encode() + b"\n")
        self._out.flush()

    async def next(self) -> Message | None:
        """The next order; None when there will be no more, and the worker should end."""
        line = await self._reader.readline()
        if not line:
            return None
        message = json.loads(line)
        if not isinstance(message, dict):
            raise TypeError("an order is an object")
        return message

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self.next()) is not None:
            yield message


def main(work: Callable[[Orders, Message], Coroutine[Any, Any, None]]) -> int:
    """Run ``work(orders, start)`` until it returns, SIGTERM comes, or the input closes; the exit status.

    A `RailGunError` is told to the other side as one line; anything else goes to the log.
    """
    die_with_parent()
    # Whatever prints by mistake must not end up between the reports.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    configure_logging(LogConfiguration())
    raise_descriptor_limit()
    return run(_guarded(work, out))


async def _guarded(work: Callable[[Orders, Message], Coroutine[Any, Any, None]], out: IO[bytes]) -> int:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MESSAGE_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orders = Orders(reader, out)
    task = loop.create_task(_work(work, orders))
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    except RailGunError as error:
        orders.tell("failed", reason=str(error))
        return STATUS_FAILED
    return 0


async def _work(work: Callable[[Orders, Message], Coroutine[Any, Any, None]], orders: Orders) -> None:
    start = await orders.next()
    if start is not None:
        await work(orders, start)
