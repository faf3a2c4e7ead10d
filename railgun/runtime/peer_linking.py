"""Linking a new device, from either end: a link, a code that people compare, and the rooms that come over.

Owns: the one link under way, and what its person waits for. Must not know: how people compare codes, which rooms follow
later, terminals. Spec: docs/spec/devices.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from railgun.core.device_link import DeviceCertified, DeviceConsented, LinkCodeShown, LinkEnded, RoomLinked
from railgun.core.device_link_host import HostLink
from railgun.core.device_link_new import NewDevice, NewDeviceLink
from railgun.core.effects import Notification
from railgun.core.own_devices import admit_device
from railgun.core.own_rooms import OWN_ROOM_NAME
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.crypto.network_ids import network_id
from railgun.errors import DiscoveryError, MalformedInput, RailGunError, UsageError
from railgun.limits import DEVICE_LINK_SECONDS, INVITE_CONTACTS_MAX, ROOMS_MAX
from railgun.ports import Write
from railgun.runtime.device_rows import DeviceRows, own_room_write
from railgun.runtime.identity import CERTIFICATE_SECONDS, linked_writes, load_root
from railgun.runtime.logs import Log
from railgun.runtime.peer_rooms import PeerRooms
from railgun.runtime.peer_state import PeerState
from railgun.types import DeviceKey, RoomId
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.device_link import DeviceLink, Grant, format_device_link, parse_device_link

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


class DeviceLinking:
    """See the module; a part of `railgun.runtime.peer_devices.PeerDevices`."""

    def __init__(
        self,
        state: PeerState,
        rooms: PeerRooms,
        rows: DeviceRows,
        later: Callable[[Callable[[], None]], None],
        changed: Callable[[], None],
    ) -> None:
        """``later`` does something once the machines have had their say; ``changed``: who is whose is different now."""
        self._state = state
        self._rooms = rooms
        self._rows = rows
        self._later = later
        self._changed = changed
        self._link: _Link | None = None

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
            self._rows.keep_own_room(room.room_id)
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
        if state.machine.rooms:
            raise UsageError("this profile is in rooms already: link a new one, made by `railgun init`")
        record, identity = state.tools.prekey, state.identity
        if record is None:
            raise UsageError("this profile has no prekey yet: try again in a moment")
        for contact in link.contacts:
            self._rooms.add_bootstrap(contact)
        account = state.tools.sessions.olm_account(identity.account, identity.pickle_key)
        device = NewDevice(state.tools.me, record, account.identity_key, identity.name)
        now, wall = state.clock.monotonic(), state.wall()
        sessions = state.tools.sessions
        self._begin(NewDeviceLink(link, device, state.network, sessions, self._grant_writes, now=now, wall=wall))

    def _grant_writes(self, grant: Grant) -> list[Write]:
        writes = list(linked_writes(grant.certificate))
        if grant.rooms:
            writes.append(own_room_write(grant.rooms[0]))
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
            async with asyncio.timeout(timeout):  # wait_for may swallow a cancellation
                return await asyncio.shield(link.code)
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
            async with asyncio.timeout(timeout):
                ended = await asyncio.shield(link.ended)
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
        """What concerns a link; whether it did."""
        match notification:
            case LinkCodeShown(room_id, code, name):
                link = self._link_of(room_id)
                if link is not None and not link.code.done():
                    link.code.set_result(LinkCode(code, name))
            case DeviceConsented():
                self._later(lambda: self._hand_over(notification))
            case DeviceCertified(_, certificate):
                self._later(lambda: self._certified(certificate))
            case RoomLinked(room_id, linked):
                link = self._link_of(room_id)
                if link is not None:
                    link.rooms.append(linked)
                self._later(lambda: self._rooms.serve_linked(linked))
            case LinkEnded():
                self._later(lambda: self._ended(notification))
            case _:
                return False
        return True

    def close(self, error: RailGunError | None) -> None:
        """Nobody may go on waiting."""
        if self._link is not None:
            self._link.fail(error or UsageError("this peer was closed"))

    def _link_of(self, room_id: RoomId) -> _Link | None:
        return self._link if self._link is not None and self._link.machine.room_id == room_id else None

    def _hand_over(self, consented: DeviceConsented) -> None:
        """Let the new device into every room that it agreed to be in."""
        link, state = self._link_of(consented.room_id), self._state
        if link is None or not isinstance(link.machine, HostLink):
            return
        host, wall = link.machine, state.wall()
        keys = host.sending_keys(wall)
        if link.code.done() and link.code.exception() is None and link.code.result().name:
            self._rows.keep_name(consented.record.device, link.code.result().name)
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
        self._rooms.own = self._rows.own_room()
        self._changed()

    def _ended(self, ended: LinkEnded) -> None:
        link = self._link_of(ended.room_id)
        if link is not None and not link.ended.done():
            link.ended.set_result(ended)
        if ended.device is not None:
            self._changed()
