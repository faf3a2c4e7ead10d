"""Who is who: root, device and node keys, certificates, safety numbers.

Owns: how identities are made of seeds, and what proves one. Must not know: where seeds are kept, who is in a room.
Spec: docs/spec/identities.md. A relay's node key is never derived from a user's keys.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Final

from railgun.crypto.hashing import content_hash, keyed_hash
from railgun.crypto.signing import PUBLIC_KEY_BYTES, SEED_BYTES, sign_digest, signing_key_of, verify
from railgun.errors import PeerError, RefusalCode
from railgun.ports import OlmAccount, Sessions
from railgun.types import DeviceKey, NodeId, NodeKey, RootKey
from railgun.wire.certificates import CERTIFICATES, DeviceCertificate, certificate_content

CERTIFICATE_LABEL: Final = "railgun/certificate/v1"
NODE_ID_BYTES: Final = 20
SAFETY_DIGITS: Final = 60
_FORGED_PENALTY_POINTS: Final = 10
_NO_SIGNATURE: Final = bytes(64)


@dataclass(frozen=True, slots=True)
class RootIdentity:
    """A person. ``signing_key`` is secret, 64 bytes (seed || public key)."""

    root_key: RootKey
    signing_key: bytes = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A relay. ``signing_key`` is secret, 64 bytes (seed || public key)."""

    node_key: NodeKey
    signing_key: bytes = field(repr=False, compare=False)

    @property
    def node_id(self) -> NodeId:
        return node_id_of(self.node_key)


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """A person's device.

    Attributes:
        device_key: Ed25519, 32 bytes, public.
        prekey: X-Wing public key, 1,216 bytes.
        account_key: identity key of its Olm account, 32 bytes, public.
        signing_key: secret, 64 bytes (seed || public key).
        prekey_secret: secret, 32 bytes.
    """

    device_key: DeviceKey
    prekey: bytes
    account_key: bytes
    signing_key: bytes = field(repr=False, compare=False)
    prekey_secret: bytes = field(repr=False, compare=False)


def root_identity(seed: bytes) -> RootIdentity:
    """Of 32 random bytes. Raises ValueError for another length."""
    signing_key = signing_key_of(seed)
    return RootIdentity(RootKey(signing_key[SEED_BYTES:]), signing_key)


def node_identity(seed: bytes) -> NodeIdentity:
    """Of 32 random bytes. Raises ValueError for another length."""
    signing_key = signing_key_of(seed)
    return NodeIdentity(NodeKey(signing_key[SEED_BYTES:]), signing_key)


def device_identity(seed: bytes, prekey_secret: bytes, account: OlmAccount, sessions: Sessions) -> DeviceIdentity:
    """Of 32 random bytes each and the device's account. Raises ValueError for another length."""
    signing_key = signing_key_of(seed)
    return DeviceIdentity(
        device_key=DeviceKey(signing_key[SEED_BYTES:]),
        prekey=sessions.hpke_public_key(prekey_secret),
        account_key=account.identity_key,
        signing_key=signing_key,
        prekey_secret=prekey_secret,
    )


def node_id_of(node_key: NodeKey) -> NodeId:
    """BLAKE2b-160 of a node key: its place in the DHT, 20 bytes."""
    return NodeId(hashlib.blake2b(node_key, digest_size=NODE_ID_BYTES).digest())


def issue_certificate(root: RootIdentity, device: DeviceIdentity, issued: int, expires: int) -> DeviceCertificate:
    """Sign a device with its root. Times are Unix seconds. Raises ValueError where they do not fit."""
    unsigned = DeviceCertificate(
        root_key=root.root_key,
        device_key=device.device_key,
        prekey=device.prekey,
        account_key=device.account_key,
        issued=issued,
        expires=expires,
        signature=_NO_SIGNATURE,
    )
    digest = content_hash(certificate_content(unsigned))
    return dataclasses.replace(unsigned, signature=sign_digest(root.signing_key, CERTIFICATE_LABEL, digest))


def verify_certificate(encoded: bytes) -> DeviceCertificate:
    """Decode a certificate and check its root's signature.

    Whether the root is known and the time within (issued, expires) is the caller's to check.

    Raises:
        MalformedInput: it does not decode.
        PeerError: BAD_SIGNATURE.
    """
    certificate = CERTIFICATES.decode(encoded)
    content = certificate_content(certificate)
    if not verify(certificate.root_key, CERTIFICATE_LABEL, content, certificate.signature):
        raise PeerError(RefusalCode.BAD_SIGNATURE, "device certificate", penalty_points=_FORGED_PENALTY_POINTS)
    return certificate


def certificate_holds_at(certificate: DeviceCertificate, wall_seconds: float) -> bool:
    """Whether ``wall_seconds`` lies from its issue to its expiry."""
    return certificate.issued <= wall_seconds < certificate.expires


def safety_number(one: RootKey, other: RootKey) -> str:
    """60 digits that two people compare to know that nobody stands between them; the same from both sides.

    Raises ValueError unless both keys have 32 bytes.
    """
    if len(one) != PUBLIC_KEY_BYTES or len(other) != PUBLIC_KEY_BYTES:
        raise ValueError("a root key has 32 bytes")
    first, second = sorted((bytes(one), bytes(other)))
    number = int.from_bytes(keyed_hash(None, "railgun/safety/v1", first + second), "big")
    return str(number % 10**SAFETY_DIGITS).zfill(SAFETY_DIGITS)


def invite_key_seed(invite_seed: bytes) -> bytes:
    """The seed, 32 bytes, secret, of the Ed25519 key that the roster names for an invite.

    Raises ValueError unless the invite's own seed has 32 bytes.
    """
    if len(invite_seed) != SEED_BYTES:
        raise ValueError("an invite's seed has 32 bytes")
    return keyed_hash(invite_seed, "railgun/invite/v1", b"")
