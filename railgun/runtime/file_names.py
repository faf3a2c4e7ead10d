"""Names of files that others chose, made fit for this machine's disk.

Owns: what a safe name is, and one that is free. Must not know: what is written.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import Final

from railgun.errors import UsageError

NAME_BYTES_MAX: Final = 200
"""File systems take 255; a number and a temporary ending are added."""
SUFFIX_BYTES_MAX: Final = 20
TRIES_MAX: Final = 1_000
FALLBACK: Final = "file"
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_FORBIDDEN: Final = frozenset('<>:"|?*')


def safe_name(name: str) -> str:
    """``name`` without directories, characters that steer a terminal or hide, leading dots and what other systems
    refuse; at most NAME_BYTES_MAX bytes in UTF-8, with the ending kept. Never empty."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    shown = "".join("_" if c in _FORBIDDEN else c for c in last if c.isprintable() and not _is_odd(c))
    shown = shown.strip(" .").lstrip("-~")
    if _RESERVED.fullmatch(shown):
        shown = f"_{shown}"
    return _short(shown) or FALLBACK


def _is_odd(character: str) -> bool:
    """Whether it is of a kind that is not seen, or is no character of its own."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _short(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > SUFFIX_BYTES_MAX:
        stem, dot, ending = name, "", ""
    room = NAME_BYTES_MAX - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + ending


def claim(directory: Path, name: str) -> Path:
    """Make an empty file of that name, or with a number where there is one already: nothing is ever overwritten.

    Raises:
        UsageError: the directory is not there or not writable, or all names are taken.
    """
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    for number in range(TRIES_MAX):
        path = directory / (name if not number else f"{stem} ({number}){dot}{ending}")
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}: choose another directory") from error
        return path
    raise UsageError(f"{directory} has {TRIES_MAX} files called {name!r} already: choose another directory")
