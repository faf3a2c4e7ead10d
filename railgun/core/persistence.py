"""The form of what machines want kept.

Owns: `Write`. Must not know: where or how anything is stored.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Write:
    """Put ``value`` under ``key`` in ``table``; None deletes. Later writes of a turn win."""

    table: str
    key: bytes
    value: bytes | None
