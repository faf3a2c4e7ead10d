"""A directory that begins to exist whole, or not at all.

Owns: filling a hidden directory beside the final place, one rename, removing what crashes left.
Must not know: what is put inside.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from railgun.errors import StoreError, UsageError
from railgun.ports import Entropy
from railgun.storage.files import PRIVATE_DIRECTORY_MODE, explained, sync_directory

_MARK: Final = ".creating-"
_SUFFIX_BYTES: Final = 8
_TRIES_MAX: Final = 8


@contextmanager
def new_directory(path: Path, entropy: Entropy) -> Iterator[Path]:
    """A private directory (mode 0700) to fill; it becomes ``path`` when the block ends without an error.

    The files must have been flushed by then; names are flushed here. What earlier calls for the same ``path`` left
    behind when they were killed is removed first.

    Raises:
        UsageError: something stands at ``path``.
        StoreError: other processes are in the way.
        OSError: the disk refused.
    """
    _remove_abandoned(path)
    staging, descriptor = _staging_directory(path, entropy)
    try:
        yield staging
        sync_directory(staging)
        _put_in_place(staging, path)
    except BaseException:
        # The error on its way says what went wrong; what stays behind is removed by the next call.
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def check_free(path: Path) -> None:
    """Raise UsageError unless nothing, or an empty directory, stands at ``path``; StoreError."""
    with explained(path):
        if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
            raise UsageError(f"{path} is in the way: give another path")


def _put_in_place(staging: Path, path: Path) -> None:
    """The one step at which the directory begins to exist under its name."""
    try:
        staging.rename(path)
    except OSError:
        check_free(path)  # was someone faster?
        raise
    sync_directory(path.parent)


def _staging_directory(path: Path, entropy: Entropy) -> tuple[Path, int]:
    """A new directory beside ``path``, and the descriptor that locks it: `_remove_abandoned` spares what is locked."""
    for _ in range(_TRIES_MAX):
        staging = path.with_name(f".{path.name}{_MARK}{entropy.random_bytes(_SUFFIX_BYTES).hex()}")
        staging.mkdir(mode=PRIVATE_DIRECTORY_MODE)
        descriptor = _lock_directory(staging)
        if descriptor is not None:
            return staging, descriptor
    raise StoreError(f"{path} cannot be prepared: another process keeps removing its files, stop that one")


def _remove_abandoned(path: Path) -> None:
    prefix = f".{path.name}{_MARK}"
    for found in sorted(path.parent.iterdir()):
        descriptor = _lock_directory(found) if found.name.startswith(prefix) else None
        if descriptor is not None:
            try:
                shutil.rmtree(found)
            finally:
                os.close(descriptor)


def _lock_directory(path: Path) -> int | None:
    """A descriptor that holds the lock of a directory of ours; None if another has it, or it is none (any more)."""
    try:
        if path.lstat().st_uid != os.geteuid():
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # By now the name may be gone, or belong to another directory: then the lock says nothing.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass  # in use, or finished and moved to its place
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
