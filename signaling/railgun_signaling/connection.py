"""One client's connection, from the challenge to its end.

Owns: the order of frames, deadlines, slow readers, what a connection leaves behind (nothing).
Must not know: HTTP, NATS, other connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.frames import (
    AskRelays,
    Delivery,
    Forwarded,
    Frame,
    Opened,
    OpenMailbox,
    Refused,
    Registered,
    RegisterRelay,
    Send,
    decode_frame,
    encode_frame,
)
from railgun_signaling.frames import Relays as RelaysFrame
from railgun_signaling.limits import (
    CLOSE_SECONDS,
    FRAME_BYTES_MAX,
    LIFETIME_SECONDS,
    OPENING_SECONDS,
    PROTOCOL_VERSION,
    RELAYS_PER_SOURCE_MAX,
    SEND_SECONDS,
)
from railgun_signaling.logs import Log
from railgun_signaling.mailboxes import Mailbox, Mailboxes
from railgun_signaling.metrics import Metrics
from railgun_signaling.presence import Presence
from railgun_signaling.proofs import ChallengeKey, read_ad
from railgun_signaling.relays import Relays
from railgun_signaling.sources import Host, SourceId, Sources

CLOSE_CODE_BASE = 4_000
"""A refusal that ends a connection is its close code too, 4,000 more: a browser's page can read that."""

log = Log("connection")


@dataclass(frozen=True)
class Shared:
    """What all connections of a server share."""

    sources: Sources
    mailboxes: Mailboxes
    relays: Relays
    presence: Presence
    metrics: Metrics
    random_bytes: Callable[[int], bytes]
    wall: Callable[[], float]
    checks_addresses: bool


class Client:
    """One connection. `run` serves it to its end; `leave` makes it end soon."""

    def __init__(self, shared: Shared, socket: ServerConnection, source: SourceId, host: Host) -> None:
        self._shared = shared
        self._socket = socket
        self._source = source
        self._host = host
        self._deadline = asyncio.timeout(LIFETIME_SECONDS)
        self._leaving: Refusal | None = None
        self._entered = False

    async def run(self) -> None:
        """Until the client goes, is refused, or has had its time. Raises nothing that a client can cause."""
        try:
            async with self._deadline:
                self._entered = True
                if self._leaving is not None:
                    raise self._leaving
                await self._serve()
        except ConnectionClosed:
            return
        except TimeoutError:
            await self.refuse(self._leaving or Refusal(RefusalCode.EXPIRED, 0))
        except Refusal as refusal:
            await self.refuse(refusal)

    def leave(self, refusal: Refusal) -> None:
        """End soon, and tell the client why. Idempotent."""
        if self._leaving is None:
            self._leaving = refusal
            if self._entered and not self._deadline.expired():
                self._deadline.reschedule(asyncio.get_running_loop().time())

    async def refuse(self, refusal: Refusal) -> None:
        """The last word on this connection."""
        self._shared.metrics.refused(refusal.code)
        log.debug("refused", code=refusal.code)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.send(encode_frame(Refused(refusal.code, refusal.retry_after_seconds)))
                await self._socket.close(CLOSE_CODE_BASE + refusal.code)
        except (ConnectionClosed, TimeoutError):
            self._socket.transport.abort()  # who does not even read this has had its chance

    async def _serve(self) -> None:
        shared = self._shared
        key = ChallengeKey(PROTOCOL_VERSION, shared.random_bytes(32), shared.random_bytes(32))
        await self._send(key.challenge)
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                first = await self._receive()
        except TimeoutError:
            raise self._leaving or Refusal(RefusalCode.TIMED_OUT, 0) from None
        match first:
            case AskRelays(network):
                await self._send(RelaysFrame(shared.relays.choose(network)))
                shared.metrics.count("relay_lists_total")
                await self._socket.close()
            case OpenMailbox(mailbox, proof):
                key.check_mailbox(mailbox, proof)
                await self._serve_mailbox(mailbox)
            case RegisterRelay():
                await self._serve_relay(key, first)
            case _:
                raise Refusal(RefusalCode.OUT_OF_ORDER)

    # --- a mailbox ------------------------------------------------------------------------------

    async def _serve_mailbox(self, key: bytes) -> None:
        shared = self._shared
        mailbox = shared.mailboxes.open(key)
        try:
            await shared.presence.opened(key, mailbox.put)
            shared.metrics.count("mailboxes_total")
            await self._send(Opened(LIFETIME_SECONDS))
            writing = asyncio.get_running_loop().create_task(self._write(mailbox), name="mailbox writer")
            try:
                while True:
                    await self._forward(key, await self._receive())
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
        finally:
            shared.mailboxes.close(mailbox)
            await shared.presence.closed(key)

    async def _write(self, mailbox: Mailbox) -> None:
        try:
            while True:
                await self._hand_over(mailbox)
        except (ConnectionClosed, Refusal):
            return  # the reader notices too, and ends the connection

    async def _hand_over(self, mailbox: Mailbox) -> None:
        # A function of its own: in a loop's variable the blob would stay until the next one comes.
        delivery = await mailbox.take()
        try:
            await self._send(delivery)
        finally:
            mailbox.done()

    async def _forward(self, sender: bytes, frame: Frame) -> None:
        if not isinstance(frame, Send):
            raise Refusal(RefusalCode.OUT_OF_ORDER)
        shared = self._shared
        delivery = Delivery(sender, frame.blob)
        try:
            mailbox = shared.mailboxes.get(frame.to)
            if mailbox is None:
                await shared.presence.forward(frame.to, delivery)
            else:
                mailbox.put(delivery)
        except Refusal as refusal:
            shared.metrics.refused(refusal.code)
            await self._send(Refused(refusal.code, refusal.retry_after_seconds, frame.number))
            return
        shared.metrics.count("blobs_remote_total" if mailbox is None else "blobs_local_total")
        await self._send(Forwarded(frame.number))
        # The WebSocket library keeps the last frame that came until there is another: the answer to this makes it let
        # go of the blob.
        await self._socket.ping()

    # --- a relay --------------------------------------------------------------------------------

    async def _serve_relay(self, key: ChallengeKey, frame: RegisterRelay) -> None:
        shared = self._shared
        now = asyncio.get_running_loop().time()
        ad = read_ad(frame.ad, shared.wall())
        key.check_relay(frame, ad.relay.node_key)
        if shared.checks_addresses and ad.host != self._host:
            raise Refusal(RefusalCode.ADDRESS_MISMATCH)
        seconds = max(1, min(LIFETIME_SECONDS, int(ad.expires - shared.wall())))
        shared.sources.register(self._source, RELAYS_PER_SOURCE_MAX, now)
        try:
            shared.relays.register(frame.network, ad, frame.ad, seconds)
            try:
                await shared.presence.registered(frame.network, frame.ad)
                shared.metrics.count("registrations_total")
                await self._send(Registered(seconds))
                try:
                    async with asyncio.timeout(seconds):
                        await self._receive()
                except TimeoutError:
                    raise self._leaving or Refusal(RefusalCode.EXPIRED, 0) from None
                raise Refusal(RefusalCode.OUT_OF_ORDER)
            finally:
                if shared.relays.withdraw(frame.network, ad.relay.node_key, frame.ad):
                    await shared.presence.withdrawn(frame.network, ad.relay.node_key)
        finally:
            shared.sources.unregister(self._source)

    # --- frames ---------------------------------------------------------------------------------

    async def _receive(self) -> Frame:
        message = await self._socket.recv()
        self._shared.sources.frame(self._source, asyncio.get_running_loop().time())
        if not isinstance(message, bytes):
            raise Refusal(RefusalCode.MALFORMED)
        if len(message) > FRAME_BYTES_MAX:
            raise Refusal(RefusalCode.TOO_LARGE)
        return decode_frame(message)

    async def _send(self, frame: Frame) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send(encode_frame(frame))
        except TimeoutError:
            if self._leaving is None:
                self._shared.metrics.count("slow_readers_total")
            self._socket.transport.abort()
            raise Refusal(RefusalCode.TOO_SLOW) from None
