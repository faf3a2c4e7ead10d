"""Runs a story of `crash_scenarios` once for each point to die at, and says how to see a failure again.

Owns: how points are counted and shared out. Must not know: what happens in a story.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from railgun.crypto.signing import signatures_remembered
from railgun.sim.crash_points import CrashPlan
from railgun.sim.virtual_node import LinksAfterCrash
from tests.support.crash_members import Scenario
from tests.support.crash_scenario import CrashRun, scratch_directory
from tests.support.crash_scenarios import SCENARIOS

SIGNATURES_REMEMBERED_MAX = 16_384
COLLECT_EVERY = 16
"""Runs: each leaves cycles behind, and collecting within one would cost more than it frees."""


@dataclass(frozen=True, slots=True)
class Death:
    """One way to die. ``again``: at which point of the second life, if in that one too; ``pulses`` count as effects;
    ``silent``: nobody is told by the transport, as after a power cut."""

    scenario: str
    subject: str
    point: int
    again: int | None = None
    pulses: bool = False
    silent: bool = False
    seed: int = 1

    def command(self) -> str:
        """What shows it again."""
        words = f"{self.scenario} {self.subject} {self.point}"
        words += "" if self.again is None else f" --again {self.again}"
        words += " --pulses" * self.pulses + " --silent" * self.silent
        return f".venv/bin/python tools/crash_points.py {words} --seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run. ``points``: how many the first life passed; ``died_at``: each death in words."""

    violations: tuple[str, ...]
    points: int
    died_at: tuple[str, ...]
    labels: tuple[str, ...]


def story(name: str, seed: int = 1) -> Scenario:
    """A scenario by its name."""
    return replace(SCENARIOS[name], seed=seed)


def live(death: Death | None, scenario: Scenario, subject: str) -> Outcome:
    """One run; without a death it only counts."""
    points = () if death is None else (death.point,) if death.again is None else (death.point, death.again)
    plan = CrashPlan(points, pulses=death is not None and death.pulses)
    with scratch_directory() as directory, signatures_remembered(SIGNATURES_REMEMBERED_MAX):
        run = CrashRun(scenario, subject, plan, Path(directory))
        if death is not None and death.silent:
            run.world.links_after_crash = LinksAfterCrash.SILENCE
        violations = run.go()
    return Outcome(tuple(violations), plan.reached[0], tuple(plan.died_at), tuple(plan.labels))


def counted(scenario: str, subject: str, *, pulses: bool = False, seed: int = 1) -> Outcome:
    """The run in which nobody dies, with all its points."""
    return live(Death(scenario, subject, -1, pulses=pulses, seed=seed), story(scenario, seed), subject)


def failures(deaths: list[Death]) -> Iterator[str]:
    """What is broken by which death, and how to see it again; nothing where all is well."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for index, death in enumerate(deaths):
            outcome = live(death, story(death.scenario, death.seed), death.subject)
            broken = list(outcome.violations)
            if len(outcome.died_at) < 1 + (death.again is not None):
                broken.append(f"it died {len(outcome.died_at)} times")
            if broken:
                what = "; ".join(outcome.died_at)
                yield "\n  ".join([f"{death.command()}   # {what}", *broken])
            if index % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        if was_enabled:
            gc.enable()
