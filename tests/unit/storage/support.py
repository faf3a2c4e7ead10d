"""What the store's tests share: real randomness behind the port, and keys made to be recognised."""

from __future__ import annotations

import os
from pathlib import Path

from railgun.storage.sqlite_store import SqliteStore

DATA_KEY = bytes(range(32))
ROOM = b"R" * 32
OTHER_ROOM = b"S" * 32


class SystemEntropy:
    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


def open_store(
    path: Path, data_key: bytes = DATA_KEY, *, create: bool = True, busy_seconds: float = 5.0
) -> SqliteStore:
    return SqliteStore(path, data_key, SystemEntropy(), create=create, busy_seconds=busy_seconds)


def files_of(path: Path) -> bytes:
    """The bytes of the file, its log and its index."""
    return b"".join(found.read_bytes() for found in sorted(path.parent.glob(path.name + "*")))
