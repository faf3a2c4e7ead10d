"""The Store port on SQLite.

Owns: turning writes into rows and back, sealing on the way, knowing the file's own data key again.
Must not know: what machines mean by their keys and values, where the data key comes from.
Spec: docs/spec/storage.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from railgun.errors import CryptoError, StoreError, WrongPassphrase
from railgun.limits import STORE_BUSY_SECONDS
from railgun.ports import Entropy, Write
from railgun.storage.database import Database
from railgun.storage.message_log import MessageLog
from railgun.storage.ranges import end_of_prefix
from railgun.storage.record_sealer import RecordSealer
from railgun.storage.tables import (
    ERASED_AT_ONCE,
    FILES,
    MESSAGES,
    REPLACED_AT_ONCE,
    ROOM_ID_BYTES,
    SEALED_TABLES,
    TABLES,
    check_table,
    check_write,
    is_sealed,
)
from railgun.types import MessageId, RoomId

_PROOF_PLACE: Final = "store_facts"
_PROOF_NAME: Final = "data key"
_PROOF: Final = b"railgun"


class SqliteStore:
    """Tables of one profile, secret ones sealed under ``data_key`` (32 bytes).

    On return from `commit` the writes survive a crash of the process and a loss of power. May be called from any
    thread; calls take turns. ``create`` allows making the file where there is none.

    Raises:
        StoreError: see `Database`.
        WrongPassphrase: the file was sealed under another data key.
    """

    def __init__(
        self,
        path: Path,
        data_key: bytes,
        entropy: Entropy,
        *,
        create: bool = True,
        busy_seconds: float = STORE_BUSY_SECONDS,
    ) -> None:
        self._sealer = RecordSealer(data_key, entropy)
        self._database = Database(path, create=create, busy_seconds=busy_seconds)
        self._scrub_is_due = False
        self.message_log = MessageLog(self._database, self._sealer)
        try:
            self._prove_data_key()
        except BaseException:
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._database.path)!r})"

    def commit(self, writes: Sequence[Write], *, survives_power_loss: bool = True) -> None:
        """Carry out all writes, in order, in one transaction; none at all on an error.

        Without ``survives_power_loss`` the disk is not waited for: a crash of the process loses nothing, a loss of
        power may lose the last such commits, all of one or none, and never one before a commit that was waited for.

        A write to ``messages`` (key: room id of 32 bytes, message id of 16) goes to the message log, where an id that
        is already there stays as it is.

        Raises:
            StoreError: the disk refused; nothing was kept.
            InvariantViolated: an unknown table, or a key or value beyond its bounds; nothing was kept.
        """
        for write in writes:
            check_write(write.table, write.key, write.value)
        if not writes:
            return
        if self._scrub_is_due:
            self.scrub()
        with self._database.transaction(waits_for_disk=survives_power_loss):
            for write in writes:
                self._write(write.table, write.key, write.value)
        if any(write.table in (ERASED_AT_ONCE if write.value is None else REPLACED_AT_ONCE) for write in writes):
            self._scrub_after_commit()

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under ``key``, or None. Raises StoreError; InvariantViolated for an unknown table."""
        check_table(table)
        if table == MESSAGES:
            found = self.message_log.find(*_split(key))
            return None if found is None else found.value
        rows = self._database.query(f"SELECT value FROM {table} WHERE key = ?", (key,))  # noqa: S608 - a closed set
        return self._open(table, key, rows[0][0]) if rows else None

    def load(self, table: str, prefix: bytes = b"") -> list[tuple[bytes, bytes]]:
        """All (key, value) whose key begins with ``prefix``, by ascending key. Raises as `get`."""
        check_table(table)
        if table == MESSAGES:
            return [(row.room_id + row.message_id, row.value) for row in self.message_log.load(prefix)]
        end = end_of_prefix(prefix)
        limit, values = ("", (prefix,)) if end is None else ("AND key < ?", (prefix, end))
        rows = self._database.query(
            f"SELECT key, value FROM {table} WHERE key >= ? {limit} ORDER BY key",  # noqa: S608 - a closed set
            values,
        )
        return [(self._blob(key), self._open(table, key, value)) for key, value in rows]

    def keys(self, table: str, prefix: bytes = b"") -> list[bytes]:
        """All keys that begin with ``prefix``, ascending, without their values; not of ``messages``. Raises as
        `get`."""
        check_table(table)
        end = end_of_prefix(prefix)
        limit, values = ("", (prefix,)) if end is None else ("AND key < ?", (prefix, end))
        rows = self._database.query(
            f"SELECT key FROM {table} WHERE key >= ? {limit} ORDER BY key",  # noqa: S608 - a closed set
            values,
        )
        return [self._blob(key) for (key,) in rows]

    def count(self, table: str) -> int:
        """Keys in ``table``. Raises as `get`."""
        check_table(table)
        return int(self._database.query(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - a closed set

    def scrub(self) -> bool:
        """Make erased and replaced values leave the files too (see `Database.scrub`). Raises StoreError.

        `commit` does so by itself where it matters, and `close` always. False: another process is reading just now;
        the next commit tries again.
        """
        done = self._database.scrub()
        self._scrub_is_due = not done
        return done

    def _scrub_after_commit(self) -> None:
        self._scrub_is_due = True
        with suppress(StoreError):  # the writes are kept, so this commit succeeded; the next one tries again and tells
            self.scrub()

    def verify(self) -> None:
        """Read everything: the file's structure, and every sealed value. Raises StoreError at the first damage."""
        self._database.check()
        for table in SEALED_TABLES:
            if table == FILES:
                for key in self.keys(table):  # one at a time: they may be far more than fits the memory
                    self.get(table, key)
            else:
                self.load(table)

    def close(self) -> None:
        """Release the file. Idempotent. Raises StoreError."""
        self._database.close()

    def _write(self, table: str, key: bytes, value: bytes | None) -> None:
        if table == MESSAGES:
            if value is None:
                self.message_log.delete(*_split(key))
            else:
                self.message_log.insert(*_split(key), value)
        elif value is None:
            self._database.execute(f"DELETE FROM {table} WHERE key = ?", (key,))  # noqa: S608 - a closed set
        else:
            kept = self._sealer.seal(table, key, value) if is_sealed(table) else value
            self._database.execute(
                f"INSERT INTO {table} (key, value) VALUES (?, ?) "  # noqa: S608 - a closed set
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, kept),
            )

    def _open(self, table: str, key: bytes, kept: object) -> bytes:
        value = self._blob(kept)
        if not is_sealed(table):
            return value
        try:
            return self._sealer.open(table, key, value)
        except CryptoError as error:
            raise self._database.damage(f"a value in {table} is damaged: restore the profile from a backup") from error

    def _blob(self, cell: object) -> bytes:
        """A cell of a file may hold any type, whatever its column declares."""
        if not isinstance(cell, bytes):
            raise self._database.damage("it is damaged: restore the profile from a backup")
        return cell

    def _prove_data_key(self) -> None:
        """A new file gets a sealed proof; an old one shows by it whether the data key is its own."""
        with self._database.transaction():
            rows = self._database.query("SELECT value FROM store_facts WHERE name = ?", (_PROOF_NAME,))
            if not rows:
                self._plant_proof()
                return
        try:
            proof = self._sealer.open(_PROOF_PLACE, _PROOF_NAME.encode("ascii"), self._blob(rows[0][0]))
        except CryptoError as error:
            raise WrongPassphrase(f"{self._database.path} was sealed under another key: use its own profile") from error
        if proof != _PROOF:
            raise self._database.damage("it is damaged: restore the profile from a backup")

    def _plant_proof(self) -> None:
        if any(self.count(table) for table in sorted(TABLES)):
            raise StoreError(f"{self._database.path} lost the proof of its key: restore the profile from a backup")
        self._database.execute(
            "INSERT INTO store_facts (name, value) VALUES (?, ?)",
            (_PROOF_NAME, self._sealer.seal(_PROOF_PLACE, _PROOF_NAME.encode("ascii"), _PROOF)),
        )


def _split(key: bytes) -> tuple[RoomId, MessageId]:
    return RoomId(key[:ROOM_ID_BYTES]), MessageId(key[ROOM_ID_BYTES:])
