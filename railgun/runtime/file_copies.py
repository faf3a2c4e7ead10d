"""A file's bytes between disk and pieces: read to be sent, written when all have come.

Owns: reading and writing files of the owner's, hashing as they pass. Must not know: rooms, how pieces travel.

At no time is more than a piece in memory.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from railgun.crypto.hashing import content_hasher
from railgun.errors import CryptoError, UsageError
from railgun.runtime.file_names import claim

READ_BYTES: Final = 1 << 18
TEMPORARY_SUFFIX: Final = ".part"


class NotAsOffered(CryptoError):
    """The bytes that came are not those that were offered."""


class SourceChanged(UsageError):
    """The file that is being sent is gone, or is another than was offered."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was looked at. ``changed_microseconds``: its time of change; ``content_hash`` has 32 bytes."""

    path: Path
    size_bytes: int
    changed_microseconds: int
    content_hash: bytes


def look_at(path: Path, bytes_max: int) -> Source:
    """Read a file once. Raises UsageError: it cannot be read, is no file, or is larger than ``bytes_max``."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are named
    try:
        with _open(path) as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"{path} is no file: pack a directory first, for example with tar")
            if found.st_size > bytes_max:
                raise UsageError(f"{path} has {found.st_size} bytes, at most {bytes_max} are sent (files.bytes_max)")
            hasher, size = content_hasher(), 0
            while data := stream.read(READ_BYTES):
                size += len(data)
                hasher.update(data)
                if size > bytes_max:
                    raise UsageError(f"{path} grew beyond {bytes_max} bytes while it was read")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: name a file that can be read") from error
    if size != found.st_size:
        raise UsageError(f"{path} changed while it was read: try again once it is whole")
    return Source(path, size, found.st_mtime_ns // 1_000, hasher.digest())


def read_piece(path: Path, size_bytes: int, changed_microseconds: int, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset`` on, fewer at the end. Raises SourceChanged: it is not the file looked at."""
    try:
        with _open(path) as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode) or (found.st_size, found.st_mtime_ns // 1_000) != (
                size_bytes,
                changed_microseconds,
            ):
                raise SourceChanged(f"{path} is another file than was offered")
            stream.seek(offset)
            data = stream.read(min(count, size_bytes - offset))
    except OSError as error:
        raise SourceChanged(f"{path}: {error.strerror}") from error
    if len(data) != min(count, size_bytes - offset):
        raise SourceChanged(f"{path} became shorter")
    return data


def _open(path: Path) -> BinaryIO:
    """Without waiting: a pipe that nobody writes to would hold up the process, and is refused once it is open."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


class FileWriter:
    """A new file of a safe name in a directory; another name where that one is taken. It appears with all that it has
    to hold when `finish` returns. Call `abort` if it is not to be; both end it."""

    def __init__(self, directory: Path, name: str) -> None:
        """Raises UsageError: the directory refuses."""
        self._path = claim(directory, name)
        self._temporary = self._path.with_name(self._path.name + TEMPORARY_SUFFIX)
        self._hasher = content_hasher()
        self._size = 0
        try:
            self._stream = _claim_exactly(self._temporary)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            raise self._refused(error) from error

    def write(self, piece: bytes) -> None:
        """Append. Raises UsageError: the disk refuses."""
        self._size += len(piece)
        self._hasher.update(piece)
        try:
            self._stream.write(piece)
        except OSError as error:
            raise self._refused(error) from error

    def finish(self, size_bytes: int, content_hash: bytes) -> Path:
        """Check, and give it its name.

        Raises:
            NotAsOffered: size or hash differ.
            UsageError: the disk refuses.
        """
        if self._size != size_bytes or self._hasher.digest() != content_hash:
            raise NotAsOffered("what came is not the file that was offered: nothing was saved")
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._temporary.replace(self._path)  # over the empty one that keeps the name for us
        except OSError as error:
            raise self._refused(error) from error
        return self._path

    def abort(self) -> None:
        """Leave nothing behind."""
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(f"{self._path}: {error.strerror}: make room, or choose another directory")


def _claim_exactly(path: Path) -> BinaryIO:
    """A new file of just this name, open for writing, its owner's alone. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")
