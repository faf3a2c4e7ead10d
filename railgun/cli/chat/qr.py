"""QR codes: in text blocks, two rows of modules a line and one module a column; and as pictures.

Owns: how modules become characters or a file, how many of a link's relays a code names. Must not know: who asks.

A link with one relay is 191 bytes: 57 modules a side with half a quiet zone, so 61 columns and 31 lines. Nothing that
lets a newcomer in fits 24 lines: 48 modules hold 108 bytes of base64, and not even the link without any relay (114).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from railgun.errors import UsageError

QUIET_MODULES: Final = 2
"""Half of what ISO/IEC 18004 asks for: a terminal is small, and readers manage."""
# Terminals are mostly dark, and readers expect dark on light: a block is a light module.
_BLOCKS: Final = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}


PICTURE_KINDS: Final = ("svg", "png")
PICTURE_SCALE: Final = 8
"""Pixels of a module."""
QR_CONTACTS: Final = 2
"""Relays that the code's link names: each makes it a third larger, and one that lives is enough to find the others."""


def invite_qr_lines(link: str, contacts: int = QR_CONTACTS) -> list[str]:
    """The code of an invite link, with so many relays in it at most. Raises MalformedInput: it is none."""
    from railgun.wire.invites import format_invite, parse_invite

    invite = parse_invite(link)
    return qr_lines(format_invite(dataclasses.replace(invite, contacts=invite.contacts[:contacts])))


def picture_kind(path: Path) -> str:
    """``svg`` or ``png``, by the name. Raises UsageError for any other."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in PICTURE_KINDS:
        raise UsageError(f"{path}: a QR code is written as .svg or .png: end the name so")
    return kind


@contextmanager
def new_picture(path: Path) -> Iterator[IO[bytes]]:
    """A new file that only its owner may read, as an invite is a secret; gone again where the block fails.

    Raises UsageError: there is one already, or it cannot be made there.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already: give another path, or remove it first") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: give another path") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UsageError(f"{path}: {error.strerror}: the picture could not be written") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_picture(file: IO[bytes], text: str, kind: str) -> None:
    """``text`` as a code with its whole quiet zone. Raises OSError."""
    import segno

    segno.make_qr(text, error="m").save(file, kind=kind, scale=PICTURE_SCALE, border=4)


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
