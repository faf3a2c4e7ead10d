"""Real relays and members of the public API in one process, on 127.0.0.1, over WebRTC.

Must not know: machines' insides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from railgun import Message, NetworkKind, NetworkParameters, Peer, Room
from railgun.limits import HISTORY_PAGE_MAX
from railgun.links.pool import ListenAt
from railgun.ports import Clock
from railgun.runtime.identity import create_member_profile
from railgun.runtime.peer import open_peer
from railgun.runtime.relay_host import RelayHost, RelayKeys
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.types import Address, RelayContact, Role

WAIT_SECONDS = 20.0


def network_of(epoch_seconds: int = 600, overlap_seconds: int = 120, name: str = "api lab") -> NetworkParameters:
    return NetworkParameters(
        name=name, kind=NetworkKind.LAN, epoch_seconds=epoch_seconds, overlap_seconds=overlap_seconds
    )


class Lab:
    """A network of relays, and members that come and go."""

    def __init__(self, directory: Path, network: NetworkParameters) -> None:
        self.directory = directory
        self.network = network
        self.relays: list[RelayHost] = []
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self._peers: list[Peer] = []

    @property
    def bootstrap(self) -> list[RelayContact]:
        return [relay.contact for relay in self.relays[:1]]

    async def add_relay(self, roles: Role = Role.RELAY) -> RelayHost:
        relay = await RelayHost.start(
            keys=RelayKeys.generate(self.entropy, self.clock),
            network=self.network,
            listen=ListenAt("127.0.0.1", 0),
            bootstrap=self.bootstrap,
            clock=self.clock,
            entropy=self.entropy,
            roles=roles,
        )
        self.relays.append(relay)
        return relay

    def profile(self, name: str) -> Path:
        path = self.directory / name
        if not path.exists():
            create_member_profile(path, self.entropy, self.clock, name=name)
        return path

    async def connect(
        self, name: str, clock: Clock | None = None, *, stun: Sequence[Address] = (), turn: Sequence[Address] = ()
    ) -> Peer:
        """A member, new or as it was left, that knows all relays."""
        peer = await open_peer(
            self.profile(name),
            network=self.network,
            bootstrap=self.bootstrap,
            clock=clock or self.clock,
            stun=stun,
            turn=turn,
        )
        self._peers.append(peer)
        assert await peer.wait_until(lambda: peer.status().relays_known >= len(self.relays), WAIT_SECONDS)
        return peer

    async def room_of(
        self, *peers: Peer, name: str = "ops", committee_size: int = 3, cover: str = "steady"
    ) -> list[Room]:
        """A room of all of them, each attached and knowing of all."""
        room = await peers[0].create_room(name, committee_size=committee_size, cover=cover)
        if len(peers) > 1:
            link = room.invite(uses=len(peers) - 1)
            await asyncio.gather(*(peer.join(link) for peer in peers[1:]))
        for peer in peers:
            await settled(peer, room, len(peers))
            await knows_names(peer, room, len(peers))
        return [peer.room(room.room_id) for peer in peers]

    async def aclose(self) -> None:
        for peer in self._peers:
            await peer.aclose()
        for relay in self.relays:
            await relay.aclose()


async def settled(peer: Peer, room: Room, members: int) -> None:
    """Until ``peer`` is attached to the room's seats and knows of so many members."""

    def done() -> bool:
        found = [view for view in peer.status().rooms if view.room_id == room.room_id]
        return bool(found) and found[0].members == members and len(found[0].attached) > 0

    assert await peer.wait_until(done, WAIT_SECONDS), peer.status()


async def knows_names(peer: Peer, room: Room, members: int) -> None:
    """Until so many members have told the room their names, which they do once they are in."""

    def done() -> bool:
        return len(peer.member_room(room.room_id).state(peer.wall()).names) == members

    assert await peer.wait_until(done, WAIT_SECONDS), room.members()


async def texts_of(room: Room, count: int, timeout_seconds: float = WAIT_SECONDS) -> list[str]:
    """The next so many messages."""
    found: list[Message] = []
    reader = room.messages()
    async with asyncio.timeout(timeout_seconds):
        while len(found) < count:
            found.append(await anext(reader))
    return [message.text for message in found]


def whole_history(room: Room) -> list[Message]:
    """All messages, oldest first, page by page: a single page leaves the oldest out once a room has more."""
    found: list[Message] = []
    while page := room.history(HISTORY_PAGE_MAX, before=found[0].message_id if found else None):
        found = page + found
    return found


async def hears(room: Room, text: str) -> None:
    """Read until somebody has said this."""
    async with asyncio.timeout(WAIT_SECONDS):
        async for message in room.messages():
            if message.text == text:
                return
    raise AssertionError(f"the room ended before anyone said {text!r}")


@asynccontextmanager
async def lab(directory: Path, *, relays: int = 3, network: NetworkParameters | None = None) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        made = Lab(directory, network or network_of())
        stack.push_async_callback(made.aclose)
        for _ in range(relays):
            await made.add_relay()
        yield made


def texts(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages]
