"""How a member can be reached by the other members of its room, when no relay is left.

Owns: the fields and bounds. Must not know: how it is sealed and signed, links, the DHT.

Spec: docs/spec/contacts.md, members' contacts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from railgun.types import Address, PeerKey
from railgun.wire.records import AddressShape
from railgun.wire.schema import Array, Bytes, Codec

DIRECT_ADDRESSES_MAX: Final = 4
DIRECT_CONTACT_BYTES_MAX: Final = 320


@dataclass(frozen=True, slots=True)
class DirectContact:
    """A member's way in. ``link_key`` is what its links to members prove, made anew at each start; without
    ``addresses`` it only dials others. ``signature``, 64 bytes, is the device's, over all that and the tag."""

    link_key: Annotated[PeerKey, Bytes(32)]
    certificate_hash: Annotated[bytes, Bytes(32)]
    addresses: Annotated[tuple[Address, ...], Array(AddressShape(), DIRECT_ADDRESSES_MAX)]
    signature: Annotated[bytes, Bytes(64)]


DIRECT_CONTACTS: Final[Codec[DirectContact]] = Codec({1: DirectContact}, bytes_max=DIRECT_CONTACT_BYTES_MAX)
