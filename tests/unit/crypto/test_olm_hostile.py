"""What a peer that writes its own Olm messages can do: the keys in them are its choice; all end in the one error."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError

KEY = b"\x0b" * 32
SMALL_ORDER = bytes(32)


class HandMadePeer:
    """Writes a first message by the specification, with whatever ratchet key it likes."""

    def __init__(self) -> None:
        self._identity = X25519PrivateKey.from_private_bytes(b"\x21" * 32)
        self._base = X25519PrivateKey.from_private_bytes(b"\x22" * 32)
        self.identity_key = self._identity.public_key().public_bytes_raw()

    def first_message(self, their_identity: bytes, their_fallback: bytes, ratchet_key: bytes) -> bytes:
        secret = (
            _agree(self._identity, their_fallback)
            + _agree(self._base, their_identity)
            + _agree(self._base, their_fallback)
        )
        message_key = hmac.digest(_derive(secret, b"OLM_ROOT", 64)[32:], b"\x01", "sha256")
        keys = _derive(message_key, b"OLM_KEYS", 80)
        inner = b"\x03" + _field(0x0A, ratchet_key) + b"\x10\x00" + _field(0x22, _encrypt(keys, b"hello"))
        inner += hmac.digest(keys[32:64], inner, "sha256")[:8]
        base_key = self._base.public_key().public_bytes_raw()
        return b"\x03" + b"".join(
            _field(tag, value)
            for tag, value in ((0x0A, their_fallback), (0x12, base_key), (0x1A, self.identity_key), (0x22, inner))
        )


def _agree(secret: X25519PrivateKey, public_key: bytes) -> bytes:
    return secret.exchange(X25519PublicKey.from_public_bytes(public_key))


def _derive(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, None, info).derive(secret)


def _encrypt(keys: bytes, plaintext: bytes) -> bytes:
    padder = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(keys[:32]), modes.CBC(keys[64:])).encryptor()
    return cipher.update(padder.update(plaintext) + padder.finalize()) + cipher.finalize()


def _field(tag: int, value: bytes) -> bytes:
    return bytes((tag, len(value))) + value


@pytest.mark.parametrize("ratchet_key", [SMALL_ORDER, b"\x01" + bytes(31)], ids=["zero", "one"])
def test_a_session_whose_other_end_named_a_key_of_small_order_cannot_be_spoken_under(ratchet_key: bytes) -> None:
    sessions, peer = VodozemacSessions(), HandMadePeer()
    account = sessions.olm_new_fallback(sessions.olm_account_new(KEY).pickle, KEY)
    message = peer.first_message(account.identity_key, account.fallback_key, ratchet_key)
    accepted = sessions.olm_accept(account.pickle, KEY, peer.identity_key, message)
    assert accepted.plaintext == b"hello"
    with pytest.raises(CryptoError):
        sessions.olm_encrypt(accepted.session.pickle, KEY, b"answer")


def test_the_same_peer_with_an_honest_key_is_answered() -> None:
    sessions, peer = VodozemacSessions(), HandMadePeer()
    account = sessions.olm_new_fallback(sessions.olm_account_new(KEY).pickle, KEY)
    honest = X25519PrivateKey.from_private_bytes(b"\x23" * 32).public_key().public_bytes_raw()
    message = peer.first_message(account.identity_key, account.fallback_key, honest)
    accepted = sessions.olm_accept(account.pickle, KEY, peer.identity_key, message)
    assert not sessions.olm_encrypt(accepted.session.pickle, KEY, b"answer").is_first
