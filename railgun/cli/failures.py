"""From an error to one line that says what to do, and to an exit status.

Owns: the exit statuses, the wording for errors that have none of their own. Must not know: any command.
"""

from __future__ import annotations

import enum

from railgun.cli.output import one_line
from railgun.errors import CryptoError, InvariantViolated, LinkError, PeerError, RailGunError, UsageError


class Exit(enum.IntEnum):
    """What a command's end means."""

    KEPT = 0
    """Promises kept."""
    BROKEN = 1
    """A promise broken: the result, printed all the same, says which."""
    FAILED = 2
    """Usage or machine: there is no result."""
    INTERRUPTED = 130
    """Ctrl-C: 128 and the signal's number, as shells have it."""


class Grammar(UsageError):
    """The command line does not parse."""


def explain(error: BaseException) -> str:
    """One line on what is wrong and what to do about it."""
    match error:
        case PeerError():
            text = f"the other side misbehaved ({error}): try again, or name other relays with --bootstrap"
        case CryptoError():
            text = f"{error}: what was read is damaged, or was not meant for this profile"
        case LinkError():
            text = f"{error}: look at the network connection and try again"
        case RailGunError():
            text = str(error) or type(error).__name__
        case OSError():
            text = _explain_machine(error)
        case _:
            text = (
                f"this is a bug in Rail Gun ({type(error).__name__}: {error}): "
                "run it again with --debug and report what it prints"
            )
    return one_line(" ".join(text.split()))


def kind_of(error: BaseException) -> str:
    """The error's name in the JSON object: its class where it is one of ours."""
    if isinstance(error, Grammar):
        return UsageError.__name__
    if isinstance(error, (RailGunError, OSError, KeyboardInterrupt, InvariantViolated)):
        return type(error).__name__
    return "Bug"


def _explain_machine(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{reason}: look at the disk, the permissions and the network of this machine, and try again"
