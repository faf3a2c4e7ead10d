"""Tables, transactions and sealing of the store, without failures of the disk."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import InvariantViolated, StoreError, UsageError, WrongPassphrase
from railgun.limits import STORE_KEY_BYTES_MAX, STORE_VALUE_BYTES_MAX
from railgun.ports import Store, Write
from railgun.storage.ranges import end_of_prefix
from railgun.storage.sqlite_store import SqliteStore
from railgun.storage.tables import CLEAR_TABLES, SEALED_TABLES, TABLES
from tests.unit.storage.support import DATA_KEY, ROOM, files_of, open_store

SECRET = b"the room's secret, never in the clear on any disk"
MAPS = sorted(TABLES - {"messages"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = open_store(path)
    yield opened
    opened.close()


def test_it_is_a_store(store: SqliteStore) -> None:
    port: Store = store
    assert port.count("rooms") == 0


@pytest.mark.parametrize("table", MAPS)
def test_put_replace_and_delete_survive_a_reopen(path: Path, table: str) -> None:
    first = open_store(path)
    first.commit([Write(table, b"a", b"1"), Write(table, b"b", b""), Write(table, b"c", b"3")])
    first.commit([Write(table, b"a", b"2"), Write(table, b"c", None), Write(table, b"unknown", None)])
    first.close()
    second = open_store(path, create=False)
    try:
        assert second.load(table) == [(b"a", b"2"), (b"b", b"")]
        assert (second.get(table, b"a"), second.get(table, b"c"), second.count(table)) == (b"2", None, 2)
    finally:
        second.close()


def test_later_writes_of_a_commit_win(store: SqliteStore) -> None:
    store.commit([Write("rooms", b"k", b"1"), Write("rooms", b"k", None), Write("rooms", b"k", b"2")])
    assert store.get("rooms", b"k") == b"2"


def test_load_takes_a_prefix_in_order_of_the_key(store: SqliteStore) -> None:
    keys = [b"\xff\xff", b"\xfe\xff\xff", b"\xfe\xff", b"\xfe\xfe", b"\xff", b"\x00", b"\xfe\xff\x00"]
    store.commit([Write("rooms", key, key) for key in keys])
    assert [key for key, _ in store.load("rooms")] == sorted(keys)
    assert [key for key, _ in store.load("rooms", b"\xfe\xff")] == [b"\xfe\xff", b"\xfe\xff\x00", b"\xfe\xff\xff"]
    assert [key for key, _ in store.load("rooms", b"\xff")] == [b"\xff", b"\xff\xff"]
    assert store.load("rooms", b"\x01") == []


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_the_end_of_a_prefix_bounds_exactly_its_keys(prefix: bytes, key: bytes) -> None:
    end = end_of_prefix(prefix)
    assert key.startswith(prefix) == (key >= prefix and (end is None or key < end))


@pytest.mark.parametrize(
    "write",
    [
        Write("passwords", b"k", b"v"),
        Write("rooms; DROP TABLE rooms", b"k", b"v"),
        Write("store_facts", b"data key", None),
        Write("rooms", b"", b"v"),
        Write("rooms", bytes(STORE_KEY_BYTES_MAX + 1), b"v"),
        Write("settings", b"k", bytes(STORE_VALUE_BYTES_MAX + 1)),
        Write("messages", ROOM, b"v"),
        Write("messages", ROOM + bytes(17), None),
    ],
)
def test_what_no_machine_may_write_is_a_bug_and_keeps_nothing(store: SqliteStore, write: Write) -> None:
    with pytest.raises(InvariantViolated):
        store.commit([Write("rooms", b"before", b"v"), write])
    assert store.count("rooms") == 0


def test_reading_an_unknown_table_is_a_bug(store: SqliteStore) -> None:
    for read in (store.count, store.load, lambda table: store.get(table, b"k")):
        with pytest.raises(InvariantViolated):
            read("store_facts")


def test_a_commit_that_fails_midway_keeps_nothing(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    original = SqliteStore._write

    def fail_at_the_third(self: SqliteStore, table: str, key: bytes, value: bytes | None) -> None:
        written.append(key)
        if len(written) == 3:
            raise KeyboardInterrupt
        original(self, table, key, value)

    monkeypatch.setattr(SqliteStore, "_write", fail_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        store.commit([Write("rooms", bytes((i,)), b"v") for i in range(1, 5)])
    assert store.count("rooms") == 0
    monkeypatch.undo()
    store.commit([Write("rooms", b"k", b"v")])
    assert store.count("rooms") == 1


def test_nothing_to_write_is_fine(store: SqliteStore) -> None:
    store.commit([])


@pytest.mark.parametrize("table", sorted(SEALED_TABLES))
def test_secrets_are_never_in_the_files(path: Path, table: str) -> None:
    store = open_store(path)
    store.commit([Write(table, b"k" * 48, SECRET)])
    assert SECRET not in files_of(path)
    store.close()
    assert SECRET not in files_of(path)


def test_the_clear_tables_are_clear(path: Path) -> None:
    """So that the test above can fail."""
    for table in CLEAR_TABLES:
        store = open_store(path)
        store.commit([Write(table, b"k", SECRET + table.encode())])
        store.close()
        assert SECRET + table.encode() in files_of(path)


@pytest.mark.parametrize("statement", ["DELETE", "UPDATE"])
def test_an_erased_or_replaced_value_leaves_the_files(path: Path, statement: str) -> None:
    store = open_store(path)
    old = bytes(range(100, 200)) * 40  # a clear table shows what the files keep
    store.commit([Write("settings", b"k", old), Write("settings", b"other", b"v")])
    store.commit([Write("settings", b"k", None if statement == "DELETE" else b"new")])
    assert store.scrub()
    assert old[:100] not in files_of(path)
    store.close()


def test_scrub_says_so_when_a_reader_is_in_the_way(path: Path) -> None:
    store = open_store(path)
    store.commit([Write("settings", b"k", b"v")])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM settings").fetchone()
    store.commit([Write("settings", b"k", b"w")])
    assert not store.scrub()
    reader.close()
    assert store.scrub()
    store.close()


@pytest.mark.parametrize("second", [Write("generations", b"k", None), Write("generations", b"k", b"next day")])
def test_an_erased_generation_leaves_the_files_with_its_commit(path: Path, second: Write) -> None:
    store = open_store(path)
    store.commit([Write("generations", b"k", SECRET)])
    sealed = store._database.query("SELECT value FROM generations")[0][0]
    assert sealed in files_of(path)
    store.commit([second])
    assert sealed not in files_of(path)
    store.close()


def test_an_erasure_that_a_reader_delays_is_done_by_the_next_commit(path: Path) -> None:
    store = open_store(path)
    store.commit([Write("generations", b"k", SECRET)])
    sealed = store._database.query("SELECT value FROM generations")[0][0]
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM settings").fetchone()
    store.commit([Write("generations", b"k", None)])
    assert sealed in files_of(path)
    reader.close()
    store.commit([Write("settings", b"k", b"v")])
    assert sealed not in files_of(path)
    store.close()


@pytest.mark.parametrize("table", sorted(SEALED_TABLES))
def test_a_value_moved_to_another_key_does_not_open(path: Path, table: str) -> None:
    store = open_store(path)
    store.commit([Write(table, b"a" * 48, b"1"), Write(table, b"b" * 48, b"2")])
    store.close()
    key = "message_id" if table == "messages" else "key"
    with sqlite3.connect(path) as raw:
        raw.execute(f"UPDATE {table} SET value = (SELECT value FROM {table} ORDER BY {key} LIMIT 1)")
    raw.close()
    store = open_store(path)
    assert store.get(table, b"a" * 48) == b"1"
    for read in (lambda: store.get(table, b"b" * 48), lambda: store.load(table), store.verify):
        with pytest.raises(StoreError, match="damaged: restore the profile"):
            read()
    store.close()


def test_a_value_moved_to_another_table_does_not_open(path: Path) -> None:
    store = open_store(path)
    store.commit([Write("rooms", b"k", b"1")])
    store.close()
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO invites SELECT key, value FROM rooms")
    raw.close()
    store = open_store(path)
    with pytest.raises(StoreError, match="a value in invites is damaged"):
        store.load("invites")
    store.close()


@pytest.mark.parametrize("cell", ["7", "'text'", "x''", "zeroblob(39)", "zeroblob(40)", "1.5"])
def test_a_cell_of_another_type_or_length_is_damage(path: Path, cell: str) -> None:
    open_store(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute(f"INSERT INTO rooms VALUES (x'00', {cell})")
        raw.execute(f"INSERT INTO messages (room_id, message_id, value) VALUES (zeroblob(32), zeroblob(16), {cell})")
        raw.execute("INSERT INTO contacts VALUES (x'00', 'text')")
    raw.close()
    store = open_store(path)
    for table in ("rooms", "messages", "contacts"):
        with pytest.raises(StoreError, match="damaged"):
            store.load(table)
    store.close()


def test_equal_values_look_different(path: Path) -> None:
    store = open_store(path)
    store.commit([Write("rooms", bytes((i,)), SECRET) for i in range(1, 50)])
    store.close()
    with sqlite3.connect(path) as raw:
        assert len({value for (value,) in raw.execute("SELECT value FROM rooms")}) == 49
    raw.close()


def test_another_data_key_is_refused_at_once(path: Path) -> None:
    open_store(path).close()
    with pytest.raises(WrongPassphrase, match="sealed under another key"):
        open_store(path, bytes(32))
    open_store(path, create=False).close()


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_data_key_has_32_bytes(path: Path, length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        open_store(path, bytes(length))
    assert not path.exists()


def test_keys_are_redacted(store: SqliteStore) -> None:
    for shown in (repr(store), repr(store._sealer), str(vars(store))):
        assert repr(DATA_KEY)[2:-1] not in shown
        assert DATA_KEY.hex() not in shown


def test_only_the_owner_can_read_the_files(path: Path) -> None:
    store = open_store(path)
    store.commit([Write("rooms", b"k", b"v")])
    found = sorted(path.parent.iterdir())
    assert [each.name for each in found] == ["store.sqlite", "store.sqlite-shm", "store.sqlite-wal"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in found} == {0o600}
    store.close()


def test_each_commit_is_flushed(store: SqliteStore) -> None:
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1), ("trusted_schema", 0)):
        assert store._database.query(f"PRAGMA {pragma}") == [(value,)]


def test_close_is_idempotent_and_leaves_one_file(path: Path) -> None:
    store = open_store(path)
    store.commit([Write("rooms", b"k", b"v")])
    store.close()
    store.close()
    assert [each.name for each in path.parent.iterdir()] == ["store.sqlite"]
    with pytest.raises(UsageError, match="was closed"):
        store.commit([Write("rooms", b"k", b"v")])


def test_threads_take_turns(store: SqliteStore) -> None:
    def work(number: int) -> None:
        for step in range(20):
            store.commit([Write("settings", bytes((number, step, half)), b"v") for half in (0, 1)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("settings") == 160
