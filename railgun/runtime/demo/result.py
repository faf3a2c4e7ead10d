"""What a demo found.

Owns: the result's keys and which of them are promises. Must not know: how they were counted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from railgun.runtime.demo.fault_figures import FaultFigures
from railgun.runtime.demo.resources import ResourceFigures


@dataclass(frozen=True, slots=True)
class Receipts:
    """``needed`` receipts of ``of`` seats make a message sent; ``complete`` messages got them."""

    needed: int
    of: int
    complete: int


@dataclass(frozen=True, slots=True)
class CoverFigures:
    """What hid when members spoke.

    Attributes:
        mode: off, steady or strict.
        decoys_sent: by all members, from when they joined.
        wait_p95_seconds: in strict, how long one in twenty envelopes waits for its tick.
    """

    mode: str
    decoys_sent: int | None
    wait_p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class DhtFigures:
    """The relays' nodes of the DHT, at the end.

    Attributes:
        contacts_min: the fewest that one of them knew.
        records: held by all together, copies counted.
        lookups: made by all together, for clients as well.
    """

    contacts_min: int | None
    records: int | None
    lookups: int | None


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds from the call of send to the recipient's application. None where nothing was delivered."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The totals of a demo. Unmeasured is None.

    Attributes:
        sent: calls of send, failed ones too.
        expected: sent x (members - 1).
        delivered: distinct (message, recipient) pairs, counted in the recipient's application.
        lost: expected - delivered.
        duplicated: deliveries beyond the first of a pair.
        wrong_size_on_wire: envelopes of another size than the three, counted by relays before validation.
        rotations: boundaries between epochs that all members crossed within the duration.
        seats_changed: seats that the committee before a boundary did not have, summed over these boundaries.
        latency_ms_by_size: by the envelope's bytes.
        per_relay_deliveries: envelopes handed to members within the run, pulls and decoys included, as a relay cannot
            tell decoys from messages; in the relays' start order. They can add up to more than ``delivered``.
        load_max_over_mean: of these.
        mode: through whom messages went at the end of the duration, of all members' modes the one furthest from
            volunteers; None where nobody could be reached.
        bootstrap: relays whose address the others were given; all else was found through them.
        faults: what was planted, and how long it showed.
        resources: what grew in processes that lived long, with relays coming and going.
        seconds: from the start of the first process to the end of the drain.
    """

    relays: int
    members: int
    sent: int
    expected: int
    delivered: int
    lost: int
    duplicated: int
    wrong_size_on_wire: int | None
    rotations: int | None
    seats_changed: int | None
    receipts: Receipts
    latency_ms: Latencies
    latency_ms_by_size: dict[str, Latencies]
    per_relay_deliveries: list[int | None]
    load_max_over_mean: float | None
    mode: str | None
    cover: CoverFigures
    bootstrap: int
    dht: DhtFigures
    seconds: float | None
    faults: FaultFigures = field(default_factory=FaultFigures)
    resources: ResourceFigures = field(default_factory=ResourceFigures)

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints: what `faults` and `resources` hold stands among the other keys."""
        found = asdict(self)
        faults: dict[str, Any] = found.pop("faults")
        resources: dict[str, Any] = found.pop("resources")
        return found | faults | resources


def promises_kept(result: DemoResult) -> bool:
    """Nothing lost, nothing doubled, nothing of a wrong size; what was not measured was not kept."""
    return result.sent > 0 and result.lost == 0 and result.duplicated == 0 and result.wrong_size_on_wire == 0
