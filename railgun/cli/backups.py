"""``railgun backup`` and ``railgun restore``: a profile in one encrypted file, and back.

Owns: their options and output. Must not know: what a backup holds, how it is sealed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_unlock_options
from railgun.cli.failures import Exit
from railgun.errors import UsageError

if TYPE_CHECKING:
    from railgun.cli.context import Context


def add(subparsers: Any) -> None:
    """Describe the commands to the parser."""
    backup = add_command(
        subparsers,
        "backup",
        run_backup,
        "Write the whole profile into one file, encrypted under a passphrase given for it. The profile may be in use "
        "meanwhile. Who has the file and its passphrase, and what opens the profile, is this device.",
    )
    backup.add_argument("file", metavar="FILE", help="the file to write; it must not exist")
    _add_passphrase_option(backup)

    restore = add_command(
        subparsers,
        "restore",
        run_restore,
        "Make the profile that a backup holds; an existing one is never overwritten. Restore only when the original "
        "is gone for good: two that go on as one device spoil each other's messages.",
    )
    restore.add_argument("file", metavar="FILE", help="a file that `railgun backup` wrote")
    _add_passphrase_option(restore)
    add_unlock_options(restore)


def _add_passphrase_option(parser: Any) -> None:
    parser.add_argument(
        "--backup-passphrase-file",
        metavar="FILE",
        help="read the backup's passphrase from the first line of FILE; else RAILGUN_BACKUP_PASSPHRASE, else a prompt",
    )


def run_backup(context: Context) -> int:
    """``backup``."""
    from railgun.cli.unlock import backup_passphrase
    from railgun.runtime.backup import backup_profile
    from railgun.runtime.profile import read_profile_facts
    from railgun.runtime.system import SystemEntropy

    profile = context.configuration().profile.directory.absolute()
    target = Path(context.arguments.file).absolute()
    read_profile_facts(profile)  # before anybody is asked for a passphrase
    if target.exists():
        raise UsageError(f"{target} exists already: give another path")
    passphrase = backup_passphrase(context, target, is_new=True)
    made = backup_profile(profile, target, passphrase, SystemEntropy())
    context.printer.result(
        {
            "backup": str(target),
            "profile": str(profile),
            "kind": made.facts.kind.value,
            "unlock": made.facts.unlock.value,
            "bytes": made.file_bytes,
        },
        f"Wrote {target} ({made.file_bytes} bytes). It opens with its passphrase; nobody can recover that for you.\n"
        f"The profile in it opens with its own {made.facts.unlock.value}, as before.",
    )
    return Exit.KEPT


def run_restore(context: Context) -> int:
    """``restore``."""
    from railgun.cli.unlock import backup_passphrase, credentials_for
    from railgun.runtime.backup import open_backup, restore_profile, unlock_of
    from railgun.runtime.profile import check_no_profile
    from railgun.runtime.system import SystemClock, SystemEntropy

    configuration = context.configuration().profile
    profile = configuration.directory.absolute()
    source = Path(context.arguments.file).absolute()
    check_no_profile(profile)
    if not source.exists():
        raise UsageError(f"there is no backup {source}: correct the path")
    with open_backup(source, backup_passphrase(context, source, is_new=False)) as reader:
        found = credentials_for(context, profile, configuration.key_file, unlock_of(reader))
        done = restore_profile(
            reader, profile, SystemEntropy(), SystemClock(), passphrase=found.passphrase, key_file=found.key_file
        )
    context.printer.note(
        "The original must not go on: erase it, or never start it again. What others sent since the backup was made "
        "comes from their relays, as far as it is still there."
    )
    context.printer.result(
        {
            "profile": str(profile),
            "kind": done.facts.kind.value,
            "unlock": done.facts.unlock.value,
            "sessions_retired": done.sessions_retired,
        },
        f"Restored the {done.facts.kind.value}'s profile {profile}\n"
        f"{done.sessions_retired} sessions to send with were retired; new ones begin with the next message.",
    )
    return Exit.KEPT
