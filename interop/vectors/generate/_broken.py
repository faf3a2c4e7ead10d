"""What is wrong with a record: each of its fields missing, and in each way in which its form can be missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cbor2

from interop.vectors.generate._packed import packed
from railgun.limits import FRAME_BYTES_MAX
from railgun.wire.schema import Array, Bool, Bytes, Codec, Nested, Optional, Shape, Uint, shapes_of


def refusal(operation: str, name: str, data: bytes, code: str = "malformed") -> dict[str, Any]:
    """A case of bytes that ``operation`` refuses with ``code``."""
    return {"name": name, "operation": operation, "bytes": packed(data), "code": code}


def broken_values(shape: Shape, good: Any) -> Iterator[tuple[str, Any]]:
    """(what is wrong, value): each way in which a value fails its shape."""
    yield "null", None
    match shape:
        case Bytes(least, most):
            if least:
                yield "too short", bytes(least - 1)
            yield "too long", bytes((least if most is None else most) + 1)
            yield "text", "x" * least
        case Uint(most, make):
            yield "negative", -1
            yield "too great", most + 1
            yield "bool", True
            if make is not None and not any(_makes(make, number) for number in (most,)):
                yield "unknown value", most
        case Bool():
            yield "integer", 1
        case Array(item, most, least):
            if least:
                yield "too few", good[: least - 1]
            yield "too many", (list(good) * (most + 1))[: most + 1] if good else [_any(item)] * (most + 1)
            yield "no array", {0: 0}
            for what, value in broken_values(item, good[0] if good else _any(item)):
                yield f"item {what}", [value]
        case Nested(cls):
            fields = shapes_of(cls)
            yield "a field short", good[:-1]
            yield "a field long", [*good, 0]
            yield "no array", b""
            for index, (name, inner) in enumerate(fields):
                for what, value in broken_values(inner, good[index]):
                    yield f"{name} {what}", [*good[:index], value, *good[index + 1 :]]


def _makes(make: Any, number: int) -> bool:
    try:
        make(number)
    except ValueError:
        return False
    return True


def _any(shape: Shape) -> Any:
    return bytes(shape.least) if isinstance(shape, Bytes) else 1


def broken_fields(operation: str, codec: Codec[Any], item: Any) -> Iterator[dict[str, Any]]:
    """Each field of ``item`` missing, and wrong in each way that its shape knows; and a field too many."""
    good: dict[int, Any] = cbor2.loads(codec.encode(item))
    word = type(item).__name__
    shapes = shapes_of(type(item))
    for key, (name, shape) in enumerate(shapes, start=1):
        inner = shape
        if isinstance(shape, Optional):
            inner = shape.item
        else:
            rest = {number: value for number, value in good.items() if number != key}
            yield refusal(operation, f"{word}: no {name}", cbor2.dumps(rest, canonical=True))
        for what, value in broken_values(inner, good.get(key)):
            broken = cbor2.dumps({**good, key: value}, canonical=True)
            if len(broken) <= FRAME_BYTES_MAX:
                yield refusal(operation, f"{word}: {name} {what}", broken)
    yield refusal(operation, f"{word}: a field too many", cbor2.dumps({**good, len(shapes) + 1: 0}, canonical=True))
