"""A person's devices: linking a new one, the room that is theirs alone, rooms that follow, revoking one.

Owns: the link under way, the row that names the devices' own room, what each device calls itself.
Must not know: how people compare codes, terminals, links to relays. Spec: docs/spec/devices.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from railgun.core.device_link import (
    DeviceCertified,
    DeviceConsented,
    LinkCodeShown,
    LinkEnded,
    RoomLinked,
)
from railgun.core.device_link_host import HostLink
from railgun.core.device_link_new import NewDevice, NewDeviceLink
from railgun.core.effects import Notification, Persist
from railgun.core.own_devices import admit_device, revoke_devices
from railgun.core.own_rooms import OWN_ROOM_NAME, OwnRooms, is_good, words
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import MessageReceived, RoomJoined, RosterChanged
from railgun.core.room_port import RoomOutcome
from railgun.crypto.identity import invite_key_seed
from railgun.crypto.network_ids import network_id
from railgun.crypto.signing import public_key_of
from railgun.errors import DiscoveryError, MalformedInput, NotMember, RailGunError, UsageError
from railgun.limits import DEVICE_LINK_SECONDS, INVITE_CONTACTS_MAX, OWN_ROOM_INVITE_SECONDS, ROOMS_MAX
from railgun.ports import Write
from railgun.runtime.identity import CERTIFICATE_SECONDS, linked_writes, load_root
from railgun.runtime.logs import Log, ShortId
from railgun.runtime.peer_rooms import PeerRooms
from railgun.runtime.peer_state import PeerState
from railgun.types import DeviceKey, RelayContact, RoomId, RootKey
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.content import OwnRoomsContent
from railgun.wire.device_link import DeviceLink, Grant, format_device_link, parse_device_link
from railgun.wire.invites import Invite, format_invite, parse_invite
from railgun.wire.roster import InviteEntry

TABLE = "settings"
OWN_ROOM_KEY = b"own-room"
NAME_KEY = b"device-name "
INVITE_KEY = b"own-room-invite "
LOOK_SECONDS = 15.0
COMMITTEE_SIZE = 3
SEED_BYTES = 32

log = Log("devices")


@dataclass(frozen=True, slots=True)
class LinkCode:
    """What both devices show: three numbers, and on the old one what the new one calls itself."""

    numbers: tuple[int, int, int]
    name: str


@dataclass(frozen=True, slots=True)
class LinkResult:
    """``device`` was linked, and is in ``rooms``; ``missing`` are rooms that did not come in time."""

    device: DeviceKey
    rooms: tuple[RoomId, ...]
    missing: tuple[RoomId, ...]


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


class _Link:
    """One link under way, as its person waits for it."""

    def __init__(self, machine: HostLink | NewDeviceLink) -> None:
        loop = asyncio.get_running_loop()
        self.machine = machine
        self.code: asyncio.Future[LinkCode] = loop.create_future()
        self.ended: asyncio.Future[LinkEnded] = loop.create_future()
        self.rooms: list[RoomId] = []

    def fail(self, error: RailGunError) -> None:
        for future in (self.code, self.ended):
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waited may be gone


class PeerDevices:
    """See the module; `Peer.devices`."""

    def __init__(self, state: PeerState, rooms: PeerRooms, add_bootstrap: Callable[[RelayContact], None]) -> None:
        self._state = state
        self._rooms = rooms
        self._add_bootstrap = add_bootstrap
        self._link: _Link | None = None
        self._work: deque[Callable[[], Coroutine[Any, Any, None] | None]] = deque()
        self._wake = asyncio.Event()
        self._own_rooms = self._make_own_rooms()
        row = state.store.get(TABLE, OWN_ROOM_KEY)
        rooms.own = None if row is None else RoomId(row)

    def _make_own_rooms(self) -> OwnRooms:
        identity = self._state.identity
        return OwnRooms(identity.device_key, identity.root_key, network_id(self._state.network))

    # --- linking ----------------------------------------------------------------------------------

    def start_link(self) -> str:
        """Make a link for a new device, good for 15 minutes; it is secret for as long as it is good. A link that was
        under way ends. Next: `code`, and `confirm`.

        Raises:
            UsageError: the root key is not on this device, or no relay is known.
            StoreError: the disk.
        """
        state = self._state
        state.check_usable()
        root = load_root(state.store)
        if root is None:
            raise UsageError(
                "your root key is not on this device, as it was linked itself: link new ones from the first device"
            )
        contacts = self._rooms.contacts()[:INVITE_CONTACTS_MAX]
        if not contacts:
            raise UsageError("no relay is known to start from: give --bootstrap CONTACT")
        if self._rooms.own is None:
            room = self._rooms.create(OWN_ROOM_NAME, COMMITTEE_SIZE, True, "off")
            self._keep(Write(TABLE, OWN_ROOM_KEY, room.room_id))
            self._rooms.own = room.room_id
        link = DeviceLink(network_id(state.network), state.entropy.random_bytes(SEED_BYTES), contacts)
        now = state.clock.monotonic()
        self._begin(HostLink(link, root, state.network, state.tools.sessions, now=now))
        return format_device_link(link)

    def start_join(self, text: str) -> None:
        """Become a device of whoever made this link. Next: `code`, and `confirm`.

        Raises:
            UsageError: not such a link, one of another network, or this profile is somebody's already: it has rooms.
        """
        state = self._state
        state.check_usable()
        try:
            link = parse_device_link(text)
        except MalformedInput as error:
            raise UsageError(error.detail) from error
        if link.network != network_id(state.network):
            raise UsageError(
                f"this link is for another network (id {link.network.hex()[:16]}): give its --network FILE"
            )
        if load_root(state.store) is not None and state.machine.rooms:
            raise UsageError("this profile is in rooms of its own: link a new one, made by `railgun init`")
        record, identity = state.tools.prekey, state.identity
        if record is None:
            raise UsageError("this profile has no prekey yet: try again in a moment")
        for contact in link.contacts:
            self._add_bootstrap(contact)
        account = state.tools.sessions.olm_account(identity.account, identity.pickle_key)
        device = NewDevice(state.tools.me, record, account.identity_key, identity.name)
        now, wall = state.clock.monotonic(), state.wall()
        sessions = state.tools.sessions
        self._begin(NewDeviceLink(link, device, state.network, sessions, self._grant_writes, now=now, wall=wall))

    def _grant_writes(self, grant: Grant) -> list[Write]:
        writes = list(linked_writes(grant.certificate))
        if grant.rooms:
            writes.append(Write(TABLE, OWN_ROOM_KEY, grant.rooms[0]))
        return writes

    def _begin(self, machine: HostLink | NewDeviceLink) -> None:
        self._drop_link(UsageError("another link was begun"))
        self._link = _Link(machine)
        self._state.add(machine, RoomOutcome())

    def _drop_link(self, error: RailGunError) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.fail(error)
            machine = self._state.machine
            self._state.driver.act(lambda _: (None, machine.remove_room(link.machine.room_id)))

    async def code(self, timeout: float = DEVICE_LINK_SECONDS) -> LinkCode:  # noqa: ASYNC109
        """What both devices show, once both are there.

        Raises:
            UsageError: no link is under way, or another was begun.
            DiscoveryError: the other device did not come within ``timeout`` seconds.
        """
        link = self._current()
        try:
            return await asyncio.wait_for(asyncio.shield(link.code), timeout)
        except TimeoutError:
            raise DiscoveryError("the other device has not come: start both within 15 minutes, with one link") from None

    async def confirm(self, timeout: float = DEVICE_LINK_SECONDS) -> LinkResult:  # noqa: ASYNC109
        """The person says that both show the same numbers; returns when the new device has its rooms.

        Raises:
            UsageError: there is no code yet.
            DiscoveryError: the other device's person has not said so within ``timeout`` seconds, or it has gone.
            StoreError: the disk.
        """
        link, state = self._current(), self._state
        state.check_usable()
        machine = link.machine
        now, wall = state.clock.monotonic(), state.wall()
        if isinstance(machine, HostLink):
            link.rooms = self._rooms_to_grant()
            state.apply(machine, machine.confirm(link.rooms, int(wall) + CERTIFICATE_SECONDS, now, wall))
        else:
            state.apply(machine, machine.confirm(now, wall))
        try:
            ended = await asyncio.wait_for(asyncio.shield(link.ended), timeout)
        except TimeoutError:
            ended = None
        if ended is None or ended.device is None:
            raise DiscoveryError(
                "the other device has not confirmed in time, and is not linked: begin anew with a new link"
            )
        rooms = tuple(room for room in link.rooms if room not in ended.missing)
        return LinkResult(ended.device, rooms, ended.missing)

    def refuse(self) -> None:
        """The person says that the numbers differ: somebody stands between, and nothing is granted. The link ends."""
        if self._link is not None and isinstance(self._link.machine, HostLink):
            self._link.machine.turn_away(self._state.clock.monotonic())
        self._drop_link(UsageError("the numbers differ: nothing was granted"))

    def _current(self) -> _Link:
        if self._link is None:
            raise UsageError("no link to a new device is under way")
        return self._link

    def _rooms_to_grant(self) -> list[RoomId]:
        """The devices' own room first, then all that there are keys of."""
        wall, me = self._state.wall(), self._state.identity.device_key
        found = [
            room.room_id
            for room in self._state.machine.rooms.values()
            if isinstance(room, MemberRoom)
            and room.state(wall).member(me) is not None
            and room.sending_keys(wall) is not None
        ]
        return sorted(found, key=lambda room_id: room_id != self._rooms.own)[:ROOMS_MAX]

    # --- what the machines tell -------------------------------------------------------------------

    def notified(self, notification: Notification) -> bool:
        """What concerns devices; whether that is all that there is to it."""
        match notification:
            case LinkCodeShown(room_id, code, name):
                link = self._link_of(room_id)
                if link is not None and not link.code.done():
                    link.code.set_result(LinkCode(code, name))
            case DeviceConsented():
                self._do(lambda: self._hand_over(notification))
            case DeviceCertified(_, certificate):
                self._do(lambda: self._certified(certificate))
            case RoomLinked(room_id, linked):
                link = self._link_of(room_id)
                if link is not None:
                    link.rooms.append(linked)
                self._do(lambda: self._rooms.serve_linked(linked))
            case LinkEnded(room_id, _, _):
                self._do(lambda: self._ended(notification))
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
                return False
        return True

    def _link_of(self, room_id: RoomId) -> _Link | None:
        return self._link if self._link is not None and self._link.machine.room_id == room_id else None

    def _do(self, work: Callable[[], Coroutine[Any, Any, None] | None]) -> None:
        """Later: nothing may act on the machine while it tells."""
        self._work.append(work)
        self._wake.set()

    async def run(self) -> None:
        """What was told to do, and now and then a look at which rooms other devices lack."""
        asks = True
        while self._state.closing is None:
            while self._work:
                waits = self._work.popleft()()
                if waits is not None:
                    await waits
            if self._is_in_own_room() and self._state.machine.connector.relays:
                if asks:
                    self._say([], asks=True)
                    asks = False
                self._tell()
            self._wake.clear()
            if self._work:
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS if not asks else 1.0)
            except TimeoutError:
                continue

    def close(self, error: RailGunError | None) -> None:
        """Nobody may go on waiting."""
        if self._link is not None:
            self._link.fail(error or UsageError("this peer was closed"))
        self._wake.set()

    def _hand_over(self, consented: DeviceConsented) -> None:
        """Let the new device into every room that it agreed to be in."""
        link, state = self._link_of(consented.room_id), self._state
        if link is None or not isinstance(link.machine, HostLink):
            return
        host, wall = link.machine, state.wall()
        keys = host.sending_keys(wall)
        if link.code.done() and link.code.exception() is None and link.code.result().name:
            self._keep_name(consented.record.device, link.code.result().name)
        for room_id, proof in consented.proofs:
            try:
                room = state.member_room(room_id)
                if keys is None:
                    raise UsageError("the link has no keys")
                handed = admit_device(room, consented.certificate, proof, consented.record, keys, wall)
            except RailGunError as error:
                log.warning("a room was not handed over", room=room_id.hex()[:8], reason=str(error))
                continue
            state.apply(room, handed.outcome)
            state.apply(host, host.hand_over(room_id, handed.chunks, state.clock.monotonic()))

    def _certified(self, certificate: bytes) -> None:
        self._state.use_identity(certificate=CERTIFICATES.decode(certificate))
        self._own_rooms = self._make_own_rooms()
        row = self._state.store.get(TABLE, OWN_ROOM_KEY)
        self._rooms.own = None if row is None else RoomId(row)

    def _ended(self, ended: LinkEnded) -> None:
        link = self._link_of(ended.room_id)
        if link is not None and not link.ended.done():
            link.ended.set_result(ended)
        if ended.device is not None:
            self._own_rooms.asked()

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
            self._state.apply(room, room.send(content, 0, self._state.wall()))

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
        kept = state.store.get(TABLE, INVITE_KEY + room_id)
        if kept is not None and is_good(room.state(wall), parse_invite(kept.decode("ascii")), wall):
            return kept.decode("ascii")
        made, outcome = room.invite(uses, int(wall) + OWN_ROOM_INVITE_SECONDS, wall)
        contacts = self._rooms.contacts()[:INVITE_CONTACTS_MAX]
        link = format_invite(Invite(network_id(state.network), room_id, made.seed, contacts))
        outcome.writes.append(Write(TABLE, INVITE_KEY + room_id, link.encode("ascii")))
        state.apply(room, outcome)
        return link

    def _heard(self, author: DeviceKey, content: OwnRoomsContent) -> None:
        own, state = self._own_room(), self._state
        if own is None:
            return
        if content.name and own.state(state.wall()).member(author) is not None:
            self._keep_name(author, content.name)
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
                DeviceView(device, self._name_of(device), device == identity.device_key, rooms)
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
        kept = state.store.get(TABLE, INVITE_KEY + room.room_id)
        if kept is None:
            return
        invite = parse_invite(kept.decode("ascii"))
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
        outcome.writes.append(Write(TABLE, INVITE_KEY + room.room_id, None))
        state.apply(room, outcome)

    # --- rows ---------------------------------------------------------------------------------------

    def _keep(self, write: Write) -> None:
        self._state.driver.act(lambda _: (None, [Persist((write,))]))

    def _keep_name(self, device: DeviceKey, name: str) -> None:
        if self._state.store.get(TABLE, NAME_KEY + device) != name.encode():
            self._keep(Write(TABLE, NAME_KEY + device, name.encode()))

    def _name_of(self, device: DeviceKey) -> str:
        if device == self._state.identity.device_key:
            return self._state.identity.name
        kept = self._state.store.get(TABLE, NAME_KEY + device)
        return "" if kept is None else kept.decode(errors="replace")
