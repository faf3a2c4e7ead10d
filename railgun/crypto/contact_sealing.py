"""A member's contact as it lies in the DHT: sealed under K_e, all of one length.

Owns: the cipher and the padding. Must not know: what a contact says, the records around it.

Spec: docs/spec/dht.md, sealed contacts.
"""

from __future__ import annotations

from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import keyed_hash
from railgun.errors import CryptoError

CONTACT_KEY_LABEL: Final = "railgun/contact/v1"
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
CONTACT_BYTES_MAX: Final = 700
SEALED_CONTACT_BYTES: Final = NONCE_BYTES + 2 + CONTACT_BYTES_MAX + TAG_BYTES


def seal_contact(keys: EpochKeys, contact: bytes, nonce: bytes) -> bytes:
    """730 bytes, whatever ``contact`` says (at most 700 bytes). ``nonce`` is 12 random bytes, never used twice.

    Raises ValueError where either has another length.
    """
    if len(contact) > CONTACT_BYTES_MAX or len(nonce) != NONCE_BYTES:
        raise ValueError(f"a contact has at most {CONTACT_BYTES_MAX} bytes, a nonce {NONCE_BYTES}")
    padded = len(contact).to_bytes(2, "big") + contact + bytes(CONTACT_BYTES_MAX - len(contact))
    return nonce + bindings.crypto_aead_chacha20poly1305_ietf_encrypt(padded, keys.tag, nonce, _key(keys))


def open_contact(keys: EpochKeys, sealed: bytes) -> bytes:
    """What `seal_contact` sealed under the same epoch's keys. Raises CryptoError."""
    if len(sealed) != SEALED_CONTACT_BYTES:
        raise CryptoError
    nonce, box = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        padded: bytes = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(box, keys.tag, nonce, _key(keys))
    except SodiumError as error:
        raise CryptoError from error
    length = int.from_bytes(padded[:2], "big")
    if length > CONTACT_BYTES_MAX or any(padded[2 + length :]):
        raise CryptoError
    return padded[2 : 2 + length]


def _key(keys: EpochKeys) -> bytes:
    return keyed_hash(keys.header_key, CONTACT_KEY_LABEL, keys.tag)
