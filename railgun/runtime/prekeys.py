"""A device's own X-Wing prekeys: when a new one is due, how long old secrets are kept.

Owns: the row that keeps them, the rules. Must not know: rooms, who is told, clocks (the time is passed in).

A full copy of a device reads what is sealed under the prekeys that it holds. A new one every week, and the old secret's
end once nothing can arrive under it any more, bound how long such a copy is of use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from railgun.core.roster_entries import sign_prekey
from railgun.errors import UsageError
from railgun.limits import GENERATION_LIVE_DAYS
from railgun.ports import Sessions, Write
from railgun.types import DeviceKey
from railgun.wire.roster import PrekeyRecord, TimeField
from railgun.wire.schema import Array, Bytes, Codec, Nested

TABLE: Final = "identity"
PREKEYS_KEY: Final = b"prekeys"
ACCOUNT_KEY: Final = b"account"
PREKEY_SECONDS: Final = 7 * 86_400
"""How long one is in use."""
PREKEY_KEEP_SECONDS: Final = (GENERATION_LIVE_DAYS + 1) * 86_400
"""How long a replaced one's secret is kept: what is sealed for a room waits no longer than its generation lives."""
PREKEYS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class OwnPrekey:
    """One prekey. ``issued`` and ``replaced`` (0: in use) are Unix seconds; ``secret`` has 32 bytes."""

    secret: Annotated[bytes, Bytes(32)] = field(repr=False)
    issued: TimeField
    replaced: TimeField


@dataclass(frozen=True, slots=True)
class _Row:
    prekeys: Annotated[tuple[OwnPrekey, ...], Array(Nested(OwnPrekey), PREKEYS_MAX, 1)]


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=PREKEYS_MAX * 64 + 64)


def prekeys_write(prekeys: Sequence[OwnPrekey]) -> Write:
    """Keep these, newest first, and no others."""
    return Write(TABLE, PREKEYS_KEY, _ROWS.encode(_Row(tuple(prekeys))))


def read_prekeys(value: bytes) -> tuple[OwnPrekey, ...]:
    """What `prekeys_write` kept. Raises MalformedInput where the row is damaged."""
    return _ROWS.decode(value).prekeys


def account_write(pickle: bytes) -> Write:
    """Keep the account. Its fallback key changes with the prekey: both stand in one record."""
    return Write(TABLE, ACCOUNT_KEY, pickle)


def with_new_prekey(prekeys: Sequence[OwnPrekey], secret: bytes, wall: float) -> tuple[OwnPrekey, ...]:
    """The same with a new one first. ``wall``: Unix seconds.

    Raises:
        UsageError: too many were made of late.
    """
    newest = prekeys[0]
    # Of two records the later issued counts, also when the clock went back in between.
    issued = max(int(wall), newest.issued + 1)
    kept = without_old_prekeys(
        (OwnPrekey(secret, issued, 0), dataclasses.replace(newest, replaced=int(wall)), *prekeys[1:]), wall
    )
    if len(kept) > PREKEYS_MAX:
        raise UsageError(f"{PREKEYS_MAX} prekeys are in use already: the next one has to wait some days")
    return kept


def without_old_prekeys(prekeys: Sequence[OwnPrekey], wall: float) -> tuple[OwnPrekey, ...]:
    """Those under which something may still arrive at ``wall`` (Unix seconds), the newest in any case."""
    return (prekeys[0], *(old for old in prekeys[1:] if wall - old.replaced < PREKEY_KEEP_SECONDS))


def new_prekey_at(prekeys: Sequence[OwnPrekey]) -> float:
    """When the next one is due, in Unix seconds."""
    return prekeys[0].issued + PREKEY_SECONDS


def next_drop_at(prekeys: Sequence[OwnPrekey]) -> float:
    """When the next old one's secret may go, in Unix seconds; infinity where none waits for that."""
    return min((old.replaced + PREKEY_KEEP_SECONDS for old in prekeys[1:]), default=float("inf"))


def prekey_record(
    prekeys: Sequence[OwnPrekey], device: DeviceKey, seed: bytes, fallback: bytes, sessions: Sessions
) -> PrekeyRecord | None:
    """What tells others of the newest, and of the account's ``fallback`` key; None where it has none yet."""
    newest = prekeys[0]
    if not fallback:
        return None
    return sign_prekey(seed, device, newest.issued, sessions.hpke_public_key(newest.secret), fallback)
