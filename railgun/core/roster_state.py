"""What a roster says: members, admins, settings, invites, generations, forks.

Owns: the result's shape, and its computation from the entries that count. Must not know: how entries arrive or are
kept, secrets. Spec: docs/spec/rooms.md, "Resolution".
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from railgun.core.roster_entries import StoredEntry
from railgun.core.roster_persons import OWN_DEVICES_PER_AUTHOR_MAX, own_root, with_revocations
from railgun.core.roster_removals import Pin, Standing, Tree, settle
from railgun.limits import INVITES_LIVE_MAX, LOBBY_LINGER_SECONDS, ROOM_DEVICES_MAX
from railgun.types import DeviceKey, RoomId, RootKey
from railgun.wire.certificates import DeviceCertificate
from railgun.wire.roster import (
    SECONDS_PER_DAY,
    AddEntry,
    CreateEntry,
    InviteEntry,
    LeaveEntry,
    NameEntry,
    RemoveEntry,
    RoomSettings,
    SettingsEntry,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A device that is in. ``distance`` counts grants from the creator (0)."""

    device: DeviceKey
    certificate: DeviceCertificate = field(repr=False)
    is_admin: bool
    distance: int

    @property
    def root(self) -> RootKey:
        """Whose device it is."""
        return self.certificate.root_key


@dataclass(frozen=True, slots=True)
class InviteState:
    """An invite that is not revoked. ``used`` may exceed ``uses`` after a partition; people are shown that."""

    invite_key: bytes
    lobby_secret: bytes = field(repr=False)
    uses: int
    used: int
    last_used: int
    expires: int
    author: DeviceKey

    def is_live(self, wall_seconds: float) -> bool:
        """Whether it lets anyone in at ``wall_seconds``."""
        return self.used < self.uses and wall_seconds < self.expires

    def has_lobby(self, wall_seconds: float) -> bool:
        """Whether members listen to its lobby: while it is live, and a while after its last use."""
        lingers = self.used > 0 and wall_seconds < min(self.last_used + LOBBY_LINGER_SECONDS, self.expires)
        return self.is_live(wall_seconds) or lingers


@dataclass(frozen=True, slots=True)
class GenerationState:
    """A generation that the roster names. ``excluded`` ascends: devices that never got its secret."""

    generation: int
    commitment: bytes
    first_day: int
    author: DeviceKey
    excluded: tuple[DeviceKey, ...]


@dataclass(frozen=True, slots=True)
class Fork:
    """An author signed several entries under one number: its key is copied, or it cheats. Shown to people."""

    author: DeviceKey
    number: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RosterState:
    """A roster on one UTC day. Every tuple is in ascending order of its key, so that peers compare alike.

    ``removed`` were put out by admins, ``revoked`` by another device of their person, ``left`` went themselves.
    ``settings`` are those of the day asked for; ``schedule`` holds (from day, settings), ascending, for others.
    """

    room: RoomId
    name: str
    creator: DeviceKey
    members: tuple[Member, ...]
    removed: tuple[DeviceKey, ...]
    left: tuple[DeviceKey, ...]
    settings: RoomSettings
    schedule: tuple[tuple[int, RoomSettings], ...]
    invites: tuple[InviteState, ...]
    generations: tuple[GenerationState, ...]
    forks: tuple[Fork, ...]
    revoked: tuple[DeviceKey, ...] = ()
    names: tuple[tuple[DeviceKey, str], ...] = ()
    """How devices want to be shown, as they said it: safe nowhere, and no proof of anything. By device."""
    by_device: Mapping[DeviceKey, Member] = field(init=False, repr=False, compare=False)
    """``members`` again: asked for at each envelope."""
    devices: tuple[DeviceKey, ...] = field(init=False, repr=False, compare=False)
    """Ascending."""
    device_set: frozenset[DeviceKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_device = {member.device: member for member in self.members}
        object.__setattr__(self, "by_device", MappingProxyType(by_device))
        object.__setattr__(self, "devices", tuple(by_device))
        object.__setattr__(self, "device_set", frozenset(by_device))

    @property
    def out(self) -> tuple[DeviceKey, ...]:
        """All who are out for good, whoever said so; ascending."""
        return tuple(sorted((*self.removed, *self.left, *self.revoked)))

    def is_void(self, device: DeviceKey) -> bool:
        """Neither in nor put out: what let it in does not count, or is not here. Another entry may let it in."""
        return self.member(device) is None and device not in self.out

    def devices_of(self, root: RootKey) -> tuple[DeviceKey, ...]:
        """A person's devices that are in, ascending."""
        return tuple(member.device for member in self.members if member.root == root)

    @property
    def admins(self) -> tuple[DeviceKey, ...]:
        """Ascending."""
        return tuple(member.device for member in self.members if member.is_admin)

    def member(self, device: DeviceKey) -> Member | None:
        """The member with this device key, if it is in."""
        return self.by_device.get(device)

    def name_of(self, device: DeviceKey) -> str:
        """How the device wants to be shown; empty where it has not said."""
        return next((name for named, name in self.names if named == device), "")

    def settings_on(self, day: int) -> RoomSettings:
        """The settings of any UTC day."""
        return settings_on(self.schedule, day)

    def live_invites(self, wall_seconds: float) -> tuple[InviteState, ...]:
        """Invites that let people in: the last to expire first, at most INVITES_LIVE_MAX."""
        return self._newest([invite for invite in self.invites if invite.is_live(wall_seconds)])

    def lobbies(self, wall_seconds: float) -> tuple[InviteState, ...]:
        """Invites whose lobbies members listen to: the last to expire first, at most INVITES_LIVE_MAX."""
        return self._newest([invite for invite in self.invites if invite.has_lobby(wall_seconds)])

    @staticmethod
    def _newest(live: list[InviteState]) -> tuple[InviteState, ...]:
        return tuple(sorted(live, key=lambda invite: (-invite.expires, invite.invite_key))[:INVITES_LIVE_MAX])


def settings_on(schedule: tuple[tuple[int, RoomSettings], ...], day: int) -> RoomSettings:
    """The last of ``schedule`` that holds on ``day``; the first, for days before the room was made."""
    holding = [settings for from_day, settings in schedule if from_day <= day]
    return holding[-1] if holding else schedule[0][1]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A roster but for the day."""

    creation: CreateEntry
    standing: Standing
    state: RosterState


def resolve(room: RoomId, creation: StoredEntry, tree: Tree) -> Resolved:
    """Resolve all entries of a room; ``creation`` is its first. A function of the set alone."""
    first = creation.entry
    if not isinstance(first, CreateEntry):
        raise ValueError("a roster starts with its creation entry")
    standing = with_revocations(settle(room, first.author, tree), creation, tree)
    schedule = _schedule(first, standing)
    grants = _Grants(creation, standing, schedule)
    removed = tuple(sorted(device for device in standing.pins if device not in standing.revoked))
    left = _left(grants.distances, standing)
    gone = {*standing.pins, *left}
    members = tuple(
        member for member in (grants.member(device) for device in sorted(grants.distances)) if member.device not in gone
    )
    state = RosterState(
        room=room,
        name=first.name,
        creator=first.author,
        members=members,
        removed=removed,
        left=tuple(device for device in left if device not in standing.pins),
        settings=schedule[-1][1],
        schedule=schedule,
        invites=grants.invites(),
        generations=_generations(creation, standing),
        forks=_forks(tree, standing.pins),
        revoked=tuple(sorted(standing.revoked)),
        names=_names(tree, standing),
    )
    return Resolved(first, standing, state)


def _schedule(first: CreateEntry, standing: Standing) -> tuple[tuple[int, RoomSettings], ...]:
    """(from day, settings) ascending: of one day that of the author nearest to the creator, then the smaller key,
    then the later entry."""
    best: dict[int, tuple[int, DeviceKey, int, RoomSettings]] = {}
    for author, distance in standing.admins.items():
        for stored in standing.chains.of(author):
            if isinstance(stored.entry, SettingsEntry):
                ranked = (distance, author, -stored.number, stored.entry.settings)
                held = best.get(stored.entry.from_day)
                if held is None or ranked[:3] < held[:3]:
                    best[stored.entry.from_day] = ranked
    first_day = first.time // SECONDS_PER_DAY
    later = tuple((day, best[day][3]) for day in sorted(best) if day > first_day)
    return ((first_day, first.settings), *later)


class _Grants:
    """Who was let in by whom, starting from the creator."""

    def __init__(
        self, creation: StoredEntry, standing: Standing, schedule: tuple[tuple[int, RoomSettings], ...]
    ) -> None:
        self._standing = standing
        self._schedule = schedule
        self._adds: dict[DeviceKey, StoredEntry] = {creation.author: creation}
        self._edges: dict[DeviceKey, list[StoredEntry]] = {}
        self._named: dict[bytes, list[tuple[DeviceKey, InviteEntry]]] = {}
        self._users: dict[bytes, dict[DeviceKey, int]] = {}
        self._waiting: dict[bytes, list[StoredEntry]] = {}
        self._roots: dict[DeviceKey, set[RootKey]] = {}
        self._own: dict[tuple[DeviceKey, RootKey], list[StoredEntry]] = {}
        self._unread = [creation.author]
        self._vouch(creation, creation.author)
        while self._unread:
            self._read(self._unread.pop())
        self.distances = self._measure(creation.author, creation.entry.time)

    def member(self, device: DeviceKey) -> Member:
        """A device that was let in, by the smallest of the entries that did so."""
        stored = self._adds[device]
        if stored.certificate is None:
            raise ValueError("only creation and add entries let a device in")
        return Member(device, stored.certificate, device in self._standing.admins, self.distances[device])

    def invites(self) -> tuple[InviteState, ...]:
        """Invites with uses left to them, by key; of several entries for one key the strictest bounds hold."""
        found = []
        for key in sorted(self._named):
            entries = self._named[key]
            uses, expires = min(entry.uses for _, entry in entries), min(entry.expires for _, entry in entries)
            author, entry = min(entries, key=lambda pair: (pair[1].number, pair[0]))
            if uses:
                users = self._users.get(key, {})
                last_used = max(users.values(), default=0)
                found.append(InviteState(key, entry.lobby_secret, uses, len(users), last_used, expires, author))
        return tuple(found)

    def _may_invite(self, author: DeviceKey, time: int) -> bool:
        if author in self._standing.admins:
            return True
        return not settings_on(self._schedule, time // SECONDS_PER_DAY).closed

    def _vouch(self, stored: StoredEntry, device: DeviceKey) -> None:
        """``device`` was let in as a device of this root's: it may let in others of it."""
        if stored.certificate is not None:
            root = stored.certificate.root_key
            self._roots.setdefault(device, set()).add(root)
            for waiting in self._own.pop((device, root), ()):
                self._grant(waiting)

    def _read(self, author: DeviceKey) -> None:
        own_devices: set[DeviceKey] = set()
        for stored in self._standing.chains.of(author):
            entry = stored.entry
            root = None if author in self._standing.admins else own_root(stored)
            if root is not None and isinstance(entry, AddEntry):
                own_devices.add(entry.device)
                if len(own_devices) > OWN_DEVICES_PER_AUTHOR_MAX:
                    own_devices.discard(entry.device)
                elif root in self._roots.get(author, ()):
                    self._grant(stored)
                else:
                    self._own.setdefault((author, root), []).append(stored)
                continue
            if isinstance(entry, InviteEntry) and self._may_invite(author, entry.time):
                self._named.setdefault(entry.invite_key, []).append((author, entry))
                for waiting in self._waiting.pop(entry.invite_key, ()):
                    self._grant(waiting)
            elif isinstance(entry, AddEntry) and self._may_invite(author, entry.time):
                if author in self._standing.admins or (entry.request and entry.request.invite_key in self._named):
                    self._grant(stored)
                elif entry.request is not None:
                    self._waiting.setdefault(entry.request.invite_key, []).append(stored)

    def _grant(self, stored: StoredEntry) -> None:
        entry = stored.entry
        if not isinstance(entry, AddEntry):
            return
        self._edges.setdefault(entry.author, []).append(stored)
        if own_root(stored) is None or entry.author in self._standing.admins:
            self._vouch(stored, entry.device)
        if entry.request is not None:
            users = self._users.setdefault(entry.request.invite_key, {})
            users[entry.device] = max(entry.time, users.get(entry.device, 0))
        held = self._adds.get(entry.device)
        if held is None:
            self._unread.append(entry.device)
        if held is None or (isinstance(held.entry, AddEntry) and stored.hash < held.hash):
            self._adds[entry.device] = stored

    def _measure(self, creator: DeviceKey, created: int) -> dict[DeviceKey, int]:
        """Distances from the creator, of those who have a place."""
        placed = self._first_in(creator, created)
        found = {creator: 0}
        level = [creator]
        while level:
            distance = found[level[0]] + 1
            reached = {_added(stored) for author in level for stored in self._edges.get(author, ())}
            level = sorted(device for device in reached if device in placed and device not in found)
            found.update((device, distance) for device in level)
        return found

    def _first_in(self, creator: DeviceKey, created: int) -> set[DeviceKey]:
        """Who was there first: ROOM_DEVICES_MAX devices that are in, and those that were and are out.

        A device is in since the latest of the times of its add, of the entries before that in its author's chain, and
        since when the author itself is in. So whoever comes late cannot be before those who were there, whatever times
        it writes and keys it makes. Of several adds the earliest; on a tie the fewer grants from the creator, then the
        smaller number in the author's chain, then the smaller hash.
        """
        placed: set[DeviceKey] = set()
        places = ROOM_DEVICES_MAX
        waiting: list[tuple[int, int, int, bytes, DeviceKey]] = [(created, 0, 0, b"", creator)]
        while waiting:
            since, grants, _, _, device = heapq.heappop(waiting)
            is_in = not self._is_gone(device)
            if device in placed or (is_in and not places):
                continue
            placed.add(device)
            places -= is_in
            by_number = list(itertools.accumulate((item.entry.time for item in self._chain(device)), max))
            for stored in self._edges.get(device, ()):
                entry_since = max(since, by_number[stored.number - 1])
                heapq.heappush(waiting, (entry_since, grants + 1, stored.number, stored.hash, _added(stored)))
        return placed

    def _chain(self, device: DeviceKey) -> tuple[StoredEntry, ...]:
        return self._standing.chains.of(device)

    def _is_gone(self, device: DeviceKey) -> bool:
        chain = self._chain(device)
        return device in self._standing.pins or bool(chain and isinstance(chain[-1].entry, LeaveEntry))


def _added(stored: StoredEntry) -> DeviceKey:
    """The device that an add lets in."""
    if not isinstance(stored.entry, AddEntry):
        raise ValueError("only add entries are grants")
    return stored.entry.device


def _names(tree: Tree, standing: Standing) -> tuple[tuple[DeviceKey, str], ...]:
    found = []
    for author in sorted(tree):
        said = [stored.entry.name for stored in standing.chains.of(author) if isinstance(stored.entry, NameEntry)]
        if said and said[-1]:
            found.append((author, said[-1]))
    return tuple(found)


def _left(devices: Iterable[DeviceKey], standing: Standing) -> tuple[DeviceKey, ...]:
    found = []
    for device in sorted(devices):
        chain = standing.chains.of(device)
        if chain and isinstance(chain[-1].entry, LeaveEntry):
            found.append(device)
    return tuple(found)


def _generations(creation: StoredEntry, standing: Standing) -> tuple[GenerationState, ...]:
    """The generations that admins named, by (g, c). One whose base does not count excludes only what it lists."""
    naming = [creation] + [
        stored for author in standing.admins for stored in standing.chains.of(author) if stored.generation is not None
    ]
    naming.sort(key=lambda stored: (stored.generation.generation, stored.hash) if stored.generation else (0, b""))
    excluded: dict[tuple[int, bytes], set[DeviceKey]] = {}
    first: dict[tuple[int, bytes], StoredEntry] = {}
    for stored in naming:
        named = stored.generation
        if named is None:
            continue
        own = set(named.excluded) | excluded.get((named.generation - 1, named.base), set())
        if isinstance(stored.entry, RemoveEntry):
            own.update(target.device for target in stored.entry.targets)
        key = (named.generation, named.commitment)
        # Two entries for one secret: only what both exclude is sure to lack it.
        excluded[key] = own & excluded[key] if key in excluded else own
        first.setdefault(key, stored)
    return tuple(
        GenerationState(
            key[0],
            key[1],
            stored.generation.first_day if stored.generation else 0,
            stored.author,
            tuple(sorted(excluded[key])),
        )
        for key, stored in sorted(first.items())
    )


def _forks(tree: Tree, pins: dict[DeviceKey, Pin]) -> tuple[Fork, ...]:
    """All forks but those after a removed device's last entry, which hurt nobody."""
    return tuple(
        Fork(author, number, tuple(sorted(tree[author][number])))
        for author in sorted(tree)
        for number in sorted(tree[author])
        if len(tree[author][number]) > 1 and (author not in pins or number <= pins[author].number)
    )
