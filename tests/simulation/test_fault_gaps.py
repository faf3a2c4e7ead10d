"""How long faults show: gaps in delivery and failovers over random faults, in virtual time (spec: delivery, doubts)."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from railgun.core.client import ClientMachine
from railgun.network import NetworkKind, NetworkParameters
from railgun.runtime.percentiles import percentile
from railgun.sim.checkers import DeliveryLedger
from railgun.sim.faults import Crash, Fault, Heal, Partition
from railgun.sim.network_model import NetworkModel
from railgun.sim.rotation import TALK_FROM_SECONDS, Rotation, RotationOptions
from railgun.sim.virtual_node import LinksAfterCrash
from railgun.types import NodeKey
from tests.support.plain_rooms import plain_machines

NETWORK = NetworkParameters(name="quick", kind=NetworkKind.LAN, epoch_seconds=30, overlap_seconds=6)
MODEL = NetworkModel(loss=0.01, reorder=0.05, delay_min_seconds=0.005, delay_max_seconds=0.060)
RELAYS, MEMBERS = 9, 8
TALK_SECONDS = 60.0
FAULT_SECONDS = 12.0
"""From one fault to the next."""
AFTER_FAULT_SECONDS = 10.0


@dataclass
class Measured:
    """Seconds."""

    gaps: list[float] = field(default_factory=list)
    failovers: list[float] = field(default_factory=list)
    lost: int = 0
    duplicated: int = 0

    def p99(self) -> tuple[float, float]:
        return percentile(sorted(self.gaps), 99) or 0.0, percentile(sorted(self.failovers), 99) or 0.0


class TimedLedger(DeliveryLedger):
    """Keeps when what was delivered had been sent, by whom and to whom."""

    def __init__(self) -> None:
        super().__init__()
        self.sent_at: dict[int, float] = {}
        self.sender: dict[int, str] = {}
        self.took: list[tuple[int, str, float]] = []

    def sent(self, number: int, recipients: Collection[str], now: float) -> None:
        super().sent(number, recipients, now)
        self.sent_at[number] = now
        (self.sender[number],) = {f"member-{index}" for index in range(MEMBERS)} - set(recipients)

    def delivered(self, number: int, recipient: str, now: float) -> None:
        super().delivered(number, recipient, now)
        self.took.append((number, recipient, now - self.sent_at[number]))


Away = Callable[[str, str], bool]
"""Whether two nodes cannot hear each other just after a fault."""
PlannedFault = tuple[float, Sequence[Fault], Away]


def kills(dice: random.Random, together: int) -> list[PlannedFault]:
    """Relays die, so many at a time, until four are left."""
    order = dice.sample(range(RELAYS), RELAYS - 4)
    groups = [order[first : first + together] for first in range(0, len(order) - together + 1, together)]
    planned: list[PlannedFault] = []
    dead: set[str] = set()
    for turn, group in enumerate(groups):
        names = tuple(f"relay-{index}" for index in group)
        dead |= set(names)
        at = TALK_FROM_SECONDS + turn * FAULT_SECONDS + dice.random() * 2
        faults: list[Fault] = [Crash(at_seconds=at, nodes=names, links=LinksAfterCrash.SILENCE)]
        planned.append((at, faults, among(frozenset(dead))))
    return planned


def among(gone: frozenset[str]) -> Away:
    return lambda one, other: one in gone or other in gone


def partition(dice: random.Random) -> list[PlannedFault]:
    """Two halves do not hear each other for ten seconds."""
    nodes = [f"relay-{index}" for index in range(RELAYS)] + [f"member-{index}" for index in range(MEMBERS)]
    half = frozenset(dice.sample(nodes[:RELAYS], RELAYS // 2) + dice.sample(nodes[RELAYS:], MEMBERS // 2))
    at = TALK_FROM_SECONDS + 20 + dice.random() * 10
    groups = (tuple(sorted(half)), tuple(node for node in nodes if node not in half))
    faults: list[Fault] = [Partition(at_seconds=at, groups=groups), Heal(at_seconds=at + 10.0)]
    return [(at, faults, lambda one, other: (one in half) != (other in half))]


def talk(seed: int, model: NetworkModel) -> RotationOptions:
    """Everyone speaks once a second, in one room."""
    return RotationOptions(
        peers=MEMBERS,
        rooms=1,
        relays=RELAYS,
        hours=TALK_SECONDS / 3600,
        messages_per_minute=60,
        seed=seed,
        network=NETWORK,
        model=model,
        skew_seconds=0.5,
    )


def measure(seed: int, planned: Sequence[PlannedFault]) -> Measured:
    """What real machines make of these faults."""
    every = [fault for _, faults, _ in planned for fault in faults]
    rotation = Rotation(talk(seed, MODEL), plain_machines(), faults=every)
    ledger = rotation.ledger = TimedLedger()
    found = Measured()
    for at, _, away in planned:
        _time_failovers(rotation, at, away, found)
    result = rotation.run()
    found.lost, found.duplicated = result.lost, result.duplicated
    for number, recipient, took in ledger.took:
        for at, _, away in planned:
            if at <= ledger.sent_at[number] <= at + AFTER_FAULT_SECONDS and not away(ledger.sender[number], recipient):
                found.gaps.append(took)
    return found


def _time_failovers(rotation: Rotation, at: float, away: Away, found: Measured) -> None:
    """From ``at`` until each member that was served by a relay that is gone is served by two that are not."""
    world = rotation.world
    waiting: dict[str, float] = {}

    def served(name: str) -> list[str]:
        client = world.machine(name)
        keys: list[NodeKey] = []
        if isinstance(client, ClientMachine):
            for tag in client.tags.of_room(rotation.rooms[0].room_id):
                if tag.window.start <= client.wall(world.now) < tag.window.end:
                    keys = tag.attached
        return [node.name for node in world.nodes.values() if node.key in keys]

    def begin() -> None:
        for index in range(MEMBERS):
            name = f"member-{index}"
            if any(away(name, relay) for relay in served(name)):
                waiting[name] = at
        look()

    def look() -> None:
        for name in list(waiting):
            if sum(not away(name, relay) for relay in served(name)) >= 2:
                found.failovers.append(world.now - waiting.pop(name))
        if waiting and world.now < at + AFTER_FAULT_SECONDS:
            world.act(world.now + 0.05, look)
        else:
            found.failovers += [AFTER_FAULT_SECONDS] * len(waiting)
            waiting.clear()

    world.act(at, begin)


SEEDS = range(2)


def together(measured: Sequence[Measured]) -> Measured:
    return Measured(
        [gap for one in measured for gap in one.gaps],
        [failover for one in measured for failover in one.failovers],
        sum(one.lost for one in measured),
        sum(one.duplicated for one in measured),
    )


def test_after_relays_die_messages_flow_again_within_a_second_or_two() -> None:
    measured = together([measure(seed, kills(random.Random(seed), 1 + seed % 2)) for seed in SEEDS])
    gap, failover = measured.p99()
    assert (measured.lost, measured.duplicated) == (0, 0)
    assert gap < 1.5
    assert failover < 3.5
    assert len(measured.failovers) > 10


def test_in_both_halves_of_a_network_messages_flow_again_within_two_seconds() -> None:
    measured = together([measure(seed, partition(random.Random(seed))) for seed in SEEDS])
    gap, failover = measured.p99()
    assert (measured.lost, measured.duplicated) == (0, 0)
    # Who has both its seats in the other half waits up to a second for its next pulse: everyone is hit at one moment.
    assert gap < 2.0
    assert sum(took > 1.5 for took in measured.gaps) / len(measured.gaps) < 0.02
    assert failover < 3.5
    assert len(measured.failovers) > 10


PULSE_LOSSES = (0.01, 0.05)


@pytest.mark.parametrize("loss", PULSE_LOSSES)
def test_lost_pulses_jitter_and_slow_peers_move_nobody(loss: float) -> None:
    """A minute of nine relays and eight members that all live: next to nobody is taken beside another."""
    model = replace(MODEL, loss=loss, jitter_ratio=1.0, delay_max_seconds=0.1)
    rotation = Rotation(talk(1, model), plain_machines())
    world = rotation.world
    for index in range(3):
        world.act(TALK_FROM_SECONDS, partial(world.slow_down, f"relay-{index}", 0.005))
    doubts = 0

    def look() -> None:
        nonlocal doubts
        for index in range(MEMBERS):
            for tag in world.machine(f"member-{index}").tags.of_room(rotation.rooms[0].room_id):
                doubts += len(tag.hedges)
        if world.now < TALK_FROM_SECONDS + TALK_SECONDS:
            world.act(world.now + 1.0, look)

    world.act(TALK_FROM_SECONDS, look)
    result = rotation.run()
    assert (result.lost, result.duplicated) == (0, 0)
    # Of 8 members for 60 s, each beside two seats; a hedge stays for at least 5 s.
    assert doubts <= (0 if loss < 0.02 else 40)
