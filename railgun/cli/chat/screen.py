"""A chat over the whole terminal, 80 x 24 or any other size, also over ssh.

Owns: the layout, the keys, what of the room is in sight. Must not know: rooms, options, how anything is sent.

prompt_toolkit draws it, see docs/decisions/0008-prompt-toolkit.md. All texts come escaped.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from time import monotonic
from typing import IO, Final

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import HSplit, Layout, VSplit, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.widgets import TextArea

from railgun.cli.chat.model import Entry, Heard
from railgun.cli.chat.owned_tasks import owned_tasks
from railgun.cli.chat.session import Session
from railgun.cli.chat.texts import entry_text, status_line, typing_line
from railgun.cli.chat.wrapping import wrap
from railgun.cli.output import one_line

REFRESH_SECONDS: Final = 1.0
"""The epoch's clock goes on, and typing ends, without anything happening."""
OTHER_ROWS: Final = 4
"""Header, notes, input, keys."""
PANEL_OTHER_ROWS: Final = OTHER_ROWS + 1
GRACE_SECONDS: Final = 1.0
"""Whoever leaves wants the terminal back; what is not sent by then is kept and goes out with the next command."""
TYPED_MAX: Final = 64
KEYS: Final = "F1 help  F2 who  F3 committee  F4 invite  PgUp PgDn  Esc back  Ctrl-Q quit"
PANELS: Final = {"f1": "/help", "f2": "/who", "f3": "/committee", "f4": "/invite"}


class ScreenSurface:
    """Draws a session on the terminal until Ctrl-Q, Ctrl-C or ``/quit``."""

    def __init__(self) -> None:
        self.grace_seconds: float | None = GRACE_SECONDS
        self._session: Session | None = None
        self._note = ""
        self._panel: tuple[str, list[str]] | None = None
        self._scrolled = 0
        self._typed: asyncio.Queue[str] = asyncio.Queue(TYPED_MAX)
        self._text_changed = asyncio.Event()
        self._input = TextArea(height=1, multiline=False, accept_handler=self._accept, wrap_lines=False)
        self._input.buffer.on_text_changed += lambda _: self._text_changed.set()
        self._application: Application[None] = Application(
            layout=Layout(
                HSplit(
                    [
                        _row(self._header, "reverse"),
                        Window(FormattedTextControl(self._body), always_hide_cursor=True),
                        _row(self._notes, "underline"),
                        # Beside the input and not in it, where a long line would scroll it away.
                        VSplit([Window(FormattedTextControl("> "), width=2, height=1), self._input]),
                        _row(lambda: KEYS, "reverse"),
                    ]
                ),
                focused_element=self._input,
            ),
            key_bindings=self._keys(),
            full_screen=True,
            refresh_interval=REFRESH_SECONDS,
        )
        # Escape begins the codes of other keys; over ssh their rest comes within this.
        self._application.ttimeoutlen = self._application.timeoutlen = 0.1

    @contextmanager
    def taking_notes(self) -> Iterator[None]:
        """Meanwhile what is written to standard error, log records above all, is shown as a note and spoils nothing."""
        with redirect_stderr(_Notes(self, sys.stderr)):
            yield

    @property
    def is_drawn(self) -> bool:
        """Whether the terminal is this surface's at the moment."""
        return self._application.is_running

    # --- the session's side ---------------------------------------------------------------------

    async def run(self, session: Session) -> None:
        """See `Surface`."""
        self._session = session
        terminal = self._application.input.fileno()
        was_blocking = os.get_blocking(terminal)
        try:
            async with owned_tasks() as tasks:
                tasks.start(self._draw(), ends_all=True)
                tasks.start(self._do_typed(session), ends_all=True)
                tasks.start(self._tell_typing(session))
                await tasks.wait()
        finally:
            # libuv makes whatever it watches non-blocking; the terminal belongs to whoever started this, too.
            os.set_blocking(terminal, was_blocking)

    async def _draw(self) -> None:
        """Until a key ends it, or it is cancelled: then too it gives the terminal back as it was."""
        drawing = asyncio.get_running_loop().create_task(
            self._application.run_async(set_exception_handler=False, handle_sigint=False), name="screen"
        )
        try:
            await asyncio.shield(drawing)
        finally:
            if self._application.is_running and not self._application.is_done:
                self._application.exit()
            await asyncio.wait({drawing}, timeout=REFRESH_SECONDS)
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)

    async def _do_typed(self, session: Session) -> None:
        while await session.typed(await self._typed.get()):
            self._application.invalidate()

    async def _tell_typing(self, session: Session) -> None:
        while True:
            await self._text_changed.wait()
            self._text_changed.clear()
            text = self._input.text
            await session.is_typing(bool(text) and (not text.startswith("/") or text.startswith("/reply")))

    def heard(self, heard: Heard) -> None:
        """See `Surface`."""
        del heard  # the model has it
        self._application.invalidate()

    def marked(self, entry: Entry) -> None:
        """See `Surface`."""
        del entry
        self._application.invalidate()

    def moved(self, entry: Entry) -> None:
        """See `Surface`."""
        del entry
        self._application.invalidate()

    def typing(self, name: str) -> None:
        """See `Surface`."""
        del name
        self._application.invalidate()

    def show(self, title: str, lines: Sequence[str]) -> None:
        """See `Surface`."""
        self._panel = (title, list(lines))
        self._scrolled = 0
        self._application.invalidate()

    def has_room(self, columns: int, rows: int) -> bool:
        """See `Surface`. Above it stands a title, below it a blank line and the link."""
        size = self._application.output.get_size()
        return columns <= size.columns and rows + PANEL_OTHER_ROWS <= size.rows

    def tell(self, text: str) -> None:
        """See `Surface`."""
        self._note = one_line(" ".join(text.split()))
        self._application.invalidate()

    # --- what is in sight -----------------------------------------------------------------------

    def _header(self) -> str:
        session = self._session
        return "" if session is None else status_line(session.status(), session.room_name)

    def _notes(self) -> str:
        session = self._session
        return self._note or ("" if session is None else typing_line(session.model.typists(monotonic())))

    def _body(self) -> StyleAndTextTuples:
        size = self._application.output.get_size()
        rows = max(1, size.rows - OTHER_ROWS)
        lines = self._panel_lines(rows, size.columns) if self._panel else self._entry_lines(rows, size.columns)
        return [("", "\n".join(lines))]

    def _panel_lines(self, rows: int, columns: int) -> list[str]:
        title, lines = self._panel or ("", [])
        wrapped = [part for line in lines for part in wrap(line, columns)]
        self._scrolled = max(0, min(self._scrolled, len(wrapped) - rows + 1))
        more = len(wrapped) - self._scrolled - (rows - 1)
        return [f"{title} (Esc: back{', PgDn: more' if more > 0 else ''})", *wrapped[self._scrolled :][: rows - 1]]

    def _entry_lines(self, rows: int, columns: int) -> list[str]:
        """The newest lines that fit, or older ones when scrolled; the last one stands at the bottom."""
        if self._session is None:
            return []
        model = self._session.model
        found: list[str] = []
        for entry in reversed(model.entries):
            found[:0] = wrap(entry_text(model, entry), columns)
            if len(found) >= rows + self._scrolled:
                break
        self._scrolled = max(0, min(self._scrolled, len(found) - rows))
        shown = found[: len(found) - self._scrolled][-rows:]
        return [""] * (rows - len(shown)) + shown

    # --- keys -----------------------------------------------------------------------------------

    def _accept(self, buffer: Buffer) -> bool:
        """Take a line; True keeps it where too much waits to be done already."""
        self._note = ""
        try:
            self._typed.put_nowait(buffer.text)
        except asyncio.QueueFull:
            self._note = "Too much is under way: try again in a moment."
            return True
        if not buffer.text.startswith("/"):
            self._panel, self._scrolled = None, 0
        return False

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        for key in ("c-c", "c-q"):
            keys.add(key)(_leave)
        for key, line in PANELS.items():
            keys.add(key)(self._panel_key(line))
        keys.add("escape")(self._back)
        keys.add("pageup")(lambda _: self._scroll(older=True))
        keys.add("pagedown")(lambda _: self._scroll(older=False))
        return keys

    def _panel_key(self, line: str) -> Callable[[KeyPressEvent], None]:
        def press(_: KeyPressEvent) -> None:
            self._note = ""
            if not self._typed.full():
                self._typed.put_nowait(line)

        return press

    def _back(self, _: KeyPressEvent) -> None:
        self._panel, self._scrolled, self._note = None, 0, ""

    def _scroll(self, *, older: bool) -> None:
        step = max(1, self._application.output.get_size().rows - OTHER_ROWS - 2)
        # A panel is read from its top, a room from its bottom.
        self._scrolled = max(0, self._scrolled + (step if older == (self._panel is None) else -step))


def _leave(event: KeyPressEvent) -> None:
    event.app.exit()


def _row(text: Callable[[], str], style: str) -> Window:
    return Window(FormattedTextControl(lambda: [("", text())]), height=1, style=style, always_hide_cursor=True)


class _Notes(io.TextIOBase):
    """Standard error while the screen is drawn; before and after that, what it was."""

    def __init__(self, surface: ScreenSurface, stream: IO[str]) -> None:
        self._surface = surface
        self._stream = stream

    def write(self, text: str) -> int:
        if not self._surface.is_drawn:
            return self._stream.write(text)
        if text.strip():
            self._surface.tell(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
