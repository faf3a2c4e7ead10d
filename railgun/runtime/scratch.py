"""Directories for a program's passing files, which the next program removes if this one is killed.

Owns: making one, knowing whether whoever made one still runs, removing those that nobody needs any more.
Must not know: what lies inside.

A directory in use holds a mark, and its maker holds its lock, which the kernel gives back however that ends. One that
is kept on purpose (for its logs) has no mark, and is left alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

_MARK: Final = ".in-use"


class ScratchDirectory:
    """A private directory in the machine's place for temporary files, until `remove` or `keep`."""

    def __init__(self, prefix: str) -> None:
        """Raises OSError where none can be made. ``prefix`` names its kind: abandoned ones of that kind are removed."""
        remove_abandoned(prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        (self.path / _MARK).touch(mode=0o600)

    def remove(self) -> None:
        """Delete it with all that is inside."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)

    def keep(self) -> None:
        """Leave it to whoever wants to look inside."""
        (self.path / _MARK).unlink(missing_ok=True)
        os.close(self._descriptor)


def remove_abandoned(prefix: str) -> None:
    """Delete this user's directories of that kind whose makers were killed. What cannot be deleted stays."""
    for found in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        descriptor = _lock_of_the_dead(found)
        if descriptor is not None:
            shutil.rmtree(found, ignore_errors=True)
            os.close(descriptor)


def _lock_of_the_dead(path: Path) -> int | None:
    """The lock of a marked directory of ours that nobody else holds; None where it is no such directory."""
    try:
        seen = path.lstat()
        if seen.st_uid != os.geteuid() or not stat.S_ISDIR(seen.st_mode) or not (path / _MARK).exists():
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None  # it went this moment, or is none that we may look into
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
