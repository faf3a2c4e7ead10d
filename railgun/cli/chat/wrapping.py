"""Lines no wider than a terminal.

Owns: where a line breaks. Must not know: what it says.
"""

from __future__ import annotations

from typing import Final

from prompt_toolkit.utils import get_cwidth

COLUMNS_MIN: Final = 8
INDENT: Final = "    "


def wrap(text: str, columns: int) -> list[str]:
    """``text`` (escaped already; its own line breaks stay) in lines of at most ``columns`` cells, 8 at least.

    Wide characters count two cells. Lines after the first are indented. Breaks at a blank where there is one.
    """
    columns = max(columns, COLUMNS_MIN)
    found: list[str] = []
    for line in text.split("\n"):
        rest = line
        while get_cwidth(rest) > columns:
            end = _fits(rest, columns)
            blank = rest.rfind(" ", len(INDENT) + 1, end + 1)
            end = blank if blank > 0 else end
            found.append(rest[:end])
            rest = INDENT + rest[end:].lstrip(" ")
        found.append(rest)
    return found


def _fits(text: str, columns: int) -> int:
    """How many characters of ``text`` fit; more than the indent, or nothing would ever move on."""
    width = 0
    for place, character in enumerate(text):
        width += get_cwidth(character)
        if width > columns:
            return place
    return len(text)
