"""Signing and checking ads and obituaries.

Owns: what makes a record authentic, and the hash that names it. Must not know: whether it counts, or for what.

Spec: docs/spec/directory.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from railgun.crypto.hashing import content_hash
from railgun.crypto.signing import public_key_of, sign, verify
from railgun.errors import MalformedInput, RefusalCode
from railgun.types import Address, NodeKey, Role
from railgun.wire.records import (
    Ad,
    AdExtras,
    Obituary,
    Testimony,
    decode_extras,
    decode_record,
    encode_extras,
    encode_record,
    signed_content,
    testimony_content,
)

AD_LABEL: Final = "railgun/ad/v1"
OBITUARY_LABEL: Final = "railgun/obituary/v1"

_NO_SIGNATURE: Final = bytes(64)


@dataclass(frozen=True, slots=True)
class SignedAd:
    """An ad whose signature holds. ``hash`` is the content hash of ``encoded``, 32 bytes; it names the ad."""

    ad: Ad
    encoded: bytes
    hash: bytes

    @property
    def node_key(self) -> NodeKey:
        return self.ad.node_key

    @property
    def instant(self) -> int:
        """When it begins to matter: its issue, Unix seconds."""
        return self.ad.issued


@dataclass(frozen=True, slots=True)
class SignedObituary:
    """An obituary whose every signature holds; ``hash`` as in `SignedAd`."""

    obituary: Obituary
    encoded: bytes
    hash: bytes

    @property
    def node_key(self) -> NodeKey:
        return self.obituary.node_key

    @property
    def instant(self) -> int:
        """When it begins to matter: its date, Unix seconds."""
        return self.obituary.dated


SignedRecord: TypeAlias = SignedAd | SignedObituary


def sign_ad(
    seed: bytes,
    *,
    address: Address,
    certificate_hash: bytes,
    roles: Role,
    issued: int,
    expires: int,
    extras: AdExtras | None = None,
) -> SignedAd:
    """An ad of the node whose key has this 32-byte seed. Raises ValueError where a field does not fit."""
    extras_hash = None if extras is None else content_hash(encode_extras(extras))
    fields = (NodeKey(public_key_of(seed)), address, certificate_hash, roles, issued, expires, extras_hash)
    unsigned = Ad(*fields, _NO_SIGNATURE)
    ad = Ad(*fields, sign(seed, AD_LABEL, signed_content(unsigned)))
    encoded = encode_record(ad)
    return SignedAd(ad, encoded, content_hash(encoded))


def sign_testimony(seed: bytes, node_key: NodeKey, dated: int) -> Testimony:
    """The word of the relay whose key has this seed that ``node_key`` was dead at ``dated`` (Unix seconds)."""
    signature = sign(seed, OBITUARY_LABEL, testimony_content(node_key, dated))
    return Testimony(NodeKey(public_key_of(seed)), dated, signature)


def compose_obituary(node_key: NodeKey, testimonies: tuple[Testimony, ...]) -> SignedObituary:
    """Join testimonies, in any order, one a signer. Raises ValueError for 0, over 5, or two of one signer."""
    obituary = Obituary(node_key, tuple(sorted(testimonies, key=lambda testimony: testimony.signer)))
    encoded = encode_record(obituary)
    return SignedObituary(obituary, encoded, content_hash(encoded))


def verify_record(encoded: bytes) -> SignedRecord:
    """Decode one gossiped record and check every signature in it.

    Raises:
        MalformedInput: not canonical, out of bounds, or (code BAD_SIGNATURE) not signed by whom it names.
    """
    return check_signatures(decode_record(encoded), encoded)


def check_signatures(record: Ad | Obituary, encoded: bytes) -> SignedRecord:
    """Check the signatures of ``record``, which was decoded from ``encoded``. Raises MalformedInput (BAD_SIGNATURE)."""
    if isinstance(record, Ad):
        if not verify(record.node_key, AD_LABEL, signed_content(record), record.signature):
            raise MalformedInput("the ad is not signed by its node", RefusalCode.BAD_SIGNATURE)
        return SignedAd(record, encoded, content_hash(encoded))
    for testimony in record.testimonies:
        content = testimony_content(record.node_key, testimony.dated)
        if not verify(testimony.signer, OBITUARY_LABEL, content, testimony.signature):
            raise MalformedInput("a testimony is not signed by its relay", RefusalCode.BAD_SIGNATURE)
    return SignedObituary(record, encoded, content_hash(encoded))


def verify_extras(ad: Ad, encoded: bytes) -> AdExtras:
    """Decode the extras that ``ad`` names. Raises MalformedInput where they are others, or malformed."""
    if ad.extras_hash is None or content_hash(encoded) != ad.extras_hash:
        raise MalformedInput("not the extras of this ad")
    return decode_extras(encoded)
