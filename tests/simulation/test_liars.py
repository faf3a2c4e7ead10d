"""Relays that lie in one way at a time, four of five, against real members: one honest seat suffices, the honest are
never blamed, and what can be seen of a lie is held against who told it."""

from __future__ import annotations

import pytest

from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.network_model import NetworkModel
from railgun.sim.swarm.checks import member_of
from railgun.sim.swarm.plan import MEMBERS, SETTLED_SECONDS, Said, SwarmPlan
from railgun.sim.swarm.scenario import SwarmRun
from railgun.types import NodeKey

TALK_SECONDS = 50.0
MESSAGES = 60
HONEST = "relay-2"


def run_of(*lies: str) -> SwarmRun:
    """Five relays, one of them honest, and twelve members in three rooms, on a network without other faults."""
    plan = SwarmPlan(
        seed=7,
        network=NetworkParameters("liars", NetworkKind.LAN, 60, 12),
        model=NetworkModel(),
        relays=5,
        committee_size=5,
        wall_base_seconds=1_800_000_000.0,
        talk_until_seconds=SETTLED_SECONDS + TALK_SECONDS,
    )
    plan.liars = {name: lies for name in plan.relay_names if name != HONEST}
    gap = TALK_SECONDS / MESSAGES
    plan.said = [Said(SETTLED_SECONDS + gap * number, number % MEMBERS, number) for number in range(MESSAGES)]
    return SwarmRun(plan)


def held_against(run: SwarmRun) -> dict[str, int]:
    """By relay, the most points that any member holds against it."""
    world = run.world
    members = [member for node in world.nodes.values() if (member := member_of(node.machine)) is not None]
    accounts = [(member.client.reputation, member.client.wall(world.now)) for member in members]
    return {
        node.name: max(account.points(NodeKey(node.key), wall) for account, wall in accounts)
        for node in world.nodes.values()
        if node.is_relay
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lies", "shows"),
    [
        (("drops",), True),
        (("delays",), False),
        (("corrupts",), True),
        (("replays",), False),
        (("hides",), True),
        (("forges",), True),
        (("drops", "forges"), True),
        (("equivocates",), True),
    ],
)
def test_four_of_five_seats_that_lie_stop_nothing_and_blame_nobody(lies: tuple[str, ...], *, shows: bool) -> None:
    run = run_of(*lies)
    result = run.run()
    points = held_against(run)
    assert [item.detail for item in result.violations if item.checker != "plan"] == []
    assert points[HONEST] == 0
    liars = [points[name] for name in run.plan.liars]
    assert any(liars) if shows else not any(liars), points
    latencies = sorted(result.latencies_seconds)
    assert latencies[int(0.99 * len(latencies))] < 15.0
    # A member that starts anew remembers whom not to trust.
    for name in run.plan.member_names:
        run.world.restart(name)
    run.world.run(run.world.now)
    remembered = held_against(run)
    assert all(abs(remembered[name] - held) <= 1 for name, held in points.items()), (remembered, points)
