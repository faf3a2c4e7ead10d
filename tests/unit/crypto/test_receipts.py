"""Receipts, tag descriptors and subscription proofs: every field that is signed matters."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.crypto import receipts
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.signing import public_key_of, sign, signing_key_of
from railgun.types import EnvelopeId, Handle, NodeKey, PeerKey, Tag
from railgun.wire.frames import Receipt

KEYS = derive_epoch_keys(b"\x11" * 32, 1, 600)
OTHER = derive_epoch_keys(b"\x12" * 32, 1, 600)
NODE_SEED = b"\x21" * 32
NODE = NodeKey(public_key_of(NODE_SEED))
IDS = (EnvelopeId(b"a" * 16), EnvelopeId(b"b" * 16))
CLIENT = PeerKey(b"c" * 32)
HANDLE = Handle(b"h" * 16)


def test_receipts() -> None:
    receipt = Receipt(KEYS.tag, IDS, NODE, receipts.sign_receipt(signing_key_of(NODE_SEED), KEYS.tag, IDS, NODE))
    assert receipts.verify_receipt(receipt)
    # The signature is the one form of the specification over the array that the design names.
    assert receipt.signature == sign(NODE_SEED, "railgun/receipt/v1", receipts.receipt_content(KEYS.tag, IDS, NODE))
    for changed in (
        dataclasses.replace(receipt, tag=OTHER.tag),
        dataclasses.replace(receipt, ids=IDS[:1]),
        dataclasses.replace(receipt, ids=IDS[::-1]),
        dataclasses.replace(receipt, seat=NodeKey(bytes(KEYS.tag))),
        dataclasses.replace(receipt, signature=bytes(64)),
        dataclasses.replace(receipt, signature=b""),
    ):
        assert not receipts.verify_receipt(changed)


@pytest.mark.parametrize("count", [0, 65])
def test_receipts_name_1_to_64_envelopes(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        receipts.sign_receipt(signing_key_of(NODE_SEED), KEYS.tag, (IDS[0],) * count, NODE)


def test_tag_descriptors() -> None:
    descriptor = receipts.sign_tag_descriptor(KEYS, 5, 60)
    assert (descriptor.start, descriptor.tag, descriptor.committee_size, descriptor.gate) == (600, KEYS.tag, 5, 60)
    assert receipts.verify_tag_descriptor(descriptor)
    for changed in (
        dataclasses.replace(descriptor, start=1200),
        dataclasses.replace(descriptor, tag=OTHER.tag),
        dataclasses.replace(descriptor, committee_size=4),
        dataclasses.replace(descriptor, gate=0),
        dataclasses.replace(descriptor, signature=bytes(64)),
    ):
        assert not receipts.verify_tag_descriptor(changed)


def test_subscriptions_cannot_be_replayed_elsewhere() -> None:
    proof = receipts.sign_subscription(KEYS, NODE, CLIENT, HANDLE)
    assert receipts.verify_subscription(KEYS.tag, NODE, CLIENT, HANDLE, proof)
    assert not receipts.verify_subscription(OTHER.tag, NODE, CLIENT, HANDLE, proof)
    assert not receipts.verify_subscription(KEYS.tag, NodeKey(b"n" * 32), CLIENT, HANDLE, proof)
    assert not receipts.verify_subscription(KEYS.tag, NODE, PeerKey(b"d" * 32), HANDLE, proof)
    assert not receipts.verify_subscription(KEYS.tag, NODE, CLIENT, Handle(b"i" * 16), proof)
    assert not receipts.verify_subscription(KEYS.tag, NODE, CLIENT, HANDLE, bytes(64))


def test_hostile_public_keys_verify_nothing() -> None:
    content_key = Tag(bytes(32))  # of small order: some libraries accept any signature under it
    for key in (content_key, Tag(b"\1" + bytes(31)), Tag(b"\xff" * 32), Tag(b"short")):
        for signature in (bytes(64), b"\1" + bytes(63), key.ljust(64, b"\0")):
            assert not receipts.verify_subscription(key, NODE, CLIENT, HANDLE, signature)
