"""Finding a way to a public relay: ICE checks to each of its addresses, and the socket of the one that answers.

Owns: the sockets of one dial and their checks. Must not know: DTLS, keys, who is dialled.
Spec: docs/spec/links.md. A relay is ICE-lite and its credentials are public, so the dialler has all it needs in
the contact: a browser does the same by giving its connection an answer that it wrote itself.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final

from railgun.limits import DIAL_ADDRESSES_MAX
from railgun.links import stun
from railgun.links.settings import LinkCounters
from railgun.links.udp_port import DATAGRAM_BYTES_MAX, DATAGRAMS_PER_TURN_MAX, SOCKET_BUFFER_BYTES
from railgun.types import Address

logger = logging.getLogger(__name__)

CHECK_SECONDS_FIRST: Final = 0.1
CHECK_SECONDS_MAX: Final = 1.6


class DialPath:
    """A socket of its own to one address. The system drops what others send to it."""

    def __init__(self, address: Address, loop: asyncio.AbstractEventLoop, counters: LinkCounters) -> None:
        """Raises OSError when the system has no way there or no descriptor left."""
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._socket: socket.socket | None = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
            self._socket.connect((address.host, address.port))
        except OSError:
            self._socket.close()
            raise
        self._loop = loop
        self._counters = counters
        self.receiver: Callable[[bytes], None] | None = None
        self.refused: Callable[[], None] | None = None
        """Called when the remote system says that nobody listens there."""
        loop.add_reader(self._socket.fileno(), self._readable)

    def transmit(self, datagram: bytes) -> None:
        """Send one datagram; what the system does not take now is lost."""
        if self._socket is None:
            return
        try:
            self._socket.send(datagram)
        except ConnectionRefusedError:
            self._tell_refused()
        except OSError:
            self._counters.datagrams_unsent += 1

    def close(self) -> None:
        """Idempotent."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self.receiver = self.refused = None

    def _readable(self) -> None:
        for _ in range(DATAGRAMS_PER_TURN_MAX):
            if self._socket is None:
                return
            try:
                datagram = self._socket.recv(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                self._tell_refused()
                return
            except OSError:
                self._counters.datagrams_unknown += 1
                return
            self._counters.datagrams_received += 1
            if self.receiver is None or not datagram:
                continue
            try:
                self.receiver(datagram)
            except Exception:
                # The event loop would log it without the counter, and leave the rest of this turn unread. Tests hold
                # the counter at 0.
                self._counters.internal_errors += 1
                logger.exception("a datagram could not be handled")

    def _tell_refused(self) -> None:
        # Kept soft for links that are up: whoever guesses the ports can forge it, and pulses tell the truth.
        if self.refused is not None:
            self.refused()


class PathFinder:
    """Checks a relay's addresses at once. Ends in ``found(path)`` or ``failed(reason)``, once; `close` ends it too."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        loop: asyncio.AbstractEventLoop,
        counters: LinkCounters,
        random_bytes: Callable[[int], bytes],
        found: Callable[[DialPath], None],
        failed: Callable[[str], None],
    ) -> None:
        self._addresses = tuple(addresses[:DIAL_ADDRESSES_MAX])
        self._loop = loop
        self._counters = counters
        self._found = found
        self._failed = failed
        self._transaction = random_bytes(12)
        self._check = stun.check(random_bytes(4).hex(), self._transaction, int.from_bytes(random_bytes(8), "big"))
        self._paths: list[DialPath] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pause = CHECK_SECONDS_FIRST

    def start(self) -> None:
        """Open the sockets and send the first checks. May call ``failed`` at once."""
        reason = "the contact names no address"
        for address in self._addresses:
            try:
                path = DialPath(address, self._loop, self._counters)
            except OSError as error:
                reason = f"no way to the relay: {error.strerror or error}"
                continue
            path.receiver = lambda datagram, path=path: self._answered(datagram, path)
            path.refused = lambda path=path: self._drop(path)
            self._paths.append(path)
        if not self._paths:
            self._failed(reason)
            return
        self._send_checks()

    def close(self) -> None:
        """Give up. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        paths, self._paths = self._paths, []
        for path in paths:
            path.close()

    def _send_checks(self) -> None:
        self._timer = self._loop.call_later(self._pause, self._send_checks)
        self._pause = min(self._pause * 2, CHECK_SECONDS_MAX)
        for path in tuple(self._paths):
            path.transmit(self._check)

    def _answered(self, datagram: bytes, path: DialPath) -> None:
        if path not in self._paths or not stun.is_answer(datagram, self._transaction):
            return
        self._paths.remove(path)
        path.receiver = path.refused = None
        self.close()
        self._found(path)

    def _drop(self, path: DialPath) -> None:
        if path not in self._paths:
            return
        self._paths.remove(path)
        path.close()
        if not self._paths:
            self.close()
            self._failed("nobody listens at the relay's address")
