"""Another protocol's datagrams on the port that links share.

Owns: turning socket addresses into addresses and back. Must not know: what the datagrams say.
"""

from __future__ import annotations

from collections.abc import Callable

from railgun.links.dtls_cookie import Source
from railgun.links.udp_port import UdpPort
from railgun.types import Address


class SharedDatagrams:
    """Implements `railgun.ports.DatagramCarrier`. Ends with the port."""

    def __init__(self, port: UdpPort, first_bytes: range) -> None:
        """Datagrams that begin with one of ``first_bytes`` are the protocol's. Raises UsageError where they are not
        free."""
        self._port = port
        self._receive: Callable[[bytes, Address], None] | None = None
        port.lodge(first_bytes, self._received)

    def send_datagram(self, data: bytes, to: Address) -> None:
        """See `railgun.ports.DatagramCarrier`; what the system does not take is lost."""
        self._port.send(data, (to.host, to.port))

    def on_datagram(self, receive: Callable[[bytes, Address], None]) -> None:
        """See `railgun.ports.DatagramCarrier`."""
        self._receive = receive

    def _received(self, data: bytes, source: Source) -> None:
        if self._receive is None:
            return
        try:
            address = Address(*source)
        except ValueError:  # with a scope: nobody else could send there
            return
        self._receive(data, address)
