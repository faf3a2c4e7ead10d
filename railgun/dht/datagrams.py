"""The form of a datagram: a fixed header, a message, zeros, and what proves the sender.

Owns: the bytes, and checking the proof. Must not know: what messages mean, cookies, who may ask what.

Spec: docs/spec/dht.md. The first byte tells the DHT from STUN (0 to 3), DTLS (20 to 63) and TURN channels (64 to 79)
on a port that all share.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Final

from railgun.crypto.hashing import content_hash
from railgun.crypto.identity import NodeIdentity
from railgun.crypto.signing import SIGNATURE_BYTES, sign_digest, verify
from railgun.dht.session_keys import SessionKeys
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import DHT_DATAGRAM_BYTES_MAX
from railgun.types import NetworkId, NodeId, NodeKey

DATAGRAM_LABEL: Final = "railgun/dht/datagram/v1"
FIRST_BYTES: Final = range(0xD0, 0xD3)
MAC_BYTES: Final = 16
REQUEST_ID_BYTES: Final = 8
COOKIE_BYTES: Final = 16
NETWORK_BYTES: Final = 8
NO_COOKIE: Final = bytes(COOKIE_BYTES)
NO_DESTINATION: Final = NodeId(bytes(20))

_HEADER: Final = struct.Struct(">B8s32s20sI8s16sH")
HEADER_BYTES: Final = _HEADER.size
MESSAGE_BYTES_MAX: Final = DHT_DATAGRAM_BYTES_MAX - HEADER_BYTES - MAC_BYTES
ANSWER_OVERHEAD_BYTES: Final = HEADER_BYTES + MAC_BYTES


class Form(enum.IntEnum):
    """A datagram's first byte."""

    REQUEST = 0xD0
    """MACed, to a node whose key is known."""
    SIGNED_REQUEST = 0xD1
    """Signed, to an address whose node is not known yet: its destination is 20 zeros."""
    ANSWER = 0xD2
    """MACed."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the message.

    Attributes:
        network: the network id's first 8 bytes.
        sender: node key, 32 bytes.
        destination: node id, 20 bytes.
        time: Unix seconds of sending, by the sender's clock.
        request_id: 8 bytes; an answer repeats its request's.
        cookie: 16 bytes. In a request the one that the destination gave last, or zeros; in an answer the one to use.
    """

    form: Form
    network: bytes
    sender: NodeKey
    destination: NodeId
    time: int
    request_id: bytes
    cookie: bytes


@dataclass(frozen=True, slots=True)
class Datagram:
    """A datagram taken apart; nothing in it is proved before `proves` says so."""

    header: Header
    message: bytes
    proved_part: bytes
    proof: bytes


def network_mark(network_id: NetworkId) -> bytes:
    """The 8 bytes by which datagrams of other networks are dropped at once."""
    return network_id[:NETWORK_BYTES]


def is_dht(data: bytes) -> bool:
    """Whether a datagram on a shared port is one of ours."""
    return bool(data) and data[0] in FIRST_BYTES


def parse(data: bytes) -> Datagram:
    """Take a datagram apart. Raises MalformedInput; never more work than its length."""
    if not HEADER_BYTES + MAC_BYTES <= len(data) <= DHT_DATAGRAM_BYTES_MAX:
        raise MalformedInput("datagram of the wrong length", RefusalCode.WRONG_SIZE)
    form_number, network, sender, destination, time, request_id, cookie, length = _HEADER.unpack_from(data)
    try:
        form = Form(form_number)
    except ValueError as error:
        raise MalformedInput("not a datagram of the DHT") from error
    proof_at = len(data) - (SIGNATURE_BYTES if form is Form.SIGNED_REQUEST else MAC_BYTES)
    message_end = HEADER_BYTES + length
    if message_end > proof_at:
        raise MalformedInput("message longer than its datagram")
    if data.count(0, message_end, proof_at) != proof_at - message_end:
        raise MalformedInput("padding is zeros")
    if (form is Form.SIGNED_REQUEST) != (destination == NO_DESTINATION):
        raise MalformedInput("only signed requests go to nobody by name")
    header = Header(form, network, NodeKey(sender), NodeId(destination), time, request_id, cookie)
    return Datagram(header, data[HEADER_BYTES:message_end], data[:proof_at], data[proof_at:])


def seal(header: Header, message: bytes, keys: SessionKeys, *, bytes_min: int = 0) -> bytes:
    """A MACed datagram, padded to ``bytes_min``. Raises ValueError where the message does not fit."""
    body = _body(header, message, bytes_min - MAC_BYTES, MESSAGE_BYTES_MAX)
    return body + _mac(keys.sending, body)


def seal_signed(header: Header, message: bytes, identity: NodeIdentity, *, bytes_min: int = 0) -> bytes:
    """A signed datagram, padded to ``bytes_min``. Raises ValueError where the message does not fit."""
    body = _body(header, message, bytes_min - SIGNATURE_BYTES, MESSAGE_BYTES_MAX + MAC_BYTES - SIGNATURE_BYTES)
    return body + sign_digest(identity.signing_key, DATAGRAM_LABEL, content_hash(body))


def mac_holds(datagram: Datagram, keys: SessionKeys) -> bool:
    """Whether a MACed datagram is by whom it says."""
    return hmac.compare_digest(_mac(keys.receiving, datagram.proved_part), datagram.proof)


def signature_holds(datagram: Datagram) -> bool:
    """Whether a signed datagram is by whom it says."""
    return verify(datagram.header.sender, DATAGRAM_LABEL, datagram.proved_part, datagram.proof)


def _body(header: Header, message: bytes, bytes_min: int, message_bytes_max: int) -> bytes:
    if len(message) > message_bytes_max:
        raise ValueError(f"a message of {len(message)} bytes, at most {message_bytes_max} allowed")
    packed = _HEADER.pack(
        header.form, header.network, header.sender, header.destination, header.time, header.request_id, header.cookie,
        len(message),
    )  # fmt: skip
    return (packed + message).ljust(bytes_min, b"\0")


def _mac(key: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=key, digest_size=MAC_BYTES).digest()
