"""Pickles of the session library: under a key each, at sizes that do not tell what is in them.

Owns: the keys derived for them, the frame around the library's text, what stays unpickled. Must not know: what is
pickled, or where it is kept.
Spec: docs/spec/storage.md, "Pickles".
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import Final, Generic, TypeVar

from railgun.crypto.hashing import keyed_hash
from railgun.errors import CryptoError

PICKLE_KEY_BYTES: Final = 32
PICKLE_BLOCK_BYTES: Final = 1_536
PICKLE_BYTES_MAX: Final = 65_536
"""The largest are Olm sessions that keep the keys of 40 messages out of order in each of five chains: about 44 kB."""
NAME_BYTES: Final = 32

Live = TypeVar("Live")


class Recent(Generic[Live]):
    """The live objects used last, by (pickle, pickle key)."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: OrderedDict[tuple[bytes, bytes], Live] = OrderedDict()

    def take(self, key: tuple[bytes, bytes]) -> Live | None:
        """Remove and return."""
        return self._items.pop(key, None)

    def put(self, key: tuple[bytes, bytes], item: Live) -> None:
        """Insert as the newest; the oldest goes where there is no room."""
        self._items[key] = item
        self._items.move_to_end(key)
        while len(self._items) > self._capacity:
            self._items.popitem(last=False)


def pickle_key_for(pickle_key: bytes, kind: bytes, name: bytes) -> bytes:
    """Of one pickle, 32 bytes, secret: the library derives key and initialisation vector from its pickle key alone."""
    if len(pickle_key) != PICKLE_KEY_BYTES:
        raise ValueError("a pickle key has 32 bytes")
    return keyed_hash(pickle_key, "railgun/pickle/v1", kind + b"\0" + name)


def pickled(kind: bytes, name: bytes, text: str) -> bytes:
    """kind, a zero byte, the public name (32 bytes), the library's text, spaces up to a multiple of 1,536 bytes: the
    text's length varies with the secret's digits, and what is stored should not."""
    data = kind + b"\0" + name + text.encode("ascii")
    return data.ljust(-(-len(data) // PICKLE_BLOCK_BYTES) * PICKLE_BLOCK_BYTES)


def unpickled(kind: bytes, pickle: bytes) -> tuple[bytes, str]:
    """Name and text of what `pickled` made. Raises CryptoError."""
    prefix = kind + b"\0"
    if len(pickle) > PICKLE_BYTES_MAX or len(pickle) % PICKLE_BLOCK_BYTES or not pickle.startswith(prefix):
        raise CryptoError
    end = len(prefix) + NAME_BYTES
    try:
        return pickle[len(prefix) : end], pickle[end:].rstrip(b" ").decode("ascii")
    except UnicodeDecodeError as error:
        raise CryptoError from error


def to_base64(data: bytes) -> str:
    """As the library writes keys: without padding."""
    return base64.b64encode(data).decode("ascii").rstrip("=")


def from_base64(text: str) -> bytes:
    """What the library wrote; without padding."""
    return base64.b64decode(text + "=" * (-len(text) % 4))
