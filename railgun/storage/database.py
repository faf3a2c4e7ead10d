"""One SQLite file: opening it safely, transactions, and errors that say what to do.

Owns: the connection, its settings, the translation of SQLite's errors.
Must not know: which tables there are for, keys, ciphers.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from railgun.errors import InvariantViolated, StoreError, UsageError
from railgun.limits import STORE_BUSY_SECONDS, STORE_CHECK_BYTES_MAX, STORE_LOG_BYTES_MAX
from railgun.storage.files import PRIVATE_FILE_MODE, sync_directory
from railgun.storage.migrations import APPLICATION_ID, expected_schema, migrate, schema_of, version_of

PRIMARY_CODE_MASK: Final = 0xFF
"""SQLite's extended error codes carry the primary one in their low byte."""
SYNC_FAILURES: Final = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)
_MAGIC: Final = b"SQLite format 3\0"
_PAGE_BYTES_MIN: Final = 512

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space and start again",
    sqlite3.SQLITE_IOERR: "the disk refused to read or write: check free space, quota, file size limit and the "
    "system's log, then start again",
    sqlite3.SQLITE_READONLY: "it cannot be written: make the file and its directory writable for this user",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its directory exists and is writable for this user",
    sqlite3.SQLITE_PERM: "access was denied: make the file and its directory writable for this user",
    sqlite3.SQLITE_AUTH: "access was denied: make the file and its directory writable for this user",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore the profile from a backup, or create a new one",
    sqlite3.SQLITE_NOTADB: "it is no store: restore the profile from a backup, or give another path",
    sqlite3.SQLITE_BUSY: "another process holds it: stop that process, or use another profile",
    sqlite3.SQLITE_LOCKED: "another process holds it: stop that process, or use another profile",
    sqlite3.SQLITE_NOMEM: "there is too little memory: free some and start again",
}
_BUGS: Final = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE)


class Database:
    """A connection to one file of the newest version, in WAL mode, each commit flushed to the disk.

    Methods may be called from any thread; they take turns. ``create`` makes the file (mode 0600) where there is none.

    Raises:
        StoreError: the file is missing, damaged, foreign, newer, held by another process, or the disk refuses.
    """

    def __init__(self, path: Path, *, create: bool, busy_seconds: float = STORE_BUSY_SECONDS) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._busy_milliseconds = int(busy_seconds * 1000)
        self._sync_failed = False
        self._connection: sqlite3.Connection | None = None
        _prepare_file(path, create=create)
        with self._translated():
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=busy_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection = connection
        # A damaged file may hold any bytes as text; they are found to be wrong where they are compared.
        connection.text_factory = _read_text
        try:
            with self._translated():
                self._set_up(connection, create=create)
        except BaseException:
            self._connection = None
            connection.close()
            raise

    def _set_up(self, connection: sqlite3.Connection, *, create: bool) -> None:
        # Whose file is it? Asked before anything is written.
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        is_empty = version_of(connection) == 0 and application == 0 and not schema_of(connection)
        if not is_empty and application != APPLICATION_ID:
            raise self.damage("it belongs to another program: give another path")
        if is_empty and not create:
            raise self.damage("it is empty: restore the profile from a backup, or create a new one")
        # A hostile file shall not bring code along, and a cell may not point outside its page.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA mmap_size = 0")  # a failing disk would be a SIGBUS instead of an error
        connection.execute("PRAGMA temp_store = MEMORY")
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise self.damage("its file system cannot share memory between processes: move the profile to a local disk")
        connection.execute("PRAGMA synchronous = FULL")
        # What is erased (old keys) shall be gone from free pages too; `scrub` sees to the log.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {STORE_LOG_BYTES_MAX}")
        migrate(connection, str(self.path))
        if schema_of(connection) != expected_schema():
            raise self.damage("its tables are not as Rail Gun made them: restore the profile from a backup")
        if self.path.stat().st_size <= STORE_CHECK_BYTES_MAX:
            self._check(connection, "quick_check")

    def close(self) -> None:
        """Write the log back into the file and release both. Idempotent."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with self._translated():
                    connection.close()

    @contextmanager
    def transaction(self, *, waits_for_disk: bool = True) -> Iterator[None]:
        """All or nothing; on leaving the block it is on the disk, or on its way there unless ``waits_for_disk``.

        Raises:
            StoreError: the disk refused; nothing of the block was kept.
        """
        with self._lock:
            # Cannot be changed within a transaction. In WAL mode NORMAL keeps the order of commits and loses none to
            # a crash of the process.
            self.execute(f"PRAGMA synchronous = {'FULL' if waits_for_disk else 'NORMAL'}")
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def execute(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run one statement; outside `transaction` it is a transaction of its own. Returns the rows changed."""
        with self._lock, self._translated():
            return self._open_connection().execute(statement, values).rowcount

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> int:
        """Run one statement for each row, inside a `transaction`. Returns the rows changed."""
        with self._lock, self._translated():
            return self._open_connection().executemany(statement, rows).rowcount

    def query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        with self._lock, self._translated():
            return self._open_connection().execute(statement, values).fetchall()

    def scrub(self) -> bool:
        """Empty the log, so that what was erased or replaced is no longer in the files.

        What the disk itself keeps of overwritten blocks is beyond reach; the data key protects those.
        Returns False, with the log kept, while another process reads. Raises StoreError.
        """
        with self._lock:
            self.query("PRAGMA busy_timeout = 0")  # a reader may be long: do not wait for it
            try:
                return bool(self.query("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0)
            finally:
                self.query(f"PRAGMA busy_timeout = {self._busy_milliseconds}")

    def check(self) -> None:
        """Read the whole file and check its structure. Raises StoreError when it is damaged."""
        with self._lock, self._translated():
            self._check(self._open_connection(), "integrity_check")

    def damage(self, what: str) -> StoreError:
        """The error for something found in this file; ``what`` says what to do."""
        return StoreError(f"{self.path}: {what}")

    def _check(self, connection: sqlite3.Connection, pragma: str) -> None:
        if connection.execute(f"PRAGMA {pragma}(1)").fetchall() != [("ok",)]:
            raise self.damage(_ADVICE[sqlite3.SQLITE_CORRUPT])

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise UsageError(f"{self.path} was closed: open the profile again")
        if self._sync_failed:
            # After a failed flush the system may have dropped pages that it still shows: nothing read here is sure.
            raise self.damage("an earlier write did not reach the disk: check the disk and start again")
        return self._connection

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._sync_failed = True  # the block's own error is on its way; later calls hear of this one

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code: int | None = getattr(error, "sqlite_errorcode", None)
            if code in SYNC_FAILURES:
                self._sync_failed = True
            if code is None or code & PRIMARY_CODE_MASK in _BUGS:
                raise InvariantViolated(f"{self.path}: {error}") from error
            advice = _ADVICE.get(code & PRIMARY_CODE_MASK, f"{error}: restore the profile from a backup")
            raise self.damage(advice) from error
        except UnicodeDecodeError as error:  # what SQLite says of a damaged schema repeats its bytes
            raise self.damage(_ADVICE[sqlite3.SQLITE_CORRUPT]) from error
        except OSError as error:
            raise self.damage(f"{error.strerror}: check the disk and start again") from error


def _read_text(data: bytes) -> str:
    return data.decode(errors="replace")


def _prepare_file(path: Path, *, create: bool) -> None:
    """Make an empty file that only its owner can read: SQLite gives its log and index the same mode."""
    try:
        if create:
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE_FILE_MODE))
            except FileExistsError:
                pass
            else:
                sync_directory(path.parent)
        if not path.is_file():
            advice = (
                "is no file: give another path" if path.exists() else "is missing: restore the profile from a backup"
            )
            raise StoreError(f"{path} {advice}")
        with path.open("rb") as file:
            start = file.read(_PAGE_BYTES_MIN)
        # SQLite takes a file below its smallest page for an empty one, and would write over it.
        if start and (len(start) < _PAGE_BYTES_MIN or not start.startswith(_MAGIC)):
            raise StoreError(f"{path}: {_ADVICE[sqlite3.SQLITE_NOTADB]}")
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror}: check that its directory exists, has room and is writable for this user"
        ) from error
