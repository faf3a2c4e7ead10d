"""How far something has come, for people.

Owns: sizes in words, the bar, when a line is drawn anew. Must not know: what it is that goes on.
"""

from __future__ import annotations

from typing import IO, Final

BAR_CELLS: Final = 20
STEP_PERCENT: Final = 25
"""Where no line can be drawn anew, one is written for each of these."""


def size_text(size_bytes: int) -> str:
    """``713 bytes``, ``1.4 MB``: of a million bytes, as file managers count."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes} {'byte' if size_bytes == 1 else 'bytes'}"


def percent(done_bytes: int, size_bytes: int) -> int:
    """Whole ones, 100 only when all is done."""
    return 100 if done_bytes >= size_bytes else 100 * done_bytes // size_bytes


def bar(done_bytes: int, size_bytes: int) -> str:
    """``[#####...............] 25 % of 1.4 MB``, in ASCII."""
    share = percent(done_bytes, size_bytes)
    filled = BAR_CELLS * share // 100
    return f"[{'#' * filled}{'.' * (BAR_CELLS - filled)}] {share} % of {size_text(size_bytes)}"


class ProgressLine:
    """One line that is drawn anew on a terminal; elsewhere a line for each quarter."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._is_drawn_anew = stream.isatty()
        self._told = -1
        self._drawn = ""

    def show(self, done_bytes: int, size_bytes: int) -> None:
        """So far."""
        if self._is_drawn_anew:
            text = bar(done_bytes, size_bytes)
            if text != self._drawn:
                self._stream.write("\r" + text.ljust(len(self._drawn)))
                self._drawn = text
        elif (step := percent(done_bytes, size_bytes) // STEP_PERCENT) > self._told:
            self._told = step
            self._stream.write(bar(done_bytes, size_bytes) + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Go on below."""
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()
            self._drawn = ""
