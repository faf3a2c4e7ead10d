"""What one seed draws: the network, its people, who says what when, and everything that goes wrong.

Owns: the kinds of fault, how often and how hard each strikes, what is not promised and so never drawn.
Must not know: machines, worlds. Spec: docs/how-to/simulate.md, "Swarm".
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from railgun.errors import ConfigurationError
from railgun.limits import COMMITTEE_MAX, COMMITTEE_MIN
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.faults import (
    ClockJump,
    Crash,
    Fault,
    Heal,
    NetworkChange,
    NodesFault,
    Partition,
    Restart,
    Slow,
)
from railgun.sim.network_model import NetworkModel
from railgun.sim.virtual_node import CrashPoint, LinksAfterCrash
from railgun.sim.world import WALL_BASE_SECONDS

ROOMS: Final = 3
MEMBERS: Final = 12
MESSAGES: Final = 200
ROTATIONS_MIN: Final = 6
SETTLED_SECONDS: Final = 14.0
"""Everybody is there and attached by then: nothing is said or broken before."""
QUIET_SECONDS: Final = 4.0
"""At the end of the talk nothing breaks any more."""
RECOVERY_SECONDS: Final = 12.0
"""After one relay's fault another waits for so long: relays keep nothing on disk, and what a majority has receipted is
promised to outlive fewer deaths than that."""
SOON_SECONDS: Final = 6.0
"""While nothing strikes, a message is acknowledged within this, whatever liars do."""
OUTAGE_SECONDS_MAX: Final = 10.0
AWAY_SECONDS_MAX: Final = 30.0
"""A member may be away for so long, or half of the talk: longer than seats keep what it misses; others bring it."""
COMING_BACK_SECONDS: Final = 2.0
"""What it takes a member to be attached again."""
EPOCHS_SECONDS: Final = (10, 10, 12, 15, 15, 20, 20, 30, 45, 60)
LIES: Final = ("drops", "delays", "corrupts", "replays", "hides", "forges", "equivocates")
KINDS: Final = (
    "delays", "loss", "duplication", "reordering", "partition", "one_way_partition", "clock_skew", "clock_jump",
    "slow_peer", "member_crash", "relay_crash", "pause", *(f"liar_{lie}" for lie in LIES),
)  # fmt: skip
"""Every kind of fault, as `faults` counts them."""
SHARE: Final = 0.36
"""Of the seeds in which a kind strikes, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmOptions:
    """What the command's flags say, but for the seeds.

    ``byzantine``: liars among the relays, None: each seed's own dice; ``committee_size``: K, None: the same.

    Raises:
        ConfigurationError: a value is out of its range, or so many liars would leave no honest seat.
    """

    byzantine: int | None = None
    committee_size: int | None = None
    break_name: str | None = None

    def __post_init__(self) -> None:
        size = self.committee_size
        if size is not None and not COMMITTEE_MIN <= size <= COMMITTEE_MAX:
            raise ConfigurationError(f"committees have {COMMITTEE_MIN} to {COMMITTEE_MAX} seats")
        if self.byzantine is not None:
            if size is None:
                raise ConfigurationError("say with --committee how many seats there are, if you say how many lie")
            if not 0 <= self.byzantine < size:
                raise ConfigurationError("of K seats at most K - 1 may lie: someone honest must be left")

    @property
    def flags(self) -> str:
        """The same options on a command line, with a leading space."""
        text = "" if self.byzantine is None else f" --byzantine {self.byzantine}"
        text += "" if self.committee_size is None else f" --committee {self.committee_size}"
        return text + ("" if self.break_name is None else f" --break {self.break_name}")


@dataclass(frozen=True, slots=True)
class Pause:
    """A node stands still (SIGSTOP) from ``at_seconds`` on."""

    at_seconds: float
    node: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Said:
    """A message to be."""

    at_seconds: float
    member: int
    number: int


@dataclass(frozen=True, slots=True)
class Step:
    """Something that people do: ``remove`` (the room's maker puts ``member`` out) or ``invite`` (``member`` does)."""

    at_seconds: float
    what: str
    member: int


@dataclass(slots=True)
class SwarmPlan:
    """One seed's run, drawn before anything happens. Times are virtual seconds."""

    seed: int
    network: NetworkParameters
    model: NetworkModel
    relays: int
    committee_size: int
    wall_base_seconds: float
    talk_until_seconds: float
    skews_seconds: dict[str, float] = field(default_factory=dict)
    liars: dict[str, tuple[str, ...]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    late: dict[str, float] = field(default_factory=dict)
    """Relays that join while the rooms talk, and when."""
    kinds: set[str] = field(default_factory=set)
    away_seconds_max: float = OUTAGE_SECONDS_MAX
    """How long a member may be away."""

    @property
    def relay_names(self) -> list[str]:
        return [f"relay-{index}" for index in range(self.relays)]

    @property
    def member_names(self) -> list[str]:
        return [f"member-{index}" for index in range(MEMBERS)]

    def is_calm(self, at_seconds: float) -> bool:
        """Whether nothing strikes then or has struck so lately that somebody may not have recovered. Liars go on lying,
        but honest seats alone are a majority."""
        struck = [fault.at_seconds for fault in self.faults] + [pause.at_seconds for pause in self.pauses]
        struck += [pause.at_seconds + max(0.0, pause.seconds - OUTAGE_SECONDS_MAX) for pause in self.pauses]
        first, last = at_seconds - OUTAGE_SECONDS_MAX - RECOVERY_SECONDS, at_seconds + SOON_SECONDS
        seats = min(self.committee_size, self.relays)
        has_majority = seats - len(self.liars) > seats // 2
        return has_majority and "loss" not in self.kinds and not any(first <= at <= last for at in struck)

    @property
    def majority_honest(self) -> int:
        """Honest seats among any majority, at least."""
        return min(self.committee_size, self.relays) // 2 + 1 - len(self.liars)


def draw_plan(seed: int, options: SwarmOptions) -> SwarmPlan:
    """Everything that one seed stands for. The same seed and options draw the same."""
    dice = random.Random(f"railgun swarm {seed}")
    length = dice.choice(EPOCHS_SECONDS)
    overlap = dice.randint(max(2, length // 6), length // 4)
    talk_seconds = max(50.0, 2.0 * length + 6.0)
    size = options.committee_size or dice.choice((3, 3, 4, 5, 5, 6, 7))
    plan = SwarmPlan(
        seed=seed,
        network=NetworkParameters("swarm", NetworkKind.LAN, length, overlap),
        model=NetworkModel(),
        relays=dice.randint(max(5, size), size + 3),
        committee_size=size,
        wall_base_seconds=_wall_base(dice, talk_seconds),
        talk_until_seconds=SETTLED_SECONDS + talk_seconds,
        away_seconds_max=min(AWAY_SECONDS_MAX, talk_seconds / 2),
    )
    if options.break_name is not None:
        # A bug may be that seats lose something: what members would bring each other shall not be all that shows.
        kept_seconds = 1.5 * overlap - COMING_BACK_SECONDS
        plan.away_seconds_max = min(OUTAGE_SECONDS_MAX, max(0.5, kept_seconds))
    # Dice of their own for each part: a change of one must not redraw the others of every seed that is known.
    _draw_network(plan, random.Random(f"railgun swarm network {seed}"))
    _draw_clocks(plan, random.Random(f"railgun swarm clocks {seed}"))
    _draw_liars(plan, random.Random(f"railgun swarm liars {seed}"), options)
    _draw_outages(plan, random.Random(f"railgun swarm outages {seed}"))
    _draw_talk(plan, random.Random(f"railgun swarm talk {seed}"))
    _draw_newcomers(plan, random.Random(f"railgun swarm newcomers {seed}"))
    return plan


def _wall_base(dice: random.Random, talk_seconds: float) -> float:
    """One seed in five lives through midnight, when the rooms' secrets move on."""
    if dice.random() >= 0.2:
        return WALL_BASE_SECONDS
    midnight = 86_400 * (1 + WALL_BASE_SECONDS // 86_400)
    return float(midnight - SETTLED_SECONDS - dice.random() * talk_seconds)


def _strikes(plan: SwarmPlan, dice: random.Random, kind: str) -> bool:
    if dice.random() < SHARE:
        plan.kinds.add(kind)
        return True
    return False


def _draw_network(plan: SwarmPlan, dice: random.Random) -> None:
    model: dict[str, Any] = {"delay_min_seconds": 0.005, "delay_max_seconds": 0.060}
    if _strikes(plan, dice, "delays"):
        least, most, jitter = dice.choice(
            ((0.0005, 0.003, 0.5), (0.02, 0.25, 0.3), (0.005, 0.4, 0.1), (0.04, 0.05, 3.0))
        )
        model |= {"delay_min_seconds": least, "delay_max_seconds": most, "jitter_ratio": jitter}
    if _strikes(plan, dice, "loss"):
        model["loss"] = dice.choice((0.01, 0.02, 0.05, 0.1))
        model["fast_retransmit"] = dice.choice((0.2, 0.5, 0.9))
    if _strikes(plan, dice, "duplication"):
        model["frame_duplication"] = dice.choice((0.01, 0.1, 0.3))
        model["pulse_duplication"] = dice.choice((0.01, 0.1))
    if _strikes(plan, dice, "reordering"):
        model["reorder"] = dice.choice((0.05, 0.2, 0.5))
        model["reorder_seconds"] = dice.choice((0.05, 0.3, 1.0))
    plan.model = NetworkModel(**model)
    if "loss" in plan.kinds and dice.random() < 0.5:
        at = _when(plan, dice, 8.0)
        plan.faults.append(NetworkChange(at_seconds=at, change={"loss": 0.25}))
        plan.faults.append(NetworkChange(at_seconds=at + 1 + dice.random() * 7, change={"loss": model["loss"]}))


def _draw_clocks(plan: SwarmPlan, dice: random.Random) -> None:
    overlap = plan.network.overlap_seconds
    if _strikes(plan, dice, "clock_skew"):
        most = dice.choice((0.1, 0.3, 0.5)) * overlap
        for name in [*plan.relay_names, *plan.member_names]:
            plan.skews_seconds[name] = dice.uniform(-most, most)
        if dice.random() < 0.5:  # one machine's clock is plainly wrong; relays set it right
            plan.skews_seconds[dice.choice(plan.member_names)] = dice.uniform(-100.0, 100.0)
    if _strikes(plan, dice, "clock_jump"):
        for _ in range(dice.randint(1, 3)):
            jump = dice.uniform(-0.3, 0.3) * overlap if dice.random() < 0.6 else dice.uniform(-100.0, 100.0)
            names = (dice.choice(plan.member_names),)
            plan.faults.append(ClockJump(at_seconds=_when(plan, dice), nodes=names, seconds=jump))


def _draw_liars(plan: SwarmPlan, dice: random.Random, options: SwarmOptions) -> None:
    seats = min(plan.committee_size, plan.relays)
    count = options.byzantine
    if count is None:
        # More could sign a majority by themselves; `--byzantine` goes to the limit.
        count = dice.choice((0, 1, 1, 2)) if seats >= 5 else dice.choice((0, 1))
    lies = [lie for lie in LIES if dice.random() < 0.6] or [dice.choice(LIES)]
    for name in dice.sample(plan.relay_names, count):
        own = tuple(lie for lie in lies if dice.random() < 0.7) or (dice.choice(lies),)
        plan.liars[name] = own
        plan.kinds.update(f"liar_{lie}" for lie in own)


def _draw_outages(plan: SwarmPlan, dice: random.Random) -> None:
    """What takes nodes away for a while. Relays one after the other; members as it comes."""
    if _strikes(plan, dice, "slow_peer"):
        for name in dice.sample([*plan.relay_names, *plan.member_names], dice.randint(1, 3)):
            at = _when(plan, dice, 10.0)
            seconds = dice.choice((0.001, 0.005, 0.02))
            plan.faults.append(Slow(at_seconds=at, nodes=(name,), service_seconds=seconds))
            plan.faults.append(Slow(at_seconds=at + 2 + 8 * dice.random(), nodes=(name,), service_seconds=0.0))
    relay_slots = _slots(plan, dice)
    longest = max(OUTAGE_SECONDS_MAX, plan.away_seconds_max)
    if _strikes(plan, dice, "member_crash"):
        for name in dice.sample(plan.member_names, dice.randint(2, 5)):
            down = plan.away_seconds_max * dice.choice((0.05, 0.3, 1.0))
            _crash(plan, dice, name, _when(plan, dice, longest), down)
    if _may_lose_relays(plan) and _strikes(plan, dice, "relay_crash"):
        for _ in range(min(len(relay_slots), dice.randint(1, 3))):
            down = 0.1 + dice.random() * (OUTAGE_SECONDS_MAX - 0.1)
            _crash(plan, dice, dice.choice(plan.relay_names), relay_slots.pop(), down)
    if _strikes(plan, dice, "pause"):
        for _ in range(dice.randint(1, 2)):
            is_relay = bool(relay_slots) and dice.random() < 0.5
            name = dice.choice(plan.relay_names if is_relay else plan.member_names)
            at = relay_slots.pop() if is_relay else _when(plan, dice, longest)
            most = OUTAGE_SECONDS_MAX if is_relay else plan.away_seconds_max
            plan.pauses.append(Pause(at, name, (0.05 + 0.95 * dice.random()) * most))
    for kind, one_way in (("partition", False), ("one_way_partition", True)):
        if relay_slots and _strikes(plan, dice, kind):
            _partition(plan, dice, relay_slots.pop(), one_way=one_way)


def _may_lose_relays(plan: SwarmPlan) -> bool:
    """Whether a relay that forgets everything leaves an honest holder of whatever a majority has receipted."""
    return plan.majority_honest >= 2


def _slots(plan: SwarmPlan, dice: random.Random) -> list[float]:
    """Moments at which something may happen to relays: far enough apart that they have recovered."""
    at, found = SETTLED_SECONDS + 1.0 + 6.0 * dice.random(), []
    while at < plan.talk_until_seconds - QUIET_SECONDS - OUTAGE_SECONDS_MAX:
        found.append(at)
        at += OUTAGE_SECONDS_MAX + RECOVERY_SECONDS * (1.0 + 0.5 * dice.random())
    dice.shuffle(found)
    return found


def _crash(plan: SwarmPlan, dice: random.Random, name: str, at: float, down: float) -> None:
    links = dice.choice(list(LinksAfterCrash))
    point = dice.choice((*CrashPoint, CrashPoint.BEFORE_PERSIST)) if name.startswith("member") else CrashPoint.NOW
    plan.faults.append(Crash(at_seconds=at, nodes=(name,), links=links, point=point))
    plan.faults.append(Restart(at_seconds=at + down, nodes=(name,)))


def _partition(plan: SwarmPlan, dice: random.Random, at: float, *, one_way: bool) -> None:
    names = [*plan.relay_names, *plan.member_names]
    dice.shuffle(names)
    cut = dice.choice((1, 2, len(names) // 3, len(names) // 2))
    most = min(OUTAGE_SECONDS_MAX, plan.away_seconds_max)
    seconds = most * dice.choice((0.1, 0.3, 1.0)) * (0.5 + 0.5 * dice.random())
    groups = (tuple(sorted(names[:cut])), tuple(sorted(names[cut:])))
    name = f"cut at {at:.1f} s"
    plan.faults.append(Partition(at_seconds=at, groups=groups, name=name, one_way=one_way))
    plan.faults.append(Heal(at_seconds=at + seconds, name=name))


def _draw_talk(plan: SwarmPlan, dice: random.Random) -> None:
    first, last = SETTLED_SECONDS, plan.talk_until_seconds
    bursts = sorted(dice.uniform(first, last) for _ in range(4))
    for number in range(MESSAGES):
        at = dice.uniform(first, last) if number % 5 else dice.choice(bursts) + 0.2 * dice.random()
        plan.said.append(Said(min(at, last), dice.randrange(MEMBERS), number))
    if dice.random() < 0.4:
        plan.steps.append(Step(_when(plan, dice), "remove", dice.randrange(ROOMS, MEMBERS)))
    if dice.random() < 0.4:
        plan.steps.append(Step(_when(plan, dice), "invite", dice.randrange(MEMBERS)))


def _draw_newcomers(plan: SwarmPlan, dice: random.Random) -> None:
    """Relays come while the rooms talk, and are seats from the next epoch but one. The first two are known to all."""
    struck = {pause.node for pause in plan.pauses}
    struck.update(name for fault in plan.faults if isinstance(fault, NodesFault) for name in fault.nodes)
    spared = [name for name in plan.relay_names[2:] if name not in struck]
    if dice.random() < 0.4:
        for name in dice.sample(spared, min(2, len(spared), plan.relays - 4)):
            plan.late[name] = _when(plan, dice, 10.0)


def _when(plan: SwarmPlan, dice: random.Random, lasts_seconds: float = 0.0) -> float:
    """A moment at which something may begin that takes so long."""
    return dice.uniform(SETTLED_SECONDS + 1.0, plan.talk_until_seconds - QUIET_SECONDS - lasts_seconds)


def faults_in_order(plan: SwarmPlan) -> Iterable[Fault]:
    """By time; ties as drawn."""
    return sorted(plan.faults, key=lambda fault: fault.at_seconds)
