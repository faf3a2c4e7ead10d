"""Which of this machine's addresses others can reach it by.

Owns: asking the kernel's routes. Must not know: relays, configuration.
"""

from __future__ import annotations

import ipaddress
import socket

from railgun.types import Address

_ELSEWHERE_IPV4 = Address("192.0.2.1", 9)
_ELSEWHERE_IPV6 = Address("2001:db8::1", 9)
"""Documentation addresses stand for "somewhere else"; nothing is sent to them."""


def is_wildcard(host: str) -> bool:
    """Whether ``host``, a literal address, means all interfaces."""
    return ipaddress.ip_address(host).is_unspecified


def source_host_towards(remote: Address | None, *, ipv6: bool = False) -> str:
    """The literal address that datagrams to ``remote`` (None: to anywhere else) leave from; sends nothing.

    Loopback where there is no route at all: such a machine can be reached by itself only.
    """
    target = remote or (_ELSEWHERE_IPV6 if ipv6 else _ELSEWHERE_IPV4)
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket only chooses a route.
            probe.connect((target.host, target.port))
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])
