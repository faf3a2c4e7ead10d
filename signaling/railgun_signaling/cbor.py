"""Canonical CBOR, the subset that Rail Gun speaks (spec: encoding), for frames of a few kilobytes.

Owns: encoding and strict decoding. Must not know: what a value means.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, TypeAlias, Union

import cbor2

from railgun_signaling.errors import Refusal, RefusalCode

Value: TypeAlias = Union[int, bytes, str, bool, None, "list[Value]", "dict[int, Value]"]

INTEGER_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 5
MAP_KEY_MAX: Final = 23


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("tags have no place here")


class _NoTags(dict[int, Any]):
    """Refuses every tag before its content is read: left to it, the library would follow shared references."""

    def __missing__(self, tag: int) -> Any:
        return _refuse_tag


_NO_TAGS: Final = _NoTags()


def encode(value: Value) -> bytes:
    """Encode canonically. Raises ValueError where the value lies outside the subset (our bug)."""
    _check(value, DEPTH_MAX)
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, bytes_max: int) -> Value:
    """Decode exactly one canonical value of at most ``bytes_max`` bytes. Raises Refusal (MALFORMED)."""
    if len(data) > bytes_max:
        raise Refusal(RefusalCode.MALFORMED)
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
        raise Refusal(RefusalCode.MALFORMED) from error
    if again != data:
        raise Refusal(RefusalCode.MALFORMED)
    return value  # type: ignore[no-any-return]


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
