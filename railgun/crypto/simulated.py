"""What the simulator's stand-ins for ciphers are made of. NEVER for real traffic: keystreams repeat.

Owns: fake ciphers, tags, names, a seeded source. Must not know: what they stand in for.
"""

from __future__ import annotations

import hashlib
from typing import Final

from railgun.crypto.hashing import HASH_BYTES, keyed_hash

STREAM_BLOCK_BYTES: Final = 64


class Draws:
    """Values in place of randomness: the n-th one drawn of a seed."""

    def __init__(self, seed: bytes) -> None:
        self._seed = hashlib.blake2b(seed, digest_size=HASH_BYTES).digest()
        self._drawn = 0

    def draw(self, purpose: bytes) -> bytes:
        """32 bytes."""
        self._drawn += 1
        return keyed_hash(self._seed, "railgun/simulated-entropy/v1", purpose + self._drawn.to_bytes(8, "big"))


def session_id(secret: bytes) -> bytes:
    """The public name, 32 bytes, of a fake session."""
    return keyed_hash(secret, "railgun/simulated-session/v1", b"")


def xor(data: bytes, key: bytes, nonce: bytes) -> bytes:
    """A fake cipher, both ways."""
    stream = stretch(hashlib.blake2b(nonce, key=key, digest_size=STREAM_BLOCK_BYTES).digest(), len(data))
    return (int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")).to_bytes(len(data), "little")


def stretch(block: bytes, length: int) -> bytes:
    """``block`` again and again."""
    return (block * (length // len(block) + 1))[:length]


def tag(key: bytes, data: bytes, length: int) -> bytes:
    """A fake authentication code of ``length`` bytes."""
    return stretch(hashlib.blake2b(data, key=key, digest_size=STREAM_BLOCK_BYTES).digest(), length)


def varint(value: int) -> bytes:
    """Base 128, the lowest digit first."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """The value at ``offset`` and the offset behind it. The data is tagged, hence ours and well formed."""
    value = shift = 0
    while data[offset] >= 0x80:
        value |= (data[offset] & 0x7F) << shift
        shift += 7
        offset += 1
    return value | data[offset] << shift, offset + 1
