"""Nodes of the DHT as others know them.

Owns: what a contact is, its 38 or 50 bytes, which part of the network an address lies in, which addresses can be asked.
Must not know: buckets, datagrams, who vouched for a contact.

Spec: docs/spec/dht.md. An id is never read from the wire: it is always worked out from the key.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

from kademlia.node import Node

from railgun.crypto.identity import node_id_of
from railgun.errors import MalformedInput
from railgun.types import Address, NodeId, NodeKey

KEY_BYTES: Final = 32
CONTACT_BYTES_IPV4: Final = 38
CONTACT_BYTES_IPV6: Final = 50
ID_BITS: Final = 160


class Contact(Node):  # type: ignore[misc] # the library has no types
    """A node's key and the UDP address at which it is said, or known, to answer."""

    id: NodeId
    long_id: int

    def __init__(self, node_key: NodeKey, address: Address) -> None:
        """``node_key`` has 32 bytes."""
        super().__init__(node_id_of(node_key), address.host, address.port)
        self.node_key = node_key
        self.address = address
        packed = address.packed
        self.raw = node_key + packed + address.port.to_bytes(2, "big")
        self.prefix = packed[:3] if len(packed) == 4 else packed[:6]
        self.heard_at = 0.0
        """Monotonic seconds of the last proof that it is there."""
        self.failures = 0
        """Requests in a row that it did not answer."""

    def __repr__(self) -> str:
        return f"Contact({self.id.hex()[:8]} at {self.address})"


def target_node(target: bytes) -> Node:
    """A key or id, 20 bytes, as the library's tables take it."""
    return Node(target)


def unpack_address(raw: bytes) -> Address:
    """6 or 18 bytes: the packed host, then the port as u16. Raises MalformedInput; a mapped address has 6."""
    if len(raw) not in (6, 18):
        raise MalformedInput("an address has 6 or 18 bytes")
    try:
        address = Address(str(ipaddress.ip_address(raw[:-2])), int.from_bytes(raw[-2:], "big"))
    except ValueError as error:
        raise MalformedInput("not an address") from error
    if len(address.packed) != len(raw) - 2:
        raise MalformedInput("a mapped address is written as IPv4")
    return address


def pack_address(address: Address) -> bytes:
    """See `unpack_address`."""
    return address.packed + address.port.to_bytes(2, "big")


def can_be_asked(address: Address, *, is_lan: bool) -> bool:
    """Whether an address that a peer names may be sent to: never multicast, broadcast or nothing; in public networks
    global addresses only, so that nobody is made to probe a private network."""
    host = ipaddress.ip_address(address.host)
    if host.is_multicast or host.is_unspecified or address.host == "255.255.255.255":
        return False
    return is_lan or host.is_global


class ContactReader:
    """Reads contacts, and remembers lately read ones: most answers name the same few."""

    def __init__(self, *, is_lan: bool, remembered_max: int) -> None:
        self.is_lan = is_lan
        self._remembered_max = remembered_max
        self._remembered: OrderedDict[bytes, Contact] = OrderedDict()
        self._senders: OrderedDict[tuple[NodeKey, Address], Contact] = OrderedDict()

    def read(self, raw: bytes) -> Contact:
        """A contact from its 38 or 50 bytes. Raises MalformedInput, also for an address that must not be asked."""
        known = self._remembered.get(raw)
        if known is not None:
            self._remembered.move_to_end(raw)
            return known
        if len(raw) not in (CONTACT_BYTES_IPV4, CONTACT_BYTES_IPV6):
            raise MalformedInput("a contact has 38 or 50 bytes")
        address = unpack_address(raw[KEY_BYTES:])
        if not can_be_asked(address, is_lan=self.is_lan):
            raise MalformedInput("not an address that may be asked")
        contact = Contact(NodeKey(raw[:KEY_BYTES]), address)
        self._remembered[raw] = contact
        if len(self._remembered) > self._remembered_max:
            self._remembered.popitem(last=False)
        return contact

    def of(self, node_key: NodeKey, address: Address) -> Contact:
        """The contact of a key at an address, remembered or new. Not checked for being askable."""
        name = (node_key, address)
        contact = self._senders.get(name)
        if contact is None:
            contact = self._senders[name] = Contact(node_key, address)
            if len(self._senders) > self._remembered_max:
                self._senders.popitem(last=False)
        return contact
