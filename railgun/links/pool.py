"""All links of one node: `railgun.ports.Links` over WebRTC.

Owns: which links exist, one a remote key; dials, acceptance, replacement, limits, idle and stalled links, the end.
Must not know: frames' content, rooms, what a peer is good for.
Spec: docs/spec/links.md.

Two relays that dial each other at once keep the link dialled by the smaller key: the smaller holds back the
other's proved connection until its own dial has ended, the greater gives up its own dial when the other's proves.
In every other case a newly proved connection of a key replaces the old one, whose remote must have lost it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from OpenSSL import SSL

from railgun.crypto.signing import SEED_BYTES, public_key_of
from railgun.errors import ClosedByPeer, ClosedLocally, LinkError, LinkLost, PeerError, RefusalCode, UsageError
from railgun.links.admission import prefix_of
from railgun.links.certificate import LinkCertificate
from railgun.links.channel import Link, State
from railgun.links.dialler import DialPath, PathFinder
from railgun.links.dtls import dialler_context, listener_context
from railgun.links.handshake import NONCE_BYTES, DiallerProof, Instant, ListenerProof, LocalEnd, Proved
from railgun.links.session import Session
from railgun.links.settings import LinkCounters, LinkIdentity, LinkSettings
from railgun.links.shared_datagrams import SharedDatagrams
from railgun.links.udp_port import SharedPath, UdpPort
from railgun.ports import Clock, Entropy, LinkObserver, LinkUp
from railgun.types import Address, NetworkId, NodeKey, PeerKey, RelayContact

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListenAt:
    """Where to listen: a literal host, a port (0: the system chooses), and what contacts shall name instead."""

    host: str
    port: int
    advertise: tuple[Address, ...] = ()


class _Guest:
    """An inbound link as the UDP port sees it."""

    def __init__(self, pool: WebRtcLinks, path: SharedPath) -> None:
        self.path = path
        self.link = pool.new_link(inbound=True)
        self._pool = pool

    def begin(self, hello: bytes) -> None:
        """See `railgun.links.udp_port.Guest`."""
        self._pool.open_inbound(self.link, self.path, hello)

    def receive(self, datagram: bytes) -> None:
        """See `railgun.links.udp_port.Guest`."""
        self.link.receive(datagram)

    def evict(self, reason: str) -> None:
        """See `railgun.links.udp_port.Guest`."""
        self.link.abandon(LinkLost(reason))


class _Dial:
    """An outgoing connection until it is up or has failed."""

    def __init__(self, contact: RelayContact) -> None:
        self.contact = contact
        self.finder: PathFinder | None = None
        self.deadline: asyncio.TimerHandle | None = None
        self.link: Link | None = None
        self.waits_for_inbound = False
        """The other end prefers its own dial: this one succeeds if that does."""


class WebRtcLinks:
    """See the module. Make it, `start` it, and `aclose` it on the same event loop."""

    def __init__(
        self,
        observer: LinkObserver,
        identity: LinkIdentity,
        network_id: NetworkId,
        clock: Clock,
        entropy: Entropy,
        certificate: LinkCertificate | None = None,
        listen: Address | ListenAt | None = None,
        settings: LinkSettings | None = None,
    ) -> None:
        """``certificate`` None makes a fresh one for each dial, as clients do; whoever listens needs one.

        Raises:
            UsageError: it shall listen but has no certificate, or no node key to prove.
        """
        if listen is not None and (certificate is None or identity.signing_seed is None or not identity.is_relay):
            raise UsageError("listening takes a relay's identity and a certificate")
        self.settings = settings or LinkSettings()
        self.counters = LinkCounters()
        self._observer = observer
        self._identity = identity
        self._network_id = network_id
        self._clock = clock
        self._entropy = entropy
        self._certificate = certificate
        self._listen = ListenAt(listen.host, listen.port) if isinstance(listen, Address) else listen
        self._own_key = public_key_of(identity.signing_seed) if identity.signing_seed is not None else b""
        self._listener_context = listener_context(certificate) if certificate and listen else None
        self._dialler_context = dialler_context(certificate) if certificate else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._port: UdpPort | None = None
        self._bound_port = 0
        self._links: dict[PeerKey, Link] = {}
        self._dials: dict[NodeKey, _Dial] = {}
        self._held: dict[PeerKey, Link] = {}
        self._paths: dict[Link, SharedPath | DialPath] = {}
        self._dial_of: dict[Link, _Dial] = {}
        self._dirty: dict[Link, None] = {}
        self._flush_planned = False
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._all_gone: asyncio.Future[None] | None = None

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind the port, if it listens.

        Raises:
            ConfigurationError: the port is taken; the text says what to do.
        """
        self._loop = asyncio.get_running_loop()
        if self._listen is not None:
            port = UdpPort(
                settings=self.settings,
                counters=self.counters,
                random_bytes=self._entropy.random_bytes,
                now=self._clock.monotonic,
                welcome=self._welcome,
            )
            self._bound_port = port.open(self._listen.host, self._listen.port, self._loop)
            self._port = port
        self._plan_sweep()

    def local_contact(self) -> RelayContact:
        """All that others need to dial this node. Raises UsageError unless it listens."""
        if self._listen is None or self._certificate is None or not self._bound_port:
            raise UsageError("only a started relay that listens can be dialled")
        addresses = self._listen.advertise or (Address(self._listen.host, self._bound_port),)
        return RelayContact(NodeKey(self._own_key), addresses, self._certificate.certificate_hash)

    def datagrams(self, first_bytes: range) -> SharedDatagrams:
        """The shared port for another protocol, whose datagrams begin with one of these bytes. Raises UsageError unless
        it listens, or where the bytes are taken."""
        if self._port is None:
            raise UsageError("only a started relay that listens has a port to share")
        return SharedDatagrams(self._port, first_bytes)

    async def aclose(self) -> None:
        """Say goodbye on every link and leave nothing behind, within `close_seconds`. Idempotent."""
        if self._loop is None:
            return
        self._closing = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for dial in tuple(self._dials.values()):
            self._end_dial(dial, None)
        for link in tuple(self._paths):
            link.close(RefusalCode.SHUTTING_DOWN)
        if self._paths:
            if self._all_gone is None:
                self._all_gone = self._loop.create_future()
            await asyncio.wait([self._all_gone], timeout=self.settings.close_seconds * 1.5)
        for link in tuple(self._paths):
            link.abandon(ClosedLocally("closed"))
        if self._port is not None:
            self._port.close()
            self._port = None

    # --- railgun.ports.Links --------------------------------------------------------------------

    def dial(self, contact: RelayContact) -> None:
        """See `railgun.ports.Links`."""
        key = contact.node_key
        if self._closing or self._loop is None or key in self._dials or PeerKey(key) in self._links:
            return
        self.counters.dials_started += 1
        dial = self._dials[key] = _Dial(contact)
        loop = self._loop
        dial.deadline = loop.call_later(self.settings.dial_seconds, self._dial_overdue, dial)
        if key == self._own_key or len(self._links) >= self.settings.links_max:
            reason = "that is this node itself" if key == self._own_key else "this node has all the links it may have"
            loop.call_soon(self._end_dial, dial, ClosedLocally(reason))
            return
        dial.finder = PathFinder(
            contact.addresses,
            loop=loop,
            counters=self.counters,
            random_bytes=self._entropy.random_bytes,
            found=lambda path: self._open_outbound(dial, path),
            failed=lambda reason: self._fail_dial_soon(dial, LinkLost(reason)),
        )
        dial.finder.start()

    def send_frame(self, peer: PeerKey, frame: bytes) -> bool:
        """See `railgun.ports.Links`. Raises ValueError for an empty frame or one beyond FRAME_BYTES_MAX."""
        link = self._links.get(peer)
        if link is None or not link.offer_frame(frame):
            return False
        self._dirty[link] = None
        if not self._flush_planned and self._loop is not None:
            self._flush_planned = True
            self._loop.call_soon(self._flush)
        return True

    def send_pulse(self, peer: PeerKey, pulse: bytes) -> bool:
        """See `railgun.ports.Links`."""
        link = self._links.get(peer)
        return link is not None and link.offer_pulse(pulse)

    def close_link(self, peer: PeerKey, code: int, retry_after_ms: int | None = None) -> None:
        """See `railgun.ports.Links`."""
        link = self._links.get(peer)
        if link is not None:
            link.close(RefusalCode(code), retry_after_ms)

    def peers(self) -> Sequence[PeerKey]:
        """See `railgun.ports.Links`; in the order in which the links came up."""
        return tuple(self._links)

    def buffered_bytes(self, peer: PeerKey) -> int:
        """Bytes that wait in a peer's link; 0 without one."""
        link = self._links.get(peer)
        return link.buffered_bytes if link is not None else 0

    @property
    def dialled_count(self) -> int:
        """Links up that this node dialled, and its dials under way: each has a socket of its own."""
        up = sum(isinstance(self._paths.get(link), DialPath) for link in self._links.values())
        return up + len(self._dials)

    @property
    def half_open_count(self) -> int:
        """Inbound handshakes under way."""
        return self._port.half_open_count if self._port is not None else 0

    # --- opening --------------------------------------------------------------------------------

    def new_link(self, *, inbound: bool) -> Link:
        """A link of this pool, not yet bound to a session."""
        return Link(
            self,
            inbound=inbound,
            settings=self.settings,
            counters=self.counters,
            loop=self._running_loop(),
            now=self._clock.monotonic,
            instant=self._instant,
        )

    def open_inbound(self, link: Link, path: SharedPath, hello: bytes) -> None:
        """Start the session of an address that returned a cookie."""
        if self._listener_context is None or self._certificate is None or self._identity.signing_seed is None:
            return
        self._paths[link] = path
        local = self._local_end(self._identity.signing_seed, self._certificate)
        session = self._session(link, self._listener_context, path, is_listener=True)
        link.open_session(session, lambda peer_hash: ListenerProof(local, peer_hash), hello)

    def _welcome(self, path: SharedPath) -> _Guest:
        return _Guest(self, path)

    def _open_outbound(self, dial: _Dial, path: DialPath) -> None:
        dial.finder = None
        link = dial.link = self.new_link(inbound=False)
        self._paths[link] = path
        self._dial_of[link] = dial
        certificate = self._certificate or LinkCertificate.generate(self._clock.wall())
        context = self._dialler_context or dialler_context(certificate)
        seed = self._identity.signing_seed or self._entropy.random_bytes(SEED_BYTES)
        local = self._local_end(seed, certificate)
        contact = dial.contact

        def make_proof(listener_hash: bytes) -> DiallerProof:
            if listener_hash != contact.certificate_hash:
                raise PeerError(RefusalCode.BAD_PROOF, "the relay shows another certificate than its contact names")
            return DiallerProof(local, contact.node_key, listener_hash)

        path.receiver = link.receive
        link.open_session(self._session(link, context, path, is_listener=False), make_proof)

    def _session(self, link: Link, context: SSL.Context, path: SharedPath | DialPath, *, is_listener: bool) -> Session:
        return Session(
            context,
            is_listener=is_listener,
            transmit=path.transmit,
            observer=link,
            loop=self._running_loop(),
            now=self._clock.monotonic,
        )

    def _local_end(self, seed: bytes, certificate: LinkCertificate) -> LocalEnd:
        nonce = self._entropy.random_bytes(NONCE_BYTES)
        return LocalEnd(self._network_id, seed, self._identity.is_relay, nonce, certificate.certificate_hash)

    # --- ends of dials --------------------------------------------------------------------------

    def _dial_overdue(self, dial: _Dial) -> None:
        dial.deadline = None
        self._end_dial(dial, LinkLost(f"no link within {self.settings.dial_seconds:g} s"))

    def _fail_dial_soon(self, dial: _Dial, error: LinkError) -> None:
        """Not from inside `dial`: the caller shall not be called back before its call returns."""
        self._running_loop().call_soon(self._end_dial, dial, error)

    def _end_dial(self, dial: _Dial, error: LinkError | None) -> None:
        """Forget a dial, with all that it had open; ``error`` None when nobody has to be told. Idempotent."""
        key = dial.contact.node_key
        if self._dials.get(key) is not dial:
            return
        del self._dials[key]
        if dial.deadline is not None:
            dial.deadline.cancel()
        if dial.finder is not None:
            dial.finder.close()
        link = dial.link
        if link is not None:
            self._dial_of.pop(link, None)
            if link.state is not State.UP:
                link.abandon(error or ClosedLocally("no longer needed"))
        held = self._held.pop(PeerKey(key), None)
        if error is not None:
            self.counters.dials_failed += 1
        if held is not None and held.state is State.PROVED:
            if PeerKey(key) in self._links:
                self.counters.refused_conflict += 1
                held.refuse(RefusalCode.CONFLICT)
            elif held.proved is not None:
                self._admit(held, held.proved)
                return
        if error is not None and not self._closing:
            self._observer.dial_failed(PeerKey(key), error)

    # --- railgun.links.channel.LinkOwner --------------------------------------------------------

    def link_proved(self, link: Link, proved: Proved) -> None:
        """See `LinkOwner`."""
        if not link.inbound:
            self._come_up(link, proved)
            dial = self._dial_of.pop(link, None)
            if dial is not None:
                self._end_dial(dial, None)
            return
        dial = self._dials.get(NodeKey(proved.peer))
        if dial is not None and not dial.waits_for_inbound and proved.is_relay and self._own_key < proved.peer:
            older = self._held.get(proved.peer)
            self._held[proved.peer] = link
            if older is not None:
                older.refuse(RefusalCode.REPLACED)
            return
        self._admit(link, proved)

    def _admit(self, link: Link, proved: Proved) -> None:
        """Let a proved dialler in, or tell it that there is no room."""
        peer = proved.peer
        if self._closing:
            link.refuse(RefusalCode.SHUTTING_DOWN)
            return
        if peer not in self._links and not self._has_room_for(link):
            self.counters.refused_busy += 1
            link.refuse(RefusalCode.BUSY, self.settings.busy_retry_ms)
            return
        link.accept()
        self._come_up(link, proved)
        dial = self._dials.get(NodeKey(peer))
        if dial is not None:
            self._end_dial(dial, None)

    def _has_room_for(self, link: Link) -> bool:
        settings = self.settings
        if len(self._links) >= settings.links_max:
            return False
        prefix = self._prefix(link)
        most = settings.links_per_prefix_max
        return not prefix or sum(self._prefix(other) == prefix for other in self._links.values()) < most

    def _prefix(self, link: Link) -> bytes:
        """Of the address that an inbound link comes from; empty for others."""
        path = self._paths.get(link)
        return prefix_of(path.source[0]) if isinstance(path, SharedPath) else b""

    def _come_up(self, link: Link, proved: Proved) -> None:
        older = self._links.pop(proved.peer, None)
        if older is not None:
            self.counters.links_replaced += 1
            self._observer.link_down(proved.peer, ClosedLocally("replaced by a newer connection of the same key"))
            self._links[proved.peer] = link
            older.close(RefusalCode.REPLACED)
        self._links[proved.peer] = link
        path = self._paths.get(link)
        if isinstance(path, SharedPath) and self._port is not None:
            self._port.settle(path)
        self.counters.links_opened += 1
        self._observer.link_up(
            LinkUp(
                peer=proved.peer,
                local_key=proved.local_key,
                is_relay=proved.is_relay,
                inbound=link.inbound,
                clock_offset_seconds=proved.clock_offset_seconds,
                round_trip_seconds=proved.round_trip_seconds,
                prefix=self._prefix(link),
            )
        )

    def link_ended(self, link: Link, error: LinkError) -> None:
        """See `LinkOwner`."""
        self._dirty.pop(link, None)
        peer = link.proved.peer if link.proved is not None else None
        if peer is not None and self._links.get(peer) is link:
            del self._links[peer]
            self._observer.link_down(peer, error)
            return
        if peer is not None and self._held.get(peer) is link:
            del self._held[peer]
        dial = self._dial_of.pop(link, None)
        if dial is not None:
            dial.link = None
            if isinstance(error, ClosedByPeer) and error.code is RefusalCode.CONFLICT:
                dial.waits_for_inbound = True
            else:
                self._fail_dial_soon(dial, error)
        elif link.inbound and peer is None:
            self.counters.handshakes_failed += 1
            logger.debug("an inbound handshake failed: %s", error)

    def link_gone(self, link: Link) -> None:
        """See `LinkOwner`."""
        path = self._paths.pop(link, None)
        if isinstance(path, SharedPath):
            if self._port is not None:
                self._port.leave(path)
        elif path is not None:
            path.close()
        if not self._paths and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    def link_frame(self, link: Link, frame: bytes) -> None:
        """See `LinkOwner`."""
        if link.proved is not None and self._links.get(link.proved.peer) is link:
            self._observer.frame_received(link.proved.peer, frame)

    def link_pulse(self, link: Link, pulse: bytes) -> None:
        """See `LinkOwner`."""
        if link.proved is not None and self._links.get(link.proved.peer) is link:
            self._observer.pulse_received(link.proved.peer, pulse)

    def link_writable(self, link: Link) -> None:
        """See `LinkOwner`."""
        if link.proved is not None and self._links.get(link.proved.peer) is link:
            self._observer.link_writable(link.proved.peer)

    # --- inside ---------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._flush_planned = False
        dirty, self._dirty = self._dirty, {}
        for link in dirty:
            link.flush()

    def _plan_sweep(self) -> None:
        settings = self.settings
        every = min(1.0, settings.stall_seconds / 4, (settings.idle_seconds or 4.0) / 4)
        self._sweep_timer = self._running_loop().call_later(every, self._sweep)

    def _sweep(self) -> None:
        """Find links that nobody uses, and links that take nothing."""
        self._plan_sweep()
        now = self._clock.monotonic()
        idle = self.settings.idle_seconds
        for link in tuple(self._links.values()):
            if link.is_stalled(now):
                self.counters.links_stalled += 1
                link.abandon(LinkLost(f"the peer took nothing for {self.settings.stall_seconds:g} s"))
            elif idle is not None and now - link.active_at >= idle:
                self.counters.links_idle += 1
                link.close(RefusalCode.IDLE)

    def _instant(self) -> Instant:
        return Instant(self._clock.monotonic(), self._clock.wall())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise UsageError("call start() first")
        return self._loop
