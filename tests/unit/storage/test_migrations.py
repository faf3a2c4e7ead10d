"""From each older version to the newest, and what a newer file is told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from railgun.errors import StoreError
from railgun.ports import Write
from railgun.storage.migrations import (
    MIGRATIONS,
    Migration,
    expected_schema,
    migrate,
    newest_version,
    schema_of,
    version_of,
)
from railgun.storage.record_sealer import RecordSealer
from railgun.types import RoomId
from tests.unit.storage.support import DATA_KEY, ROOM, SystemEntropy, open_store

# Version 1 as it was, not as the code makes it today.
VERSION_1 = """
PRAGMA application_id = 1380404785;
CREATE TABLE store_facts (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE contacts (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE generations (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE invites (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE rooms (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE seen_indexes (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE settings (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE identity (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE inbound_sessions (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE outbound_sessions (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE outbox (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE roster_entries (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL);
PRAGMA user_version = 1;
"""
# Sealed under DATA_KEY: the proof of the key, and the value b"a room of version 1" at rooms/b"room".
PROOF_1 = bytes.fromhex(
    "0d4d2342493020a661c204be39472a8277d657cbe869f9723fbbf90357eab33f0947819e9b8b13d663097b68693b08"
)
ROOM_1 = bytes.fromhex(
    "c904b119526677d462a030a5ee08cdc2ab40355a08e62006e4658d355dda8de8799f8c469d1b8f5dc0fcf014aa283ec9"
    "ca7ccf57c510b80ba832ae"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def test_a_store_of_version_1_opens_with_what_it_held(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.executescript(VERSION_1)
        raw.execute("INSERT INTO store_facts VALUES ('data key', ?)", (PROOF_1,))
        raw.execute("INSERT INTO rooms VALUES (?, ?)", (b"room", ROOM_1))
        raw.execute("INSERT INTO contacts VALUES (?, ?)", (b"relay", b"address"))
    raw.close()
    store = open_store(path, create=False)
    assert store.load("rooms") == [(b"room", b"a room of version 1")]
    assert store.load("contacts") == [(b"relay", b"address")]
    store.commit([Write("messages", ROOM + bytes(16), b"text")])
    store.close()
    store = open_store(path, create=False)
    assert [message.value for message in store.message_log.page(RoomId(ROOM))] == [b"text"]
    store.verify()
    store.close()


def test_versions_count_from_one_without_gaps() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(1, newest_version() + 1))


@pytest.mark.parametrize("start", range(newest_version() + 1))
def test_each_older_version_leads_to_the_same_schema(path: Path, start: int) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    if start:
        migrate(raw, "here", MIGRATIONS[:start])
    migrate(raw, "here")
    assert (version_of(raw), schema_of(raw)) == (newest_version(), expected_schema())
    raw.close()


def test_a_step_that_fails_leaves_the_version_before_it(path: Path) -> None:
    broken = (*MIGRATIONS, Migration(newest_version() + 1, ("CREATE TABLE extra (a)", "CREATE TABLE extra (a)")))
    raw = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrate(raw, "here", broken)
    assert (version_of(raw), schema_of(raw)) == (newest_version(), expected_schema())
    raw.close()
    open_store(path).close()


def test_a_newer_store_is_refused_untouched(path: Path) -> None:
    open_store(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
        raw.execute("CREATE TABLE of_the_future (a)")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer Rail Gun \(store version 99, this one knows 6\): upgrade railgun"):
        open_store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON rooms BEGIN DELETE FROM rooms; END",
        "CREATE VIEW v AS SELECT * FROM rooms",
        "CREATE TABLE more (a)",
        "DROP TABLE rooms",
        "DROP INDEX messages_by_arrival",
    ],
)
def test_a_schema_that_is_not_ours_is_refused(path: Path, statement: str) -> None:
    open_store(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute(statement)
    raw.close()
    with pytest.raises(StoreError, match="tables are not as Rail Gun made them"):
        open_store(path)


def test_the_frozen_values_open_under_the_key_of_the_tests() -> None:
    sealer = RecordSealer(DATA_KEY, SystemEntropy())
    assert sealer.open("store_facts", b"data key", PROOF_1) == b"railgun"
