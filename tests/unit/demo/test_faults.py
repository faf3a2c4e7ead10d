"""What is planted when, and what follows from the accounts."""

from __future__ import annotations

import math
from typing import Any

import pytest

from railgun.errors import UsageError
from railgun.runtime.demo.evidence import FAULTS, MEMBER, RELAY
from railgun.runtime.demo.fault_figures import FaultFigures, Middle, Spread, fault_figures
from railgun.runtime.demo.faults import FaultKind, FaultOptions
from railgun.runtime.demo.options import DemoOptions

Account = list[dict[str, Any]]


def test_faults_are_evenly_spaced_and_in_order() -> None:
    planned = FaultOptions(kill=2, pause=1, partition_seconds=15, kill_committee=True, churn_seconds=40).schedule(90)
    assert [(fault.at_seconds, fault.kind) for fault in planned] == [
        (30, FaultKind.KILL),
        (37.5, FaultKind.PARTITION),
        (40, FaultKind.CHURN),
        (45, FaultKind.PAUSE),
        (45, FaultKind.KILL_COMMITTEE),
        (60, FaultKind.KILL),
        (80, FaultKind.CHURN),
    ]
    assert FaultOptions().schedule(90) == []
    assert not FaultOptions().any


@pytest.mark.parametrize(
    "values",
    [
        {"kill": -1},
        {"restart": 1_001},
        {"partition_seconds": math.inf},
        {"partition_seconds": -1},
        {"churn_seconds": 0},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        FaultOptions(**values)


@pytest.mark.parametrize("faults", [FaultOptions(kill=7), FaultOptions(partition_seconds=90)])
def test_a_network_that_cannot_take_it_is_refused(faults: FaultOptions) -> None:
    with pytest.raises(UsageError, match="--"):
        DemoOptions(relays=7, duration_seconds=90, faults=faults)


def member(name: str, *records: dict[str, Any]) -> Account:
    return [{"kind": "process", "role": MEMBER, "index": 1, "name": name}, *records]


def attached(at: float, *nodes: str) -> dict[str, Any]:
    return {"kind": "attached", "at": at, "nodes": list(nodes)}


def sending(at: float, number: str) -> dict[str, Any]:
    return {"kind": "sending", "number": number, "at": at, "size": 256}


def received(at: float, number: str) -> dict[str, Any]:
    return {"kind": "received", "number": number, "at": at}


def fault(kind: str, at: float, *, number: int = 0, what: str = "fault", **more: Any) -> dict[str, Any]:
    return {"kind": what, "fault": kind, "number": number, "at": at, "processes": [], "nodes": [], **more}


def faults(*records: dict[str, Any]) -> Account:
    return [{"kind": "process", "role": FAULTS, "index": 0, "name": "faults"}, *records]


RELAY_ACCOUNT: Account = [{"kind": "process", "role": RELAY, "index": 1, "name": "relay 1"}]


def test_without_faults_nothing_is_measured() -> None:
    assert fault_figures([RELAY_ACCOUNT, member("a", attached(0, "x", "y"))]) == FaultFigures()


def test_failover_lasts_until_two_living_seats_have_acknowledged() -> None:
    hit = member("a", attached(0, "x", "y"), attached(13.5, "y"), attached(14, "y", "z"))
    spared = member("b", attached(0, "y", "z"))
    killed = fault("kill", 10, processes=["relay 1"], nodes=["x"])
    assert fault_figures([RELAY_ACCOUNT, hit, spared, faults(killed)]) == FaultFigures(
        kills=1, failover_ms=Spread(4_000, 4_000, 4_000)
    )


def test_a_member_that_never_recovers_counts_until_the_end() -> None:
    hit = member("a", attached(0, "x", "y"), sending(40, "1-1"))
    killed = fault("kill", 10, processes=["relay 1"], nodes=["x"])
    assert fault_figures([hit, faults(killed)]).failover_ms.max == 30_000


def test_a_relay_that_comes_back_before_it_is_missed_ends_the_failover() -> None:
    hit = member("a", attached(0, "x", "y"))
    records = [
        fault("pause", 10, processes=["relay 1"], nodes=["x"]),
        fault("pause", 12, what="mended", processes=["relay 1"], nodes=["x"]),
    ]
    figures = fault_figures([hit, faults(*records)])
    assert (figures.pauses, figures.failover_ms.max) == (1, 2_000)


def test_the_gap_is_of_messages_soon_after_a_fault_between_those_that_were_up() -> None:
    speaker = member("a", sending(9, "1-1"), sending(11, "1-2"), sending(19, "1-3"), sending(21, "1-4"))
    listener = member("b", *(received(at, f"1-{index}") for index, at in enumerate((9.01, 11.2, 19.4, 29), 1)))
    paused = member("c", received(22, "1-2"), received(22, "1-3"))
    records = [
        fault("pause", 10, processes=["c"]),
        fault("pause", 20, what="mended", processes=["c"]),
    ]
    gaps = fault_figures([speaker, listener, paused, faults(*records)]).delivery_gap_ms
    assert (gaps.p50, gaps.max) == (pytest.approx(200), pytest.approx(400))


def test_recovery_is_from_the_death_of_all_seats_to_each_member_s_next_message_everywhere() -> None:
    first = member("a", sending(8, "1-1"), sending(12, "1-2"), received(8.1, "2-1"), received(16, "2-2"))
    second = member("b", sending(8, "2-1"), sending(15, "2-2"), received(8.1, "1-1"), received(14, "1-2"))
    killed = fault("kill_committee", 10, processes=["relay 1", "relay 2"], nodes=["x", "y"])
    figures = fault_figures([first, second, faults(killed)])
    assert figures.kills == 2
    assert figures.recovery_ms == Middle(4_000, 6_000)


def test_a_partition_heals_when_all_that_was_said_before_its_end_is_everywhere() -> None:
    halves = [["a", "x"], ["b", "y"]]
    first = member("a", attached(0, "x", "y"), sending(12, "1-1"), attached(14, "x", "z"), attached(40, "x", "z"))
    second = member("b", attached(0, "y", "z"), received(26.5, "1-1"))
    records = [
        fault("partition", 10, processes=["a", "b"], nodes=["x", "y"], halves=halves),
        fault("partition", 25, what="mended", processes=["a", "b"], nodes=["x", "y"]),
    ]
    figures = fault_figures([first, second, faults(*records)])
    assert (figures.partitions, figures.partition_by) == (1, "nftables")
    assert figures.heal_ms == Middle(1_500, 1_500)
    assert figures.failover_ms.max == 4_000
    assert figures.delivery_gap_ms.max is None, "the halves could not hear each other"
