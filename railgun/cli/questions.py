"""A question with a short answer, while the peer goes on in the same process.

Owns: reading one line without holding anything up. Must not know: what is asked.
"""

from __future__ import annotations

import asyncio
import termios
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from railgun.cli.context import Context

ANSWER_CHARACTERS_MAX = 200


def _forget_typed(stream: IO[str]) -> None:
    try:
        if stream.isatty():
            termios.tcflush(stream.fileno(), termios.TCIFLUSH)
    except (OSError, ValueError, termios.error):
        return  # no input, or none that forgets: reading it tells


async def read_answer(context: Context, question: str) -> str:
    """The line that is typed, stripped and in lower case; empty where standard input has ended.

    What was typed into a terminal before the question stood there answers nothing: a yes says that somebody looked.
    """
    _forget_typed(context.stdin)
    context.printer.tell(question)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[str] = loop.create_future()

    def deliver(line: str) -> None:
        if not answered.done():
            answered.set_result(line)

    def read() -> None:
        try:
            line = context.stdin.readline(ANSWER_CHARACTERS_MAX)
        except (OSError, ValueError):
            line = ""  # no input is no answer
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, line)

    # A thread of its own, which nobody waits for: Ctrl-C must not wait for a line.
    threading.Thread(target=read, daemon=True, name="answer").start()
    return (await answered).strip().lower()
