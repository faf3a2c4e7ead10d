"""One WebRTC session: DTLS, SCTP and the two channels over a path of datagrams.

Owns: the order in which the layers come up and go down, and the containment of whatever goes wrong in them.
Must not know: how datagrams travel (`transmit`), frames, proofs, who the peer is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from OpenSSL import SSL

from railgun.errors import MalformedInput
from railgun.links.dtls import DtlsEndpoint
from railgun.links.sctp import FRAMES_STREAM, PULSE_STREAM, Association, DtlsCarrier
from railgun.links.timers import GuardedTimers

logger = logging.getLogger(__name__)


class SessionObserver(Protocol):
    """What a session tells its owner, on the event loop."""

    def session_up(self) -> None:
        """Both channels are open."""

    def session_down(self, reason: str, *, malformed: bool) -> None:
        """It ended without our doing, once; ``malformed`` when the peer sent bytes that no honest peer sends."""

    def session_message(self, message: bytes) -> None:
        """A message on ``frames``. May raise MalformedInput, which ends the session."""

    def session_pulse(self, pulse: bytes) -> None:
        """A message on ``pulse``. May raise MalformedInput, which ends the session."""

    def session_drained(self) -> None:
        """The send queue went down, or everything was acknowledged."""


class Session:
    """See the module. Synchronous throughout; it owns timers and no task."""

    def __init__(
        self,
        context: SSL.Context,
        *,
        is_listener: bool,
        transmit: Callable[[bytes], None],
        observer: SessionObserver,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float],
    ) -> None:
        self._observer = observer
        self._is_listener = is_listener
        self._ended = False
        timers = self._timers = GuardedTimers(loop, self._broke)
        self._dtls = DtlsEndpoint(
            context,
            is_server=is_listener,
            timers=timers,
            transmit=transmit,
            connected=self._dtls_connected,
            received=self._dtls_received,
            closed=self._dtls_closed,
        )
        self._association = Association(DtlsCarrier(self._dtls.send, is_server=is_listener), self, timers, now)

    @property
    def peer_certificate_hash(self) -> bytes:
        """SHA-256 of the peer's certificate, 32 bytes, once DTLS is up."""
        return self._dtls.peer_certificate_hash

    @property
    def buffered_bytes(self) -> int:
        """Bytes queued and not yet sent for the first time."""
        return self._association.buffered_bytes

    @property
    def progress_bytes(self) -> int:
        """Bytes that the peer has acknowledged so far."""
        return self._association.progress_bytes

    @property
    def is_idle(self) -> bool:
        """Whether everything sent was acknowledged."""
        return self._association.is_idle

    @property
    def is_ended(self) -> bool:
        """Whether it is over."""
        return self._ended

    def start(self, proved_hello: bytes | None = None) -> None:
        """Begin; a listener passes the ClientHello whose cookie was valid."""
        try:
            self._dtls.start(proved_hello)
        except MalformedInput as error:
            self._broke(error)

    def receive(self, datagram: bytes) -> None:
        """Take in one datagram. Never raises."""
        if self._ended:
            return
        try:
            self._dtls.receive(datagram)
        except Exception as error:  # noqa: BLE001 - handed on: it ends this session and is told to its owner
            self._broke(error)

    def send_message(self, message: bytes) -> None:
        """Queue a message on ``frames``."""
        if not self._ended:
            self._association.send_reliable(FRAMES_STREAM, message)

    def send_pulse(self, pulse: bytes) -> bool:
        """Send on ``pulse`` now, or drop it: False."""
        return not self._ended and self._association.send_unreliable(PULSE_STREAM, pulse)

    def close(self) -> None:
        """End it from this side, silently for the observer. Idempotent."""
        if not self._ended:
            self._ended = True
            self._tear_down()

    # --- from below -----------------------------------------------------------------------------

    def _dtls_connected(self) -> None:
        self._association.open(actively=not self._is_listener)

    def _dtls_received(self, packet: bytes) -> None:
        self._association.receive(packet)

    def _dtls_closed(self, reason: str) -> None:
        self._fail(reason, malformed=False)

    def association_up(self) -> None:
        """See `AssociationObserver`."""
        self._observer.session_up()

    def association_down(self, reason: str) -> None:
        """See `AssociationObserver`."""
        self._fail(reason, malformed=False)

    def association_message(self, stream_id: int, message: bytes) -> None:
        """See `AssociationObserver`."""
        if self._ended:
            return
        if stream_id == FRAMES_STREAM:
            self._observer.session_message(message)
        else:
            self._observer.session_pulse(message)

    def association_drained(self) -> None:
        """See `AssociationObserver`."""
        if not self._ended:
            self._observer.session_drained()

    # --- inside ---------------------------------------------------------------------------------

    def _broke(self, error: Exception) -> None:
        """Something was raised on this session's behalf: that is its end, and nobody else's."""
        if isinstance(error, MalformedInput):
            self._fail(str(error), malformed=True)
        else:
            logger.error("a session failed", exc_info=error)
            self._fail(f"internal error: {type(error).__name__}", malformed=False)

    def _fail(self, reason: str, *, malformed: bool) -> None:
        if self._ended:
            return
        self._ended = True
        self._tear_down()
        self._observer.session_down(reason, malformed=malformed)

    def _tear_down(self) -> None:
        self._association.close()
        self._dtls.close()
        self._timers.stop()
