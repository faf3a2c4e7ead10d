"""The demo under faults, with real processes on real sockets: nothing is lost or doubled.

How long a fault shows is measured by `make bench`, on a machine that does nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from railgun.runtime.demo.faults import FaultOptions
from railgun.runtime.demo.options import DemoOptions
from railgun.runtime.demo.result import DemoResult, promises_kept
from railgun.runtime.demo.run import run_demo
from railgun.types import ServiceMode
from tests.support.commands import check_schema

pytestmark = [pytest.mark.processes, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


async def demo(relays: int = 5, committee: int = 3, **faults: object) -> DemoResult:
    """A short demo with these faults, in which nothing got lost or came twice."""
    options = DemoOptions(
        relays=relays,
        members=3,
        messages=20,
        committee=committee,
        epoch_seconds=10,
        duration_seconds=12,
        faults=FaultOptions(**faults),  # type: ignore[arg-type]
    )
    result = await run_demo(options)
    check_schema("demo", result.as_json())
    assert promises_kept(result), result
    assert result.sent == 60
    assert result.receipts.complete == 60
    return result


async def test_killed_seats_are_replaced_and_nothing_is_lost() -> None:
    result = await demo(kill=2)
    assert result.faults.kills == 2
    assert result.faults.failover_ms.max is not None


async def test_killed_relays_and_members_come_back_with_all_they_had() -> None:
    result = await demo(restart=2)
    assert result.faults.restarts == 2


async def test_relays_and_members_that_stood_still_go_on_where_they_were() -> None:
    result = await demo(pause=2)
    assert result.faults.pauses == 2


async def test_every_relay_is_restarted_in_its_turn_and_nothing_is_lost() -> None:
    result = await demo(relays=3, rolling_restart=True)
    assert result.faults.restarts == 3
    assert len(result.per_relay_deliveries) == 3  # the same relays, through two lives


async def test_relays_come_and_go_and_leave_nothing_behind() -> None:
    result = await demo(relays=4, churn_seconds=2.0)
    assert len(result.per_relay_deliveries) == 4 + 3  # three came, two left
    assert result.resources.descriptors_leaked == 0
    assert result.resources.tasks_leaked is not None  # so soon after the talk some may still be ending
    assert result.resources.rss_slope_kib_per_hour is None  # nobody lived long enough for one


async def test_all_seats_dead_at_once_and_the_room_goes_on() -> None:
    result = await demo(kill_committee=True)  # two stay: a majority of three seats
    assert result.faults.kills == 3
    assert result.faults.recovery_ms.max is not None


async def test_all_relays_dead_and_the_members_go_on_by_themselves() -> None:
    result = await demo(relays=3, kill_committee=True)
    assert result.faults.kills == 3
    assert result.mode == ServiceMode.DIRECT
    assert result.faults.recovery_ms.max is not None
    assert result.faults.recovery_ms.max < 10_000


async def test_halves_that_were_cut_apart_have_everything_in_the_end() -> None:
    assert os.geteuid() == 0, "network namespaces take root, as CI has it"
    before = interfaces()
    result = await demo(relays=4, partition_seconds=6)
    assert (result.faults.partitions, result.faults.partition_by) == (1, "nftables")
    assert result.faults.heal_ms.max is not None
    assert interfaces() == before
