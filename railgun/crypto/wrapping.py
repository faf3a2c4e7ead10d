"""Secrets at rest: one random data key, wrapped under a passphrase or a key file, seals everything else.

Owns: the wrapped key's format, Argon2id and its bounds, sealing of single secrets. Must not know: files, tables.
Spec: docs/spec/storage.md. XChaCha20-Poly1305 throughout; random bytes are passed in.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from nacl import bindings
from nacl.exceptions import CryptoError as SodiumError
from nacl.pwhash import argon2id

from railgun.crypto.hashing import keyed_hash
from railgun.errors import CryptoError, MalformedInput, StoreError, UsageError, WrongPassphrase
from railgun.limits import ARGON2_MEMORY_BYTES_MAX, ARGON2_OPERATIONS_MAX
from railgun.wire.schema import Bytes, Codec, Uint

DATA_KEY_BYTES: Final = 32
KEY_FILE_BYTES: Final = 32
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 24
CIPHER_TAG_BYTES: Final = 16
WRAPPED_BYTES_MAX: Final = 256
ARGON2_OPERATIONS_DEFAULT: Final = 3
ARGON2_MEMORY_BYTES_DEFAULT: Final = 64 << 20
_ARGON2_MEMORY_BYTES_MIN: Final = 8 << 10
_WRAP_LABEL: Final = b"railgun/wrap/v1"
_SECRET_LABEL: Final = b"railgun/secret/v1"

SealedKeyField = Annotated[bytes, Bytes(DATA_KEY_BYTES + CIPHER_TAG_BYTES)]


@dataclass(frozen=True)
class PassphraseWrapped:
    """A data key under a passphrase. ``memory_bytes`` and ``operations`` are Argon2id's, bounded when read."""

    salt: Annotated[bytes, Bytes(SALT_BYTES)]
    operations: Annotated[int, Uint(ARGON2_OPERATIONS_MAX)]
    memory_bytes: Annotated[int, Uint(ARGON2_MEMORY_BYTES_MAX)]
    nonce: Annotated[bytes, Bytes(NONCE_BYTES)]
    sealed: SealedKeyField = field(repr=False)

    def __post_init__(self) -> None:
        if self.operations < 1 or self.memory_bytes < _ARGON2_MEMORY_BYTES_MIN:
            raise ValueError("Argon2id takes at least 1 operation and 8 KiB")


@dataclass(frozen=True)
class KeyFileWrapped:
    """A data key under a key file's 32 bytes."""

    nonce: Annotated[bytes, Bytes(NONCE_BYTES)]
    sealed: SealedKeyField = field(repr=False)


Wrapped: TypeAlias = PassphraseWrapped | KeyFileWrapped

_CODEC: Final[Codec[Wrapped]] = Codec({1: PassphraseWrapped, 2: KeyFileWrapped}, bytes_max=WRAPPED_BYTES_MAX)


def wrap_with_passphrase(
    data_key: bytes,
    passphrase: str,
    *,
    salt: bytes,
    nonce: bytes,
    operations: int = ARGON2_OPERATIONS_DEFAULT,
    memory_bytes: int = ARGON2_MEMORY_BYTES_DEFAULT,
) -> bytes:
    """Wrap a data key (32 bytes); at most 256 bytes. ``salt`` is 16, ``nonce`` 24 fresh random bytes.

    Raises:
        UsageError: the passphrase is empty or no text.
        ValueError: a length or an Argon2id parameter is out of range.
    """
    _check_length("data key", data_key, DATA_KEY_BYTES)
    _check_length("salt", salt, SALT_BYTES)
    _check_length("nonce", nonce, NONCE_BYTES)
    if operations > ARGON2_OPERATIONS_MAX or memory_bytes > ARGON2_MEMORY_BYTES_MAX:
        raise ValueError("Argon2id parameters beyond what may be read back")
    unsealed = PassphraseWrapped(salt, operations, memory_bytes, nonce, bytes(DATA_KEY_BYTES + CIPHER_TAG_BYTES))
    sealed = _encrypt(data_key, _WRAP_LABEL, nonce, _passphrase_key(unsealed, passphrase))
    return _CODEC.encode(PassphraseWrapped(salt, operations, memory_bytes, nonce, sealed))


def wrap_with_key_file(data_key: bytes, key_file: bytes, *, nonce: bytes) -> bytes:
    """Wrap a data key (32 bytes) under a key file's content (32 random bytes). ``nonce``: 24 fresh random bytes.

    Raises:
        UsageError: the key file has another length.
        ValueError: data key or nonce has another length.
    """
    _check_length("data key", data_key, DATA_KEY_BYTES)
    _check_length("nonce", nonce, NONCE_BYTES)
    return _CODEC.encode(KeyFileWrapped(nonce, _encrypt(data_key, _WRAP_LABEL, nonce, _key_file_key(key_file))))


def needs_passphrase(wrapped: bytes) -> bool:
    """Whether a wrapped key opens with a passphrase (else with a key file). Raises StoreError if it is damaged."""
    return isinstance(_read(wrapped), PassphraseWrapped)


def unwrap_with_passphrase(wrapped: bytes, passphrase: str) -> bytes:
    """The data key, 32 bytes, secret.

    Raises:
        WrongPassphrase: it does not open, or wants a key file.
        StoreError: damaged, or Argon2id cannot have the memory that it names (1 GiB at most).
        UsageError: the passphrase is empty or no text.
    """
    header = _read(wrapped)
    if not isinstance(header, PassphraseWrapped):
        raise WrongPassphrase("these secrets open with a key file, not with a passphrase")
    return _unwrap(header, _passphrase_key(header, passphrase), "wrong passphrase")


def unwrap_with_key_file(wrapped: bytes, key_file: bytes) -> bytes:
    """The data key, 32 bytes, secret.

    Raises:
        WrongPassphrase: it does not open, or wants a passphrase.
        StoreError: damaged.
        UsageError: the key file has another length than 32 bytes.
    """
    header = _read(wrapped)
    if not isinstance(header, KeyFileWrapped):
        raise WrongPassphrase("these secrets open with a passphrase, not with a key file")
    return _unwrap(header, _key_file_key(key_file), "wrong key file")


def subkey(data_key: bytes, purpose: str) -> bytes:
    """A key of its own for one purpose (ASCII), 32 bytes, secret: such as the pickle key of `Sessions`."""
    _check_length("data key", data_key, DATA_KEY_BYTES)
    return keyed_hash(data_key, "railgun/subkey/v1", purpose.encode("ascii"))


def seal_secret(data_key: bytes, context: str, plaintext: bytes, nonce: bytes) -> bytes:
    """Seal one secret: 40 bytes longer than ``plaintext``, the nonce first.

    ``context`` says what and whose it is, so that sealed values cannot be swapped; ``nonce``: 24 fresh random bytes.
    """
    _check_length("data key", data_key, DATA_KEY_BYTES)
    _check_length("nonce", nonce, NONCE_BYTES)
    return nonce + _encrypt(plaintext, _secret_data(context), nonce, data_key)


def open_secret(data_key: bytes, context: str, sealed: bytes) -> bytes:
    """The plaintext that `seal_secret` sealed under this context. Raises CryptoError for anything else."""
    _check_length("data key", data_key, DATA_KEY_BYTES)
    if len(sealed) < NONCE_BYTES + CIPHER_TAG_BYTES:
        raise CryptoError
    return _decrypt(sealed[NONCE_BYTES:], _secret_data(context), sealed[:NONCE_BYTES], data_key)


def _read(wrapped: bytes) -> Wrapped:
    try:
        return _CODEC.decode(wrapped)
    except MalformedInput as error:
        raise StoreError("the wrapped key is damaged, or not one of ours") from error


def _unwrap(header: Wrapped, key: bytes, refusal: str) -> bytes:
    try:
        return _decrypt(header.sealed, _WRAP_LABEL, header.nonce, key)
    except CryptoError as error:
        raise WrongPassphrase(refusal) from error


def _passphrase_key(header: PassphraseWrapped, passphrase: str) -> bytes:
    if not passphrase:
        raise UsageError("the passphrase is empty")
    try:
        # One passphrase may reach us composed or decomposed, as the keyboard likes.
        password = unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError as error:
        raise UsageError("the passphrase is not valid text") from error
    try:
        return argon2id.kdf(DATA_KEY_BYTES, password, header.salt, header.operations, header.memory_bytes)
    except (RuntimeError, MemoryError) as error:
        raise StoreError(f"Argon2id cannot have {header.memory_bytes >> 20} MiB of memory") from error


def _key_file_key(key_file: bytes) -> bytes:
    if len(key_file) != KEY_FILE_BYTES:
        raise UsageError(f"a key file holds exactly {KEY_FILE_BYTES} bytes, this one {len(key_file)}")
    return keyed_hash(key_file, "railgun/key-file/v1", b"")


def _secret_data(context: str) -> bytes:
    return _SECRET_LABEL + b"\0" + context.encode()


def _encrypt(plaintext: bytes, associated: bytes, nonce: bytes, key: bytes) -> bytes:
    return bytes(bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key))


def _decrypt(sealed: bytes, associated: bytes, nonce: bytes, key: bytes) -> bytes:
    try:
        return bytes(bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, associated, nonce, key))
    except SodiumError as error:
        raise CryptoError from error


def _check_length(name: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise ValueError(f"a {name} has {length} bytes")
