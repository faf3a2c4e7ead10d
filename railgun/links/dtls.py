"""DTLS 1.2 over any path that carries datagrams, without tasks: bytes in, bytes out, one timer.

Owns: OpenSSL contexts and one connection's state. Must not know: addresses, SCTP, who the peer is. It accepts
any certificate and reports its hash; the dialler compares it with the contact, the in-band proof signs it.

aiortc's transport would do the same through a task, a queue and SRTP state for each connection; this one is
about a third of its cost a packet, and nothing in it can be left behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from railgun.links.certificate import LinkCertificate
from railgun.links.timers import Timers

logger = logging.getLogger(__name__)

DTLS1_2: Final = 0xFEFD
DATAGRAM_BYTES_MAX: Final = 1_232
"""What we send in one datagram: the smallest IPv6 path (1,280 bytes) less its headers."""
RECORD_BYTES_MAX: Final = 2_048
_CIPHERS: Final = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
_APPLICATION_DATA: Final = 23
_SRTP_PROFILES: Final = b"SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"
"""Never used: some WebRTC ends fail a handshake that selects none."""
_RECORD_HEADER_BYTES: Final = 13


def listener_context(certificate: LinkCertificate) -> SSL.Context:
    """One context for all sessions of a listener. Cookies are checked before a session exists."""
    context = _context(certificate)
    context.set_cookie_generate_callback(lambda _connection: bytes(16))  # the first hello was answered already
    context.set_cookie_verify_callback(lambda _connection, _cookie: True)  # and the second one checked
    return context


def dialler_context(certificate: LinkCertificate) -> SSL.Context:
    """A context for dialling."""
    return _context(certificate)


def _context(certificate: LinkCertificate) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(DTLS1_2)
    context.set_max_proto_version(DTLS1_2)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_args: True)
    context.use_certificate(certificate.certificate)
    context.use_privatekey(certificate.key)
    context.set_cipher_list(_CIPHERS)
    context.set_tlsext_use_srtp(_SRTP_PROFILES)
    return context


class DtlsEndpoint:
    """One DTLS connection.

    Callbacks: ``transmit(datagram)``; ``connected()`` once; ``received(plaintext)``; ``closed(reason)`` once, when
    the handshake fails or the peer closes. After `close` there are none.
    """

    def __init__(
        self,
        context: SSL.Context,
        *,
        is_server: bool,
        timers: Timers,
        transmit: Callable[[bytes], None],
        connected: Callable[[], None],
        received: Callable[[bytes], None],
        closed: Callable[[str], None],
    ) -> None:
        connection = SSL.Connection(context)
        connection.set_ciphertext_mtu(DATAGRAM_BYTES_MAX)
        if is_server:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
        self._connection: SSL.Connection | None = connection
        self._timers = timers
        self._transmit = transmit
        self._connected_callback = connected
        self._received = received
        self._closed_callback = closed
        self._timer: asyncio.TimerHandle | None = None
        self._open = False
        self.peer_certificate_hash = b""

    @property
    def is_open(self) -> bool:
        """Whether data can be sent."""
        return self._open and self._connection is not None

    def start(self, proved_hello: bytes | None = None) -> None:
        """Begin. A server gets the ClientHello that brought a valid cookie."""
        if proved_hello is not None and self._connection is not None:
            self._connection.bio_write(proved_hello)
            try:
                self._connection.DTLSv1_listen()
            except SSL.Error:
                self._end("the hello does not parse")
                return
        self._shake_hands()

    def receive(self, datagram: bytes) -> None:
        """Take in one datagram."""
        if self._connection is None:
            return
        self._connection.bio_write(datagram)
        if not self._open:
            self._shake_hands()
            if not self.is_open:
                return
        self._read(datagram)

    def send(self, data: bytes | bytearray) -> None:
        """Encrypt and transmit one record; dropped unless open (as a datagram may be)."""
        if not self._open or self._connection is None:
            return
        try:
            self._connection.send(data)
            record = self._connection.bio_read(RECORD_BYTES_MAX)
        except SSL.Error:
            self._end("encryption failed")
            return
        self._transmit(record)

    def close(self) -> None:
        """Say so to the peer, once, and forget everything. Idempotent."""
        connection = self._connection
        if connection is None:
            return
        if self._open:
            try:
                connection.shutdown()
            except SSL.Error as error:
                logger.debug("no goodbye, the peer finds out by silence: %s", _reason(error))
            self._drain(connection)
        self._release()

    # --- inside ---------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        self._cancel_timer()
        connection = self._connection
        if connection is None:
            return
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._drain(connection)
            self._start_timer(connection)
            return
        except SSL.Error as error:
            self._drain(connection)
            self._end(f"DTLS handshake failed: {_reason(error)}")
            return
        self._drain(connection)
        certificate = connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            self._end("the peer showed no certificate")
            return
        self.peer_certificate_hash = certificate.fingerprint(hashes.SHA256())
        self._open = True
        self._connected_callback()

    def _read(self, datagram: bytes) -> None:
        """Deliver the records of one datagram."""
        single = len(datagram) >= _RECORD_HEADER_BYTES and (datagram[11] << 8 | datagram[12]) + 13 == len(datagram)
        connection = self._connection
        while connection is not None and self._connection is connection:
            try:
                data = connection.recv(RECORD_BYTES_MAX)
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self._end("closed by the peer")
                return
            except SSL.Error as error:
                self._end(f"DTLS failed: {_reason(error)}")
                return
            if data:
                self._received(data)
            if single:
                break
        if datagram[0] != _APPLICATION_DATA and self._connection is not None:
            self._drain(self._connection)  # a repeated last flight, or an alert's answer

    def _drain(self, connection: SSL.Connection) -> None:
        """Transmit what OpenSSL wrote, whole records packed into datagrams."""
        pending = bytearray()
        while True:
            try:
                pending += connection.bio_read(16_384)
            except SSL.Error:
                break
        start = end = 0
        while end + _RECORD_HEADER_BYTES <= len(pending):
            record_end = end + _RECORD_HEADER_BYTES + (pending[end + 11] << 8 | pending[end + 12])
            if record_end - start > DATAGRAM_BYTES_MAX and end > start:
                self._transmit(bytes(pending[start:end]))
                start = end
            end = record_end
        if start < len(pending):
            self._transmit(bytes(pending[start:]))

    def _start_timer(self, connection: SSL.Connection) -> None:
        timeout = connection.DTLSv1_get_timeout()
        if timeout is not None:
            self._timer = self._timers.call_later(max(float(timeout), 0.05), self._repeat)

    def _repeat(self) -> None:
        self._timer = None
        connection = self._connection
        if connection is None or self._open:
            return
        try:
            connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._end(f"DTLS handshake failed: {_reason(error)}")
            return
        self._drain(connection)
        self._start_timer(connection)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, reason: str) -> None:
        if self._connection is not None:
            closed = self._closed_callback
            self._release()
            closed(reason)

    def _release(self) -> None:
        """Let go at once: OpenSSL's memory (about 100 kB) must not wait for the collector to find a cycle."""
        self._cancel_timer()
        self._connection = None
        self._connected_callback = _nothing
        self._received = _nothing
        self._closed_callback = _nothing


def _nothing(*_: object) -> None:
    """Where callbacks of an ended connection lead."""


def _reason(error: SSL.Error) -> str:
    details = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(str(detail[-1]) for detail in details) or type(error).__name__
