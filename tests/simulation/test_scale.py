"""Networks of growing size: what the instrument counts, and what it calls a broken promise."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.core.committee import rank_for_handle
from railgun.errors import UsageError
from railgun.sim.dht_world import DhtWorldOptions, measure_lookups
from railgun.sim.scale.directory import DirectoryWorld
from railgun.sim.scale.load import SHARES, Load, LoadShare, count_load, seat_work
from railgun.sim.scale.scenario import (
    ScaleOptions,
    ScaleResult,
    broken_promises,
    busy_relay,
    fitted_exponent,
    missed_aims,
    run_scale,
)
from railgun.types import Handle, NodeKey

KEPT = ScaleResult(-0.95, 1.5, 1.4, 1_000.0, 1_000_000, {"100": 1.5, "10000": 3.3}, 1.0)


def whole_load(relays: int, tags: int) -> Load:
    load = Load([], [])
    for share in range(SHARES):
        load.add(count_load(LoadShare(relays, tags, 5, 1, share)))
    return load


def test_every_envelope_is_taken_in_delivered_and_passed_on_once() -> None:
    seats = tuple(NodeKey(bytes([number]) * 32) for number in range(5))
    handles = [Handle(bytes([number]) * 16) for number in range(20)]
    work = dict(seat_work(seats, handles))
    # 20 messages at 5 seats, each to 19 members, each passed on to the 3 seats that its sender does not publish to.
    assert sum(work.values()) == 20 * 5 + 20 * 19 + 20 * 3
    first = rank_for_handle(handles[0], seats)[0]
    assert work[first] > 20
    assert set(work) == set(seats)


def test_the_traffic_is_the_same_on_every_network_and_falls_on_each_relay_with_its_number() -> None:
    loads = {relays: whole_load(relays, 1_600) for relays in (25, 50, 100)}
    for load in loads.values():
        assert sum(load.by_order) == sum(load.at_random) == 1_600 * (20 * 5 + 20 * 19 + 20 * 3)
    exponent = fitted_exponent({relays: busy_relay(load.by_order) for relays, load in loads.items()})
    assert exponent == pytest.approx(-1, abs=0.2)


def test_the_exponent_is_the_slope_of_a_line() -> None:
    assert fitted_exponent({100: 5_000, 1_000: 500, 10_000: 50}) == -1
    assert fitted_exponent({100: 5_000, 10_000: 5_000}) == 0
    assert fitted_exponent({100: 5_000}) is None
    assert fitted_exponent({100: 5_000, 10_000: 0}) is None
    assert busy_relay(list(range(1, 101))) == 99


def test_what_breaks_a_promise_is_told() -> None:
    assert broken_promises(KEPT) == missed_aims(KEPT) == []
    assert broken_promises(dataclasses.replace(KEPT, load_exponent=None)) == []
    for exponent in (-0.89, -1.11):
        assert "load_exponent" in broken_promises(dataclasses.replace(KEPT, load_exponent=exponent))[0]
    hops = {"100": 1.5, "1000": 2.0, "10000": 3.31}
    assert broken_promises(dataclasses.replace(KEPT, hops=hops)) == [
        "hops grow more than 2.2 times from 100 to 10000 relays"
    ]
    assert "1000001" in missed_aims(dataclasses.replace(KEPT, client_join_bytes=1_000_001))[0]


@pytest.mark.parametrize(("relays", "times"), [(60, 2.0), (1_000, 1.1)])
def test_a_client_that_joins_takes_in_every_ad_and_of_a_large_network_none_twice(relays: int, times: float) -> None:
    world = DirectoryWorld(relays, seed=1)
    took = world.join_bytes()
    ads = sum(len(encoded) for encoded in world.records())
    assert len(list(world.records())) == relays
    assert ads < took < times * ads


def test_an_ad_costs_a_relay_as_much_as_its_links_and_a_network_twice_as_large_twice_as_much() -> None:
    small, large = (DirectoryWorld(relays, seed=1) for relays in (100, 200))
    hour = 3_600.0
    costs = [world.sent_bytes_per_relay_hour(hour) for world in (small, large)]
    quiet = DirectoryWorld(100, seed=1)
    quiet.due.clear()
    comparisons = quiet.sent_bytes_per_relay_hour(hour)
    assert 0 < comparisons < costs[0] / 2
    assert (costs[1] - comparisons) / (costs[0] - comparisons) == pytest.approx(2, rel=0.2)


def test_tables_that_are_filled_are_as_those_that_joining_fills() -> None:
    joined, filled = (
        measure_lookups(DhtWorldOptions(nodes=40, dead=0, lookups=60, records=5, prefilled=prefilled))
        for prefilled in (False, True)
    )
    assert filled.contacts == pytest.approx(joined.contacts, rel=0.05)
    assert all(sample.is_right for sample in filled.samples)
    hops = [sum(sample.hops for sample in found.samples) / 60 for found in (joined, filled)]
    assert hops[1] == pytest.approx(hops[0], rel=0.15)


def test_the_result_does_not_depend_on_how_many_processes_counted() -> None:
    options = ScaleOptions(relays=(20, 30), rooms=10, lookups=20)
    told: list[str] = []
    alone = run_scale(options, tell=told.append)
    together = run_scale(options, processes=2)
    assert dataclasses.replace(alone, seconds=0) == dataclasses.replace(together, seconds=0)
    assert list(alone.hops) == ["20", "30"]
    assert len(told) == 5  # the directory, and each network's lookups and load


@pytest.mark.parametrize(
    "wrong",
    [
        {"relays": ()},
        {"relays": (100, 100)},
        {"relays": (200, 100)},
        {"relays": (19,)},
        {"rooms": 0},
        {"committee_size": 8},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ScaleOptions(**wrong)  # type: ignore[arg-type]


def test_filled_tables_are_for_living_honest_nodes() -> None:
    with pytest.raises(UsageError, match="prefilled"):
        DhtWorldOptions(nodes=40, dead=0.2, prefilled=True)
