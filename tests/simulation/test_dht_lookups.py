"""Lookups while nodes die and lie, in virtual time: fast, right, and the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import pytest

from railgun.errors import UsageError
from railgun.runtime.bench.dht import DhtOptions, bench_dht
from railgun.sim.dht_world import DhtMeasurement, DhtWorldOptions, measure_lookups


@cache
def measured(**options: float) -> DhtMeasurement:
    return measure_lookups(DhtWorldOptions(**options))  # type: ignore[arg-type]


def p95_seconds(measurement: DhtMeasurement) -> float:
    seconds = sorted(sample.seconds for sample in measurement.samples)
    return seconds[int(len(seconds) * 0.95)]


def right(measurement: DhtMeasurement) -> float:
    return sum(sample.is_right for sample in measurement.samples) / len(measurement.samples)


def hops(measurement: DhtMeasurement) -> float:
    return sum(sample.hops for sample in measurement.samples) / len(measurement.samples)


@pytest.mark.slow
def test_a_fifth_dies_and_lookups_stay_fast_and_right() -> None:
    found = measured(nodes=100, lookups=400, records=20)
    assert p95_seconds(found) < 0.5
    assert right(found) >= 0.999


@pytest.mark.slow
def test_lies_and_deaths_and_losses_together() -> None:
    found = measured(nodes=80, lookups=200, records=10, dead=0.2, hostile=0.2, loss=0.02)
    assert right(found) >= 0.97


@pytest.mark.slow
def test_rounds_grow_far_slower_than_the_network() -> None:
    small = measured(nodes=50, lookups=150, records=10)
    large = measured(nodes=200, lookups=150, records=10)
    assert hops(large) <= 1.6 * hops(small)


SMALL = "DhtWorldOptions(nodes=30, lookups=40, records=5, hostile=0.1, loss=0.05, seed={seed})"


def trace_under(hash_seed: str, seed: int) -> str:
    program = (
        "from railgun.sim.dht_world import DhtWorldOptions, measure_lookups\n"
        f"print(measure_lookups({SMALL.format(seed=seed)}).trace)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100, env=environment
    )
    return shown.stdout.strip()


def test_one_seed_gives_one_run_whatever_the_hash_seed() -> None:
    first = trace_under("1", 1)
    assert len(first) == 32
    assert trace_under("2", 1) == first
    assert trace_under("1", 2) != first


@pytest.mark.parametrize(
    "options",
    [{"nodes": 1}, {"dead": 1.0}, {"hostile": -0.1}, {"dead": 0.5, "hostile": 0.5}, {"round_trip_seconds": 0.0},
     {"lookups": 0}, {"records": 0}, {"loss": 0.9}],
)  # fmt: skip
def test_worlds_that_cannot_be_are_refused(options: dict) -> None:
    with pytest.raises(UsageError):
        DhtWorldOptions(**options)


class _Sample:
    def __init__(self, seconds: float, *, is_right: bool, hops: int) -> None:
        self.seconds, self.is_right, self.hops = seconds, is_right, hops


class _Measurement:
    datagrams = 40_000
    samples = tuple(_Sample(number / 1000, is_right=number > 2, hops=1 + number % 2) for number in range(1, 1001))


def test_the_benchmark_sums_up_what_was_measured() -> None:
    asked: list[DhtOptions] = []

    def measure(options: DhtOptions) -> _Measurement:
        asked.append(options)
        return _Measurement()

    result = bench_dht(DhtOptions(nodes=20), measure)
    assert asked == [DhtOptions(nodes=20)]
    assert result.as_json() == {
        "p50_ms": 500.0, "p95_ms": 950.0, "success": 0.998, "hops": 1.5, "messages_per_lookup": 40.0,
    }  # fmt: skip
    assert not result.holds


@pytest.mark.parametrize(
    "options",
    [{"nodes": 19}, {"nodes": 5_001}, {"dead": 0.6}, {"hostile": 0.5}, {"rtt_ms": 0}, {"lookups": 999}],
)
def test_what_cannot_be_measured_is_said(options: dict) -> None:
    with pytest.raises(UsageError, match="--"):
        DhtOptions(**options)


@pytest.mark.slow
def test_a_slow_network_is_joined_and_searched_all_the_same() -> None:
    """Round trips of a second: longer than what a request may take before anything was measured."""
    found = measured(nodes=40, lookups=100, records=10, round_trip_seconds=1.0)
    assert right(found) >= 0.99
