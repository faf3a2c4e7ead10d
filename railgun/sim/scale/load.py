"""A fixed total traffic on networks of any size: how much of it each relay carries.

Owns: the rooms, their handles, the count of envelopes by relay. Must not know: how an order or a ranking is made
(`railgun.core.committee` is asked), how counts are judged.

Every member says one message in each epoch of its room. A seat takes in every envelope of its tag; it delivers each to
those whose first seat it is, the sender excepted; and what these say it passes on to the seats that they do not publish
to themselves. Each such envelope counts one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from railgun.core.committee import RelayPool, rank_for_handle
from railgun.core.tag_set import HANDLE_BYTES
from railgun.network import NetworkParameters
from railgun.sim.committee import draw_relays
from railgun.types import Handle, NodeKey, Tag

SHARES: Final = 16
"""Into so many parts the traffic is cut, each drawn by itself: the result does not depend on who counts which."""
ROOM_MEMBERS: Final = 20
ENTRIES: Final = 2
"""Seats that a sender publishes to."""


@dataclass(frozen=True, slots=True)
class LoadShare:
    """One part of the traffic on a network of ``relays``; ``tags``: rooms times epochs, of all parts together."""

    relays: int
    tags: int
    committee_size: int
    seed: int
    share: int


@dataclass(frozen=True, slots=True)
class Load:
    """Envelopes by relay, and as they fall if each seat's work goes to any relay at random."""

    by_order: list[int]
    at_random: list[int]

    def add(self, other: Load) -> None:
        """Another part of the same network's traffic."""
        for ours, theirs in ((self.by_order, other.by_order), (self.at_random, other.at_random)):
            ours[:] = map(int.__add__, ours, theirs) if ours else theirs


def count_load(share: LoadShare) -> Load:
    """Count one part. Takes about 5 ms a tag for 10,000 relays."""
    ads = draw_relays(share.relays, share.seed)
    pool = RelayPool(ads, NetworkParameters("simulation"))
    index_of = {ad.node_key: index for index, ad in enumerate(ads)}
    dice = random.Random(f"load {share.seed} {share.share}")
    elsewhere = random.Random(f"load at random {share.seed} {share.share} {share.relays}")
    load = Load([0] * share.relays, [0] * share.relays)
    for _ in range(share.share, share.tags, SHARES):
        tag = Tag(dice.randbytes(32))
        handles = [Handle(dice.randbytes(HANDLE_BYTES)) for _ in range(ROOM_MEMBERS)]
        for seat, work in seat_work(pool.order(tag, share.committee_size).seat_keys, handles):
            load.by_order[index_of[seat]] += work
            load.at_random[elsewhere.randrange(share.relays)] += work
    return load


def seat_work(seats: tuple[NodeKey, ...], handles: list[Handle]) -> list[tuple[NodeKey, int]]:
    """What each seat does for one message of each member."""
    slices = dict.fromkeys(seats, 0)
    for handle in handles:
        slices[rank_for_handle(handle, seats)[0]] += 1
    members, passed_on = len(handles), max(0, len(seats) - ENTRIES)
    return [(seat, members + own * (members - 1) + own * passed_on) for seat, own in slices.items()]
