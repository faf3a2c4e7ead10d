"""Which envelopes of the open tags were dealt with, kept so that a member that restarts does not take them in again.

Owns: the rows, their bound, which are stale. Must not know: tags' insides, stores, when to write.
Spec: docs/spec/delivery.md, "After a restart".

A row is written after the messages that the ids stand for, to the same store: whatever a loss of power takes, no id is
kept whose message is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.core.persistence import Write
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import keyed_hash
from railgun.errors import MalformedInput
from railgun.limits import SEEN_KEPT_IDS_MAX
from railgun.types import EnvelopeId, RoomId
from railgun.wire.roster import TimeField
from railgun.wire.schema import Bytes, Codec

TABLE: Final = "seen_envelopes"
ROW_LABEL: Final = "railgun/seen-row/v1"
ROW_NAME_BYTES: Final = 16
ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class _Row:
    start: TimeField
    ids: Annotated[bytes, Bytes(0, ID_BYTES * SEEN_KEPT_IDS_MAX)]


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=ID_BYTES * SEEN_KEPT_IDS_MAX + 64)


class SeenEnvelopes:
    """What the last run of this member kept, until its tags are opened."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """``rows``: all of the table, (key, value). A damaged one is as good as none: it only costs bandwidth."""
        self._rows: dict[bytes, _Row] = {}
        self._damaged: list[bytes] = []
        for key, value in rows:
            try:
                self._rows[key] = _ROWS.decode(value)
            except MalformedInput:
                self._damaged.append(key)

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, room: RoomId, keys: EpochKeys) -> tuple[EnvelopeId, ...]:
        """The ids kept of a tag, in the order in which they came. Once: the tag that is open knows them from now on."""
        row = self._rows.pop(_key(room, keys), None)
        if row is None:
            return ()
        return tuple(EnvelopeId(row.ids[at : at + ID_BYTES]) for at in range(0, len(row.ids), ID_BYTES))

    def take_stale(self, before: float) -> list[Write]:
        """Erase what is damaged, and rows of epochs that started before ``before`` (Unix seconds): they are over."""
        stale = [key for key, row in self._rows.items() if row.start < before]
        for key in stale:
            del self._rows[key]
        gone, self._damaged = [*stale, *self._damaged], []
        return [Write(TABLE, key, None) for key in gone]


def seen_write(room: RoomId, keys: EpochKeys, ids: Sequence[EnvelopeId]) -> Write:
    """Keep the last SEEN_KEPT_IDS_MAX of ``ids``."""
    return Write(TABLE, _key(room, keys), _ROWS.encode(_Row(keys.start, b"".join(ids[-SEEN_KEPT_IDS_MAX:]))))


def forgotten_write(room: RoomId, keys: EpochKeys) -> Write:
    """The tag is over."""
    return Write(TABLE, _key(room, keys), None)


def _key(room: RoomId, keys: EpochKeys) -> bytes:
    """Keys of rows stand in the clear, and the tag itself would tell relays' logs and this disk apart no longer."""
    return room + keyed_hash(keys.header_key, ROW_LABEL, b"")[:ROW_NAME_BYTES]
