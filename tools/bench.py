"""Runs the benchmarks and judges what they measured against what is promised.

Owns: the promises on latency and throughput, and the table that shows them. Must not know: how anything is measured.
Exit status: 0, all kept; 1, one broken; 2, a benchmark did not run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RAILGUN = Path(sys.executable).parent / "railgun"
RUN_SECONDS_MAX = 600


@dataclass(frozen=True)
class Promise:
    """A number to look at in a command's object, and the bound that it must keep."""

    what: str
    number: Callable[[dict[str, Any]], float | None]
    bound: float
    at_least: bool

    def kept(self, result: dict[str, Any]) -> bool:
        """Whether it was measured and is within its bound."""
        measured = self.number(result)
        return measured is not None and (measured >= self.bound if self.at_least else measured <= self.bound)


def fanout(size_bytes: int) -> list[str]:
    """The command that measures fan-out at this envelope size."""
    return ["bench", "fanout", "--subscribers", "20", "--size", str(size_bytes), "--seconds", "10", "--json"]


BENCHMARKS: list[tuple[list[str], list[Promise]]] = [
    (
        fanout(4096),
        [
            Promise("ratio to raw channels, 4096 bytes", lambda r: r["ratio_to_raw"], 0.9, at_least=True),
            Promise("p95, ms", lambda r: r["latency_ms"]["p95"], 20, at_least=False),
        ],
    ),
    (
        fanout(256),
        # 3 is the aim; below 1 coalescing would cost more than it saves.
        [Promise("ratio to raw channels, 256 bytes", lambda r: r["ratio_to_raw"], 1, at_least=True)],
    ),
    (
        ["demo", "--json"],
        [
            Promise("demo p95 on loopback, ms", lambda r: r["latency_ms"]["p95"], 50, at_least=False),
            Promise("demo lost", lambda r: r["lost"], 0, at_least=False),
            Promise("demo duplicated", lambda r: r["duplicated"], 0, at_least=False),
        ],
    ),
]


def measure(arguments: list[str]) -> dict[str, Any] | None:
    """The object that the command prints; None, with its complaint shown, if it prints none."""
    command = [str(RAILGUN), *arguments]
    print("bench: railgun", *arguments, file=sys.stderr, flush=True)
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=RUN_SECONDS_MAX)
        result = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        print(f"bench: no result: {error}", file=sys.stderr)
        return None
    return result if isinstance(result, dict) else None


def main() -> int:
    status = 0
    for arguments, promises in BENCHMARKS:
        result = measure(arguments)
        if result is None:
            status = 2
            continue
        for promise in promises:
            kept = promise.kept(result)
            status = max(status, 0 if kept else 1)
            sign = ">=" if promise.at_least else "<="
            verdict = "kept" if kept else "BROKEN"
            print(f"{promise.what:40} {promise.number(result)!s:>10} {sign} {promise.bound:<6} {verdict}")
        print(json.dumps(result))
    return status


if __name__ == "__main__":
    sys.exit(main())
