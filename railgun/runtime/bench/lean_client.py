"""A client that does what a relay can see of one, and little else, so that the load does not slow the relay down.

Owns: subscribing, sealing and publishing, receiving, and the checks that nothing came altered. Must not know: rooms'
members, other relays. Links and frames are those of every client.

A message counts as delivered when the hash of its envelope, its id, is one that the publisher sealed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from railgun.core.committee import seats_hash
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.network_ids import network_id
from railgun.crypto.receipts import sign_subscription, sign_tag_descriptor, verify_receipt
from railgun.crypto.sealing import envelope_id, seal_envelope
from railgun.errors import LinkError
from railgun.limits import PULSE_SECONDS
from railgun.links.pool import WebRtcLinks
from railgun.links.settings import LinkIdentity, LinkSettings
from railgun.network import NetworkParameters
from railgun.ports import LinkUp
from railgun.runtime.bench.room import COMMITTEE_SIZE
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.types import EnvelopeId, EnvelopeKind, Handle, NodeKey, PeerKey, RelayContact, SizeClass
from railgun.wire.envelope import NO_HINT, NONCE_BYTES
from railgun.wire.frames import (
    FRAMES,
    PULSES,
    Deliver,
    Frame,
    Publish,
    Pulse,
    Receipt,
    Refused,
    Subscribe,
    Subscribed,
    SubscriptionMode,
)

HANDLE_BYTES = 16
NO_INCARNATION = bytes(8)


class LeanClient:
    """One client of one relay and one tag. Implements `railgun.ports.LinkObserver`."""

    def __init__(
        self, network: NetworkParameters, keys: EpochKeys, relay: RelayContact, delivered: Callable[[EnvelopeId], None]
    ) -> None:
        """``delivered`` is told of each envelope that the relay delivers."""
        loop = asyncio.get_running_loop()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self.failed: asyncio.Future[None] = loop.create_future()
        """Ends with an error when the relay refused something or the link went."""
        self.receipted = 0
        self._loop = loop
        self._keys = keys
        self._relay = relay
        self._peer = PeerKey(relay.node_key)
        self._seats_hash = seats_hash([relay.node_key])
        self._delivered = delivered
        self._entropy = SystemEntropy()
        self._pulses = 0
        self._pulse_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._links = WebRtcLinks(
            self,
            LinkIdentity(None, is_relay=False),
            network_id(network),
            SystemClock(),
            self._entropy,
            settings=LinkSettings.for_network(network),
        )

    async def start(self) -> None:
        """Dial; `subscribed` is done once the relay serves."""
        await self._links.start()
        self._links.dial(self._relay)

    def seal(self, size_class: SizeClass) -> tuple[EnvelopeId, bytes]:
        """A fresh envelope."""
        nonce = self._entropy.random_bytes(NONCE_BYTES)
        envelope = seal_envelope(self._keys, EnvelopeKind.SEALED, NO_HINT, b"", size_class, nonce)
        return envelope_id(envelope), envelope

    def publish(self, envelope: bytes) -> None:
        """Send an envelope to the relay."""
        self._send(Publish(envelope, self._seats_hash, None))

    async def aclose(self) -> None:
        """Say goodbye and close."""
        self._closing = True
        if self._pulse_timer is not None:
            self._pulse_timer.cancel()
        self.failed.cancel()
        await self._links.aclose()

    def _send(self, frame: Frame) -> None:
        if not self._links.send_frame(self._peer, FRAMES.encode(frame)):
            self._fail("the link to the relay is full or gone")

    def _fail(self, reason: str) -> None:
        if not self._closing and not self.failed.done():
            self.failed.set_exception(LinkError(reason))

    def _pulse(self) -> None:
        self._pulses += 1
        self._links.send_pulse(self._peer, PULSES.encode(Pulse(self._pulses, 0, True, ())))
        self._pulse_timer = self._loop.call_later(PULSE_SECONDS, self._pulse)

    # --- LinkObserver ---------------------------------------------------------------------------

    def link_up(self, up: LinkUp) -> None:
        """Subscribe, as to a primary."""
        handle = Handle(self._entropy.random_bytes(HANDLE_BYTES))
        proof = sign_subscription(self._keys, NodeKey(self._peer), up.local_key, handle)
        descriptor = sign_tag_descriptor(self._keys, COMMITTEE_SIZE, 0)
        mode = SubscriptionMode.PRIMARY
        self._send(Subscribe(descriptor, handle, mode, proof, self._seats_hash, NO_INCARNATION, 1))
        self._pulse()

    def link_down(self, peer: PeerKey, error: LinkError) -> None:
        """The relay must not go during a benchmark."""
        self._fail(f"the link to the relay went: {error}")

    def dial_failed(self, peer: PeerKey, error: LinkError) -> None:
        """The relay must be there."""
        self._fail(f"the relay did not answer: {error}")

    def frame_received(self, peer: PeerKey, frame: bytes) -> None:
        """Count."""
        match FRAMES.decode(frame):
            case Deliver(_, envelope):
                self._delivered(envelope_id(envelope))
            case Receipt() as receipt:
                if verify_receipt(receipt):
                    self.receipted += len(receipt.ids)
                else:
                    self._fail("the relay's receipt does not verify")
            case Subscribed():
                if not self.subscribed.done():
                    self.subscribed.set_result(None)
            case Refused(code):
                self._fail(f"the relay refused: {code.name.lower()}")
            case _:
                pass  # directories and digests: there is one relay, and every subscriber is its primary's

    def pulse_received(self, peer: PeerKey, pulse: bytes) -> None:
        """The relay lives."""

    def link_writable(self, peer: PeerKey) -> None:
        """The window is far smaller than the budget, so that it never was full."""
