"""The directory's records: ads, their extras, obituaries.

Owns: the fields of each record, their encoding, and what exactly a signature covers.
Must not know: whether a signature is right, whether a record counts, or who holds it.

Spec: docs/spec/directory.md.
"""

from __future__ import annotations

import enum
import ipaddress
import itertools
from dataclasses import dataclass
from typing import Annotated, Any, Final

from railgun.errors import MalformedInput
from railgun.limits import AD_CORE_BYTES_MAX, AD_EXTRAS_BYTES_MAX, OBITUARY_BYTES_MAX, OBITUARY_TESTIMONIES_MAX
from railgun.types import Address, NodeKey, RelayContact, Role
from railgun.wire import cbor
from railgun.wire.cbor import Value
from railgun.wire.schema import Array, Bytes, Codec, Nested, Optional, Shape, Text, Uint, shapes_of

TIME_MAX: Final = 2**32 - 1
"""Times in records are Unix seconds that fit a u32, as epoch starts do."""

_AD_KIND: Final = 1
_AD_EXTRAS_KIND: Final = 2
_OBITUARY_KIND: Final = 3


@dataclass(frozen=True)
class AddressShape(Shape):
    """An `Address` as 6 bytes (IPv4) or 18 bytes (IPv6): the packed host, then the port as u16.

    An IPv4-mapped IPv6 address has only the IPv4 form.
    """

    def pack(self, value: Any) -> Value:
        if not isinstance(value, Address):
            raise ValueError("expected an address")
        return value.packed + value.port.to_bytes(2, "big")

    def unpack(self, value: Value) -> Any:
        if not isinstance(value, bytes) or len(value) not in (6, 18):
            raise MalformedInput("an address has 6 or 18 bytes")
        host = ipaddress.ip_address(value[:-2])
        try:
            address = Address(str(host), int.from_bytes(value[-2:], "big"))
        except ValueError as error:
            raise MalformedInput("not an address") from error
        if address.packed != value[:-2]:
            raise MalformedInput("a mapped address is written as IPv4")
        return address


class RelayMode(enum.IntEnum):
    """How a relay is run, as its operator says."""

    COOPERATIVE = 1
    DEDICATED = 2


@dataclass(frozen=True, slots=True)
class Ad:
    """A relay's signed core: who it is, where it listens, until when.

    Attributes:
        node_key: 32 bytes; the signer.
        address: the first UDP address; decides the prefix in the committee's order.
        certificate_hash: SHA-256 of the DTLS certificate, 32 bytes.
        roles: see `Role`; unknown bits are kept.
        issued, expires: Unix seconds, ``expires >= issued``; equal when the relay takes its leave.
        extras_hash: content hash of the encoded `AdExtras`, 32 bytes, or None for no extras.
        signature: Ed25519, 64 bytes, label ``railgun/ad/v1``, over `signed_content`.
    """

    node_key: Annotated[NodeKey, Bytes(32)]
    address: Annotated[Address, AddressShape()]
    certificate_hash: Annotated[bytes, Bytes(32)]
    roles: Annotated[Role, Uint(255, Role)]
    issued: Annotated[int, Uint(TIME_MAX)]
    expires: Annotated[int, Uint(TIME_MAX)]
    extras_hash: Annotated[bytes | None, Optional(Bytes(32))]
    signature: Annotated[bytes, Bytes(64)]

    def __post_init__(self) -> None:
        if self.expires < self.issued:
            raise ValueError("an ad expires no earlier than it is issued")

    def contact(self, extras: AdExtras | None = None) -> RelayContact:
        """All that is needed to dial the relay; the extras' addresses follow the first."""
        others = () if extras is None else extras.other_addresses
        addresses = (self.address, *(address for address in others if address != self.address))
        return RelayContact(self.node_key, addresses, self.certificate_hash)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof of some kind that later rules read (witnesses, work); opaque here."""

    kind: Annotated[int, Uint(255)]
    data: Annotated[bytes, Bytes(1, 256)]


@dataclass(frozen=True, slots=True)
class AdExtras:
    """What only those ask for who need it. Bound to its ad by `Ad.extras_hash`.

    Attributes:
        other_addresses: at most 7 further UDP addresses.
        capacity_bytes_per_second: what the relay is willing to carry.
        retention_seconds: how long unread blobs are kept, by last access.
        onion: the onion service's host name, without port.
        rendezvous: at most 4 node keys through which the relay can be reached.
        proofs: at most 5.
    """

    other_addresses: Annotated[tuple[Address, ...], Array(AddressShape(), 7)] = ()
    capacity_bytes_per_second: Annotated[int | None, Optional(Uint())] = None
    mode: Annotated[RelayMode | None, Optional(Uint(255, RelayMode))] = None
    retention_seconds: Annotated[int | None, Optional(Uint(TIME_MAX))] = None
    onion: Annotated[str | None, Optional(Text(62, 1))] = None
    rendezvous: Annotated[tuple[NodeKey, ...] | None, Optional(Array(Bytes(32), 4, 1))] = None
    proofs: Annotated[tuple[Proof, ...] | None, Optional(Array(Nested(Proof), 5, 1))] = None


@dataclass(frozen=True, slots=True)
class Testimony:
    """One relay's word that another was dead at ``dated`` (Unix seconds)."""

    signer: Annotated[NodeKey, Bytes(32)]
    dated: Annotated[int, Uint(TIME_MAX)]
    signature: Annotated[bytes, Bytes(64)]


@dataclass(frozen=True, slots=True)
class Obituary:
    """The word of several relays that ``node_key`` is dead.

    Testimonies stand in strictly ascending order of signer; nobody testifies on itself.
    """

    node_key: Annotated[NodeKey, Bytes(32)]
    testimonies: Annotated[tuple[Testimony, ...], Array(Nested(Testimony), OBITUARY_TESTIMONIES_MAX, 1)]

    def __post_init__(self) -> None:
        signers = [testimony.signer for testimony in self.testimonies]
        if any(left >= right for left, right in itertools.pairwise(signers)):
            raise ValueError("testimonies ascend by signer, one each")
        if self.node_key in signers:
            raise ValueError("nobody testifies on itself")

    @property
    def dated(self) -> int:
        """The lower median of the testimonies' times: a minority can neither advance nor delay it far."""
        return sorted(testimony.dated for testimony in self.testimonies)[(len(self.testimonies) - 1) // 2]


_AD_CODEC: Final[Codec[Ad]] = Codec({_AD_KIND: Ad}, bytes_max=AD_CORE_BYTES_MAX)
_EXTRAS_CODEC: Final[Codec[AdExtras]] = Codec({_AD_EXTRAS_KIND: AdExtras}, bytes_max=AD_EXTRAS_BYTES_MAX)
_RECORD_CODEC: Final[Codec[Ad | Obituary]] = Codec(
    {_AD_KIND: Ad, _OBITUARY_KIND: Obituary}, bytes_max=OBITUARY_BYTES_MAX
)


def encode_record(record: Ad | Obituary) -> bytes:
    """Encode an ad (at most 300 bytes) or an obituary (at most 700). Raises ValueError where it does not fit."""
    return _AD_CODEC.encode(record) if isinstance(record, Ad) else _RECORD_CODEC.encode(record)


def decode_record(data: bytes) -> Ad | Obituary:
    """Decode one gossiped record. Raises MalformedInput for anything but a canonical one within its size."""
    record = _RECORD_CODEC.decode(data)
    if isinstance(record, Ad) and len(data) > AD_CORE_BYTES_MAX:
        raise MalformedInput("the ad is too large")
    return record


def is_obituary(data: bytes) -> bool:
    """Whether a record that decodes is an obituary, told by its first bytes alone."""
    return data[1:3] == bytes((0, _OBITUARY_KIND))


def encode_extras(extras: AdExtras) -> bytes:
    """Encode extras, at most 2,048 bytes. Raises ValueError where they do not fit."""
    return _EXTRAS_CODEC.encode(extras)


def decode_extras(data: bytes) -> AdExtras:
    """Decode extras. Raises MalformedInput."""
    return _EXTRAS_CODEC.decode(data)


def signed_content(ad: Ad) -> bytes:
    """What an ad's signature covers: the ad's own encoding without the signature's key and value."""
    fields: dict[int, Value] = {0: _AD_KIND}
    for index, (name, shape) in enumerate(shapes_of(Ad), start=1):
        value = getattr(ad, name)
        if name != "signature" and value is not None:
            fields[index] = shape.pack(value)
    return cbor.encode(fields)


def testimony_content(node_key: NodeKey, dated: int) -> bytes:
    """What a testimony's signature covers (label ``railgun/obituary/v1``): CBOR ``[node key, dated]``."""
    return cbor.encode([bytes(node_key), dated])
