"""What seats and rooms sign for each other: receipts, tag descriptors, subscriptions.

Owns: what these signatures cover. Must not know: who sits on a committee, or what a receipt is worth.
Spec: docs/spec/delivery.md. Each content is a canonical CBOR array whose first item is its label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import content_hash
from railgun.crypto.signing import sign_digest, verify
from railgun.limits import RECEIPT_IDS_MAX
from railgun.types import EnvelopeId, Handle, NodeKey, PeerKey, Tag
from railgun.wire import cbor
from railgun.wire.frames import Receipt, TagDescriptor

RECEIPT_LABEL: Final = "railgun/receipt/v1"
TAG_LABEL: Final = "railgun/tag/v1"
SUBSCRIBE_LABEL: Final = "railgun/subscribe/v1"


def receipt_content(tag: Tag, ids: Sequence[EnvelopeId], seat: NodeKey) -> bytes:
    """CBOR ``['railgun/receipt/v1', R_e, [1 to 64 ids], seat key]``. Raises ValueError for another count."""
    if not 1 <= len(ids) <= RECEIPT_IDS_MAX:
        raise ValueError(f"a receipt names 1 to {RECEIPT_IDS_MAX} envelopes")
    return cbor.encode([RECEIPT_LABEL, tag, list(ids), seat])


def sign_receipt(signing_key: bytes, tag: Tag, ids: Sequence[EnvelopeId], seat: NodeKey) -> bytes:
    """A seat's signature, 64 bytes, that it holds ``ids``. ``signing_key``: the node's, from `signing_key_of`."""
    return sign_digest(signing_key, RECEIPT_LABEL, content_hash(receipt_content(tag, ids, seat)))


def verify_receipt(receipt: Receipt) -> bool:
    """Whether the seat that it names signed it. Whether that seat counts is the caller's to know."""
    content = receipt_content(receipt.tag, receipt.ids, receipt.seat)
    return verify(receipt.seat, RECEIPT_LABEL, content, receipt.signature)


def descriptor_content(start: int, tag: Tag, committee_size: int, gate: int) -> bytes:
    """CBOR ``['railgun/tag/v1', start, R_e, K, gate]``; also what decides between conflicting descriptors."""
    return cbor.encode([TAG_LABEL, start, tag, committee_size, gate])


def sign_tag_descriptor(keys: EpochKeys, committee_size: int, gate: int) -> TagDescriptor:
    """The room's word on a tag. Raises ValueError where K or the gate is out of range."""
    content = descriptor_content(keys.start, keys.tag, committee_size, gate)
    signature = sign_digest(keys.signing_key, TAG_LABEL, content_hash(content))
    return TagDescriptor(keys.start, keys.tag, committee_size, gate, signature)


def verify_tag_descriptor(descriptor: TagDescriptor) -> bool:
    """Whether a holder of r_e signed it."""
    content = descriptor_content(descriptor.start, descriptor.tag, descriptor.committee_size, descriptor.gate)
    return verify(descriptor.tag, TAG_LABEL, content, descriptor.signature)


def subscribe_content(tag: Tag, seat: NodeKey, client: PeerKey, handle: Handle) -> bytes:
    """CBOR ``['railgun/subscribe/v1', R_e, seat key, the client's link key, handle]``."""
    return cbor.encode([SUBSCRIBE_LABEL, tag, seat, client, handle])


def sign_subscription(keys: EpochKeys, seat: NodeKey, client: PeerKey, handle: Handle) -> bytes:
    """The proof, 64 bytes, that a client may subscribe; good on this link to this seat only."""
    return sign_digest(
        keys.signing_key, SUBSCRIBE_LABEL, content_hash(subscribe_content(keys.tag, seat, client, handle))
    )


def verify_subscription(tag: Tag, seat: NodeKey, client: PeerKey, handle: Handle, proof: bytes) -> bool:
    """Whether a holder of r_e made ``proof`` for this seat, link and handle."""
    return verify(tag, SUBSCRIBE_LABEL, subscribe_content(tag, seat, client, handle), proof)
