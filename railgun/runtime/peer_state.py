"""What the parts of a member's peer share: its profile, identity, driver, links and machine.

Owns: these, corrected time, whether the peer may still be used. Must not know: what rooms or prekeys are for.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

from railgun.core import room_port
from railgun.core.assembly import build_client
from railgun.core.cover import CoverOptions
from railgun.core.effects import Notification
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.errors import NotMember, RailGunError, UsageError
from railgun.network import NetworkParameters
from railgun.ports import Clock, Entropy
from railgun.runtime.dht_client import DhtClient
from railgun.runtime.driver import Driver
from railgun.runtime.identity import MemberIdentity
from railgun.runtime.member_links import MemberLinks
from railgun.runtime.member_store import StoredMessages, load_reputation, load_seen, room_tools
from railgun.runtime.profile import Profile
from railgun.runtime.system import protocol_dice
from railgun.runtime.traversal import TraversalBook, TraversalServers
from railgun.types import PeerKey, RelayContact, RoomId
from railgun.wire.certificates import CERTIFICATES


class PeerState:
    """See the module. Made by `Peer`; its parts change it only where a comment says so."""

    def __init__(  # noqa: PLR0913, PLR0917  # each a part of its own
        self,
        profile: Profile,
        identity: MemberIdentity,
        network: NetworkParameters,
        bootstrap: Sequence[RelayContact],
        clock: Clock,
        entropy: Entropy,
        cover: CoverOptions,
        notify: Callable[[Notification], None],
        file_bytes_max: int,
        listen: bool,
        servers: TraversalServers,
    ) -> None:
        self.profile = profile
        self.store = profile.store
        self.identity = identity
        """Replaced as a whole by `use_identity`."""
        self.network = network
        self.bootstrap = tuple(bootstrap)
        self.clock = clock
        self.entropy = entropy
        self.cover = cover
        self.file_bytes_max = file_bytes_max
        self.traversal = TraversalBook(servers, is_lan=network.is_lan)
        """STUN and TURN servers that the links of this device may ask."""
        self.archive = StoredMessages(profile.store.message_log)
        self.tools = room_tools(identity, network, entropy, file_bytes_max, self.archive)
        self.certificate = CERTIFICATES.encode(identity.certificate)
        self.failure: RailGunError | None = None
        """What ended the peer; set by `Peer` alone."""
        self.closing: asyncio.Task[None] | None = None
        """The end under way; set by `Peer` alone."""
        self.driver = Driver(clock=clock, store=profile.store, notify=notify)
        self.links = MemberLinks(
            self.driver,
            network,
            clock,
            entropy,
            lambda key: self.machine.direct.is_dialled(PeerKey(key)),
            listen=listen,
            towards=self.bootstrap[0].addresses[0] if self.bootstrap else None,
        )
        self.machine = build_client(
            network=network,
            bootstrap=self.bootstrap,
            entropy=entropy,
            chooser=protocol_dice(entropy),
            cover=cover,
            reputation=load_reputation(profile.store),
            seen=load_seen(profile.store),
        )
        self.dht = DhtClient(self.links, self.machine.connector, protocol_dice(entropy), self.wall)
        self.driver.attach(self.dht)

    def use_identity(self, **changes: object) -> None:
        """Change fields of the identity, and what rooms take from it; call `MemberRoom.use_tools` afterwards."""
        self.identity = dataclasses.replace(self.identity, **changes)  # type: ignore[arg-type]
        self.tools = room_tools(self.identity, self.network, self.entropy, self.file_bytes_max, self.archive)
        self.certificate = CERTIFICATES.encode(self.identity.certificate)

    def check_usable(self) -> None:
        """Raises UsageError once this is closed, and what ended it once it has failed."""
        if self.failure is not None:
            raise self.failure
        if self.closing is not None:
            raise UsageError("this peer is closed")

    def wall(self) -> float:
        """Corrected Unix seconds."""
        now = self.clock.monotonic()
        return self.machine.wall(now) if self.machine.clock.was_read else self.clock.wall()

    def add(self, room: room_port.Room, first: RoomOutcome) -> None:
        """Serve a room, and carry out what it wants first."""
        self.driver.act(lambda now: (None, [*self.machine.add_room(room, now), *self.machine.apply(room, first, now)]))

    def apply(self, room: room_port.Room, outcome: RoomOutcome) -> None:
        """Carry out at once what a call on a room's machine answered."""
        self.driver.act(lambda now: (None, self.machine.apply(room, outcome, now)))

    def member_room(self, room_id: RoomId) -> MemberRoom:
        """The room's machine. Raises NotMember."""
        room = self.machine.rooms.get(room_id)
        if not isinstance(room, MemberRoom):
            raise NotMember("this device is not a member of the room")
        return room
