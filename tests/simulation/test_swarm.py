"""Swarm testing: the fixed seeds keep every promise, equal seeds run alike, and every kind of fault strikes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from railgun.errors import ConfigurationError
from railgun.sim.swarm.ledger import SwarmLedger
from railgun.sim.swarm.plan import (
    EPOCHS_SECONDS,
    KINDS,
    MEMBERS,
    MESSAGES,
    ROTATIONS_MIN,
    SETTLED_SECONDS,
    SwarmOptions,
    draw_plan,
)
from railgun.sim.swarm.ranges import Latencies, run_one, run_range, trace_one, violation_lines

NO_OPTIONS = SwarmOptions()
FIXED = 24
"""Seeds 1 to this run in every test run, in parts so that they spread over the cores."""
PART = 6


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, FIXED, PART))
def test_the_fixed_seeds_keep_every_promise(first: int) -> None:
    told: list[str] = []
    result = run_range(first, first + PART - 1, NO_OPTIONS, tell=told.append)
    assert (result.seeds, result.violations) == (PART, 0), "\n".join(told)


@pytest.mark.slow
def test_four_liars_of_five_seats_stop_nothing() -> None:
    told: list[str] = []
    result = run_range(1, 5, SwarmOptions(byzantine=4, committee_size=5), tell=told.append)
    assert result.violations == 0, "\n".join(told)
    assert result.delivery_ms["p99"] < 15_000


def test_every_kind_of_fault_strikes_a_fifth_of_the_seeds() -> None:
    counts = Counter(kind for seed in range(1, 1_001) for kind in draw_plan(seed, NO_OPTIONS).kinds)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) >= 200, counts


def test_every_plan_is_as_large_as_promised() -> None:
    for seed in range(1, 201):
        plan = draw_plan(seed, NO_OPTIONS)
        assert MEMBERS >= 12
        assert len({said.number for said in plan.said}) == len(plan.said) == MESSAGES == 200
        assert plan.network.epoch_seconds in EPOCHS_SECONDS
        assert 10 <= plan.network.epoch_seconds <= 60
        assert 3 * ((plan.talk_until_seconds - SETTLED_SECONDS) // plan.network.epoch_seconds) >= ROTATIONS_MIN
        assert all(fault.at_seconds < plan.talk_until_seconds for fault in plan.faults)


def test_one_seed_one_digest_under_any_hash_seed() -> None:
    script = """
from railgun.sim.swarm.plan import SwarmOptions
from railgun.sim.swarm.ranges import run_one
for seed in (10, 10, 30):
    print(run_one(seed, SwarmOptions()).trace_digest)
"""
    root = Path(__file__).parents[2]
    runs = []
    for hash_seed in ("0", "4321"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        runs.append(run.stdout.split())
    assert runs[0] == runs[1]
    first, again, other = runs[0]
    assert first == again != other


def test_a_violation_is_one_line_with_the_command_that_shows_it_again() -> None:
    options = SwarmOptions(break_name="digest-gap-ignored")
    lines = violation_lines(run_one(1, options), options)
    assert len(lines) == 1
    assert lines[0].startswith("seed 1: lost: message ")
    assert lines[0].endswith("replay: railgun sim swarm --seeds 1..1 --break digest-gap-ignored")
    assert "\n" not in lines[0]


def test_a_timeline_tells_who_said_what_and_what_went_wrong() -> None:
    stream = io.StringIO()
    result = trace_one(1, NO_OPTIONS, stream)
    text = stream.getvalue()
    for words in (
        "lies: ",
        "says 17\n",
        "gets 17 of member-",
        "hold 17\n",
        "fault       Crash(",
        "RemovedFromRoom",
        "is attached for the epoch at ",
    ):
        assert words in text, words
    assert "\\x" not in text, "keys have names"
    assert result.trace_digest == run_one(1, NO_OPTIONS).trace_digest, "watching changes nothing"


def test_a_delivery_takes_no_longer_for_its_reader_being_off() -> None:
    ledger = SwarmLedger()
    for number in range(3):
        ledger.said(number, "anna", "room", 10.0, {"ben"}, ())
    ledger.was_off("ben", 5.0, 12.0)
    ledger.delivered(0, "ben", 12.5)
    ledger.was_off("ben", 20.0, 30.0)
    ledger.was_off("ben", 25.0, 40.0)
    ledger.was_off("carl", 0.0, 100.0)
    ledger.delivered(1, "ben", 41.0)
    ledger.delivered(2, "ben", 35.0)
    assert ledger.latencies_seconds == [0.5, 9.0, 8.0], "10 to 12 s, and 20 to 40 s, are not counted, and none twice"


def test_latencies_are_summed_up_to_the_millisecond() -> None:
    latencies = Latencies()
    assert latencies.summary() == {"p50": 0.0, "p99": 0.0, "max": 0.0}
    latencies.add([0.001 * number for number in range(1, 101)])
    assert latencies.summary() == {"p50": 50.0, "p99": 99.0, "max": 100.0}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"committee_size": 8}, "3 to 7 seats"),
        ({"byzantine": 2}, "say with --committee"),
        ({"byzantine": 5, "committee_size": 5}, "at most K - 1"),
    ],
)
def test_options_that_promise_nothing_are_refused(values: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        SwarmOptions(**values)  # type: ignore[arg-type]


def test_an_unknown_bug_and_an_empty_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be one of no-dedupe"):
        run_range(1, 1, SwarmOptions(break_name="none-such"))
    with pytest.raises(ConfigurationError, match=r"FIRST\.\.LAST"):
        run_range(2, 1, NO_OPTIONS)
