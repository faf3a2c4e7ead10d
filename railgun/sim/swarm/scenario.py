"""One seed of the swarm: its plan carried out on the real machines, and judged.

Owns: building the world, carrying out a plan, when a run is over. Must not know: how seeds are drawn, many seeds.
"""

from __future__ import annotations

import gc
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from railgun.core.assembly import build_relay
from railgun.core.effects import Effect, Notification
from railgun.core.notifications import CommitteeJoined, EpochOpened
from railgun.core.room_notifications import (
    MessagePrepared,
    MessageReceipted,
    MessageReceived,
    RemovedFromRoom,
)
from railgun.crypto.epoch import epoch_offset_seconds
from railgun.crypto.signing import PUBLIC_KEY_BYTES, signatures_remembered, signing_key_of
from railgun.errors import NotMember, UsageError
from railgun.sim.archives import DiskArchive
from railgun.sim.machines import SeededEntropy
from railgun.sim.swarm.breaks import NO_BREAK, Break
from railgun.sim.swarm.checks import (
    HearingObserver,
    Violation,
    check_agreement,
    check_blame,
    check_converged,
    check_late,
    check_lost,
    check_readers,
    check_said,
    check_state,
    check_twice,
    kept_numbers,
    member_of,
)
from railgun.sim.swarm.ledger import SwarmLedger
from railgun.sim.swarm.liars import LyingRelay
from railgun.sim.swarm.members import MemberMachine, Person, SwarmRoom, make_room, stored_numbers
from railgun.sim.swarm.plan import ROOMS, ROTATIONS_MIN, SETTLED_SECONDS, Pause, Said, Step, SwarmPlan, faults_in_order
from railgun.sim.swarm.timeline import Timeline
from railgun.sim.virtual_node import Machine, MachineFactory, Persisted
from railgun.sim.world import World
from railgun.types import Address, NodeKey, PeerKey, RelayContact
from railgun.wire.content import TextContent

LOOK_SECONDS: Final = 5.0
"""How often committees are compared."""
DRAIN_STEP_SECONDS: Final = 2.0
DRAIN_SECONDS: Final = 45.0
"""After the talk everything must have come home within this and two epochs."""
AFTERWARDS_SECONDS: Final = 4.0
"""What is doubled or left over would show by then."""
SAY_AGAIN_SECONDS: Final = 0.5
BEFORE_BOUNDARY_SECONDS: Final = 0.2
SIGNATURES_REMEMBERED_MAX: Final = 16_384
"""A run makes a few thousand; nobody has to verify them again."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What became of one seed. ``kinds``: the faults that struck; latencies in seconds."""

    seed: int
    violations: tuple[Violation, ...]
    kinds: tuple[str, ...]
    latencies_seconds: tuple[float, ...]
    rotations: int
    virtual_seconds: float
    trace_digest: str


class SwarmRun:
    """One run; all of it may be looked at afterwards."""

    def __init__(self, plan: SwarmPlan, planted: Break = NO_BREAK, timeline: Timeline | None = None) -> None:
        self.plan = plan
        self.ledger = SwarmLedger()
        self.violations: list[Violation] = []
        self._disagreed: list[Violation] = []
        self._break = planted
        self._timeline = timeline
        self._dice = random.Random(f"railgun swarm run {plan.seed}")
        self.world = World(
            plan.seed,
            plan.model,
            on_notification=self._notified,
            listener=timeline,
            wall_base_seconds=plan.wall_base_seconds,
        )
        self.world.keep_notifications = False
        self.rooms: dict[str, SwarmRoom] = {}
        self._room_of: dict[str, SwarmRoom] = {}
        self._make_rooms()
        self._add_relays()
        self._add_members()
        self._plan_faults()
        for said in plan.said:
            self.world.act(self._said_at(said), self._sayer(said))
        for step in plan.steps:
            self.world.act(step.at_seconds, self._stepper(step))

    # --- who is there -------------------------------------------------------------------------

    def _seed_of(self, what: str, index: int) -> bytes:
        return hashlib.blake2b(f"swarm {self.plan.seed} {what} {index}".encode(), digest_size=32).digest()

    def _make_rooms(self) -> None:
        plan = self.plan
        for index in range(ROOMS):
            members = plan.member_names[index::ROOMS]
            wall = int(plan.wall_base_seconds) - 3_600
            room = make_room(
                f"room-{index}", self._seed_of("room", index), members, plan.network, plan.committee_size, wall
            )
            self.rooms[room.name] = room
            self._room_of.update(dict.fromkeys(members, room))

    def _add_relays(self) -> None:
        seeds = [self._seed_of("relay", index) for index in range(self.plan.relays)]
        self._contacts = tuple(
            RelayContact(
                NodeKey(signing_key_of(seed)[-PUBLIC_KEY_BYTES:]),
                (Address(f"10.0.{index}.1", 9000),),
                hashlib.sha256(seed).digest(),
            )
            for index, seed in enumerate(seeds)
        )
        for name, seed, contact in zip(self.plan.relay_names, seeds, self._contacts, strict=True):
            at = self.plan.late.get(name, self._dice.random())
            self._add_later(at, name, PeerKey(contact.node_key), True, self._relay(name, seed, contact))

    def _relay(self, name: str, seed: bytes, contact: RelayContact) -> MachineFactory:
        entropy = SeededEntropy(seed)  # goes on over its lives: incarnations must never repeat
        dice = random.Random(seed)
        lies = self.plan.liars.get(name)

        def make(disk: Persisted) -> Machine:
            relay = build_relay(
                seed=seed,
                contact=contact,
                network=self.plan.network,
                bootstrap=self._contacts[:2],
                entropy=entropy,
                chooser=dice,
            )
            if lies is not None:
                return LyingRelay(relay, seed, lies, dice)
            self._break.alter_relay(relay)
            return relay

        return make

    def _add_members(self) -> None:
        for index, name in enumerate(self.plan.member_names):
            key = PeerKey(signing_key_of(self._seed_of("link", index))[-PUBLIC_KEY_BYTES:])
            room = self._room_of[name]
            person = next(person for person in room.people if person.name == name)
            self._add_later(1.5 + 3.0 * self._dice.random(), name, key, False, self._member(room, person))

    def _member(self, room: SwarmRoom, person: Person) -> MachineFactory:
        dice = random.Random(self._seed_of(person.name, 0))
        archive = DiskArchive(lambda: self.world.nodes[person.name].persisted)
        lives: list[HearingObserver] = []

        def make(disk: Persisted) -> Machine:
            machine = MemberMachine(room, person, self._contacts[:2], dice, disk, self._break, archive)
            if lives:
                self.ledger.was_off(person.name, lives[-1].alive_at, self.world.now)
                self.ledger.died(person.name, lives[-1].alive_at)
            lives[:] = [HearingObserver(person.name, machine, self.violations)]
            self._application_starts(room, person.name, disk)
            return lives[0]

        return make

    def _add_later(self, at: float, name: str, key: PeerKey, is_relay: bool, factory: MachineFactory) -> None:
        skew = self.plan.skews_seconds.get(name, 0.0)

        def add() -> None:
            node = self.world.add_node(name, key, is_relay, factory, skew)
            if not is_relay:
                rows = self._room_of[name].rows
                node.persisted.update({table: dict(kept) for table, kept in rows.items()})

        self.world.act(at, add)

    # --- what goes wrong ----------------------------------------------------------------------

    def _plan_faults(self) -> None:
        for fault in faults_in_order(self.plan):
            self.world.act(fault.at_seconds, self._faulty(partial(fault.apply, self.world), repr(fault)))
        for pause in self.plan.pauses:
            self.world.act(pause.at_seconds, self._faulty(self._pauser(pause), repr(pause)))

    def _faulty(self, happen: Callable[[], None], text: str) -> Callable[[], None]:
        def act() -> None:
            self._tell("fault", text)
            happen()

        return act

    def _pauser(self, pause: Pause) -> Callable[[], None]:
        """All that reaches the node waits, and is done at once when it goes on."""
        world = self.world

        def stop() -> None:
            world.slow_down(pause.node, pause.seconds)
            world.act(world.now + pause.seconds, partial(go_on, world.now))

        def go_on(since: float) -> None:
            world.slow_down(pause.node, 0.0)
            self.ledger.was_off(pause.node, since, world.now)

        return stop

    # --- what people do -----------------------------------------------------------------------

    def _said_at(self, said: Said) -> float:
        """Every tenth message is said just before a boundary of its room's epochs, when committees change hands."""
        if said.number % 10:
            return said.at_seconds
        length, base = self.plan.network.epoch_seconds, self.plan.wall_base_seconds
        offset = epoch_offset_seconds(self._room_of[f"member-{said.member}"].room_id, length)
        boundary = base + said.at_seconds + (offset - base - said.at_seconds) % length
        at = boundary - base - BEFORE_BOUNDARY_SECONDS * self._dice.random()
        return at if at < self.plan.talk_until_seconds else said.at_seconds

    def _sayer(self, said: Said) -> Callable[[], None]:
        name = f"member-{said.member}"

        def say() -> None:
            world, room = self.world, self._room_of[name]
            node = world.nodes[name]
            if node.machine is None or node.backlog or node.service_seconds > 1.0:
                world.act(world.now + SAY_AGAIN_SECONDS, say)  # its person waits until it is up again
                return
            world.call(name, world.now, "say", said.number, lambda machine, now: self._say(machine, said, room, now))

        return say

    def _say(self, machine: Any, said: Said, room: SwarmRoom, now: float) -> Sequence[Effect]:
        member = member_of(machine)
        if member is None:
            return ()
        devices, out = member.devices(now)
        view = [name for name in map(room.node_of, devices) if name is not None]
        barred = [name for name in map(room.node_of, out) if name is not None]
        try:
            effects, message_id = member.say(said.number, now)
        except (NotMember, UsageError) as error:
            self.ledger.refused[said.number] = member.person.name
            self._tell(member.person.name, f"cannot say {said.number}: {error}")
            return ()
        self.ledger.said(said.number, member.person.name, room.name, now, view, barred)
        if message_id is not None:
            self.ledger.prepared(said.number, message_id)
        self._tell(member.person.name, f"says {said.number}" + ("" if message_id else ", once there are keys"))
        return effects

    def _stepper(self, step: Step) -> Callable[[], None]:
        target = f"member-{step.member}"
        room = self._room_of[target]

        def take() -> None:
            actor = room.people[0].name if step.what == "remove" else target
            if self.world.nodes[actor].machine is None:
                self.world.act(self.world.now + SAY_AGAIN_SECONDS, take)
                return
            self.world.call(actor, self.world.now, step.what, step.member, act)

        def act(machine: Any, now: float) -> Sequence[Effect]:
            member = member_of(machine)
            if member is None:
                return ()
            device = next(person.tools.me.device for person in room.people if person.name == target)
            try:
                effects = member.remove(device, now) if step.what == "remove" else member.invite(now)
            except (NotMember, UsageError) as error:
                self._tell(member.person.name, f"cannot {step.what}: {error}")
                return ()
            if step.what == "remove":
                self.ledger.put_out[target] = now
            self._tell(member.person.name, f"{step.what} {target}")
            return effects

        return take

    def _application_starts(self, room: SwarmRoom, name: str, disk: Persisted) -> None:
        """The application of a new life reads what the store got and the last life did not live to tell."""
        for number, message in stored_numbers(room, disk):
            entry = self.ledger.entries.get(number)
            if entry is not None and entry.sender != name and not self.ledger.has_read(number, name):
                self.ledger.delivered(number, name, self.world.now)
                self._tell(name, f"finds {number} of {entry.sender} in its store ({message.message_id.hex()[:8]})")

    # --- what machines tell -------------------------------------------------------------------

    def _notified(self, name: str, now: float, notification: Notification) -> None:
        match notification:
            case MessageReceived(_, message) if isinstance(message.content, TextContent):
                number = int(message.content.text)
                self.ledger.delivered(number, name, now)
                self._tell(name, f"gets {number} of {self.ledger.entries[number].sender}")
            case MessagePrepared(_, token, message_id, _):
                self.ledger.prepared(token, message_id)
            case MessageReceipted(_, message_id, receipts, of, majority, complete) if majority or complete:
                if majority:
                    acknowledged = self.ledger.acknowledged(message_id, now)
                    if acknowledged is not None:
                        self._tell(name, f"is told that {receipts} of {of} hold {acknowledged}")
            case RemovedFromRoom():
                self._tell(name, "knows that it is out")
            case CommitteeJoined(_, _, start, seats):
                self._tell(name, f"is attached for the epoch at {self._seconds_of(start)} to {self._names(seats)}")
            case EpochOpened(_, start, seats):
                self._tell(
                    name, f"speaks in the epoch at {self._seconds_of(start)}, whose seats are {self._names(seats)}"
                )
            case _:
                pass

    def _names(self, seats: Sequence[NodeKey]) -> str:
        """Relays as the timeline calls them."""
        nodes = self.world.nodes_by_key
        return ", ".join(nodes[PeerKey(key)].name if PeerKey(key) in nodes else "nobody" for key in seats)

    def _seconds_of(self, start: int) -> str:
        """A Unix second as the timeline counts, by an exact clock."""
        return f"{start - self.plan.wall_base_seconds:.0f} s"

    def _tell(self, who: str, what: str) -> None:
        if self._timeline is not None:
            self._timeline.tell(self.world.now, who, what)

    # --- running ------------------------------------------------------------------------------

    def run(self) -> SeedResult:
        """Carry the plan out, wait for everything to come home, judge."""
        try:
            self._live()
        except Exception as error:  # noqa: BLE001  # any error of a machine is a finding, and its notes say where
            notes = "; ".join(getattr(error, "__notes__", ()))
            self.violations.append(Violation("machine", f"{type(error).__name__}: {error} ({notes})"[:600]))
        else:
            self._judge()
        for violation in self.violations:
            self._tell("VIOLATION", f"{violation.checker}: {violation.detail}")
        return SeedResult(
            seed=self.plan.seed,
            violations=tuple(dict.fromkeys(self.violations)),
            kinds=tuple(sorted(self.plan.kinds)),
            latencies_seconds=tuple(self.ledger.latencies_seconds),
            rotations=self._rotations(),
            virtual_seconds=self.world.now,
            trace_digest=self.world.trace_digest(),
        )

    def _live(self) -> None:
        world, until = self.world, self.plan.talk_until_seconds
        world.run(SETTLED_SECONDS)
        while world.now < until:
            world.run(min(until, world.now + LOOK_SECONDS))
            self._look()
        deadline = until + DRAIN_SECONDS + 2 * self.plan.network.epoch_seconds
        while world.now < deadline and not self._is_at_rest():
            world.run(min(deadline, world.now + DRAIN_STEP_SECONDS))
        world.run(world.now + AFTERWARDS_SECONDS)
        self._look()

    def _look(self) -> None:
        """Report who disagrees now and did at the last look. In a network younger than an epoch what counts depends on
        the time, which clocks that are off by a second reach a second apart."""
        now = check_agreement(self.world)
        self.violations += [
            Violation(item.checker, f"{item.detail} at {self.world.now:.0f} s")
            for item in now
            if item in self._disagreed
        ]
        self._disagreed = now

    def _is_at_rest(self) -> bool:
        kept = kept_numbers(self.world, self.ledger, self.rooms)
        return (
            not check_said(self.ledger, self.plan)
            and not self.ledger.missing(kept)
            and not check_state(self.world, self.ledger, ROOMS, self._tags_a_room)
            and not check_converged(self.world, self.ledger, self.rooms)
        )

    @property
    def _tags_a_room(self) -> int:
        return 1 + len(self.plan.steps)

    def _judge(self) -> None:
        world, ledger, rooms = self.world, self.ledger, self.rooms
        liars = [world.nodes[name].key for name in self.plan.liars]
        self.violations += check_said(ledger, self.plan)
        self.violations += check_lost(ledger, kept_numbers(world, ledger, rooms))
        self.violations += check_twice(world, ledger, rooms)
        self.violations += check_readers(ledger)
        self.violations += check_late(ledger, self.plan)
        self.violations += check_converged(world, ledger, rooms)
        self.violations += check_state(world, ledger, ROOMS, self._tags_a_room)
        self.violations += check_blame(world.nodes.values(), liars)
        if self._rotations() < ROTATIONS_MIN:
            self.violations.append(Violation("plan", f"only {self._rotations()} rotations"))

    def _rotations(self) -> int:
        """Epoch boundaries crossed while the rooms talked, summed over the rooms."""
        length, base = self.plan.network.epoch_seconds, self.plan.wall_base_seconds
        first, last = base, base + self.plan.talk_until_seconds
        first += min(said.at_seconds for said in self.plan.said)
        total = 0
        for room in self.rooms.values():
            offset = epoch_offset_seconds(room.room_id, length)
            total += int((last - offset) // length - (first - offset) // length)
        return total


def run_seed(plan: SwarmPlan, planted: Break = NO_BREAK, timeline: Timeline | None = None) -> SeedResult:
    """Carry out one plan. The machines make few cycles, and a run is short: nothing is collected meanwhile."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with signatures_remembered(SIGNATURES_REMEMBERED_MAX):
            return SwarmRun(plan, planted, timeline).run()
    finally:
        if was_enabled:
            gc.enable()
