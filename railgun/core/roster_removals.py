"""Which entries count, and which removals stand: the part of a roster's resolution that admins can fight over.

Owns: walking chains, the admins and their distance from the creator, removals in any order, mutual removals.
Must not know: invites, settings, plain members. Spec: docs/spec/rooms.md, "Resolution".

All of it is a function of the set of entries: no step looks at when an entry arrived.

A removal stands at once if it would survive even if every other removal in sight stood as well. Where none does,
removals threaten each other in a circle; then, among those authors that nobody outside the circle threatens, the one
nearest to the creator wins, the smaller device key on a tie. What it voids drops out, and so does what would void it;
then the search goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from railgun.core.roster_entries import StoredEntry
from railgun.limits import ROOM_ADMINS_MAX
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import AddEntry, LeaveEntry, RemoveEntry

ROUNDS_MAX: Final = 2 * ROOM_ADMINS_MAX
"""Honest rosters need one or two; hostile admins cannot make it longer than this."""

Tree = Mapping[DeviceKey, Mapping[int, Mapping[bytes, StoredEntry]]]
"""Entries by author, number, hash."""


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """The last entry of a removed device that counts. Number 0: none does."""

    number: int
    hash: bytes


Pins = dict[DeviceKey, Pin]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is settled: pins of removed devices, admins with their distance from the creator, chains that count.

    ``revoked``: those among the pinned that their own person put out, not an admin."""

    pins: Pins
    admins: dict[DeviceKey, int]
    chains: Chains
    revoked: frozenset[DeviceKey] = frozenset()


class Chains:
    """Each author's entries that count, under given pins."""

    def __init__(self, room: RoomId, tree: Tree, pins: Pins) -> None:
        self._room = room
        self._tree = tree
        self._pins = pins
        self._walked: dict[DeviceKey, tuple[StoredEntry, ...]] = {}

    def of(self, author: DeviceKey) -> tuple[StoredEntry, ...]:
        """Entries 1, 2, 3, ... of ``author`` that count; a leave ends them."""
        known = self._walked.get(author)
        if known is None:
            pin = self._pins.get(author)
            path = self._grown(author) if pin is None else self._pinned(author, pin)
            known = self._walked[author] = _until_leave(path)
        return known

    def holds(self, stored: StoredEntry) -> bool:
        """Whether this entry is one of its author's that count."""
        chain = self.of(stored.author)
        return stored.number <= len(chain) and chain[stored.number - 1].hash == stored.hash

    def _grown(self, author: DeviceKey) -> list[StoredEntry]:
        """The longest chain; where it forks, the smaller hash counts."""
        by_number = self._tree.get(author, {})
        path: list[StoredEntry] = []
        previous: bytes = self._room
        while True:
            next_ones = by_number.get(len(path) + 1, {})
            linked = [stored for stored in next_ones.values() if stored.entry.previous == previous]
            if not linked:
                return path
            path.append(min(linked, key=lambda stored: stored.hash))
            previous = path[-1].hash

    def _pinned(self, author: DeviceKey, pin: Pin) -> list[StoredEntry]:
        """The chain that ends in the pinned entry; nothing while that is not here."""
        by_number = self._tree.get(author, {})
        path: list[StoredEntry] = []
        wanted = pin.hash
        for number in range(pin.number, 0, -1):
            stored = by_number.get(number, {}).get(wanted)
            if stored is None:
                return []
            path.append(stored)
            wanted = stored.entry.previous
        return path[::-1] if wanted == self._room or not path else []


@dataclass(frozen=True, slots=True)
class _Removal:
    """One removal of one device."""

    stored: StoredEntry
    target: DeviceKey
    pin: Pin

    @property
    def author(self) -> DeviceKey:
        return self.stored.author

    @property
    def key(self) -> tuple[bytes, DeviceKey]:
        """Names it among all removals."""
        return (self.stored.hash, self.target)


def settle(room: RoomId, creator: DeviceKey, tree: Tree) -> Standing:
    """Settle admins and removals of a room."""
    pins: Pins = {}
    done: set[tuple[bytes, DeviceKey]] = set()
    standing: list[_Removal] = []
    for round_number in range(ROUNDS_MAX + 1):
        chains = Chains(room, tree, pins)
        admins = _admins(creator, chains)
        open_ones = [
            removal
            for removal in _removals(admins, chains)
            if removal.key not in done
            and removal.target != removal.author
            and not _voids_one_of(standing, removal, room, tree, pins)
        ]
        if not open_ones:
            break
        chosen = _surviving(open_ones, _world(room, creator, tree, pins, open_ones))
        if not chosen:
            chosen = _strongest(open_ones, admins, room, creator, tree, pins)
        if round_number == ROUNDS_MAX:
            chosen = open_ones
        pins = _with_pins(pins, chosen)
        standing += chosen
        done.update(removal.key for removal in chosen)
    chains = Chains(room, tree, pins)
    return Standing(pins, _admins(creator, chains), chains)


def _admins(creator: DeviceKey, chains: Chains) -> dict[DeviceKey, int]:
    """Devices that were ever validly made admins, with their distance from the creator, nearest first."""
    found = {creator: 0}
    level = [creator]
    while level:
        granted = {
            stored.entry.device
            for author in level
            for stored in chains.of(author)
            if isinstance(stored.entry, AddEntry) and stored.entry.admin
        }
        distance = found[level[0]] + 1
        level = sorted(device for device in granted if device not in found)[: ROOM_ADMINS_MAX - len(found)]
        found.update((device, distance) for device in level)
    return found


def _removals(admins: Iterable[DeviceKey], chains: Chains) -> list[_Removal]:
    return [
        _Removal(stored, target.device, Pin(target.last_number, target.last_hash))
        for author in admins
        for stored in chains.of(author)
        if isinstance(stored.entry, RemoveEntry)
        for target in stored.entry.targets
    ]


def _with_pins(pins: Pins, removals: Iterable[_Removal]) -> Pins:
    """Pins once ``removals`` stand too: of several of one device the shortest counts, then the smaller hash."""
    merged = dict(pins)
    for removal in removals:
        standing = merged.get(removal.target)
        merged[removal.target] = removal.pin if standing is None else min(standing, removal.pin)
    return merged


def _voids_one_of(standing: list[_Removal], removal: _Removal, room: RoomId, tree: Tree, pins: Pins) -> bool:
    """Whether ``removal`` would void an entry by which another one stands."""
    threatened = [other.stored for other in standing if other.author == removal.target]
    if not threatened:
        return False
    chains = Chains(room, tree, _with_pins(pins, [removal]))
    return not all(chains.holds(stored) for stored in threatened)


def _world(
    room: RoomId, creator: DeviceKey, tree: Tree, pins: Pins, removals: Iterable[_Removal]
) -> tuple[Chains, dict[DeviceKey, int]]:
    chains = Chains(room, tree, _with_pins(pins, removals))
    return chains, _admins(creator, chains)


def _surviving(removals: list[_Removal], world: tuple[Chains, dict[DeviceKey, int]]) -> list[_Removal]:
    chains, admins = world
    return [removal for removal in removals if removal.author in admins and chains.holds(removal.stored)]


def _strongest(
    removals: list[_Removal], admins: dict[DeviceKey, int], room: RoomId, creator: DeviceKey, tree: Tree, pins: Pins
) -> list[_Removal]:
    """All removals of the author who wins among those that threaten each other."""
    authors = sorted({removal.author for removal in removals}, key=lambda author: (admins[author], author))
    threatens: dict[DeviceKey, set[DeviceKey]] = {}
    for author in authors:
        own = [removal for removal in removals if removal.author == author]
        surviving = _surviving(removals, _world(room, creator, tree, pins, own))
        kept = {removal.key for removal in surviving}
        hit = {removal.author for removal in removals if removal.key not in kept}
        threatens[author] = hit - {author}
    reached = {author: _reachable(author, threatens) for author in authors}
    for author in authors:
        if all(other in reached[author] for other in authors if author in reached[other]):
            return [removal for removal in removals if removal.author == author]
    return removals


def _reachable(start: DeviceKey, edges: Mapping[DeviceKey, set[DeviceKey]]) -> set[DeviceKey]:
    seen: set[DeviceKey] = set()
    waiting = [start]
    while waiting:
        for device in edges[waiting.pop()]:
            if device not in seen:
                seen.add(device)
                waiting.append(device)
    return seen


def _until_leave(path: list[StoredEntry]) -> tuple[StoredEntry, ...]:
    for index, stored in enumerate(path):
        if isinstance(stored.entry, LeaveEntry):
            return tuple(path[: index + 1])
    return tuple(path)
