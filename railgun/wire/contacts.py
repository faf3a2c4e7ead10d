"""Relay contacts as text: what a person pastes into a configuration to reach a first relay.

Owns: ``railgun-relay:<keys>@<address>``. Must not know: who dials, or whether anyone answers.
Spec: docs/spec/contacts.md.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from railgun.errors import MalformedInput
from railgun.limits import CONTACT_TEXT_MAX
from railgun.types import Address, NodeKey, RelayContact

SCHEME: Final = "railgun-relay:"
KEY_BYTES: Final = 32
KEYS_TEXT_LENGTH: Final = 86
"""Unpadded base64url of a node key and a certificate hash, 64 bytes."""


def format_contact(contact: RelayContact) -> str:
    """``contact`` as one line of ASCII, with its first address only.

    Raises:
        ValueError: the contact has no address, or its key or hash is not 32 bytes (the caller's bug).
    """
    if not contact.addresses:
        raise ValueError("a contact without an address cannot be dialled")
    if len(contact.node_key) != KEY_BYTES or len(contact.certificate_hash) != KEY_BYTES:
        raise ValueError("a node key and a certificate hash are 32 bytes each")
    keys = base64.urlsafe_b64encode(contact.node_key + contact.certificate_hash).rstrip(b"=").decode("ascii")
    return f"{SCHEME}{keys}@{contact.addresses[0]}"


def parse_contact(text: str) -> RelayContact:
    """The contact that ``text`` spells, with one address.

    Raises:
        MalformedInput: anything else; the detail says which part is wrong and never repeats the input.
    """
    if len(text) > CONTACT_TEXT_MAX:
        raise MalformedInput(f"a relay contact is at most {CONTACT_TEXT_MAX} characters")
    if not text.startswith(SCHEME):
        raise MalformedInput(f"a relay contact starts with {SCHEME}")
    keys_text, at, address_text = text.removeprefix(SCHEME).partition("@")
    if not at:
        raise MalformedInput("a relay contact ends in @host:port")
    keys = _decode_keys(keys_text)
    return RelayContact(NodeKey(keys[:KEY_BYTES]), (parse_address(address_text),), keys[KEY_BYTES:])


def parse_address(text: str) -> Address:
    """``192.0.2.1:9000`` or ``[2001:db8::1]:9000``; names are not resolved.

    Raises:
        MalformedInput: anything else.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or bracketed != (":" in host):
        raise MalformedInput("an address is written 192.0.2.1:9000 or [2001:db8::1]:9000")
    if not (port.isascii() and port.isdigit() and len(port) <= len("65535")):
        raise MalformedInput("a port is a number from 1 to 65535")
    try:
        return Address(host.removeprefix("[").removesuffix("]"), int(port))
    except ValueError as error:
        raise MalformedInput("an address needs a literal IP address and a port from 1 to 65535") from error


def _decode_keys(text: str) -> bytes:
    if len(text) != KEYS_TEXT_LENGTH or not text.isascii():
        raise MalformedInput(f"a relay contact holds {KEYS_TEXT_LENGTH} characters of key before the @")
    try:
        keys = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput("a relay contact's key is unpadded base64url") from error
    # The last character carries four spare bits: two spellings of one contact would defeat comparison.
    if base64.urlsafe_b64encode(keys).rstrip(b"=").decode("ascii") != text:
        raise MalformedInput("a relay contact's key is mistyped in its last character")
    return keys
