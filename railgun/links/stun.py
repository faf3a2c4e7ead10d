"""The little STUN that dialling without signaling needs.

Owns: the stateless answer of an ICE-lite listener, and the one check that a native dialler sends.
Must not know: sockets, rate limits. Spec: RFC 8489, RFC 8445; docs/spec/links.md.

The user name and password of every listener are public constants: MESSAGE-INTEGRITY proves nothing here,
and is present because ICE requires it of both ends.
"""

from __future__ import annotations

import binascii
import hmac
import ipaddress
import struct
from typing import Final

from aioice import stun

LISTENER_UFRAG: Final = "railgun1"
LISTENER_PASSWORD: Final = "railgun/links/public/v1"  # noqa: S105 - public by design
LISTENER_CANDIDATE_PRIORITY: Final = 2_130_706_431

_MAGIC: Final = b"\x21\x12\xa4\x42"
_HEADER_BYTES: Final = 20
_BINDING_REQUEST: Final = b"\x00\x01"
_BINDING_RESPONSE: Final = b"\x01\x01"
_USERNAME: Final = 0x0006
_FINGERPRINT_MASK: Final = 0x5354_554E
_WANTED: Final = LISTENER_UFRAG.encode() + b":"
_KEY: Final = LISTENER_PASSWORD.encode()


def is_stun(datagram: bytes) -> bool:
    """Whether a datagram is STUN rather than DTLS (RFC 7983)."""
    return len(datagram) >= _HEADER_BYTES and datagram[0] < 4 and datagram[4:8] == _MAGIC


def answer(datagram: bytes, host: str, port: int) -> bytes | None:
    """The binding response to a check of our listener, never longer than the request.

    None where the datagram is no well-formed binding request that names LISTENER_UFRAG.
    """
    if not is_stun(datagram) or datagram[:2] != _BINDING_REQUEST:
        return None
    if len(datagram) != _HEADER_BYTES + (datagram[2] << 8 | datagram[3]) or not _names_us(datagram):
        return None
    packed = ipaddress.ip_address(host).packed
    mask = datagram[4:20][: len(packed)]
    mapped = bytes(a ^ b for a, b in zip(packed, mask, strict=True))
    family = 1 if len(packed) == 4 else 2
    attributes = struct.pack(">HHBBH", 0x0020, 4 + len(packed), 0, family, port ^ 0x2112) + mapped
    head = _BINDING_RESPONSE + struct.pack(">H", len(attributes) + 24) + datagram[4:20]
    digest = hmac.digest(_KEY, head + attributes, "sha1")
    attributes += b"\x00\x08\x00\x14" + digest
    body = _BINDING_RESPONSE + struct.pack(">H", len(attributes) + 8) + datagram[4:20] + attributes
    response = body + struct.pack(">HHI", 0x8028, 4, binascii.crc32(body) ^ _FINGERPRINT_MASK)
    return response if len(response) <= len(datagram) else None


def _names_us(datagram: bytes) -> bool:
    position = _HEADER_BYTES
    while position + 4 <= len(datagram):
        kind, length = struct.unpack_from(">HH", datagram, position)
        value_at = position + 4
        if kind == _USERNAME:
            return datagram[value_at : value_at + min(length, len(_WANTED))] == _WANTED
        position = value_at + (length + 3 & ~3)
    return False


def check(ufrag: str, transaction_id: bytes, tie_breaker: int) -> bytes:
    """A controlling agent's nominating binding request to a listener.

    ``ufrag`` is the dialler's own, 4 or more ICE characters; ``transaction_id`` 12 bytes.
    """
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, transaction_id)
    message.attributes["USERNAME"] = f"{LISTENER_UFRAG}:{ufrag}"
    message.attributes["PRIORITY"] = 1_853_824_767  # of a peer-reflexive candidate, RFC 8445 section 5.1.2
    message.attributes["ICE-CONTROLLING"] = tie_breaker
    message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(_KEY)
    return bytes(message)


def is_answer(datagram: bytes, transaction_id: bytes) -> bool:
    """Whether a datagram is the success response to our check, with its integrity intact."""
    try:
        message = stun.parse_message(datagram)
    except (ValueError, struct.error):  # the latter for integer attributes of another length
        return False
    return (
        message.message_class == stun.Class.RESPONSE
        and message.message_method == stun.Method.BINDING
        and hmac.compare_digest(message.transaction_id, transaction_id)
        and message.check_message_integrity(_KEY)
    )
