"""One process at a time.

Owns: an advisory lock on a file that names its holder. Must not know: what the lock protects.

The kernel drops the lock when its holder dies, however it dies; the file itself stays.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from railgun.errors import UsageError
from railgun.storage.files import PRIVATE_FILE_MODE

_PID_BYTES_MAX: Final = 20


class HeldByAnother(UsageError):
    """Another process has it; the text names its pid."""


class ProcessLock:
    """Held from construction to `release`.

    ``subject`` says in the error's text what is in use.

    Raises:
        HeldByAnother: a UsageError.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, subject: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, PRIVATE_FILE_MODE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HeldByAnother(
                    f"{subject} is in use by {_holder(descriptor)}: stop it, or use another profile"
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let another process in. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, _PID_BYTES_MAX, 0).strip()
    # A holder that has not yet written its pid, or a file that someone edited.
    return f"process {int(text)}" if text.isdigit() else "another process"
