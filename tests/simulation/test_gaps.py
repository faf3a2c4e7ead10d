"""Members that were away for longer than seats keep anything get it all from each other: real machines, real
committees, epochs of 12 seconds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from railgun.core.history_order import in_order
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.faults import Crash, Fault, Heal, Partition, Restart
from railgun.sim.network_model import NetworkModel
from railgun.sim.swarm.checks import CHECKERS
from railgun.sim.swarm.members import stored_numbers
from railgun.sim.swarm.plan import MEMBERS, SETTLED_SECONDS, Said, Step, SwarmPlan
from railgun.sim.swarm.scenario import SwarmRun
from railgun.sim.world import WALL_BASE_SECONDS
from railgun.wire.content import TextContent

EPOCH, OVERLAP = 12, 3
RELAYS = 6
AWAY_FROM = SETTLED_SECONDS + 8.0
AWAY_SECONDS = 3 * EPOCH + 10.0
TALK_SECONDS = AWAY_SECONDS + 20.0
NOT_PROMISED = ("late",)
"""How late things were, with half of the network away, is another matter; all else must hold."""


def plan_of(faults: Sequence[Fault], said: Sequence[Said], steps: Sequence[Step] = ()) -> SwarmPlan:
    return SwarmPlan(
        seed=7,
        network=NetworkParameters("gaps", NetworkKind.LAN, EPOCH, OVERLAP),
        model=NetworkModel(delay_min_seconds=0.005, delay_max_seconds=0.060),
        relays=RELAYS,
        committee_size=3,
        wall_base_seconds=WALL_BASE_SECONDS,
        talk_until_seconds=SETTLED_SECONDS + TALK_SECONDS,
        faults=list(faults),
        said=list(said),
        steps=list(steps),
    )


def talk(members: Sequence[int], count: int, until: float = SETTLED_SECONDS + TALK_SECONDS - 4.0) -> list[Said]:
    step = (until - SETTLED_SECONDS) / count
    return [Said(SETTLED_SECONDS + number * step, members[number % len(members)], number) for number in range(count)]


def run(plan: SwarmPlan) -> SwarmRun:
    life = SwarmRun(plan)
    result = life.run()
    broken = [violation for violation in result.violations if violation.checker not in NOT_PROMISED]
    assert not broken, "\n".join(f"{item.checker}: {item.detail}" for item in broken)
    return life


def histories(life: SwarmRun, room: str) -> dict[str, list[str]]:
    """Each member's numbers, in the order that links give."""
    found = {}
    for person in life.rooms[room].people:
        stored = stored_numbers(life.rooms[room], life.world.nodes[person.name].persisted)
        ordered = in_order(message for _, message in stored)
        found[person.name] = [m.content.text for m in ordered if isinstance(m.content, TextContent)]
    return found


def test_what_is_not_promised_are_checkers() -> None:
    assert set(NOT_PROMISED) < set(CHECKERS)
    assert {"reader", "directory", "roster", "committee", "plan"} <= set(CHECKERS) - set(NOT_PROMISED)


@pytest.mark.parametrize("said_after", [True, False])
def test_who_was_down_for_three_epochs_has_everything_afterwards(said_after: bool) -> None:
    faults = [
        Crash(at_seconds=AWAY_FROM, nodes=("member-0", "member-4")),
        Restart(at_seconds=AWAY_FROM + AWAY_SECONDS, nodes=("member-0", "member-4")),
    ]
    others = [number for number in range(MEMBERS) if number not in (0, 4)]
    until = SETTLED_SECONDS + TALK_SECONDS - 4.0 if said_after else AWAY_FROM + AWAY_SECONDS - 2.5 * EPOCH
    life = run(plan_of(faults, talk(others, 120, until)))
    for room in life.rooms:
        every = list(histories(life, room).values())
        assert len(every[0]) > 30
        assert all(other == every[0] for other in every)


def test_who_was_cut_off_for_three_epochs_has_everything_afterwards() -> None:
    everyone = [*(f"relay-{index}" for index in range(RELAYS)), *(f"member-{index}" for index in range(MEMBERS))]
    cut = ("member-1", "member-5", "member-6")
    groups = (cut, tuple(name for name in everyone if name not in cut))
    faults = [
        Partition(at_seconds=AWAY_FROM, groups=groups),
        Heal(at_seconds=AWAY_FROM + AWAY_SECONDS),
    ]
    life = run(plan_of(faults, talk([2, 3, 4, 7, 8, 9], 120, AWAY_FROM + AWAY_SECONDS - 2.5 * EPOCH)))
    for room in life.rooms:
        every = list(histories(life, room).values())
        assert len(every[0]) == 40
        assert all(other == every[0] for other in every)


def test_two_halves_that_both_talked_on_for_three_epochs_end_alike() -> None:
    left = (*(f"relay-{index}" for index in range(3)), *(f"member-{index}" for index in range(6)))
    right = (*(f"relay-{index}" for index in range(3, 6)), *(f"member-{index}" for index in range(6, 12)))
    faults = [
        Partition(at_seconds=AWAY_FROM, groups=(left, right)),
        Heal(at_seconds=AWAY_FROM + AWAY_SECONDS),
    ]
    # Each half of the rooms makes an invite meanwhile: rosters differ, and are to be one afterwards.
    steps = [Step(AWAY_FROM + 10.0, "invite", 3), Step(AWAY_FROM + 12.0, "invite", 9)]
    life = run(plan_of(faults, talk(range(MEMBERS), 180), steps))
    for room in life.rooms:
        every = list(histories(life, room).values())
        assert len(every[0]) == 60
        assert all(other == every[0] for other in every)
