"""Swarm testing: the fixed seeds keep every promise, equal seeds run alike, and every kind of fault strikes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from railgun.core.client import ClientMachine
from railgun.core.room import MemberRoom
from railgun.errors import ConfigurationError, UsageError
from railgun.sim.swarm.breaks import Break
from railgun.sim.swarm.checks import Violation, check_said
from railgun.sim.swarm.ledger import UNDER_WAY_SECONDS, SwarmLedger
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
from railgun.sim.swarm.scenario import run_seed

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


class _Mute(Break):
    """Nobody can say anything."""

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        def refuse(*arguments: object) -> None:
            raise UsageError("not now")

        room.send = refuse  # type: ignore[method-assign, assignment]


@pytest.mark.slow
def test_a_swarm_that_says_nothing_does_not_pass() -> None:
    plan = draw_plan(2, NO_OPTIONS)
    result = run_seed(plan, _Mute())
    assert {"plan", "late"} == {violation.checker for violation in result.violations}
    assert "200 of 200 messages were never said" in result.violations[0].detail


def test_only_who_was_put_out_may_have_said_less_than_planned() -> None:
    ledger, plan = SwarmLedger(), draw_plan(2, NO_OPTIONS)
    for said in plan.said[:-2]:
        ledger.said(said.number, "anna", "room", 10.0, {"ben"}, ())
    never, refused = (said.number for said in plan.said[-2:])
    ledger.refused[refused] = "carl"
    assert check_said(ledger, plan) == [
        Violation("plan", f"2 of 200 messages were never said, of which the first is {never}")
    ]
    ledger.put_out["carl"] = 20.0
    assert check_said(ledger, plan)[0].detail.startswith("1 of 200")


def test_what_was_said_is_owed_unless_its_sender_died_with_it() -> None:
    ledger = SwarmLedger()
    for number, at in enumerate((10.0, 11.0, 12.0, 13.0)):
        ledger.said(number, "anna", "room", at, {"ben"}, ())
    for number in (0, 2, 3):
        ledger.prepared(number, bytes([number]))
    assert [entry.number for entry, _ in ledger.missing(())] == [0, 1, 2, 3]
    ledger.died("ben", 9.0)
    ledger.died("anna", 12.0)
    assert [entry.number for entry, _ in ledger.missing(())] == [0], "1 waited in memory, 2 and 3 were not stored"
    ledger.acknowledged(bytes([3]), 14.0)
    assert [entry.number for entry, _ in ledger.missing({2})] == [0, 2, 3]


def test_a_removal_excuses_only_what_it_may_have_overtaken() -> None:
    ledger, out_at = SwarmLedger(), 100.0
    long_before, shortly_before = out_at - UNDER_WAY_SECONDS - 1.0, out_at - UNDER_WAY_SECONDS + 1.0
    for number, (sender, at) in enumerate(
        (sender, at) for sender in ("carl", "anna") for at in (10.0, long_before, shortly_before, out_at + 1.0)
    ):
        ledger.said(number, sender, "room", at, {"anna", "ben", "carl"}, ())
    ledger.put_out["carl"] = out_at
    owed = {number: ledger.owed(entry) for number, entry in ledger.entries.items()}
    assert [owed[number] for number in range(4)] == [["anna", "ben"], ["anna", "ben"], [], []]
    assert [owed[number] for number in range(4, 8)] == [["ben", "carl"], ["ben", "carl"], ["ben"], ["ben"]]
    ledger.was_off("ben", long_before - 5.0, long_before + 5.0)
    assert ledger.owed(ledger.entries[1]) == ["anna"], "ben was down for a part of the time"
    assert ledger.owed(ledger.entries[0]) == ["anna", "ben"]


def test_a_violation_names_a_checker_that_there_is() -> None:
    with pytest.raises(ValueError, match="readers is no checker"):
        Violation("readers", "")


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
