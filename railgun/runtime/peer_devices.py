"""A person's devices: the room that is theirs alone, rooms that follow, revoking one; linking is `peer_linking`'s.

Owns: what is said in the devices' own room, and when. Must not know: how people compare codes, terminals.
Spec: docs/spec/devices.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from railgun.core.effects import Notification
from railgun.core.own_devices import revoke_devices
from railgun.core.own_rooms import OwnRooms, is_good, words
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import MessageReceived, RoomJoined, RosterChanged
from railgun.core.room_port import RoomOutcome
from railgun.crypto.identity import invite_key_seed
from railgun.crypto.network_ids import network_id
from railgun.crypto.signing import public_key_of
from railgun.errors import NotMember, RailGunError, UsageError
from railgun.limits import DEVICE_LINK_SECONDS, INVITE_CONTACTS_MAX, OWN_ROOM_INVITE_SECONDS, ROOMS_MAX
from railgun.runtime.device_rows import DeviceRows, invite_write
from railgun.runtime.identity import load_root
from railgun.runtime.logs import Log, ShortId
from railgun.runtime.peer_linking import DeviceLinking, LinkCode, LinkResult
from railgun.runtime.peer_rooms import PeerRooms
from railgun.runtime.peer_state import PeerState
from railgun.types import DeviceKey, RoomId, RootKey
from railgun.wire.content import OwnRoomsContent
from railgun.wire.invites import Invite, format_invite, parse_invite
from railgun.wire.roster import InviteEntry

LOOK_SECONDS = 15.0
ASK_SECONDS = 3.0
"""A command that is done sooner has no rooms to wait for."""

log = Log("devices")


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device of this person. ``rooms``: of this device's, how many that one is in. ``name`` may be empty."""

    device_key: DeviceKey
    name: str
    is_self: bool
    rooms: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """What became of revoking ``device`` in one room: ``reason`` says why it is still in, None where it is out."""

    device_key: DeviceKey
    room_id: RoomId
    reason: str | None


class PeerDevices:
    """See the module; `Peer.devices`."""

    def __init__(self, state: PeerState, rooms: PeerRooms) -> None:
        self._state = state
        self._rooms = rooms
        self._rows = DeviceRows(state)
        self._linking = DeviceLinking(state, rooms, self._rows, self._do, self._changed)
        self._work: deque[Callable[[], None]] = deque()
        self._wake = asyncio.Event()
        self._own_rooms = self._make_own_rooms()
        rooms.own = self._rows.own_room()

    def _changed(self) -> None:
        """Another device has come, or this one is another person's now."""
        self._own_rooms = self._make_own_rooms()

    def _make_own_rooms(self) -> OwnRooms:
        identity = self._state.identity
        return OwnRooms(identity.device_key, identity.root_key, network_id(self._state.network))

    # --- linking ----------------------------------------------------------------------------------

    def start_link(self) -> str:
        """Make a link for a new device, good for 15 minutes and secret for as long. A link that was under way ends.
        Next: `code`, and `confirm`.

        Raises:
            UsageError: the root key is not on this device, or no relay is known.
            StoreError: the disk.
        """
        return self._linking.start_link()

    def start_join(self, text: str) -> None:
        """Become a device of whoever made this link. Next: `code`, and `confirm`.

        Raises:
            UsageError: not such a link, one of another network, or this profile is somebody's already: it has rooms.
        """
        self._linking.start_join(text)

    async def code(self, timeout: float = DEVICE_LINK_SECONDS) -> LinkCode:  # noqa: ASYNC109
        """What both devices show, once both are there.

        Raises:
            UsageError: no link is under way, or another was begun.
            DiscoveryError: the other device did not come within ``timeout`` seconds.
        """
        return await self._linking.code(timeout)

    async def confirm(self, timeout: float = DEVICE_LINK_SECONDS) -> LinkResult:  # noqa: ASYNC109
        """The person says that both show the same numbers; returns when the new device has its rooms.

        Raises:
            UsageError: there is no code yet.
            DiscoveryError: the other device's person has not said so within ``timeout`` seconds, or it has gone.
            StoreError: the disk.
        """
        return await self._linking.confirm(timeout)

    def refuse(self) -> None:
        """The person says that the numbers differ: somebody stands between, and nothing is granted. The link ends."""
        self._linking.refuse()

    # --- what the machines tell -------------------------------------------------------------------

    def notified(self, notification: Notification) -> bool:
        """What concerns devices; whether that is all that there is to it."""
        match notification:
            case MessageReceived(room_id, message) if isinstance(message.content, OwnRoomsContent):
                if room_id == self._rooms.own:
                    content = message.content
                    self._do(lambda: self._heard(message.author, content))
            case RosterChanged(room_id, _, _):
                if room_id == self._rooms.own:
                    self._own_rooms.asked()
                self._wake.set()
                return False
            case RoomJoined():
                self._wake.set()
                return False
            case _:
                return self._linking.notified(notification)
        return True

    def _do(self, work: Callable[[], None]) -> None:
        """Later: nothing may act on the machine while it tells."""
        self._work.append(work)
        self._wake.set()

    async def run(self) -> None:
        """What was told to do, and now and then a look at which rooms other devices lack."""
        asks, began = True, self._state.clock.monotonic()
        while self._state.closing is None:
            while self._work:
                self._work.popleft()()
            if self._is_in_own_room() and self._state.machine.connector.relays:
                if asks and self._state.clock.monotonic() >= began + ASK_SECONDS:
                    self._say([], asks=True)
                    asks = False
                self._tell()
            self._wake.clear()
            if self._work:
                continue
            try:
                # Not `wait_for`: woken and cancelled at once, as on closing, that one loses the cancellation.
                async with asyncio.timeout(LOOK_SECONDS if not asks else 1.0):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def close(self, error: RailGunError | None) -> None:
        """Nobody may go on waiting."""
        self._linking.close(error)
        self._wake.set()

    # --- rooms that follow --------------------------------------------------------------------------

    def _is_in_own_room(self) -> bool:
        room = self._own_room()
        wall = self._state.wall()
        return room is not None and room.state(wall).member(self._state.identity.device_key) is not None

    def _own_room(self) -> MemberRoom | None:
        own = self._rooms.own
        room = None if own is None else self._state.machine.rooms.get(own)
        return room if isinstance(room, MemberRoom) else None

    def _say(self, invites: list[str], *, asks: bool = False) -> None:
        room = self._own_room()
        if room is None:
            return
        for content in words(self._state.identity.name, invites, asks=asks):
            try:
                self._state.apply(room, room.send(content, 0, self._state.wall()))
            except (NotMember, UsageError) as error:
                log.info("other devices cannot be told", reason=str(error))

    def _tell(self) -> None:
        """Invite other devices of this person to rooms that they are not in."""
        state, own = self._state, self._own_room()
        if own is None:
            return
        wall = state.wall()
        rooms = [
            room.state(wall)
            for room in state.machine.rooms.values()
            if isinstance(room, MemberRoom) and room is not own
        ]
        invites = []
        for room in self._own_rooms.to_tell(own.state(wall), rooms, state.clock.monotonic()):
            try:
                invites.append(self._invite_to(room.room, len(self._own_rooms.lacking(own.state(wall), room))))
            except (NotMember, UsageError) as error:
                log.info("other devices cannot be invited", room=room.room.hex()[:8], reason=str(error))
        if invites:
            self._say(invites)

    def _invite_to(self, room_id: RoomId, uses: int) -> str:
        """The invite that was made before while it is good, else a new one. Raises NotMember, UsageError."""
        state, wall = self._state, self._state.wall()
        room = state.member_room(room_id)
        kept = self._rows.invite(room_id)
        if kept is not None and is_good(room.state(wall), parse_invite(kept), wall):
            return kept
        made, outcome = room.invite(uses, int(wall) + OWN_ROOM_INVITE_SECONDS, wall)
        contacts = self._rooms.contacts()[:INVITE_CONTACTS_MAX]
        link = format_invite(Invite(network_id(state.network), room_id, made.seed, contacts))
        outcome.writes.append(invite_write(room_id, link))
        state.apply(room, outcome)
        return link

    def _heard(self, author: DeviceKey, content: OwnRoomsContent) -> None:
        own, state = self._own_room(), self._state
        if own is None:
            return
        if content.name and own.state(state.wall()).member(author) is not None:
            self._rows.keep_name(author, content.name)
        if content.asks:
            self._own_rooms.asked()
        held = tuple(state.machine.rooms)
        for invite, link in self._own_rooms.invites_for_us(content, author, own.state(state.wall()), held):
            if len(state.machine.rooms) >= ROOMS_MAX:
                log.warning("a room of another device of yours was not joined: there are too many here")
                return
            log.info("joining a room of another device", room=invite.room.hex()[:8], device=ShortId(author))
            self._rooms.ask_for(invite, link)

    # --- looking, revoking --------------------------------------------------------------------------

    @property
    def holds_root(self) -> bool:
        """Whether this device can link others."""
        return load_root(self._state.store) is not None

    @property
    def root_key(self) -> RootKey:
        """The person's, the same for all of their devices."""
        return self._state.identity.root_key

    def all(self) -> list[DeviceView]:
        """This person's devices as this one knows of them, this one first."""
        identity, counted = self._state.identity, dict[DeviceKey, int]()
        counted[identity.device_key] = 0
        for room in self._member_rooms():
            for device in room.state(self._state.wall()).devices_of(identity.root_key):
                counted[device] = counted.get(device, 0) + (room.room_id != self._rooms.own)
        return sorted(
            (
                DeviceView(device, self._rows.name_of(device), device == identity.device_key, rooms)
                for device, rooms in counted.items()
            ),
            key=lambda view: (not view.is_self, view.device_key),
        )

    def revoke(self, device: DeviceKey) -> list[Revoked]:
        """Put another device of this person out of every room that both are in, for good.

        It reads nothing that is said later: in rooms that this device administers new keys are made at once, in others
        by the next admin who is online.

        Raises:
            UsageError: it is this device.
            NotMember: there is no such device of this person.
            StoreError: the disk.
        """
        state = self._state
        state.check_usable()
        if device == state.identity.device_key:
            raise UsageError("this is the device that you are using: revoke it from another one, or leave its rooms")
        if device not in [view.device_key for view in self.all()]:
            raise NotMember("you have no such device")
        found = []
        for room in self._member_rooms():
            wall = state.wall()
            if room.state(wall).member(device) is None:
                continue
            try:
                state.apply(room, revoke_devices(room, [device], wall))
                reason = None
            except (NotMember, UsageError) as error:
                reason = str(error)
            found.append(Revoked(device, room.room_id, reason))
        # It may hold invites that it has not used yet.
        for room in self._member_rooms():
            self._end_invite(room)
        return found

    def _member_rooms(self) -> list[MemberRoom]:
        wall, me = self._state.wall(), self._state.identity.device_key
        rooms = [room for room in self._state.machine.rooms.values() if isinstance(room, MemberRoom)]
        return [room for room in rooms if room.state(wall).member(me) is not None]

    def _end_invite(self, room: MemberRoom) -> None:
        state, wall = self._state, self._state.wall()
        kept = self._rows.invite(room.room_id)
        if kept is None:
            return
        invite = parse_invite(kept)
        key = public_key_of(invite_key_seed(invite.seed))
        known = next((one for one in room.state(wall).live_invites(wall) if one.invite_key == key), None)
        outcome = RoomOutcome()
        if known is not None:
            me = state.identity.device_key
            outcome = room.file(
                lambda number, previous: InviteEntry(
                    room.room_id, me, number, previous, int(wall), key, known.lobby_secret, 0, known.expires
                ),
                wall,
            )
        outcome.writes.append(invite_write(room.room_id, None))
        state.apply(room, outcome)
