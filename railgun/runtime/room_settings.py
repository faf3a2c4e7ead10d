"""A room's settings: what holds, what will, and changing it.

Owns: from which day a change holds, what a call may ask for. Must not know: how entries travel, commands.
Spec: docs/spec/rooms.md, "Settings".
"""

from __future__ import annotations

import dataclasses
from typing import Final

from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.core.roster_state import RosterState
from railgun.errors import UsageError
from railgun.limits import SETTINGS_DAYS_AHEAD_MAX
from railgun.runtime.room_views import SettingsView, view_settings
from railgun.types import DeviceKey
from railgun.wire.roster import SECONDS_PER_DAY, Cover, LaterEntry, RoomSettings, SettingsEntry

COVER_MODES: Final = {mode.name.lower(): mode for mode in Cover}

LEAD_SECONDS: Final = 3600.0
"""A change so shortly before a day's end holds from the day after the next, unless that is named: the committee of the
next day's first epoch may be warm already, and not every member hears of the change at once."""


def holding(state: RosterState, day: int) -> SettingsView:
    """What holds on a UTC day."""
    from_day = max((since for since, _ in state.schedule if since <= day), default=state.schedule[0][0])
    return view_settings(state.settings_on(day), from_day)


def coming(state: RosterState, day: int) -> SettingsView | None:
    """The next settings after ``day`` that differ from those of that day, if any are set."""
    now = state.settings_on(day)
    later = ((since, settings) for since, settings in state.schedule if since > day)
    return next((view_settings(settings, since) for since, settings in later if settings != now), None)


def change(
    machine: MemberRoom,
    author: DeviceKey,
    wall: float,
    *,
    committee_size: int | None = None,
    cover: str | None = None,
    from_day: int | None = None,
) -> tuple[SettingsView, RoomOutcome]:
    """Set what is given from ``from_day`` on, and leave the rest as it would be on that day.

    Returns what holds from that day, which is something else where an admin nearer to the creator has set that.

    Raises:
        NotMember: ``author`` is no admin of the room.
        UsageError: nothing is given, a value is out of its range, or ``from_day`` is not after today or too far off.
    """
    today = int(wall) // SECONDS_PER_DAY
    first = int(wall + LEAD_SECONDS) // SECONDS_PER_DAY + 1 if from_day is None else from_day
    if not today < first <= today + SETTINGS_DAYS_AHEAD_MAX:
        raise UsageError(
            f"settings hold from tomorrow at the earliest, and at most {SETTINGS_DAYS_AHEAD_MAX} days ahead"
        )
    if committee_size is None and cover is None:
        raise UsageError("name what is to change: cover, or the committee's size")
    settings = _changed(machine.state(wall).settings_on(first), committee_size, cover)

    def entry(number: int, previous: bytes) -> LaterEntry:
        return SettingsEntry(machine.room_id, author, number, previous, int(wall), settings, first)

    outcome = machine.file(entry, wall)
    return view_settings(machine.state(wall).settings_on(first), first), outcome


def _changed(base: RoomSettings, committee_size: int | None, cover: str | None) -> RoomSettings:
    if cover is not None and cover not in COVER_MODES:
        raise UsageError(f"cover is one of {', '.join(COVER_MODES)}, not {cover!r}")
    try:
        return dataclasses.replace(
            base,
            committee_size=base.committee_size if committee_size is None else committee_size,
            cover=base.cover if cover is None else COVER_MODES[cover],
        )
    except ValueError as error:
        raise UsageError(f"the room cannot be set so: {error}") from error
