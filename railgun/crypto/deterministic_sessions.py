"""A stand-in for `Sessions` in the simulator: the same sizes and the same refusals, from a seed, at no security.

Owns: fake sessions whose every output is as long as the real one's. Must not know: who simulates what.
NEVER for real traffic: whoever holds an X-Wing public key opens what is sealed for it, and keystreams repeat.

What travels is as long as `VodozemacSessions` makes it to the byte, and so are pickles.
"""

from __future__ import annotations

from typing import Final

from railgun.crypto.deterministic_olm import DeterministicOlm
from railgun.crypto.hashing import HASH_BYTES, keyed_hash, u32
from railgun.crypto.pickles import PICKLE_BLOCK_BYTES, PICKLE_KEY_BYTES
from railgun.crypto.sessions import (
    EXPORTED_KEY_BYTES,
    HPKE_ENC_BYTES,
    HPKE_OVERHEAD_BYTES,
    SESSION_KEY_BYTES,
    XWING_PUBLIC_KEY_BYTES,
    XWING_SECRET_BYTES,
)
from railgun.crypto.simulated import Draws, read_varint, session_id, stretch, tag, varint, xor
from railgun.errors import CryptoError
from railgun.limits import HPKE_PLAINTEXT_BYTES_MAX
from railgun.ports import DecryptedMegolm, EncryptedMegolm, InboundMegolm, OutboundMegolm

_MESSAGE_VERSION: Final = 3
_INDEX_FIELD: Final = 0x08
_CIPHERTEXT_FIELD: Final = 0x12
_CIPHER_BLOCK_BYTES: Final = 16
_MESSAGE_TAG_BYTES: Final = 8 + 64
"""Megolm's message authentication code and signature."""
_SESSION_KEY_VERSION: Final = b"\2"
_EXPORTED_KEY_VERSION: Final = b"\1"
_HPKE_TAG_BYTES: Final = HPKE_OVERHEAD_BYTES - HPKE_ENC_BYTES
_INDEX_MAX: Final = (1 << 32) - 1


class DeterministicSessions(DeterministicOlm):
    """`Sessions` from a seed: the same calls in the same order give the same bytes.

    A node that restarts in a simulation needs a seed of its own for each life (mix a counter in), as a real one draws
    new randomness: with the old seed its new sessions would be its old ones.
    """

    def __init__(self, seed: bytes) -> None:
        """``seed`` is of any length."""
        self._draws = Draws(seed)
        super().__init__(self._draws)

    def __repr__(self) -> str:
        return "DeterministicSessions(<redacted>)"

    def megolm_new(self, pickle_key: bytes) -> OutboundMegolm:
        """See `Sessions`."""
        return _outbound(self._draws.draw(b"megolm"), 0, pickle_key)

    def megolm_outbound(self, pickle: bytes, pickle_key: bytes) -> OutboundMegolm:
        """See `Sessions`."""
        return _outbound(*_unpickled(b"o", pickle, pickle_key), pickle_key)

    def megolm_encrypt(self, pickle: bytes, pickle_key: bytes, plaintext: bytes) -> EncryptedMegolm:
        """See `Sessions`."""
        secret, index = _unpickled(b"o", pickle, pickle_key)
        padding = _CIPHER_BLOCK_BYTES - len(plaintext) % _CIPHER_BLOCK_BYTES
        ciphertext = xor(plaintext + bytes([padding]) * padding, secret, u32(index))
        head = bytes([_MESSAGE_VERSION, _INDEX_FIELD]) + varint(index)
        untagged = head + bytes([_CIPHERTEXT_FIELD]) + varint(len(ciphertext)) + ciphertext
        return EncryptedMegolm(
            index, untagged + tag(secret, untagged, _MESSAGE_TAG_BYTES), _pickled(b"o", secret, index + 1, pickle_key)
        )

    def megolm_import(self, session_key: bytes, pickle_key: bytes) -> InboundMegolm:
        """See `Sessions`."""
        return _inbound(_SESSION_KEY_VERSION, session_key, SESSION_KEY_BYTES, pickle_key)

    def megolm_restore(self, exported: bytes, pickle_key: bytes) -> InboundMegolm:
        """See `Sessions`."""
        return _inbound(_EXPORTED_KEY_VERSION, exported, EXPORTED_KEY_BYTES, pickle_key)

    def megolm_export(self, pickle: bytes, pickle_key: bytes, index: int) -> bytes:
        """See `Sessions`."""
        if not 0 <= index <= _INDEX_MAX:
            raise ValueError("a message index is a u32")
        secret, first = _unpickled(b"i", pickle, pickle_key)
        if index < first:
            raise CryptoError
        return _session_key(_EXPORTED_KEY_VERSION, secret, index, EXPORTED_KEY_BYTES)

    def megolm_decrypt(self, pickle: bytes, pickle_key: bytes, message: bytes) -> DecryptedMegolm:
        """See `Sessions`."""
        secret, first = _unpickled(b"i", pickle, pickle_key)
        untagged, found = message[:-_MESSAGE_TAG_BYTES], message[-_MESSAGE_TAG_BYTES:]
        expected = tag(secret, untagged, _MESSAGE_TAG_BYTES)
        if found != expected or untagged[:2] != bytes([_MESSAGE_VERSION, _INDEX_FIELD]):
            raise CryptoError
        index, offset = read_varint(untagged, 2)
        _, offset = read_varint(untagged, offset + 1)
        if index < first:
            raise CryptoError
        padded = xor(untagged[offset:], secret, u32(index))
        return DecryptedMegolm(index, padded[: -padded[-1]])

    def hpke_public_key(self, secret: bytes) -> bytes:
        """See `Sessions`."""
        if len(secret) != XWING_SECRET_BYTES:
            raise ValueError("an X-Wing secret has 32 bytes")
        return stretch(keyed_hash(secret, "railgun/simulated-xwing/v1", b""), XWING_PUBLIC_KEY_BYTES)

    def hpke_seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        """See `Sessions`."""
        if len(plaintext) > HPKE_PLAINTEXT_BYTES_MAX:
            raise ValueError(f"at most {HPKE_PLAINTEXT_BYTES_MAX} bytes can be sealed")
        if len(public_key) != XWING_PUBLIC_KEY_BYTES:
            raise CryptoError
        encapsulated = stretch(self._draws.draw(b"hpke"), HPKE_ENC_BYTES)
        key = keyed_hash(public_key[:HASH_BYTES], "railgun/simulated-hpke/v1", encapsulated + info)
        ciphertext = xor(plaintext, key, b"")
        return encapsulated + ciphertext + tag(key, ciphertext, _HPKE_TAG_BYTES)

    def hpke_open(self, secret: bytes, info: bytes, sealed: bytes) -> bytes:
        """See `Sessions`."""
        public_key = self.hpke_public_key(secret)
        if not HPKE_OVERHEAD_BYTES <= len(sealed) <= HPKE_OVERHEAD_BYTES + HPKE_PLAINTEXT_BYTES_MAX:
            raise CryptoError
        encapsulated, ciphertext = sealed[:HPKE_ENC_BYTES], sealed[HPKE_ENC_BYTES:-_HPKE_TAG_BYTES]
        key = keyed_hash(public_key[:HASH_BYTES], "railgun/simulated-hpke/v1", encapsulated + info)
        if sealed[-_HPKE_TAG_BYTES:] != tag(key, ciphertext, _HPKE_TAG_BYTES):
            raise CryptoError
        return xor(ciphertext, key, b"")


def _outbound(secret: bytes, index: int, pickle_key: bytes) -> OutboundMegolm:
    return OutboundMegolm(
        session_id=session_id(secret),
        next_index=index,
        session_key=_session_key(_SESSION_KEY_VERSION, secret, index, SESSION_KEY_BYTES),
        pickle=_pickled(b"o", secret, index, pickle_key),
    )


def _inbound(version: bytes, session_key: bytes, length: int, pickle_key: bytes) -> InboundMegolm:
    index = int.from_bytes(session_key[1:5], "big")
    secret = session_key[5 : 5 + HASH_BYTES]
    if len(session_key) != length or session_key != _session_key(version, secret, index, length):
        raise CryptoError
    return InboundMegolm(session_id(secret), index, _pickled(b"i", secret, index, pickle_key))


def _session_key(version: bytes, secret: bytes, index: int, length: int) -> bytes:
    body = version + u32(index) + secret
    return body + stretch(keyed_hash(secret, "railgun/simulated-key/v1", body), length - len(body))


def _pickled(kind: bytes, secret: bytes, index: int, pickle_key: bytes) -> bytes:
    if len(pickle_key) != PICKLE_KEY_BYTES:
        raise ValueError("a pickle key has 32 bytes")
    body = kind + xor(secret + index.to_bytes(5, "big"), pickle_key, kind)
    return (body + tag(pickle_key, body, HASH_BYTES)).ljust(PICKLE_BLOCK_BYTES)


def _unpickled(kind: bytes, pickle: bytes, pickle_key: bytes) -> tuple[bytes, int]:
    body = xor(pickle[1 : 1 + HASH_BYTES + 5], pickle_key, kind)
    secret, index = body[:HASH_BYTES], int.from_bytes(body[HASH_BYTES:], "big")
    if pickle != _pickled(kind, secret, index, pickle_key):
        raise CryptoError
    return secret, index
