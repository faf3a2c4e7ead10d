"""Sealing of single values at rest.

Owns: the cipher around a stored value, one key a table. Must not know: SQL, files, what a value means.

A sealed value is a random nonce (24 bytes) and XChaCha20-Poly1305 of the value. The associated data names table and
key, so that a value moved to another place does not open. What this cannot show: that a value, or the whole file, was
put back to an older state.
"""

from __future__ import annotations

from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError

from railgun.crypto.hashing import keyed_hash
from railgun.errors import CryptoError
from railgun.ports import Entropy

DATA_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
STORE_LABEL: Final = "railgun/store/v1"


class RecordSealer:
    """Seals and opens values under keys derived from one data key.

    ``data_key`` has 32 bytes. Raises ValueError otherwise.
    """

    def __init__(self, data_key: bytes, entropy: Entropy) -> None:
        if len(data_key) != DATA_KEY_BYTES:
            raise ValueError(f"a data key has {DATA_KEY_BYTES} bytes")
        self._data_key = data_key
        self._entropy = entropy
        self._table_keys: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return "RecordSealer(data_key=<redacted>)"

    def seal(self, table: str, key: bytes, value: bytes) -> bytes:
        """``value`` sealed for this place: 40 bytes longer."""
        nonce = self._entropy.random_bytes(NONCE_BYTES)
        return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
            value, _place(table, key), nonce, self._table_key(table)
        )

    def open(self, table: str, key: bytes, sealed: bytes) -> bytes:
        """What was sealed for this place.

        Raises:
            CryptoError: another key, another place, or altered bytes.
        """
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise CryptoError
        try:
            return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed[NONCE_BYTES:], _place(table, key), sealed[:NONCE_BYTES], self._table_key(table)
            )
        except SodiumError as error:
            raise CryptoError from error

    def _table_key(self, table: str) -> bytes:
        """The key of ``table``; the names are a closed set, so the cache is bounded."""
        key = self._table_keys.get(table)
        if key is None:
            key = self._table_keys[table] = keyed_hash(self._data_key, STORE_LABEL, table.encode("ascii"))
        return key


def _place(table: str, key: bytes) -> bytes:
    return table.encode("ascii") + b"\0" + key
