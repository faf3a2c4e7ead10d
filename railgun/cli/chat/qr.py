"""A QR code in text blocks: two rows of modules a line, one module a column.

Owns: how modules become characters. Must not know: what the code says.
"""

from __future__ import annotations

from typing import Final

QUIET_MODULES: Final = 2
"""Half of what ISO/IEC 18004 asks for: a terminal is small, and readers manage."""
# Terminals are mostly dark, and readers expect dark on light: a block is a light module.
_BLOCKS: Final = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}


def qr_lines(text: str) -> list[str]:
    """``text`` as a code of the lowest error correction, each line as wide as the code."""
    import segno

    code = segno.make_qr(text, error="l", boost_error=False)
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET_MODULES)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [
        "".join(_BLOCKS[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]
