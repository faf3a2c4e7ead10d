"""Valid values of every dataclass that a codec knows, made from its shapes: what mutations start from.

Owns: sampling by shape, the few classes whose fields depend on each other, finding all codecs of the package.
Must not know: what a decoder does with them.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import pkgutil
from collections.abc import Callable
from random import Random
from typing import Any

import railgun
from railgun.types import Address
from railgun.wire import directory_frames as directory
from railgun.wire import roster
from railgun.wire.certificates import DeviceCertificate
from railgun.wire.content import PartContent
from railgun.wire.records import Ad, AddressShape, Obituary
from railgun.wire.rendezvous import RendezvousUrlShape
from railgun.wire.schema import Array, Bool, Bytes, Codec, Int, Nested, Optional, Shape, Text, Uint, shapes_of

TRIES_MAX = 400
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz 0123456789äß\u4e16\U0001f600\n"


class Sampler:
    """Random values that fit their shapes. ``generous`` is the chance that a length is the longest allowed."""

    def __init__(self, random: Random, generous: float = 0.05) -> None:
        self._random = random
        self._generous = generous

    def encoded(self, codec: Codec[Any], cls: type) -> bytes:
        """A valid encoding of an instance of ``cls``."""
        for _ in range(TRIES_MAX):
            try:
                return codec.encode(self.instance(cls))
            except ValueError:
                self._generous /= 2  # too large as a whole
        raise AssertionError(f"no {cls.__name__} fits its codec: teach tests/fuzz/samples.py how to make one")

    def instance(self, cls: type) -> Any:
        """An instance that its own checks accept."""
        for _ in range(TRIES_MAX):
            fields = {name: self.shape(shape) for name, shape in shapes_of(cls)}
            fields |= self._dependent(cls, fields)
            try:
                return cls(**fields)
            except ValueError:
                continue
        raise AssertionError(f"{cls.__name__}'s fields depend on each other: teach tests/fuzz/samples.py how")

    def shape(self, shape: Shape) -> Any:
        """A value of one shape."""
        random = self._random
        match shape:
            case Bytes():
                return random.randbytes(self._length(shape.least, shape.least if shape.most is None else shape.most))
            case Uint():
                return self._uint(shape)
            case Int():
                return random.choice((-shape.most, shape.most, 0, random.randint(-shape.most, shape.most)))
            case Bool():
                return random.random() < 0.5
            case Text():
                return self._text(shape.least, shape.most)
            case Array():
                return tuple(self.shape(shape.item) for _ in range(self._length(shape.least, shape.most, 3)))
            case Optional():
                return self.shape(shape.item) if random.random() < 0.5 else None
            case Nested():
                return self.instance(shape.cls)
            case AddressShape():
                return self._address()
            case RendezvousUrlShape():
                return self._rendezvous_url()
            case _:
                raise AssertionError(f"tests/fuzz/samples.py does not know {type(shape).__name__}")

    def _length(self, least: int, most: int, usual: int = 40) -> int:
        if self._random.random() < self._generous:
            return most
        return self._random.randint(least, min(most, least + usual))

    def _uint(self, shape: Uint) -> Any:
        random = self._random
        for _ in range(TRIES_MAX):
            number = random.choice((0, 1, shape.most, random.randint(0, min(shape.most, 30)), random.randrange(2**16)))
            if number > shape.most:
                continue
            try:
                return number if shape.make is None else shape.make(number)
            except ValueError:
                continue
        raise AssertionError("no member of an enumeration found")

    def _text(self, least: int, most: int) -> str:
        word = "".join(self._random.choice(_CHARACTERS) for _ in range(20))
        length = self._length(least, most)
        text = (word * (length // 20 + 1))[:length].encode()[:most].decode(errors="ignore")
        return text.ljust(least)

    def _address(self) -> Address:
        random = self._random
        host = (
            ".".join(str(random.randrange(256)) for _ in range(4))
            if random.random() < 0.5
            else ":".join(f"{random.randrange(1, 2**16):x}" for _ in range(8))
        )
        return Address(host, random.randint(1, 65_535))

    def _rendezvous_url(self) -> str:
        random = self._random
        host = random.choice(("a.example", "[2001:db8::1]", "192.0.2.1"))
        path = "/" + "p" * self._length(1, 80) if random.random() < 0.5 else ""
        return f"{random.choice(('ws', 'wss'))}://{host}:{random.randint(1, 65_535)}{path}"

    # --- classes whose fields depend on each other --------------------------------------------------

    def _dependent(self, cls: type, fields: dict[str, Any]) -> dict[str, Any]:
        random = self._random
        if cls is DeviceCertificate:
            return {"expires": fields["issued"] + 1 if fields["issued"] < 2**32 - 1 else fields["issued"]}
        if cls is Ad:
            return {"expires": max(fields["issued"], fields["expires"])}
        if cls is Obituary:
            return {"testimonies": tuple(sorted(fields["testimonies"], key=lambda item: item.signer))}
        if cls is roster.CreateEntry:
            named = roster.NamedGeneration(1, random.randbytes(32), 20_000, roster.NO_HASH)
            return {"generation": named}
        if cls is roster.SettingsEntry:
            return {"from_day": fields["time"] // roster.SECONDS_PER_DAY + 1}
        if cls is PartContent:
            index = random.randrange(8)
            return {"index": index, "count": max(2, index + 1), "first": random.randbytes(16) if index else b""}
        if cls in (directory.DirectoryRanges, directory.DirectoryIds):
            return {"ranges": self._ranges(directory.IdRange if cls is directory.DirectoryIds else None)}
        return {}

    def _ranges(self, id_range: type[directory.IdRange] | None) -> tuple[Any, ...]:
        random = self._random
        cuts = sorted({random.randbytes(random.randint(1, 32)) for _ in range(random.randint(2, 12))})
        bounds = list(itertools.pairwise([b"", *cuts, b""]))
        if id_range is None:
            return tuple(
                directory.DirectoryRange(lower, upper, random.randrange(2**32), random.randbytes(16))
                for lower, upper in bounds
            )
        ids = sorted(random.randbytes(32) for _ in range(40))
        return tuple(
            id_range(lower, upper, tuple(i for i in ids if i >= lower and (not upper or i < upper))[:32])
            for lower, upper in bounds
        )


@functools.cache
def all_codecs() -> dict[str, Codec[Any]]:
    """Every codec that stands in a module of the package, under ``module.NAME``."""
    found: dict[int, tuple[str, Codec[Any]]] = {}
    for info in pkgutil.walk_packages(railgun.__path__, "railgun."):
        if info.name.endswith("__main__") or ".cli" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if isinstance(value, Codec):
                label = f"{info.name.removeprefix('railgun.')}.{name.strip('_').lower()}"
                known = found.get(id(value))
                # The name where it is made beats the names where it is imported: names in `wire` come last.
                if known is None or info.name.startswith("railgun.wire"):
                    found[id(value)] = (label, value)
    return dict(sorted(found.values(), key=lambda item: item[0]))


def codec_samples(codec: Codec[Any], random: Random, each: int = 1, generous: float = 0.05) -> list[bytes]:
    """``each`` valid encodings of every class of a codec."""
    return [Sampler(random, generous).encoded(codec, cls) for cls in codec.classes.values() for _ in range(each)]


def text_of(data: bytes) -> str:
    """Any bytes as text, lone surrogates included: what a terminal or an environment may hold."""
    return data.decode("utf-8", "surrogateescape")


Decode = Callable[[bytes], Any]
