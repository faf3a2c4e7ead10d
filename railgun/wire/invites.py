"""Invite links: all that a person needs to ask to be let in, as one line of text.

Owns: the link's fields, its two spellings, its checksum. Must not know: keys derived from the seed, rosters.
Spec: docs/spec/rooms.md, "Invite links".

``railgun://join/<text>`` or ``https://<any host>/<any path>#<text>``: behind the ``#`` no browser sends it to a server.
The text is unpadded base64url of the canonical encoding and 4 bytes of checksum, so that a slip of the hand is told
from a link that is whole but wrong.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from railgun.errors import MalformedInput
from railgun.limits import (
    INVITE_CONTACT_ADDRESSES_MAX,
    INVITE_CONTACTS_MAX,
    INVITE_LINK_CHARACTERS_MAX,
    INVITE_RENDEZVOUS_MAX,
)
from railgun.types import Address, NetworkId, NodeKey, RelayContact, RoomId
from railgun.wire.records import AddressShape
from railgun.wire.rendezvous import RendezvousUrlShape
from railgun.wire.schema import Array, Bytes, Codec, Nested, Optional

LINK_PREFIX: Final = "railgun://join/"
WEB_PREFIX: Final = "https://"
CHECKSUM_BYTES: Final = 4
CHECKSUM_LABEL: Final = b"railgun/invite-check/v1\0"
INVITE_BYTES_MAX: Final = 2_048

MISTYPED: Final = "the invite link is mistyped or cut short: copy it again, whole"
NOT_OURS: Final = "the invite link is whole, but not for this version of Rail Gun"
NO_LINK: Final = "this is no invite link: it should start with railgun://join/ or https://"


@dataclass(frozen=True, slots=True)
class Contact:
    """A relay, as links name it."""

    node_key: Annotated[NodeKey, Bytes(32)]
    certificate_hash: Annotated[bytes, Bytes(32)]
    addresses: Annotated[tuple[Address, ...], Array(AddressShape(), INVITE_CONTACT_ADDRESSES_MAX, 1)]


@dataclass(frozen=True)
class _Invite:
    network: Annotated[NetworkId, Bytes(32)]
    room: Annotated[RoomId, Bytes(32)]
    seed: Annotated[bytes, Bytes(32)] = field(repr=False)
    contacts: Annotated[tuple[Contact, ...], Array(Nested(Contact), INVITE_CONTACTS_MAX)]
    rendezvous: Annotated[
        tuple[str, ...] | None, Optional(Array(RendezvousUrlShape(), INVITE_RENDEZVOUS_MAX, 1))
    ] = None


_INVITES: Final[Codec[_Invite]] = Codec({1: _Invite}, bytes_max=INVITE_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Invite:
    """What a link says.

    Attributes:
        network: 32 bytes.
        room: 32 bytes.
        seed: 32 bytes, secret: who holds it may ask to be let in.
        contacts: at most 8 relays to start from, each with 1 to 4 addresses.
        rendezvous: at most 2 servers to ask for relays where none of those can be dialled.
    """

    network: NetworkId
    room: RoomId
    seed: bytes = field(repr=False)
    contacts: tuple[RelayContact, ...]
    rendezvous: tuple[str, ...] = ()


def pack_contacts(contacts: Sequence[RelayContact]) -> tuple[Contact, ...]:
    """Relays as links name them."""
    return tuple(Contact(c.node_key, c.certificate_hash, c.addresses) for c in contacts)


def contacts_of(contacts: Sequence[Contact]) -> tuple[RelayContact, ...]:
    """The relays that a link names."""
    return tuple(RelayContact(c.node_key, c.addresses, c.certificate_hash) for c in contacts)


def spell_text(data: bytes) -> str:
    """Unpadded base64url of the data and its checksum."""
    return base64.urlsafe_b64encode(data + _checksum(data)).rstrip(b"=").decode("ascii")


def read_text(text: str) -> bytes:
    """What `spell_text` spelt. Raises MalformedInput where the text is too long, mistyped or cut short."""
    if len(text) > INVITE_LINK_CHARACTERS_MAX:
        raise MalformedInput("too long for a link")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput(MISTYPED) from error
    data, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
    # The last character may carry spare bits: two spellings of one link would defeat comparison.
    if _checksum(data) != checksum or base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != text:
        raise MalformedInput(MISTYPED)
    return data


def format_invite(invite: Invite, web_page: str | None = None) -> str:
    """The link; under ``web_page`` (``https://...``, without ``#``) the one that opens in a browser.

    Raises:
        ValueError: a field does not fit.
    """
    contacts = pack_contacts(invite.contacts)
    found = _Invite(invite.network, invite.room, invite.seed, contacts, invite.rendezvous or None)
    text = spell_text(_INVITES.encode(found))
    if web_page is None:
        return LINK_PREFIX + text
    if not web_page.startswith(WEB_PREFIX) or "#" in web_page:
        raise ValueError("a web link starts with https:// and has no # of its own")
    return f"{web_page}#{text}"


def parse_invite(link: str) -> Invite:
    """Read a link; white space around it is ignored.

    Raises:
        MalformedInput: not a link; or mistyped (the checksum tells); or whole, and yet not one we understand.
    """
    if len(link) > INVITE_LINK_CHARACTERS_MAX:
        raise MalformedInput("too long for an invite link")
    text = link.strip()
    if text.startswith(LINK_PREFIX):
        text = text.removeprefix(LINK_PREFIX)
    elif text.startswith(WEB_PREFIX) and "#" in text:
        text = text.partition("#")[2]
    else:
        raise MalformedInput(NO_LINK)
    data = read_text(text)
    try:
        found = _INVITES.decode(data)
    except MalformedInput as error:
        raise MalformedInput(
            f"the invite link is whole, but not for this version of Rail Gun: {error.detail}"
        ) from error
    return Invite(found.network, found.room, found.seed, contacts_of(found.contacts), found.rendezvous or ())


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(CHECKSUM_LABEL + data, digest_size=32).digest()[:CHECKSUM_BYTES]
