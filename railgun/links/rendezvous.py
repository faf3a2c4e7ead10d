"""Talking to a rendezvous server: asking for relays, registering one, a mailbox.

Owns: the WebSocket connection, the order of frames, deadlines. Must not know: why it is asked, what a blob says.

Spec: docs/spec/signaling.md. A server is a stranger: what it says is bounded and checked, it is told nothing that it
does not need (no user agent), no redirect is followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from railgun.crypto.rendezvous import MailboxKey, seal_blob, sign_registration
from railgun.errors import CryptoError, LinkLost, MalformedInput, RendezvousRefusal
from railgun.limits import (
    CLOSE_SECONDS,
    RENDEZVOUS_ASK_SECONDS,
    RENDEZVOUS_BLOBS_WAITING_MAX,
    RENDEZVOUS_FRAME_BYTES_MAX,
)
from railgun.ports import Entropy
from railgun.types import Address, NetworkId, RelayContact
from railgun.wire.rendezvous import (
    NUMBER_MAX,
    RENDEZVOUS_FRAMES,
    RENDEZVOUS_PATH,
    RENDEZVOUS_VERSION,
    AskRelays,
    Challenge,
    Delivery,
    Forwarded,
    Opened,
    OpenMailbox,
    Registered,
    RegisterRelay,
    Relays,
    RendezvousCode,
    RendezvousFrame,
    RendezvousRefused,
    Send,
)

Answer = TypeVar("Answer")

PING_SECONDS: Final = 20.0
KEY_BYTES: Final = 32
TOO_MANY_REQUESTS: Final = 429
SERVICE_UNAVAILABLE: Final = 503
RETRY_SECONDS_MAX: Final = 86_400


class _Connect(connect):
    """Stays with the server that was named."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """No redirect is followed."""
        return exc


class _Conversation:
    """One connection whose challenge has come. Raises LinkLost, RendezvousRefusal, all methods."""

    def __init__(self, connection: ClientConnection, challenge: Challenge) -> None:
        self._connection = connection
        self.challenge = challenge

    async def tell(self, frame: RendezvousFrame) -> None:
        try:
            await self._connection.send(RENDEZVOUS_FRAMES.encode(frame))
        except ConnectionClosed as error:
            raise LinkLost("the rendezvous server closed the connection") from error

    async def hear(self) -> RendezvousFrame:
        """The next frame; a refusal of the whole connection is raised."""
        return await _hear(self._connection)

    async def expect(self, kind: type[Answer]) -> Answer:
        """The next frame, which has to be of this kind."""
        async with asyncio.timeout(RENDEZVOUS_ASK_SECONDS):
            frame = await self.hear()
        if not isinstance(frame, kind):
            raise LinkLost("the rendezvous server answered something else than it was asked")
        return frame


async def _hear(connection: ClientConnection) -> RendezvousFrame:
    try:
        message = await connection.recv()
    except ConnectionClosed as error:
        raise LinkLost("the rendezvous server closed the connection") from error
    if not isinstance(message, bytes):
        raise LinkLost("the rendezvous server speaks another protocol")
    try:
        frame = RENDEZVOUS_FRAMES.decode(message)
    except MalformedInput as error:
        raise LinkLost("the rendezvous server speaks another protocol") from error
    if isinstance(frame, RendezvousRefused) and frame.number is None:
        raise _refusal(frame)
    return frame


def _refusal(frame: RendezvousRefused) -> RendezvousRefusal:
    return RendezvousRefusal(frame.code.name.lower(), frame.retry_after_seconds)


@asynccontextmanager
async def _conversation(url: str, family: int = socket.AF_UNSPEC) -> AsyncIterator[_Conversation]:
    try:
        async with asyncio.timeout(RENDEZVOUS_ASK_SECONDS):
            connection = await _open(url, family)
    except TimeoutError as error:
        raise LinkLost(f"the rendezvous server does not answer within {RENDEZVOUS_ASK_SECONDS:g} s") from error
    try:
        try:
            async with asyncio.timeout(RENDEZVOUS_ASK_SECONDS):
                first = await _hear(connection)
        except TimeoutError as error:
            raise LinkLost("the rendezvous server does not say anything") from error
        if not isinstance(first, Challenge):
            raise LinkLost("the rendezvous server speaks another protocol")
        if first.version != RENDEZVOUS_VERSION:
            raise RendezvousRefusal(RendezvousCode.UNSUPPORTED_VERSION.name.lower())
        yield _Conversation(connection, first)
    except TimeoutError as error:
        raise LinkLost("the rendezvous server does not answer") from error
    finally:
        await connection.close()


async def _open(url: str, family: int) -> ClientConnection:
    try:
        return await _Connect(
            url + RENDEZVOUS_PATH,
            compression=None,
            user_agent_header=None,
            proxy=None,
            open_timeout=RENDEZVOUS_ASK_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            max_size=RENDEZVOUS_FRAME_BYTES_MAX,
            max_queue=RENDEZVOUS_BLOBS_WAITING_MAX,
            family=family,
        )
    except InvalidHandshake as error:
        response = getattr(error, "response", None)
        status = None if response is None else response.status_code
        if response is not None and status in (TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE):
            retry = _retry_after(response.headers.get("Retry-After", ""))
            code = RendezvousCode.RATE_LIMITED if status == TOO_MANY_REQUESTS else RendezvousCode.SHUTTING_DOWN
            raise RendezvousRefusal(code.name.lower(), retry) from error
        said = "no answer that fits" if status is None else f"HTTP {status}"
        raise LinkLost(f"no rendezvous server there: {said}") from error
    except (OSError, InvalidURI, EOFError, ValueError) as error:  # ValueError: no name that can be looked up
        raise LinkLost(f"the rendezvous server cannot be reached: {error}") from error


def _retry_after(text: str) -> int:
    """Seconds; an odd header counts as one."""
    return min(int(text), RETRY_SECONDS_MAX) if text.isascii() and text.isdigit() and len(text) < 6 else 1


async def ask_relays(url: str, network: NetworkId) -> tuple[RelayContact, ...]:
    """Relays of ``network`` that the server knows, at most 8, in no order; perhaps none.

    They are strangers' word, as any bootstrap is: whoever dials one checks its key.

    Raises:
        RendezvousRefusal: the server said no.
        LinkLost: it cannot be reached, does not answer, or is no rendezvous server.
    """
    async with _conversation(url) as talk:
        await talk.tell(AskRelays(network))
        answer = await talk.expect(Relays)
    return tuple(relay.contact() for relay in answer.relays)


@asynccontextmanager
async def registered_relay(
    url: str, network: NetworkId, seed: bytes, ad: bytes, address: Address
) -> AsyncIterator[RelayRegistration]:
    """Have the server hand out the relay of this ad for as long as the block runs.

    Args:
        seed: the node key's, 32 bytes.
        ad: encoded and signed.
        address: the ad's; the connection is made over its family, for the server looks where it comes from.

    Raises:
        RendezvousRefusal, LinkLost: as `ask_relays`.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    async with _conversation(url, family) as talk:
        signature = sign_registration(seed, talk.challenge.nonce, talk.challenge.key, network, ad)
        await talk.tell(RegisterRelay(network, ad, signature))
        answer = await talk.expect(Registered)
        yield RelayRegistration(talk, answer.expires_in_seconds)


class RelayRegistration:
    """A registration that stands; made by `registered_relay`."""

    def __init__(self, talk: _Conversation, expires_in_seconds: int) -> None:
        self._talk = talk
        self.expires_in_seconds = expires_in_seconds

    async def ended(self) -> None:
        """Until it stands no longer; raises why: LinkLost, RendezvousRefusal (EXPIRED: register anew)."""
        await self._talk.hear()
        raise LinkLost("the rendezvous server said something out of order")


@asynccontextmanager
async def open_mailbox(url: str, key: MailboxKey, entropy: Entropy) -> AsyncIterator[RendezvousMailbox]:
    """A mailbox under ``key`` for as long as the block runs.

    Raises:
        RendezvousRefusal: among others ``occupied``: somebody who holds the same key is there.
        LinkLost: as `ask_relays`.
    """
    async with _conversation(url) as talk:
        try:
            proof = key.proof(talk.challenge.nonce, talk.challenge.key)
        except CryptoError as error:
            raise LinkLost("the rendezvous server's challenge is none") from error
        await talk.tell(OpenMailbox(key.public, proof))
        opened = await talk.expect(Opened)
        yield RendezvousMailbox(talk, key, entropy, opened.expires_in_seconds)


class RendezvousMailbox:
    """An open mailbox; made by `open_mailbox`. One task at a time may use it."""

    def __init__(self, talk: _Conversation, key: MailboxKey, entropy: Entropy, expires_in_seconds: int) -> None:
        self._talk = talk
        self._key = key
        self._entropy = entropy
        self._number = 0
        self._waiting: list[tuple[bytes, bytes]] = []
        self.expires_in_seconds = expires_in_seconds

    @property
    def public(self) -> bytes:
        """The mailbox's key, 32 bytes: what others send to."""
        return self._key.public

    async def send(self, to: bytes, content: bytes) -> None:
        """Seal ``content`` (at most 4,045 bytes) for a mailbox and have it handed over.

        That it arrived only the recipient can say.

        Raises:
            ValueError: too long.
            RendezvousRefusal: ``absent`` (nobody is there), ``busy``, ``rate_limited``; or the connection's end.
            LinkLost: the connection's end.
        """
        blob = seal_blob(to, content, self._entropy.random_bytes(KEY_BYTES))
        self._number = (self._number + 1) & NUMBER_MAX
        number = self._number
        await self._talk.tell(Send(number, to, blob))
        while True:
            frame = await self._talk.hear()
            if isinstance(frame, Forwarded) and frame.number == number:
                return
            if isinstance(frame, RendezvousRefused) and frame.number == number:
                raise _refusal(frame)
            self._keep(frame)

    async def receive(self) -> tuple[bytes, bytes]:
        """The next content that opens, and the mailbox that the server says it came from.

        Raises LinkLost, RendezvousRefusal: the connection's end.
        """
        while not self._waiting:
            self._keep(await self._talk.hear())
        return self._waiting.pop(0)

    def _keep(self, frame: RendezvousFrame) -> None:
        if not isinstance(frame, Delivery):
            raise LinkLost("the rendezvous server said something out of order")
        try:
            content = self._key.open(frame.blob)
        except CryptoError:
            return  # anybody may send anything; what does not open was not for us
        if len(self._waiting) < RENDEZVOUS_BLOBS_WAITING_MAX:
            self._waiting.append((frame.sender, content))
