"""A member's peer: the profile opened, links up, rooms served. Behind the public API (`railgun.connect`).

Owns: the member's process from opening its profile to closing it; what the application awaits.
Must not know: commands, terminals.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from railgun.core.assembly import build_client
from railgun.core.cover import CoverOptions
from railgun.core.effects import Notification, Persist
from railgun.core.generations import Generations, first_generation
from railgun.core.joining import JoiningRoom
from railgun.core.notifications import ClockCorrected, EpochOpened, NoCommittee
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import RoomJoined
from railgun.core.room_port import RoomOutcome
from railgun.core.room_rows import RoomRow, RoomStatus, room_write
from railgun.core.roster import create_roster
from railgun.crypto.network_ids import network_id
from railgun.errors import DiscoveryError, NotMember, RailGunError, StoreError, UsageError
from railgun.limits import CLOCK_CORRECTION_MAX_SECONDS, ROOMS_MAX
from railgun.links.pool import WebRtcLinks
from railgun.links.settings import LinkIdentity, LinkSettings
from railgun.network import NetworkParameters
from railgun.ports import Clock, Entropy
from railgun.runtime.driver import Driver
from railgun.runtime.identity import MemberIdentity, load_identity
from railgun.runtime.logs import Log
from railgun.runtime.member_store import (
    contact_writes,
    forget_room_writes,
    load_contacts,
    load_network,
    load_rooms,
    network_write,
    room_tools,
)
from railgun.runtime.prekeys import (
    OwnPrekey,
    account_write,
    new_prekey_at,
    next_drop_at,
    prekeys_write,
    with_new_prekey,
    without_old_prekeys,
)
from railgun.runtime.profile import Profile, open_profile
from railgun.runtime.room import Room
from railgun.runtime.room_mail import OUT, RoomMail
from railgun.runtime.status import PeerStatus, member_status
from railgun.runtime.system import SystemClock, SystemEntropy, protocol_dice
from railgun.runtime.tasks import Supervisor
from railgun.types import NetworkId, RelayContact, RoomId
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.invites import Invite, parse_invite
from railgun.wire.roster import Cover, CreateEntry, RoomSettings

JOIN_SECONDS = 60.0
ROOM_NONCE_BYTES = 16
PREKEY_CHECK_SECONDS = 600.0
SECRET_BYTES = 32
LEAVE_GRACE_SECONDS = 5.0
COVER_MODES = {mode.name.lower(): mode for mode in Cover}

log = Log("peer")


class Peer:
    """One member, online. Made by `railgun.connect`; an async context manager; `aclose` is idempotent."""

    def __init__(
        self,
        profile: Profile,
        identity: MemberIdentity,
        network: NetworkParameters,
        bootstrap: Sequence[RelayContact],
        clock: Clock,
        entropy: Entropy,
        cover: CoverOptions,
    ) -> None:
        self.network = network
        self.identity = identity
        self._profile = profile
        self._store = profile.store
        self._clock = clock
        self._entropy = entropy
        self._cover = cover
        self._bootstrap = tuple(bootstrap)
        self._tools = room_tools(identity, network, entropy)
        self._certificate = CERTIFICATES.encode(identity.certificate)
        self._mail: dict[RoomId, RoomMail] = {}
        self._epochs_seen: dict[RoomId, int] = {}
        self._joined: dict[RoomId, asyncio.Future[None]] = {}
        self._tasks = Supervisor(self._failed)
        self._failure: RailGunError | None = None
        self._closing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.driver = Driver(clock=clock, store=profile.store, notify=self._notified)
        self.links = WebRtcLinks(
            self.driver,
            LinkIdentity(None, is_relay=False),
            network_id(network),
            clock,
            entropy,
            None,
            None,
            LinkSettings.for_network(network),
        )
        self.machine = build_client(
            network=network, bootstrap=self._bootstrap, entropy=entropy, chooser=protocol_dice(entropy), cover=cover
        )

    def __repr__(self) -> str:
        return f"Peer({self._profile.path}, {len(self._mail)} rooms)"

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go online and serve every room of the profile."""
        await self.links.start()
        self._tasks.start("driver", self.driver.run(self.machine, self.links))
        loaded = load_rooms(self._store, self._tools, self._certificate, self._clock.monotonic())
        for room_id, reason in loaded.damaged:
            log.error("room not served: its rows are damaged", room=room_id.hex()[:8], reason=reason)
        await self.driver.call(lambda _: (None, []))
        self._tasks.start("prekeys", self._keep_prekeys_fresh())
        for joining in loaded.joining:
            self._epochs_seen[joining.room_id] = 0
            self._add(joining, RoomOutcome())
        for member in loaded.members:
            self._serve(member.room_id)
            if member.state(self._wall()).member(self.identity.device_key) is None:
                self._mail[member.room_id].removed()
            self._add(member, member.resume())

    def _add(self, room: MemberRoom | JoiningRoom, first: RoomOutcome) -> None:
        """Serve a room, and carry out what it wants first."""
        self.driver.act(lambda now: (None, [*self.machine.add_room(room, now), *self.machine.apply(room, first, now)]))

    async def aclose(self) -> None:
        """Remember relays, say goodbye, close the profile. Idempotent; every call waits for the end.

        Sends under way fail with UsageError (what they said is kept), readers of messages end.

        Raises:
            StoreError: the disk refused the last words; the profile is closed all the same.
        """
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="peer close")
        # Whoever is cancelled while it waits must not leave the profile half closed.
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            if self._failure is None:
                self._remember_relays()
        finally:
            self.driver.stop()
            self._end_waiting(self._failure)
            try:
                await self._tasks.aclose()
                await self.links.aclose()
            finally:
                self._profile.close()

    def _failed(self, error: BaseException) -> None:
        """The driver, or another task, is at its end: nobody may go on waiting for it."""
        self._failure = StoreError(str(error)) if isinstance(error, StoreError) else None
        if self._failure is None:
            self._failure = RailGunError(f"this peer has failed ({type(error).__name__}); its log says more")
        self.driver.stop()
        self._end_waiting(self._failure)

    def _end_waiting(self, error: RailGunError | None) -> None:
        for mail in self._mail.values():
            mail.close(error)
        for waiting in self._joined.values():
            if not waiting.done():
                waiting.set_exception(error or UsageError("this peer was closed; a later start goes on asking"))
                waiting.exception()  # whoever waited may be gone
        self._changed.set()

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def wait(self) -> None:
        """Until something of the peer fails, and raise that (StoreError: the disk); or until `aclose`.

        A peer that has failed does nothing more: close it, mend what the error names, connect anew.
        """
        await self._tasks.wait()

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._closing is not None

    @property
    def network_id(self) -> NetworkId:
        """32 bytes: the hash of the network's parameters."""
        return network_id(self.network)

    def known_contacts(self) -> tuple[RelayContact, ...]:
        """Relays to start from, linked ones first."""
        ads = [ad for ad in self.machine.directory.directory.newest_ads() if ad.expires > ad.issued]
        ads.sort(key=lambda ad: not self.machine.connector.is_linked(ad.node_key))
        return tuple(ad.contact() for ad in ads) or self._bootstrap

    def _remember_relays(self) -> None:
        known = self.known_contacts()
        if known:
            self._store.commit(contact_writes(self._store, known))

    # --- prekeys --------------------------------------------------------------------------------

    async def rotate_prekey(self) -> None:
        """Make a new X-Wing prekey now and tell every room; otherwise this happens once a week.

        What was copied from this device before opens nothing that is sealed under the new one. Messages stop being
        readable to such a copy with the room's next generation and each sender's next session.

        Raises:
            UsageError: closed, or too many were made within days.
            StoreError: the disk.
        """
        self._check_open()
        secret = self._entropy.random_bytes(SECRET_BYTES)
        prekeys = with_new_prekey(self.identity.prekeys, secret, self._wall())
        account = self._tools.sessions.olm_new_fallback(self.identity.account, self.identity.pickle_key)
        self._use_prekeys(prekeys, account.pickle)

    def _use_prekeys(self, prekeys: tuple[OwnPrekey, ...], account: bytes | None = None) -> None:
        account = self.identity.account if account is None else account
        # Kept before anyone is told of it: what they seal from then on must open, whatever happens to this process.
        self.driver.act(lambda _: (None, [Persist((prekeys_write(prekeys), account_write(account)))]))
        self.identity = dataclasses.replace(self.identity, prekeys=prekeys, account=account)
        self._tools = room_tools(self.identity, self.network, self._entropy)
        for room in list(self.machine.rooms.values()):
            if isinstance(room, MemberRoom | JoiningRoom):
                room.use_tools(self._tools)
                self.apply(room, RoomOutcome())

    async def _keep_prekeys_fresh(self) -> None:
        """A new prekey every week, and the end of old ones' secrets; only while relays say that our clock is right."""
        while self._closing is None:
            prekeys, wall = self.identity.prekeys, self._wall()
            offset = self.machine.clock.measured_offset_seconds
            is_sane = bool(self.machine.connector.relays) and abs(offset or 0.0) < CLOCK_CORRECTION_MAX_SECONDS
            # A profile from before there were fallback keys gets one at once.
            if is_sane and (wall >= new_prekey_at(prekeys) or self._tools.prekey is None):
                await self.rotate_prekey()
            elif is_sane and wall >= next_drop_at(prekeys):
                self._use_prekeys(without_old_prekeys(prekeys, wall))
            await asyncio.sleep(PREKEY_CHECK_SECONDS)

    # --- rooms ----------------------------------------------------------------------------------

    async def create_room(
        self, name: str, *, committee_size: int = 5, closed: bool = False, cover: str | None = None
    ) -> Room:
        """Make a room whose only member this is.

        Args:
            name: 1 to 128 bytes in UTF-8, printable. Others may use the same: the id tells rooms apart.
            committee_size: K, relays that serve it at a time, 3 to 7.
            closed: only admins let people in.
            cover: how much decoy traffic hides when members speak: ``off``, ``steady`` or ``strict``; None for what
                this peer was opened with, by default ``steady``. In ``strict`` whatever a member sends waits for its
                tick (`RoomStatusView.cover` tells how long), and long messages take many.

        Raises:
            UsageError: too many rooms, no such cover, or a name or committee size out of range.
            StoreError: the disk.
        """
        self._check_open()
        self._check_room_for_room()
        if not name.strip() or not name.isprintable():
            raise UsageError("a room needs a name that can be shown")
        mode = self._cover.mode if cover is None else COVER_MODES.get(cover)
        if mode is None:
            raise UsageError(f"cover is one of {', '.join(COVER_MODES)}, not {cover!r}")
        wall = int(self._wall())
        try:
            settings = RoomSettings(committee_size=committee_size, cover=mode, closed=closed)
            made = first_generation(self._entropy, wall)
            nonce = self._entropy.random_bytes(ROOM_NONCE_BYTES)
            creation = CreateEntry(self.identity.device_key, wall, self._certificate, name, nonce, settings, made.named)
            roster, roster_writes = create_roster(self.identity.device_seed, creation)
        except ValueError as error:
            raise UsageError(f"the room cannot be made so: {error}") from error
        generations = Generations(roster.room)
        writes = [*roster_writes, *generations.adopt(made)]
        writes.append(room_write(roster.room, RoomRow(RoomStatus.MEMBER, wall, "")))
        member = MemberRoom(self._tools, roster, generations)
        self._serve(roster.room)
        self._add(member, RoomOutcome(writes))
        return self.room(roster.room)

    async def join(self, link: str, *, timeout: float | None = JOIN_SECONDS) -> Room:  # noqa: ASYNC109
        """Ask to be let in by an invite link, and wait until a member has done so.

        The request outlives the wait and this process: it goes on until it is answered, or `leave` takes it back.
        Asking again with another link to the same room replaces it. A room that this device is in is just returned.

        Args:
            timeout: seconds; None for no limit.

        Raises:
            MalformedInput: the link is mistyped.
            UsageError: the link is for another network, or there are too many rooms.
            NotMember: this device was removed from the room; it stays out.
            DiscoveryError: nobody answered within ``timeout`` seconds.
            StoreError: the disk.
        """
        self._check_open()
        invite = parse_invite(link)
        if invite.network != network_id(self.network):
            raise UsageError(
                f"this invite is for another network (id {invite.network.hex()[:16]}) than {self.network.name!r}; "
                "give the file of its network with --network"
            )
        mail = self._mail.get(invite.room)
        if mail is not None:
            if mail.is_removed:
                raise NotMember(f"{OUT}, and who is out stays out")
            return self.room(invite.room)
        if invite.room not in self.machine.rooms:
            self._check_room_for_room()
        waiting = self._joined.get(invite.room)
        if waiting is None or waiting.done():
            waiting = self._joined[invite.room] = asyncio.get_running_loop().create_future()
        asking = self.machine.rooms.get(invite.room)
        if not isinstance(asking, JoiningRoom) or asking.invite.seed != invite.seed:
            self._ask_for(invite, link)
        try:
            await asyncio.wait_for(asyncio.shield(waiting), timeout)
        except TimeoutError:
            raise DiscoveryError(
                "nobody has let us in yet: a member of the room must be online, and the invite must still be good; "
                "the request stands, try again later"
            ) from None
        return self.room(invite.room)

    def _ask_for(self, invite: Invite, link: str) -> None:
        self.driver.act(lambda _: (None, self.machine.remove_room(invite.room)))
        room = JoiningRoom(self._tools, invite, self._certificate)
        self._epochs_seen[invite.room] = 0
        for contact in invite.contacts:
            self._add_bootstrap(contact)
        row = room_write(invite.room, RoomRow(RoomStatus.JOINING, int(self._wall()), link.strip()))
        self._add(room, RoomOutcome([row]))

    def rooms(self) -> list[Room]:
        """Rooms that this device is a member of, or was removed from and has not left yet, by name."""
        found = [self.room(room_id) for room_id in self._mail]
        return sorted(found, key=lambda room: (room.name, room.room_id))

    def room(self, name_or_id: str | RoomId) -> Room:
        """A room by its id (bytes, or a hexadecimal prefix of 8 digits or more) or its name.

        Raises:
            NotMember: there is none.
            UsageError: several fit.
        """
        if isinstance(name_or_id, bytes):
            fits = [room_id for room_id in self._mail if room_id == name_or_id]
        else:
            fits = [room_id for room_id in self._mail if self._member(room_id).state(self._wall()).name == name_or_id]
            if not fits and len(name_or_id) >= 8:
                fits = [room_id for room_id in self._mail if room_id.hex().startswith(name_or_id.lower())]
        if not fits:
            shown = name_or_id if isinstance(name_or_id, str) else name_or_id.hex()[:16]
            raise NotMember(f"no room {shown!r} here; `railgun room list` shows those that are")
        if len(fits) > 1:
            raise UsageError(f"{len(fits)} rooms are called {name_or_id!r}; name one by the start of its id")
        return Room(self, self._mail[fits[0]])

    async def leave(self, room_id: RoomId) -> None:
        """Tell the members, for up to 5 s, then erase all that is here of the room; or take back a request to join.

        A device that has left stays out: it cannot be invited again.

        Raises:
            NotMember: no such room is here.
            StoreError: the disk.
        """
        self._check_open()
        room, mail = self.machine.rooms.get(room_id), self._mail.get(room_id)
        # Whoever is out already has nobody to tell.
        if isinstance(room, MemberRoom) and room.state(self._wall()).member(self.identity.device_key) is not None:
            self.apply(room, room.leave(self._wall()))
            if mail is not None:
                await mail.wait_settled(lambda: len(room.conversation.outbox), LEAVE_GRACE_SECONDS)
            self._check_open()
        if room_id not in self.machine.rooms:
            raise NotMember("this device is not a member of the room")
        erased = Persist(tuple(forget_room_writes(self._store, room_id)))
        self.driver.act(lambda _: (None, [*self.machine.remove_room(room_id), erased]))
        self._epochs_seen.pop(room_id, None)
        if mail is not None:
            del self._mail[room_id]
            mail.close()
        waiting = self._joined.pop(room_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(NotMember("the request to join was taken back"))
            waiting.exception()

    def _add_bootstrap(self, contact: RelayContact) -> None:
        self.driver.act(lambda now: (None, self.machine.add_bootstrap(contact, now)))

    def apply(self, room: MemberRoom | JoiningRoom, outcome: RoomOutcome) -> None:
        """Carry out at once what a call on a room's machine answered."""
        self.driver.act(lambda now: (None, self.machine.apply(room, outcome, now)))

    def check_usable(self) -> None:
        """Raises UsageError once this is closed, and what ended it once it has failed."""
        if self._failure is not None:
            raise self._failure
        if self._closing is not None:
            raise UsageError("this peer is closed")

    _check_open = check_usable

    def _check_room_for_room(self) -> None:
        if len(self.machine.rooms) >= ROOMS_MAX:
            raise UsageError(f"{ROOMS_MAX} rooms are the most that one profile serves; leave one first")

    def _serve(self, room_id: RoomId) -> None:
        log = self._profile.store.message_log
        self._mail[room_id] = RoomMail(room_id, log, self.identity.device_key, self.identity.name)
        self._epochs_seen.setdefault(room_id, 0)

    def _member(self, room_id: RoomId) -> MemberRoom:
        room = self.machine.rooms.get(room_id)
        if not isinstance(room, MemberRoom):
            raise NotMember("this device is not a member of the room")
        return room

    def member_room(self, room_id: RoomId) -> MemberRoom:
        """The room's machine, for `Room`. Raises NotMember."""
        return self._member(room_id)

    def _wall(self) -> float:
        now = self._clock.monotonic()
        return self.machine.wall(now) if self.machine.clock.was_read else self._clock.wall()

    def wall(self) -> float:
        """Corrected Unix seconds."""
        return self._wall()

    # --- status ---------------------------------------------------------------------------------

    def status(self) -> PeerStatus:
        """What is going on, at this moment."""
        return member_status(self.machine, self.identity.device_key, self.network, self._epochs_seen, self._wall())

    async def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:  # noqa: ASYNC109
        """Until ``condition()`` holds, looked at after every notification; False after ``timeout`` seconds.

        Raises UsageError once this is closed, and what ended it once it has failed.
        """
        deadline = self._clock.monotonic() + timeout
        while not condition():
            self.check_usable()
            self._changed.clear()
            wait = deadline - self._clock.monotonic()
            if wait <= 0:
                return False
            try:
                await asyncio.wait_for(self._changed.wait(), min(wait, 0.5))
            except TimeoutError:
                continue
        return True

    # --- notifications --------------------------------------------------------------------------

    def _notified(self, notification: Notification) -> None:
        self._changed.set()
        match notification:
            case RoomJoined(room_id, _):
                self._serve(room_id)
                waiting = self._joined.pop(room_id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            case EpochOpened(room_id, _, _) if room_id in self._epochs_seen:
                self._epochs_seen[room_id] += 1
            case NoCommittee(_, _, known):
                # Every start passes through this before the first relay has answered.
                tell = log.warning if known else log.info
                tell("no committee: no relay is known or none can be reached", relays_known=known)
            case ClockCorrected(offset, harmful):
                if harmful:
                    log.warning(
                        "this machine's clock is off; set it right (rail gun corrects its own view meanwhile)",
                        offset_seconds=round(offset, 1),
                    )
            case _:
                mail = self._mail.get(getattr(notification, "room_id", RoomId(b"")))
                if mail is not None:
                    mail.notified(notification)


async def open_peer(
    profile: str | Path,
    *,
    passphrase: str | None = None,
    key_file: Path | None = None,
    network: NetworkParameters | None = None,
    bootstrap: Sequence[RelayContact] = (),
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    cover: CoverOptions | None = None,
) -> Peer:
    """Open a profile and go online; see `railgun.connect`."""
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    opened = open_profile(Path(profile), entropy, passphrase=passphrase, key_file=key_file)
    try:
        identity = load_identity(opened.store)
        kept = load_network(opened.store)
        if network is not None and kept is not None and network != kept:
            raise UsageError(
                f"this profile belongs to the network {kept.name!r}, not {network.name!r}; use another profile for it"
            )
        chosen = network or kept
        if chosen is None:
            raise UsageError("this profile has no network yet: name its file with --network FILE")
        if kept is None:
            opened.store.commit([network_write(chosen)])
        contacts = list(bootstrap) + [item for item in load_contacts(opened.store) if item not in bootstrap]
        peer = Peer(opened, identity, chosen, contacts, clock, entropy, cover or CoverOptions())
    except BaseException:
        opened.close()
        raise
    try:
        await peer.start()
    except BaseException:
        await peer.aclose()
        raise
    return peer
