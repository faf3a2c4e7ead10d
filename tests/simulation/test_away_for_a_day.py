"""A member that was away for 24 hours: epochs of ten minutes, real relays, clients, rooms, and its store on a disk.

Meanwhile the others speak in all sizes, one is put out (a new generation), midnight passes (new day secrets), and
Megolm sessions grow old. All that anyone still there holds arrives, once; what nobody holds is shown as missing.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from railgun.crypto.epoch import day_of
from railgun.crypto.signing import signatures_remembered
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.crash_points import CrashPlan
from railgun.sim.world import WALL_BASE_SECONDS
from railgun.types import SizeClass
from tests.support.crash_enumeration import SIGNATURES_REMEMBERED_MAX
from tests.support.crash_members import Absence, Scenario, Step
from tests.support.crash_scenario import CrashRun, scratch_directory
from tests.support.crash_scenarios import LARGE, MEDIUM, SMALL, THREE, coming, saying

NETWORK = NetworkParameters("a day", NetworkKind.LAN, epoch_seconds=600, overlap_seconds=120)
FOUR = (*THREE, "dora")
HOUR, DAY = 3_600.0, 86_400.0
LEAVES_AT = 100.0
SIZES: tuple[SizeClass, ...] = (SMALL, SMALL, MEDIUM, LARGE)
EVERY_SECONDS = 1_795.0
"""About half an hour, now early in an epoch and now late."""
ASKED_IN_VAIN_SECONDS = 260.0
"""After six questions, each waiting longer for an answer, a message counts as missing."""


def day_away() -> Scenario:
    """Cara is away for a day; bert for some hours of it, at night."""
    back_at = LEAVES_AT + DAY
    count = int((back_at + 300 - 200) // EVERY_SECONDS) + 1
    sizes = [SIZES[number % len(SIZES)] for number in range(count)]
    talk = saying(("anna", "bert"), 10, 200.0, EVERY_SECONDS, sizes)
    return Scenario(
        "day",
        FOUR,
        (
            *coming(FOUR),
            *saying(FOUR, 1, 10.0, 1.0, [SMALL] * len(FOUR)),
            Step(LEAVES_AT + 6 * HOUR, "anna", "remove", whom="dora"),
            *talk,
        ),
        ("cara",),
        network=NETWORK,
        away=(
            Absence("cara", LEAVES_AT, back_at),
            Absence("bert", LEAVES_AT + 14 * HOUR, LEAVES_AT + 19 * HOUR),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_who_was_away_for_a_day_gets_all_that_was_said() -> None:
    scenario = day_away()
    assert day_of(int(WALL_BASE_SECONDS)) != day_of(int(WALL_BASE_SECONDS + LEAVES_AT + DAY))
    with scratch_directory() as directory, signatures_remembered(SIGNATURES_REMEMBERED_MAX):
        run = CrashRun(scenario, "cara", CrashPlan(), Path(directory))
        assert run.go() == []
    # `go` has looked: each message of the day is in its store once, its application was given each once.
    room = run.apps["cara"].life.room  # type: ignore[union-attr]
    assert room is not None
    assert room.gaps.gaps.missing == ()
    assert sum(run.apps["cara"].taken.values()) >= 50
    # It had to find its way back to a generation and to sessions that it had never heard of.
    anna = run.apps["anna"].life.room  # type: ignore[union-attr]
    assert anna is not None
    assert len(anna.state(WALL_BASE_SECONDS + run.world.now).generations) >= 2
    assert run.world.now < LEAVES_AT + DAY + 600


def test_what_nobody_has_any_more_is_shown_as_missing() -> None:
    """Anna speaks while bert and cara are away, twice: they come back for the second, when the first is gone from the
    seats, and anna is gone for good."""
    network = NetworkParameters("gone", NetworkKind.LAN, epoch_seconds=10, overlap_seconds=2)
    away_until = 40.0
    scenario = Scenario(
        "gone",
        THREE,
        (
            *coming(THREE),
            *saying(THREE, 1, 3.0, 0.2, [SMALL] * 3),
            Step(10.0, "anna", "say", 11, SMALL),
            Step(away_until - 4.0, "anna", "say", 12, SMALL),
        ),
        ("cara",),
        network=network,
        away=(
            Absence("bert", 8.0, away_until),
            Absence("cara", 8.0, away_until),
            Absence("anna", away_until - 2.0, None),
        ),
    )
    with ExitStack() as stack:
        directory = stack.enter_context(scratch_directory())
        stack.enter_context(signatures_remembered(SIGNATURES_REMEMBERED_MAX))
        run = CrashRun(scenario, "cara", CrashPlan(), Path(directory))
        stack.enter_context(closing(run))
        run.live_until(away_until + ASKED_IN_VAIN_SECONDS)
        for name in ("bert", "cara"):
            room = run.apps[name].life.room  # type: ignore[union-attr]
            assert room is not None
            assert run.apps[name].taken["12 "] == 1, "a seat still had it"
            assert run.apps[name].taken["11 "] == 0
            assert list(room.gaps.gaps.missing) == [run.ids[11]]
