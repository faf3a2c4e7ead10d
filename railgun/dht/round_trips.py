"""How long an answer may take.

Owns: the estimate of round trips, by peer and over all. Pure: measurements are passed in.
Must not know: datagrams, lookups.

Spec: docs/spec/dht.md; the estimator is that of RFC 6298 (smoothed mean, mean deviation).
"""

from __future__ import annotations

from collections import OrderedDict

from railgun.limits import (
    DHT_DEADLINE_FIRST_SECONDS,
    DHT_DEADLINE_MAX_SECONDS,
    DHT_DEADLINE_MIN_SECONDS,
    DHT_ROUND_TRIPS_MAX,
)
from railgun.types import NodeKey

_SLACK_SECONDS = 0.02
"""What a busy machine adds now and then to any round trip."""
_OVERALL_GAIN = 1 / 32
"""Peers lie at different distances: their mean moves slowly, so that one far peer does not stretch all deadlines."""


class RoundTrips:
    """Deadlines from what was measured. The peers measured longest ago are forgotten first."""

    def __init__(self) -> None:
        self._by_peer: OrderedDict[NodeKey, tuple[float, float]] = OrderedDict()
        self._overall: tuple[float, float] | None = None
        self._first_seconds = DHT_DEADLINE_FIRST_SECONDS

    def measured(self, peer: NodeKey, seconds: float) -> None:
        """One answer took so long."""
        self._by_peer[peer] = _blend(self._by_peer.get(peer), seconds, 1 / 8)
        self._by_peer.move_to_end(peer)
        if len(self._by_peer) > DHT_ROUND_TRIPS_MAX:
            self._by_peer.popitem(last=False)
        self._overall = _blend(self._overall, seconds, _OVERALL_GAIN)

    def unanswered(self) -> None:
        """A request was given up. Before anything was measured that may mean that this network is slow: until something
        is, the next ones get twice as long."""
        if self._overall is None:
            self._first_seconds = 2 * DHT_DEADLINE_FIRST_SECONDS

    def deadline_seconds(self, peer: NodeKey) -> float:
        """After this an answer is late, and another node is asked as well."""
        estimate = self._by_peer.get(peer)
        if estimate is None:
            if self._overall is None:
                return self._first_seconds
            mean, deviation = self._overall
            wanted = mean + 3 * deviation
        else:
            wanted = estimate[0] + 4 * estimate[1]
        return min(max(wanted + _SLACK_SECONDS, DHT_DEADLINE_MIN_SECONDS), DHT_DEADLINE_MAX_SECONDS)


def _blend(old: tuple[float, float] | None, seconds: float, gain: float) -> tuple[float, float]:
    if old is None:
        return seconds, seconds / 2
    mean, deviation = old
    deviation += 2 * gain * (abs(seconds - mean) - deviation)
    return mean + gain * (seconds - mean), deviation
