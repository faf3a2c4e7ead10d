"""Ranges of byte strings.

Owns: where a prefix ends. Must not know: what is searched.
"""

from __future__ import annotations


def end_of_prefix(prefix: bytes) -> bytes | None:
    """The smallest byte string after all that begin with ``prefix``; None if there is none (empty, or all 0xff)."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None
