"""What travels between a peer and a rendezvous server.

Owns: each frame's fields and bounds, the form of a server's address. Must not know: sockets, proofs, sealing.

Spec: docs/spec/signaling.md. The server has a codec of its own; interop/vectors/signaling.json holds both to one form.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeAlias, Union

from railgun.errors import MalformedInput
from railgun.limits import (
    AD_CORE_BYTES_MAX,
    RENDEZVOUS_FRAME_BYTES_MAX,
    RENDEZVOUS_RELAY_ADDRESSES_MAX,
    RENDEZVOUS_RELAYS_MAX,
    RENDEZVOUS_URL_BYTES_MAX,
    SEALED_BLOB_BYTES,
)
from railgun.types import Address, NetworkId, NodeKey, RelayContact
from railgun.wire.cbor import Value
from railgun.wire.records import AddressShape
from railgun.wire.schema import Array, Bytes, Codec, Nested, Optional, Shape, Uint

RENDEZVOUS_VERSION: Final = 1
RENDEZVOUS_PATH: Final = "/v1"
NUMBER_MAX: Final = 2**32 - 1
_URL: Final = re.compile(r"wss?://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,100})(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._/-]*)?")
PORT_MAX: Final = 65_535


class RendezvousCode(enum.IntEnum):
    """Why the server refused."""

    MALFORMED = 1
    UNSUPPORTED_VERSION = 2
    OUT_OF_ORDER = 3
    BAD_PROOF = 4
    TOO_LARGE = 5
    RATE_LIMITED = 6
    TOO_MANY_CONNECTIONS = 7
    FULL = 8
    ABSENT = 9
    OCCUPIED = 10
    BUSY = 11
    TIMED_OUT = 12
    TOO_SLOW = 13
    EXPIRED = 14
    SHUTTING_DOWN = 15
    NETWORK_NOT_SERVED = 16
    ADDRESS_MISMATCH = 17
    BAD_AD = 18


@dataclass(frozen=True, slots=True)
class AskRelays:
    """Relays of a network to start from; the only frame of its connection."""

    network: Annotated[NetworkId, Bytes(32)]


@dataclass(frozen=True, slots=True)
class OpenMailbox:
    """``mailbox``: a fresh X25519 key; ``proof``: that its secret is held."""

    mailbox: Annotated[bytes, Bytes(32)]
    proof: Annotated[bytes, Bytes(32)] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RegisterRelay:
    """``ad``: encoded and signed, as the directory has it; ``signature``: by the node key, over this connection."""

    network: Annotated[NetworkId, Bytes(32)]
    ad: Annotated[bytes, Bytes(1, AD_CORE_BYTES_MAX)]
    signature: Annotated[bytes, Bytes(64)]


@dataclass(frozen=True, slots=True)
class Send:
    """``blob``: sealed for the mailbox ``to``; ``number`` names it in the answer."""

    number: Annotated[int, Uint(NUMBER_MAX)]
    to: Annotated[bytes, Bytes(32)]
    blob: Annotated[bytes, Bytes(SEALED_BLOB_BYTES)] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The server's first word: its version, and what proofs are over."""

    version: Annotated[int, Uint(255)]
    nonce: Annotated[bytes, Bytes(32)]
    key: Annotated[bytes, Bytes(32)]


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """A relay to dial."""

    node_key: Annotated[NodeKey, Bytes(32)]
    certificate_hash: Annotated[bytes, Bytes(32)]
    addresses: Annotated[tuple[Address, ...], Array(AddressShape(), RENDEZVOUS_RELAY_ADDRESSES_MAX, 1)]

    def contact(self) -> RelayContact:
        """As the rest of Rail Gun names it."""
        return RelayContact(self.node_key, self.addresses, self.certificate_hash)


@dataclass(frozen=True, slots=True)
class Relays:
    """Relays to start from, in no order."""

    relays: Annotated[tuple[RelayAddress, ...], Array(Nested(RelayAddress), RENDEZVOUS_RELAYS_MAX)]


@dataclass(frozen=True, slots=True)
class Opened:
    """The mailbox is open, for so many seconds at most."""

    expires_in_seconds: Annotated[int, Uint(NUMBER_MAX)]


@dataclass(frozen=True, slots=True)
class Registered:
    """The relay is handed out, for so many seconds at most and while the connection stands."""

    expires_in_seconds: Annotated[int, Uint(NUMBER_MAX)]


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Blob ``number`` was handed to the recipient's connection."""

    number: Annotated[int, Uint(NUMBER_MAX)]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A blob, and the mailbox that sent it."""

    sender: Annotated[bytes, Bytes(32)]
    blob: Annotated[bytes, Bytes(SEALED_BLOB_BYTES)] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RendezvousRefused:
    """Of blob ``number`` alone, or (None) of the connection, which ends with it."""

    code: Annotated[RendezvousCode, Uint(255, RendezvousCode)]
    retry_after_seconds: Annotated[int | None, Optional(Uint(NUMBER_MAX))] = None
    number: Annotated[int | None, Optional(Uint(NUMBER_MAX))] = None


ClientFrame: TypeAlias = Union[AskRelays, OpenMailbox, RegisterRelay, Send]
ServerFrame: TypeAlias = Union[Challenge, Relays, Opened, Registered, Forwarded, Delivery, RendezvousRefused]
RendezvousFrame: TypeAlias = Union[ClientFrame, ServerFrame]

RENDEZVOUS_FRAMES: Final[Codec[RendezvousFrame]] = Codec(
    {
        1: AskRelays,
        2: OpenMailbox,
        3: RegisterRelay,
        4: Send,
        16: Challenge,
        17: Relays,
        18: Opened,
        19: Registered,
        20: Forwarded,
        21: Delivery,
        22: RendezvousRefused,
    },
    bytes_max=RENDEZVOUS_FRAME_BYTES_MAX,
)


@dataclass(frozen=True)
class RendezvousUrlShape(Shape):
    """A server's address as `check_rendezvous_url` gives it."""

    def pack(self, value: Any) -> Value:
        try:
            fits = isinstance(value, str) and check_rendezvous_url(value) == value
        except MalformedInput:
            fits = False
        if not fits:
            raise ValueError("expected a rendezvous server's address")
        return value  # type: ignore[no-any-return]

    def unpack(self, value: Value) -> Any:
        if not isinstance(value, str) or check_rendezvous_url(value) != value:
            raise MalformedInput("a rendezvous server's address is a text that ends without a slash")
        return value


def check_rendezvous_url(text: str) -> str:
    """``ws://`` or ``wss://``, a host, perhaps a port and a path, without a slash at its end.

    Raises:
        MalformedInput: anything else, user names and queries included.
    """
    found = _URL.fullmatch(text) if len(text) <= RENDEZVOUS_URL_BYTES_MAX else None
    if found is None or (found[2] is not None and int(found[2][1:]) > PORT_MAX):
        raise MalformedInput("a rendezvous server's address is wss://HOST or ws://HOST, perhaps with :PORT and /PATH")
    return text.rstrip("/")
