"""``railgun sim scale`` on the command line: its object, its exit status, what it refuses."""

from __future__ import annotations

import pytest

from tests.support.commands import Commands


def test_a_single_size_is_measured_and_nothing_is_promised_of_it(railgun: Commands) -> None:
    ran = railgun("sim", "scale", "--relays", "20", "--rooms", "5", "--processes", "1", "--json")
    found = ran.checked("sim-scale")
    assert (ran.status, found["load_exponent"], list(found["hops"])) == (0, None, ["20"])
    assert "lookups of 20 relays" in ran.err


@pytest.mark.slow
def test_a_load_that_does_not_fall_is_told_and_fails(railgun: Commands) -> None:
    # One room of one hour is 30 seats: however many relays there are, one of them has a whole seat.
    ran = railgun("sim", "scale", "--relays", "20,60", "--rooms", "1", "--processes", "1", "--json")
    found = ran.checked("sim-scale")
    assert (ran.status, found["load_exponent"] > -0.9) == (1, True)
    assert "load_exponent is" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--relays", "many"), "whole numbers with commas"),
        (("--relays", "100,,1000"), "whole numbers with commas"),
        (("--relays", "1000,100"), "the smallest first"),
        (("--relays", "5"), "from 20 to 20000"),
    ],
)
def test_what_cannot_be_run_is_refused(railgun: Commands, words: tuple[str, ...], told: str) -> None:
    ran = railgun("sim", "scale", *words)
    assert ran.status == 2
    assert told in ran.complaint
