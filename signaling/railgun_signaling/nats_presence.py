"""Presence through NATS: each open mailbox is a subject that its instance listens on.

Owns: subjects, what instances tell each other, the connection and its renewal. Must not know: clients, sockets.

A question on a subject that nobody listens on is answered at once by NATS itself, so nobody keeps a table of who is
where. The client library's own reconnection is not used: it keeps what could not be sent and sends it later, and
nothing here may outlive its moment. Each loss ends the client; a new one starts with what is open now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from railgun_signaling import cbor
from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.frames import KEY_BYTES, Delivery
from railgun_signaling.limits import (
    AD_BYTES_MAX,
    BLOB_BYTES,
    FRAME_BYTES_MAX,
    PRESENCE_PENDING_BYTES_MAX,
    PRESENCE_PENDING_MESSAGES_MAX,
    PRESENCE_REQUESTS_MAX,
    PRESENCE_SECONDS,
    RECONNECT_SECONDS,
    RELAYS_TOLD_SECONDS,
)
from railgun_signaling.logs import Log
from railgun_signaling.mailboxes import BUSY_SECONDS, OCCUPIED_SECONDS
from railgun_signaling.metrics import Metrics
from railgun_signaling.presence import ABSENT_SECONDS, PresenceState
from railgun_signaling.proofs import keyed_hash, read_ad
from railgun_signaling.relays import Relays

SUBJECT_LABEL: Final = "railgun/mailbox-subject/v1"
SUBJECT_HASH_BYTES: Final = 16
_BLOB: Final = 1
_PROBE: Final = 2
_RELAY: Final = 3
_RELAY_GONE: Final = 4
_TAKEN: Final = b"\0"
_UNREACHABLE: Final = (NatsError, OSError, TimeoutError, asyncio.TimeoutError)

log = Log("nats")


class NatsPresence:
    """Implements `Presence`. `run` is to be run beside it for as long as it is used."""

    def __init__(
        self,
        *,
        url: str,
        credentials: Path | None,
        subject: str,
        relays: Relays,
        metrics: Metrics,
        wall: Callable[[], float],
    ) -> None:
        """``url``: ``nats://`` or ``tls://``. ``subject``: the prefix of all subjects. ``wall``: Unix seconds."""
        self._url = url
        self._credentials = credentials
        self._subject = subject
        self._relays = relays
        self._metrics = metrics
        self._wall = wall
        self._client: Client | None = None
        self._open: dict[bytes, Callable[[Delivery], None]] = {}
        self._subscriptions: dict[bytes, Subscription] = {}
        self._asking = 0

    @property
    def state(self) -> PresenceState:
        """See `Presence`."""
        return PresenceState.LOST if self._client is None else PresenceState.CONNECTED

    # --- the connection -------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost; until cancelled."""
        while True:
            lost = asyncio.Event()
            client = Client()
            try:
                await self._connect(client, lost)
                await self._serve(client, lost)
            except _UNREACHABLE:
                log.debug("NATS does not answer")
            finally:
                if self._client is client:
                    self._metrics.count("presence_losses_total")
                    log.warning("NATS is lost; mailboxes of this instance are served on")
                self._client = None
                self._subscriptions.clear()
                await client.close()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _connect(self, client: Client, lost: asyncio.Event) -> None:
        async def ended() -> None:
            lost.set()

        async def erred(error: Exception) -> None:
            log.debug("NATS erred", is_timeout=isinstance(error, TimeoutError))

        async with asyncio.timeout(2 * PRESENCE_SECONDS):
            await client.connect(
                [self._url],
                name="railgun-signaling",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(PRESENCE_SECONDS),
                ping_interval=5,
                max_outstanding_pings=2,
                error_cb=erred,
                disconnected_cb=ended,
                closed_cb=ended,
                user_credentials=None if self._credentials is None else str(self._credentials),
            )

    async def _serve(self, client: Client, lost: asyncio.Event) -> None:
        await client.subscribe(f"{self._subject}.relays", cb=self._heard_of_relay)
        self._client = client
        log.info("NATS is connected", mailboxes=len(self._open))
        for mailbox in list(self._open):
            await self._listen(client, mailbox)
        while not lost.is_set():
            for network, ad in self._relays.own():
                await self._publish_relay(client, network, ad)
            try:
                async with asyncio.timeout(RELAYS_TOLD_SECONDS):
                    await lost.wait()
            except TimeoutError:
                continue

    async def aclose(self) -> None:
        """See `Presence`. The connection ends with `run`."""
        self._open.clear()

    # --- mailboxes ------------------------------------------------------------------------------

    async def opened(self, mailbox: bytes, take: Callable[[Delivery], None]) -> None:
        """See `Presence`. Two instances asked at the same moment may both open it; each is then given what comes."""
        try:
            answer = await self._ask(mailbox, cbor.encode({0: _PROBE}))
        except Refusal:
            answer = b""  # nobody has it, or nobody can be asked
        if answer == _TAKEN:
            raise Refusal(RefusalCode.OCCUPIED, OCCUPIED_SECONDS)
        self._open[mailbox] = take
        if self._client is None:
            return
        try:
            await self._listen(self._client, mailbox)
            # The library's flush overtakes what waits to be written. A question to oneself cannot: once it is answered,
            # so are those of others.
            await self._ask(mailbox, cbor.encode({0: _PROBE}))
        except (Refusal, *_UNREACHABLE):
            log.debug("NATS does not answer")

    async def closed(self, mailbox: bytes) -> None:
        """See `Presence`."""
        self._open.pop(mailbox, None)
        subscription = self._subscriptions.pop(mailbox, None)
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except _UNREACHABLE:
                log.debug("NATS does not answer")

    async def forward(self, to: bytes, delivery: Delivery) -> None:
        """See `Presence`."""
        answer = await self._ask(to, cbor.encode({0: _BLOB, 1: delivery.sender, 2: delivery.blob}))
        if answer != _TAKEN:
            is_busy = answer == bytes((RefusalCode.BUSY,))
            raise Refusal(RefusalCode.BUSY if is_busy else RefusalCode.ABSENT, BUSY_SECONDS)

    async def _ask(self, mailbox: bytes, question: bytes) -> bytes:
        client = self._client
        if client is None:
            raise Refusal(RefusalCode.ABSENT, ABSENT_SECONDS)
        if self._asking >= PRESENCE_REQUESTS_MAX:
            raise Refusal(RefusalCode.BUSY, BUSY_SECONDS)
        self._asking += 1
        try:
            answer = await client.request(self._mailbox_subject(mailbox), question, timeout=PRESENCE_SECONDS)
        except NoRespondersError:
            raise Refusal(RefusalCode.ABSENT, ABSENT_SECONDS) from None
        except _UNREACHABLE as error:
            raise Refusal(RefusalCode.ABSENT, ABSENT_SECONDS) from error
        finally:
            self._asking -= 1
        return answer.data

    async def _listen(self, client: Client, mailbox: bytes) -> None:
        async def asked(message: Msg) -> None:
            await self._answer(mailbox, message)

        if mailbox not in self._open or mailbox in self._subscriptions:
            return
        self._subscriptions[mailbox] = await client.subscribe(
            self._mailbox_subject(mailbox),
            cb=asked,
            pending_msgs_limit=PRESENCE_PENDING_MESSAGES_MAX,
            pending_bytes_limit=PRESENCE_PENDING_BYTES_MAX,
        )

    async def _answer(self, mailbox: bytes, message: Msg) -> None:
        take = self._open.get(mailbox)
        try:
            if take is None:
                raise Refusal(RefusalCode.ABSENT)
            value = cbor.decode(message.data, bytes_max=FRAME_BYTES_MAX)
            if value != {0: _PROBE}:
                take(_delivery(value))
                self._metrics.count("blobs_taken_total")
            answer = _TAKEN
        except Refusal as refusal:
            answer = bytes((refusal.code,))
        try:
            await message.respond(answer)
        except _UNREACHABLE:
            log.debug("NATS does not answer")

    def _mailbox_subject(self, mailbox: bytes) -> str:
        return f"{self._subject}.mailbox.{keyed_hash(None, SUBJECT_LABEL, mailbox)[:SUBJECT_HASH_BYTES].hex()}"

    # --- relays ---------------------------------------------------------------------------------

    async def registered(self, network: bytes, ad: bytes) -> None:
        """See `Presence`."""
        if self._client is not None:
            await self._tell(cbor.encode({0: _RELAY, 1: network, 2: ad}))

    async def withdrawn(self, network: bytes, node_key: bytes) -> None:
        """See `Presence`."""
        await self._tell(cbor.encode({0: _RELAY_GONE, 1: network, 2: node_key}))

    async def _tell(self, data: bytes) -> None:
        if self._client is None:
            return
        try:
            await self._client.publish(f"{self._subject}.relays", data)
        except _UNREACHABLE:
            log.debug("NATS does not answer")

    async def _publish_relay(self, client: Client, network: bytes, ad: bytes) -> None:
        await client.publish(f"{self._subject}.relays", cbor.encode({0: _RELAY, 1: network, 2: ad}))

    async def _heard_of_relay(self, message: Msg) -> None:
        try:
            value = cbor.decode(message.data, bytes_max=AD_BYTES_MAX + 64)
            kind, network, data = _relay_news(value)
            if kind == _RELAY:
                self._relays.heard(network, read_ad(data, self._wall()), data)
            else:
                self._relays.heard_withdrawn(network, data)
        except Refusal as refusal:
            log.debug("what another instance told of a relay was refused", code=refusal.code)


def _delivery(value: cbor.Value) -> Delivery:
    if not isinstance(value, dict) or set(value) != {0, 1, 2} or value[0] != _BLOB:
        raise Refusal(RefusalCode.MALFORMED)
    sender, blob = value[1], value[2]
    if not isinstance(sender, bytes) or not isinstance(blob, bytes):
        raise Refusal(RefusalCode.MALFORMED)
    if len(sender) != KEY_BYTES or len(blob) != BLOB_BYTES:
        raise Refusal(RefusalCode.MALFORMED)
    return Delivery(sender, blob)


def _relay_news(value: cbor.Value) -> tuple[int, bytes, bytes]:
    if not isinstance(value, dict) or set(value) != {0, 1, 2}:
        raise Refusal(RefusalCode.MALFORMED)
    kind, network, data = value[0], value[1], value[2]
    if kind not in (_RELAY, _RELAY_GONE) or not isinstance(network, bytes) or not isinstance(data, bytes):
        raise Refusal(RefusalCode.MALFORMED)
    return int(kind), network, data
