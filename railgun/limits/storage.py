"""Bounds of configuration, what is kept on disk, searching it, and the control socket.

Owns: the numbers, each with its reason. Must not know: who enforces them.
"""

from __future__ import annotations

from typing import Final

# --- configuration ---------------------------------------------------------------------------
CONFIGURATION_BYTES_MAX: Final = 1 << 20
"""A configuration file; a larger one is something else, named by mistake."""
BOOTSTRAP_MAX: Final = 64
"""Contacts in one configuration: a handful is enough, since peers are remembered."""
CONTACT_TEXT_MAX: Final = 200
"""Scheme, 86 characters of keys, and the longest address, with room to spare."""

# --- what is kept on disk --------------------------------------------------------------------
STORE_KEY_BYTES_MAX: Final = 256
"""Keys are a room id and a few more fields; a longer one is a bug."""
STORE_VALUE_BYTES_MAX: Final = 16 << 20
"""One value. Machines write far smaller ones; a larger one is a bug."""
STORE_BUSY_SECONDS: Final = 5.0
"""How long to wait for another process that holds the store (a backup) before saying so."""
STORE_CHECK_BYTES_MAX: Final = 64 << 20
"""Stores up to this size are checked whole when opened; reading larger ones would delay every start."""
STORE_LOG_BYTES_MAX: Final = 4 << 20
"""The write-ahead log is cut back to this after each checkpoint."""
PROFILE_FILE_BYTES_MAX: Final = 65_536
"""``profile.toml``, the wrapped secrets and a key file are far smaller; more is not read."""
BACKUP_CHUNK_BYTES: Final = 1 << 20
"""A backup is sealed and read in pieces of this size: neither end holds more of it in memory."""
BACKUP_STORE_BYTES_MAX: Final = 1 << 36
"""The largest store that a backup may hold (64 GiB): what a file claims must not fill a disk without end."""

# --- searching what is kept ------------------------------------------------------------------
SEARCH_PAGE_MESSAGES: Final = 32
"""Messages in memory at once while a room is searched: 4 MiB where all are as long as may be."""
SEARCH_TEXT_BYTES_MAX: Final = 1_024
SEARCH_FOUND_BYTES_MAX: Final = 512 << 10
"""Text in one answer: less than CONTROL_LINE_BYTES_MAX also where JSON spells every byte with six."""

# --- the control socket of a profile ---------------------------------------------------------
CONTROL_LINE_BYTES_MAX: Final = 4 << 20
"""One request or answer: a text in which JSON spells every byte with six, or a page of history."""
CONTROL_CONNECTIONS_MAX: Final = 32
"""Commands served at once; further ones are told to try again."""
CONTROL_REQUEST_SECONDS: Final = 10.0
"""Who connects and asks nothing is let go."""
