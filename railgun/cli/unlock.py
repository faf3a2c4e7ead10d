"""Where a profile's passphrase comes from: a file, the environment, a prompt.

Owns: that order, the checks of the file, the prompt. Must not know: how a profile is wrapped or opened.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from railgun.errors import UsageError
from railgun.storage.files import open_regular

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.runtime.profile import Profile, Unlock

PASSPHRASE_VARIABLE: Final = "RAILGUN_PASSPHRASE"  # noqa: S105 - a name
BACKUP_PASSPHRASE_VARIABLE: Final = "RAILGUN_BACKUP_PASSPHRASE"  # noqa: S105 - a name
PASSPHRASE_FILE_BYTES_MAX: Final = 4_096
BACKUP_WAYS: Final = f"give --backup-passphrase-file FILE, set {BACKUP_PASSPHRASE_VARIABLE}, or run it in a terminal"
WAYS: Final = f"give --passphrase-file FILE, set {PASSPHRASE_VARIABLE}, or run it in a terminal"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens a profile: at most one of the two."""

    passphrase: str | None = field(default=None, repr=False)
    key_file: Path | None = None


def given_passphrase(context: Context) -> str | None:
    """The passphrase from the file or the environment. Raises UsageError where the file does not serve."""
    if context.arguments.passphrase_file is not None:
        return _read_passphrase_file(Path(context.arguments.passphrase_file))
    return context.environ.get(PASSPHRASE_VARIABLE)


def new_passphrase(path: Path) -> str:
    """Ask twice. Raises UsageError without a terminal, or when the answers differ or are empty."""
    first = _ask(f"New passphrase for {path}: ")
    if not first:
        raise UsageError("the passphrase is empty: run it again, or give --no-passphrase if you mean to have none")
    if _ask("Once more: ") != first:
        raise UsageError("the two passphrases differ: run it again")
    return first


def backup_passphrase(context: Context, path: Path, *, is_new: bool) -> str:
    """The passphrase of a backup, which is not the profile's. Raises as `new_passphrase` and `given_passphrase`."""
    if context.arguments.backup_passphrase_file is not None:
        return _read_passphrase_file(Path(context.arguments.backup_passphrase_file))
    given = context.environ.get(BACKUP_PASSPHRASE_VARIABLE)
    if given is not None:
        return given
    if not is_new:
        return _ask(f"Passphrase of the backup {path}: ", BACKUP_WAYS)
    first = _ask(f"New passphrase for the backup {path}: ", BACKUP_WAYS)
    if not first:
        raise UsageError("the passphrase is empty: run it again")
    if _ask("Once more: ", BACKUP_WAYS) != first:
        raise UsageError("the two passphrases differ: run it again")
    return first


def credentials_for(context: Context, path: Path, key_file: Path | None, unlock: Unlock) -> Credentials:
    """What opens a profile of which only ``unlock`` is known, asked for if need be. Raises UsageError."""
    from railgun.runtime.profile import Unlock

    if unlock is Unlock.PASSPHRASE:
        passphrase = given_passphrase(context)
        return Credentials(passphrase=_ask(f"Passphrase for {path}: ") if passphrase is None else passphrase)
    if unlock is Unlock.KEY_FILE:
        return Credentials(key_file=key_file)
    return Credentials()


def credentials(context: Context, path: Path, key_file: Path | None) -> Credentials:
    """What opens the profile at ``path``, asked for if need be. Raises as `read_profile_facts`, and UsageError."""
    from railgun.runtime.profile import read_profile_facts

    return credentials_for(context, path, key_file, read_profile_facts(path).unlock)


def open_for(context: Context, path: Path, key_file: Path | None) -> Profile:
    """The opened profile. Raises as `railgun.runtime.profile.open_profile`."""
    from railgun.runtime.profile import open_profile
    from railgun.runtime.system import SystemEntropy

    found = credentials(context, path, key_file)
    return open_profile(path, SystemEntropy(), passphrase=found.passphrase, key_file=found.key_file)


def _ask(prompt: str, ways: str = WAYS) -> str:
    import getpass
    import warnings

    try:
        # Without a terminal getpass would read standard input, where the message to send may stand.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise UsageError(f"a passphrase is needed: {ways}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except (getpass.GetPassWarning, EOFError) as error:
            raise UsageError(f"a passphrase is needed: {ways}") from error


def _read_passphrase_file(path: Path) -> str:
    try:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            data = file.read(PASSPHRASE_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"passphrase file {path}: {error.strerror}: correct the path") from error
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"passphrase file {path}: others may read it: run chmod 600 {shlex.quote(str(path))}")
    if len(data) > PASSPHRASE_FILE_BYTES_MAX:
        raise UsageError(f"passphrase file {path}: over {PASSPHRASE_FILE_BYTES_MAX} bytes: this is something else")
    try:
        line = data.decode().partition("\n")[0].removesuffix("\r")
    except UnicodeDecodeError as error:
        raise UsageError(f"passphrase file {path}: not UTF-8 text: write it again") from error
    if not line:
        raise UsageError(f"passphrase file {path}: its first line is empty: write the passphrase there")
    return line
