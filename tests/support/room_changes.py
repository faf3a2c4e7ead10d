"""What a member does to its room, for tests that need no whole client: each change as entries, rows and envelopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from railgun.core.generations import Generations, MadeGeneration, OwnDevice, first_generation
from railgun.core.persistence import Write
from railgun.core.room_port import SealRequest
from railgun.core.roster import Roster, create_roster
from railgun.core.roster_entries import StoredEntry
from railgun.core.roster_state import GenerationState, RosterState
from railgun.crypto.epoch import EpochKeys
from railgun.errors import NotMember, UsageError
from railgun.ports import Entropy, Sessions
from railgun.types import DeviceKey
from railgun.wire.roster import (
    SECONDS_PER_DAY,
    CreateEntry,
    GenerationEntry,
    LaterEntry,
    LeaveEntry,
    RemoveEntry,
    RoomSettings,
    SettingsEntry,
)

ROOM_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is filed.

    Attributes:
        entry: to be spread as roster content, under ``generation`` and ``keys`` where those are given.
        before: the roster as it was: what to prepare that content for, so that who is removed is told, and who leaves
            can still say so.
        writes: to be committed before anything leaves.
        requests: deliveries, each naming its keys.
        generation, keys: what was sent under before the change; None for changes that leave generations alone.
    """

    entry: StoredEntry
    before: RosterState
    writes: tuple[Write, ...]
    requests: tuple[SealRequest, ...] = ()
    generation: GenerationState | None = None
    keys: EpochKeys | None = None


def create_room(
    me: OwnDevice, certificate: bytes, name: str, settings: RoomSettings, entropy: Entropy, start: int, wall: float
) -> tuple[Roster, Generations, tuple[Write, ...]]:
    """A new room, whose first generation is made in the epoch of its day that starts at ``start``.

    Raises:
        ValueError: the name is too long.
    """
    made = first_generation(entropy, start)
    nonce = entropy.random_bytes(ROOM_NONCE_BYTES)
    creation = CreateEntry(me.device, int(wall), certificate, name, nonce, settings, made.named)
    roster, writes = create_roster(me.seed, creation)
    generations = Generations(roster.room)
    return roster, generations, (*writes, *generations.adopt(made))


def remove_devices(
    roster: Roster,
    generations: Generations,
    me: OwnDevice,
    targets: Sequence[DeviceKey],
    entropy: Entropy,
    sessions: Sessions,
    start: int,
    wall: float,
) -> Change:
    """Remove devices for good and give all others the next generation. ``start`` is the open epoch's.

    Raises:
        NotMember: we are no admin.
        UsageError: a target is not in the room, or is this device (which leaves instead).
    """
    state = roster.state(int(wall) // SECONDS_PER_DAY)
    if not targets or any(state.member(target) is None or target == me.device for target in targets):
        raise UsageError("name other devices that are in the room")
    _check_admin(me, state)
    number, previous = roster.next_place(me.device)
    made = generations.make(entropy, state, start, targets)
    entry = RemoveEntry(
        roster.room,
        me.device,
        number,
        previous,
        int(wall),
        tuple(roster.removal_of(target) for target in targets),
        made.named,
    )
    return _with_generation(roster, generations, me, entry, made, sessions, start, wall)


def renew_generation(
    roster: Roster,
    generations: Generations,
    me: OwnDevice,
    entropy: Entropy,
    sessions: Sessions,
    start: int,
    wall: float,
) -> Change:
    """Make the next generation when `Generations.turn_seconds` says that it is our turn.

    Raises:
        NotMember: we are no admin.
    """
    state = roster.state(int(wall) // SECONDS_PER_DAY)
    _check_admin(me, state)
    number, previous = roster.next_place(me.device)
    made = generations.make(entropy, state, start)
    entry = GenerationEntry(roster.room, me.device, number, previous, int(wall), made.named)
    return _with_generation(roster, generations, me, entry, made, sessions, start, wall)


def _check_admin(me: OwnDevice, state: RosterState) -> None:
    if me.device not in state.admins:
        raise NotMember("only an admin of the room may do this")


def _with_generation(
    roster: Roster,
    generations: Generations,
    me: OwnDevice,
    entry: RemoveEntry | GenerationEntry,
    made: MadeGeneration,
    sessions: Sessions,
    start: int,
    wall: float,
) -> Change:
    day = int(wall) // SECONDS_PER_DAY
    before = roster.state(day)
    generation = generations.sending_generation(before, start) or generations.newest_held(before, start)
    keys = None if generation is None else generations.keys(generation, start)
    result = roster.append(me.seed, entry)
    state = roster.state(day)
    prekeys = []
    for device in state.devices:
        prekey = roster.prekey(device)
        if device != me.device and prekey is not None:
            prekeys.append((device, prekey))
    requests = generations.deliver(made, me, prekeys, sessions, keys)
    return Change(result.added[0], before, (*made.writes, *result.writes), tuple(requests), generation, keys)


def change_settings(roster: Roster, me: OwnDevice, settings: RoomSettings, from_day: int, wall: float) -> Change:
    """New settings from a UTC day on, tomorrow's at the earliest.

    Raises:
        NotMember: we are no admin.
        ValueError: the day is too early.
    """
    number, previous = roster.next_place(me.device)
    return _filed(roster, me, SettingsEntry(roster.room, me.device, number, previous, int(wall), settings, from_day))


def leave_room(roster: Roster, me: OwnDevice, wall: float) -> Change:
    """Leave for good. Raises NotMember."""
    number, previous = roster.next_place(me.device)
    return _filed(roster, me, LeaveEntry(roster.room, me.device, number, previous, int(wall)))


def _filed(roster: Roster, me: OwnDevice, entry: LaterEntry) -> Change:
    before = roster.state(entry.time // SECONDS_PER_DAY)
    result = roster.append(me.seed, entry)
    return Change(result.added[0], before, result.writes)
