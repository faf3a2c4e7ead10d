"""Direct links between the members of a room while no relay serves it.

Owns: when members are dialled and left again, who has proved which room, contacts, what strangers may do.
Must not know: rooms' insides, what envelopes hold. The envelopes' way is `railgun.core.direct_tag`'s.

Spec: docs/spec/delivery.md, direct links. Without an own identity towards members (`use`) nothing is done at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.budgets import TokenBucket
from railgun.core.clock import EpochClock
from railgun.core.connector import Connector
from railgun.core.contact_book import ContactBook
from railgun.core.direct_tag import DIRECT_AGAIN_SECONDS, DirectTag
from railgun.core.effects import Disconnect, Effects, Persist, SendFrame
from railgun.core.events import PeerConnected
from railgun.core.held_envelopes import HeldEnvelopes
from railgun.core.liveness import Liveness
from railgun.core.publisher import Progress
from railgun.core.tag_client import TagClient
from railgun.core.tag_set import TagSet
from railgun.crypto.direct import (
    DirectSelf,
    open_sealed_contact,
    seal_own_contact,
    sign_direct,
    verify_direct,
)
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.sealing import id_of_digest, is_signed, signed_digest
from railgun.errors import CryptoError, PeerError, RefusalCode
from railgun.limits import (
    DIRECT_BYTES_BURST,
    DIRECT_BYTES_PER_SECOND,
    DIRECT_DIALS_MAX,
    DIRECT_FAILED_OPENS_MAX,
    DIRECT_FRAMES_BURST,
    DIRECT_FRAMES_PER_SECOND,
    DIRECT_LINKS_MAX,
    PULSE_SECONDS,
)
from railgun.ports import Entropy
from railgun.types import DeviceKey, EnvelopeId, NodeKey, PeerKey, RelayContact, RoomId, Tag
from railgun.wire.direct_contacts import DirectContact
from railgun.wire.envelope import NONCE_BYTES, ParsedEnvelope, parse_envelope
from railgun.wire.frames import DirectHold, DirectOpen, Frame, SeatPull, SeatPush, Unsubscribe

RANK_LABEL = "railgun/direct-rank/v1"
DIRECT_AFTER_SECONDS = 1.5
"""Without a seat that answers, before members are dialled."""
DIRECT_KEEP_SECONDS = 10.0
"""With a seat that answers, before members are left again; also how long who proves no room may stay."""
DIRECT_LOOK_SECONDS = 0.5
LOOK = ("direct", "look")

Admits = Callable[[RoomId, DeviceKey, float], bool]
"""Whether the room has direct links at all at a wall time, and this device is in it."""
TakeIn = Callable[[TagClient, ParsedEnvelope, bytes, EnvelopeId, float, Effects], None]
Tell = Callable[[Progress, TagClient, float, Effects], None]


@dataclass(slots=True)
class _Link:
    """A link to somebody who listens as members do, or dialled us as they do; proved or not."""

    local_key: PeerKey
    connected_at: float
    frames: TokenBucket
    pushed: TokenBucket
    pulled: TokenBucket
    told: dict[Tag, float] = field(default_factory=dict)
    """Tags that we have proved to it, and when last."""
    rooms: dict[RoomId, None] = field(default_factory=dict)
    """Rooms that it has proved."""
    failed: int = 0


class DirectLinks:
    """See the module."""

    def __init__(  # noqa: PLR0913  # all by keyword, each a part of its own
        self,
        *,
        agenda: Agenda,
        connector: Connector,
        liveness: Liveness,
        clock: EpochClock,
        tags: TagSet,
        entropy: Entropy,
        admits: Admits,
        take_in: TakeIn,
        tell: Tell,
    ) -> None:
        """``take_in`` gets what is new and proved to be a member's; ``tell`` what acknowledgements stand for."""
        self._agenda = agenda
        self._connector = connector
        self._liveness = liveness
        self._clock = clock
        self._tags = tags
        self._entropy = entropy
        self._admits = admits
        self._take_in = take_in
        self._tell = tell
        self.own: DirectSelf | None = None
        self._book = ContactBook()
        self._dialled: dict[RoomId, dict[PeerKey, None]] = {}
        self._links: dict[PeerKey, _Link] = {}
        self._open: dict[Tag, DirectTag] = {}
        self._held = HeldEnvelopes()
        self._alone_since: dict[Tag, float] = {}
        """Tags without a seat that answers."""
        self._served_since: dict[Tag, float] = {}
        """Tags with members linked and a seat that answers."""

    def __len__(self) -> int:
        return len(self._links)

    def use(self, own: DirectSelf) -> None:
        """Take part from now on, as this device."""
        self.own = own

    def takes_part(self, room_id: RoomId, wall: float) -> bool:
        """Whether this device links with members of this room, when there is no other way."""
        return self.own is not None and self._admits(room_id, self.own.device, wall)

    def is_dialled(self, peer: PeerKey) -> bool:
        """Whether it is a member whom we dial."""
        return any(peer in wanted for wanted in self._dialled.values())

    def serves(self, tag: Tag) -> int:
        """How many members are linked for it."""
        standing = self._open.get(tag)
        return 0 if standing is None else len(standing.open)

    def has_link(self, peer: PeerKey) -> bool:
        """Whether it is linked as members are."""
        return peer in self._links

    def state_sizes(self) -> dict[str, int]:
        """How much is held besides contacts and recent envelopes."""
        return {"direct_links": len(self._links), "direct_tags": len(self._open), "direct_dials": len(self._dialled)}

    # --- contacts -------------------------------------------------------------------------------

    def learn(self, room_id: RoomId, contacts: Mapping[DeviceKey, DirectContact], now: float, out: Effects) -> None:
        """Members' contacts, each signed by its device; of a device the one that is learnt last counts."""
        if self.own is None:
            return
        wall = self._clock.wall(now)
        for device, contact in contacts.items():
            if device == self.own.device or not self._admits(room_id, device, wall):
                continue
            before = self._book.get(room_id, device)
            if before is not None and before.link_key != contact.link_key:
                self._let_go(room_id, before.link_key)
            self._keep(room_id, device, contact, wall, out)
        self.look(now, out)

    def restore(self, rows: Iterable[tuple[bytes, bytes]], now: float, out: Effects) -> None:
        """What the last run of this device had learnt; call once its rooms are there."""
        if self.own is None:
            return
        writes = self._book.load(rows, self._clock.wall(now))
        if writes:
            out.append(Persist(tuple(writes), survives_power_loss=False))
        self.look(now, out)

    def _keep(self, room_id: RoomId, device: DeviceKey, contact: DirectContact, wall: float, out: Effects) -> None:
        writes = self._book.learn(room_id, device, contact, wall, lambda other: self._admits(room_id, other, wall))
        if writes:
            out.append(Persist(tuple(writes), survives_power_loss=False))

    def contacts(self, room_id: RoomId) -> Mapping[DeviceKey, DirectContact]:
        """What is known of a room's other members."""
        return self._book.of(room_id)

    def forget_room(self, room_id: RoomId) -> None:
        """The room was left."""
        self._book.forget_room(room_id)
        for peer in list(self._dialled.get(room_id, ())):
            self._let_go(room_id, peer)
        for link in self._links.values():
            link.rooms.pop(room_id, None)

    # --- looking around -------------------------------------------------------------------------

    def look(self, now: float, out: Effects) -> None:
        """See which tags have no seat, and bring links to what they should be. Idempotent; call after any change."""
        if self.own is None:
            return
        clients = {client.tag: (room_id, client) for room_id, client in self._tags.of_rooms()}
        for tag in [tag for tag in self._open if tag not in clients]:
            self._close_tag(tag)
        self._held.keep_only(clients)
        self._alone_since = {tag: since for tag, since in self._alone_since.items() if tag in clients}
        needing: dict[RoomId, None] = {}
        for tag, (room_id, client) in clients.items():
            if self._is_alone(client, now):
                is_time = now + 1e-6 >= self._alone_since[tag] + DIRECT_AFTER_SECONDS
                if is_time and self.takes_part(room_id, self._clock.wall(now)):
                    needing[room_id] = None
            elif tag in self._open:
                self._leave_if_served(self._open[tag], now, out)
        for room_id in needing:
            self._dial(room_id, now, out)
        self._let_go_of_all_but(needing, clients)
        for tag, (room_id, client) in clients.items():
            if tag in self._alone_since and room_id in needing:
                self._prove_to_all(room_id, client, now, out)
        for standing in self._open.values():
            standing.ask_again(now, out)
            if standing.client.tag in self._alone_since:
                self._settle(standing, now, out)
        self._close_idle(now, out)
        if self._alone_since or self._links or self._dialled:
            self._agenda.set(LOOK, now + DIRECT_LOOK_SECONDS)

    def due(self, name: tuple[object, ...], now: float, out: Effects) -> None:
        """A deadline of the agenda: LOOK, or a tag's pulls."""
        if name == LOOK:
            self.look(now, out)
            return
        standing = next((item for tag, item in self._open.items() if tag == name[1]), None)
        if standing is not None:
            standing.pull(now, out)

    def _is_alone(self, client: TagClient, now: float) -> bool:
        if client.is_answered:
            self._alone_since.pop(client.tag, None)
            return False
        self._alone_since.setdefault(client.tag, now)
        self._served_since.pop(client.tag, None)
        return True

    def _dial(self, room_id: RoomId, now: float, out: Effects) -> None:
        """Want links to some members, each in an order of its own; those that cannot be reached do not count."""
        own = self.own
        if own is None or len(self._links) >= DIRECT_LINKS_MAX:
            return
        wall = self._clock.wall(now)
        known = self._book.of(room_id).items()
        contacts = [item for device, item in known if item.addresses and self._admits(room_id, device, wall)]
        contacts.sort(key=lambda item: keyed_hash(None, RANK_LABEL, own.link_key + item.link_key))
        counted = 0
        for contact in contacts:
            peer = contact.link_key
            if counted >= DIRECT_DIALS_MAX:
                break
            if not self._connector.is_failing(peer, now):
                counted += 1
            self._dialled.setdefault(room_id, {})[peer] = None
            relay_like = RelayContact(NodeKey(peer), contact.addresses, contact.certificate_hash)
            self._connector.want(("direct", room_id), relay_like, now, out)

    def _let_go(self, room_id: RoomId, peer: PeerKey) -> None:
        wanted = self._dialled.get(room_id, {})
        if peer in wanted:
            del wanted[peer]
            self._connector.release(("direct", room_id), peer)
        if not wanted:
            self._dialled.pop(room_id, None)

    def _let_go_of_all_but(
        self, needing: Mapping[RoomId, None], clients: Mapping[Tag, tuple[RoomId, TagClient]]
    ) -> None:
        """Rooms that have their committee again dial nobody; what is linked stays until it is left."""
        in_use = {clients[tag][0] for tag in self._open}
        for room_id in [room_id for room_id in self._dialled if room_id not in needing and room_id not in in_use]:
            for peer in list(self._dialled[room_id]):
                self._let_go(room_id, peer)

    def _prove_to_all(self, room_id: RoomId, client: TagClient, now: float, out: Effects) -> None:
        """Prove the tag on every link to a member of its room, and again where the other has not done so itself."""
        known = {contact.link_key for contact in self._book.of(room_id).values()}
        standing = self._open.get(client.tag)
        for peer, link in self._links.items():
            if peer not in known and room_id not in link.rooms:
                continue
            if standing is None or peer not in standing.open or client.tag not in link.told:
                self._prove(peer, link, client, now, out)

    def _prove(self, peer: PeerKey, link: _Link, client: TagClient, now: float, out: Effects) -> None:
        if self.own is None or now - link.told.get(client.tag, -1e9) < DIRECT_AGAIN_SECONDS:
            return
        link.told[client.tag] = now
        proof = sign_direct(client.keys, link.local_key, peer)
        contact = seal_own_contact(client.keys, self.own, self._entropy.random_bytes(NONCE_BYTES))
        out.append(SendFrame((peer,), DirectOpen(client.tag, proof, contact)))

    def _leave_if_served(self, standing: DirectTag, now: float, out: Effects) -> None:
        """A committee serves the tag, and has done so for a while: tell members that they need not wait for us."""
        tag = standing.client.tag
        since = self._served_since.setdefault(tag, now)
        if now < since + DIRECT_KEEP_SECONDS:
            return
        for peer, link in self._links.items():
            if peer in standing.open and tag in link.told:
                out.append(SendFrame((peer,), Unsubscribe(tag)))
                del link.told[tag]
        for peer in [peer for peer, entry in standing.open.items() if not entry.needs_us]:
            standing.gone(peer)
        if not standing.open:
            self._close_tag(tag)

    def _close_tag(self, tag: Tag) -> None:
        standing = self._open.pop(tag, None)
        if standing is not None:
            standing.close()
        self._served_since.pop(tag, None)
        for link in self._links.values():
            link.told.pop(tag, None)

    def _close_idle(self, now: float, out: Effects) -> None:
        """Close links that serve no tag, be it that nothing was ever proved on them."""
        busy = {peer for standing in self._open.values() for peer in standing.open}
        busy |= {peer for wanted in self._dialled.values() for peer in wanted}
        for peer, link in list(self._links.items()):
            if peer not in busy and now >= link.connected_at + DIRECT_KEEP_SECONDS:
                self._close(peer, RefusalCode.IDLE, now, out)

    def _close(self, peer: PeerKey, code: RefusalCode, now: float, out: Effects) -> None:
        out.append(Disconnect(peer, code))
        self._connector.lost(peer, None, now, idle=code is RefusalCode.IDLE)
        self.peer_gone(peer)

    # --- links ----------------------------------------------------------------------------------

    def peer_connected(self, event: PeerConnected, now: float, out: Effects) -> None:
        """Somebody who is no relay is linked: a member, or a stranger until it has proved to be none."""
        if len(self._links) >= DIRECT_LINKS_MAX and event.peer not in self._links:
            self._evict(now, out)
        if self.own is None or (len(self._links) >= DIRECT_LINKS_MAX and event.peer not in self._links):
            out.append(Disconnect(event.peer, RefusalCode.BUSY))
            self._connector.lost(event.peer, None, now)
            return
        self.peer_gone(event.peer)
        self._links[event.peer] = _Link(
            event.local_key,
            now,
            TokenBucket(DIRECT_FRAMES_PER_SECOND, DIRECT_FRAMES_BURST, now),
            TokenBucket(DIRECT_BYTES_PER_SECOND, DIRECT_BYTES_BURST, now),
            TokenBucket(DIRECT_BYTES_PER_SECOND, DIRECT_BYTES_BURST, now),
        )
        self._liveness.watch(event.peer, ("direct",), PULSE_SECONDS, now)
        self.look(now, out)

    def _evict(self, now: float, out: Effects) -> None:
        """Who has proved nothing for longest gives way to a newcomer."""
        idle = next((peer for peer, link in self._links.items() if not link.rooms and not self.is_dialled(peer)), None)
        if idle is not None:
            self._close(idle, RefusalCode.BUSY, now, out)

    def peer_gone(self, peer: PeerKey) -> None:
        """Its link is down. Idempotent."""
        if self._links.pop(peer, None) is not None:
            self._liveness.forget(peer)
        for standing in self._open.values():
            standing.gone(peer)

    def malformed(self, peer: PeerKey, now: float, out: Effects) -> None:
        """It sent what is no frame."""
        if peer in self._links:
            self._close(peer, RefusalCode.MALFORMED, now, out)

    # --- frames ---------------------------------------------------------------------------------

    def frame_received(self, peer: PeerKey, frame: Frame, now: float, out: Effects) -> None:
        """A frame on such a link. Whoever sends what no member would loses it."""
        link = self._links[peer]
        if not link.frames.take(1, now):
            return
        try:
            self._take(peer, link, frame, now, out)
        except PeerError as error:
            self._close(peer, error.code, now, out)

    def _take(self, peer: PeerKey, link: _Link, frame: Frame, now: float, out: Effects) -> None:
        if isinstance(frame, DirectOpen):
            self._opened(peer, link, frame, now, out)
            return
        if isinstance(frame, SeatPush):
            self._pushed(peer, link, frame, now, out)
            return
        if not isinstance(frame, (DirectHold, SeatPull, Unsubscribe)):
            raise PeerError(RefusalCode.MALFORMED, "a frame that is not for members", penalty_points=5)
        standing = self._open.get(frame.tag)
        if standing is None or peer not in standing.open:
            return  # it was open a moment ago, or is about to be
        match frame:
            case DirectHold():
                standing.told(peer, frame, now, out)
                if frame.tag in self._alone_since:
                    self._settle(standing, now, out)
            case SeatPull():
                standing.asked(peer, frame.ids, lambda _, size: link.pulled.take(size, now), out)
            case Unsubscribe():
                standing.open[peer].needs_us = False

    def _opened(self, peer: PeerKey, link: _Link, frame: DirectOpen, now: float, out: Effects) -> None:
        client = self._tags.get(frame.tag)
        room_id = None if client is None else self._tags.room_of(client)
        device = (
            None if client is None or room_id is None else self._proved(peer, link, client, room_id, frame, now, out)
        )
        if client is None or room_id is None or device is None:
            # A tag that is not open here looks like a wrong proof, so that nobody finds out by trying.
            link.failed += not link.rooms
            if link.failed >= DIRECT_FAILED_OPENS_MAX:
                raise PeerError(RefusalCode.BAD_PROOF, "proves no room of ours", penalty_points=0)
            return
        standing = self._open.get(client.tag) or DirectTag(client, self._agenda, self._held)
        told: Effects = []
        if not standing.opened(peer, device, now, told):
            return
        self._open[client.tag] = standing
        link.rooms[room_id] = None
        self._prove(peer, link, client, now, out)
        out.extend(told)  # after the proof, without which it would not be heeded
        self.look(now, out)

    def _proved(
        self,
        peer: PeerKey,
        link: _Link,
        client: TagClient,
        room_id: RoomId,
        frame: DirectOpen,
        now: float,
        out: Effects,
    ) -> DeviceKey | None:
        """The device of the room that the link's other end has proved to be."""
        if client.is_closing or not verify_direct(client.tag, peer, link.local_key, frame.proof):
            return None
        try:
            device, contact = open_sealed_contact(client.keys, frame.contact)
        except CryptoError:
            return None
        wall = self._clock.wall(now)
        if contact.link_key != peer or not self._admits(room_id, device, wall):
            return None
        self._keep(room_id, device, contact, wall, out)
        return device

    def _pushed(self, peer: PeerKey, link: _Link, frame: SeatPush, now: float, out: Effects) -> None:
        if not link.pushed.take(len(frame.envelope), now):
            return
        envelope = parse_envelope(frame.envelope)
        standing = self._open.get(envelope.tag)
        if standing is None or peer not in standing.open:
            return
        client, digest = standing.client, signed_digest(envelope)
        item = id_of_digest(digest)
        if client.intake.has_seen(item):
            standing.came_again(item, peer, out)
            return
        if envelope.epoch_start != client.keys.start or not is_signed(envelope, digest):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "an envelope that no member sealed", penalty_points=20)
        client.came_directly(item, now)
        self._take_in(client, envelope, digest, item, now, out)
        self._held.add(client.tag, item, frame.envelope)
        standing.came(item, peer, out)
        client.pass_on(frame.envelope, out)

    # --- envelopes ------------------------------------------------------------------------------

    def came(self, client: TagClient, item: EnvelopeId, envelope: bytes, out: Effects) -> None:
        """A seat brought an envelope: members who have no seat may lack it."""
        if self.own is None:
            return
        self._held.add(client.tag, item, envelope)
        standing = self._open.get(client.tag)
        if standing is not None:
            standing.came(item, None, out)

    def published(self, client: TagClient, item: EnvelopeId, envelope: bytes, out: Effects) -> None:
        """We made an envelope."""
        if self.own is None:
            return
        self._held.add(client.tag, item, envelope)
        standing = self._open.get(client.tag)
        if standing is not None:
            standing.published(item, envelope, out)

    def _settle(self, standing: DirectTag, now: float, out: Effects) -> None:
        """Without a committee acknowledgements of most members that can be reached stand for its receipts."""
        client = standing.client
        room_id = self._tags.room_of(client)
        reachable = standing.devices
        for device, contact in self._book.of(room_id).items():
            if contact.link_key in self._dialled.get(room_id, {}) and not self._connector.is_failing(
                contact.link_key, now
            ):
                reachable.add(device)
        for outgoing in client.publisher.pending():
            count = standing.acknowledged(outgoing.envelope_id)
            if count:
                progress = client.publisher.acknowledged(outgoing, count, len(reachable))
                if progress is not None:
                    self._tell(progress, client, now, out)
