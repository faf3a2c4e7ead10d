"""Values that are made by the million: frozen to the type checker, cheap to the machine.

Owns: the one decorator. Must not know: what it decorates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def quick_value(cls: type[T]) -> type[T]:
    """A slotted dataclass that mypy takes for a frozen one.

    A frozen dataclass sets each field through ``object.__setattr__``: making one takes two and a half times as long,
    which shows where pulses and timers go by. Nothing may assign to a field of one; mypy sees to it.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
