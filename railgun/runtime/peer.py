"""A member's peer: the profile opened, links up, rooms served. Behind the public API (`railgun.connect`).

Owns: the member's process from opening its profile to closing it; what the application awaits.
Must not know: commands, terminals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from railgun.core.client import ClientMachine
from railgun.core.cover import CoverOptions
from railgun.core.effects import Notification
from railgun.core.joining import JoiningRoom
from railgun.core.notifications import ClockCorrected, EpochOpened, NoCommittee
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import FileChanged
from railgun.core.room_port import RoomOutcome
from railgun.crypto.network_ids import network_id
from railgun.errors import RailGunError, StoreError, UsageError
from railgun.limits import FILE_BYTES_DEFAULT_MAX, FILE_BYTES_MAX
from railgun.network import NetworkParameters
from railgun.ports import Clock, Entropy
from railgun.runtime.contact_keeper import ContactKeeper
from railgun.runtime.hint_keeper import HintKeeper
from railgun.runtime.identity import MemberIdentity, load_identity
from railgun.runtime.logs import Log
from railgun.runtime.member_store import load_network, network_write
from railgun.runtime.peer_devices import PeerDevices
from railgun.runtime.peer_files import PeerFiles
from railgun.runtime.peer_people import PeerPeople
from railgun.runtime.peer_prekeys import PrekeyKeeper
from railgun.runtime.peer_records import PeerRecords
from railgun.runtime.peer_rooms import PeerRooms
from railgun.runtime.peer_state import PeerState
from railgun.runtime.profile import Profile, ProfileKind, open_profile
from railgun.runtime.refusals import peer_refusals
from railgun.runtime.remembered import (
    REMEMBER_SECONDS,
    RememberedRelay,
    load_remembered,
    remember_writes,
    seen_relays,
    start_from,
)
from railgun.runtime.rendezvous import RelayFinder, given_rendezvous
from railgun.runtime.room import Room
from railgun.runtime.status import PeerStatus, member_status
from railgun.runtime.system import SystemClock, SystemEntropy, protocol_dice
from railgun.runtime.tag_announcer import TagAnnouncer
from railgun.runtime.tasks import Supervisor
from railgun.runtime.traversal import TraversalServers, given_servers
from railgun.types import Address, NetworkId, RelayContact, RoomId

JOIN_SECONDS = 60.0

log = Log("peer")


class Peer:
    """One member, online. Made by `railgun.connect`; an async context manager; `aclose` is idempotent."""

    def __init__(  # noqa: PLR0913, PLR0917  # each a part of its own
        self,
        profile: Profile,
        identity: MemberIdentity,
        network: NetworkParameters,
        bootstrap: Sequence[RelayContact],
        clock: Clock,
        entropy: Entropy,
        cover: CoverOptions,
        file_bytes_max: int = FILE_BYTES_DEFAULT_MAX,
        listen: bool = False,
        servers: TraversalServers | None = None,
        rendezvous: Sequence[str] = (),
    ) -> None:
        self.shared = PeerState(
            profile,
            identity,
            network,
            bootstrap,
            clock,
            entropy,
            cover,
            self._notified,
            file_bytes_max,
            listen,
            servers or TraversalServers(),
        )
        self._prekeys = PrekeyKeeper(self.shared)
        self._rooms = PeerRooms(self.shared, lambda mail: Room(self, mail))
        self.devices = PeerDevices(self.shared, self._rooms)
        """This person's other devices."""
        self.people = PeerPeople(self.shared)
        """Whom this person has verified."""
        self.files = PeerFiles(self.shared, self._rooms)
        self.records = PeerRecords(self.shared.dht, network, entropy, self.shared.wall)
        """What this peer finds and keeps in the DHT, through its relays."""
        self._announcer = TagAnnouncer(self.shared, self.records, protocol_dice(entropy))
        self._hints = HintKeeper(self.shared, self.records, protocol_dice(entropy))
        self._contacts = ContactKeeper(self.shared, self.records, protocol_dice(entropy))
        self.rendezvous = RelayFinder(
            configured=rendezvous,
            invited=self._rooms.invited_rendezvous,
            network=network_id(network),
            connector=self.machine.connector,
            add_bootstrap=self._rooms.add_bootstrap,
            clock=clock,
            chooser=protocol_dice(entropy),
        )
        """Where relays come from while none can be dialled."""
        self._tasks = Supervisor(self._failed)
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"Peer({self.shared.profile.path}, {len(self._rooms)} rooms)"

    @property
    def network(self) -> NetworkParameters:
        """The network that this peer is in."""
        return self.shared.network

    @property
    def identity(self) -> MemberIdentity:
        """Who this is, with its prekeys as of now."""
        return self.shared.identity

    @property
    def machine(self) -> ClientMachine:
        """The machine that decides; to look at."""
        return self.shared.machine

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go online and serve every room of the profile."""
        shared = self.shared
        await shared.links.start()
        own = shared.links.own(shared.identity.device_key, shared.identity.device_seed)
        if own is not None:
            shared.machine.direct.use(own)
        self._tasks.start("driver", shared.driver.run(shared.machine, shared.links))
        await shared.driver.call(lambda _: (None, []))
        self._tasks.start("prekeys", self._prekeys.run())
        self._tasks.start("remembering", self._keep_remembering())
        self._tasks.start("announcing", self._announcer.run())
        self._tasks.start("contacts", self._contacts.run())
        self._tasks.start("hints", self._hints.run())
        self._rooms.load()
        self._tasks.start("devices", self.devices.run())
        self._tasks.start("files", self.files.run())
        self._tasks.start("rendezvous", self.rendezvous.run())

    async def aclose(self) -> None:
        """Remember relays, say goodbye, close the profile. Idempotent; every call waits for the end.

        Sends under way fail with UsageError (what they said is kept), readers of messages end.

        Raises:
            StoreError: the disk refused the last words; the profile is closed all the same.
        """
        if self.shared.closing is None:
            self.shared.closing = asyncio.get_running_loop().create_task(self._close(), name="peer close")
        # Whoever is cancelled while it waits must not leave the profile half closed.
        await asyncio.shield(self.shared.closing)

    async def _close(self) -> None:
        try:
            if self.shared.failure is None:
                self._remember_relays()
        finally:
            self.shared.driver.stop()
            self._end_waiting(self.shared.failure)
            try:
                await self._tasks.aclose()
                await self.shared.links.aclose()
            finally:
                self.shared.profile.close()

    def _failed(self, error: BaseException) -> None:
        """The driver, or another task, is at its end: nobody may go on waiting for it."""
        self.shared.failure = StoreError(str(error)) if isinstance(error, StoreError) else None
        if self.shared.failure is None:
            self.shared.failure = RailGunError(f"this peer has failed ({type(error).__name__}); its log says more")
        self.shared.driver.stop()
        self._end_waiting(self.shared.failure)

    def _end_waiting(self, error: RailGunError | None) -> None:
        self.shared.dht.close()
        self._rooms.close(error)
        self.devices.close(error)
        self.files.moved()
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
        return self.shared.closing is not None

    @property
    def network_id(self) -> NetworkId:
        """32 bytes: the hash of the network's parameters."""
        return network_id(self.network)

    def known_contacts(self) -> tuple[RelayContact, ...]:
        """Relays to start from, linked ones first."""
        return self._rooms.contacts()

    def _remember_relays(self) -> None:
        store = self.shared.store
        seen = seen_relays(self.machine.directory, None, self.wall())
        # A command may end before any relay has answered: whom it was given must still be known to the next one.
        writes = remember_writes(store, seen or [RememberedRelay(contact, 0) for contact in self.shared.bootstrap])
        if writes:
            store.commit(writes, survives_power_loss=False)

    async def _keep_remembering(self) -> None:
        """So that a crash does not forget by whom to come back."""
        while True:
            await asyncio.sleep(REMEMBER_SECONDS)
            self._remember_relays()

    # --- prekeys --------------------------------------------------------------------------------

    async def rotate_prekey(self) -> None:
        """Make a new X-Wing prekey now and tell every room; otherwise this happens once a week.

        What was copied from this device before opens nothing that is sealed under the new one. Messages stop being
        readable to such a copy with the room's next generation and each sender's next session.

        Raises:
            UsageError: closed, or too many were made within days.
            StoreError: the disk.
        """
        self._prekeys.rotate()

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
        return self._rooms.create(name, committee_size, closed, cover)

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
        return await self._rooms.join(link, timeout)

    def rooms(self) -> list[Room]:
        """Rooms that this device is a member of, or was removed from and has not left yet, by name."""
        return self._rooms.all()

    def room(self, name_or_id: str | RoomId) -> Room:
        """A room by its id (bytes, or a hexadecimal prefix of 8 digits or more) or its name.

        Raises:
            NotMember: there is none.
            UsageError: several fit.
        """
        return self._rooms.room(name_or_id)

    async def leave(self, room_id: RoomId) -> None:
        """Tell the members, for up to 5 s, then erase all that is here of the room; or take back a request to join.

        A device that has left stays out: it cannot be invited again.

        Raises:
            NotMember: no such room is here.
            StoreError: the disk.
        """
        await self._rooms.leave(room_id)

    def apply(self, room: MemberRoom | JoiningRoom, outcome: RoomOutcome) -> None:
        """Carry out at once what a call on a room's machine answered."""
        self.shared.apply(room, outcome)

    def check_usable(self) -> None:
        """Raises UsageError once this is closed, and what ended it once it has failed."""
        self.shared.check_usable()

    def member_room(self, room_id: RoomId) -> MemberRoom:
        """The room's machine, for `Room`. Raises NotMember."""
        return self.shared.member_room(room_id)

    def wall(self) -> float:
        """Corrected Unix seconds."""
        return self.shared.wall()

    # --- status ---------------------------------------------------------------------------------

    def status(self) -> PeerStatus:
        """What is going on, at this moment."""
        wall = self.shared.wall()
        servers = self.shared.traversal.servers(wall)
        return member_status(self.machine, self.identity.device_key, self.network, self._rooms.shown(), wall, servers)

    def refusals(self) -> dict[str, int]:
        """What this peer refused, by kind: in its rooms, of the DHT, from relays. All but ``roster_forks`` since it
        started."""
        rooms = [(view.refused, len(view.forked)) for view in self.status().rooms]
        return peer_refusals(self.machine, self.shared.dht, self.records, self.shared.traversal, rooms)

    async def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:  # noqa: ASYNC109
        """Until ``condition()`` holds, looked at after every notification; False after ``timeout`` seconds.

        Raises UsageError once this is closed, and what ended it once it has failed.
        """
        deadline = self.shared.clock.monotonic() + timeout
        while not condition():
            self.check_usable()
            self._changed.clear()
            wait = deadline - self.shared.clock.monotonic()
            if wait <= 0:
                return False
            try:
                async with asyncio.timeout(min(wait, 0.5)):  # wait_for may swallow a cancellation
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True

    # --- notifications --------------------------------------------------------------------------

    def _notified(self, notification: Notification) -> None:
        self._changed.set()
        match notification:
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
            case FileChanged():
                self.files.moved()
            case _:
                if isinstance(notification, EpochOpened):
                    self._announcer.epoch_opened(notification.room_id, notification.start)
                    self._contacts.epoch_opened(notification.room_id, notification.start)
                    self._hints.epoch_opened(notification.room_id, notification.start)
                if not self.devices.notified(notification):
                    self._rooms.notified(notification)


async def open_peer(  # noqa: PLR0913  # all by keyword, each a part of its own
    profile: str | Path,
    *,
    passphrase: str | None = None,
    key_file: Path | None = None,
    network: NetworkParameters | None = None,
    bootstrap: Sequence[RelayContact] = (),
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    cover: CoverOptions | None = None,
    file_bytes_max: int = FILE_BYTES_DEFAULT_MAX,
    listen: bool | None = None,
    stun: Sequence[Address] = (),
    turn: Sequence[Address] = (),
    rendezvous: Sequence[str] = (),
) -> Peer:
    """Open a profile and go online; see `railgun.connect`."""
    if not 0 <= file_bytes_max <= FILE_BYTES_MAX:
        raise UsageError(f"file_bytes_max is from 0 to {FILE_BYTES_MAX}")
    servers = given_rendezvous(rendezvous)
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    opened = open_profile(Path(profile), entropy, passphrase=passphrase, key_file=key_file)
    try:
        if opened.kind is ProfileKind.RELAY:
            raise UsageError(
                "this profile is a relay's: start it with `railgun node`, and `railgun status` shows what it does"
            )
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
        contacts = start_from(bootstrap, load_remembered(opened.store))
        peer = Peer(
            opened,
            identity,
            chosen,
            contacts,
            clock,
            entropy,
            cover or CoverOptions(),
            file_bytes_max,
            chosen.is_lan if listen is None else listen,
            given_servers(stun, turn, is_lan=chosen.is_lan),
            servers,
        )
    except BaseException:
        opened.close()
        raise
    try:
        await peer.start()
    except BaseException:
        await peer.aclose()
        raise
    return peer
