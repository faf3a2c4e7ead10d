"""``railgun init``: a profile, and the keys of the person or relay that it is for.

Owns: its options, which keys go in. Must not know: a profile's layout, how keys are made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_unlock_options
from railgun.cli.failures import Exit
from railgun.errors import UsageError

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.cli.unlock import Credentials
    from railgun.runtime.profile import ProfileKind


def add(subparsers: Any) -> None:
    """Describe the command to the parser."""
    parser = add_command(
        subparsers,
        "init",
        run,
        "Make this device's profile: the directory with its keys and rooms, or with --relay those of a relay. A "
        "member's is protected by a passphrase or a key file; a relay's, which has to start unattended, by neither "
        "unless one is given.",
    )
    parser.add_argument("--relay", action="store_true", help="make a relay's profile, for `railgun node`")
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="how the people in your rooms see you, up to 64 characters; without one they see the start of this "
        "device's key",
    )
    parser.add_argument(
        "--no-passphrase",
        action="store_true",
        help="protect the secrets by the directory's permissions alone: who can read it can read everything",
    )
    add_unlock_options(parser)


def run(context: Context) -> int:
    """``init``."""
    from railgun.runtime.profile import ProfileKind, Unlock

    configuration = context.configuration()
    path = configuration.profile.directory.absolute()
    kind = ProfileKind.RELAY if context.arguments.relay else ProfileKind.MEMBER
    _check_free(path)
    chosen = _choose(context, path, configuration.profile.key_file, kind)
    key = _make_keys(context, path, kind, chosen)
    unlock = Unlock.DEVICE_KEY
    if chosen.passphrase is not None:
        unlock = Unlock.PASSPHRASE
    elif chosen.key_file is not None:
        unlock = Unlock.KEY_FILE
    key_file = None if chosen.key_file is None else str(chosen.key_file.absolute())
    guard = {
        Unlock.PASSPHRASE: "It opens with your passphrase. Nobody can recover that for you.",
        Unlock.KEY_FILE: f"It opens with the key file {key_file}. Keep a copy elsewhere.",
        Unlock.DEVICE_KEY: "It opens without a passphrase: who can read this directory can read everything in it.",
    }[unlock]
    following = (
        "Next: railgun node --network FILE" if kind is ProfileKind.RELAY else "Next: railgun join LINK --network FILE"
    )
    context.printer.result(
        {"profile": str(path), "kind": kind.value, "unlock": unlock.value, "key_file": key_file, "key": key.hex()},
        f"Made the {kind.value}'s profile {path}\n{guard}\n{following}",
    )
    return Exit.KEPT


def _check_free(path: Path) -> None:
    # Before anybody is asked for a passphrase; `create_profile` checks again.
    if (path / "profile.toml").exists():
        raise UsageError(f"there is a profile at {path} already: use it, or give another with --profile")


def _choose(context: Context, path: Path, key_file: Path | None, kind: ProfileKind) -> Credentials:
    """What is to open the new profile; makes the key file if it is not there yet."""
    from railgun.cli.unlock import Credentials, given_passphrase, new_passphrase
    from railgun.runtime.profile import ProfileKind, create_key_file
    from railgun.runtime.system import SystemEntropy

    passphrase = given_passphrase(context)
    if context.arguments.no_passphrase:
        if passphrase is not None or key_file is not None:
            raise UsageError("--no-passphrase, but a passphrase or a key file is given too: leave one of them out")
        return Credentials()
    if key_file is not None:
        if passphrase is not None:
            raise UsageError("give a passphrase or a key file, not both")
        if not key_file.exists():
            create_key_file(key_file, SystemEntropy())
            context.printer.note(f"made the key file {key_file}")
        return Credentials(key_file=key_file)
    if passphrase is None and kind is ProfileKind.MEMBER:
        passphrase = new_passphrase(path)
    return Credentials(passphrase=passphrase)


def _make_keys(context: Context, path: Path, kind: ProfileKind, chosen: Credentials) -> bytes:
    from railgun.runtime.profile import ProfileKind

    if kind is ProfileKind.RELAY:
        return _make_relay(path, chosen)
    return _make_member(path, chosen, context.arguments.name or "")


def _make_relay(path: Path, chosen: Credentials) -> bytes:
    """Returns the node key, 32 bytes."""
    from railgun.crypto.signing import public_key_of
    from railgun.runtime.profile import ProfileKind, create_profile
    from railgun.runtime.relay_host import RelayKeys
    from railgun.runtime.system import SystemClock, SystemEntropy

    entropy = SystemEntropy()
    keys = RelayKeys.generate(entropy, SystemClock())
    create_profile(
        path,
        ProfileKind.RELAY,
        entropy,
        passphrase=chosen.passphrase,
        key_file=chosen.key_file,
        initial_writes=keys.writes(),
    )
    return public_key_of(keys.seed)


def _make_member(path: Path, chosen: Credentials, name: str) -> bytes:
    """Returns the device key, 32 bytes."""
    from railgun.runtime.identity import create_member_profile, load_identity
    from railgun.runtime.profile import open_profile
    from railgun.runtime.system import SystemClock, SystemEntropy

    entropy = SystemEntropy()
    passphrase, key_file = chosen.passphrase, chosen.key_file
    create_member_profile(path, entropy, SystemClock(), name=name, passphrase=passphrase, key_file=key_file)
    with open_profile(path, entropy, passphrase=passphrase, key_file=key_file) as profile:
        return load_identity(profile.store).device_key
