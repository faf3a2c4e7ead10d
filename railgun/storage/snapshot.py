"""A copy of a store as it is at one moment, also while another process writes to it.

Owns: making it. Must not know: what the rows mean, what the copy is for.
"""

from __future__ import annotations

from pathlib import Path

from railgun.storage.database import Database
from railgun.storage.files import write_private_file


def copy_store(source: Path, target: Path) -> None:
    """Write all of the store ``source`` into the new file ``target`` (mode 0600), without its free pages.

    Raises:
        StoreError: the store is damaged or newer than this code, or the disk refused.
        OSError: ``target`` exists or cannot be made.
    """
    write_private_file(target, b"")  # SQLite fills an empty file, and leaves its mode as it is
    database = Database(source, create=False)
    try:
        database.execute("VACUUM INTO ?", (str(target),))
    finally:
        database.close()
