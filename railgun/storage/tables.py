"""The tables of a store: a closed set.

Owns: their names, which of them are sealed at rest, the shape of a message's key.
Must not know: SQL, ciphers, what a value means.

Keys stand in the clear, so a key holds identifiers only, never a secret and never content.
"""

from __future__ import annotations

from typing import Final

from railgun.errors import InvariantViolated
from railgun.limits import STORE_KEY_BYTES_MAX, STORE_VALUE_BYTES_MAX

SEALED_TABLES: Final = (
    "files",
    "generations",
    "identity",
    "inbound_sessions",
    "invites",
    "messages",
    "outbound_sessions",
    "outbox",
    "room_contacts",
    "roster_entries",
    "rooms",
    "seen_envelopes",
)
"""Values are sealed under the data key (spec: storage)."""
CLEAR_TABLES: Final = ("contacts", "seen_indexes", "send_keys", "settings")
"""Remembered relays, replay windows, ids of messages and settings: nothing here reads a message."""
TABLES: Final = frozenset(SEALED_TABLES + CLEAR_TABLES)
ERASED_AT_ONCE: Final = ("generations", "identity", "inbound_sessions", "invites", "outbound_sessions", "rooms")
"""A value deleted here leaves the files with its commit, or forward secrecy would end at the disk."""
REPLACED_AT_ONCE: Final = ("generations", "identity")
"""Here the same holds for a value that is replaced. Ratchets are replaced too often for it: theirs leave the files
when the log is next written back."""

FILES: Final = "files"
"""Pieces of files, many and large: never loaded as a whole."""
MESSAGES: Final = "messages"
"""The one table that is no plain map: see `railgun.storage.message_log`."""
ROOM_ID_BYTES: Final = 32
MESSAGE_ID_BYTES: Final = 16
MESSAGE_KEY_BYTES: Final = ROOM_ID_BYTES + MESSAGE_ID_BYTES


def is_sealed(table: str) -> bool:
    """Whether values of ``table`` are sealed at rest. Raises InvariantViolated for an unknown name."""
    check_table(table)
    return table in SEALED_TABLES


def check_table(table: str) -> None:
    """Raise InvariantViolated unless ``table`` is one of the closed set."""
    if table not in TABLES:
        raise InvariantViolated(f"no table is called {table!r}")


def check_write(table: str, key: bytes, value: bytes | None) -> None:
    """Raise InvariantViolated for an unknown table, or a key or value that no machine may write."""
    check_table(table)
    if not 1 <= len(key) <= STORE_KEY_BYTES_MAX:
        raise InvariantViolated(f"a key of {len(key)} bytes in {table}: 1 to {STORE_KEY_BYTES_MAX} are allowed")
    if table == MESSAGES and len(key) != MESSAGE_KEY_BYTES:
        raise InvariantViolated(f"a message's key has {MESSAGE_KEY_BYTES} bytes, this one {len(key)}")
    if value is not None and len(value) > STORE_VALUE_BYTES_MAX:
        raise InvariantViolated(f"a value of {len(value)} bytes in {table}: at most {STORE_VALUE_BYTES_MAX}")
