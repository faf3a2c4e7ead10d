"""Small files that only their owner may read, written so that they are on the disk when the call returns.

Owns: modes, flushing, the check of permissions. Must not know: what the files hold.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from railgun.errors import StoreError

PRIVATE_FILE_MODE: Final = 0o600
PRIVATE_DIRECTORY_MODE: Final = 0o700
_OTHERS: Final = 0o077
NOT_REGULAR: Final = "not a regular file"


def write_private_file(path: Path, content: bytes) -> None:
    """Make a new file of mode 0600 and flush it; its name is flushed by `sync_directory`.

    Raises OSError: FileExistsError if there is one already, or the disk refused.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, PRIVATE_FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_private_file(path: Path, *, bytes_max: int, follow_links: bool = False) -> bytes:
    """The whole content of a file that only its owner may read.

    Raises:
        StoreError: others may read it (the text names the chmod to run), it is too long, or no file.
        OSError: it cannot be opened or read.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    with os.fdopen(os.open(path, flags), "rb") as file:
        # The open file is checked, not its name: the name may point elsewhere a moment later.
        _check_status(path, os.fstat(file.fileno()), is_directory=False)
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise StoreError(f"{path} is longer than {bytes_max} bytes and none of ours: restore the profile from a backup")
    return content


def open_regular(path: Path) -> BinaryIO:
    """An open file, as the user named it. What is none (a pipe, a device, a directory) is refused without waiting for
    it: a pipe that nobody writes to would hold up the process for good, and a device may never end.

    Raises OSError: as `os.open`; with a ``strerror`` that says so where it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, NOT_REGULAR, str(path))
    return os.fdopen(descriptor, "rb")


def check_private(path: Path, *, is_directory: bool = False) -> None:
    """Raise StoreError unless ``path`` is there, of the right type and closed to others; OSError as `os.lstat`."""
    _check_status(path, path.lstat(), is_directory=is_directory)


def _check_status(path: Path, status: os.stat_result, *, is_directory: bool) -> None:
    if is_directory != stat.S_ISDIR(status.st_mode) or not (is_directory or stat.S_ISREG(status.st_mode)):
        raise StoreError(f"{path} is no {'directory' if is_directory else 'regular file'}: give another path")
    if status.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to another user (id {status.st_uid}): run as that user, or use another profile"
        )
    if status.st_mode & _OTHERS:
        mode = PRIVATE_DIRECTORY_MODE if is_directory else PRIVATE_FILE_MODE
        raise StoreError(f"{path} is open to other users: run chmod {mode:o} {shlex.quote(str(path))}")


def sync_directory(path: Path) -> None:
    """Flush the names in a directory to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path, *, makes: bool = False) -> Iterator[None]:
    """Turn an OSError of the block into a StoreError that names the file and says what to do.

    ``makes``: the block makes ``path`` anew, so that what is missing is where to put it.
    """
    try:
        yield
    except FileNotFoundError as error:
        if makes:
            raise StoreError(
                f"{path} cannot be made there, {error.filename or path} is missing: give another path"
            ) from error
        raise StoreError(f"{error.filename or path} is missing: restore the profile from a backup") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{error.filename or path} is a symbolic link: put the file itself there") from error
        if makes and isinstance(error, NotADirectoryError | FileExistsError):
            raise StoreError(
                f"{path} cannot be made there, {error.filename or path} is a file: give another path"
            ) from error
        raise StoreError(
            f"{error.filename or path}: {error.strerror}: check that the disk has room and is writable for this user"
        ) from error
