"""Vectors of pairwise bodies, bundles and key requests: encodings, hints, contexts, what signatures cover."""

from __future__ import annotations

from typing import Any

from railgun.core.pairwise import CONTEXT_LABEL
from railgun.core.roster_entries import sign_prekey
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.message_ids import pairwise_hint
from railgun.crypto.signing import public_key_of, sign
from railgun.types import DeviceKey, RoomId
from railgun.wire.pairwise import (
    PAIRWISE_BODIES,
    PAIRWISE_LABEL,
    SHARED_KEYS,
    PairwiseBody,
    PairwiseItem,
    SharedKeys,
    pairwise_content,
)
from railgun.wire.roster import PREKEYS
from railgun.wire.sealed import KEY_REQUEST_LABEL, SEALED_BODIES, KeyRequest, context, key_request_content

SEED = b"\x71" * 32
AUTHOR = DeviceKey(public_key_of(SEED))
OTHER = DeviceKey(public_key_of(b"\x72" * 32))
ROOM = RoomId(b"\x73" * 32)
MADE = 1_728_043_200
SESSION_KEY = bytes(range(229))


def vectors() -> dict[str, Any]:
    """The file."""
    hint = pairwise_hint(OTHER, MADE)
    items = (PairwiseItem(hint, True, b"\x01" * 1_578), PairwiseItem(b"\x74" * 8, False, b"\x02" * 336))
    content = pairwise_content(ROOM, AUTHOR, MADE, items)
    body = PAIRWISE_BODIES.encode(PairwiseBody(AUTHOR, MADE, items, sign(SEED, PAIRWISE_LABEL, content)))
    name = keyed_hash(None, CONTEXT_LABEL, ROOM + AUTHOR + OTHER)
    shared = SHARED_KEYS.encode(SharedKeys(name, MADE, (SESSION_KEY,)))
    record = sign_prekey(SEED, AUTHOR, MADE, b"\x75" * 1_216, b"\x76" * 32)
    asked = key_request_content(ROOM, AUTHOR, MADE, (b"\x77" * 8,), (OTHER,))
    signature = sign(SEED, KEY_REQUEST_LABEL, asked)
    request = KeyRequest(AUTHOR, MADE, (b"\x77" * 8,), (OTHER,), record, signature)
    named = {"room": ROOM.hex(), "author": AUTHOR.hex(), "recipient": OTHER.hex(), "made": MADE}
    info = context(PAIRWISE_LABEL, ROOM, AUTHOR, OTHER)
    encoded = PREKEYS.encode(record)
    return {
        "description": "Pairwise bodies (docs/spec/messages.md), bundles and key requests (docs/spec/rooms.md).",
        "accepted": [
            {"name": "hint", "operation": "hint", **named, "expected": hint.hex()},
            {"name": "what stands under Olm", "operation": "shared_keys", **named, "expected": shared.hex()},
            {"name": "HPKE info of a first message", "operation": "info", **named, "expected": info.hex()},
            {"name": "a body", "operation": "body", "encoded": body.hex(), "signed": content.hex(), **named},
            {"name": "a bundle", "operation": "bundle", "encoded": encoded.hex()},
            {
                "name": "a key request",
                "operation": "sealed_body",
                "encoded": SEALED_BODIES.encode(request).hex(),
                "signed": asked.hex(),
            },
        ],
        "refused": [
            {"name": "a byte too many", "operation": "body", "encoded": body.hex() + "00"},
            {"name": "cut short", "operation": "body", "encoded": body[:-1].hex()},
            {"name": "empty", "operation": "body", "encoded": ""},
            {"name": "a key of the wrong length", "operation": "shared_keys", "encoded": shared[:-1].hex()},
            {"name": "a bundle cut short", "operation": "bundle", "encoded": encoded[:-1].hex()},
        ],
    }
