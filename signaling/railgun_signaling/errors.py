"""The server's errors, and the codes that clients are told.

Owns: the tree and the codes (spec: signaling, refusals). Must not know: who raises what.

::

    SignalingError
    ├── ConfigurationError   a setting is missing, misspelt or out of range; the text says what to do
    └── Refusal              a client is told a code, and perhaps when to come again
"""

from __future__ import annotations

import enum


class RefusalCode(enum.IntEnum):
    """Why a client was refused; travels in ``Refused``."""

    MALFORMED = 1
    UNSUPPORTED_VERSION = 2
    OUT_OF_ORDER = 3
    BAD_PROOF = 4
    TOO_LARGE = 5
    RATE_LIMITED = 6
    TOO_MANY_CONNECTIONS = 7
    FULL = 8
    ABSENT = 9
    OCCUPIED = 10
    BUSY = 11
    TIMED_OUT = 12
    TOO_SLOW = 13
    EXPIRED = 14
    SHUTTING_DOWN = 15
    NETWORK_NOT_SERVED = 16
    ADDRESS_MISMATCH = 17
    BAD_AD = 18


class SignalingError(Exception):
    """Root of every error that this server raises on purpose."""


class ConfigurationError(SignalingError):
    """A setting is missing, misspelt or out of range; the text says what to do."""


class Refusal(SignalingError):
    """What a client is told. ``retry_after_seconds`` None: asking again changes nothing."""

    def __init__(self, code: RefusalCode, retry_after_seconds: int | None = None) -> None:
        super().__init__(code.name.lower())
        self.code = code
        self.retry_after_seconds = retry_after_seconds
