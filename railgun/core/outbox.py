"""What left and has not been receipted yet: kept, so that it can be sealed again and survives a crash.

Owns: bodies by reference, in order, the generation that some are bound to, and their rows. Must not know: what they
say, which epoch they went out under, what a generation is. A body is kept as it was, so a message sealed again in
another epoch or generation has the same id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

from railgun.core.persistence import Write
from railgun.core.room_port import SealRequest
from railgun.types import EnvelopeKind, RoomId, SizeClass
from railgun.wire.schema import Bytes, Codec, Optional, Uint
from railgun.wire.sealed import SEALED_BODY_BYTES_MAX

TABLE: Final = "outbox"


@dataclass(frozen=True, slots=True)
class _Row:
    sequence: Annotated[int, Uint()]
    kind: Annotated[EnvelopeKind, Uint(3, EnvelopeKind)]
    hint: Annotated[bytes, Bytes(8)]
    body: Annotated[bytes, Bytes(0, SEALED_BODY_BYTES_MAX)] = field(repr=False)
    size_class: Annotated[SizeClass, Uint(2, SizeClass)]
    generation: Annotated[int | None, Optional(Uint())] = None
    commitment: Annotated[bytes | None, Optional(Bytes(32))] = None


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=SEALED_BODY_BYTES_MAX + 256)


class Outbox:
    """Requests to seal that are not done with, by reference (16 bytes)."""

    def __init__(self, room: RoomId) -> None:
        self._room = room
        self._rows: dict[bytes, _Row] = {}
        self._sequence = 0

    @staticmethod
    def load(room: RoomId, rows: Iterable[tuple[bytes, bytes]]) -> Outbox:
        """Rebuild from the (key, value) rows of table ``outbox`` whose keys start with the room's id.

        Raises:
            MalformedInput: a row is damaged.
        """
        outbox = Outbox(room)
        found = [(key[len(room) :], _ROWS.decode(value)) for key, value in rows]
        for reference, row in sorted(found, key=lambda pair: pair[1].sequence):
            outbox._rows[reference] = row
            outbox._sequence = row.sequence
        return outbox

    def __len__(self) -> int:
        return len(self._rows)

    def holds(self, reference: bytes) -> bool:
        """Whether it is not done with."""
        return reference in self._rows

    def add(self, requests: Sequence[SealRequest]) -> tuple[Write, ...]:
        """Keep those that have a reference."""
        writes = []
        for request in requests:
            if request.reference is not None:
                self._sequence += 1
                row = _Row(self._sequence, request.kind, request.hint, request.body, request.size_class)
                self._rows[request.reference] = row
                writes.append(Write(TABLE, self._room + request.reference, _ROWS.encode(row)))
        return tuple(writes)

    def bind(self, reference: bytes, generation: int, commitment: bytes) -> tuple[Write, ...]:
        """From now on this one is for those who hold this generation (g and 32 bytes c), after a restart too."""
        row = self._rows.get(reference)
        if row is None:
            return ()
        row = self._rows[reference] = replace(row, generation=generation, commitment=commitment)
        return (Write(TABLE, self._room + reference, _ROWS.encode(row)),)

    def bound(self, reference: bytes) -> tuple[int, bytes] | None:
        """The generation (g, c) that this one is to be sealed under; None for the one of the moment."""
        row = self._rows.get(reference)
        if row is None or row.generation is None or row.commitment is None:
            return None
        return row.generation, row.commitment

    def seal_again(self, reference: bytes) -> SealRequest | None:
        """The same request, or None where it is done with."""
        row = self._rows.get(reference)
        return None if row is None else _request(reference, row)

    def waiting(self) -> list[SealRequest]:
        """All that is not done with, in the order in which it was added: what a restarted member sends first."""
        return [_request(reference, row) for reference, row in self._rows.items()]

    def settle(self, reference: bytes) -> tuple[Write, ...]:
        """Receipted, or given up: forget it. Idempotent."""
        if self._rows.pop(reference, None) is None:
            return ()
        return (Write(TABLE, self._room + reference, None),)


def _request(reference: bytes, row: _Row) -> SealRequest:
    return SealRequest(row.kind, row.hint, row.body, row.size_class, reference)
