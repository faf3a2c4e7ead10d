"""What the proofs of requirements share: taps on real relays, and clients that hold a room's keys and nothing else.

Owns: recording what a relay takes and gives, waiting for events, bare subscribers. Must not know: what is proved.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from railgun import Peer, Room
from railgun.core.committee import Committee, rank_for_handle
from railgun.core.effects import Effects, SendFrame
from railgun.core.events import Event, FrameReceived
from railgun.core.tag_client import TagClient
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.network_ids import network_id
from railgun.crypto.receipts import sign_subscription
from railgun.errors import LinkError
from railgun.links.pool import WebRtcLinks
from railgun.links.settings import LinkIdentity, LinkSettings
from railgun.ports import LinkUp
from railgun.runtime.relay_host import RelayHost
from railgun.types import Handle, NodeKey, PeerKey
from railgun.wire.frames import (
    FRAMES,
    Deliver,
    Frame,
    Publish,
    Receipt,
    Refused,
    SeatPush,
    Subscribe,
    SubscriptionMode,
    TagDescriptor,
)
from tests.support.api_lab import WAIT_SECONDS, Lab, settled

NO_INCARNATION = bytes(8)


def envelope_of(frame: Frame) -> bytes | None:
    """The envelope that a frame carries, if it carries one."""
    return frame.envelope if isinstance(frame, Publish | SeatPush | Deliver) else None


class Tap:
    """All frames that a relay takes and gives from now on, as its machine sees them."""

    def __init__(self, relay: RelayHost) -> None:
        self.received: list[tuple[PeerKey, Frame]] = []
        self.sent: list[tuple[PeerKey, Frame]] = []
        self._handle = relay.machine.handle
        relay.machine.handle = self._tapped  # type: ignore[method-assign]

    def _tapped(self, event: Event, now: float) -> Effects:
        if isinstance(event, FrameReceived):
            self.received.append((event.peer, event.frame))
        effects = self._handle(event, now)
        for effect in effects:
            if isinstance(effect, SendFrame):
                self.sent += [(peer, effect.frame) for peer in effect.peers]
        return effects

    def envelopes(self) -> list[bytes]:
        """Every envelope seen, on its way in or out."""
        frames = [frame for _, frame in (*self.received, *self.sent)]
        return [envelope for frame in frames if (envelope := envelope_of(frame)) is not None]

    def published(self) -> list[bytes]:
        """Envelopes that clients brought."""
        return [frame.envelope for _, frame in self.received if isinstance(frame, Publish)]


def published_sizes(taps: Sequence[Tap]) -> Counter[int]:
    """How many different envelopes of each size clients have brought."""
    return Counter(len(envelope) for envelope in {one for tap in taps for one in tap.published()})


async def members_of(net: Lab, *names: str) -> list[Peer]:
    """New members, connected at the same time."""
    return list(await asyncio.gather(*(net.connect(name) for name in names)))


async def relays_agree(net: Lab, peer: Peer) -> None:
    """Until every relay has every relay's ad."""

    def done() -> bool:
        return all(relay.machine.directory.relays_known == len(net.relays) for relay in net.relays)

    assert await peer.wait_until(done, WAIT_SECONDS)


async def quiet_room(*peers: Peer, committee_size: int = 3, name: str = "ops") -> list[Room]:
    """A room of all of them without decoys, so that all that moves was said by somebody."""
    room = await peers[0].create_room(name, committee_size=committee_size, cover="off")
    if len(peers) > 1:
        link = room.invite(uses=len(peers) - 1)
        await asyncio.gather(*(peer.join(link) for peer in peers[1:]))
    for peer in peers:
        await settled(peer, room, len(peers))
    return [peer.room(room.room_id) for peer in peers]


class Ear:
    """One reader of a room: each message that it is asked for once."""

    def __init__(self, room: Room) -> None:
        self._reader = room.messages()

    async def hears(self, *texts: str) -> None:
        """The next messages are these, in this order; fails where another comes."""
        async with asyncio.timeout(WAIT_SECONDS):
            heard = [(await anext(self._reader)).text for _ in texts]
        assert heard == list(texts)


def tag_of(peer: Peer, room: Room, start: int | None = None) -> TagClient:
    """What a member has of the room's open epoch (or of the one at ``start``): its keys, its committee, its seats."""
    view = next(view for view in peer.status().rooms if view.room_id == room.room_id)
    wanted = view.epoch_start if start is None else start
    plans = [tag for tag in peer.machine.tags.of_room(room.room_id) if tag.keys.start == wanted]
    room_tags = [tag for tag in plans if tag.keys.generation > 0]
    return max(room_tags, key=lambda tag: tag.keys.generation)


def handle_of(number: int) -> Handle:
    """The handle of bare subscriber ``number``."""
    return Handle(keyed_hash(None, "test/handle", number.to_bytes(8, "big"))[:16])


class BareClient:
    """Links to relays, and frames by hand. Implements `railgun.ports.LinkObserver`."""

    def __init__(self, net: Lab) -> None:
        self.links = WebRtcLinks(
            self,
            LinkIdentity(None, is_relay=False),
            network_id(net.network),
            net.clock,
            net.entropy,
            settings=LinkSettings.for_network(net.network),
        )
        self.up: dict[PeerKey, LinkUp] = {}
        self.heard: list[tuple[PeerKey, Frame]] = []
        self._changed = asyncio.Event()

    async def link_to(self, relays: Sequence[RelayHost]) -> None:
        """Dial, until all links are up."""
        for relay in relays:
            self.links.dial(relay.contact)
        await self.until(lambda: len(self.up) >= len(relays))

    def send(self, relay: NodeKey | PeerKey, frame: Frame) -> None:
        assert self.links.send_frame(PeerKey(relay), FRAMES.encode(frame))

    def subscribe(
        self, keys: EpochKeys, descriptor: TagDescriptor, committee: Committee, handle: Handle, *, rank: int = 0
    ) -> NodeKey:
        """Ask the seat that this handle ranks there, as a primary. Returns the seat."""
        seat = rank_for_handle(handle, committee.seat_keys)[rank]
        proof = sign_subscription(keys, seat, self.up[PeerKey(seat)].local_key, handle)
        mode = SubscriptionMode.PRIMARY
        self.send(seat, Subscribe(descriptor, handle, mode, proof, committee.seats_hash, NO_INCARNATION, 1))
        return seat

    def of_kind(self, kind: type[Frame]) -> list[tuple[PeerKey, Frame]]:
        return [(peer, frame) for peer, frame in self.heard if isinstance(frame, kind)]

    @property
    def deliveries(self) -> list[tuple[PeerKey, bytes]]:
        """(seat, envelope), in the order of arrival."""
        return [(peer, frame.envelope) for peer, frame in self.heard if isinstance(frame, Deliver)]

    @property
    def refusals(self) -> list[str]:
        return [frame.code.name for _, frame in self.heard if isinstance(frame, Refused)]

    @property
    def receipts(self) -> list[Receipt]:
        return [frame for _, frame in self.heard if isinstance(frame, Receipt)]

    async def until_count(self, kind: type[Frame], count: int) -> None:
        """Until so many frames of one kind have come."""
        await self.until(lambda: len(self.of_kind(kind)) >= count)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Look after every event of a link."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    # --- LinkObserver ---------------------------------------------------------------------------

    def link_up(self, up: LinkUp) -> None:
        self.up[up.peer] = up
        self._changed.set()

    def link_down(self, peer: PeerKey, error: LinkError) -> None:
        self.up.pop(peer, None)

    def dial_failed(self, peer: PeerKey, error: LinkError) -> None:
        raise AssertionError(f"dial failed: {error}")

    def frame_received(self, peer: PeerKey, frame: bytes) -> None:
        self.heard.append((peer, FRAMES.decode(frame)))
        self._changed.set()

    def pulse_received(self, peer: PeerKey, pulse: bytes) -> None:
        """Nobody asked for one."""

    def link_writable(self, peer: PeerKey) -> None:
        """Little is sent."""


@asynccontextmanager
async def bare_clients(net: Lab, count: int) -> AsyncIterator[list[BareClient]]:
    """So many, started; closed at the end."""
    clients = [BareClient(net) for _ in range(count)]
    try:
        for client in clients:
            await client.links.start()
        yield clients
    finally:
        await asyncio.gather(*(client.links.aclose() for client in clients))
