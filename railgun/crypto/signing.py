"""Ed25519 in the one form that every signature takes.

Owns: signing and checking label || 0x00 || BLAKE2b-256(content). Must not know: what is signed.
Spec: docs/spec/encoding.md. Ed25519 libraries disagree on hostile inputs (identity keys, torsion), and what is
gossiped must be judged alike by all: only libsodium signs and verifies here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

from railgun.crypto.hashing import HASH_BYTES, content_hash

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNING_KEY_BYTES = 64
SIGNATURE_BYTES = 64


def public_key_of(seed: bytes) -> bytes:
    """The Ed25519 public key, 32 bytes, of a 32-byte seed. Raises ValueError for another length."""
    return signing_key_of(seed)[SEED_BYTES:]


def signing_key_of(seed: bytes) -> bytes:
    """Seed || public key, 64 bytes: what `sign_digest` takes, so that hot paths expand a seed once.

    Raises ValueError unless the seed has 32 bytes.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError("a signing seed has 32 bytes")
    _, secret = bindings.crypto_sign_seed_keypair(seed)
    return bytes(secret)


def sign(seed: bytes, label: str, content: bytes) -> bytes:
    """Signature, 64 bytes, by the key of a 32-byte seed over ``content`` under ``label`` (ASCII)."""
    return sign_digest(signing_key_of(seed), label, content_hash(content))


def verify(public_key: bytes, label: str, content: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is one by ``public_key`` over ``content`` under ``label``.

    Wrong lengths are False, not an error: both come from peers.
    """
    return verify_digest(public_key, label, content_hash(content), signature)


def sign_digest(signing_key: bytes, label: str, digest: bytes) -> bytes:
    """As `sign`, for a key from `signing_key_of` (64 bytes) and content that is hashed already (32 bytes)."""
    if len(signing_key) != SIGNING_KEY_BYTES:
        raise ValueError("a signing key has 64 bytes")
    if len(digest) != HASH_BYTES:
        raise ValueError("a digest has 32 bytes")
    signature = bytes(bindings.crypto_sign(_statement(label, digest), signing_key)[:SIGNATURE_BYTES])
    known = _KNOWN.get()
    if known is not None:
        known.note(signing_key[SEED_BYTES:], label, digest, signature)
    return signature


def verify_digest(public_key: bytes, label: str, digest: bytes, signature: bytes) -> bool:
    """As `verify`, for content that is hashed already (32 bytes)."""
    known = _KNOWN.get()
    if known is None:
        return _verifies(public_key, label, digest, signature)
    return known.verifies(public_key, label, digest, signature)


def _verifies(public_key: bytes, label: str, digest: bytes, signature: bytes) -> bool:
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES or len(digest) != HASH_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + _statement(label, digest), public_key)
    except BadSignatureError:
        return False
    return True


class _KnownSignatures:
    """What is known of signatures that were made or looked at lately, good and bad alike."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[tuple[bytes, str, bytes, bytes], bool] = {}

    def __len__(self) -> int:
        return len(self._found)

    def verifies(self, public_key: bytes, label: str, digest: bytes, signature: bytes) -> bool:
        key = (public_key, label, digest, signature)
        found = self._found.get(key)
        if found is None:
            found = _verifies(*key)
            self._keep(key, found)
        return found

    def note(self, public_key: bytes, label: str, digest: bytes, signature: bytes) -> None:
        """One that was made just now is good: nobody has to look at it again."""
        key = (public_key, label, digest, signature)
        if key not in self._found:
            self._keep(key, True)

    def _keep(self, key: tuple[bytes, str, bytes, bytes], found: bool) -> None:
        if len(self._found) >= self._most:
            del self._found[next(iter(self._found))]
        self._found[key] = found


_KNOWN: Final[ContextVar[_KnownSignatures | None]] = ContextVar("railgun_known_signatures", default=None)


@contextmanager
def signatures_remembered(most: int) -> Iterator[None]:
    """While this holds, in this context, a signature that was made here or verified already is not verified again.

    For simulations: there hundreds of nodes in one process check one and the same signature, each for itself. The same
    key, label, digest and signature give the same answer, and what a signing key made its public half accepts, so
    nothing that a node decides differs. At most ``most`` are
    remembered; the oldest goes first. A node of its own has its own ways not to look twice, and no use for this.
    """
    token = _KNOWN.set(_KnownSignatures(most))
    try:
        yield
    finally:
        _KNOWN.reset(token)


def _statement(label: str, digest: bytes) -> bytes:
    return label.encode("ascii") + b"\0" + digest
