"""The store's layout, as the ordered steps that lead to it.

Owns: the SQL of each version, and bringing a file from its version to the newest.
Must not know: what is stored, keys, how a file is opened.

A step that has been released is never edited: a change is a new step at the end. Each step runs in a transaction of
its own together with its version number, so a crash between steps leaves a whole older version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from railgun.errors import StoreError

APPLICATION_ID: Final = 0x5247_4E31
"""Marks the file as ours in its header ("RGN1")."""


@dataclass(frozen=True, slots=True)
class Migration:
    """The statements that lead from version ``version - 1`` to ``version``."""

    version: int
    statements: tuple[str, ...]


def _table_of_small_values(name: str) -> str:
    """Rows inside the key's own tree: one lookup, best while rows are well below a page."""
    return f"CREATE TABLE {name} (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"


def _table_of_large_values(name: str) -> str:
    return f"CREATE TABLE {name} (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL)"


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        1,
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            "CREATE TABLE store_facts (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
            _table_of_small_values("contacts"),
            _table_of_small_values("generations"),
            _table_of_small_values("invites"),
            _table_of_small_values("rooms"),
            _table_of_small_values("seen_indexes"),
            _table_of_small_values("settings"),
            _table_of_large_values("identity"),
            _table_of_large_values("inbound_sessions"),
            _table_of_large_values("outbound_sessions"),
            _table_of_large_values("outbox"),
            _table_of_large_values("roster_entries"),
        ),
    ),
    Migration(
        2,
        (
            # AUTOINCREMENT: an arrival number is never given twice, not even after the newest message is deleted.
            """CREATE TABLE messages (
                arrival INTEGER PRIMARY KEY AUTOINCREMENT,
                room_id BLOB NOT NULL,
                message_id BLOB NOT NULL,
                value BLOB NOT NULL,
                delivered INTEGER NOT NULL DEFAULT 0,
                UNIQUE (room_id, message_id)
            )""",
            "CREATE INDEX messages_by_arrival ON messages (room_id, arrival)",
            "CREATE INDEX messages_undelivered ON messages (room_id, arrival) WHERE delivered = 0",
        ),
    ),
    Migration(3, (_table_of_large_values("files"),)),
    Migration(4, (_table_of_small_values("send_keys"),)),
    Migration(5, (_table_of_large_values("seen_envelopes"),)),
    Migration(6, (_table_of_small_values("room_contacts"),)),
)


def newest_version(migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """The version that this code reads and writes."""
    return migrations[-1].version


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the open file; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, place: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the open file to the newest version. ``connection`` is in autocommit mode, ``place`` is for the text.

    Raises:
        StoreError: the file is newer than this code.
        sqlite3.Error: the file or the disk refused.
    """
    # Taken even when nothing is to be done: it proves that the file can be written before anyone relies on it.
    while _migrate_one_step(connection, place, migrations):
        pass


def _migrate_one_step(connection: sqlite3.Connection, place: str, migrations: Sequence[Migration]) -> bool:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)
        if version > newest_version(migrations):
            raise StoreError(
                f"{place} was written by a newer Rail Gun (store version {version}, this one knows "
                f"{newest_version(migrations)}): upgrade railgun, or use another profile"
            )
        step = next((migration for migration in migrations if migration.version == version + 1), None)
        if step is not None:
            for statement in step.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {step.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return step is not None


def expected_schema(migrations: Sequence[Migration] = MIGRATIONS) -> list[tuple[str, str, str]]:
    """The schema that the steps lead to, as `schema_of` gives it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, "memory", migrations)
        return schema_of(connection)
    finally:
        connection.close()


def schema_of(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """(type, name, SQL) of all tables, indexes, triggers and views, save SQLite's own, in order of name."""
    return connection.execute(
        "SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
        "ORDER BY type, name"
    ).fetchall()
