"""A member's peer: the profile opened, links up, rooms served. Behind the public API (`railgun.connect`).

Owns: the member's process from opening its profile to closing it; what the application awaits.
Must not know: commands, terminals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from railgun.core.assembly import build_client
from railgun.core.effects import Notification
from railgun.core.generations import Generations, OwnDevice, first_generation
from railgun.core.joining import JoiningRoom
from railgun.core.notifications import ClockCorrected, CommitteeJoined, EpochOpened, NoCommittee
from railgun.core.room import MemberRoom, RoomTools
from railgun.core.room_notifications import RoomJoined
from railgun.core.room_port import RoomOutcome
from railgun.core.room_rows import RoomRow, RoomStatus, room_write
from railgun.core.roster import create_roster
from railgun.crypto.epoch import epoch_start
from railgun.crypto.network_ids import network_id
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import DiscoveryError, NotMember, UsageError
from railgun.limits import ROOMS_MAX
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
)
from railgun.runtime.profile import Profile, open_profile
from railgun.runtime.room import Room, RoomMail
from railgun.runtime.status import PeerStatus, RoomStatusView
from railgun.runtime.system import SystemClock, SystemEntropy, protocol_dice
from railgun.runtime.tasks import Supervisor
from railgun.types import NetworkId, NodeKey, RelayContact, RoomId
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.invites import parse_invite
from railgun.wire.roster import CreateEntry, RoomSettings

JOIN_SECONDS = 60.0
ROOM_NONCE_BYTES = 16
CONNECT_SECONDS = 10.0
LEAVE_GRACE_SECONDS = 5.0

log = Log("peer")


@dataclass(slots=True)
class _RoomFacts:
    epochs_seen: int = 0
    epoch_start: int | None = None
    seats: tuple[NodeKey, ...] = ()
    joined_start: int | None = None


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
    ) -> None:
        self.network = network
        self.identity = identity
        self._profile = profile
        self._store = profile.store
        self._clock = clock
        self._entropy = entropy
        self._bootstrap = tuple(bootstrap)
        self._tools = RoomTools(
            me=OwnDevice(identity.device_key, identity.device_seed, (identity.prekey_secret,)),
            network=network,
            sessions=VodozemacSessions(),
            entropy=entropy,
            pickle_key=identity.pickle_key,
        )
        self._certificate = CERTIFICATES.encode(identity.certificate)
        self._mail: dict[RoomId, RoomMail] = {}
        self._facts: dict[RoomId, _RoomFacts] = {}
        self._joined: dict[RoomId, asyncio.Future[None]] = {}
        self._tasks = Supervisor()
        self._closed = False
        self._clock_corrected_seconds = 0.0
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
            network=network, bootstrap=self._bootstrap, entropy=entropy, chooser=protocol_dice(entropy)
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
        for joining in loaded.joining:
            self._facts[joining.room_id] = _RoomFacts()
            self._add(joining, RoomOutcome())
        for member in loaded.members:
            self._serve(member.room_id)
            self._add(member, member.resume())

    def _add(self, room: MemberRoom | JoiningRoom, first: RoomOutcome) -> None:
        """Serve a room, and carry out what it wants first."""
        self.driver.act(lambda now: (None, [*self.machine.add_room(room, now), *self.machine.apply(room, first, now)]))

    async def aclose(self) -> None:
        """Remember relays, say goodbye, close the profile. Idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._tasks.failed:
                self._remember_relays()
        finally:
            self.driver.stop()
            for mail in self._mail.values():
                mail.close()
            for waiting in self._joined.values():
                waiting.cancel()
            await self._tasks.aclose()
            await self.links.aclose()
            self._profile.close()

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def wait(self) -> None:
        """Until something of the peer fails, and raise that; or until `aclose`."""
        await self._tasks.wait()

    @property
    def network_id(self) -> NetworkId:
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

    # --- rooms ----------------------------------------------------------------------------------

    async def create_room(self, name: str, *, committee_size: int = 5, closed: bool = False) -> Room:
        """Make a room whose only member this is.

        Raises:
            UsageError: too many rooms, or a name or committee size out of range.
        """
        self._check_open()
        self._check_room_for_room()
        wall = int(self._wall())
        try:
            settings = RoomSettings(committee_size=committee_size, closed=closed)
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

        The request outlives the wait: a later `start` goes on asking until the invite is answered or expires.

        Raises:
            MalformedInput: the link is mistyped.
            UsageError: the link is for another network.
            DiscoveryError: nobody answered within ``timeout`` seconds.
        """
        self._check_open()
        invite = parse_invite(link)
        if invite.network != network_id(self.network):
            raise UsageError(
                f"this invite is for another network (id {invite.network.hex()[:16]}) than {self.network.name!r}; "
                "give the file of its network with --network"
            )
        if invite.room in self._mail:
            return self.room(invite.room)
        waiting = self._joined.get(invite.room)
        if waiting is None:
            self._check_room_for_room()
            waiting = self._joined[invite.room] = asyncio.get_running_loop().create_future()
            room = JoiningRoom(self._tools, invite, self._certificate)
            self._facts[invite.room] = _RoomFacts()
            row = room_write(invite.room, RoomRow(RoomStatus.JOINING, int(self._wall()), link.strip()))
            for contact in invite.contacts:
                self._add_bootstrap(contact)
            self._add(room, RoomOutcome([row]))
        try:
            await asyncio.wait_for(asyncio.shield(waiting), timeout)
        except TimeoutError:
            raise DiscoveryError(
                "nobody has let us in yet: a member of the room must be online, and the invite must still be good; "
                "the request stands, try again later"
            ) from None
        return self.room(invite.room)

    def rooms(self) -> list[Room]:
        """Rooms that this device is a member of, by name."""
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
        """Tell the members, then erase all that is here of the room."""
        member = self._member(room_id)
        # Whoever is out already has nobody to tell.
        if member.state(self._wall()).member(self.identity.device_key) is not None:
            self.apply(member, member.leave(self._wall()))
            await self._mail[room_id].wait_settled(member, LEAVE_GRACE_SECONDS)
        self.driver.act(lambda now: (None, self.machine.remove_room(room_id)))
        self._store.commit(forget_room_writes(self._store, room_id))
        self._mail.pop(room_id).close()
        self._facts.pop(room_id, None)

    def _add_bootstrap(self, contact: RelayContact) -> None:
        self.driver.act(lambda now: (None, self.machine.add_bootstrap(contact, now)))

    def apply(self, member: MemberRoom, outcome: RoomOutcome) -> None:
        """Carry out at once what a call on a room's machine answered."""
        self.driver.act(lambda now: (None, self.machine.apply(member, outcome, now)))

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("this peer is closed")

    def _check_room_for_room(self) -> None:
        if len(self.machine.rooms) >= ROOMS_MAX:
            raise UsageError(f"{ROOMS_MAX} rooms are the most that one profile serves; leave one first")

    def _serve(self, room_id: RoomId) -> None:
        self._mail[room_id] = RoomMail(room_id, self._profile.store.message_log, self.identity.device_key)
        self._facts.setdefault(room_id, _RoomFacts())

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
        directory = self.machine.directory
        rooms = []
        for room_id, facts in self._facts.items():
            machine = self.machine.rooms.get(room_id)
            state = machine.state(self._wall()) if isinstance(machine, MemberRoom) else None
            start = epoch_start(self._wall(), room_id, self.network.epoch_seconds)
            tags = [tag for tag in self.machine.tags.of_room(room_id) if tag.keys.start == start]
            attached = tuple(tags[0].attached) if tags else ()
            seats = tags[0].committee.seat_keys if tags else ()
            rooms.append(
                RoomStatusView(
                    room_id=room_id,
                    name=None if state is None else state.name,
                    is_member=state is not None and state.member(self.identity.device_key) is not None,
                    members=0 if state is None else len(state.devices),
                    epoch_start=start,
                    epoch_ends_in_seconds=start + self.network.epoch_seconds - self._wall(),
                    epochs_seen=facts.epochs_seen,
                    seats=seats,
                    attached=attached,
                )
            )
        return PeerStatus(
            device_key=self.identity.device_key,
            network_name=self.network.name,
            relays_known=directory.relays_known,
            relays_linked=len(self.machine.connector.relays),
            clock_correction_seconds=self.machine.clock.correction_seconds,
            mode="volunteers" if any(room.attached for room in rooms) else "offline",
            rooms=tuple(rooms),
        )

    async def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:  # noqa: ASYNC109
        """Until ``condition()`` holds, looked at after every notification; False after ``timeout`` seconds."""
        deadline = self._clock.monotonic() + timeout
        while not condition():
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
            case EpochOpened(room_id, start, seats):
                facts = self._facts.setdefault(room_id, _RoomFacts())
                facts.epochs_seen += 1
                facts.epoch_start, facts.seats = start, seats
            case CommitteeJoined(room_id, _, start, _):
                self._facts.setdefault(room_id, _RoomFacts()).joined_start = start
            case NoCommittee(_, _, known):
                log.warning("no committee: no relay is known or none can be reached", relays_known=known)
            case ClockCorrected(offset, harmful):
                self._clock_corrected_seconds = offset
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
        peer = Peer(opened, identity, chosen, contacts, clock, entropy)
        await peer.start()
    except BaseException:
        opened.close()
        raise
    return peer
