"""What a profile keeps of its person's devices.

Owns: the rows' names: the devices' own room, what each device calls itself, invites that others of them were told of.
Must not know: who tells whom. Spec: docs/spec/devices.md.
"""

from __future__ import annotations

from railgun.core.effects import Persist
from railgun.ports import Write
from railgun.runtime.peer_state import PeerState
from railgun.types import DeviceKey, RoomId

TABLE = "identity"
OWN_ROOM_KEY = b"own-room"
NAME_KEY = b"device-name "
INVITES = "invites"
INVITE_KEY = b"own"
"""Behind a room's id, so that it goes with the room."""


class DeviceRows:
    """Reading and keeping them."""

    def __init__(self, state: PeerState) -> None:
        self._state = state

    def own_room(self) -> RoomId | None:
        """The room that only this person's devices are in, once there is one."""
        row = self._state.store.get(TABLE, OWN_ROOM_KEY)
        return None if row is None else RoomId(row)

    def keep_own_room(self, room_id: RoomId) -> None:
        """Raises StoreError."""
        self._keep(own_room_write(room_id))

    def name_of(self, device: DeviceKey) -> str:
        """What a device calls itself; empty for nothing."""
        if device == self._state.identity.device_key:
            return self._state.identity.name
        kept = self._state.store.get(TABLE, NAME_KEY + device)
        return "" if kept is None else kept.decode(errors="replace")

    def keep_name(self, device: DeviceKey, name: str) -> None:
        """Raises StoreError."""
        if self._state.store.get(TABLE, NAME_KEY + device) != name.encode():
            self._keep(Write(TABLE, NAME_KEY + device, name.encode()))

    def invite(self, room_id: RoomId) -> str | None:
        """The link that other devices were told of, if there is one."""
        kept = self._state.store.get(INVITES, room_id + INVITE_KEY)
        return None if kept is None else kept.decode("ascii")

    def _keep(self, write: Write) -> None:
        self._state.driver.act(lambda _: (None, [Persist((write,))]))


def own_room_write(room_id: RoomId) -> Write:
    """Which room is the devices' own."""
    return Write(TABLE, OWN_ROOM_KEY, room_id)


def invite_write(room_id: RoomId, link: str | None) -> Write:
    """The link that other devices are told of; None: no more."""
    return Write(INVITES, room_id + INVITE_KEY, None if link is None else link.encode("ascii"))
