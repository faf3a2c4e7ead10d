"""A member's links: to relays, each under a key of its own, and to other members of its rooms, under one key.

Owns: which of the two link layers a peer belongs to, and where members listen. Must not know: rooms, when anybody is
dialled.

Implements `railgun.ports.Links`. Towards members a peer proves a key that is made anew at each start and has nothing to
do with its device. They listen as relays do (spec: links), but are no relays, and machines are told so.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

from railgun.crypto.direct import DirectSelf
from railgun.crypto.network_ids import network_id
from railgun.crypto.signing import SEED_BYTES, public_key_of
from railgun.limits import DIRECT_LINKS_MAX
from railgun.links.certificate import LinkCertificate
from railgun.links.pool import ListenAt, WebRtcLinks
from railgun.links.settings import LinkIdentity, LinkSettings
from railgun.network import NetworkParameters
from railgun.ports import Clock, Entropy, LinkObserver, LinkUp
from railgun.runtime.own_address import source_host_towards
from railgun.types import Address, DeviceKey, NodeKey, PeerKey, RelayContact

IsMember = Callable[[NodeKey], bool]
"""Whether whom the machine dials is a member."""


class _NoRelays:
    """Passes on what a link layer tells; whoever proved a key there is no relay."""

    def __init__(self, observer: LinkObserver) -> None:
        self._observer = observer
        self.link_down = observer.link_down
        self.dial_failed = observer.dial_failed
        self.frame_received = observer.frame_received
        self.pulse_received = observer.pulse_received
        self.link_writable = observer.link_writable

    def link_up(self, up: LinkUp) -> None:
        self._observer.link_up(dataclasses.replace(up, is_relay=False))


class MemberLinks:
    """See the module."""

    def __init__(
        self,
        observer: LinkObserver,
        network: NetworkParameters,
        clock: Clock,
        entropy: Entropy,
        is_member: IsMember,
        *,
        listen: bool,
        towards: Address | None,
    ) -> None:
        """``listen``: whether there are links to members at all. ``towards``: an address that the members can be
        expected behind, a relay's; where this machine's datagrams to it leave from is where it can be reached."""
        settings, name = LinkSettings.for_network(network), network_id(network)
        nobody = LinkIdentity(None, is_relay=False)
        self.relays = WebRtcLinks(observer, nobody, name, clock, entropy, None, None, settings)
        self._is_member = is_member
        self._link_key: PeerKey | None = None
        self._members: WebRtcLinks | None = None
        if listen:
            is_ipv6 = towards is not None and ":" in towards.host
            self._host = source_host_towards(towards)
            seed = entropy.random_bytes(SEED_BYTES)
            self._link_key = PeerKey(public_key_of(seed))
            self._certificate = LinkCertificate.generate(clock.wall())
            self._members = WebRtcLinks(
                _NoRelays(observer),
                LinkIdentity(seed, is_relay=True),
                name,
                clock,
                entropy,
                self._certificate,
                ListenAt("::" if is_ipv6 else "0.0.0.0", 0),
                dataclasses.replace(settings, links_max=2 * DIRECT_LINKS_MAX),
            )

    async def start(self) -> None:
        """Bind a port for members, if they are listened to. Raises ConfigurationError."""
        await self.relays.start()
        if self._members is not None:
            await self._members.start()

    def own(self, device: DeviceKey, device_seed: bytes) -> DirectSelf | None:
        """Who this device is towards members; None where it has no links to any. Once started."""
        if self._members is None or self._link_key is None:
            return None
        port = self._members.local_contact().addresses[0].port
        address = Address(self._host, port)
        return DirectSelf(device, device_seed, self._link_key, self._certificate.certificate_hash, (address,))

    # --- railgun.ports.Links --------------------------------------------------------------------

    def dial(self, contact: RelayContact) -> None:
        """See `railgun.ports.Links`."""
        if self._members is not None and self._is_member(contact.node_key):
            self._members.dial(contact)
        else:
            self.relays.dial(contact)

    def send_frame(self, peer: PeerKey, frame: bytes) -> bool:
        """See `railgun.ports.Links`. Raises ValueError for an empty frame or one beyond FRAME_BYTES_MAX."""
        return self.relays.send_frame(peer, frame) or (
            self._members is not None and self._members.send_frame(peer, frame)
        )

    def send_pulse(self, peer: PeerKey, pulse: bytes) -> bool:
        """See `railgun.ports.Links`."""
        return self.relays.send_pulse(peer, pulse) or (
            self._members is not None and self._members.send_pulse(peer, pulse)
        )

    def close_link(self, peer: PeerKey, code: int, retry_after_ms: int | None = None) -> None:
        """See `railgun.ports.Links`."""
        self.relays.close_link(peer, code, retry_after_ms)
        if self._members is not None:
            self._members.close_link(peer, code, retry_after_ms)

    def peers(self) -> Sequence[PeerKey]:
        """See `railgun.ports.Links`: relays first."""
        return (*self.relays.peers(), *(() if self._members is None else self._members.peers()))

    @property
    def dialled_count(self) -> int:
        """Links that this end dialled, and dials under way: each has a socket of its own."""
        return self.relays.dialled_count + (0 if self._members is None else self._members.dialled_count)

    async def aclose(self) -> None:
        """Say goodbye on every link and leave nothing behind. Idempotent."""
        layers = [self.relays] if self._members is None else [self.relays, self._members]
        ended = await asyncio.gather(*(layer.aclose() for layer in layers), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
