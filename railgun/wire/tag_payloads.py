"""What records under a tag say: who serves it now, and how its members may reach each other.

Owns: the payloads' fields and bounds. Must not know: the DHT's records around them, who reads them.

Spec: docs/spec/dht.md, under a tag. A payload stands in a record that the epoch's key has signed, so only members write
it; whoever holds the tag can read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from railgun.limits import TRAVERSAL_SERVERS_MAX
from railgun.types import NodeKey
from railgun.wire.schema import Array, Bytes, Codec, Uint

U32_MAX: Final = 2**32 - 1
SEATS_MAX: Final = 16
DEAD_MAX: Final = 7
PAYLOAD_BYTES_MAX: Final = 840
_ADDRESS_BYTES: Final = (6, 18)

_Seats = Annotated[tuple[NodeKey, ...], Array(Bytes(32), SEATS_MAX)]
_Dead = Annotated[tuple[NodeKey, ...], Array(Bytes(32), DEAD_MAX)]
_Addresses = Annotated[tuple[bytes, ...], Array(Bytes(6, 18), TRAVERSAL_SERVERS_MAX)]


@dataclass(frozen=True, slots=True)
class CommitteeChange:
    """Who serves the tag of the epoch that starts at ``start`` (Unix seconds), in the order of their rank, and which of
    them a member finds dead."""

    start: Annotated[int, Uint(U32_MAX)]
    seats: _Seats
    dead: _Dead

    def __post_init__(self) -> None:
        if len(set(self.seats)) != len(self.seats) or not set(self.dead) <= set(self.seats):
            raise ValueError("each seat stands once, and only seats can be dead ones")


@dataclass(frozen=True, slots=True)
class TraversalHints:
    """STUN and TURN servers, each as 6 or 18 bytes: packed host, port as u16. Both may be empty."""

    stun: _Addresses
    turn: _Addresses

    def __post_init__(self) -> None:
        if any(len(address) not in _ADDRESS_BYTES for address in (*self.stun, *self.turn)):
            raise ValueError("an address has 6 or 18 bytes")


COMMITTEE_CHANGES: Final[Codec[CommitteeChange]] = Codec({1: CommitteeChange}, bytes_max=PAYLOAD_BYTES_MAX)
TRAVERSAL_HINTS: Final[Codec[TraversalHints]] = Codec({1: TraversalHints}, bytes_max=PAYLOAD_BYTES_MAX)
