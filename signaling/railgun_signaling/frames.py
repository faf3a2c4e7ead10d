"""What travels between a client and the server (spec: signaling, frames).

Owns: each frame's fields, bounds and encoding. Must not know: sockets, who may send what when.

A frame is the canonical CBOR map ``{0: kind, 1: first field, ...}``, one a binary WebSocket message. An absent
optional field has no key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, Union

from railgun_signaling import cbor
from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.limits import (
    AD_BYTES_MAX,
    BLOB_BYTES,
    FRAME_BYTES_MAX,
    RELAY_ADDRESSES_MAX,
    RELAYS_ANSWERED_MAX,
)

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
NUMBER_MAX: Final = 2**32 - 1
ADDRESS_LENGTHS: Final = (6, 18)


@dataclass(frozen=True, slots=True)
class AskRelays:
    """Relays of a network to start from. The only frame of its connection: it is bound to no mailbox."""

    network: bytes


@dataclass(frozen=True, slots=True)
class OpenMailbox:
    """``mailbox``: a fresh X25519 key, 32 bytes. ``proof``: see `proofs.mailbox_proof`."""

    mailbox: bytes = field(repr=False)
    proof: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RegisterRelay:
    """``ad``: the relay's signed ad as the directory has it; ``signature``: by its node key over this connection."""

    network: bytes
    ad: bytes
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """``blob``: 4,096 sealed bytes for the mailbox ``to``; ``number`` names it in the answer."""

    number: int
    to: bytes = field(repr=False)
    blob: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The server's first word: its version, and what proofs are over."""

    version: int
    nonce: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """A relay to dial: node key, SHA-256 of its certificate, 1 to 4 addresses of 6 or 18 bytes."""

    node_key: bytes
    certificate_hash: bytes
    addresses: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Relays:
    """At most 8."""

    relays: tuple[RelayAddress, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The mailbox is open for so many seconds at most."""

    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class Registered:
    """The relay is handed out for so many seconds at most, and while this connection stands."""

    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Blob ``number`` was handed to the recipient's connection. That it arrived only the recipient can say."""

    number: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A blob, and the mailbox that sent it."""

    sender: bytes = field(repr=False)
    blob: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Of blob ``number`` alone, or (None) of the connection, which ends with it."""

    code: RefusalCode
    retry_after_seconds: int | None = None
    number: int | None = None


ClientFrame: TypeAlias = Union[AskRelays, OpenMailbox, RegisterRelay, Send]
ServerFrame: TypeAlias = Union[Challenge, Relays, Opened, Registered, Forwarded, Delivery, Refused]
Frame: TypeAlias = Union[ClientFrame, ServerFrame]


def _malformed() -> Refusal:
    return Refusal(RefusalCode.MALFORMED)


def _exactly(length: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, bytes) or len(value) != length:
            raise _malformed()
        return value

    return check


def _at_most(length: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, bytes) or not 1 <= len(value) <= length:
            raise _malformed()
        return value

    return check


def _uint(most: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise _malformed()
        return int(value)

    return check


def _code(value: Any) -> Any:
    try:
        return RefusalCode(_uint(255)(value))
    except ValueError as error:
        raise _malformed() from error


def _relays(value: Any) -> Any:
    if not isinstance(value, list) or len(value) > RELAYS_ANSWERED_MAX:
        raise _malformed()
    found = []
    for item in value:
        if not isinstance(item, list) or len(item) != 3 or not isinstance(item[2], list):
            raise _malformed()
        addresses = item[2]
        if not 1 <= len(addresses) <= RELAY_ADDRESSES_MAX or not all(
            isinstance(one, bytes) and len(one) in ADDRESS_LENGTHS for one in addresses
        ):
            raise _malformed()
        found.append(RelayAddress(_exactly(KEY_BYTES)(item[0]), _exactly(KEY_BYTES)(item[1]), tuple(addresses)))
    return tuple(found)


_Field: TypeAlias = tuple[str, Callable[[Any], Any], bool]
_KINDS: Final[dict[int, tuple[type, tuple[_Field, ...]]]] = {
    1: (AskRelays, (("network", _exactly(KEY_BYTES), True),)),
    2: (OpenMailbox, (("mailbox", _exactly(KEY_BYTES), True), ("proof", _exactly(PROOF_BYTES), True))),
    3: (
        RegisterRelay,
        (
            ("network", _exactly(KEY_BYTES), True),
            ("ad", _at_most(AD_BYTES_MAX), True),
            ("signature", _exactly(SIGNATURE_BYTES), True),
        ),
    ),
    4: (
        Send,
        (("number", _uint(NUMBER_MAX), True), ("to", _exactly(KEY_BYTES), True), ("blob", _exactly(BLOB_BYTES), True)),
    ),
    16: (
        Challenge,
        (("version", _uint(255), True), ("nonce", _exactly(NONCE_BYTES), True), ("key", _exactly(KEY_BYTES), True)),
    ),
    17: (Relays, (("relays", _relays, True),)),
    18: (Opened, (("expires_in_seconds", _uint(NUMBER_MAX), True),)),
    19: (Registered, (("expires_in_seconds", _uint(NUMBER_MAX), True),)),
    20: (Forwarded, (("number", _uint(NUMBER_MAX), True),)),
    21: (Delivery, (("sender", _exactly(KEY_BYTES), True), ("blob", _exactly(BLOB_BYTES), True))),
    22: (
        Refused,
        (
            ("code", _code, True),
            ("retry_after_seconds", _uint(NUMBER_MAX), False),
            ("number", _uint(NUMBER_MAX), False),
        ),
    ),
}
_NUMBERS: Final[dict[type, int]] = {cls: number for number, (cls, _) in _KINDS.items()}


def encode_frame(frame: Frame) -> bytes:
    """Encode. Raises ValueError where a field does not fit (our bug)."""
    number = _NUMBERS[type(frame)]
    fields: dict[int, cbor.Value] = {0: number}
    for index, (name, _, _) in enumerate(_KINDS[number][1], start=1):
        value = getattr(frame, name)
        if isinstance(frame, Relays):
            value = [[one.node_key, one.certificate_hash, list(one.addresses)] for one in frame.relays]
        if value is not None:
            fields[index] = int(value) if isinstance(value, RefusalCode) else value
    return cbor.encode(fields)


def decode_frame(data: bytes) -> Frame:
    """Decode one frame of at most FRAME_BYTES_MAX bytes. Raises Refusal (MALFORMED)."""
    value = cbor.decode(data, bytes_max=FRAME_BYTES_MAX)
    if not isinstance(value, dict):
        raise _malformed()
    kind = value.pop(0, None)
    known = _KINDS.get(kind) if type(kind) is int else None
    if known is None:
        raise _malformed()
    cls, fields = known
    values: list[Any] = []
    for index, (_, check, required) in enumerate(fields, start=1):
        if index in value:
            values.append(check(value.pop(index)))
        elif required:
            raise _malformed()
        else:
            values.append(None)
    if value:
        raise _malformed()
    frame: Frame = cls(*values)
    return frame
