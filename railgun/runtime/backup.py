"""A profile in one encrypted file, and back.

Owns: what goes into a backup, and what must be given up when one is restored. Must not know: the file's format, where
passphrases come from.

A backup is of one moment; the original goes on. Whoever is restored from it gives up every session that it sends with:
an index or a ratchet's key must not serve twice.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from railgun.core.group_sessions import OUTBOUND, retired_writes
from railgun.crypto import wrapping
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import MalformedInput, StoreError, UsageError, WrongPassphrase
from railgun.limits import BACKUP_STORE_BYTES_MAX, PROFILE_FILE_BYTES_MAX
from railgun.ports import Clock, Entropy, Store, Write
from railgun.runtime.backup_file import BackupReader, Manifest, write_backup
from railgun.runtime.identity import SEED_BYTES, load_identity
from railgun.runtime.prekeys import account_write, prekeys_write, with_new_prekey
from railgun.runtime.profile import (
    DEVICE_KEY_NAME,
    FACTS_NAME,
    LOCK_NAME,
    SECRETS_NAME,
    STORE_NAME,
    ProfileFacts,
    ProfileKind,
    Unlock,
    check_no_profile,
    facts_content,
    open_profile,
    read_profile_facts,
)
from railgun.storage.files import (
    PRIVATE_DIRECTORY_MODE,
    PRIVATE_FILE_MODE,
    explained,
    open_regular,
    read_private_file,
    sync_directory,
    write_private_file,
)
from railgun.storage.new_directory import new_directory
from railgun.storage.process_lock import ProcessLock
from railgun.storage.snapshot import copy_store

_WORKING_NAME: Final = ".backup"
_WORKING_LOCK_NAME: Final = ".backup.lock"


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was written: whose, and how long the file is."""

    facts: ProfileFacts
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Restored:
    """``sessions_retired``: how many that the profile sent with are given up."""

    facts: ProfileFacts
    sessions_retired: int


def backup_profile(profile: Path, target: Path, passphrase: str, entropy: Entropy) -> BackedUp:
    """Write all of a profile into the new file ``target``; the profile may be in use meanwhile, and stays closed.

    Raises:
        UsageError: there is no profile, ``target`` exists, or the passphrase is empty or no text.
        StoreError: the profile is damaged, or the disk refused; no file is left behind.
    """
    profile, target = profile.absolute(), target.absolute()
    facts = read_profile_facts(profile)
    with explained(profile):
        secrets = read_private_file(profile / SECRETS_NAME, bytes_max=PROFILE_FILE_BYTES_MAX)
        device_key = b""
        if facts.unlock is Unlock.DEVICE_KEY:
            device_key = read_private_file(profile / DEVICE_KEY_NAME, bytes_max=wrapping.KEY_FILE_BYTES)
        with _working_directory(profile) as temporary:
            copy = temporary / STORE_NAME
            copy_store(profile / STORE_NAME, copy)
            store_bytes = copy.stat().st_size
            if store_bytes > BACKUP_STORE_BYTES_MAX:
                raise StoreError(f"the profile is larger than a backup can be ({BACKUP_STORE_BYTES_MAX >> 30} GiB)")
            manifest = Manifest(facts.kind.value, secrets, device_key, store_bytes)
            with explained(target), _new_file(target) as file, copy.open("rb") as store:
                write_backup(file, passphrase, manifest, store, entropy)
                file_bytes = file.tell()
    return BackedUp(facts, file_bytes)


@contextmanager
def open_backup(source: Path, passphrase: str) -> Iterator[BackupReader]:
    """A backup to be restored. Raises as `BackupReader`, with the file's name; UsageError where there is none."""
    try:
        with open_regular(source) as file:
            yield BackupReader(file, passphrase)
    except FileNotFoundError as error:
        raise UsageError(f"there is no backup {source}: correct the path") from error
    except OSError as error:
        raise StoreError(f"{source}: {error.strerror}: it cannot be read") from error


def unlock_of(reader: BackupReader) -> Unlock:
    """What will open the profile in a backup. Raises StoreError where its secrets are damaged."""
    manifest = reader.manifest
    if wrapping.needs_passphrase(manifest.secrets):
        return Unlock.PASSPHRASE
    return Unlock.DEVICE_KEY if manifest.device_key else Unlock.KEY_FILE


def restore_profile(
    reader: BackupReader,
    profile: Path,
    entropy: Entropy,
    clock: Clock,
    *,
    passphrase: str | None = None,
    key_file: Path | None = None,
) -> Restored:
    """Make the profile that a backup holds at ``profile``, where nothing may be; a crash leaves all of it or nothing.

    ``passphrase`` or ``key_file`` open the profile, as they did the original. What the original sends with is given
    up, and a new prekey made.

    Raises:
        UsageError: something is at ``profile``, or what opens it was not given.
        WrongPassphrase: it does not open.
        StoreError: the backup is damaged, or the disk refused; nothing is left behind.
    """
    profile = profile.absolute()
    check_no_profile(profile)
    manifest = reader.manifest
    if manifest.kind not in list(ProfileKind):
        raise StoreError("the backup is of something that this version does not know: upgrade railgun")
    facts = ProfileFacts(ProfileKind(manifest.kind), unlock_of(reader))
    given = {Unlock.PASSPHRASE: passphrase, Unlock.KEY_FILE: key_file}
    if facts.unlock in given and given[facts.unlock] is None:
        raise UsageError(f"profile {profile} needs its {facts.unlock.value}")
    with explained(profile):
        profile.parent.mkdir(parents=True, exist_ok=True)
        with new_directory(profile, entropy) as staging:
            write_private_file(staging / FACTS_NAME, facts_content(facts.kind))
            write_private_file(staging / SECRETS_NAME, manifest.secrets)
            if manifest.device_key:
                write_private_file(staging / DEVICE_KEY_NAME, manifest.device_key)
            write_private_file(staging / LOCK_NAME, b"")
            with _new_file(staging / STORE_NAME) as file:
                for piece in reader.store_pieces():
                    file.write(piece)
            try:
                retired = _give_up_sessions(staging, entropy, clock, passphrase, key_file)
            except WrongPassphrase as error:
                raise WrongPassphrase(
                    f"the backup is whole, but the profile in it opens with another {facts.unlock.value}"
                ) from error
    return Restored(facts, retired)


def _give_up_sessions(path: Path, entropy: Entropy, clock: Clock, passphrase: str | None, key_file: Path | None) -> int:
    with open_profile(path, entropy, passphrase=passphrase, key_file=key_file) as opened:
        store = opened.store
        try:
            retired = retired_writes(store.load(OUTBOUND))
        except MalformedInput as error:
            raise StoreError("a session in the backup is damaged: take another backup") from error
        prekey = _new_prekey(store, entropy, clock) if opened.kind is ProfileKind.MEMBER else []
        store.commit([*retired, *prekey])
    return len(retired)


def _new_prekey(store: Store, entropy: Entropy, clock: Clock) -> list[Write]:
    """What the original told of since may be lost with it: a newer prekey takes its place with everyone.

    With a full row of prekeys nothing is made: the newest is at most some days old, and the weekly one follows.
    """
    identity = load_identity(store)
    try:
        prekeys = with_new_prekey(identity.prekeys, entropy.random_bytes(SEED_BYTES), clock.wall())
    except UsageError:
        return []
    account = VodozemacSessions().olm_new_fallback(identity.account, identity.pickle_key)
    return [prekeys_write(prekeys), account_write(account.pickle)]


@contextmanager
def _working_directory(profile: Path) -> Iterator[Path]:
    """A private directory beside the store, as secret as that. What a killed backup left there is erased first: old
    keys must not outlive their deletion in a forgotten copy."""
    lock = ProcessLock(profile / _WORKING_LOCK_NAME, f"the backup of profile {profile}")
    path = profile / _WORKING_NAME
    try:
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(mode=PRIVATE_DIRECTORY_MODE)
        try:
            yield path
        finally:
            shutil.rmtree(path)
    finally:
        lock.release()


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """A new private file that is on the disk when the block ends, and gone when the block fails."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, PRIVATE_FILE_MODE)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already: give another path") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except BaseException:  # an interruption too must leave no half a file behind; it goes on up
        with suppress(FileNotFoundError):
            path.unlink()
        raise
