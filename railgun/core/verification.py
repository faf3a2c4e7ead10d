"""Whom this person has verified: marks made after two people compared safety numbers.

Owns: the rows that keep them, what a mark is about. Must not know: where numbers are shown.
Spec: docs/spec/identities.md.

A mark is about two root keys: a new or lost device of either person changes nothing. Its row's key is a MAC, so that
who can write to the disk, but not read its secrets, can neither make a mark nor see whom one is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from railgun.core.persistence import Write
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import safety_number
from railgun.errors import UsageError
from railgun.types import RootKey

TABLE: Final = "settings"
ROW_KEY: Final = b"verified "
MARK_LABEL: Final = "railgun/verified/v1"
_TIME_BYTES: Final = 8


class Verification:
    """The marks of one profile."""

    def __init__(self, own: RootKey, secret: bytes, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """``secret``: 32 bytes that stay with the profile (its pickle key). ``rows``: of table ``settings``, any."""
        self._own = own
        self._secret = secret
        self._marks = {key: value for key, value in rows if key.startswith(ROW_KEY) and len(value) == _TIME_BYTES}

    def __repr__(self) -> str:
        return f"Verification({len(self._marks)} marks)"

    def number(self, other: RootKey) -> str:
        """The 60 digits that both people see."""
        return safety_number(self._own, other)

    def verified_at(self, other: RootKey) -> int | None:
        """When this person said that they agree, in Unix seconds; None where it has not."""
        value = self._marks.get(self._key(other))
        return None if value is None else int.from_bytes(value, "big")

    def mark(self, other: RootKey, wall: float) -> tuple[Write, ...]:
        """They agree. Raises UsageError for one's own root."""
        if other == self._own:
            raise UsageError("there is nobody to compare one's own safety number with")
        key, value = self._key(other), int(wall).to_bytes(_TIME_BYTES, "big")
        self._marks[key] = value
        return (Write(TABLE, key, value),)

    def unmark(self, other: RootKey) -> tuple[Write, ...]:
        """They do not, or are no longer sure. Idempotent."""
        key = self._key(other)
        return () if self._marks.pop(key, None) is None else (Write(TABLE, key, None),)

    def _key(self, other: RootKey) -> bytes:
        return ROW_KEY + keyed_hash(self._secret, MARK_LABEL, self._own + other)
