"""Frames by which a peer that nobody can reach has its relay use the DHT.

Owns: their fields; `railgun.wire.frames` numbers them. Must not know: what the DHT is made of, which link carries them.

Spec: docs/spec/dht.md, clients. They travel inside a link's frames, whose ends are proved; records prove themselves, so
that a relay can keep one back but not change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias, Union

from railgun.errors import RefusalCode
from railgun.limits import DHT_ITEMS_MAX, DHT_RECORD_BYTES_MAX
from railgun.wire.schema import Array, Bool, Bytes, Optional, Uint

_NUMBER = Uint(2**32 - 1)


@dataclass(frozen=True, slots=True)
class DhtFind:
    """Look up the records under ``key`` (20 bytes). ``number`` is the client's own; the answer repeats it.

    ``quorum``: holders that must have answered; None for the DHT's default, 1 where any valid record will do.
    """

    number: Annotated[int, _NUMBER]
    key: Annotated[bytes, Bytes(20)]
    quorum: Annotated[int | None, Optional(Uint(16))]


@dataclass(frozen=True, slots=True)
class DhtFound:
    """The newest record of each item, encoded; ``is_certain``: enough holders have answered the relay."""

    number: Annotated[int, _NUMBER]
    records: Annotated[tuple[bytes, ...], Array(Bytes(1, DHT_RECORD_BYTES_MAX), DHT_ITEMS_MAX)]
    is_certain: Annotated[bool, Bool()]


@dataclass(frozen=True, slots=True)
class DhtPut:
    """Store this record."""

    number: Annotated[int, _NUMBER]
    record: Annotated[bytes, Bytes(1, DHT_RECORD_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class DhtHeld:
    """So many nodes have said that they hold it."""

    number: Annotated[int, _NUMBER]
    holders: Annotated[int, Uint(255)]


@dataclass(frozen=True, slots=True)
class DhtDeclined:
    """The relay does not do it. BUSY and RATE_LIMITED: try again later, or through another."""

    number: Annotated[int, _NUMBER]
    code: Annotated[RefusalCode, Uint(255, RefusalCode)]


DhtAsk: TypeAlias = Union[DhtFind, DhtPut]
DhtReply: TypeAlias = Union[DhtFound, DhtHeld, DhtDeclined]
