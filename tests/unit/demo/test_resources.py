"""What a process holds, and the figures of what grew."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from railgun.runtime.demo.evidence import Recorder
from railgun.runtime.demo.resources import (
    IDLE_SECONDS,
    ResourceFigures,
    idle_seconds,
    resource_figures,
    rss_kib,
    take_sample,
)


def sample(
    at: float, kib: int = 50_000, tasks: int = 9, descriptors: int = 12, *, last: bool = False
) -> dict[str, Any]:
    return {
        "kind": "resources",
        "at": at,
        "rss_kib": kib,
        "tasks": tasks,
        "descriptors": descriptors,
        "sockets": 3,
        "last": last,
    }


def life(seconds: int, kib_an_hour: float = 0.0, **last: int) -> list[dict[str, Any]]:
    samples = [sample(at, 50_000 + round(at * kib_an_hour / 3600)) for at in range(0, seconds, 10)]
    return [{"kind": "process"}, *samples, sample(seconds, samples[-1]["rss_kib"], last=True) | last]


def test_a_process_tells_what_it_really_holds(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def measure() -> None:
        take_sample(Recorder(told.append, None), 2)
        with (tmp_path / "one more").open("w"):
            take_sample(Recorder(told.append, None), 2, last=True)

    asyncio.run(measure())
    before, after = told
    assert after["descriptors"] == before["descriptors"] + 1
    assert (before["tasks"], before["sockets"], before["last"], after["last"]) == (1, 2, False, True)
    assert before["rss_kib"] * 1024 > 5_000_000


def test_resident_memory_is_read_from_the_kernels_text() -> None:
    assert rss_kib("VmPeak:\t  200 kB\nVmRSS:\t   12345 kB\nThreads:\t2\n") == 12_345
    assert rss_kib("Name:\tpython\n") is None


def test_the_process_that_grows_fastest_is_told() -> None:
    figures = resource_figures([life(1_800), life(1_800, kib_an_hour=3_600)], 1_800)
    assert figures.rss_slope_kib_per_hour == pytest.approx(3_600, rel=0.01)
    assert (figures.tasks_leaked, figures.descriptors_leaked) == (0, 0)


def test_growth_while_a_process_settles_is_none() -> None:
    early = [sample(at, 50_000 + min(at, 600) * 10) for at in range(0, 1_800, 10)]
    assert resource_figures([early], 1_800).rss_slope_kib_per_hour == 0


def test_what_is_held_beyond_what_was_held_is_leaked() -> None:
    figures = resource_figures([life(1_800, tasks=11), life(1_800, descriptors=15), life(1_800, tasks=3)], 1_800)
    assert (figures.tasks_leaked, figures.descriptors_leaked) == (2, 3)


def test_a_link_more_is_no_leak_and_a_socket_without_one_is() -> None:
    figures = resource_figures([life(1_800, descriptors=14, sockets=5), life(1_800, sockets=2)], 1_800)
    assert (figures.tasks_leaked, figures.descriptors_leaked) == (0, 1)


def test_what_was_not_measured_is_null_and_never_none_leaked() -> None:
    assert resource_figures([], 1_800) == ResourceFigures(None, None, None)
    assert resource_figures([[{"kind": "process"}]], 1_800) == ResourceFigures(None, None, None)
    short = resource_figures([life(360, kib_an_hour=9_000)], 360)
    assert short == ResourceFigures(None, 0, 0)
    killed = [record for record in life(1_800) if not record.get("last")]
    assert resource_figures([killed], 1_800).tasks_leaked is None


def test_a_relay_that_came_late_and_left_soon_says_nothing() -> None:
    assert resource_figures([life(300, kib_an_hour=90_000, tasks=99)], 1_800) == ResourceFigures(None, None, None)


def test_short_demos_do_not_wait_long() -> None:
    assert idle_seconds(30) == 3
    assert idle_seconds(1_800) == IDLE_SECONDS
