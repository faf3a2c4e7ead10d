"""A worker that behaves as it is told to: answers, dies, refuses to end, talks nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from railgun.errors import ConfigurationError
from railgun.runtime.worker_main import Orders, main
from railgun.runtime.workers import Message


async def work(orders: Orders, start: Message) -> None:
    match start["manner"]:
        case "nonsense":
            os.write(1, b"")  # standard output is the log by now
            orders._out.write(b"{not json\n")
            orders._out.flush()
        case "mistaken":
            raise ConfigurationError("the port is taken: choose another")
        case "stubborn":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
    print("a stray print")
    orders.tell("ready", manner=start["manner"])
    async for order in orders:
        match order["kind"]:
            case "die":
                print("about to die", flush=True)
                os._exit(3)
            case "echo":
                orders.tell("echo", text=order["text"])
    if start["manner"] == "stubborn":
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main(work))
