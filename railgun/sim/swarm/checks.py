"""What must hold once a swarm's run is over, and what must hold all the while.

Owns: the checks, each a list of lines of text. Must not know: how a run is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from railgun.core.directory import Directory
from railgun.core.effects import Disconnect
from railgun.core.events import Event, FrameReceived, PulseReceived
from railgun.core.relay import RelayMachine
from railgun.errors import RefusalCode
from railgun.sim.checkers import CommitteeView, check_committees_agree
from railgun.sim.swarm.ledger import SwarmLedger
from railgun.sim.swarm.liars import LyingRelay
from railgun.sim.swarm.members import MemberMachine, SwarmRoom, stored_numbers
from railgun.sim.swarm.plan import MESSAGES, SOON_SECONDS, SwarmPlan
from railgun.sim.virtual_node import Machine, Node
from railgun.sim.world import World
from railgun.types import PeerKey

HEARD_SECONDS: Final = 0.4
"""Whoever was heard so lately is not dead: a probe alone waits longer."""
MEDIAN_SECONDS: Final = 2.5
"""The slowest of the networks drawn needs about half a second."""
AGENDA_MAX: Final = 200
"""Deadlines that a node may have at once, a room more or less."""


CHECKERS: Final = (
    "plan", "lost", "twice", "reader", "late", "committee", "directory", "roster", "state", "hearsay", "blame",
    "machine",
)  # fmt: skip
"""The short names of all promises."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise. ``checker`` is its short name.

    Raises:
        ValueError: it is none of `CHECKERS`.
    """

    checker: str
    detail: str

    def __post_init__(self) -> None:
        if self.checker not in CHECKERS:
            raise ValueError(f"{self.checker} is no checker")


class HearingObserver:
    """Stands before a member's machine and sees whether it leaves a seat that it hears itself."""

    def __init__(self, name: str, machine: MemberMachine, found: list[Violation]) -> None:
        self.name = name
        self.machine = machine
        self._found = found
        self._heard: dict[PeerKey, float] = {}
        self.alive_at = 0.0
        """When it last did anything."""

    def handle(self, event: Event, now: float) -> Any:
        self.alive_at = now
        kind = type(event)
        if kind is FrameReceived or kind is PulseReceived:
            self._heard[event.peer] = now  # type: ignore[union-attr]
        effects = self.machine.handle(event, now)
        for effect in effects:
            if type(effect) is Disconnect:
                self._left(effect, now)
        return effects

    def _left(self, effect: Disconnect, now: float) -> None:
        silent = now - self._heard.get(effect.peer, -1e9)
        if effect.code is RefusalCode.REPLACED and silent < HEARD_SECONDS:
            text = f"{self.name} left a seat at {now:.3f} s that it had heard {1000 * silent:.0f} ms before"
            self._found.append(Violation("hearsay", text))

    @property
    def turn_due(self) -> bool:
        return self.machine.turn_due

    def state_sizes(self) -> dict[str, int]:
        return self.machine.state_sizes()


def member_of(machine: Machine | None) -> MemberMachine | None:
    """The member behind a node's machine, if it is one and up."""
    return machine.machine if isinstance(machine, HearingObserver) else None


def honest_relay(machine: Machine | None) -> RelayMachine | None:
    """The relay behind a node's machine, if it is one, up and no liar."""
    return machine if isinstance(machine, RelayMachine) else None


# --- messages -------------------------------------------------------------------------------------


def kept_numbers(world: World, ledger: SwarmLedger, rooms: Mapping[str, SwarmRoom]) -> set[int]:
    """Messages that their senders have on disk: they must arrive, whether or not anyone was told."""
    kept = set()
    for entry in ledger.entries.values():
        table = world.nodes[entry.sender].persisted.get("messages", {})
        if entry.message_id is not None and rooms[entry.room].room_id + entry.message_id in table:
            kept.add(entry.number)
    return kept


def check_said(ledger: SwarmLedger, plan: SwarmPlan) -> list[Violation]:
    """Everybody says what they were to say, but for those who were put out: where nobody speaks nothing is lost."""
    unsaid = ledger.unsaid([said.number for said in plan.said])
    if not unsaid:
        return []
    text = f"{len(unsaid)} of {len(plan.said)} messages were never said, of which the first is {unsaid[0]}"
    return [Violation("plan", text)]


def check_lost(ledger: SwarmLedger, kept: set[int]) -> list[Violation]:
    """Whatever was said by somebody who lived to store it is with every reader."""
    found = []
    for entry, reader in ledger.missing(kept):
        what = "kept" if entry.number in kept else "not in its sender's store"
        if entry.acknowledged_at is not None:
            what = f"acknowledged at {entry.acknowledged_at:.3f} s"
        text = (
            f"message {entry.number} of {entry.sender}, said at {entry.sent_at:.3f} s, {what}, never reached {reader}"
        )
        found.append(Violation("lost", text))
    return found


def check_twice(world: World, ledger: SwarmLedger, rooms: Mapping[str, SwarmRoom]) -> list[Violation]:
    """No application is told of a message twice, and no store holds it twice, or not at all after it was told."""
    found = [
        Violation("twice", f"{reader} got message {entry.number} of {entry.sender} {len(times)} times")
        for entry in ledger.entries.values()
        for reader, times in entry.delivered.items()
        if len(times) > 1
    ]
    for room in rooms.values():
        for person in room.people:
            numbers = [number for number, _ in stored_numbers(room, world.nodes[person.name].persisted)]
            told = {e.number for e in ledger.entries.values() if e.room == room.name and person.name in e.delivered}
            found += [
                Violation("twice", f"{person.name} stores message {number} {count} times")
                for number, count in sorted(Counter(numbers).items())
                if count > 1
            ]
            found += [
                Violation("twice", f"{person.name} was told of message {number} and does not store it")
                for number in sorted(told - set(numbers))
            ]
    return found


def check_readers(ledger: SwarmLedger) -> list[Violation]:
    """Nobody reads what was said by a member who knew them to be put out; nobody reads another room's."""
    return [
        Violation("reader", f"{reader} read message {entry.number} of {entry.sender}, who knew that it was out")
        for entry in ledger.entries.values()
        for reader in sorted(entry.delivered)
        if reader in entry.barred
    ]


def check_late(ledger: SwarmLedger, plan: SwarmPlan) -> list[Violation]:
    """Whatever goes wrong for some, most messages are there at once; and while nothing strikes, majorities answer."""
    found = []
    latencies = sorted(ledger.latencies_seconds)
    median = latencies[len(latencies) // 2] if latencies else 0.0
    if plan.said and not latencies:
        found.append(Violation("late", "nothing was delivered"))
    if median > MEDIAN_SECONDS:
        found.append(Violation("late", f"half of all deliveries took {median:.1f} s and more"))
    for entry in ledger.entries.values():
        if entry.sender in ledger.put_out or entry.acknowledged_at is None or not plan.is_calm(entry.sent_at):
            continue
        took = entry.acknowledged_at - entry.sent_at
        if took > SOON_SECONDS:
            text = f"message {entry.number} of {entry.sender}, said at {entry.sent_at:.3f} s, was acknowledged after"
            found.append(Violation("late", f"{text} {took:.1f} s"))
    return found


# --- agreement ------------------------------------------------------------------------------------


def committee_views(world: World) -> Iterable[CommitteeView]:
    """What every honest node up thinks of every tag that it has open."""
    for name, machine in world.machines():
        member, relay = member_of(machine), honest_relay(machine)
        if member is not None:
            digest = member.client.directory.directory.digest
            for client in member.client.tags.of_room(member.room.room_id):
                yield CommitteeView(name, digest, client.tag, client.committee.seat_keys)
        elif relay is not None:
            for tag, seat in relay.seats.items():
                yield CommitteeView(name, relay.directory.directory.digest, tag, seat.committee.seat_keys)


def check_agreement(world: World) -> list[Violation]:
    """Peers with the same directory agree on every committee."""
    return [Violation("committee", text) for text in check_committees_agree(committee_views(world))]


def check_converged(world: World, ledger: SwarmLedger, rooms: Mapping[str, SwarmRoom]) -> list[Violation]:
    """All honest nodes have one directory, and all members of a room one roster."""
    found = []
    digests: dict[str, Hashable] = {}
    for name, machine in world.machines():
        member, relay = member_of(machine), honest_relay(machine)
        if member is not None:
            digests[name] = _newest(member.client.directory.directory)
        elif relay is not None:
            digests[name] = _newest(relay.directory.directory)
    found += _odd_ones("directory", digests)
    for room in rooms.values():
        rosters: dict[str, Hashable] = {}
        for person in room.people:
            member = member_of(world.nodes[person.name].machine)
            if member is not None and person.name not in ledger.put_out:
                rosters[person.name] = member.room.roster.digest()
        found += _odd_ones("roster", rosters)
    return found


def _newest(directory: Directory) -> Hashable:
    """What a directory says of each node today. What is superseded is forgotten by everyone at another moment."""
    return tuple((ad, directory.latest_obituary_dated(ad.node_key)) for ad in directory.newest_ads())


def _odd_ones(what: str, digests: Mapping[str, Hashable]) -> list[Violation]:
    """Those who differ from what most have."""
    values = list(digests.values())
    usual = max(values, key=values.count, default=None)
    odd = [name for name, value in digests.items() if value != usual]
    return [Violation(what, f"another {what} than the others' at {', '.join(odd)}")] if odd else []


# --- state ----------------------------------------------------------------------------------------


def check_state(world: World, ledger: SwarmLedger, rooms: int, tags_a_room: int) -> list[Violation]:
    """Nothing piles up: each node holds what its open tags need, and no message is under way any more.

    ``tags_a_room``: live generations and invites of the room that has most.
    """
    found = []
    for name, machine in world.machines():
        member, relay = member_of(machine), honest_relay(machine)
        if member is None and relay is None:
            continue
        bounds = {
            "agenda": AGENDA_MAX,
            "outbox": 0 if name not in ledger.put_out else MESSAGES,
            "tags": 3 * tags_a_room,
            "seats": 3 * tags_a_room * rooms,
        }
        bounds |= {"peers": len(world.nodes), "watched": len(world.nodes), "wanted": len(world.nodes)}
        sizes = (member or relay).state_sizes()  # type: ignore[union-attr]
        for collection, size in sizes.items():
            if size > bounds.get(collection, size):
                found.append(Violation("state", f"{name}: {collection} holds {size}, more than {bounds[collection]}"))
        if relay is not None:
            held = sum(seat.store.held_bytes for seat in relay.seats.values())
            if held != sizes["held_bytes"]:
                text = f"{name}: counts {sizes['held_bytes']} bytes of envelopes and holds {held}"
                found.append(Violation("state", text))
    return found


def check_blame(nodes: Iterable[Node], liars: Iterable[PeerKey]) -> list[Violation]:
    """No honest node penalises another for a bad signature or for nonsense."""
    lying = set(liars)
    unforgivable = (RefusalCode.BAD_SIGNATURE, RefusalCode.BAD_PROOF, RefusalCode.MALFORMED)
    by_key = {node.key: node.name for node in nodes}
    found = []
    for node in nodes:
        if isinstance(node.machine, LyingRelay):
            continue
        for at, penalty in node.penalties:
            if penalty.code in unforgivable and penalty.peer not in lying:
                text = f"{node.name} penalised {by_key.get(penalty.peer, '?')} at {at:.3f} s: {penalty.detail}"
                found.append(Violation("blame", text))
    return found
