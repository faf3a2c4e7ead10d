"""``railgun sim swarm`` on the command line: its object, its exit status, its timeline, what it refuses."""

from __future__ import annotations

import pytest

from tests.support.commands import Commands


def test_a_seed_that_keeps_every_promise(railgun: Commands) -> None:
    ran = railgun("sim", "swarm", "--seeds", "10", "--processes", "1", "--json")
    found = ran.checked("sim-swarm")
    assert (ran.status, found["seeds"], found["violations"]) == (0, 1, 0)
    assert set(found["faults"].values()) <= {0, 1}
    assert 0 < found["delivery_ms"]["p50"] <= found["delivery_ms"]["p99"] <= found["delivery_ms"]["max"]


def test_a_planted_bug_is_told_with_the_command_that_shows_it_again(railgun: Commands) -> None:
    timeline = railgun.home / "run.txt"
    words = ("sim", "swarm", "--seeds", "1..1", "--break", "digest-gap-ignored", "--processes", "1")
    ran = railgun(*words, "--trace", str(timeline), "--json")
    assert (ran.status, ran.checked("sim-swarm")["violations"]) == (1, 1)
    assert "seed 1: lost: " in ran.err
    assert "replay: railgun sim swarm --seeds 1..1 --break digest-gap-ignored" in ran.err
    assert "VIOLATION   lost: " in timeline.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seeds", "5..4"), "A must be at most B"),
        (("--seeds", "one"), "must be A..B"),
        (("--seeds", "1..2", "--trace"), "one seed at a time"),
        (("--break", "nothing"), "must be one of no-dedupe"),
        (("--byzantine", "4"), "say with --committee"),
        (("--byzantine", "3", "--committee", "3"), "at most K - 1"),
        (("--resume",), "say with --log"),
        (("--seeds", "1", "--log", "/nowhere/at/all"), "/nowhere/at/all"),
        (("--seeds", "1", "--log", "/"), "/"),
        (("--seeds", "1", "--trace", "/nowhere/at/all"), "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_run_is_refused(railgun: Commands, words: tuple[str, ...], told: str) -> None:
    ran = railgun("sim", "swarm", *words)
    assert ran.status == 2
    assert told in ran.complaint


def test_a_range_goes_on_where_its_log_ends(railgun: Commands) -> None:
    words = ("sim", "swarm", "--seeds", "10..10", "--processes", "1", "--log", str(railgun.home / "log"), "--json")
    first = railgun(*words).checked("sim-swarm")
    ran = railgun(*words, "--resume")
    again = ran.checked("sim-swarm")
    assert "1 of 1 seeds have run before" in ran.err
    assert {key: again[key] for key in again if key != "seconds"} == {k: first[k] for k in first if k != "seconds"}
    assert len((railgun.home / "log").read_text().splitlines()) == 1
