"""The network and the room that a benchmark runs on.

Owns: their parameters and keys. Must not know: links, processes, who publishes.
"""

from __future__ import annotations

from typing import Final

from railgun.crypto.epoch import EpochKeys, day_of, derive_epoch_keys, epoch_start, first_day_secret
from railgun.limits import COMMITTEE_MIN
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import RoomId

EPOCH_SECONDS: Final = 86_400
COMMITTEE_SIZE: Final = COMMITTEE_MIN
GENERATION: Final = 1
ROOM_SECRET: Final = bytes(range(32))


def bench_network() -> NetworkParameters:
    """A network of the longest epochs, so that no rotation disturbs the measurement."""
    return NetworkParameters("fan-out benchmark", NetworkKind.LAN, epoch_seconds=EPOCH_SECONDS, overlap_seconds=120)


def room_keys(wall: float) -> EpochKeys:
    """The keys of a room whose open epoch began hours ago and lasts hours more."""
    rooms = [RoomId(bytes([index]) * 32) for index in range(256)]
    start = min(
        (epoch_start(wall, room, EPOCH_SECONDS) for room in rooms),
        key=lambda start: abs(wall - start - EPOCH_SECONDS / 2),
    )
    return derive_epoch_keys(first_day_secret(ROOM_SECRET, GENERATION, day_of(start)), GENERATION, start)
