"""The fan-out benchmark: its bookkeeping alone, and once as it runs."""

from __future__ import annotations

import pytest

from railgun.errors import UsageError
from railgun.runtime.bench.closed_loop import ClosedLoop
from railgun.runtime.bench.fanout import Run, run_fanout, summarise
from railgun.runtime.bench.options import FanoutOptions
from railgun.runtime.percentiles import percentile
from tests.support.commands import check_schema


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(cpu: float | None, per_second: float = 1000.0) -> Run:
    return Run("x", per_second, cpu, 0.5, None if cpu is None else 2.0, None if cpu is None else 4.0)


@pytest.mark.parametrize(
    ("size", "window"), [(256, 16), (4096, 4), (65536, 1)]
)  # the window: 16 messages, 16 KiB, one message
def test_window_is_the_same_for_both_sides_and_bounded(size: int, window: int) -> None:
    assert FanoutOptions(size=size).window == window


@pytest.mark.parametrize(
    "wrong", [{"subscribers": 0}, {"subscribers": 201}, {"size": 4000}, {"seconds": 0.1}, {"seconds": float("nan")}]
)
def test_options_out_of_range_are_one_line_that_names_the_flag(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"^--{next(iter(wrong))} .*: [^\n]*$"):
        FanoutOptions(**wrong)  # type: ignore[arg-type]


async def test_the_loop_lets_a_message_go_for_each_that_all_have() -> None:
    clock = HandClock()
    loop = ClosedLoop(subscribers=2, window=3, now=clock)
    loop.begin()
    assert await loop.room() == 3
    for message in "abc":
        loop.sent(message)
    clock.now += 0.010
    loop.delivered(0, "a")
    loop.delivered(0, "a")  # told twice, counted once
    loop.delivered(1, "unknown")
    clock.now += 0.020
    loop.delivered(1, "a")
    assert await loop.room() == 1
    clock.now += 0.970
    measured = loop.end()
    assert (measured.delivered, measured.seconds) == (2, pytest.approx(1.0))
    assert (measured.p50_ms, measured.p95_ms) == (pytest.approx(10), pytest.approx(30))


def test_what_came_before_the_measurement_does_not_count() -> None:
    clock = HandClock()
    loop = ClosedLoop(subscribers=1, window=1, now=clock)
    loop.sent("a")
    loop.delivered(0, "a")
    loop.begin()
    clock.now += 1
    assert loop.end().delivered == 0
    with pytest.raises(RuntimeError):
        loop.end()


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([], 50) is None
    assert percentile([7.0], 95) == 7.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 95) == 95.0


def test_medians_and_the_ratio_is_raw_over_ours() -> None:
    result = summarise([run(10), run(30), run(20)], [run(50), run(60), run(40)])
    assert result.relay_cpu_us_per_delivery == 20
    assert result.raw_cpu_us_per_delivery == 50
    assert result.ratio_to_raw == 2.5
    check_schema("bench-fanout", result.as_json())


def test_a_run_without_deliveries_leaves_null_and_not_zero() -> None:
    result = summarise([run(10), run(None), run(20)], [run(50), run(60), run(40)])
    assert result.relay_cpu_us_per_delivery is None
    assert result.ratio_to_raw is None
    assert result.as_json()["latency_ms"] == {"p50": None, "p95": None}
    check_schema("bench-fanout", result.as_json())


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("size", [256, 65536])
async def test_measures_both_sides(size: int) -> None:
    seen: list[Run] = []
    options = FanoutOptions(subscribers=3, size=size, seconds=0.5)
    result = await run_fanout(options, seen.append, runs=1, warm_up_seconds=0.1)
    assert [one.name for one in seen] == ["rail gun", "raw channels"]
    check_schema("bench-fanout", result.as_json())
    assert result.delivered_per_second is not None
    assert result.delivered_per_second > 0
    assert result.ratio_to_raw is not None
    assert result.latency_ms.p50 is not None
    assert result.latency_ms.p95 is not None
    assert result.latency_ms.p50 <= result.latency_ms.p95
