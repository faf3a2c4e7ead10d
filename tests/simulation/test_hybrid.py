"""Hybrid mode with the real machines: volunteers vanish, fallbacks serve, volunteers return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from railgun.core.client import ClientMachine
from railgun.core.effects import Effects
from railgun.crypto.epoch import epoch_start
from railgun.network import NetworkKind, NetworkParameters
from railgun.runtime.status import room_tag
from railgun.sim.faults import Crash, Fault, Restart
from railgun.sim.network_model import NetworkModel
from railgun.sim.rotation import Rotation, RotationOptions
from railgun.sim.virtual_node import LinksAfterCrash
from railgun.types import ServiceMode
from tests.support.plain_rooms import plain_machines

NETWORK = NetworkParameters(name="quick", kind=NetworkKind.LAN, epoch_seconds=20, overlap_seconds=4)
VOLUNTEERS = tuple(f"relay-{index}" for index in range(4))
FALLBACKS = frozenset({"relay-4", "relay-5"})
GONE_AT, BACK_AT = 62.0, 132.0
SECONDS = 180


def rotation(faults: Sequence[Fault] = ()) -> Rotation:
    options = RotationOptions(
        peers=6,
        rooms=2,
        relays=len(VOLUNTEERS) + len(FALLBACKS),
        hours=(SECONDS - 40) / 3600,
        messages_per_minute=12,
        committee_size=3,
        network=NETWORK,
        model=NetworkModel(delay_min_seconds=0.005, delay_max_seconds=0.080),
        skew_seconds=0.0,
    )
    return Rotation(options, plain_machines(FALLBACKS), faults=faults)


def modes_of(run: Rotation) -> set[ServiceMode | None]:
    """What the members say now."""
    found = set()
    for _, machine in run.world.machines():
        if not isinstance(machine, ClientMachine):
            continue
        wall = machine.clock.wall(run.world.now)
        for room_id in machine.rooms:
            tag = room_tag(machine, room_id, epoch_start(wall, room_id, NETWORK.epoch_seconds), wall)
            found.add(None if tag is None else tag.committee.mode(tag.attached))
    return found


def watched(run: Rotation) -> dict[int, set[ServiceMode | None]]:
    """Run to the end; the members' modes at every full second."""
    seen: dict[int, set[ServiceMode | None]] = {}

    def look(second: int) -> None:
        seen[second] = modes_of(run)

    for second in range(45, SECONDS):
        run.world.act(float(second), lambda second=second: look(second))  # type: ignore[misc]
    run.run()
    return seen


def seats_held_by_fallbacks(run: Rotation) -> int:
    relays = [run.world.machine(name) for name in FALLBACKS]
    return sum(seat.is_own for relay in relays for seat in relay.seats.values())


def test_fallbacks_sit_idle_while_volunteers_suffice() -> None:
    run = rotation()
    seen = watched(run)
    assert set.union(*seen.values()) == {ServiceMode.VOLUNTEERS}
    for name in FALLBACKS:
        assert run.world.machine(name).counters.deliveries == 0
    assert run.ledger.delivered_count == run.ledger.expected


@pytest.mark.parametrize("links", [LinksAfterCrash.SILENCE, LinksAfterCrash.AT_ONCE])
def test_volunteers_vanish_and_return_and_nothing_is_lost(links: LinksAfterCrash) -> None:
    faults: list[Fault] = [
        Crash(at_seconds=GONE_AT, nodes=VOLUNTEERS, links=links),
        Restart(at_seconds=BACK_AT, nodes=VOLUNTEERS),
    ]
    run = rotation(faults)
    seen = watched(run)
    assert all(seen[second] == {ServiceMode.VOLUNTEERS} for second in range(45, int(GONE_AT)))
    # Seats are found dead within 3 s, then who is asked instead; fallbacks serve in the open epoch as in later ones.
    assert all(seen[second] == {ServiceMode.HYBRID} for second in range(int(GONE_AT) + 10, int(BACK_AT)))
    # Links are tried again with ever longer waits, at most 30 s.
    assert all(seen[second] == {ServiceMode.VOLUNTEERS} for second in range(int(BACK_AT) + 35, SECONDS))
    assert run.ledger.delivered_count == run.ledger.expected
    assert run.ledger.duplicated == 0


def test_volunteers_that_say_goodbye_leave_their_seats_to_the_fallbacks() -> None:
    run = rotation()

    def leave(machine: Any, now: float) -> Effects:
        out: Effects = []
        machine.directory.withdraw(machine.clock.wall(now), out)
        return out

    def take_leave(name: str) -> None:
        run.world.call(name, run.world.now, "leave", 0, leave)
        run.world.act(run.world.now + 1.0, lambda: run.world.crash(name, links=LinksAfterCrash.AT_ONCE))

    for name in VOLUNTEERS[1:]:
        run.world.act(GONE_AT, lambda name=name: take_leave(name))  # type: ignore[misc]
    held: list[int] = []
    run.world.act(SECONDS - 1.0, lambda: held.append(seats_held_by_fallbacks(run)))
    seen = watched(run)
    # One volunteer is left: two of three seats are the fallbacks', as everyone computes.
    assert all(seen[second] == {ServiceMode.HYBRID} for second in range(int(GONE_AT) + 45, SECONDS))
    assert held[0] >= 4  # two seats in each of two rooms
    assert run.ledger.delivered_count == run.ledger.expected
