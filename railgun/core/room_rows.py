"""The row that says that a room is here, and how far this device is in.

Owns: the row's form. Must not know: rosters, keys.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Final

from railgun.core.persistence import Write
from railgun.limits import INVITE_LINK_CHARACTERS_MAX
from railgun.types import RoomId
from railgun.wire.roster import TimeField
from railgun.wire.schema import Codec, Text, Uint

TABLE: Final = "rooms"


class RoomStatus(enum.IntEnum):
    """How far this device is in."""

    JOINING = 1
    MEMBER = 2
    LEFT = 3


@dataclass(frozen=True, slots=True)
class RoomRow:
    """``invite``: the link while joining, else empty. ``since``: Unix seconds."""

    status: Annotated[RoomStatus, Uint(3, RoomStatus)]
    since: TimeField
    invite: Annotated[str, Text(4 * INVITE_LINK_CHARACTERS_MAX)] = field(repr=False)


_ROWS: Final[Codec[RoomRow]] = Codec({1: RoomRow}, bytes_max=4 * INVITE_LINK_CHARACTERS_MAX + 64)


def room_write(room_id: RoomId, row: RoomRow) -> Write:
    """Keep the row."""
    return Write(TABLE, room_id, _ROWS.encode(row))


def read_room_row(value: bytes) -> RoomRow:
    """Raises MalformedInput where the row is damaged."""
    return _ROWS.decode(value)
