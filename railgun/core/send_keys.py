"""Sends that an application names, so that one that was cut off can be repeated and counts once.

Owns: which message a send's key led to, how far it got, and their rows. Must not know: what was said, seats, disks.
Spec: docs/spec/messages.md, keeping.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Final

from railgun.core.persistence import Write
from railgun.crypto.hashing import keyed_hash
from railgun.limits import FRAGMENTS_MAX, SEND_KEYS_MAX
from railgun.types import MessageId, RoomId
from railgun.wire.schema import Array, Bytes, Codec, Uint

TABLE: Final = "send_keys"
LABEL: Final = "railgun/send-key/v1"
NAME_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class KnownSend:
    """What a key led to. ``receipts`` of ``of`` seats is the least of its parts, 0 of 0 until one had a majority."""

    sequence: Annotated[int, Uint()]
    message_id: Annotated[MessageId, Bytes(16)]
    parts: Annotated[tuple[MessageId, ...], Array(Bytes(16), FRAGMENTS_MAX, 1)]
    receipts: Annotated[int, Uint()] = 0
    of: Annotated[int, Uint()] = 0


_ROWS: Final[Codec[KnownSend]] = Codec({1: KnownSend}, bytes_max=64 + 17 * FRAGMENTS_MAX)


class SendKeys:
    """The newest SEND_KEYS_MAX keys of one room."""

    def __init__(self, room: RoomId) -> None:
        self._room = room
        self._known: dict[bytes, KnownSend] = {}
        self._by_part: dict[MessageId, bytes] = {}
        self._sequence = 0

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over the (key, value) rows of table ``send_keys`` whose keys start with the room's id.

        Raises MalformedInput: a row is damaged.
        """
        found = [(key[len(self._room) :], _ROWS.decode(value)) for key, value in rows]
        for name, known in sorted(found, key=lambda pair: pair[1].sequence):
            self._hold(name, known)

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: bytes) -> KnownSend | None:
        """What an earlier send under this key led to."""
        return self._known.get(_name(key))

    def remember(self, key: bytes, message_id: MessageId, parts: tuple[MessageId, ...]) -> tuple[Write, ...]:
        """A send under a new key was prepared; the writes belong into the same commit as the message."""
        name = _name(key)
        writes = [self._write(name, self._hold(name, KnownSend(self._sequence + 1, message_id, parts)))]
        while len(self._known) > SEND_KEYS_MAX:
            oldest = next(iter(self._known))
            for part in self._known.pop(oldest).parts:
                self._by_part.pop(part, None)
            writes.append(Write(TABLE, self._room + oldest, None))
        return tuple(writes)

    def receipted(self, part: MessageId, receipts: int, of: int) -> tuple[Write, ...]:
        """A majority has signed for a part; nothing happens where no key is behind it."""
        name = self._by_part.get(part)
        if name is None:
            return ()
        known = self._known[name]
        least = min((known.receipts, known.of), (receipts, of)) if known.of else (receipts, of)
        if least == (known.receipts, known.of):
            return ()
        self._known[name] = known = replace(known, receipts=least[0], of=least[1])
        return (self._write(name, known),)

    def _hold(self, name: bytes, known: KnownSend) -> KnownSend:
        self._known[name] = known
        self._by_part.update(dict.fromkeys(known.parts, name))
        self._sequence = known.sequence
        return known

    def _write(self, name: bytes, known: KnownSend) -> Write:
        return Write(TABLE, self._room + name, _ROWS.encode(known))


def _name(key: bytes) -> bytes:
    return keyed_hash(None, LABEL, key)[:NAME_BYTES]
