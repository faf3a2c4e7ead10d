"""Canonical CBOR: one encoding for one value, and a decoder that refuses all others.

Owns: the subset of CBOR that Rail Gun speaks (spec: encoding). Must not know: what a value means.

The subset: unsigned and negative integers within +-(2^53 - 1), byte strings, valid UTF-8 text,
arrays, maps whose keys are integers 0 to 23 in ascending order, false, true, null. Shortest
integers, definite lengths, no floats, tags, undefined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeAlias, Union

import cbor2

from railgun.errors import MalformedInput

Value: TypeAlias = Union[int, bytes, str, bool, None, "list[Value]", "dict[int, Value]"]

INTEGER_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 8
MAP_KEY_MAX: Final = 23
ITEMS_MAX: Final = 65_536
"""Items of one value, keys included. A byte may be an item, and an item takes up to 80 bytes of memory: without this,
what a joiner is sent in 8 MB of answers could take the better part of a gigabyte."""

_MAJORS_WITH_CONTENT: Final = (2, 3)
"""Byte strings and texts."""


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("tags have no place here")


class _NoTags(dict[int, Callable[[Any, bool], Any]]):
    """Refuses every tag before its content is read, those that the library knows by itself included.

    Left to it, shared references make 200 bytes into more values than can ever be visited, and other tags compile
    patterns or parse mail.
    """

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        return _refuse_tag


_NO_TAGS: Final = _NoTags()


def encode(value: Value) -> bytes:
    """Encode ``value`` canonically.

    Raises:
        ValueError: the value lies outside the subset (the caller's bug, not a peer's).
    """
    _check(value, DEPTH_MAX)
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, bytes_max: int) -> Value:
    """Decode exactly one canonical value of at most ``bytes_max`` bytes.

    Raises:
        MalformedInput: anything else, in time and memory linear in ``bytes_max``.
    """
    if len(data) > bytes_max:
        raise MalformedInput(f"{len(data)} bytes, at most {bytes_max} allowed")
    if len(data) > ITEMS_MAX:  # a shorter one has no more items than bytes
        _check_count(data)
    try:
        value = cbor2.loads(
            data,
            tag_hook=_refuse_tag,
            semantic_decoders=_NO_TAGS,
            max_depth=DEPTH_MAX + 1,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        _check(value, DEPTH_MAX)
        again = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise MalformedInput("not canonical CBOR") from error
    if again != data:
        raise MalformedInput("not canonical CBOR")
    return value  # type: ignore[no-any-return]


def _check_count(data: bytes) -> None:
    """Raise MalformedInput for more than ITEMS_MAX items, going from head to head and reading nothing else."""
    position, end = 0, len(data)
    for _ in range(ITEMS_MAX):
        if position >= end:
            return
        major, number = data[position] >> 5, data[position] & 31
        position += 1
        if number >= 28:
            raise MalformedInput("not canonical CBOR")
        if number >= 24:
            width = 1 << number - 24
            number = int.from_bytes(data[position : position + width], "big")
            position += width
        if major in _MAJORS_WITH_CONTENT:
            position += number
    if position < end:
        raise MalformedInput(f"more than {ITEMS_MAX} items")


def _check(value: object, depth: int) -> None:
    if value is None or isinstance(value, (bool, bytes)):
        return
    if isinstance(value, int):
        if not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise ValueError("integer out of range")
        return
    if isinstance(value, str):
        value.encode()  # lone surrogates are no valid UTF-8
        return
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, (list, tuple)):
        for item in value:
            _check(item, depth - 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not int or not 0 <= key <= MAP_KEY_MAX:
                raise ValueError("map keys are integers 0 to 23")
            _check(item, depth - 1)
        return
    raise ValueError(f"{type(value).__name__} has no encoding here")
