"""Linking a new device to a person: the link that is shown and typed, and what both say while they compare codes.

Owns: fields, bounds, spelling. Must not know: keys derived from the seed, who confirms what, rooms.
Spec: docs/spec/devices.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from railgun.errors import MalformedInput
from railgun.limits import CERTIFICATE_BYTES_MAX, DEVICE_NAME_BYTES_MAX, INVITE_CONTACTS_MAX, ROOMS_MAX
from railgun.types import NetworkId, RelayContact, RootKey
from railgun.wire.invites import INVITE_BYTES_MAX, Contact, contacts_of, pack_contacts, read_text, spell_text
from railgun.wire.roster import HashField, PrekeyRecord, RoomField, SignatureField, TimeField
from railgun.wire.schema import Array, Bytes, Codec, Nested, Text, Uint
from railgun.wire.sealed import HPKE_ADDED_BYTES, SEALED_BODY_BYTES_MAX, AnswerChunk

DEVICE_LINK_PREFIX: Final = "railgun://link/"
HELLO_LABEL: Final = "railgun/link-hello/v1"
COMMITMENT_LABEL: Final = "railgun/link-commitment/v1"
GRANT_LABEL: Final = "railgun/link-grant/v1"
CONSENT_LABEL: Final = "railgun/link-consent/v1"
DONE_LABEL: Final = "railgun/link-done/v1"
CLOSED_LABEL: Final = "railgun/link-closed/v1"
GRANT_BYTES_MAX: Final = CERTIFICATE_BYTES_MAX + 40 * ROOMS_MAX + 256

KeyField = Annotated[bytes, Bytes(32)]
MacField = Annotated[bytes, Bytes(32)]
RootField = Annotated[RootKey, Bytes(32)]


@dataclass(frozen=True)
class _Link:
    network: Annotated[NetworkId, Bytes(32)]
    seed: Annotated[bytes, Bytes(32)] = field(repr=False)
    contacts: Annotated[tuple[Contact, ...], Array(Nested(Contact), INVITE_CONTACTS_MAX)]


_LINKS: Final[Codec[_Link]] = Codec({1: _Link}, bytes_max=INVITE_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class DeviceLink:
    """What a link says: network (32 bytes), seed (32 random bytes, secret for as long as the link is good), relays."""

    network: NetworkId
    seed: bytes = field(repr=False)
    contacts: tuple[RelayContact, ...]


def format_device_link(link: DeviceLink) -> str:
    """The link as text, spelt as an invite is. Raises ValueError where a field does not fit."""
    data = _LINKS.encode(_Link(link.network, link.seed, pack_contacts(link.contacts)))
    return DEVICE_LINK_PREFIX + spell_text(data)


def parse_device_link(text: str) -> DeviceLink:
    """Read a link. Raises MalformedInput: not one, or mistyped."""
    stripped = text.strip()
    if not stripped.startswith(DEVICE_LINK_PREFIX):
        raise MalformedInput(f"this links no device: it should start with {DEVICE_LINK_PREFIX}")
    found = _LINKS.decode(read_text(stripped.removeprefix(DEVICE_LINK_PREFIX)))
    return DeviceLink(found.network, found.seed, contacts_of(found.contacts))


@dataclass(frozen=True)
class LinkHello:
    """The new device: its bundle, the identity key of its account, and a commitment to its key for the comparison."""

    record: Annotated[PrekeyRecord, Nested(PrekeyRecord)]
    account_key: KeyField
    commitment: HashField
    time: TimeField
    name: Annotated[str, Text(DEVICE_NAME_BYTES_MAX)]
    signature: SignatureField


@dataclass(frozen=True)
class LinkKey:
    """The device that holds the root, to the hello with this hash: its root key and its key for the comparison."""

    hello: HashField
    root_key: RootField
    sas_key: KeyField


@dataclass(frozen=True)
class LinkReveal:
    """The new device: the key that it had committed to."""

    hello: HashField
    sas_key: KeyField


@dataclass(frozen=True)
class LinkGrant:
    """After the person confirmed: a `Grant` under HPKE to the new device's prekey, and a MAC of both ends' secret."""

    hello: HashField
    sealed: Annotated[bytes, Bytes(HPKE_ADDED_BYTES + 1, HPKE_ADDED_BYTES + GRANT_BYTES_MAX)]
    mac: MacField


@dataclass(frozen=True)
class LinkConsent:
    """After the person confirmed there, too: the new device's join signature for each room of the grant, in order."""

    hello: HashField
    time: TimeField
    signatures: Annotated[tuple[bytes, ...], Array(Bytes(64), ROOMS_MAX)]
    mac: MacField


@dataclass(frozen=True)
class LinkRoom:
    """A chunk of the answer for the grant's room of this number: roster and keys, as for a joiner."""

    hello: HashField
    room: Annotated[int, Uint(ROOMS_MAX - 1)]
    chunk: Annotated[AnswerChunk, Nested(AnswerChunk)]


@dataclass(frozen=True)
class LinkDone:
    """The new device has all rooms of the grant but those that are not coming: their numbers are in ``missing``."""

    hello: HashField
    missing: Annotated[tuple[int, ...], Array(Uint(ROOMS_MAX - 1), ROOMS_MAX)]
    mac: MacField


@dataclass(frozen=True)
class LinkClosed:
    """The device that holds the root has heard that the other is done: neither has to say anything more."""

    hello: HashField
    mac: MacField


LinkBody: TypeAlias = LinkHello | LinkKey | LinkReveal | LinkGrant | LinkConsent | LinkRoom | LinkDone | LinkClosed
LINK_BODIES: Final[Codec[LinkBody]] = Codec(
    {
        1: LinkHello,
        2: LinkKey,
        3: LinkReveal,
        4: LinkGrant,
        5: LinkConsent,
        6: LinkRoom,
        7: LinkDone,
        8: LinkClosed,
    },
    bytes_max=SEALED_BODY_BYTES_MAX,
)


@dataclass(frozen=True)
class Grant:
    """The certificate of the new device, and the rooms that it is to be in: first the person's devices' own."""

    certificate: Annotated[bytes, Bytes(1, CERTIFICATE_BYTES_MAX)]
    rooms: Annotated[tuple[RoomField, ...], Array(Bytes(32), ROOMS_MAX)]


GRANTS: Final[Codec[Grant]] = Codec({1: Grant}, bytes_max=GRANT_BYTES_MAX)
