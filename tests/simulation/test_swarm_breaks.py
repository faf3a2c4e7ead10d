"""Planted bugs: the swarm's checkers find each of them, within 200 seeds and usually in one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from railgun.sim.swarm.breaks import BREAKS
from railgun.sim.swarm.checks import CHECKERS
from railgun.sim.swarm.plan import SwarmOptions
from railgun.sim.swarm.ranges import run_one

SEEDS_MAX = 200
FOUND_BY = {
    "no-dedupe": (1, "twice"),
    "effect-before-persist": (14, "twice"),
    "key-reuse-after-crash": (1, "lost"),
    "outbox-not-resumed": (14, "state"),
    "forged-receipt-accepted": (22, "lost"),
    "digest-gap-ignored": (1, "lost"),
    "retransmission-stopped-early": (41, "lost"),
    "unsettled-forgotten": (41, "lost"),
    "wrong-overlap": (2, "lost"),
    "stale-directory": (1, "directory"),
    "notice-trusted": (1, "hearsay"),
    "boundary-off-by-one": (2, "late"),
    "removed-keeps-key": (7, "reader"),
    "say-forgets": (1, "lost"),
    "tags-never-closed": (2, "state"),
}
"""A seed that is known to find each bug, and the checker that does: tried first, since the search takes its time."""


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKS)
def test_every_planted_bug_is_found(name: str) -> None:
    options = SwarmOptions(break_name=name)
    known, checker = FOUND_BY[name]
    for seed in [known, *range(1, SEEDS_MAX)]:
        found = {violation.checker for violation in run_one(seed, options).violations}
        if checker in found:
            return
    pytest.fail(f"{name}: {SEEDS_MAX} seeds, and no {checker}")


def test_the_docs_say_what_is_checked_and_which_bugs_are_planted_without_members_help() -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/simulate.md").read_text()
    told = {
        name for row in re.findall(r"^\| (`[a-z`, ]+`) \|", text, re.MULTILINE) for name in row.strip("`").split("`, `")
    }
    assert set(CHECKERS) <= told
    healed = re.search(r"Five of the bugs \(([^)]*)\)", text)
    assert healed is not None
    assert set(re.findall("`([^`]+)`", healed[1])) == {
        name for name, planted in BREAKS.items() if planted.is_healed_by_members
    }


def test_at_least_twelve_bugs_can_be_planted() -> None:
    assert len(BREAKS) >= 12
    assert set(FOUND_BY) == set(BREAKS)
