"""The rooms of a member's peer as its application asks for them: made, joined, found by name, left.

Owns: each room's mail, who waits to be let in, how many epochs were seen. Must not know: links, how the peer ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from railgun.core.contact_book import TABLE as CONTACTS
from railgun.core.effects import Notification, Persist
from railgun.core.generations import Generations, first_generation
from railgun.core.joining import JoiningRoom
from railgun.core.notifications import EpochOpened
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import RemovedFromRoom, RoomJoined
from railgun.core.room_port import RoomOutcome
from railgun.core.room_rows import RoomRow, RoomStatus, room_write
from railgun.core.roster import create_roster
from railgun.core.roster_state import RosterState
from railgun.crypto.network_ids import network_id
from railgun.errors import DiscoveryError, NotMember, RailGunError, UsageError
from railgun.limits import ROOM_NAME_BYTES_MAX, ROOMS_MAX
from railgun.runtime.display_names import RoomNames
from railgun.runtime.logs import Log
from railgun.runtime.member_store import forget_room_writes, load_member, load_rooms
from railgun.runtime.peer_state import PeerState
from railgun.runtime.rendezvous import fit_for_invites
from railgun.runtime.room import Room
from railgun.runtime.room_mail import OUT, RoomMail
from railgun.runtime.room_settings import COVER_MODES
from railgun.types import MessageId, RelayContact, RoomId
from railgun.wire.invites import Invite, parse_invite
from railgun.wire.roster import CreateEntry, RoomSettings

ROOM_NONCE_BYTES = 16
LEAVE_GRACE_SECONDS = 5.0
ID_DIGITS_MIN = 8

log = Log("peer")


class PeerRooms:
    """See the module. `Peer` documents the calls and what they raise."""

    def __init__(self, state: PeerState, view: Callable[[RoomMail], Room]) -> None:
        self._state = state
        self._view = view
        self._mail: dict[RoomId, RoomMail] = {}
        self._joined: dict[RoomId, asyncio.Future[None]] = {}
        self.epochs_seen: dict[RoomId, int] = {}
        self.own: RoomId | None = None
        """The room of this person's devices, which nobody is shown; set by `PeerDevices` alone."""

    def __len__(self) -> int:
        return len(self._mail)

    def load(self) -> None:
        """Serve every room of the profile."""
        state = self._state
        loaded = load_rooms(state.store, state.tools, state.certificate, state.clock.monotonic())
        for room_id, reason in loaded.damaged:
            log.error("room not served: its rows are damaged", room=room_id.hex()[:8], reason=reason)
        for joining in loaded.joining:
            self.epochs_seen[joining.room_id] = 0
            state.add(joining, RoomOutcome())
        for member in loaded.members:
            self._serve(member.room_id)
            if state.identity.device_key in member.state(state.wall()).out:
                self._mail[member.room_id].removed()
            state.add(member, member.resume(state.wall()))
        contacts = state.store.load(CONTACTS)
        state.driver.act(lambda now: (None, state.machine.restore_contacts(contacts, now)))

    def has(self, room_id: RoomId) -> bool:
        """Whether the room is served, and this device still in it."""
        mail = self._mail.get(room_id)
        return mail is not None and not mail.is_removed

    def close(self, error: RailGunError | None) -> None:
        """End every reader, send and wait, with ``error`` or as closed."""
        for mail in self._mail.values():
            mail.close(error)
        for waiting in self._joined.values():
            if not waiting.done():
                waiting.set_exception(error or UsageError("this peer was closed; a later start goes on asking"))
                waiting.exception()  # whoever waited may be gone

    def notified(self, notification: Notification) -> None:
        """What the machine tells of a room."""
        match notification:
            case RoomJoined(room_id, _):
                self._serve(room_id)
                waiting = self._joined.pop(room_id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            case RemovedFromRoom(room_id) if room_id in self._joined:
                asked = self._joined.pop(room_id)
                if not asked.done():
                    asked.set_exception(NotMember(f"{OUT}, and who is out stays out"))
                    asked.exception()  # whoever waited may be gone
            case EpochOpened(room_id, _, _) if room_id in self.epochs_seen:
                self.epochs_seen[room_id] += 1
            case _:
                mail = self._mail.get(getattr(notification, "room_id", RoomId(b"")))
                if mail is not None:
                    mail.notified(notification)

    def create(self, name: str, committee_size: int, closed: bool, cover: str | None) -> Room:
        """See `Peer.create_room`."""
        state = self._state
        state.check_usable()
        self._check_room_for_room()
        if not name.strip() or not name.isprintable():
            raise UsageError("a room needs a name that can be shown")
        if len(name.encode()) > ROOM_NAME_BYTES_MAX:
            raise UsageError(f"a room's name has at most {ROOM_NAME_BYTES_MAX} bytes, this one {len(name.encode())}")
        mode = state.cover.mode if cover is None else COVER_MODES.get(cover)
        if mode is None:
            raise UsageError(f"cover is one of {', '.join(COVER_MODES)}, not {cover!r}")
        wall = int(state.wall())
        try:
            settings = RoomSettings(committee_size=committee_size, cover=mode, closed=closed)
            made = first_generation(state.entropy, wall)
            nonce = state.entropy.random_bytes(ROOM_NONCE_BYTES)
            creation = CreateEntry(
                state.identity.device_key, wall, state.certificate, name, nonce, settings, made.named
            )
            roster, roster_writes = create_roster(state.identity.device_seed, creation)
        except ValueError as error:
            raise UsageError(f"the room cannot be made so: {error}") from error
        generations = Generations(roster.room)
        writes = [*roster_writes, *generations.adopt(made)]
        writes.append(room_write(roster.room, RoomRow(RoomStatus.MEMBER, wall, "")))
        member = MemberRoom(state.tools, roster, generations)
        self._serve(roster.room)
        state.add(member, RoomOutcome(writes))
        return self.room(roster.room)

    async def join(self, link: str, timeout: float | None) -> Room:  # noqa: ASYNC109
        """See `Peer.join`."""
        state = self._state
        state.check_usable()
        invite = parse_invite(link)
        if invite.network != network_id(state.network):
            raise UsageError(
                f"this invite is for another network (id {invite.network.hex()[:16]}) than {state.network.name!r}; "
                "give the file of its network with --network"
            )
        mail = self._mail.get(invite.room)
        if mail is not None:
            if mail.is_removed:
                raise NotMember(f"{OUT}, and who is out stays out")
            return self.room(invite.room)
        if invite.room not in state.machine.rooms:
            self._check_room_for_room()
        waiting = self._joined.get(invite.room)
        if waiting is None or waiting.done():
            waiting = self._joined[invite.room] = asyncio.get_running_loop().create_future()
        asking = state.machine.rooms.get(invite.room)
        if not isinstance(asking, JoiningRoom) or asking.invite.seed != invite.seed or asking.is_out:
            self.ask_for(invite, link)
        try:
            async with asyncio.timeout(timeout):  # wait_for may swallow a cancellation
                await asyncio.shield(waiting)
        except NotMember:
            if invite.room in state.machine.rooms:
                await self.leave(invite.room)  # it would ask again after each start
            raise
        except TimeoutError:
            raise DiscoveryError(
                "nobody has let us in yet: a member of the room must be online, and the invite must still be good; "
                "the request stands, try again later"
            ) from None
        return self.room(invite.room)

    def ask_for(self, invite: Invite, link: str) -> None:
        """Ask to be let in, until somebody answers; `join` waits for that as well."""
        state = self._state
        state.driver.act(lambda _: (None, state.machine.remove_room(invite.room)))
        room = JoiningRoom(state.tools, invite, state.certificate)
        self.epochs_seen[invite.room] = 0
        for contact in invite.contacts:
            self.add_bootstrap(contact)
        row = room_write(invite.room, RoomRow(RoomStatus.JOINING, int(state.wall()), link.strip()))
        state.add(room, RoomOutcome([row]))

    def all(self) -> list[Room]:
        """See `Peer.rooms`."""
        found = [self.room(room_id) for room_id in self._mail if room_id != self.own]
        return sorted(found, key=lambda room: (room.name, room.room_id))

    def room(self, name_or_id: str | RoomId) -> Room:
        """See `Peer.room`."""
        state = self._state
        if isinstance(name_or_id, bytes):
            fits = [room_id for room_id in self._mail if room_id == name_or_id]
        else:
            shown = [room_id for room_id in self._mail if room_id != self.own]
            # Ids first: anybody may choose a room's name, and one that is the start of an id must not stand for it.
            fits = []
            if len(name_or_id) >= ID_DIGITS_MIN:
                fits = [room_id for room_id in shown if room_id.hex().startswith(name_or_id.lower())]
            wall = state.wall()
            fits = fits or [room_id for room_id in shown if state.member_room(room_id).state(wall).name == name_or_id]
        if not fits:
            asked = name_or_id if isinstance(name_or_id, str) else name_or_id.hex()[:16]
            raise NotMember(f"no room {asked!r} here; `railgun room list` shows those that are")
        if len(fits) > 1:
            raise UsageError(f"{len(fits)} rooms are called {name_or_id!r}; name one by the start of its id")
        return self._view(self._mail[fits[0]])

    async def leave(self, room_id: RoomId) -> None:
        """See `Peer.leave`."""
        state = self._state
        state.check_usable()
        room, mail = state.machine.rooms.get(room_id), self._mail.get(room_id)
        # Whoever is out already has nobody to tell.
        if isinstance(room, MemberRoom) and room.state(state.wall()).member(state.identity.device_key) is not None:
            state.apply(room, room.leave(state.wall()))
            if mail is not None:
                await mail.wait_settled(lambda: len(room.conversation.outbox), LEAVE_GRACE_SECONDS)
            state.check_usable()
        if room_id not in state.machine.rooms:
            raise NotMember("this device is not a member of the room")
        erased = Persist(tuple(forget_room_writes(state.store, room_id)))
        state.driver.act(lambda _: (None, [*state.machine.remove_room(room_id), erased]))
        self.epochs_seen.pop(room_id, None)
        state.traversal.forget(room_id)
        if mail is not None:
            del self._mail[room_id]
            mail.close()
        waiting = self._joined.pop(room_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(NotMember("the request to join was taken back"))
            waiting.exception()

    def serve_linked(self, room_id: RoomId) -> None:
        """A room whose rows came from another device of this person. Idempotent."""
        state = self._state
        if room_id in state.machine.rooms:
            return
        member = load_member(state.store, state.tools, room_id, state.clock.monotonic())
        self._serve(room_id)
        state.add(member, member.resume(state.wall()))

    def shown(self) -> dict[RoomId, int]:
        """`epochs_seen` of the rooms that people are shown."""
        return {room_id: count for room_id, count in self.epochs_seen.items() if room_id != self.own}

    def contacts(self) -> tuple[RelayContact, ...]:
        """Relays to start from, linked ones first."""
        machine = self._state.machine
        ads = [ad for ad in machine.directory.directory.newest_ads() if ad.expires > ad.issued]
        ads.sort(key=lambda ad: not machine.connector.is_linked(ad.node_key))
        return tuple(ad.contact() for ad in ads) or self._state.bootstrap

    def invited_rendezvous(self) -> list[str]:
        """Rendezvous servers that the invites name by which this device is being let in."""
        state = self._state
        joining = [room for room in state.machine.rooms.values() if isinstance(room, JoiningRoom)]
        named = [server for room in joining for server in room.invite.rendezvous]
        return fit_for_invites(named, is_lan=state.network.is_lan)

    def add_bootstrap(self, contact: RelayContact) -> None:
        """Another relay to start from."""
        self._state.driver.act(lambda now: (None, self._state.machine.add_bootstrap(contact, now)))

    def _check_room_for_room(self) -> None:
        if len(self._state.machine.rooms) >= ROOMS_MAX:
            raise UsageError(f"{ROOMS_MAX} rooms are the most that one profile serves; leave one first")

    def _serve(self, room_id: RoomId) -> None:
        state = self._state
        own = state.identity

        def roster_state() -> RosterState | None:
            room = state.machine.rooms.get(room_id)
            return room.state(state.wall()) if isinstance(room, MemberRoom) else None

        def missing() -> tuple[MessageId, ...]:
            room = state.machine.rooms.get(room_id)
            return room.gaps.gaps.missing if isinstance(room, MemberRoom) else ()

        names = RoomNames(roster_state, own.device_key, lambda: state.identity.name)
        self._mail[room_id] = RoomMail(room_id, state.profile.store.message_log, own.device_key, names, missing)
        self.epochs_seen.setdefault(room_id, 0)
