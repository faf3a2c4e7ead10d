"""Fuzz targets of `railgun.core`: scripts of hostile peers against a relay and a client. Four bytes are a step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from random import Random

from tests.fuzz.machine_lab import MachineLab
from tests.fuzz.targets import SEED, Target

STEP_BYTES = 4
STEPS_MAX = 100


def _script(relay: bool) -> Callable[[bytes], object]:
    def run(data: bytes) -> None:
        steps = [data[at : at + STEP_BYTES] for at in range(0, min(len(data), STEPS_MAX * STEP_BYTES), STEP_BYTES)]
        MachineLab(relay=relay).run(int.from_bytes(step, "big") for step in steps)

    return run


@functools.cache
def machine_targets() -> tuple[Target, ...]:
    """A relay and a client. Their inputs are scripts, always accepted, and so have no place among the decoders."""
    scripts = [Random(SEED + number).randbytes(STEP_BYTES * 40) for number in range(8)]
    return tuple(
        Target(name, _script(relay), (), lambda: scripts, bytes_max=STEP_BYTES * STEPS_MAX, group="machines")
        for name, relay in (("relay_machine", True), ("client_machine", False))
    )
