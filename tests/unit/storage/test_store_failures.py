"""A disk that refuses, a file that is damaged, foreign or held: each a StoreError whose one line says what to do."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from railgun.errors import StoreError, UsageError
from railgun.ports import Write
from railgun.storage.database import Database
from railgun.storage.sqlite_store import SqliteStore
from tests.unit.storage.children import commit_next, last_index, start
from tests.unit.storage.support import open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_disk_without_room_keeps_what_was_committed_and_works_again_later(path: Path) -> None:
    with start("fill", path, 300_000) as child:
        assert child.stdout is not None
        lines = child.stdout.read().splitlines()
    assert child.returncode == 0
    first, second, kept, after = lines
    for line in (first, second):
        assert line.startswith("StoreError ")
        assert "check free space, quota, file size limit" in line
    assert int(kept) >= 3
    assert int(after) == int(kept) + 1
    store = open_store(path, create=False)
    store.verify()
    assert last_index(store) == store.count("outbox") == store.count("messages") == int(after)
    store.close()


def test_a_full_file_says_that_the_disk_is_full(path: Path) -> None:
    store = open_store(path)
    pages = store._database.query("PRAGMA page_count")[0][0]
    store._database.query(f"PRAGMA max_page_count = {pages + 4}")
    big = [Write("rooms", b"before", b"v"), Write("settings", b"k", bytes(100_000))]
    assert "the disk is full: free some space and start again" in refused(lambda: store.commit(big))
    assert store.count("rooms") == 0
    commit_next(store, 10)
    store.close()


def test_a_directory_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:  # the parents of tmp_path are closed to other users
        directory = Path(name)
        directory.chmod(0o555)
        try:
            with start("open_as_nobody", directory / "store.sqlite") as child:
                assert child.stdout is not None
                line = child.stdout.read()
        finally:
            directory.chmod(0o755)
    assert line.startswith("StoreError ")
    assert "check that its directory exists, has room and is writable for this user" in line


def test_a_file_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "store.sqlite"
        open_store(path).close()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            with start("open_as_nobody", path) as child:
                assert child.stdout is not None
                line = child.stdout.read()
        finally:
            path.parent.chmod(0o755)
    assert line.startswith("StoreError ")
    assert "writable for this user" in line


def test_a_directory_that_is_missing_or_a_file(path: Path) -> None:
    assert "check that its directory exists" in refused(lambda: open_store(path / "x" / "store.sqlite"))
    path.write_bytes(b"")
    assert "check that its directory exists" in refused(lambda: open_store(path / "store.sqlite"))
    assert "is no file: give another path" in refused(lambda: open_store(path.parent))


def test_a_missing_file_is_not_made_unless_asked(path: Path) -> None:
    assert "is missing: restore the profile" in refused(lambda: open_store(path, create=False))
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"x" * 511,
        b"SQLite format 3\0" + bytes(300),
        b"not a database " * 1000,
        b"SQLite format 3\0",
        os.urandom(8192),
    ],
)
def test_what_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    message = refused(lambda: open_store(path))
    assert "restore the profile from a backup" in message
    assert path.read_bytes() == content


def test_another_programs_database_stays_untouched(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE bookmarks (a)")
    raw.close()
    before = path.read_bytes()
    assert "belongs to another program: give another path" in refused(lambda: open_store(path))
    assert path.read_bytes() == before


def fill(path: Path) -> int:
    store = open_store(path)
    for _ in range(40):
        commit_next(store, 3000)
    store.close()
    return path.stat().st_size


def read_all(path: Path) -> None:
    store = open_store(path, create=False)
    try:
        store.verify()
    finally:
        store.close()


def test_a_damaged_page_anywhere_is_found(path: Path) -> None:
    """Each page in turn, so also those of indexes, of overflow, of the schema; never another exception."""
    pages = fill(path) // 4096
    whole = path.read_bytes()
    silent: list[int] = []
    texts: set[str] = set()
    for page in range(pages):
        # Around the page's content, so that a cell, its header or a pointer is hit.
        path.write_bytes(
            whole[: page * 4096]
            + bytes(b ^ 0xA5 for b in whole[page * 4096 : (page + 1) * 4096])
            + whole[(page + 1) * 4096 :]
        )
        try:
            read_all(path)
            silent.append(page)
        except StoreError as error:
            texts.add(str(error))
    assert pages > 40
    assert silent == []
    assert not any("\n" in text for text in texts)


def test_a_cut_file_is_found(path: Path) -> None:
    size = fill(path)
    with path.open("r+b") as file:
        file.truncate(size // 2 // 4096 * 4096)
    assert "damaged: restore the profile from a backup" in refused(lambda: read_all(path))


def test_damage_that_appears_while_open_is_a_store_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    monkeypatch.setattr("railgun.storage.database.STORE_CHECK_BYTES_MAX", 0)  # or the pages were in the cache by now
    store = open_store(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    assert "damaged" in refused(lambda: [store.load("outbox"), store.load("messages")])
    store._database._connection.close()  # type: ignore[union-attr]


def test_a_store_held_by_another_process_is_refused_and_free_again_after(path: Path) -> None:
    open_store(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    message = refused(lambda: open_store(path, busy_seconds=0.02))
    assert "another process holds it: stop that process, or use another profile" in message
    holder.close()
    store = open_store(path, busy_seconds=0.02)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert "another process holds it" in refused(lambda: commit_next(store, 1))
    holder.close()
    assert commit_next(store, 1) == 1
    store.close()


def test_after_a_failed_flush_nothing_is_trusted_any_more(path: Path) -> None:
    store = open_store(path)
    failure = sqlite3.OperationalError("disk I/O error")
    failure.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    def fail() -> None:
        with store._database._translated():
            raise failure

    assert "the disk refused" in refused(fail)
    assert "an earlier write did not reach the disk" in refused(lambda: commit_next(store, 1))
    assert "an earlier write did not reach the disk" in refused(lambda: store.load("rooms"))
    store.close()
    with pytest.raises(UsageError):
        store.load("rooms")


def test_a_failed_opening_leaves_no_descriptor(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        refused(lambda: Database(path, create=True))
        refused(lambda: open_store(path))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_large_store_is_not_read_whole_at_each_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    checked: list[str] = []
    monkeypatch.setattr(Database, "_check", lambda self, connection, pragma: checked.append(pragma))
    open_store(path).close()
    monkeypatch.setattr("railgun.storage.database.STORE_CHECK_BYTES_MAX", 1000)
    store: SqliteStore = open_store(path)
    store.close()
    assert checked == ["quick_check"]
