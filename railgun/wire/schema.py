"""Shapes: how a dataclass maps onto canonical CBOR and back.

Owns: the combinators (`Bytes`, `Uint`, `Text`, `Array`, `Optional`, `Nested`) and the `Codec` built from
a dataclass whose fields carry them. Must not know: any particular frame or record.

Each shape checks both ways, so that a value that cannot be decoded cannot be sent either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from railgun.errors import MalformedInput
from railgun.wire import cbor
from railgun.wire.cbor import Value

T = TypeVar("T")


class Shape:
    """How one field looks on the wire."""

    def pack(self, value: Any) -> Value:
        """From the Python value to CBOR's. Raises ValueError where it does not fit."""
        raise NotImplementedError

    def unpack(self, value: Value) -> Any:
        """From CBOR's value to the Python value. Raises MalformedInput where it does not fit."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Bytes(Shape):
    """A byte string of ``least`` to ``most`` bytes; ``most`` None means exactly ``least``."""

    least: int
    most: int | None = None

    def _fits(self, value: object) -> bool:
        most = self.least if self.most is None else self.most
        return isinstance(value, bytes) and self.least <= len(value) <= most

    def pack(self, value: Any) -> Value:
        if not self._fits(value):
            raise ValueError(f"expected {self}")
        return value  # type: ignore[no-any-return]

    def unpack(self, value: Value) -> Any:
        if not self._fits(value):
            raise MalformedInput("byte string of the wrong length")
        return value


@dataclasses.dataclass(frozen=True)
class Uint(Shape):
    """An integer from 0 to ``most``; ``make`` turns it into an enumeration's member."""

    most: int = cbor.INTEGER_MAX
    make: Callable[[int], Any] | None = None

    def pack(self, value: Any) -> Value:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= self.most:
            raise ValueError(f"expected {self}")
        return int(value)

    def unpack(self, value: Value) -> Any:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= self.most:
            raise MalformedInput("integer out of range")
        if self.make is None:
            return value
        try:
            return self.make(value)
        except ValueError as error:
            raise MalformedInput("unknown enumeration value") from error


@dataclasses.dataclass(frozen=True)
class Int(Shape):
    """A signed integer from -``most`` to ``most``."""

    most: int

    def pack(self, value: Any) -> Value:
        if not isinstance(value, int) or isinstance(value, bool) or not -self.most <= value <= self.most:
            raise ValueError(f"expected {self}")
        return value

    def unpack(self, value: Value) -> Any:
        if not isinstance(value, int) or isinstance(value, bool) or not -self.most <= value <= self.most:
            raise MalformedInput("integer out of range")
        return value


@dataclasses.dataclass(frozen=True)
class Bool(Shape):
    """True or false."""

    def pack(self, value: Any) -> Value:
        if not isinstance(value, bool):
            raise ValueError("expected a boolean")
        return value

    def unpack(self, value: Value) -> Any:
        if not isinstance(value, bool):
            raise MalformedInput("expected a boolean")
        return value


@dataclasses.dataclass(frozen=True)
class Text(Shape):
    """UTF-8 text of ``least`` to ``most`` bytes, not normalised."""

    most: int
    least: int = 0

    def pack(self, value: Any) -> Value:
        if not isinstance(value, str) or not self.least <= len(value.encode()) <= self.most:
            raise ValueError(f"expected {self}")
        return value

    def unpack(self, value: Value) -> Any:
        if not isinstance(value, str) or not self.least <= len(value.encode()) <= self.most:
            raise MalformedInput("text of the wrong length")
        return value


@dataclasses.dataclass(frozen=True)
class Array(Shape):
    """``least`` to ``most`` items of one shape; a tuple in Python."""

    item: Shape
    most: int
    least: int = 0

    def pack(self, value: Any) -> Value:
        if not isinstance(value, Sequence) or not self.least <= len(value) <= self.most:
            raise ValueError(f"expected {self.least} to {self.most} items")
        return [self.item.pack(item) for item in value]

    def unpack(self, value: Value) -> Any:
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            raise MalformedInput("array of the wrong length")
        return tuple(self.item.unpack(item) for item in value)


@dataclasses.dataclass(frozen=True)
class Optional(Shape):
    """Absent from the map when None."""

    item: Shape

    def pack(self, value: Any) -> Value:
        return None if value is None else self.item.pack(value)

    def unpack(self, value: Value) -> Any:
        return self.item.unpack(value)


@dataclasses.dataclass(frozen=True)
class Nested(Shape):
    """Another dataclass, as an array of its fields in order."""

    cls: type

    def _shapes(self) -> tuple[tuple[str, Shape], ...]:
        return shapes_of(self.cls)

    def pack(self, value: Any) -> Value:
        if not isinstance(value, self.cls):
            raise ValueError(f"expected {self.cls.__name__}")
        return [shape.pack(getattr(value, name)) for name, shape in self._shapes()]

    def unpack(self, value: Value) -> Any:
        shapes = self._shapes()
        if not isinstance(value, list) or len(value) != len(shapes):
            raise MalformedInput("structure of the wrong length")
        return build(self.cls, [shape.unpack(item) for (_, shape), item in zip(shapes, value, strict=True)])


def build(cls: type[T], values: Sequence[Any]) -> T:
    """Construct; a ValueError of the class's own checks becomes MalformedInput."""
    try:
        return cls(*values)
    except ValueError as error:
        raise MalformedInput(str(error)) from error


def shapes_of(cls: type) -> tuple[tuple[str, Shape], ...]:
    """The (field name, shape) pairs of a dataclass whose fields are ``Annotated[type, Shape]``."""
    cached = cls.__dict__.get("_railgun_shapes")
    if cached is not None:
        return cached  # type: ignore[no-any-return]
    hints = get_type_hints(cls, include_extras=True)
    pairs = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        shape = next((extra for extra in extras if isinstance(extra, Shape)), None)
        if shape is None:
            raise TypeError(f"{cls.__name__}.{field.name} carries no shape")
        pairs.append((field.name, shape))
    result = tuple(pairs)
    cls._railgun_shapes = result  # type: ignore[attr-defined]
    return result


class Codec(Generic[T]):
    """Encodes a closed set of dataclasses as maps: key 0 is the kind, keys 1 to 23 the fields in order."""

    def __init__(self, kinds: dict[int, type], *, bytes_max: int) -> None:
        """``kinds`` maps a kind number (0 to 255) to its dataclass; frames are at most ``bytes_max`` bytes."""
        self._classes = dict(kinds)
        self._numbers = {cls: number for number, cls in kinds.items()}
        self.bytes_max = bytes_max

    @property
    def classes(self) -> dict[int, type]:
        """Kind number to dataclass."""
        return dict(self._classes)

    def encode(self, item: T) -> bytes:
        """Encode. Raises ValueError where a field does not fit its shape."""
        number = self._numbers[type(item)]
        fields: dict[int, Value] = {0: number}
        for index, (name, shape) in enumerate(shapes_of(type(item)), start=1):
            value = getattr(item, name)
            if value is not None:
                fields[index] = shape.pack(value)
        encoded = cbor.encode(fields)
        if len(encoded) > self.bytes_max:
            raise ValueError(f"{type(item).__name__} takes {len(encoded)} bytes, at most {self.bytes_max} allowed")
        return encoded

    def decode(self, data: bytes) -> T:
        """Decode one item, or raise MalformedInput."""
        value = cbor.decode(data, bytes_max=self.bytes_max)
        if not isinstance(value, dict):
            raise MalformedInput("expected a map")
        number = value.pop(0, None)
        cls = self._classes.get(number) if type(number) is int else None
        if cls is None:
            raise MalformedInput("unknown kind")
        values = []
        for index, (_, shape) in enumerate(shapes_of(cls), start=1):
            if index in value:
                values.append(shape.unpack(value.pop(index)))
            elif isinstance(shape, Optional):
                values.append(None)
            else:
                raise MalformedInput("missing field")
        if value:
            raise MalformedInput("unknown field")
        return build(cls, values)
