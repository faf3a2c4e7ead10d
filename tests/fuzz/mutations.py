"""Ways to spoil a valid encoding.

Owns: `mutated`. Must not know: what the bytes mean, beyond that they may be CBOR.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from railgun.errors import MalformedInput
from railgun.wire import cbor
from tests.fuzz.cbor_writer import Loose

_BYTES = (0x00, 0x01, 0x17, 0x18, 0x1B, 0x1F, 0x20, 0x40, 0x5F, 0x7F, 0x80, 0x9B, 0xA0, 0xBF, 0xC0, 0xF6, 0xFF)


def mutated(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """``data`` with one to four faults: flipped bits, cuts, repeats, splices, or another spelling of the same CBOR."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = _fault(data, random, others)
    return data


def _fault(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    size = len(data)
    at = random.randrange(size) if size else 0
    end = min(size, at + random.choice((1, 1, 2, 4, 16, 64, size)))
    match random.randrange(9):
        case 0 if size:
            return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        case 1 if size:
            return data[:at] + bytes([random.choice(_BYTES)]) + data[at + 1 :]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + data[end:]
        case 4:
            return data[:end] + data[at:end] + data[end:]
        case 5:
            return data[:at] + random.randbytes(random.choice((1, 2, 8, 40))) + data[at:]
        case 6:
            other = random.choice(others) if others else b""
            cut = random.randrange(len(other) + 1)
            return data[:at] + other[cut : cut + random.choice((8, 64, len(other)))] + data[end:]
        case 7:
            return data + random.choice((b"\0", data[:at], random.randbytes(3)))
        case _:
            return respelt(data, random)


def respelt(data: bytes, random: Random) -> bytes:
    """The same CBOR value (or nearly) in another spelling; unchanged where it is no CBOR."""
    try:
        value = cbor.decode(data, bytes_max=max(len(data), 1))
    except MalformedInput:
        return data
    return Loose(random, random.choice((0.01, 0.05, 0.3))).write(value)
