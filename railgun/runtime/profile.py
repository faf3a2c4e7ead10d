"""A profile: the directory that holds everything one member or relay keeps.

Owns: the directory's layout, its creation as one step, its lock, the way from a passphrase or key file to the
open store.
Must not know: what the store holds, where a passphrase was asked for.
Spec: docs/spec/storage.md.

::

    profile.toml    public facts: format, kind
    secrets         the data key, wrapped under a passphrase or a key file
    device.key      32 random bytes, where neither was given: who can read the directory can read everything
    store.sqlite    everything else, sealed under the data key
    lock            held by the process that has the profile open

All of it is private to its owner (directory 0700, files 0600), and refused otherwise.
"""

from __future__ import annotations

import enum
import os
import tomllib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from railgun.crypto import wrapping
from railgun.errors import StoreError, UsageError, WrongPassphrase
from railgun.limits import PROFILE_FILE_BYTES_MAX
from railgun.ports import Entropy, Write
from railgun.storage.files import (
    check_private,
    explained,
    read_private_file,
    sync_directory,
    write_private_file,
)
from railgun.storage.new_directory import check_free, new_directory
from railgun.storage.process_lock import ProcessLock
from railgun.storage.sqlite_store import SqliteStore

PROFILE_FORMAT: Final = 1
FACTS_NAME: Final = "profile.toml"
SECRETS_NAME: Final = "secrets"
DEVICE_KEY_NAME: Final = "device.key"
STORE_NAME: Final = "store.sqlite"
LOCK_NAME: Final = "lock"


class ProfileKind(enum.StrEnum):
    """Whose profile it is."""

    MEMBER = "member"
    RELAY = "relay"


class Unlock(enum.StrEnum):
    """What opens a profile. ``DEVICE_KEY`` lies in the profile itself and needs nothing from the caller."""

    PASSPHRASE = "passphrase"  # noqa: S105 - a name
    KEY_FILE = "key file"
    DEVICE_KEY = "device key"


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """What can be known of a profile without opening it."""

    kind: ProfileKind
    unlock: Unlock


class Profile:
    """An open profile: its store, and keys derived from its data key. Made by `open_profile`; a context manager."""

    def __init__(self, path: Path, kind: ProfileKind, store: SqliteStore, data_key: bytes, lock: ProcessLock) -> None:
        self.path = path
        self.kind = kind
        self.store = store
        self._data_key = data_key
        self._lock = lock

    def __repr__(self) -> str:
        return f"Profile({str(self.path)!r}, {self.kind.value}, data_key=<redacted>)"

    def subkey(self, purpose: str) -> bytes:
        """A key for one purpose (ASCII), 32 bytes, secret, the same at each opening."""
        return wrapping.subkey(self._data_key, purpose)

    def close(self) -> None:
        """Close the store, then let another process in. Idempotent. Raises StoreError."""
        try:
            self.store.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Profile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def create_profile(
    path: Path,
    kind: ProfileKind,
    entropy: Entropy,
    *,
    passphrase: str | None = None,
    key_file: Path | None = None,
    initial_writes: Sequence[Write] = (),
) -> None:
    """Make a new profile with ``initial_writes`` in its store; a crash at any moment leaves all of it or nothing.

    With neither ``passphrase`` nor ``key_file`` (32 random bytes, see `create_key_file`) a device key is put inside.

    Raises:
        UsageError: something is there already, both were given, or the passphrase or key file is unfit.
        StoreError: the disk refused; the key file is open to others.
    """
    path = path.absolute()
    _check_one_of(passphrase, key_file)
    check_no_profile(path)
    data_key = entropy.random_bytes(wrapping.DATA_KEY_BYTES)
    nonce = entropy.random_bytes(wrapping.NONCE_BYTES)
    device_key: bytes | None = None
    if passphrase is not None:
        salt = entropy.random_bytes(wrapping.SALT_BYTES)
        wrapped = wrapping.wrap_with_passphrase(data_key, passphrase, salt=salt, nonce=nonce)
    elif key_file is not None:
        wrapped = wrapping.wrap_with_key_file(data_key, _read_key_file(key_file), nonce=nonce)
    else:
        device_key = entropy.random_bytes(wrapping.KEY_FILE_BYTES)
        wrapped = wrapping.wrap_with_key_file(data_key, device_key, nonce=nonce)
    with explained(path, makes=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_directory(path, entropy) as staging:
            write_private_file(staging / FACTS_NAME, facts_content(kind))
            write_private_file(staging / SECRETS_NAME, wrapped)
            if device_key is not None:
                write_private_file(staging / DEVICE_KEY_NAME, device_key)
            write_private_file(staging / LOCK_NAME, b"")
            store = SqliteStore(staging / STORE_NAME, data_key, entropy)
            try:
                store.commit(initial_writes)
            finally:
                store.close()


def facts_content(kind: ProfileKind) -> bytes:
    """What ``profile.toml`` says."""
    return f'format = {PROFILE_FORMAT}\nkind = "{kind.value}"\n'.encode("ascii")


def check_no_profile(path: Path) -> None:
    """Raise UsageError unless a new profile can be put at ``path``; StoreError."""
    if os.path.lexists(path / FACTS_NAME):
        raise UsageError(f"there is a profile at {path} already: use it, or give another path")
    check_free(path)


def create_key_file(path: Path, entropy: Entropy) -> None:
    """Write a new key file: 32 random bytes, mode 0600.

    Raises:
        UsageError: there is a file already.
        StoreError: the disk refused.
    """
    path = path.absolute()
    with explained(path, makes=True):
        try:
            write_private_file(path, entropy.random_bytes(wrapping.KEY_FILE_BYTES))
        except FileExistsError as error:
            raise UsageError(f"{path} exists already: give another path") from error
        sync_directory(path.parent)


def read_profile_facts(path: Path) -> ProfileFacts:
    """What a caller has to ask for before `open_profile`. Raises as that does, but takes no lock."""
    path = path.absolute()
    _check_present(path)
    with explained(path):
        return ProfileFacts(_read_kind(path), _unlock_of(path, _read_secrets(path)))


def open_profile(
    path: Path, entropy: Entropy, *, passphrase: str | None = None, key_file: Path | None = None
) -> Profile:
    """Open a profile for this process alone, until its `close`.

    Raises:
        UsageError: there is none, another process has it (the text names its pid), or what opens it was not given.
        WrongPassphrase: passphrase or key file do not open it.
        StoreError: damaged, newer than this code, open to others (the text names the chmod to run), disk refused.
    """
    path = path.absolute()
    _check_one_of(passphrase, key_file)
    _check_present(path)
    with explained(path), ExitStack() as undo:
        for name in (SECRETS_NAME, STORE_NAME):
            check_private(path / name)
        lock = ProcessLock(path / LOCK_NAME, f"profile {path}")
        undo.callback(lock.release)
        kind = _read_kind(path)
        data_key = _unwrap(path, _read_secrets(path), passphrase, key_file)
        store = SqliteStore(path / STORE_NAME, data_key, entropy, create=False)
        undo.pop_all()
        return Profile(path, kind, store, data_key, lock)


def _unwrap(path: Path, wrapped: bytes, passphrase: str | None, key_file: Path | None) -> bytes:
    unlock = _unlock_of(path, wrapped)
    try:
        if unlock is Unlock.PASSPHRASE:
            if passphrase is None:
                raise UsageError(f"profile {path} needs its passphrase")
            return wrapping.unwrap_with_passphrase(wrapped, passphrase)
        if passphrase is not None:
            raise UsageError(f"profile {path} opens with a {unlock.value}, not with a passphrase")
        if key_file is not None:
            return wrapping.unwrap_with_key_file(wrapped, _read_key_file(key_file))
        if unlock is Unlock.KEY_FILE:
            raise UsageError(f"profile {path} needs its key file")
        return wrapping.unwrap_with_key_file(wrapped, _read_key_file(path / DEVICE_KEY_NAME, follow_links=False))
    except WrongPassphrase as error:
        raise WrongPassphrase(f"profile {path}: {error}: try again with the one it was created with") from error


def _unlock_of(path: Path, wrapped: bytes) -> Unlock:
    if wrapping.needs_passphrase(wrapped):
        return Unlock.PASSPHRASE
    return Unlock.DEVICE_KEY if os.path.lexists(path / DEVICE_KEY_NAME) else Unlock.KEY_FILE


def _read_secrets(path: Path) -> bytes:
    wrapped = read_private_file(path / SECRETS_NAME, bytes_max=PROFILE_FILE_BYTES_MAX)
    try:
        wrapping.needs_passphrase(wrapped)
    except StoreError as error:
        raise StoreError(f"{path / SECRETS_NAME} is damaged: restore the profile from a backup") from error
    return wrapped


def _read_key_file(path: Path, *, follow_links: bool = True) -> bytes:
    try:
        return read_private_file(path, bytes_max=PROFILE_FILE_BYTES_MAX, follow_links=follow_links)
    except FileNotFoundError as error:
        raise UsageError(f"there is no key file {path}") from error


def _read_kind(path: Path) -> ProfileKind:
    content = read_private_file(path / FACTS_NAME, bytes_max=PROFILE_FILE_BYTES_MAX)
    damaged = StoreError(f"{path / FACTS_NAME} is damaged: restore the profile from a backup")
    try:
        facts = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or a number of thousands of digits
        raise damaged from error
    version = facts.get("format")
    if type(version) is not int or version < 1:
        raise damaged
    if version > PROFILE_FORMAT:
        raise StoreError(f"profile {path} was made by a newer Rail Gun (format {version}): upgrade railgun")
    if facts.keys() != {"format", "kind"} or facts["kind"] not in list(ProfileKind):
        raise damaged
    return ProfileKind(facts["kind"])


def _check_one_of(passphrase: str | None, key_file: Path | None) -> None:
    if passphrase is not None and key_file is not None:
        raise UsageError("give a passphrase or a key file, not both")


def _check_present(path: Path) -> None:
    if not os.path.lexists(path / FACTS_NAME):
        raise UsageError(f"there is no profile at {path}: create one with railgun init, or give another path")
    with explained(path):
        check_private(path, is_directory=True)
