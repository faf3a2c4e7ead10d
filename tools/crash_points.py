"""Kills a simulated member at every point of a short story, or at the one that is named, and judges what is left.

Owns: the command line of it. Must not know: the stories, what a point is.

One point again, as a failed test names it::

    .venv/bin/python tools/crash_points.py removal anna 57

All of them, as `make soak` does, pulses and relays too, and a second death soon after the first::

    .venv/bin/python tools/crash_points.py --all
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.crash_enumeration import Death, counted, failures, live, story
from tests.support.crash_scenarios import SCENARIOS

BATCH = 32
SECOND_DEATHS = 24
"""The second death falls on one of so many points of the second life, another each time."""
WORKERS = 2


def main() -> int:
    """Exit status: 0, 1 where something is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", choices=sorted(SCENARIOS))
    parser.add_argument("subject", nargs="?")
    parser.add_argument("point", nargs="?", type=int)
    parser.add_argument("--again", type=int, help="die at this point of the second life, too")
    parser.add_argument("--pulses", action="store_true", help="before and after each pulse counts, too")
    parser.add_argument("--silent", action="store_true", help="the others' transports notice nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="every point of every story")
    given = parser.parse_args()
    if given.all:
        return everything(given.seed)
    if given.scenario is None or given.subject is None:
        parser.error("name a scenario and a subject, or --all")
    if given.point is None:
        outcome = counted(given.scenario, given.subject, pulses=given.pulses, seed=given.seed)
        for number, label in enumerate(outcome.labels):
            print(f"{number:5} {label}")
        return 1 if outcome.violations else 0
    death = Death(given.scenario, given.subject, given.point, given.again, given.pulses, given.silent, given.seed)
    outcome = live(death, story(given.scenario, given.seed), given.subject)
    print("\n".join(["died " + "; then ".join(outcome.died_at), *(outcome.violations or ["nothing is broken"])]))
    return 1 if outcome.violations else 0


def deaths(seed: int) -> list[Death]:
    """Every point of every story at each of its members and at a relay; then each point and another one after."""
    found: list[Death] = []
    for name, scenario in SCENARIOS.items():
        for subject in (*scenario.subjects, "relay-0"):
            is_relay = subject.startswith("relay")
            points = counted(name, subject, pulses=not is_relay, seed=seed).points
            found += [Death(name, subject, point, pulses=not is_relay, seed=seed) for point in range(points)]
            if not is_relay:
                points = counted(name, subject, seed=seed).points
                found += [Death(name, subject, point, silent=True, seed=seed) for point in range(points)]
                found += [Death(name, subject, point, point % SECOND_DEATHS, seed=seed) for point in range(points)]
    return found


def everything(seed: int) -> int:
    """All of it, shared among processes."""
    every = deaths(seed)
    print(f"crashes: {len(every)} ways to die", flush=True)
    batches = [every[start : start + BATCH] for start in range(0, len(every), BATCH)]
    broken = 0
    with ProcessPoolExecutor(WORKERS) as pool:
        for found in pool.map(_batch, batches):
            broken += len(found)
            for text in found:
                print(text, flush=True)
    print(f"crashes: {broken} of {len(every)} broke something")
    return 1 if broken else 0


def _batch(batch: list[Death]) -> list[str]:
    return list(failures(batch))


if __name__ == "__main__":
    sys.exit(main())
