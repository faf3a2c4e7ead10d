"""A QR code in text blocks: two rows of modules a line, one module a column.

Owns: how modules become characters. Must not know: what the code says.
"""

from __future__ import annotations

import dataclasses
from typing import Final

QUIET_MODULES: Final = 2
"""Half of what ISO/IEC 18004 asks for: a terminal is small, and readers manage."""
# Terminals are mostly dark, and readers expect dark on light: a block is a light module.
_BLOCKS: Final = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}


QR_CONTACTS: Final = 2
"""Relays that the code's link names: each makes it a third larger, and one that lives is enough to find the others."""


def invite_qr_lines(link: str) -> list[str]:
    """The code of an invite link, with fewer relays in it. Raises MalformedInput: it is none."""
    from railgun.wire.invites import format_invite, parse_invite

    invite = parse_invite(link)
    return qr_lines(format_invite(dataclasses.replace(invite, contacts=invite.contacts[:QR_CONTACTS])))


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
