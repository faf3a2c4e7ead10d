"""Each room's messages, in the order in which they arrived, each once.

Owns: the `messages` table: insert-once, pages, what the application has taken over.
Must not know: what a message says, who wrote it, sessions, rosters. Author, time and body are one sealed value, so that
the file shows no more than how many messages a room has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from railgun.errors import CryptoError, StoreError, UsageError
from railgun.limits import HISTORY_PAGE_MAX
from railgun.storage.database import Database
from railgun.storage.ranges import end_of_prefix
from railgun.storage.record_sealer import RecordSealer
from railgun.storage.tables import MESSAGES, ROOM_ID_BYTES, check_write
from railgun.types import MessageId, RoomId

_COLUMNS: Final = "arrival, room_id, message_id, value, delivered"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One row.

    ``arrival`` counts up over all rooms of this store and is never given twice; ``value`` is what the machine wrote;
    ``is_delivered`` tells whether the application has acknowledged it.
    """

    arrival: int
    room_id: RoomId
    message_id: MessageId
    value: bytes = field(repr=False)
    is_delivered: bool


class MessageLog:
    """The messages of one store. Made by `SqliteStore`, whose transactions its `insert` joins."""

    def __init__(self, database: Database, sealer: RecordSealer) -> None:
        self._database = database
        self._sealer = sealer

    def insert(self, room_id: RoomId, message_id: MessageId, value: bytes) -> bool:
        """Append a message that the application has not seen.

        Returns False, with the first value kept, when the room already has a message of this id.
        Raises StoreError; InvariantViolated for identifiers of the wrong length.
        """
        key = room_id + message_id
        check_write(MESSAGES, key, value)
        changed = self._database.execute(
            "INSERT INTO messages (room_id, message_id, value) VALUES (?, ?, ?) "
            "ON CONFLICT (room_id, message_id) DO NOTHING",
            (room_id, message_id, self._sealer.seal(MESSAGES, key, value)),
        )
        return changed == 1

    def delete(self, room_id: RoomId, message_id: MessageId) -> None:
        """Forget a message; the same id may then be inserted anew. Idempotent. Raises StoreError."""
        self._database.execute("DELETE FROM messages WHERE room_id = ? AND message_id = ?", (room_id, message_id))

    def find(self, room_id: RoomId, message_id: MessageId) -> StoredMessage | None:
        """One message, or None. Raises StoreError."""
        found = self._select("WHERE room_id = ? AND message_id = ?", (room_id, message_id))
        return found[0] if found else None

    def page(self, room_id: RoomId, *, before: int | None = None, limit: int = HISTORY_PAGE_MAX) -> list[StoredMessage]:
        """Up to ``limit`` messages, newest first; ``before`` is the arrival number where the last page ended.

        Raises UsageError unless ``limit`` is 1 to HISTORY_PAGE_MAX; StoreError.
        """
        _check_limit(limit)
        if before is None:
            return self._select("WHERE room_id = ? ORDER BY arrival DESC LIMIT ?", (room_id, limit))
        return self._select("WHERE room_id = ? AND arrival < ? ORDER BY arrival DESC LIMIT ?", (room_id, before, limit))

    def newest_ids(self, room_id: RoomId, count: int, before: MessageId | None = None) -> list[MessageId]:
        """Up to ``count`` ids, newest first, of which no value is read; with ``before`` those that arrived before that
        message, none where it is not here. Raises StoreError."""
        clause = "WHERE room_id = ?"
        values: list[object] = [room_id]
        if before is not None:
            clause += " AND arrival < (SELECT arrival FROM messages WHERE room_id = ? AND message_id = ?)"
            values += [room_id, before]
        rows = self._database.query(
            f"SELECT message_id FROM messages {clause} ORDER BY arrival DESC LIMIT ?",  # noqa: S608 - clauses above
            (*values, count),
        )
        return [MessageId(bytes(message_id)) for (message_id,) in rows]

    def undelivered(self, room_id: RoomId, *, after: int = 0, limit: int = HISTORY_PAGE_MAX) -> list[StoredMessage]:
        """Up to ``limit`` messages that the application has not acknowledged, oldest first.

        ``after`` is the arrival number of the last one already handed out. Raises as `page`.
        """
        _check_limit(limit)
        return self._select(
            "WHERE room_id = ? AND delivered = 0 AND arrival > ? ORDER BY arrival LIMIT ?", (room_id, after, limit)
        )

    def arrived_after(self, room_id: RoomId, after: int, *, limit: int = HISTORY_PAGE_MAX) -> list[StoredMessage]:
        """Up to ``limit`` messages that came after arrival number ``after``, oldest first. Raises as `page`."""
        _check_limit(limit)
        return self._select("WHERE room_id = ? AND arrival > ? ORDER BY arrival LIMIT ?", (room_id, after, limit))

    def acknowledge(self, room_id: RoomId, message_ids: Sequence[MessageId]) -> int:
        """Note that the application has taken these over. Idempotent; unknown ids are ignored.

        Returns how many were undelivered until now. One transaction, which a crash of the process cannot undo; after a
        loss of power the last ones may have to be told again. Raises StoreError.
        """
        if not message_ids:
            return 0
        with self._database.transaction(waits_for_disk=False):
            return self._database.execute_many(
                "UPDATE messages SET delivered = 1 WHERE room_id = ? AND message_id = ? AND delivered = 0",
                [(room_id, message_id) for message_id in message_ids],
            )

    def load(self, prefix: bytes) -> list[StoredMessage]:
        """All messages whose room id and message id together begin with ``prefix``, in that order.

        All at once: for few messages. Raises StoreError.
        """
        if len(prefix) >= ROOM_ID_BYTES:
            room, column, rest = prefix[:ROOM_ID_BYTES], "message_id", prefix[ROOM_ID_BYTES:]
            where, values = ["room_id = ?"], [room]
        else:
            column, rest = "room_id", prefix
            where, values = [], []
        where.append(f"{column} >= ?")
        values.append(rest)
        end = end_of_prefix(rest)
        if end is not None:
            where.append(f"{column} < ?")
            values.append(end)
        return self._select(f"WHERE {' AND '.join(where)} ORDER BY room_id, message_id", values)

    def count(self) -> int:
        """Messages of all rooms."""
        return int(self._database.query("SELECT count(*) FROM messages")[0][0])

    def _select(self, clause: str, values: Sequence[object]) -> list[StoredMessage]:
        rows = self._database.query(f"SELECT {_COLUMNS} FROM messages {clause}", values)  # noqa: S608 - clauses above
        return [self._row(*row) for row in rows]

    def _row(
        self, arrival: int, room_id: object, message_id: object, sealed: object, delivered: object
    ) -> StoredMessage:
        # A cell of a file may hold any type, whatever its column declares.
        if not (isinstance(room_id, bytes) and isinstance(message_id, bytes) and isinstance(sealed, bytes)):
            raise self._damaged()
        try:
            value = self._sealer.open(MESSAGES, room_id + message_id, sealed)
        except CryptoError as error:
            raise self._damaged() from error
        return StoredMessage(arrival, RoomId(room_id), MessageId(message_id), value, bool(delivered))

    def _damaged(self) -> StoreError:
        return self._database.damage("a message is damaged: restore the profile from a backup")


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= HISTORY_PAGE_MAX:
        raise UsageError(f"a page has 1 to {HISTORY_PAGE_MAX} messages, not {limit}")
