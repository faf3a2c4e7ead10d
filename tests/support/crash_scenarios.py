"""What is enumerated: short stories of a room, each with every way to die in them."""

from __future__ import annotations

from collections.abc import Sequence

from railgun.sim.faults import Heal, Partition
from railgun.types import SizeClass
from railgun.wire.roster import Cover
from tests.support.crash_members import RELAYS, Scenario, Step

SMALL, MEDIUM, LARGE = SizeClass.SMALL, SizeClass.MEDIUM, SizeClass.LARGE
TWO = ("anna", "bert")
THREE = (*TWO, "cara")
RELAY_NAMES = tuple(f"relay-{index}" for index in range(RELAYS))


def coming(members: Sequence[str], at: float = 2.0) -> tuple[Step, ...]:
    """The first makes a room, the others are let in."""
    maker, *others = members
    return (
        Step(at, maker, "create"),
        Step(at + 0.1, maker, "invite"),
        *(Step(at + 0.2, name, "join") for name in others),
    )


def saying(
    members: Sequence[str], first: int, at: float, every: float, sizes: Sequence[SizeClass | None]
) -> tuple[Step, ...]:
    """One after the other, each in the next size."""
    return tuple(
        Step(at + every * index, members[index % len(members)], "say", first + index, size)
        for index, size in enumerate(sizes)
    )


JOIN = Scenario("join", TWO, (*coming(TWO), *saying(TWO, 1, 3.0, 0.2, [SMALL] * 2)), TWO)
"""A room is made, somebody is let in, both speak."""
SIZES = Scenario(
    "sizes",
    TWO,
    (*coming(TWO), *saying(TWO, 1, 3.5, 0.2, [SMALL, MEDIUM, LARGE, LARGE]), Step(4.4, "anna", "say", 9, None, 70_000)),
    TWO,
)
"""Envelopes of all three sizes, and a text in two parts."""
REMOVAL = Scenario(
    "removal",
    THREE,
    (
        *coming(THREE),
        *saying(THREE, 1, 3.0, 0.1, [SMALL] * 3),
        Step(3.6, "anna", "remove", whom="cara"),
        *saying(TWO, 11, 3.7, 0.2, [SMALL, MEDIUM]),
    ),
    TWO,
)
"""Somebody is put out: a new generation, and new Megolm sessions under it."""
FILE = Scenario("file", TWO, (*coming(TWO), Step(3.2, "anna", "offer"), *saying(TWO, 1, 3.4, 0.2, [SMALL] * 2)), TWO)
"""A file is offered and goes over in pieces."""
ROTATION = Scenario("rotation", TWO, (*coming(TWO), *saying(TWO, 1, 4.0, 1.9, [SMALL, MEDIUM] * 3)), TWO)
"""Epochs begin and end while both speak."""
GAPS = Scenario(
    "gaps",
    THREE,
    (*coming(THREE), *saying(THREE, 1, 3.0, 0.2, [SMALL] * 3), *saying(TWO, 11, 6.0, 0.5, [SMALL] * 3)),
    ("bert", "cara"),
    faults=(
        Partition(at_seconds=5.0, groups=(("cara",), (*RELAY_NAMES, *TWO))),
        Heal(at_seconds=24.0),
    ),
)
"""Somebody is cut off for longer than seats keep anything, and asks the others for what it lacks."""
STRICT = Scenario(
    "strict",
    TWO,
    (*coming(TWO), *saying(TWO, 1, 3.5, 0.2, [SMALL, MEDIUM]), Step(4.0, "anna", "say", 9, None, 9_000)),
    ("anna",),
    cover=Cover.STRICT,
)
"""What is said waits for its tick, and goes out in pieces of 4,096 bytes among decoys."""
DEVICES = Scenario(
    "devices",
    (*TWO, "phone"),
    (
        *coming(TWO),
        Step(3.0, "bert", "link", whom="phone"),
        Step(3.1, "phone", "link"),
        *saying((*TWO, "phone"), 1, 4.5, 0.2, [SMALL] * 3),
    ),
    ("bert", "phone"),
)
"""Somebody links a second device, and it gets the room."""
SCENARIOS = {scenario.name: scenario for scenario in (JOIN, SIZES, REMOVAL, FILE, ROTATION, GAPS, STRICT, DEVICES)}
