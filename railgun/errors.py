"""The error tree.

::

    RailGunError
    ├── LocalError            the caller's fault: bad argument, wrong state, wrong configuration
    │   ├── ConfigurationError
    │   ├── UsageError
    │   └── NotMember
    ├── PeerError             the remote's fault: carries a wire code and a penalty
    │   └── MalformedInput    bytes that no honest peer sends
    ├── CryptoError           one opaque reason; never says which check failed
    ├── LinkError
    │   ├── ClosedLocally     we closed it
    │   ├── ClosedByPeer      the remote closed it and said so
    │   ├── LinkLost          it went silent, or never opened
    │   └── RendezvousRefusal a rendezvous server said no, and why
    ├── DiscoveryError        no relay could be found or reached
    └── StoreError            the disk, or what was found on it
        └── WrongPassphrase

    InvariantViolated         outside the tree: a bug of ours; it ends the node

Owns: the tree and the wire codes. Must not know: who raises what.
"""

from __future__ import annotations

import enum


class RefusalCode(enum.IntEnum):
    """Why a peer refused; travels in ``Refused`` and ``Goodbye`` frames (spec: frames)."""

    MALFORMED = 1
    WRONG_SIZE = 2
    UNSUPPORTED_VERSION = 3
    OUTSIDE_WINDOW = 4
    TOO_LATE = 5
    BAD_SIGNATURE = 6
    UNKNOWN_TAG = 7
    NOT_A_SEAT = 8
    RATE_LIMITED = 9
    BUSY = 10
    WRONG_NETWORK = 11
    BAD_PROOF = 12
    CLOCK_SKEWED = 13
    QUOTA_EXCEEDED = 14
    SHUTTING_DOWN = 15
    REPLACED = 16
    CONFLICT = 17
    IDLE = 18
    NOT_HELD = 19


class RailGunError(Exception):
    """Root of every error that Rail Gun raises on purpose."""


class LocalError(RailGunError):
    """The caller's fault. Not a peer's: see `PeerError`."""


class ConfigurationError(LocalError):
    """A configuration value is missing, misspelt or out of range; the text says what to do."""


class UsageError(LocalError):
    """A call that the current state does not allow; the text says what to do."""


class NotMember(LocalError):
    """The profile is not (or no longer) a member of the room."""


class PeerError(RailGunError):
    """The remote's fault. Carries the wire code that it is told, and a penalty in points."""

    def __init__(self, code: RefusalCode, detail: str, penalty_points: int = 1) -> None:
        super().__init__(f"{code.name.lower()}: {detail}")
        self.code = code
        self.detail = detail
        self.penalty_points = penalty_points


class MalformedInput(PeerError):
    """Bytes that do not decode: the one error of every decoder in ``railgun.wire``."""

    def __init__(self, detail: str, code: RefusalCode = RefusalCode.MALFORMED) -> None:
        super().__init__(code, detail, penalty_points=10)


class CryptoError(RailGunError):
    """A key, signature or ciphertext did not fit. Deliberately says no more."""

    def __init__(self, reason: str = "cryptographic check failed") -> None:
        super().__init__(reason)


class LinkError(RailGunError):
    """A link could not be used; the subclass says who ended it."""


class ClosedLocally(LinkError):
    """This side closed the link."""


class ClosedByPeer(LinkError):
    """The remote closed the link and gave a code."""

    def __init__(self, code: RefusalCode, retry_after_ms: int | None = None) -> None:
        wait = "" if retry_after_ms is None else f", retry after {retry_after_ms} ms"
        super().__init__(f"closed by peer: {code.name.lower()}{wait}")
        self.code = code
        self.retry_after_ms = retry_after_ms


class LinkLost(LinkError):
    """The link went silent or never opened within its deadline."""


class RendezvousRefusal(LinkError):
    """A rendezvous server said no. ``reason`` is the code's name in lower case (spec: signaling, refusals).

    ``retry_after_seconds`` None: asking again changes nothing.
    """

    def __init__(self, reason: str, retry_after_seconds: int | None = None) -> None:
        wait = "" if retry_after_seconds is None else f", retry after {retry_after_seconds} s"
        super().__init__(f"refused by the rendezvous server: {reason.replace('_', ' ')}{wait}")
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class DiscoveryError(RailGunError):
    """No relay could be found or reached. The text names what was tried."""


class StoreError(RailGunError):
    """The disk refused, or what stood on it is not ours or damaged."""


class WrongPassphrase(StoreError):
    """The stored secrets do not open under this passphrase or key file."""


class InvariantViolated(BaseException):
    """A bug of ours. Stands outside `RailGunError` so that nothing swallows it."""
