"""Epoch keys: what a room's secret becomes, day by day and epoch by epoch.

Owns: the day chain, the keys of one epoch, when an epoch starts. Must not know: which generations live, or when
secrets are erased. Spec: docs/spec/keys.md.

S makes the first day's secret and each day's secret makes the next, so a holder of one day reads no earlier day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from railgun.crypto.hashing import HASH_BYTES, keyed_hash, u32
from railgun.crypto.signing import PUBLIC_KEY_BYTES, SEED_BYTES, signing_key_of
from railgun.errors import UsageError
from railgun.types import RoomId, Tag

SECRET_BYTES: Final = HASH_BYTES
DAY_SECONDS: Final = 86_400
LOBBY_GENERATION: Final = 0
U32_MAX: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """The keys of one room, generation and epoch.

    Attributes:
        start: the epoch's start, Unix seconds, u32.
        generation: g, u32; 0 for a lobby.
        tag: R_e, 32 bytes, public: the room's name to relays.
        header_key: K_e, 32 bytes, secret: seals the inner part of envelopes.
        signing_key: r_e as seed || public key, 64 bytes, secret: signs envelopes and proves the room.
    """

    start: int
    generation: int
    tag: Tag
    header_key: bytes = field(repr=False, compare=False)
    signing_key: bytes = field(repr=False, compare=False)

    @property
    def signing_seed(self) -> bytes:
        """The seed of r_e, 32 bytes, secret."""
        return self.signing_key[:SEED_BYTES]


def derive_epoch_keys(day_secret: bytes, generation: int, start: int) -> EpochKeys:
    """The keys of the epoch that starts at ``start`` (Unix seconds), from its day's secret D_d (32 bytes).

    Raises:
        ValueError: the secret has another length, or a number is no u32.
    """
    context = _pair(day_secret, generation, start)
    signing_key = signing_key_of(keyed_hash(day_secret, "railgun/room-sig/v1", context))
    return EpochKeys(
        start=start,
        generation=generation,
        tag=Tag(signing_key[-PUBLIC_KEY_BYTES:]),
        header_key=keyed_hash(day_secret, "railgun/room-hdr/v1", context),
        signing_key=signing_key,
    )


def derive_lobby_keys(invite_seed: bytes, start: int) -> EpochKeys:
    """The keys of an invite's lobby for one epoch: the seed (32 bytes) stands for D_d, and g = 0."""
    return derive_epoch_keys(invite_seed, LOBBY_GENERATION, start)


def generation_commitment(secret: bytes) -> bytes:
    """c, 32 bytes: names generation secret S (32 bytes) without giving it away."""
    if len(secret) != SECRET_BYTES:
        raise ValueError("a generation's secret has 32 bytes")
    return keyed_hash(None, "railgun/gen/v1", secret)


def first_day_secret(secret: bytes, generation: int, day: int) -> bytes:
    """D_first, 32 bytes, from S (32 bytes); S may be erased then. ``day`` counts days since 1970."""
    return keyed_hash(secret, "railgun/day/v1", _pair(secret, generation, day))


def next_day_secret(day_secret: bytes, generation: int, next_day: int) -> bytes:
    """D_{d+1}, 32 bytes, from D_d (32 bytes); ``next_day`` is d + 1."""
    return keyed_hash(day_secret, "railgun/day/v1", _pair(day_secret, generation, next_day))


def day_of(start: int) -> int:
    """The UTC day of an epoch's start: days since 1970."""
    return start // DAY_SECONDS


def epoch_offset_seconds(room_id: RoomId, epoch_seconds: int) -> int:
    """By how much a room's epochs are shifted, 0 to L - 1: ten steps, so that no finer one fingerprints a room."""
    step = keyed_hash(None, "railgun/offset/v1", room_id)[0] % 10
    return epoch_seconds * step // 10


def is_epoch_start(start: int, epoch_seconds: int) -> bool:
    """Whether some room's epoch may start at ``start``: only ten instants of each L may."""
    return any(start % epoch_seconds == epoch_seconds * step // 10 for step in range(10))


def epoch_start(wall_seconds: float, room_id: RoomId, epoch_seconds: int) -> int:
    """Start, in Unix seconds, of the epoch of ``room_id`` that is open at ``wall_seconds``.

    Lobbies use their room's id. Raises UsageError where the time cannot be (before 1970 or past u32).
    """
    if not math.isfinite(wall_seconds):
        raise UsageError("the clock shows no time")
    offset = epoch_offset_seconds(room_id, epoch_seconds)
    start = (math.floor(wall_seconds) - offset) // epoch_seconds * epoch_seconds + offset
    if not 0 <= start <= U32_MAX:
        raise UsageError("the clock is far off: set this machine's date")
    return start


def _pair(secret: bytes, generation: int, number: int) -> bytes:
    if len(secret) != SECRET_BYTES:
        raise ValueError("a day's secret has 32 bytes")
    if not 0 <= generation <= U32_MAX or not 0 <= number <= U32_MAX:
        raise ValueError("generation, day and start are u32")
    return u32(generation) + u32(number)
