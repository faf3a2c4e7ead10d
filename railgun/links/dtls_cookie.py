"""Proof that an address is real, before anything is kept for it.

Owns: reading the first fragment of a DTLS ClientHello, the HelloVerifyRequest that answers it, the cookies.
Must not know: sockets, sessions, or what follows a valid cookie.
Spec: RFC 6347 section 4.2.1; docs/spec/links.md. A cookie is bound to address, port and client random, lives
15 to 30 seconds and opens one session.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from railgun.limits import COOKIES_SPENT_MAX

COOKIE_BYTES: Final = 16
KEY_SECONDS: Final = 15.0
"""A key makes cookies for so long, and checks them for as long again."""

_RECORD_BYTES: Final = 13
_HANDSHAKE_BYTES: Final = 12
_BODY_AT: Final = _RECORD_BYTES + _HANDSHAKE_BYTES
_RANDOM_AT: Final = _BODY_AT + 2
_SESSION_ID_AT: Final = _BODY_AT + 34
_SESSION_ID_BYTES_MAX: Final = 32

Source = tuple[str, int]
"""Host and port of a datagram's sender."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What the first fragment of a ClientHello says.

    ``record_sequence`` is 6 bytes, ``client_random`` 32; ``cookie`` is empty in a first hello.
    """

    record_sequence: bytes
    message_sequence: int
    client_random: bytes
    cookie: bytes


def looks_like_hello(datagram: bytes) -> bool:
    """Whether a datagram begins with a handshake record of epoch 0 that holds a ClientHello."""
    return (
        len(datagram) > _SESSION_ID_AT
        and datagram[0] == 22
        and datagram[1] == 0xFE
        and datagram[3:5] == b"\0\0"
        and datagram[_RECORD_BYTES] == 1
    )


def parse_hello(datagram: bytes) -> ClientHello | None:
    """The hello in ``datagram``, or None where it is none, is cut off, or is a later fragment."""
    if not looks_like_hello(datagram):
        return None
    (record_bytes,) = struct.unpack_from(">H", datagram, 11)
    end = _RECORD_BYTES + record_bytes
    fragment_offset = int.from_bytes(datagram[19:22], "big")
    fragment_bytes = int.from_bytes(datagram[22:25], "big")
    if fragment_offset != 0 or end > len(datagram) or _BODY_AT + fragment_bytes > end:
        return None
    body_end = _BODY_AT + fragment_bytes
    if body_end <= _SESSION_ID_AT:
        return None
    session_id_bytes = datagram[_SESSION_ID_AT]
    cookie_at = _SESSION_ID_AT + 1 + session_id_bytes
    if session_id_bytes > _SESSION_ID_BYTES_MAX or cookie_at >= body_end:
        return None
    cookie_end = cookie_at + 1 + datagram[cookie_at]
    if cookie_end > body_end:
        return None
    (message_sequence,) = struct.unpack_from(">H", datagram, 17)
    return ClientHello(
        record_sequence=datagram[5:11],
        message_sequence=message_sequence,
        client_random=datagram[_RANDOM_AT : _RANDOM_AT + 32],
        cookie=datagram[cookie_at + 1 : cookie_end],
    )


def hello_verify_request(hello: ClientHello, cookie: bytes) -> bytes:
    """The datagram that asks the client to come back with ``cookie``; shorter than any hello."""
    body = b"\xfe\xff" + bytes([len(cookie)]) + cookie
    length = len(body).to_bytes(3, "big")
    handshake = b"\x03" + length + b"\0\0" + b"\0\0\0" + length + body
    return b"\x16\xfe\xff\0\0" + hello.record_sequence + struct.pack(">H", len(handshake)) + handshake


class CookieJar:
    """Makes cookies and takes each back once. Keeps two keys and a bounded list of spent cookies."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        """``random_bytes(count)`` supplies the keys."""
        self._random_bytes = random_bytes
        self._keys = [random_bytes(32), random_bytes(32)]
        self._spent: list[set[bytes]] = [set(), set()]
        self._changed_at: float | None = None

    def bake(self, source: Source, client_random: bytes, now: float) -> bytes:
        """The cookie for a client, 16 bytes."""
        self._turn(now)
        return self._cookie(0, source, client_random)

    def spend(self, source: Source, client_random: bytes, cookie: bytes, now: float) -> bool:
        """Whether ``cookie`` is this client's, still lives and was not spent; then it is spent."""
        self._turn(now)
        for generation in (0, 1):
            if hmac.compare_digest(self._cookie(generation, source, client_random), cookie):
                if cookie in self._spent[generation]:
                    return False
                self._spent[generation].add(cookie)
                if len(self._spent[generation]) >= COOKIES_SPENT_MAX:
                    self._change(now)
                return True
        return False

    def _turn(self, now: float) -> None:
        if self._changed_at is None:
            self._changed_at = now
        elif now - self._changed_at >= 2 * KEY_SECONDS:
            self._change(now)
            self._change(now)
        elif now - self._changed_at >= KEY_SECONDS:
            self._change(now)

    def _change(self, now: float) -> None:
        self._keys = [self._random_bytes(32), self._keys[0]]
        self._spent = [set(), self._spent[0]]
        self._changed_at = now

    def _cookie(self, generation: int, source: Source, client_random: bytes) -> bytes:
        content = b"%s|%d|%s" % (source[0].encode(), source[1], client_random)
        return hashlib.blake2b(content, key=self._keys[generation], digest_size=COOKIE_BYTES).digest()
