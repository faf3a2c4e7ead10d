"""A dialler under a test's full control: real DTLS and SCTP, and a proof that can lie.

Must not know: `WebRtcLinks`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time

from OpenSSL import SSL

from railgun.links.certificate import LinkCertificate
from railgun.links.dtls import dialler_context
from railgun.links.dtls_cookie import Source
from railgun.links.handshake import CODEC, DiallerProof, Instant, LocalEnd, Message
from railgun.links.session import Session
from railgun.types import NetworkId, RelayContact
from railgun.wire.framing import FrameDecoder, Goodbye, Handshake, Item, handshake_message
from tests.support.links_lab import NETWORK, certificate


def udp_socket(contact: RelayContact, source: Source = ("127.0.0.1", 0)) -> socket.socket:
    """A socket connected to a relay, without blocking."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind(source)
    made.connect((contact.addresses[0].host, contact.addresses[0].port))
    return made


def first_hello(ours: LinkCertificate | None = None) -> tuple[SSL.Connection, bytes]:
    """A DTLS client and its ClientHello without a cookie."""
    client = SSL.Connection(dialler_context(ours or certificate("raw")))
    client.set_ciphertext_mtu(1_200)
    client.set_connect_state()
    try:
        client.do_handshake()
    except SSL.WantReadError:
        return client, client.bio_read(4_096)
    raise AssertionError("unreachable")


async def exchange(sock: socket.socket, datagram: bytes) -> bytes:
    """Send one datagram and wait for one."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, datagram)
    return await asyncio.wait_for(loop.sock_recv(sock, 4_096), 5)


async def second_hello(sock: socket.socket) -> bytes:
    """Fetch a cookie; the ClientHello that brings it back, not yet sent."""
    client, hello = first_hello()
    client.bio_write(await exchange(sock, hello))
    try:
        client.do_handshake()
    except SSL.WantReadError:
        return client.bio_read(4_096)
    raise AssertionError("unreachable")


class RawDialler:
    """Opens a session; everything after that is the test's business."""

    def __init__(
        self, contact: RelayContact, *, source: Source = ("127.0.0.1", 0), certificate_name: str = "raw"
    ) -> None:
        self.contact = contact
        self.certificate = certificate(certificate_name)
        self.socket = udp_socket(contact, source)
        self.source: Source = self.socket.getsockname()
        self.items: asyncio.Queue[Item] = asyncio.Queue()
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.is_deaf = False
        self._decoder = FrameDecoder()
        self._loop = asyncio.get_running_loop()
        self.session = self._make_session()
        self._loop.add_reader(self.socket, self._readable)

    def _make_session(self) -> Session:
        return Session(
            dialler_context(self.certificate),
            is_listener=False,
            transmit=self._transmit,
            observer=self,
            loop=self._loop,
            now=time.monotonic,
        )

    def _transmit(self, datagram: bytes) -> None:
        if self.socket.fileno() >= 0:
            self.socket.send(datagram)

    def _readable(self) -> None:
        datagram = self.socket.recv(4_096)
        if not self.is_deaf:
            self.session.receive(datagram)

    async def open(self) -> RawDialler:
        """Until both channels are open."""
        self.session.start()
        await asyncio.wait_for(self.up.wait(), 5)
        return self

    def proof(self, *, network: NetworkId = NETWORK, seed: bytes | None = None, is_relay: bool = False) -> DiallerProof:
        local = LocalEnd(network, seed or os.urandom(32), is_relay, os.urandom(32), self.certificate.certificate_hash)
        return DiallerProof(local, self.contact.node_key, self.contact.certificate_hash)

    def say(self, data: bytes) -> None:
        self.session.send_message(handshake_message(data))

    async def answer(self) -> Message:
        """The next handshake message."""
        item = await asyncio.wait_for(self.items.get(), 5)
        if not isinstance(item, Handshake):
            raise AssertionError(f"expected a handshake message, not {item!r}")
        return CODEC.decode(item.data)

    async def goodbye(self) -> Goodbye:
        item = await asyncio.wait_for(self.items.get(), 5)
        if not isinstance(item, Goodbye):
            raise AssertionError(f"expected a goodbye, not {item!r}")
        return item

    async def prove(self, proof: DiallerProof | None = None) -> DiallerProof:
        """Go through the proof, honestly."""
        proof = proof or self.proof()
        now = Instant(time.monotonic(), time.time())
        self.say(proof.begin(now))
        while proof.proved is None:
            item = await asyncio.wait_for(self.items.get(), 5)
            if isinstance(item, Handshake):
                reply = proof.receive(item.data, now)
                if reply is not None:
                    self.say(reply)
        return proof

    def vanish(self) -> None:
        """Die without a word."""
        self.is_deaf = True
        self._loop.remove_reader(self.socket)
        self.socket.close()
        self.session.close()

    # --- SessionObserver ------------------------------------------------------------------------

    def session_up(self) -> None:
        self.up.set()

    def session_down(self, reason: str, *, malformed: bool) -> None:
        self.down.set()

    def session_message(self, message: bytes) -> None:
        for item in self._decoder.decode(message):
            self.items.put_nowait(item)

    def session_pulse(self, pulse: bytes) -> None:
        """Ignored."""

    def session_drained(self) -> None:
        """Ignored."""
