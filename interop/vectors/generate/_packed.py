"""Long byte strings in vectors: hexadecimal parts and repeats, so that a file stays readable.

A byte string is hexadecimal, or, where it is long, a list of hexadecimal parts and ``{"repeat": part, "count": n}``.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

LONG_BYTES = 256
PERIOD_BYTES_MAX = 40


def packed(data: bytes) -> Any:
    """How ``data`` stands in the file."""
    if len(data) <= LONG_BYTES:
        return data.hex()
    parts: list[Any] = []
    plain = position = 0
    while position < len(data):
        run = _run_at(data, position)
        if run is None:
            position += 1
            continue
        period, count = run
        if plain < position:
            parts.append(data[plain:position].hex())
        parts.append({"repeat": data[position : position + period].hex(), "count": count})
        position += period * count
        plain = position
    if plain < len(data):
        parts.append(data[plain:].hex())
    return parts


def _run_at(data: bytes, position: int) -> tuple[int, int] | None:
    """The shortest period that repeats itself over at least 64 bytes from ``position`` on, and how often."""
    for period in range(1, PERIOD_BYTES_MAX + 1):
        end = position + period
        while data[end : end + period] == data[position : position + period]:
            end += period
        if end - position >= max(64, 2 * period):
            return period, (end - position) // period
    return None


def unpacked(value: Any) -> bytes:
    """The reverse of `packed`."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    return b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part["repeat"]) * part["count"]
        for part in value
    )


def plain(value: Any) -> Any:
    """A field as it stands in the file: structures are arrays of their fields, absent ones null."""
    if isinstance(value, bytes):
        return packed(value)
    if isinstance(value, enum.IntEnum):
        return int(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return value
