"""The one file that a backup is: sealed under a passphrase of its own, written and read piece by piece.

Owns: the format, finding whatever was altered, cut off or added. Must not know: profiles, where files are.

::

    "railgun backup 1\\n"
    length (2 bytes, big-endian), a random key wrapped under the passphrase
    pieces: length (4 bytes, big-endian), nonce and XChaCha20-Poly1305; the first one is the manifest, the others are
    the store's bytes in order

A piece's number, and whether it is the last, is part of what seals it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Annotated, Final

from railgun.crypto import wrapping
from railgun.errors import CryptoError, MalformedInput, StoreError, WrongPassphrase
from railgun.limits import BACKUP_CHUNK_BYTES, BACKUP_STORE_BYTES_MAX
from railgun.ports import Entropy
from railgun.wire.schema import Bytes, Codec, Text, Uint

MAGIC: Final = b"railgun backup 1\n"
MANIFEST_BYTES_MAX: Final = 512
_SEAL_BYTES: Final = wrapping.NONCE_BYTES + wrapping.CIPHER_TAG_BYTES


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds besides the store.

    Attributes:
        kind: whose profile it is.
        secrets: the profile's data key, wrapped as the profile has it.
        device_key: what opens ``secrets`` where nothing else does, secret; empty where something else does.
        store_bytes: how long the store is.
    """

    kind: Annotated[str, Text(16, 1)]
    secrets: Annotated[bytes, Bytes(1, wrapping.WRAPPED_BYTES_MAX)] = field(repr=False)
    device_key: Annotated[bytes, Bytes(0, wrapping.KEY_FILE_BYTES)] = field(repr=False)
    store_bytes: Annotated[int, Uint(BACKUP_STORE_BYTES_MAX)]


_MANIFESTS: Final[Codec[Manifest]] = Codec({1: Manifest}, bytes_max=MANIFEST_BYTES_MAX)


def write_backup(
    file: IO[bytes],
    passphrase: str,
    manifest: Manifest,
    store: IO[bytes],
    entropy: Entropy,
    memory_bytes: int = wrapping.ARGON2_MEMORY_BYTES_DEFAULT,
) -> None:
    """Write a backup. ``store`` gives exactly the bytes that the manifest names; ``memory_bytes`` is Argon2id's.

    Raises:
        UsageError: the passphrase is empty or no text.
        StoreError: ``store`` has another length.
        OSError: a file refused.
    """
    key = entropy.random_bytes(wrapping.DATA_KEY_BYTES)
    salt, nonce = entropy.random_bytes(wrapping.SALT_BYTES), entropy.random_bytes(wrapping.NONCE_BYTES)
    wrapped = wrapping.wrap_with_passphrase(key, passphrase, salt=salt, nonce=nonce, memory_bytes=memory_bytes)
    file.write(MAGIC + len(wrapped).to_bytes(2, "big") + wrapped)

    def put(number: int, plaintext: bytes, *, is_last: bool) -> None:
        sealed_nonce = entropy.random_bytes(wrapping.NONCE_BYTES)
        sealed = wrapping.seal_secret(key, _place(number, is_last=is_last), plaintext, sealed_nonce)
        file.write(len(sealed).to_bytes(4, "big") + sealed)

    left = manifest.store_bytes
    put(0, _MANIFESTS.encode(manifest), is_last=left == 0)
    number = 0
    while left > 0:
        piece = store.read(min(left, BACKUP_CHUNK_BYTES))
        if not piece:
            raise StoreError("the store became shorter while it was copied: try again")
        left -= len(piece)
        number += 1
        put(number, piece, is_last=left == 0)


class BackupReader:
    """Reads what `write_backup` wrote. ``file`` is hostile until a piece has opened.

    Raises:
        WrongPassphrase: the passphrase does not open it, or its head was altered.
        StoreError: it is no backup, a newer one, damaged, altered or cut off.
        UsageError: the passphrase is empty or no text.
        OSError: the file refused.
    """

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        self._file = file
        if file.read(len(MAGIC)) != MAGIC:
            raise StoreError("this is no backup of Rail Gun, or one that a newer version made")
        length = int.from_bytes(self._exactly(2), "big")
        if length > wrapping.WRAPPED_BYTES_MAX:
            raise _damaged()
        wrapped = self._exactly(length)
        try:
            is_ours = wrapping.needs_passphrase(wrapped)
        except StoreError as error:
            raise _damaged() from error
        if not is_ours:
            raise _damaged()
        try:
            self._key = wrapping.unwrap_with_passphrase(wrapped, passphrase)
        except WrongPassphrase as error:
            raise WrongPassphrase("wrong passphrase, or the file was altered") from error
        try:
            content = self._piece(0, MANIFEST_BYTES_MAX, is_last=False)
            self.manifest = _MANIFESTS.decode(content)
        except MalformedInput as error:
            raise _damaged() from error

    def __repr__(self) -> str:
        return "BackupReader(<redacted>)"

    def store_pieces(self) -> Iterator[bytes]:
        """The store, at most BACKUP_CHUNK_BYTES at a time. Raises as the class, also after the last piece."""
        left = self.manifest.store_bytes
        number = 0
        while left > 0:
            number += 1
            wanted = min(left, BACKUP_CHUNK_BYTES)
            piece = self._piece(number, wanted, is_last=left == wanted)
            if len(piece) != wanted:
                raise _damaged()
            left -= wanted
            yield piece
        if self._file.read(1):
            raise _damaged()

    def _piece(self, number: int, bytes_max: int, *, is_last: bool) -> bytes:
        length = int.from_bytes(self._exactly(4), "big")
        if not _SEAL_BYTES <= length <= bytes_max + _SEAL_BYTES:
            raise _damaged()
        try:
            return wrapping.open_secret(self._key, _place(number, is_last=is_last), self._exactly(length))
        except CryptoError as error:
            raise _damaged() from error

    def _exactly(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) != count:
            raise StoreError("the backup is cut off: take another copy of it")
        return content


def _place(number: int, *, is_last: bool) -> str:
    return f"backup/{number}/{'last' if is_last else 'more'}"


def _damaged() -> StoreError:
    return StoreError("the backup is damaged or was altered: take another copy of it")
