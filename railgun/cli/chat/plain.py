"""A chat line by line: for screen readers, pipes and dumb terminals. No cursor is ever moved.

Owns: reading lines, the order of what is printed. Must not know: rooms, options.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from railgun.cli.chat.model import Delivery, Entry, Heard
from railgun.cli.chat.owned_tasks import owned_tasks
from railgun.cli.chat.session import Session
from railgun.cli.chat.texts import delivery_line, entry_text, file_line, file_step, heard_line, name_line, status_line
from railgun.cli.output import Printer, one_line
from railgun.limits import TEXT_BYTES_MAX
from railgun.runtime.status import RoomStatusView

LINE_BYTES_MAX: Final = TEXT_BYTES_MAX + 64
"""A text and a command in front of it; of a longer line, the first bytes are enough to refuse it."""
READ_BYTES: Final = 4_096
LOOK_SECONDS: Final = 1.0
LOOKS_WITHOUT: Final = 5
"""So often nobody serves the room before that is said: most gaps are over sooner."""


class PlainSurface:
    """Prints what happens, one line each; reads lines from ``descriptor`` until its end."""

    def __init__(self, printer: Printer, descriptor: int) -> None:
        self.grace_seconds: float | None = None
        self._printer = printer
        self._descriptor = descriptor
        self._session: Session | None = None
        self._before: list[Heard] = []
        self._steps: dict[int, tuple[str, int]] = {}

    def taking_notes(self) -> AbstractContextManager[None]:
        """See `Surface`."""
        return nullcontext()

    async def run(self, session: Session) -> None:
        """See `Surface`."""
        self._session = session
        for heard in self._before:
            self.heard(heard)
        self._before.clear()
        self._printer.tell(f"* {status_line(session.status(), session.room_name)} | /help shows what can be typed")
        lines: asyncio.Queue[str | None] = asyncio.Queue(1)
        loop = asyncio.get_running_loop()
        # A thread, since not everything that can be read can be waited for: a file, for one. It holds no lock that
        # the interpreter needs at its end, and so may be left where it waits.
        threading.Thread(target=_read_lines, args=(self._descriptor, loop, lines), daemon=True).start()
        async with owned_tasks() as tasks:
            tasks.start(self._tell_service(session))
            while (line := await lines.get()) is not None:
                if not await session.typed(line):
                    return

    async def _tell_service(self, session: Session) -> None:
        """Say it when the room is served, or no longer, and when somebody came or went: the header of a screen does."""
        told, looks_without = _service(session.status()), 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            status = session.status()
            found = _service(status)
            looks_without = 0 if found[0] else looks_without + 1
            if found != told and (found[0] or looks_without >= LOOKS_WITHOUT):
                told = found
                self._printer.tell(f"* {status_line(status, session.room_name)}")

    def heard(self, heard: Heard) -> None:
        """See `Surface`."""
        if self._session is None:
            self._before.append(heard)
        else:
            if heard.entry.file is not None:
                self._steps[heard.entry.number] = file_step(heard.entry)
            self._printer.tell(heard_line(self._session.model, heard))

    def marked(self, entry: Entry) -> None:
        """See `Surface`."""
        if entry.delivery is Delivery.UNDER_WAY and self._session is not None:
            # What was typed stands on the screen already, if there is one; its number does not.
            self._printer.tell(entry_text(self._session.model, entry))
        else:
            self._printer.tell(delivery_line(entry))

    def moved(self, entry: Entry) -> None:
        """See `Surface`. A line for each quarter and each change of state, and none that is drawn anew."""
        step = file_step(entry)
        if self._steps.get(entry.number) == step:
            return
        is_first = entry.number not in self._steps
        self._steps[entry.number] = step
        if self._session is None:
            return
        if is_first and entry.is_own:
            self._printer.tell(entry_text(self._session.model, entry))
        else:
            self._printer.tell(file_line(entry))

    def typing(self, name: str) -> None:
        """See `Surface`."""
        if name:
            self._printer.tell(f"* {name_line(name)} is typing")

    def show(self, title: str, lines: Sequence[str]) -> None:
        """See `Surface`."""
        self._printer.tell("\n".join((f"* {title}", *lines)))

    def has_room(self, columns: int, rows: int) -> bool:
        """See `Surface`. Lines scroll on; only their width counts, where there is one."""
        del rows
        return not self._printer.is_terminal or columns <= shutil.get_terminal_size().columns

    def tell(self, text: str) -> None:
        """See `Surface`."""
        self._printer.tell(f"* {one_line(text)}")


def _service(view: RoomStatusView | None) -> tuple[bool, object, int]:
    """What a change of is worth a line."""
    return (False, None, 0) if view is None else (bool(view.attached), view.mode, view.members)


def _read_lines(descriptor: int, loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str | None]) -> None:
    """Put lines into the queue, None at the end; each waits until the one before was taken."""
    data = b""
    more = b"?"
    while more:
        try:
            more = os.read(descriptor, READ_BYTES)
        except OSError:  # the terminal went away
            more = b""
        *whole, data = (data + more).split(b"\n")
        if not more and data:
            whole.append(data)
        data = data[:LINE_BYTES_MAX]
        for line in whole:
            if not _hand_over(line.removesuffix(b"\r").decode(errors="surrogateescape"), loop, lines):
                return
    _hand_over(None, loop, lines)


def _hand_over(line: str | None, loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str | None]) -> bool:
    """Wait until ``line`` is in the queue; False once nobody asks any more."""
    putting = lines.put(line)
    try:
        asyncio.run_coroutine_threadsafe(putting, loop).result()
    except RuntimeError:  # the loop is closed
        putting.close()
        return False
    except CancelledError:  # the loop is closing
        return False
    return True
