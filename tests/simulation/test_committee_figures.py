"""The committee simulation: its short cut is the real order, and its figures keep their promises."""

from __future__ import annotations

import pytest

from railgun.core.committee import RelayPool
from railgun.errors import UsageError
from railgun.sim.committee import CommitteeScenario, ViewOrders, draw_relays, draw_views, simulate_committees
from railgun.types import Tag
from tests.support.ads import PUBLIC


def _no_time() -> float:
    return 0.0


@pytest.mark.parametrize(
    ("relays", "loss", "committee_size"), [(7, 0.3, 3), (12, 0.5, 7), (100, 0.2, 5), (400, 0.9, 5), (1_000, 0.01, 5)]
)
def test_views_have_the_committees_that_the_rule_gives_them(relays: int, loss: float, committee_size: int) -> None:
    ads = draw_relays(relays, seed=3)
    missing = draw_views(ads, 8, loss, seed=3)
    orders = ViewOrders(ads, PUBLIC, missing)
    pools = [RelayPool([ad for ad in ads if ad.node_key not in gone], PUBLIC) for gone in missing]
    for number in range(20):
        tag = Tag(number.to_bytes(32, "big"))
        expected = [pool.order(tag, committee_size).seat_keys for pool in pools]
        assert orders.seats(tag, committee_size) == expected


def test_views_that_lack_a_hundredth_share_their_seats() -> None:
    figures = simulate_committees(CommitteeScenario(relays=1_000, rooms=150, views=10), _no_time)
    assert figures.rooms_without_common_seat == 0
    assert figures.worst_seat_overlap is not None
    assert figures.worst_seat_overlap >= 2
    assert figures.mean_seat_overlap is not None
    assert 4.8 < figures.mean_seat_overlap < 5


def test_views_that_lack_much_do_differ() -> None:
    figures = simulate_committees(CommitteeScenario(relays=1_000, rooms=20, views=6, view_loss=0.7), _no_time)
    assert figures.worst_seat_overlap == 0
    assert figures.rooms_without_common_seat is not None
    assert figures.rooms_without_common_seat > 0


def test_load_is_nearly_as_even_as_at_random() -> None:
    figures = simulate_committees(CommitteeScenario(relays=100, rooms=1_000, epochs=6, views=0), _no_time)
    assert 1.0 < figures.load_max_over_mean <= 1.5 * figures.load_max_over_mean_random
    assert figures.mean_seat_overlap is None
    assert figures.worst_seat_overlap is None
    assert figures.rooms_without_common_seat is None


def test_one_seed_gives_one_result() -> None:
    scenario = CommitteeScenario(relays=200, rooms=30, views=4, view_loss=0.1)
    assert simulate_committees(scenario, _no_time) == simulate_committees(scenario, _no_time)
    other = CommitteeScenario(relays=200, rooms=30, views=4, view_loss=0.1, seed=2)
    assert simulate_committees(scenario, _no_time) != simulate_committees(other, _no_time)


@pytest.mark.parametrize(
    "wrong", [{"relays": 2}, {"committee_size": 2}, {"view_loss": 1.0}, {"rooms": 0}, {"views": -1}, {"epochs": 0}]
)
def test_values_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        CommitteeScenario(**wrong)
