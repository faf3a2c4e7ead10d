"""Bodies in pieces: for rooms under strict cover, in which every envelope has 4096 bytes.

Owns: cutting a body, putting one together again, what half of one is kept. Must not know: what bodies say, who sent
them, when they leave. Spec: docs/spec/cover.md, "Fragments".

Every fragment names the hashes of all, so that nobody else can slip a false one among them: an assembly takes only what
fits its first fragment. Parts are kept on disk, as an envelope that was read is not brought again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from railgun.core.persistence import Write
from railgun.crypto.hashing import content_hash, keyed_hash
from railgun.errors import MalformedInput
from railgun.limits import FRAGMENT_ASSEMBLIES_MAX, FRAGMENTED_REMEMBERED_MAX
from railgun.types import EnvelopeKind, RoomId, SizeClass
from railgun.wire.envelope import NO_HINT, Inner, body_bytes_max
from railgun.wire.schema import Bytes, Codec
from railgun.wire.sealed import (
    FRAGMENT_BYTES,
    FRAGMENT_HASH_BYTES,
    SEALED_BODIES,
    SEALED_BODY_BYTES_MAX,
    Fragment,
)

TABLE: Final = "inbound_sessions"
ROW_KEY: Final = b"f"
NAME_BYTES: Final = 16
FRAGMENT_LABEL: Final = "railgun/fragment/v1"
WHOLE_BODY_BYTES_MAX: Final = body_bytes_max(SizeClass.MEDIUM)
"""The longest body that needs no cutting."""


@dataclass(frozen=True, slots=True)
class _Row:
    body: Annotated[bytes, Bytes(1, WHOLE_BODY_BYTES_MAX)] = field(repr=False)


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=WHOLE_BODY_BYTES_MAX + 64)


def cut(kind: EnvelopeKind, hint: bytes, body: bytes) -> tuple[bytes, ...]:
    """The sealed bodies that bring ``body``, of more than WHOLE_BODY_BYTES_MAX bytes; the same for the same body.

    Raises:
        ValueError: it is longer than any envelope's, or needs no cutting.
    """
    pieces = [body[offset : offset + FRAGMENT_BYTES] for offset in range(0, len(body), FRAGMENT_BYTES)]
    hashes = tuple(_hash(kind, hint, index, piece) for index, piece in enumerate(pieces))
    return tuple(SEALED_BODIES.encode(Fragment(kind, hint, hashes, index, piece)) for index, piece in enumerate(pieces))


def _hash(kind: EnvelopeKind, hint: bytes, index: int, piece: bytes) -> bytes:
    return keyed_hash(None, FRAGMENT_LABEL, bytes([kind]) + hint + bytes([index]) + piece)[:FRAGMENT_HASH_BYTES]


def _name(hashes: Sequence[bytes]) -> bytes:
    return content_hash(b"".join(hashes))[:NAME_BYTES]


class FragmentAssembly:
    """Bodies of one room that are not whole yet."""

    def __init__(self, room: RoomId) -> None:
        self._room = room
        self._open: OrderedDict[bytes, dict[int, Fragment]] = OrderedDict()
        self._done: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Fill an empty machine from the rows of ``inbound_sessions`` whose keys start with the room's id.

        Raises:
            MalformedInput: a row is damaged.
        """
        for key, value in rows:
            if key[len(self._room) : len(self._room) + 1] == ROW_KEY:
                fragment = SEALED_BODIES.decode(_ROWS.decode(value).body)
                if not isinstance(fragment, Fragment):
                    raise MalformedInput("a row that holds no fragment")
                self._open.setdefault(_name(fragment.hashes), {})[fragment.index] = fragment

    def add(self, fragment: Fragment) -> tuple[Inner | None, tuple[Write, ...]]:
        """Take one fragment; the whole with the last of them, if it is a body that could have been sent whole.

        Raises:
            MalformedInput: it is not what its own hash says, or of a kind and hint that no envelope has.
        """
        if fragment.kind is EnvelopeKind.COVER or (fragment.kind is EnvelopeKind.SEALED and fragment.hint != NO_HINT):
            raise MalformedInput("a fragment of what is no envelope")
        piece_hash = _hash(fragment.kind, fragment.hint, fragment.index, fragment.data)
        if piece_hash != fragment.hashes[fragment.index]:
            raise MalformedInput("a fragment with another one's hash")
        name = _name(fragment.hashes)
        held = self._open.get(name, {})
        if name in self._done or fragment.index in held:
            return None, ()
        if len(held) + 1 < len(fragment.hashes):
            self._open[name] = held
            held[fragment.index] = fragment
            writes = [Write(TABLE, self._key(name, fragment.index), _ROWS.encode(_Row(SEALED_BODIES.encode(fragment))))]
            while len(self._open) > FRAGMENT_ASSEMBLIES_MAX:
                writes += self._drop(next(iter(self._open)))
            return None, tuple(writes)
        dropped = self._drop(name)
        held[fragment.index] = fragment
        self._done[name] = None
        if len(self._done) > FRAGMENTED_REMEMBERED_MAX:
            self._done.popitem(last=False)
        data = b"".join(held[index].data for index in range(len(held)))
        is_one = all((piece.kind, piece.hint) == (fragment.kind, fragment.hint) for piece in held.values())
        if not is_one or len(data) > SEALED_BODY_BYTES_MAX:
            return None, tuple(dropped)  # what no honest member cuts
        return Inner(fragment.kind, fragment.hint, data), tuple(dropped)

    def _drop(self, name: bytes) -> list[Write]:
        return [Write(TABLE, self._key(name, index), None) for index in self._open.pop(name)]

    def _key(self, name: bytes, index: int) -> bytes:
        return self._room + ROW_KEY + name + bytes([index])
