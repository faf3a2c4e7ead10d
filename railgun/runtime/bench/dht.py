"""How fast and how surely the DHT answers when many of its nodes have just died.

Owns: options with their bounds, the result's keys. Must not know: how a network is simulated: `measure` is passed in
(`railgun.sim.dht_world.measure_lookups`, which the runtime may not import).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from railgun.errors import UsageError
from railgun.runtime.percentiles import percentile

NODES_MAX: Final = 5_000
LOOKUPS_MIN: Final = 1_000
LOOKUPS_MAX: Final = 100_000
P95_MS_MAX: Final = 500.0
SUCCESS_MIN: Final = 0.999
"""What has to hold (T5) with a fifth of the nodes dead."""


@dataclass(frozen=True, slots=True)
class DhtOptions:
    """What to measure.

    Attributes:
        nodes: in the network, 20 to 5,000.
        dead: the share of them that dies at once, 0 to 0.5.
        hostile: the share of them that lies, 0 to 0.4.
        rtt_ms: the mean round trip, 1 to 1,000.
        lookups: at least 1,000.
        seed: equal ones give equal results.

    Raises:
        UsageError: a value is out of its range; the text says what to write.
    """

    nodes: int = 200
    dead: float = 0.2
    hostile: float = 0.0
    rtt_ms: float = 80.0
    lookups: int = LOOKUPS_MIN
    seed: int = 1

    def __post_init__(self) -> None:
        if not 20 <= self.nodes <= NODES_MAX:
            raise UsageError(f"--nodes {self.nodes}: from 20 to {NODES_MAX}, please")
        if not 0 <= self.dead <= 0.5:
            raise UsageError(f"--dead {self.dead:g}: a share from 0 to 0.5, please")
        if not 0 <= self.hostile <= 0.4:
            raise UsageError(f"--hostile {self.hostile:g}: a share from 0 to 0.4, please")
        if not 1 <= self.rtt_ms <= 1_000:
            raise UsageError(f"--rtt-ms {self.rtt_ms:g}: from 1 to 1000, please")
        if not LOOKUPS_MIN <= self.lookups <= LOOKUPS_MAX:
            raise UsageError(f"--lookups {self.lookups}: from {LOOKUPS_MIN} to {LOOKUPS_MAX}, please")


class Sample(Protocol):
    """One lookup."""

    @property
    def seconds(self) -> float: ...

    @property
    def is_right(self) -> bool: ...

    @property
    def hops(self) -> int: ...


class Measurement(Protocol):
    """All of them, and the datagrams that all nodes sent meanwhile."""

    @property
    def samples(self) -> Sequence[Sample]: ...

    @property
    def datagrams(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DhtResult:
    """What ``--json`` prints.

    Attributes:
        p50_ms, p95_ms: of all lookups, failed ones included; virtual milliseconds.
        success: share that gave the right value within 5 s.
        hops: mean of the requests that had to follow one another.
        messages_per_lookup: datagrams of all nodes in both directions, upkeep included.
    """

    p50_ms: float
    p95_ms: float
    success: float
    hops: float
    messages_per_lookup: float

    @property
    def holds(self) -> bool:
        """Whether p95 and success are what they have to be."""
        return self.p95_ms < P95_MS_MAX and self.success >= SUCCESS_MIN

    def as_json(self) -> dict[str, Any]:
        """Numbers rounded to what matters."""
        digits = {"success": 5, "hops": 3}
        return {name: round(value, digits.get(name, 1)) for name, value in asdict(self).items()}


def bench_dht(options: DhtOptions, measure: Callable[[DhtOptions], Measurement]) -> DhtResult:
    """Measure and sum up."""
    measured = measure(options)
    milliseconds = sorted(sample.seconds * 1000 for sample in measured.samples)
    count = len(milliseconds)
    p50, p95 = percentile(milliseconds, 50), percentile(milliseconds, 95)
    if p50 is None or p95 is None:
        raise UsageError("nothing was looked up")
    return DhtResult(
        p50_ms=p50,
        p95_ms=p95,
        success=sum(sample.is_right for sample in measured.samples) / count,
        hops=sum(sample.hops for sample in measured.samples) / count,
        messages_per_lookup=measured.datagrams / count,
    )
