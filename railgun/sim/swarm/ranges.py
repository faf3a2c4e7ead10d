"""Many seeds, on as many processes as there are cores, and what they come to.

Owns: spreading seeds over processes, the sums, how a violation is told. Must not know: how one seed runs.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TextIO

from railgun.errors import ConfigurationError
from railgun.sim.swarm.breaks import BREAKS, NO_BREAK, Break
from railgun.sim.swarm.plan import KINDS, SwarmOptions, draw_plan
from railgun.sim.swarm.scenario import SeedResult, run_seed
from railgun.sim.swarm.timeline import Timeline

PROGRESS_SECONDS: Final = 5.0
SEEDS_MAX: Final = 10_000_000
COMMAND: Final = "railgun sim swarm"


@dataclass(frozen=True, slots=True)
class SwarmResult:
    """The command's JSON keys, in order.

    ``violations``: pairs of a seed and a checker that found something. ``faults``: in how many seeds each kind struck.
    ``delivery_ms``: p50, p99 and max from a send to each reader's application. ``seconds``: of real time.
    """

    seeds: int
    violations: int
    faults: dict[str, int]
    delivery_ms: dict[str, float]
    seconds: float


class Latencies:
    """Latencies to the millisecond, however many they are."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: Iterable[float]) -> None:
        """Take some, in seconds."""
        self._counts.update(round(1000 * item) for item in seconds)

    def summary(self) -> dict[str, float]:
        """p50, p99 and max, in milliseconds; zeros where there are none."""
        return {"p50": self._at(0.50), "p99": self._at(0.99), "max": float(max(self._counts, default=0))}

    def _at(self, share: float) -> float:
        """The least latency that at least this share of all do not exceed."""
        wanted, passed = share * self._counts.total(), 0
        for value in sorted(self._counts):
            passed += self._counts[value]
            if passed >= wanted:
                return float(value)
        return 0.0


def planted(options: SwarmOptions) -> Break:
    """The bug that the options name. Raises ConfigurationError where there is none of that name."""
    if options.break_name is None:
        return NO_BREAK
    found = BREAKS.get(options.break_name)
    if found is None:
        raise ConfigurationError(f"--break {options.break_name}: must be one of {', '.join(BREAKS)}")
    return found


def run_one(seed: int, options: SwarmOptions) -> SeedResult:
    """One seed from beginning to end."""
    return run_seed(draw_plan(seed, options), planted(options))


def trace_one(seed: int, options: SwarmOptions, stream: TextIO) -> SeedResult:
    """The same, told to ``stream`` line by line. The faults come first."""
    plan = draw_plan(seed, options)
    timeline = Timeline(stream)
    timeline.tell(0.0, "plan", f"epochs of {plan.network.epoch_seconds} s, K = {plan.committee_size}, {plan.model}")
    for name, lies in plan.liars.items():
        timeline.tell(0.0, name, f"lies: {', '.join(lies)}")
    for name, skew in plan.skews_seconds.items():
        timeline.tell(0.0, name, f"its clock is off by {skew:+.3f} s")
    return run_seed(plan, planted(options), timeline)


def violation_lines(result: SeedResult, options: SwarmOptions) -> list[str]:
    """One line for each checker that found something: the seed, the checker, an example, and how to see it again."""
    lines = []
    for checker in dict.fromkeys(violation.checker for violation in result.violations):
        details = [violation.detail for violation in result.violations if violation.checker == checker]
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        replay = f"{COMMAND} --seeds {result.seed}..{result.seed}{options.flags}"
        lines.append(f"seed {result.seed}: {checker}: {details[0]}{more}; replay: {replay}")
    return lines


def run_range(
    first: int, last: int, options: SwarmOptions, *, processes: int = 1, tell: Callable[[str], None] | None = None
) -> SwarmResult:
    """Run the seeds from ``first`` to ``last``, both included. ``tell`` gets violations and, now and then, progress.

    Raises:
        ConfigurationError: the range is empty or too long, or there is no such bug to plant.
    """
    if not 0 <= first <= last or last - first >= SEEDS_MAX:
        raise ConfigurationError(f"--seeds: FIRST..LAST, with at most {SEEDS_MAX} seeds from 0 on")
    planted(options)
    began = told_at = time.perf_counter()
    faults: Counter[str] = Counter()
    latencies = Latencies()
    seeds = violations = 0
    for result in _results(range(first, last + 1), options, min(processes, last + 1 - first)):
        seeds += 1
        faults.update(result.kinds)
        latencies.add(result.latencies_seconds)
        lines = violation_lines(result, options)
        violations += len(lines)
        if tell is None:
            continue
        for line in lines:
            tell(line)
        if time.perf_counter() >= told_at + PROGRESS_SECONDS:
            told_at = time.perf_counter()
            rate = seeds / (told_at - began)
            tell(f"{seeds} of {last + 1 - first} seeds, {violations} violations, {rate:.1f} seeds a second")
    shown = {kind: faults[kind] for kind in KINDS}
    return SwarmResult(seeds, violations, shown, latencies.summary(), round(time.perf_counter() - began, 3))


def _results(seeds: range, options: SwarmOptions, processes: int) -> Iterator[SeedResult]:
    """In the order of the seeds. The machines of one seed share nothing with those of another."""
    if processes <= 1:
        for seed in seeds:
            yield run_one(seed, options)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(partial(run_one, options=options), seeds, chunksize=4 if len(seeds) > 100 else 1)
