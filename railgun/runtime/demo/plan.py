"""Who says what when.

Owns: the mix of sizes, the spread over the duration, the texts with their numbers. Must not know: rooms, processes.

A message's number, ``member-index``, is the start of its text, so that sender and recipient name it alike whatever
happens to it on its way.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Final

from railgun.runtime.demo.options import DemoOptions
from railgun.types import SizeClass

SHARES: Final = {SizeClass.MEDIUM: 0.35, SizeClass.LARGE: 0.05}
"""The rest is small."""
TEXT_LENGTHS: Final = {SizeClass.SMALL: 0, SizeClass.MEDIUM: 3_000, SizeClass.LARGE: 60_000}
"""Characters of text: what fits each class, whatever else a message has to carry."""
SHUFFLE_SEED: Final = 20
_NUMBER = re.compile(r"(\d+-\d+)(?: x*)?")


@dataclass(frozen=True, slots=True)
class Planned:
    """One message: when to send it, in seconds from the beginning, and how large."""

    number: str
    at_seconds: float
    size_class: SizeClass

    @property
    def text(self) -> str:
        """What is said."""
        length = TEXT_LENGTHS[self.size_class]
        return self.number if length == 0 else f"{self.number} ".ljust(length, "x")


def number_in(text: str) -> str | None:
    """The number of a message with this text; None for what no demo said."""
    found = _NUMBER.fullmatch(text)
    return None if found is None else found[1]


def sizes_of(total: int) -> list[SizeClass]:
    """``total`` sizes: 60 % small, 35 % medium, 5 % large, at least one of each, always in the same order."""
    counts = {size_class: max(1, round(share * total)) for size_class, share in SHARES.items()}
    counts[SizeClass.MEDIUM] = min(counts[SizeClass.MEDIUM], total - 1 - counts[SizeClass.LARGE])
    sizes = [size_class for size_class, count in counts.items() for _ in range(count)]
    sizes += [SizeClass.SMALL] * (total - len(sizes))
    random.Random(SHUFFLE_SEED).shuffle(sizes)  # noqa: S311  # no secret: it keeps one member from sending all large ones
    return sizes


def plan(options: DemoOptions) -> list[list[Planned]]:
    """Each member's messages, in the order of sending; members take turns."""
    total = options.members * options.messages
    sizes = sizes_of(total)
    planned: list[list[Planned]] = [[] for _ in range(options.members)]
    for place, size_class in enumerate(sizes):
        index, member = divmod(place, options.members)
        at_seconds = options.duration_seconds * (place + 0.5) / total
        planned[member].append(Planned(f"{member + 1}-{index + 1}", at_seconds, size_class))
    return planned
