"""The session library with secrets that are given to it, through its own pickles: then it writes the same each time.

Its format: AES-256-CBC and HMAC-SHA-256 cut to 8 bytes over JSON, keys by HKDF from the pickle key. Nothing else here
knows that format.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from railgun.crypto.pickles import pickle_key_for, pickled, unpickled

PICKLE_KEY = b"\x0b" * 32
MAC_BYTES = 8
CONFIG = {"version": "V1"}
State = dict[str, Any]


def derive(secret: bytes, info: str, length: int, salt: bytes | None = None) -> bytes:
    """HKDF-SHA-256."""
    return HKDF(hashes.SHA256(), length, salt, info.encode()).derive(secret)


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, data, "sha256")


def public(secret: bytes) -> bytes:
    """The public half of a Curve25519 secret."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def agree(secret: bytes, public_key: bytes) -> bytes:
    """X25519."""
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public_key))


def encrypt_cbc(keys: bytes, padded: bytes) -> bytes:
    """AES-256-CBC without padding, of keys laid out as the library derives them: AES (32), MAC (32), IV (16)."""
    cipher = Cipher(algorithms.AES(keys[:32]), modes.CBC(keys[64:80])).encryptor()
    return cipher.update(padded) + cipher.finalize()


def pad(plaintext: bytes) -> bytes:
    """PKCS #7."""
    padder = padding.PKCS7(128).padder()
    return padder.update(plaintext) + padder.finalize()


def freeze(kind: bytes, name: bytes, state: State) -> bytes:
    """A pickle as `railgun.crypto.sessions` takes it, under `PICKLE_KEY`, of the library's own state."""
    keys = derive(pickle_key_for(PICKLE_KEY, kind, name), "Pickle", 80)
    sealed = encrypt_cbc(keys, pad(json.dumps(state).encode()))
    sealed += mac(keys[32:64], sealed)[:MAC_BYTES]
    return pickled(kind, name, base64.b64encode(sealed).decode().rstrip("="))


def thaw(kind: bytes, pickle: bytes) -> State:
    """The reverse of `freeze`."""
    name, text = unpickled(kind, pickle)
    sealed = base64.b64decode(text + "=" * (-len(text) % 4))
    keys = derive(pickle_key_for(PICKLE_KEY, kind, name), "Pickle", 80)
    cipher = Cipher(algorithms.AES(keys[:32]), modes.CBC(keys[64:80])).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    padded = cipher.update(sealed[:-MAC_BYTES]) + cipher.finalize()
    state: State = json.loads(unpadder.update(padded) + unpadder.finalize())
    return state


def account_pickle(identity_secret: bytes, fallback_secrets: tuple[bytes, ...]) -> bytes:
    """An account with these secrets, the newest fallback secret first."""
    keys: list[State | None] = [
        {"key_id": number, "key": list(secret), "published": False} for number, secret in enumerate(fallback_secrets)
    ]
    keys += [None] * (2 - len(keys))
    state = {
        "signing_key": {"Normal": list(bytes(32))},
        "diffie_hellman_key": list(identity_secret),
        "one_time_keys": {"next_key_id": 0, "public_keys": {}, "private_keys": {}},
        "fallback_keys": {"key_id": 2, "fallback_key": keys[0], "previous_fallback_key": keys[1]},
    }
    return freeze(b"olm-account", public(identity_secret), state)


def active_sender(root: bytes, ratchet_secret: bytes, chain: bytes) -> State:
    """The sending half of a session that has just taken its turn."""
    return {
        "type": "active",
        "parent_ratchet_key": None,
        "ratchet_count": {"Known": 0},
        "active_ratchet": {"root_key": list(root), "ratchet_key": list(ratchet_secret)},
        "symmetric_key_ratchet": {"key": list(chain), "index": 0},
    }


def group_pickle(seed: bytes, parts: bytes, index: int, public_key: bytes) -> bytes:
    """A sender's group session that stands at this index."""
    state = {
        "ratchet": {"inner": list(parts), "counter": index},
        "signing_key": {"Normal": list(seed)},
        "config": CONFIG,
    }
    return freeze(b"megolm-out", public_key, state)
