"""A node's memory of others, as bytes that survive a restart.

Owns: the form, and its bounds. Must not know: where the bytes are kept.

Spec: docs/spec/dht.md. Contacts are remembered as hearsay: each has to prove itself again before it is used for more
than asking.
"""

from __future__ import annotations

from collections.abc import Sequence

from railgun.dht.contacts import Contact, ContactReader
from railgun.errors import MalformedInput
from railgun.limits import DHT_REMEMBERED_MAX, DHT_STATE_BYTES_MAX
from railgun.types import NetworkId
from railgun.wire import cbor

_FORM = 1


def encode_state(network_id: NetworkId, contacts: Sequence[Contact]) -> bytes:
    """CBOR ``[1, network id, [contacts of 38 or 50 bytes]]``; of more than 1,024 contacts the first count."""
    return cbor.encode([_FORM, bytes(network_id), [contact.raw for contact in contacts[:DHT_REMEMBERED_MAX]]])


def decode_state(data: bytes, network_id: NetworkId, reader: ContactReader) -> list[Contact]:
    """The contacts of a state. Those whose address may not be asked are left out.

    Raises:
        MalformedInput: it is none, or another network's.
    """
    match cbor.decode(data, bytes_max=DHT_STATE_BYTES_MAX):
        case [form, bytes(network), list(raw_contacts)] if form == _FORM and len(raw_contacts) <= DHT_REMEMBERED_MAX:
            if network != network_id:
                raise MalformedInput("the state of another network's node")
        case _:
            raise MalformedInput("not the state of a node")
    contacts = []
    for raw in raw_contacts:
        if not isinstance(raw, bytes):
            raise MalformedInput("a contact is a byte string")
        try:
            contacts.append(reader.read(raw))
        except MalformedInput:
            continue
    return contacts
