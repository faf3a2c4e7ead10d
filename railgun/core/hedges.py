"""Seats that serve a client beside others that are in doubt.

Owns: which seats are in doubt, who is taken beside them, how long (spec: delivery, deaths and doubts).
Must not know: subscriptions, envelopes, how links are made.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from railgun.core.connector import Connector
from railgun.core.liveness import Liveness
from railgun.types import NodeKey, PeerKey

SPARE_HEDGES = 1
"""What hits one seat may hit several: one more than there are doubts, so as not to wait for the next doubt."""
HEDGE_SECONDS = 5.0
"""How long a seat serves us beside one in doubt, at least: doubts that come again are no reason to come and go."""
DIAL_DOUBT_SECONDS = 1.0
"""A seat that is to take another's place and is not linked by then has another one taken beside it."""


class Hedges:
    """The hedges of one tag."""

    def __init__(self, connector: Connector, liveness: Liveness) -> None:
        self._connector = connector
        self._liveness = liveness
        self._until: dict[NodeKey, float] = {}
        self.counts_dials = False
        """Whether slow dials count: only once seats have served, since a node that starts dials many at a time."""

    def __contains__(self, seat: NodeKey) -> bool:
        return seat in self._until

    def __len__(self) -> int:
        return len(self._until)

    @property
    def ends(self) -> list[float]:
        """When each is to be looked at again."""
        return list(self._until.values())

    def is_doubted(self, seat: NodeKey) -> bool:
        """Whether it leaves pulses unanswered."""
        return self._liveness.is_doubted(PeerKey(seat))

    def dial_doubted_at(self, seat: NodeKey) -> float | None:
        """When the dial that is under way will have taken long; None without one, or where it does not count."""
        since = self._connector.dialling_since(seat) if self.counts_dials else None
        return None if since is None else since + DIAL_DOUBT_SECONDS

    def is_unsure(self, seat: NodeKey, now: float) -> bool:
        """Whether it is doubted, or is to take another's place and the dial takes long."""
        doubted_at = self.dial_doubted_at(seat)
        return self.is_doubted(seat) or (doubted_at is not None and now + 1e-6 >= doubted_at)

    def choose(
        self, chosen: Sequence[NodeKey], others: Sequence[NodeKey], serving: Collection[NodeKey], now: float
    ) -> None:
        """See to it that seats beyond doubt serve us; whoever does so only for that may go after a while.

        ``chosen``: primary and secondary; ``others``: who could stand beside them, the best first; ``serving``: those
        that have acknowledged a subscription.
        """
        unsure = sum(self.is_unsure(seat, now) for seat in chosen)
        if not unsure and not self._until:
            return
        sound = [seat for seat in others if not self.is_unsure(seat, now)]
        hedges = {seat: until for seat, until in self._until.items() if seat in sound}
        if unsure or not all(seat in serving for seat in chosen):
            fresh = [seat for seat in sound if seat not in hedges]
            fresh.sort(key=lambda seat: not self._connector.is_linked(seat))
            lacking = unsure + SPARE_HEDGES - len(hedges) if unsure else 0
            hedges = dict.fromkeys([*hedges, *fresh[: max(0, lacking)]], now + HEDGE_SECONDS)
        self._until = {seat: until for seat, until in hedges.items() if now + 1e-6 < until}

    def primaries(self, desired: Sequence[NodeKey]) -> set[NodeKey]:
        """Who is to deliver at once: the first, and while it is in doubt the first of those that live."""
        if not self._until and not any(self.is_doubted(seat) for seat in desired[:1]):
            return set(desired[:1])
        linked = [seat for seat in desired if self._connector.is_linked(seat) and not self.is_doubted(seat)]
        return {*desired[:1], *linked[:1]}
