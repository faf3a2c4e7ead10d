"""Vectors of the day chain, epoch keys and epoch starts."""

from __future__ import annotations

from typing import Any

from railgun.crypto import epoch
from railgun.types import RoomId

SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(255, 223, -1))
ROOMS = [RoomId(bytes([number]) * 32) for number in range(12)]


def _keys(name: str, day_secret: bytes, generation: int, start: int) -> dict[str, Any]:
    keys = epoch.derive_epoch_keys(day_secret, generation, start)
    return {
        "name": name,
        "operation": "derive_epoch_keys",
        "day_secret": day_secret.hex(),
        "generation": generation,
        "start": start,
        "expected": {
            "tag": keys.tag.hex(),
            "header_key": keys.header_key.hex(),
            "signing_seed": keys.signing_seed.hex(),
        },
    }


def _chain(name: str, secret: bytes, generation: int, first_day: int, days: int) -> dict[str, Any]:
    secrets = [epoch.first_day_secret(secret, generation, first_day)]
    for day in range(first_day + 1, first_day + days):
        secrets.append(epoch.next_day_secret(secrets[-1], generation, day))
    return {
        "name": name,
        "operation": "day_chain",
        "secret": secret.hex(),
        "generation": generation,
        "first_day": first_day,
        "expected": {
            "commitment": epoch.generation_commitment(secret).hex(),
            "day_secrets": [s.hex() for s in secrets],
        },
    }


def _start(name: str, wall_seconds: float, room: RoomId, epoch_seconds: int) -> dict[str, Any]:
    return {
        "name": name,
        "operation": "epoch_start",
        "wall_seconds": wall_seconds,
        "room_id": room.hex(),
        "epoch_seconds": epoch_seconds,
        "expected": {
            "offset_seconds": epoch.epoch_offset_seconds(room, epoch_seconds),
            "start": epoch.epoch_start(wall_seconds, room, epoch_seconds),
        },
    }


def _starts() -> list[dict[str, Any]]:
    cases = [_start(f"room {index}, 600 s", 1_700_000_123, room, 600) for index, room in enumerate(ROOMS)]
    cases += [
        _start(f"room {index}, 25 s: tenths are rounded down", 1_700_000_123, r, 25) for index, r in enumerate(ROOMS)
    ]
    boundary = epoch.epoch_start(1_700_000_123, ROOMS[1], 600)
    cases.append(_start("a boundary belongs to the new epoch", boundary, ROOMS[1], 600))
    cases.append(_start("just before a boundary", boundary - 0.25, ROOMS[1], 600))
    return cases


def _refused() -> list[dict[str, Any]]:
    keys = {"operation": "derive_epoch_keys", "day_secret": SECRET.hex(), "generation": 1, "start": 600}
    start = {"operation": "epoch_start", "room_id": ROOMS[0].hex(), "epoch_seconds": 600}
    return [
        {"name": "day secret of 31 bytes", **keys, "day_secret": SECRET[:-1].hex(), "code": "invalid_argument"},
        {"name": "day secret of 33 bytes", **keys, "day_secret": SECRET.hex() + "00", "code": "invalid_argument"},
        {"name": "no day secret", **keys, "day_secret": "", "code": "invalid_argument"},
        {"name": "generation beyond u32", **keys, "generation": 1 << 32, "code": "invalid_argument"},
        {"name": "negative generation", **keys, "generation": -1, "code": "invalid_argument"},
        {"name": "start beyond u32", **keys, "start": 1 << 32, "code": "invalid_argument"},
        {"name": "before 1970", **start, "wall_seconds": -1, "code": "clock"},
        {"name": "beyond u32", **start, "wall_seconds": (1 << 32) + 600, "code": "clock"},
    ]


def vectors() -> dict[str, Any]:
    """The content of epoch_keys.json."""
    return {
        "description": "Day chain, epoch keys and epoch starts (docs/spec/keys.md). A lobby is generation 0 under its invite's seed.",
        "accepted": [
            _keys("first generation", SECRET, 1, 1_700_000_400),
            _keys("next epoch", SECRET, 1, 1_700_001_000),
            _keys("next generation", SECRET, 2, 1_700_000_400),
            _keys("another secret", OTHER_SECRET, 1, 1_700_000_400),
            _keys("lobby: the invite's seed and generation 0", OTHER_SECRET, 0, 1_700_000_400),
            _keys("largest numbers", SECRET, (1 << 32) - 1, (1 << 32) - 1),
            _chain("three days", SECRET, 1, 19_675, 3),
            _chain("another generation", OTHER_SECRET, 7, 19_676, 2),
            *_starts(),
        ],
        "refused": _refused(),
    }
