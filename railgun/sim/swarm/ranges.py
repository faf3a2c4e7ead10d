"""Many seeds, on as many processes as there are cores, and what they come to.

Owns: spreading seeds over processes, the sums, how a violation is told. Must not know: how one seed runs.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TextIO

from railgun.errors import ConfigurationError
from railgun.sim.swarm.breaks import BREAKS, NO_BREAK, Break
from railgun.sim.swarm.log import LogLine, SwarmLog, code_digest, parts_left, within
from railgun.sim.swarm.plan import KINDS, SwarmOptions, draw_plan
from railgun.sim.swarm.scenario import SeedResult, run_seed
from railgun.sim.swarm.timeline import Timeline

PROGRESS_SECONDS: Final = 5.0
SEEDS_MAX: Final = 10_000_000
COMMAND: Final = "railgun sim swarm"
LATENCY_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class SwarmResult:
    """The command's JSON keys, in order.

    ``violations``: pairs of a seed and a checker that found something. ``faults``: in how many seeds each kind struck.
    ``delivery_ms``: p50, p99 and max from a send to each reader's application, without the time in which that was down.
    ``seconds``: of real time.
    """

    seeds: int
    violations: int
    faults: dict[str, int]
    delivery_ms: dict[str, float]
    seconds: float


class Latencies:
    """Latencies to the millisecond, and three digits, however many they are."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: Iterable[float]) -> None:
        """Take some, in seconds."""
        self._counts.update(_three_digits(round(1000 * item)) for item in seconds)

    def counts(self) -> tuple[tuple[int, int], ...]:
        """Pairs of milliseconds and how many took so long, ascending."""
        return tuple(sorted(self._counts.items()))

    def add_counts(self, counts: Iterable[tuple[int, int]]) -> None:
        """Take such pairs."""
        for milliseconds, count in counts:
            self._counts[milliseconds] += count

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


class _Sums:
    """What some seeds come to."""

    def __init__(self) -> None:
        self.seeds = 0
        self.found: list[str] = []
        self.violations = 0
        self.faults: Counter[str] = Counter()
        self.latencies = Latencies()
        self.began = time.perf_counter()

    def add(self, result: SeedResult, lines: Sequence[str]) -> None:
        """One more seed; ``lines``: its violations."""
        self.seeds += 1
        self.found += lines
        self.violations += len(lines)
        self.faults.update(result.kinds)
        self.latencies.add(result.latencies_seconds)

    def add_line(self, line: LogLine) -> None:
        """Seeds that ran before."""
        self.seeds += line.seeds
        self.violations += line.violations
        self.faults.update(line.faults)
        self.latencies.add_counts(line.latencies_ms)

    def line(self, part: range, flags: str, code: str) -> LogLine:
        """The log's line, if these are the seeds of ``part``."""
        date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        faults = {kind: count for kind in KINDS if (count := self.faults[kind])}
        seconds = round(time.perf_counter() - self.began, 3)
        counts = self.latencies.counts()
        return LogLine(
            part[0], part[-1], flags, code, date, self.violations, tuple(self.found), faults, counts, seconds
        )


def run_range(
    first: int,
    last: int,
    options: SwarmOptions,
    *,
    processes: int = 1,
    tell: Callable[[str], None] | None = None,
    log: SwarmLog | None = None,
    resume: bool = False,
) -> SwarmResult:
    """Run the seeds from ``first`` to ``last``, both included. ``tell`` gets violations and, now and then, progress.

    ``log`` gets a line for each part that is through. ``resume``: seeds that stand there already, with the same flags
    and the same code, are not run again; the sums take them in, and ``tell`` hears their violations once more.

    Raises:
        ConfigurationError: the range is empty or too long, there is no such bug to plant, or ``log`` is another file.
        OSError: ``log`` cannot be written.
    """
    if not 0 <= first <= last or last - first >= SEEDS_MAX:
        raise ConfigurationError(f"--seeds: FIRST..LAST, with at most {SEEDS_MAX} seeds from 0 on")
    planted(options)
    flags, code = options.flags.strip(), code_digest() if log is not None else ""
    if log is not None:
        log.prepare()
    total, say = _Sums(), tell or _say_nothing
    known = log.of_the_same(flags, code) if log is not None else []  # another file is refused before it is written to
    done = within(known, first, last) if resume else []
    for line in done:
        total.add_line(line)
        for text in line.found:
            say(text)
    if total.seeds:
        say(f"{total.seeds} of {last + 1 - first} seeds have run before")
    parts = list(parts_left(done, first, last)) if log is not None else [range(first, last + 1)]
    progress = _Progress(sum(map(len, parts)), total, say)
    with _runner(options, min(processes, progress.wanted)) as run:
        for part in parts:
            sums = _Sums()
            for result in run(part):
                lines = violation_lines(result, options)
                for each in (sums, total):
                    each.add(result, lines)
                for text in lines:
                    say(text)
                progress.tell()
            if log is not None:
                log.append(sums.line(part, flags, code))
    shown = {kind: total.faults[kind] for kind in KINDS}
    seconds = round(time.perf_counter() - total.began, 3)
    return SwarmResult(total.seeds, total.violations, shown, total.latencies.summary(), seconds)


class _Progress:
    """Tells now and then how far a run is."""

    def __init__(self, wanted: int, total: _Sums, say: Callable[[str], None]) -> None:
        self.wanted = wanted
        self._total = total
        self._before = total.seeds
        self._say = say
        self._told_at = total.began

    def tell(self) -> None:
        now = time.perf_counter()
        if now < self._told_at + PROGRESS_SECONDS:
            return
        self._told_at = now
        ran = self._total.seeds - self._before
        rate = ran / (now - self._total.began)
        self._say(f"{ran} of {self.wanted} seeds, {self._total.violations} violations, {rate:.1f} seeds a second")


def _say_nothing(text: str) -> None:
    """In place of a listener."""


@contextmanager
def _runner(options: SwarmOptions, processes: int) -> Iterator[Callable[[range], Iterator[SeedResult]]]:
    """Runs seeds in their order. The machines of one seed share nothing with those of another."""
    one = partial(run_one, options=options)
    if processes <= 1:
        yield partial(map, one)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield lambda seeds: pool.imap(one, seeds, chunksize=4 if len(seeds) > 100 else 1)


def _three_digits(milliseconds: int) -> int:
    """The first three digits of a latency, so that there are few different ones."""
    step = int(10 ** max(0, len(str(milliseconds)) - LATENCY_DIGITS))
    return milliseconds // step * step
