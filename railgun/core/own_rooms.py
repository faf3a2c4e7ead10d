"""A person's devices tell each other of rooms, in a room that is theirs alone, so that all of them are in all.

Owns: which rooms to tell of and when, what to make of what another device tells. Must not know: how rooms are joined,
rows, links. Spec: docs/spec/devices.md, "Rooms that follow".

What is told is worked out from rosters each time, so nothing has to be kept or acknowledged: who is in is told no more,
and who has left or was put out stays out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from railgun.core.roster_state import RosterState
from railgun.crypto.identity import invite_key_seed
from railgun.crypto.signing import public_key_of
from railgun.errors import MalformedInput
from railgun.limits import OWN_ROOMS_PER_CONTENT_MAX, OWN_ROOMS_TELL_AGAIN_SECONDS
from railgun.types import DeviceKey, NetworkId, RoomId, RootKey
from railgun.wire.content import OwnRoomsContent
from railgun.wire.invites import Invite, parse_invite

OWN_ROOM_NAME: Final = "my devices"


class OwnRooms:
    """One device's part in it."""

    def __init__(self, me: DeviceKey, root: RootKey, network: NetworkId) -> None:
        self._me = me
        self._root = root
        self._network = network
        self._told_at: dict[RoomId, float] = {}

    def lacking(self, own: RosterState, room: RosterState) -> tuple[DeviceKey, ...]:
        """Devices of ``own`` (the person's own room) that could be in ``room`` and are not; ascending. None where this
        device is out of either itself."""
        if own.member(self._me) is None or room.member(self._me) is None:
            return ()
        return tuple(
            device for device in own.devices_of(self._root) if room.member(device) is None and device not in room.out
        )

    def to_tell(self, own: RosterState, rooms: Iterable[RosterState], now: float) -> list[RosterState]:
        """The rooms to tell of now. Each again after a while, until every device is in."""
        found = []
        for room in rooms:
            if not self.lacking(own, room):
                self._told_at.pop(room.room, None)
            elif room.room not in self._told_at or now >= self._told_at[room.room] + OWN_ROOMS_TELL_AGAIN_SECONDS:
                self._told_at[room.room] = now
                found.append(room)
        return found

    def not_told(self, room: RoomId) -> None:
        """It could not be told: try again at the next look."""
        self._told_at.pop(room, None)

    def asked(self) -> None:
        """Another device has come, or a new one: what it lacks is told at once."""
        self._told_at.clear()

    def invites_for_us(
        self, content: OwnRoomsContent, author: DeviceKey, own: RosterState, held: Sequence[RoomId]
    ) -> list[tuple[Invite, str]]:
        """Invites, and their links, to rooms that this device is not in. Nobody but a device of the same person is
        believed."""
        member = own.member(author)
        if member is None or member.root != self._root or author == self._me:
            return []
        found: list[tuple[Invite, str]] = []
        for link in content.invites:
            try:
                invite = parse_invite(link)
            except MalformedInput:
                continue
            if invite.network == self._network and invite.room not in held:
                found.append((invite, link))
        return found


def words(name: str, invites: Sequence[str], *, asks: bool = False) -> list[OwnRoomsContent]:
    """As many contents as it takes."""
    size = OWN_ROOMS_PER_CONTENT_MAX
    batches = [tuple(invites[first : first + size]) for first in range(0, len(invites), size)] or [()]
    return [OwnRoomsContent(name, asks and index == 0, batch) for index, batch in enumerate(batches)]


def is_good(state: RosterState, invite: Invite, wall: float) -> bool:
    """Whether an invite that was made before still lets somebody in."""
    key = public_key_of(invite_key_seed(invite.seed))
    return any(known.invite_key == key for known in state.live_invites(wall))
