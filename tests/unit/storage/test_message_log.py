"""The message log: each message once, pages, what the application has taken over."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from railgun.errors import InvariantViolated, UsageError
from railgun.limits import HISTORY_PAGE_MAX
from railgun.ports import Write
from railgun.storage.sqlite_store import SqliteStore
from railgun.types import MessageId, RoomId
from tests.unit.storage.support import OTHER_ROOM, ROOM, files_of, open_store

R = RoomId(ROOM)
OTHER = RoomId(OTHER_ROOM)


def mid(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = open_store(path)
    yield opened
    opened.close()


def test_an_existing_id_is_kept_as_it_is(store: SqliteStore) -> None:
    log = store.message_log
    assert log.insert(R, mid(1), b"first")
    assert log.acknowledge(R, [mid(1)]) == 1
    assert not log.insert(R, mid(1), b"second")
    store.commit([Write("messages", ROOM + mid(1), b"third"), Write("messages", ROOM + mid(1), b"fourth")])
    found = log.find(R, mid(1))
    assert found is not None
    assert (found.value, found.is_delivered, log.count()) == (b"first", True, 1)
    assert "first" not in repr(found)


def test_one_id_in_two_rooms_is_two_messages(store: SqliteStore) -> None:
    """Or a member of both could keep a message out of one by repeating it first in the other."""
    assert store.message_log.insert(R, mid(1), b"here")
    assert store.message_log.insert(OTHER, mid(1), b"there")
    assert [message.value for message in store.message_log.page(R)] == [b"here"]
    assert [message.value for message in store.message_log.page(OTHER)] == [b"there"]


def test_a_write_goes_to_the_log_in_the_same_transaction(store: SqliteStore) -> None:
    store.commit([Write("messages", ROOM + mid(1), b"text"), Write("seen_indexes", b"s1", b"1")])
    assert store.get("messages", ROOM + mid(1)) == b"text"
    with pytest.raises(InvariantViolated):
        store.commit([Write("messages", ROOM + mid(2), b"text"), Write("no such table", b"k", b"v")])
    assert store.count("messages") == 1


def test_a_commit_rolled_back_takes_its_message_along(store: SqliteStore) -> None:
    def interrupted() -> None:
        with store._database.transaction():
            assert store.message_log.insert(R, mid(1), b"text")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.count("messages") == 0
    assert store.message_log.insert(R, mid(1), b"text")


def test_the_map_view_of_messages(store: SqliteStore) -> None:
    store.commit([Write("messages", room + mid(n), bytes((n,))) for room in (OTHER, R) for n in (3, 1, 2)])
    assert [key for key, _ in store.load("messages")] == sorted(r + mid(n) for r in (R, OTHER) for n in (1, 2, 3))
    assert store.load("messages", ROOM) == [(ROOM + mid(n), bytes((n,))) for n in (1, 2, 3)]
    assert store.load("messages", ROOM + mid(2)) == [(ROOM + mid(2), b"\x02")]
    assert store.load("messages", ROOM[:5]) == store.load("messages", ROOM)
    assert store.load("messages", b"T") == []
    store.commit([Write("messages", ROOM + mid(2), None)])
    assert store.get("messages", ROOM + mid(2)) is None
    assert store.count("messages") == 5


def test_pages_go_from_the_newest_to_the_oldest_without_gap_or_repeat(store: SqliteStore) -> None:
    order = [(n * 7) % 23 for n in range(23)]
    for n in order:  # ids in no order, another room in between
        store.commit([Write("messages", ROOM + mid(n), bytes((n,))), Write("messages", OTHER + mid(n), b"x")])
    pages, before = [], None
    while page := store.message_log.page(R, before=before, limit=5):
        pages.append([message.value[0] for message in page])
        before = page[-1].arrival
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
    assert [n for page in pages for n in page] == order[::-1]


@pytest.mark.parametrize("limit", [0, -1, HISTORY_PAGE_MAX + 1])
def test_pages_are_bounded(store: SqliteStore, limit: int) -> None:
    with pytest.raises(UsageError, match="a page has 1 to"):
        store.message_log.page(R, limit=limit)
    with pytest.raises(UsageError, match="a page has 1 to"):
        store.message_log.undelivered(R, limit=limit)


def test_undelivered_come_oldest_first_until_acknowledged_and_survive_a_reopen(path: Path) -> None:
    store = open_store(path)
    store.commit([Write("messages", ROOM + mid(n), bytes((n,))) for n in (5, 3, 9, 1)])
    assert store.message_log.acknowledge(R, [mid(3), mid(3), mid(77)]) == 1
    assert store.message_log.acknowledge(R, [mid(3)]) == 0
    assert store.message_log.acknowledge(OTHER, [mid(5)]) == 0
    assert store.message_log.acknowledge(R, []) == 0
    store.close()
    store = open_store(path)
    waiting = store.message_log.undelivered(R)
    assert [message.value[0] for message in waiting] == [5, 9, 1]
    assert [m.value[0] for m in store.message_log.undelivered(R, limit=2)] == [5, 9]
    assert [m.value[0] for m in store.message_log.undelivered(R, after=waiting[1].arrival)] == [1]
    assert store.message_log.undelivered(OTHER) == []
    store.close()


def test_an_arrival_number_is_never_given_twice(store: SqliteStore) -> None:
    store.commit([Write("messages", ROOM + mid(n), b"v") for n in (1, 2)])
    newest = store.message_log.page(R)[0].arrival
    store.message_log.delete(R, mid(2))
    store.message_log.insert(R, mid(3), b"v")
    assert store.message_log.page(R)[0].arrival > newest


def test_pages_use_an_index(store: SqliteStore) -> None:
    """A history of years must not be sorted for each page."""
    clauses = (
        "WHERE room_id = ? AND arrival < 9 ORDER BY arrival DESC LIMIT 5",
        "WHERE room_id = ? AND delivered = 0 AND arrival > 9 ORDER BY arrival LIMIT 5",
    )
    for clause in clauses:
        plan = store._database.query(f"EXPLAIN QUERY PLAN SELECT value FROM messages {clause}", (ROOM,))
        assert len(plan) == 1
        assert "USING INDEX messages_" in plan[0][3]


def test_time_author_and_text_are_all_inside_the_sealed_value(path: Path) -> None:
    store = open_store(path)
    store.commit([Write("messages", ROOM + mid(1), b"author and time and text")])
    store.close()
    assert b"author" not in files_of(path)
    with sqlite3.connect(path) as raw:
        columns = [row[1] for row in raw.execute("PRAGMA table_info(messages)")]
    raw.close()
    assert columns == ["arrival", "room_id", "message_id", "value", "delivered"]
