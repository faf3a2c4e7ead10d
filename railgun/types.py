"""The names of things: identifiers, addresses and small enumerations that every layer shares.

Owns: byte-string identifier types with their lengths, size classes, addresses.
Must not know: how any of them is computed, encoded, stored or sent.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass
from typing import NewType

NodeKey = NewType("NodeKey", bytes)
"""Ed25519 public key of a relay, 32 bytes."""
NodeId = NewType("NodeId", bytes)
"""BLAKE2b-160 of a node key, 20 bytes: the identifier in the DHT."""
DeviceKey = NewType("DeviceKey", bytes)
"""Ed25519 public key of a person's device, 32 bytes."""
RootKey = NewType("RootKey", bytes)
"""Ed25519 public key that authorises a person's devices, 32 bytes."""
PeerKey = NewType("PeerKey", bytes)
"""Ed25519 public key that the remote end of a link proved, 32 bytes: a node key for relays,
a key made for that connection alone for clients."""
RoomId = NewType("RoomId", bytes)
"""32 bytes: hash of the room's creation entry. Never seen by relays."""
Tag = NewType("Tag", bytes)
"""R_e, 32 bytes: a room's public name for one epoch (spec: keys)."""
EnvelopeId = NewType("EnvelopeId", bytes)
"""16 bytes; names one sealed envelope to relays (spec: envelope)."""
MessageId = NewType("MessageId", bytes)
"""16 bytes; names one message to members and survives re-sealing (spec: messages)."""
NetworkId = NewType("NetworkId", bytes)
"""32 bytes: hash of a network's parameters."""
Handle = NewType("Handle", bytes)
"""16 random bytes by which a subscriber ranks the seats of one tag."""

ENVELOPE_SIZES_BYTES = (256, 4096, 65536)


class SizeClass(enum.IntEnum):
    """The three envelope sizes; the value is the envelope's second byte."""

    SMALL = 0
    MEDIUM = 1
    LARGE = 2

    @property
    def envelope_bytes(self) -> int:
        """Length in bytes of an envelope of this class: 256, 4096 or 65536."""
        return ENVELOPE_SIZES_BYTES[self]


class EnvelopeKind(enum.IntEnum):
    """What an envelope's inner part holds (spec: envelope). Relays never see it."""

    COVER = 0
    GROUP = 1
    PAIRWISE = 2
    SEALED = 3


class Role(enum.IntFlag):
    """What a relay offers, as advertised in its ad: to serve as a volunteer, or only where volunteers are missing."""

    RELAY = 1
    FALLBACK = 2

    @property
    def is_fallback(self) -> bool:
        """Whether it ranks behind all volunteers; who offers both is one of these."""
        return bool(self & Role.FALLBACK) and not self & Role.RELAY


class ServiceMode(enum.StrEnum):
    """Through whom a room's messages go at the moment, the best first (spec: committee, "Modes")."""

    VOLUNTEERS = "volunteers"
    """Volunteers hold all seats."""
    HYBRID = "hybrid"
    """A fallback relay holds a seat, or serves this peer in place of a dead one."""
    DIRECT = "direct"
    """No committee: members are linked to each other."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """One UDP address.

    ``host`` is a literal IPv4 or IPv6 address in its normal form (an IPv4-mapped IPv6
    address is normalised to IPv4); ``port`` is 1 to 65535.

    Raises:
        ValueError: the host is no literal address, or the port is out of range.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        parsed = ipaddress.ip_address(self.host)
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
            raise ValueError("an address with a scope cannot be shared with others")
        object.__setattr__(self, "host", str(parsed))
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 1 and 65535")

    @property
    def packed(self) -> bytes:
        """The host as 4 or 16 bytes."""
        return ipaddress.ip_address(self.host).packed

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RelayContact:
    """All that is needed to dial a relay without signaling (spec: links).

    ``certificate_hash`` is the SHA-256 of its DTLS certificate, 32 bytes.
    """

    node_key: NodeKey
    addresses: tuple[Address, ...]
    certificate_hash: bytes
