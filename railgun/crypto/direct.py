"""How members of a room prove themselves to each other when they link directly.

Owns: what these signatures cover, sealing and opening members' contacts. Must not know: links, who is in the room.
Spec: docs/spec/delivery.md, direct links. Contents are canonical CBOR arrays whose first item is their label.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from railgun.crypto.contact_sealing import open_contact, seal_contact
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import content_hash
from railgun.crypto.signing import sign, sign_digest, verify
from railgun.errors import CryptoError, MalformedInput
from railgun.types import Address, DeviceKey, PeerKey, Tag
from railgun.wire import cbor
from railgun.wire.direct_contacts import DIRECT_CONTACTS, DirectContact

DIRECT_LABEL: Final = "railgun/direct/v1"
DIRECT_CONTACT_LABEL: Final = "railgun/direct-contact/v1"
DEVICE_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class DirectSelf:
    """This device towards members: its links' key and certificate, and where it listens (nowhere: it only dials)."""

    device: DeviceKey
    device_seed: bytes = field(repr=False)
    link_key: PeerKey
    certificate_hash: bytes
    addresses: tuple[Address, ...]


def sign_direct(keys: EpochKeys, own: PeerKey, other: PeerKey) -> bytes:
    """The proof, 64 bytes by r_e, that whoever holds ``own`` is in the room; good on its link to ``other`` only."""
    return sign_digest(keys.signing_key, DIRECT_LABEL, content_hash(_proof_content(keys.tag, own, other)))


def verify_direct(tag: Tag, prover: PeerKey, verifier: PeerKey, proof: bytes) -> bool:
    """Whether a holder of r_e made ``proof`` for this link, in this direction."""
    return verify(tag, DIRECT_LABEL, _proof_content(tag, prover, verifier), proof)


def contact_payload(keys: EpochKeys, me: DirectSelf) -> bytes:
    """What is sealed after the device key: at most 320 bytes, signed by the device for this tag."""
    unsigned = DirectContact(me.link_key, me.certificate_hash, me.addresses, bytes(64))
    signature = sign(me.device_seed, DIRECT_CONTACT_LABEL, _contact_content(keys.tag, me.device, unsigned))
    return DIRECT_CONTACTS.encode(DirectContact(me.link_key, me.certificate_hash, me.addresses, signature))


def seal_own_contact(keys: EpochKeys, me: DirectSelf, nonce: bytes) -> bytes:
    """This device's contact for the room's members, 730 bytes. ``nonce``: 12 random bytes."""
    return seal_contact(keys, me.device + contact_payload(keys, me), nonce)


def read_contact(keys: EpochKeys, device: DeviceKey, payload: bytes) -> DirectContact:
    """The contact that ``device`` signed for this tag. Raises CryptoError for anything else."""
    try:
        contact = DIRECT_CONTACTS.decode(payload)
    except MalformedInput as error:
        raise CryptoError from error
    if not verify(device, DIRECT_CONTACT_LABEL, _contact_content(keys.tag, device, contact), contact.signature):
        raise CryptoError
    return contact


def open_sealed_contact(keys: EpochKeys, sealed: bytes) -> tuple[DeviceKey, DirectContact]:
    """What `seal_own_contact` sealed under the same epoch's keys. Raises CryptoError."""
    opened = open_contact(keys, sealed)
    if len(opened) < DEVICE_KEY_BYTES:
        raise CryptoError
    device = DeviceKey(opened[:DEVICE_KEY_BYTES])
    return device, read_contact(keys, device, opened[DEVICE_KEY_BYTES:])


def _proof_content(tag: Tag, prover: PeerKey, verifier: PeerKey) -> bytes:
    return cbor.encode([DIRECT_LABEL, tag, prover, verifier])


def _contact_content(tag: Tag, device: DeviceKey, contact: DirectContact) -> bytes:
    addresses = [address.packed + address.port.to_bytes(2, "big") for address in contact.addresses]
    return cbor.encode([DIRECT_CONTACT_LABEL, tag, device, contact.link_key, contact.certificate_hash, *addresses])
