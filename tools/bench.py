"""Runs the benchmarks of tools/bench_limits.toml and judges what they measured. `make bench ARGS="--only demo"`.

Owns: reading the limits, judging, the table and the object. Must not know: how anything is measured.
Exit status: 0, every limit kept (aims may be missed); 1, one broken; 2, a benchmark did not run, or a mistake in usage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RAILGUN = Path(sys.executable).parent / "railgun"
LIMITS = Path(__file__).with_name("bench_limits.toml")
RUN_SECONDS_MAX = 3_600
LIMIT_WORDS = ("at_least", "at_most", "below")
AIM_PREFIX = "aim_"
SIGNS = {"at_least": ">=", "at_most": "<=", "below": "<"}
NUMBER_KEYS = {"key", "over", "over_benchmark", *LIMIT_WORDS, *(AIM_PREFIX + word for word in LIMIT_WORDS)}

Result = dict[str, Any]


@dataclass(frozen=True)
class Bound:
    """What a number is held to: one of LIMIT_WORDS and a bound."""

    word: str
    bound: float

    def holds(self, measured: float | None) -> bool:
        """Whether it was measured and is within the bound."""
        if measured is None:
            return False
        if self.word == "at_least":
            return measured >= self.bound
        return measured <= self.bound if self.word == "at_most" else measured < self.bound

    def __str__(self) -> str:
        return f"{SIGNS[self.word]} {self.bound:g}"


@dataclass(frozen=True)
class Number:
    """A number to look at in a command's object, or its ratio to another: of the same object, or of an earlier one."""

    key: str
    over: str | None
    over_benchmark: str | None
    limits: tuple[Bound, ...]
    aims: tuple[Bound, ...]

    @property
    def label(self) -> str:
        if self.over is None:
            return self.key
        return f"{self.key} / {self.over}" + (f" of {self.over_benchmark}" if self.over_benchmark else "")

    def read(self, result: Result, earlier: Mapping[str, Result]) -> float | None:
        """The number, or None where it was not measured. Raises KeyError where the object has no such key.

        ``earlier``: what other benchmarks of the same run printed, by name. A ratio to one that printed nothing was
        not measured.
        """
        found = _look_up(result, self.key)
        if self.over is None:
            return found
        divisor = result if self.over_benchmark is None else earlier.get(self.over_benchmark)
        other = None if divisor is None else _look_up(divisor, self.over)
        return None if found is None or not other else found / other


@dataclass(frozen=True)
class Benchmark:
    """A command and what is held to be true of its object."""

    name: str
    command: tuple[str, ...]
    numbers: tuple[Number, ...]

    @property
    def needs(self) -> set[str]:
        """Names of the benchmarks that have to run before it."""
        return {number.over_benchmark for number in self.numbers if number.over_benchmark is not None}


@dataclass(frozen=True)
class Judgement:
    """One line of the table. ``verdict``: kept, BROKEN, aim met, aim missed or reported."""

    number: str
    measured: float | None
    bound: str
    verdict: str

    @property
    def is_broken(self) -> bool:
        return self.verdict == "BROKEN"


def _look_up(result: Result, key: str) -> float | None:
    found: Any = result
    for part in key.split("."):
        if found is None:
            return None
        found = found[part]
    if found is not None and (isinstance(found, bool) or not isinstance(found, int | float)):
        raise KeyError(f"{key} is no number")
    return found


def read_benchmarks(text: str) -> tuple[Benchmark, ...]:
    """Raises ValueError for a file that says something unknown."""
    document = tomllib.loads(text)
    benchmarks: list[Benchmark] = []
    for entry in document["benchmark"]:
        benchmark = _benchmark(entry)
        later = sorted(benchmark.needs - {one.name for one in benchmarks})
        if later:
            raise ValueError(f"{benchmark.name}: no earlier benchmark is named {', '.join(later)}")
        benchmarks.append(benchmark)
    return tuple(benchmarks)


def _benchmark(entry: dict[str, Any]) -> Benchmark:
    numbers = []
    for fields in entry["numbers"]:
        unknown = sorted(set(fields) - NUMBER_KEYS)
        if unknown:
            raise ValueError(f"{entry['name']}: unknown {', '.join(unknown)}")
        limits = tuple(Bound(word, fields[word]) for word in LIMIT_WORDS if word in fields)
        aims = tuple(Bound(word, fields[AIM_PREFIX + word]) for word in LIMIT_WORDS if AIM_PREFIX + word in fields)
        if "over_benchmark" in fields and "over" not in fields:
            raise ValueError(f"{entry['name']}: over_benchmark without over")
        numbers.append(Number(fields["key"], fields.get("over"), fields.get("over_benchmark"), limits, aims))
    return Benchmark(entry["name"], tuple(entry["command"]), tuple(numbers))


def judge(benchmark: Benchmark, result: Result, earlier: Mapping[str, Result]) -> list[Judgement]:
    """One judgement for each limit and aim, or one for a number that has neither.

    Raises KeyError where the command's object lacks a number.
    """
    found = []
    for number in benchmark.numbers:
        measured = number.read(result, earlier)
        for limit in number.limits:
            verdict = "kept" if limit.holds(measured) else "BROKEN"
            found.append(Judgement(number.label, measured, str(limit), verdict))
        for aim in number.aims:
            verdict = "aim met" if aim.holds(measured) else "aim missed"
            found.append(Judgement(number.label, measured, str(aim), verdict))
        if not number.limits and not number.aims:
            found.append(Judgement(number.label, measured, "", "reported"))
    return found


def measure(benchmark: Benchmark) -> Result | None:
    """The object that the command prints; None, with its complaint shown, if it prints none."""
    print("bench: railgun", *benchmark.command, file=sys.stderr, flush=True)
    command = [str(RAILGUN), *benchmark.command, "--json"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=RUN_SECONDS_MAX)
        result = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        print(f"bench: {benchmark.name}: no result: {error}", file=sys.stderr)
        return None
    if not isinstance(result, dict) or "error" in result:
        print(f"bench: {benchmark.name}: no result: {result}", file=sys.stderr)
        return None
    return result


def run_all(
    benchmarks: Sequence[Benchmark], measure_one: Callable[[Benchmark], Result | None], tell: Callable[[str], None]
) -> tuple[int, list[dict[str, Any]]]:
    """Run and judge each. Returns the exit status and an account of each benchmark, for `--json`."""
    status = 0
    accounts = []
    results: dict[str, Result] = {}
    for benchmark in benchmarks:
        load_before, began = os.getloadavg()[0], time.time()
        result = measure_one(benchmark)
        judgements: list[Judgement] = []
        if result is not None:
            try:
                judgements = judge(benchmark, result, results)
            except KeyError as error:
                tell(f"{benchmark.name}: the object has no {error}")
                result = None
        if result is None:
            status = 2
        else:
            results[benchmark.name] = result
            if any(judgement.is_broken for judgement in judgements):
                status = max(status, 1)
        for judgement in judgements:
            tell(_line(benchmark.name, judgement))
        accounts.append(
            {
                "name": benchmark.name,
                "command": ["railgun", *benchmark.command],
                "began": int(began),
                "load_before": round(load_before, 2),
                "judgements": [asdict(judgement) for judgement in judgements],
                "result": result,
            }
        )
    return status, accounts


def _line(name: str, judgement: Judgement) -> str:
    measured = "null" if judgement.measured is None else f"{judgement.measured:.6g}"
    return f"{name:14} {judgement.number:46} {measured:>10} {judgement.bound:>8}  {judgement.verdict}"


def choose(benchmarks: Sequence[Benchmark], names: Sequence[str] | None) -> list[Benchmark]:
    """Those named, and those that they are compared with; all where ``names`` is empty."""
    if not names:
        return list(benchmarks)
    wanted = set(names)
    for benchmark in reversed(benchmarks):
        if benchmark.name in wanted:
            wanted |= benchmark.needs
    return [benchmark for benchmark in benchmarks if benchmark.name in wanted]


def main(words: Sequence[str] | None = None) -> int:
    benchmarks = read_benchmarks(LIMITS.read_text(encoding="utf-8"))
    names = [benchmark.name for benchmark in benchmarks]
    parser = argparse.ArgumentParser(prog="bench", description="Run benchmarks and judge them by bench_limits.toml.")
    parser.add_argument("--only", action="append", metavar="NAME", choices=names, help=f"one of {', '.join(names)}")
    parser.add_argument("--json", action="store_true", help="print one object; the table goes to standard error")
    given = parser.parse_args(words)
    chosen = choose(benchmarks, given.only)
    stream = sys.stderr if given.json else sys.stdout
    status, accounts = run_all(chosen, measure, lambda line: print(line, file=stream, flush=True))
    if given.json:
        print(json.dumps({"status": status, "processors": os.cpu_count(), "benchmarks": accounts}, indent=2))
    return status


if __name__ == "__main__":
    sys.exit(main())
