"""What is printed: one JSON object for machines, lines for people, and nothing that steers a terminal.

Owns: which stream gets what, the promise of exactly one object, escaping. Must not know: any command.

With ``--json`` standard output takes the object and nothing else; what is told to people goes to standard error.
Texts of others (names, messages, error details) pass through `one_line` or `paragraph`: a terminal obeys control
characters, and a right-to-left override shows one text for another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import IO, TypeAlias, Union

Json: TypeAlias = Union[str, int, float, bool, None, Sequence["Json"], Mapping[str, "Json"]]

_JOINERS = "\u200c\u200d"
"""Invisible, harmless, and needed to write Persian and to spell many an emoji."""


def one_line(text: str) -> str:
    """``text`` with everything that is not shown as itself spelt out: ``\\x1b``, ``\\n``, ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else ascii(c)[1:-1] for c in text)


def paragraph(text: str, indent: str = "    ") -> str:
    """As `one_line`, but lines stay lines: those after the first are indented, so that none poses as another's."""
    return f"\n{indent}".join(one_line(line) for line in text.replace("\t", " ").split("\n"))


class Printer:
    """Where a command's words go. ``has_result`` tells whether the one object was printed."""

    def __init__(self, *, as_json: bool, stdout: IO[str], stderr: IO[str]) -> None:
        self.as_json = as_json
        self.has_result = False
        self._stdout = stdout
        self._stderr = stderr

    @property
    def is_terminal(self) -> bool:
        """Whether what is told to people goes to a terminal."""
        return (self._stderr if self.as_json else self._stdout).isatty()

    @property
    def progress_stream(self) -> IO[str]:
        """Where something that draws itself anew may do so: beside the result."""
        return self._stderr

    def tell(self, text: str) -> None:
        """A line, or a few, for people. What comes from others must have passed `one_line` or `paragraph`."""
        self._write(self._stderr if self.as_json else self._stdout, text)

    def note(self, text: str) -> None:
        """A line beside the result: progress, a warning. Always on standard error."""
        self._write(self._stderr, text)

    def result(self, fields: Mapping[str, Json], text: str | None = None) -> None:
        """The command's result: the object with ``--json``, else ``text`` (by default the fields as a list).

        Raises RuntimeError when called a second time: a bug of the command's.
        """
        if self.has_result:
            raise RuntimeError("a command has one result")
        self.has_result = True
        if self.as_json:
            # ASCII only: no escape code and no encoding can get in the way. NaN is no JSON.
            self._write(self._stdout, json.dumps(fields, allow_nan=False))
        else:
            self._write(self._stdout, listing(fields) if text is None else text)

    def line(self, fields: Mapping[str, Json]) -> None:
        """One JSON object of many, on a line of standard output (``--lines``, never together with ``--json``)."""
        self._write(self._stdout, json.dumps(fields, allow_nan=False))

    def flush(self) -> None:
        """Raises OSError when a stream refuses what was printed (a full disk, a closed pipe)."""
        self._stdout.flush()
        self._stderr.flush()

    @staticmethod
    def _write(stream: IO[str], text: str) -> None:
        safe = "\n".join(one_line(line) for line in text.split("\n"))
        stream.write(safe + "\n")
        stream.flush()


def listing(fields: Mapping[str, Json]) -> str:
    """Fields as lines of aligned names and values."""
    width = max((len(name) for name in fields), default=0)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {shown(value)}".rstrip() for name, value in fields.items())


def shown(value: Json) -> str:
    """One value for people; what was not measured shows as ``-``."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case str() | int():
            return one_line(str(value))
        case Mapping():
            return ", ".join(f"{one_line(str(name))} {shown(item)}" for name, item in value.items())
    return ", ".join(shown(item) for item in value) or "-"


def table(head: Sequence[str], rows: Sequence[Sequence[Json]]) -> str:
    """Rows under a head, in aligned columns."""
    cells = [list(head), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
