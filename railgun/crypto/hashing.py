"""H and the one form that every signature takes.

Owns: BLAKE2b with labels. Must not know: what is hashed.
Spec: docs/spec/encoding.md. H(k, L, x) is BLAKE2b-256 with key k over ASCII L, a zero byte, x.
"""

from __future__ import annotations

import hashlib
import struct

HASH_BYTES = 32


def keyed_hash(key: bytes | None, label: str, data: bytes) -> bytes:
    """H(key, label, data), 32 bytes; ``key`` is None for none, else 1 to 64 bytes."""
    return hashlib.blake2b(label.encode("ascii") + b"\0" + data, key=key or b"", digest_size=HASH_BYTES).digest()


def content_hash(data: bytes) -> bytes:
    """BLAKE2b-256 of ``data`` without key or label: what signatures cover."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()


def content_hasher() -> hashlib.blake2b:
    """`content_hash` of what comes piece by piece: ``update`` each, then ``digest``."""
    return hashlib.blake2b(digest_size=HASH_BYTES)


def u32(value: int) -> bytes:
    """Big-endian, 4 bytes. Raises struct.error outside 0 to 2^32 - 1."""
    return struct.pack(">I", value)
