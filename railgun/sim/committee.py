"""How evenly committees fall, and how far peers with different directories agree on them.

Owns: the drawing of networks, views and rooms from a seed, and the figures taken from them.
Must not know: how an order is made (`railgun.core.committee` is asked), sockets, or the real clock.

Spec: docs/spec/committee.md, figures. A view is a peer's directory; every relay is missing from each with the same
chance. Prefixes are put in order once a room for all views: a view's order is the whole order without what it lacks.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from railgun.core.committee import RelayPool, interleave, ranks_kept
from railgun.errors import UsageError
from railgun.limits import COMMITTEE_MAX, COMMITTEE_MIN
from railgun.network import NetworkParameters
from railgun.types import Address, NodeKey, Role, Tag
from railgun.wire.records import Ad

CROWDED_SHARE: Final = 0.2
"""Of the relays, how many stand in one /24."""
_PREFIX_RESERVE: Final = 4
"""Prefixes looked at, in multiples of what is needed, before a view's order is made from scratch."""


@dataclass(frozen=True, slots=True)
class CommitteeFigures:
    """The result, keys as printed.

    Attributes:
        mean_seat_overlap, worst_seat_overlap: seats that two views have in common, over all rooms and pairs of views.
        rooms_without_common_seat: rooms, of all epochs, in which some pair of views has none.
        load_max_over_mean: seats of the busiest relay over the mean, with the whole directory.
        load_max_over_mean_random: the same if as many seats had been given out at random.
        seconds: by the given stopwatch.

    The first three are None with fewer than two views: then nothing was measured.
    """

    mean_seat_overlap: float | None
    worst_seat_overlap: int | None
    rooms_without_common_seat: int | None
    load_max_over_mean: float
    load_max_over_mean_random: float
    seconds: float


@dataclass(frozen=True, slots=True)
class CommitteeScenario:
    """What to simulate. Raises UsageError for values out of range."""

    relays: int = 10_000
    rooms: int = 1_000
    view_loss: float = 0.01
    views: int = 20
    committee_size: int = 5
    epochs: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        _check("relays", self.relays, COMMITTEE_MIN, 40_000)
        _check("rooms", self.rooms, 1, 1_000_000)
        _check("views", self.views, 0, 1_000)
        _check("committee", self.committee_size, COMMITTEE_MIN, COMMITTEE_MAX)
        _check("epochs", self.epochs, 1, 10_000)
        if not 0.0 <= self.view_loss < 1.0:
            raise UsageError("view-loss: from 0 to below 1, please")


def simulate_committees(scenario: CommitteeScenario, stopwatch: Callable[[], float]) -> CommitteeFigures:
    """Draw the network and take the figures. ``stopwatch`` reads seconds; nothing but ``seconds`` depends on it."""
    began = stopwatch()
    network = NetworkParameters("simulation")
    ads = draw_relays(scenario.relays, scenario.seed)
    missing = draw_views(ads, scenario.views, scenario.view_loss, scenario.seed)
    orders = ViewOrders(ads, network, missing)
    overlaps = _Overlaps()
    load = dict.fromkeys((ad.node_key for ad in ads), 0)
    tags = random.Random(f"tags {scenario.seed}")
    for _ in range(scenario.rooms * scenario.epochs):
        tag = Tag(tags.randbytes(32))
        for ad in orders.whole.order(tag, scenario.committee_size).seats:
            load[ad.node_key] += 1
        overlaps.add(orders.seats(tag, scenario.committee_size))
    seats = sum(load.values())
    evenly = random.Random(f"load {scenario.seed}")
    random_load = [0] * scenario.relays
    for _ in range(seats):
        random_load[evenly.randrange(scenario.relays)] += 1
    mean = seats / scenario.relays
    return CommitteeFigures(
        mean_seat_overlap=overlaps.mean,
        worst_seat_overlap=overlaps.worst,
        rooms_without_common_seat=None if overlaps.mean is None else overlaps.disjoint_rooms,
        load_max_over_mean=max(load.values()) / mean,
        load_max_over_mean_random=max(random_load) / mean,
        seconds=stopwatch() - began,
    )


def draw_relays(count: int, seed: int) -> list[Ad]:
    """Relays with global addresses: a fifth of them in one /24, each other one in a /24 of its own."""
    keys = random.Random(f"relays {seed}")
    crowded = round(count * CROWDED_SHARE)
    ads = []
    for index in range(count):
        if index < crowded:
            address = Address(f"93.184.216.{index % 256}", 9000 + index // 256)
        else:
            address = Address(f"20.{index // 256}.{index % 256}.1", 9000)
        ads.append(Ad(NodeKey(keys.randbytes(32)), address, bytes(32), Role.RELAY, 0, 86_400, None, bytes(64)))
    return ads


def draw_views(ads: Sequence[Ad], views: int, view_loss: float, seed: int) -> list[frozenset[NodeKey]]:
    """For each view the relays that are missing from it."""
    chance = random.Random(f"views {seed}")
    return [frozenset(ad.node_key for ad in ads if chance.random() < view_loss) for _ in range(views)]


class ViewOrders:
    """The committees of many views of one network, at little more than the cost of one."""

    def __init__(self, ads: Sequence[Ad], network: NetworkParameters, missing: Sequence[frozenset[NodeKey]]) -> None:
        self.whole = RelayPool(ads, network)
        self._ads = ads
        self._network = network
        self._missing = missing

    def seats(self, tag: Tag, committee_size: int) -> list[tuple[NodeKey, ...]]:
        """The seats of ``tag`` in each view, in order."""
        needed = ranks_kept(committee_size)
        prefixes = self.whole.prefixes_in_order(tag, _PREFIX_RESERVE * needed)
        members = [self.whole.members_in_order(tag, prefix) for prefix in prefixes]
        complete = len(prefixes) < _PREFIX_RESERVE * needed
        return [self._seats_in(tag, committee_size, members, complete, gone) for gone in self._missing]

    def _seats_in(
        self,
        tag: Tag,
        committee_size: int,
        members: Sequence[Sequence[Ad]],
        complete: bool,
        gone: frozenset[NodeKey],
    ) -> tuple[NodeKey, ...]:
        queues: list[Sequence[Ad]] = []
        for group in members:
            present = [ad for ad in group if ad.node_key not in gone]
            if present:
                queues.append(present)
            if len(queues) == committee_size:
                break
        if len(queues) < committee_size and not complete:
            present = [ad for ad in self._ads if ad.node_key not in gone]
            return RelayPool(present, self._network).order(tag, committee_size).seat_keys
        return tuple(ad.node_key for ad in interleave(queues, committee_size))


class _Overlaps:
    """Counts over all pairs of views."""

    def __init__(self) -> None:
        self.disjoint_rooms = 0
        self.worst: int | None = None
        self._total = 0
        self._pairs = 0

    def add(self, views: Sequence[Sequence[NodeKey]]) -> None:
        sets = [frozenset(seats) for seats in views]
        common = [len(left & right) for left, right in itertools.combinations(sets, 2)]
        if not common:
            return
        self._total += sum(common)
        self._pairs += len(common)
        least = min(common)
        self.worst = least if self.worst is None else min(self.worst, least)
        self.disjoint_rooms += least == 0

    @property
    def mean(self) -> float | None:
        return self._total / self._pairs if self._pairs else None


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"{name} = {value}: must be from {least} to {most}")
