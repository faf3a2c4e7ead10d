"""What nodes of the DHT say to each other: a closed set of messages.

Owns: their fields and encoding. Must not know: headers and proofs (`datagrams`), what a node does about a message.

Spec: docs/spec/dht.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, Union

from railgun.dht.contacts import CONTACT_BYTES_IPV4, CONTACT_BYTES_IPV6
from railgun.dht.datagrams import MESSAGE_BYTES_MAX
from railgun.errors import RefusalCode
from railgun.limits import (
    DHT_CONTACTS_PER_ANSWER_MAX,
    DHT_ITEMS_MAX,
    DHT_RECORD_BYTES_MAX,
    DHT_RECORDS_PER_ANSWER_MAX,
)
from railgun.wire.schema import Array, Bool, Bytes, Codec, Uint

_ID = Bytes(20)
_CONTACTS = Array(Bytes(CONTACT_BYTES_IPV4, CONTACT_BYTES_IPV6), DHT_CONTACTS_PER_ANSWER_MAX)


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? ``serves``: the sender answers requests, and may be named to others."""

    serves: Annotated[bool, Bool()]


@dataclass(frozen=True, slots=True)
class Pong:
    """Yes. ``seen`` is the address that the request came from, 6 or 18 bytes."""

    seen: Annotated[bytes, Bytes(6, 18)]


@dataclass(frozen=True, slots=True)
class FindNodes:
    """Whom do you know near ``target`` (20 bytes)?"""

    target: Annotated[bytes, _ID]
    serves: Annotated[bool, Bool()]


@dataclass(frozen=True, slots=True)
class FindRecords:
    """What do you hold under ``key`` (20 bytes), from item ``first`` on, and whom do you know near it?"""

    key: Annotated[bytes, _ID]
    first: Annotated[int, Uint(DHT_ITEMS_MAX)]
    serves: Annotated[bool, Bool()]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to both: contacts (38 or 50 bytes each), nearest first, and records in ascending order of items.
    ``more``: there are further items."""

    contacts: Annotated[tuple[bytes, ...], _CONTACTS]
    records: Annotated[tuple[bytes, ...], Array(Bytes(1, DHT_RECORD_BYTES_MAX), DHT_RECORDS_PER_ANSWER_MAX)]
    more: Annotated[bool, Bool()]


@dataclass(frozen=True, slots=True)
class Store:
    """Hold this record. Heeded only from a proved address."""

    record: Annotated[bytes, Bytes(1, DHT_RECORD_BYTES_MAX)]
    serves: Annotated[bool, Bool()]


@dataclass(frozen=True, slots=True)
class Stored:
    """It is held, or one as new was held already."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is not heeded. ``time`` is the refuser's, Unix seconds; BAD_PROOF: come back with the cookie."""

    code: Annotated[RefusalCode, Uint(255, RefusalCode)]
    time: Annotated[int, Uint(2**32 - 1)]


Request: TypeAlias = Union[Ping, FindNodes, FindRecords, Store]
Answer: TypeAlias = Union[Pong, Found, Stored, Refused]

REQUESTS: Final[Codec[Request]] = Codec(
    {1: Ping, 2: FindNodes, 3: FindRecords, 4: Store}, bytes_max=MESSAGE_BYTES_MAX
)
ANSWERS: Final[Codec[Answer]] = Codec({1: Pong, 2: Found, 3: Stored, 4: Refused}, bytes_max=MESSAGE_BYTES_MAX)
