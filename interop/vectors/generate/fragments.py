"""Vectors of bodies in pieces: how one is cut, and the pieces that are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from railgun.core.fragments import cut
from railgun.types import EnvelopeKind
from railgun.wire.sealed import SEALED_BODIES, Fragment

HINT = bytes(range(8))


def body_of(count: int) -> bytes:
    """Byte i is i modulo 251."""
    return bytes(index % 251 for index in range(count))


def _accepted(name: str, kind: EnvelopeKind, hint: bytes, count: int) -> dict[str, Any]:
    pieces = cut(kind, hint, body_of(count))
    return {
        "name": name,
        "operation": "cut",
        "kind": int(kind),
        "hint": hint.hex(),
        "body_bytes": count,
        "expected": {"pieces": [piece.hex() for piece in pieces]},
    }


def _refused(name: str, fragment: Fragment) -> dict[str, Any]:
    return {"name": name, "operation": "add", "data": SEALED_BODIES.encode(fragment).hex(), "code": "MALFORMED"}


def vectors() -> dict[str, Any]:
    """The whole file."""
    first = SEALED_BODIES.decode(cut(EnvelopeKind.GROUP, HINT, body_of(3_956))[1])
    if not isinstance(first, Fragment):
        raise TypeError("a body in pieces is fragments")
    return {
        "description": "Bodies in pieces (docs/spec/cover.md). Byte i of each body is i modulo 251.",
        "accepted": [
            _accepted("two pieces of a group body", EnvelopeKind.GROUP, HINT, 3_956),
            _accepted("pieces that end with the body", EnvelopeKind.SEALED, bytes(8), 7_200),
        ],
        "refused": [
            _refused("other data", replace(first, data=b"\x00" + first.data[1:])),
            _refused("another place", replace(first, index=0)),
            _refused("another kind", replace(first, kind=EnvelopeKind.PAIRWISE)),
            _refused("another hint", replace(first, hint=bytes(8))),
        ],
    }
