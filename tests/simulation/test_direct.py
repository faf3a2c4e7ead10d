"""Rooms whose relays all die, with the real machines and real rooms: members go on by themselves, and go back."""

from __future__ import annotations

import pytest

from railgun.core.direct import DIRECT_KEEP_SECONDS
from railgun.crypto.epoch import epoch_start
from railgun.runtime.status import room_tag, service_mode
from railgun.sim.faults import Crash, Fault, Heal, Partition, Restart
from railgun.sim.rotation import Rotation
from railgun.sim.virtual_node import LinksAfterCrash
from railgun.types import ServiceMode
from tests.support.direct_world import NETWORK, direct_rotation, members_of, room_of

RELAYS = ("relay-0", "relay-1", "relay-2")
GONE_AT, BACK_AT, END = 62.0, 105.0, 160
RECOVERY_SECONDS = 10.0
RETURN_SECONDS = 10.0


def modes_of(run: Rotation) -> set[ServiceMode | None]:
    found = set()
    for _, machine in members_of(run):
        wall = machine.clock.wall(run.world.now)
        room_id = room_of(machine).room_id
        tag = room_tag(machine, room_id, epoch_start(wall, room_id, NETWORK.epoch_seconds), wall)
        found.add(None if tag is None else service_mode(machine, tag))
    return found


def watched(run: Rotation) -> tuple[dict[int, set[ServiceMode | None]], dict[int, int]]:
    """Run to the end; at every full second the members' modes, and how much of what was said has arrived."""
    modes: dict[int, set[ServiceMode | None]] = {}
    lacking: dict[int, int] = {}

    def look(second: int) -> None:
        modes[second] = modes_of(run)
        lacking[second] = run.ledger.expected - run.ledger.delivered_count

    for second in range(45, END):
        run.world.act(float(second), lambda second=second: look(second))  # type: ignore[misc]
    run.run()
    return modes, lacking


@pytest.mark.parametrize("links", [LinksAfterCrash.SILENCE, LinksAfterCrash.AT_ONCE])
def test_members_go_on_without_relays_and_return_to_them(links: LinksAfterCrash) -> None:
    faults: list[Fault] = [
        Crash(at_seconds=GONE_AT, nodes=RELAYS, links=links),
        Restart(at_seconds=BACK_AT, nodes=RELAYS),
    ]
    run = direct_rotation(faults, seconds=END)
    modes, lacking = watched(run)
    assert all(modes[second] == {ServiceMode.VOLUNTEERS} for second in range(45, int(GONE_AT)))
    without = range(int(GONE_AT + RECOVERY_SECONDS), int(BACK_AT))
    assert all(modes[second] == {ServiceMode.DIRECT} for second in without)
    # Two epochs begin and end meanwhile: what is said is with everyone all the same, but for the last second's.
    assert max(lacking[second] for second in without) <= 4
    assert min(lacking[second] for second in without) == 0
    # A committee is back as soon as there is one: relays are tried every few seconds.
    assert all(modes[second] == {ServiceMode.VOLUNTEERS} for second in range(int(BACK_AT + RETURN_SECONDS), END))
    assert run.ledger.delivered_count == run.ledger.expected
    assert run.ledger.duplicated == 0
    for _, machine in members_of(run):
        assert machine.direct.state_sizes() == {"direct_links": 0, "direct_tags": 0, "direct_dials": 0}


def test_relays_that_never_return_lose_nothing() -> None:
    run = direct_rotation([Crash(at_seconds=GONE_AT, nodes=RELAYS, links=LinksAfterCrash.SILENCE)], seconds=END)
    watched(run)
    assert modes_of(run) == {ServiceMode.DIRECT}
    assert run.ledger.delivered_count == run.ledger.expected
    assert run.ledger.duplicated == 0
    outgoing = [
        item
        for _, machine in members_of(run)
        for client in machine.tags.of_room(room_of(machine).room_id)
        for item in client.publisher.pending()
    ]
    assert outgoing
    assert all(item.settled and item.by_members for item in outgoing)


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_member_that_no_relay_reaches_is_served_by_members(seed: int) -> None:
    cut = Partition(at_seconds=GONE_AT, groups=(("member-0",), RELAYS))
    run = direct_rotation([cut, Heal(at_seconds=BACK_AT)], seconds=END, seed=seed)
    _, lacking = watched(run)
    without = range(int(GONE_AT + RECOVERY_SECONDS), int(BACK_AT))
    assert max(lacking[second] for second in without) <= 4
    assert run.ledger.delivered_count == run.ledger.expected
    assert run.ledger.duplicated == 0


def test_nobody_links_directly_while_a_committee_serves() -> None:
    run = direct_rotation(seconds=100)
    linked: list[int] = []
    for second in range(45, 100):
        run.world.act(float(second), lambda: linked.extend(len(machine.direct) for _, machine in members_of(run)))
    run.run()
    assert set(linked) == {0}
    assert run.ledger.delivered_count == run.ledger.expected


def test_a_room_of_many_is_one_even_if_each_dials_few() -> None:
    run = direct_rotation(
        [Crash(at_seconds=GONE_AT, nodes=RELAYS, links=LinksAfterCrash.SILENCE)], peers=14, rooms=1, seconds=85
    )
    run.run()
    assert all(0 < len(machine.direct) <= 13 for _, machine in members_of(run))
    assert run.ledger.delivered_count == run.ledger.expected
    assert run.ledger.duplicated == 0
    assert run.world.now < 85 + 40 + DIRECT_KEEP_SECONDS
