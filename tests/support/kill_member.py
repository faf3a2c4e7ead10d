"""A member to be killed: ``python -m tests.support.kill_member PROFILE PREFIX``, then ``start`` lines on its input.

Everything is imported once, here; each ``start`` forks a process that opens the profile, says one numbered text after
another in its one room and reads what others say. What it does it writes to standard output before it goes on, as lines
``up``, ``say TEXT``, ``kept TEXT``, ``got TEXT``; the parent adds ``pid N`` and ``gone STATUS``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import railgun
from railgun import DiscoveryError, Room
from railgun.runtime.peer import open_peer
from railgun.runtime.system import run

PAUSE_SECONDS = 0.1


def tell(line: str) -> None:
    os.write(1, line.encode() + b"\n")


async def speak(room: Room, prefix: str, stopping: asyncio.Event) -> None:
    number = 0
    while not stopping.is_set():
        text = f"{prefix} {os.getpid()} {number}"
        number += 1
        tell(f"say {text}")
        try:
            await room.send(text)
        except DiscoveryError:
            continue  # kept, and it goes on by itself
        tell(f"kept {text}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), PAUSE_SECONDS)


async def listen(room: Room) -> None:
    async for message in room.messages():
        tell(f"got {message.text}")


async def live(profile: Path, prefix: str) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    peer = await open_peer(profile)
    room = peer.rooms()[0]
    tell("up")
    tasks = [asyncio.create_task(speak(room, prefix, stopping)), asyncio.create_task(listen(room))]
    await asyncio.wait([*tasks, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await peer.aclose()


def main() -> None:
    profile, prefix = Path(sys.argv[1]), sys.argv[2]
    assert railgun.connect is not None  # loads what every life needs
    for order in sys.stdin:
        if order.strip() != "start":
            return
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                run(live(profile, prefix))
                status = 0
            finally:
                os._exit(status)
        tell(f"pid {pid}")
        _, status = os.waitpid(pid, 0)
        tell(f"gone {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
