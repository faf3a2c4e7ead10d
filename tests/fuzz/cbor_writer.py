"""CBOR as an adversary writes it: long integers, indefinite lengths, duplicated or shuffled keys, tags, floats.

Owns: `write`, which spells one value in many ways. Must not know: the codec that it is held against.
"""

from __future__ import annotations

import struct
from random import Random
from typing import Any

_WIDTHS = ((0x18, ">B", 1 << 8), (0x19, ">H", 1 << 16), (0x1A, ">I", 1 << 32), (0x1B, ">Q", 1 << 64))


class Loose:
    """Spells values; ``mischief`` is the chance, at each place, to depart from the canonical form."""

    def __init__(self, random: Random, mischief: float) -> None:
        self._random = random
        self._mischief = mischief

    def write(self, value: Any) -> bytes:
        """Any value of the subset, not always canonically and not always the same value."""
        if self._stray():
            wrapped = self._wrap(value)
            if wrapped is not None:
                return wrapped
        if value is None or isinstance(value, bool):
            return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
        if isinstance(value, int):
            return self._head(0, value) if value >= 0 else self._head(1, -1 - value)
        if isinstance(value, bytes):
            return self._string(2, value)
        if isinstance(value, str):
            return self._string(3, value.encode())
        if isinstance(value, dict):
            return self._map(list(value.items()))
        return self._array(list(value))

    def _stray(self) -> bool:
        return self._random.random() < self._mischief

    def _wrap(self, value: Any) -> bytes | None:
        random = self._random
        match random.randrange(6):
            case 0:
                tag = random.choice((0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 258, 259, 55799, 2**40))
                return self._head(6, tag) + self.write(value)
            case 1:
                return struct.pack(">Bd", 0xFB, random.choice((0.0, 1.5, float("nan"), float("inf"))))
            case 2:
                return random.choice((b"\xf7", b"\xf0", b"\xf8\xff", b"\xf8\x14", b"\xff", b"\x1c", b"\x5f", b"\x9f"))
            case 3:
                return self.write(
                    random.choice((None, True, 0, -1, 2**53 - 1, 2**53, 2**64 - 1, -(2**64), b"", "", [], {}))
                )
            case 4:
                return self.write([value])
        return None

    def _head(self, major: int, number: int) -> bytes:
        least = 0 if number < 24 else next(index for index, width in enumerate(_WIDTHS, 1) if number < width[2])
        size = self._random.randint(least, len(_WIDTHS)) if self._stray() else least
        if size == 0:
            return bytes([major << 5 | number])
        lead, layout, _ = _WIDTHS[size - 1]
        return bytes([major << 5 | lead]) + struct.pack(layout, number)

    def _string(self, major: int, data: bytes) -> bytes:
        if self._stray():
            cut = self._random.randint(0, len(data))
            pieces = b"".join(self._head(major, len(part)) + part for part in (data[:cut], data[cut:]))
            return bytes([major << 5 | 31]) + pieces + b"\xff"
        return self._head(major, len(data)) + data

    def _array(self, items: list[Any]) -> bytes:
        if self._stray() and items:
            position = self._random.randrange(len(items))
            if self._random.random() < 0.5:
                items.insert(position, items[position])
            else:
                del items[position]
        content = b"".join(self.write(item) for item in items)
        if self._stray():
            return b"\x9f" + content + b"\xff"
        return self._head(4, len(items)) + content

    def _map(self, items: list[tuple[Any, Any]]) -> bytes:
        random = self._random
        if self._stray() and items:
            match random.randrange(4):
                case 0:
                    items.append(random.choice(items))
                case 1:
                    random.shuffle(items)
                case 2:
                    del items[random.randrange(len(items))]
                case _:
                    items.append((random.choice((23, 24, -1, "a", b"a", True, None)), 0))
        content = b"".join(self.write(key) + self.write(item) for key, item in items)
        if self._stray():
            return b"\xbf" + content + b"\xff"
        return self._head(5, len(items)) + content
