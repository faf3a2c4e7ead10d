"""Vectors of message ids and hints, with recorded Megolm messages: their bytes make the id, so one encoding only."""

from __future__ import annotations

from typing import Any

from railgun.crypto.message_ids import group_hint, message_id, pairwise_hint
from railgun.types import DeviceKey

AUTHOR = DeviceKey(bytes(range(32)))
OTHER_AUTHOR = DeviceKey(bytes(range(1, 33)))
SESSION_ID_BYTES = slice(133, 165)
"""Where a session key holds the session's Ed25519 key, which is its id."""

# Recorded once: Megolm draws its own randomness.
SESSION_KEY = bytes.fromhex(
    "02000000005c48e0d95ca647b6f732b5aa8da74222064b853ef59c84cd1f69cf9f57475f41b230e6762e726cfa8c136e"
    "8b1c1a0980e7400b997eed938b78e2d5ec95b00309aea3f226e34607943e50efabeaa66e2812897ea5cb96981c9780f4"
    "4522cc533566e50718a0dc43285f2f9127b488f4a8fe93934d22e477e2db8c4c0e8f2431209b70138e801eff4be65fe8"
    "1b43f40ee0e4ab75e2704366377bdd7c9b01e368009c409ebf61bf547de68d698063870461d13b43e35a71f7b488e4a0"
    "3df4524396e268613f35eab6498e994d3fcc611b6d5915c5c73748d885760aef25ad95b70e"
)
MESSAGE_0 = bytes.fromhex(
    "0308001210638886f1299eb7a3e309af67b2ca7c65d11809f9b2122cb4da0a6ce3d4cedb02e79e97cccaf2cbbf467d45"
    "0953505e6fc80452ada59ff1adf51d2b1bd79bc58aa0a05e37286d28605194974b00bb5a51670d5e2f5dbdff03"
)
MESSAGE_1 = bytes.fromhex(
    "0308011210738c9fdb07e4dbc812071e101b59aabcc3c23803d76ea18cce3943bec986bf2eabecc60fc11c4e84f45db6"
    "492d19c6c35e68dcba6ef14d4b108086b53926b00d4cffa4b277bfba12bd0a29469ca3d7ab7e973f92358e7d06"
)
MESSAGE_128 = bytes.fromhex(
    "030880011210e74967432e403499e805e77a6d23f5c2e23879fb94536e9dd8881de80f85a8ea7d12e2b2a5bdf1f1575d"
    "65f5aff0f7bd5dff567783075ecb5eeab959479e2f58acb39eeffe39926e4b0ebad350be142d575f1940f1a78100"
)


def _id(name: str, author: DeviceKey, megolm: bytes) -> dict[str, Any]:
    return {
        "name": name,
        "operation": "message_id",
        "author": author.hex(),
        "megolm": megolm.hex(),
        "expected": {"message_id": message_id(author, megolm).hex()},
    }


def _group_hint(name: str, session_id: bytes) -> dict[str, Any]:
    expected = {"hint": group_hint(session_id).hex()}
    return {"name": name, "operation": "group_hint", "session_id": session_id.hex(), "expected": expected}


def _pairwise_hint(name: str, recipient: DeviceKey, start: int) -> dict[str, Any]:
    expected = {"hint": pairwise_hint(recipient, start).hex()}
    return {
        "name": name,
        "operation": "pairwise_hint",
        "recipient": recipient.hex(),
        "start": start,
        "expected": expected,
    }


def _decrypt(name: str, megolm: bytes, index: int, plaintext: bytes) -> dict[str, Any]:
    return {
        "name": name,
        "operation": "megolm_decrypt",
        "session_key": SESSION_KEY.hex(),
        "megolm": megolm.hex(),
        "expected": {
            "session_id": SESSION_KEY[SESSION_ID_BYTES].hex(),
            "index": index,
            "plaintext": plaintext.hex(),
        },
    }


def _refused() -> list[dict[str, Any]]:
    body, tail = MESSAGE_0[:-72], MESSAGE_0[-72:]
    encodings = [
        ("unknown field after the ciphertext", body + b"\x18\x01" + tail),
        ("index in two bytes", b"\x03\x08\x80\x00" + body[3:] + tail),
        ("index given twice", body[:3] + b"\x08\x00" + body[3:] + tail),
        ("changed ciphertext", body[:-1] + bytes([body[-1] ^ 1]) + tail),
        ("changed signature", MESSAGE_0[:-1] + bytes([MESSAGE_0[-1] ^ 1])),
        ("version 4", b"\x04" + MESSAGE_0[1:]),
        ("cut short", MESSAGE_0[:-1]),
        ("nothing", b""),
    ]
    decrypt = {"operation": "megolm_decrypt", "session_key": SESSION_KEY.hex()}
    changed_key = SESSION_KEY[:-1] + bytes([SESSION_KEY[-1] ^ 1])
    identify = {"operation": "message_id", "megolm": MESSAGE_0.hex()}
    return [
        *({"name": name, **decrypt, "megolm": data.hex(), "code": "crypto"} for name, data in encodings),
        {
            "name": "session key with a changed signature",
            **decrypt,
            "session_key": changed_key.hex(),
            "megolm": MESSAGE_0.hex(),
            "code": "crypto",
        },
        {"name": "author of 31 bytes", **identify, "author": AUTHOR[:-1].hex(), "code": "invalid_argument"},
        {"name": "author of 33 bytes", **identify, "author": AUTHOR.hex() + "00", "code": "invalid_argument"},
    ]


def vectors() -> dict[str, Any]:
    """The content of message_ids.json."""
    return {
        "description": "Message ids and hints (docs/spec/messages.md), and the Megolm messages whose bytes they cover.",
        "accepted": [
            _id("a message", AUTHOR, MESSAGE_0),
            _id("another author", OTHER_AUTHOR, MESSAGE_0),
            _id("another message", AUTHOR, MESSAGE_1),
            _group_hint("group hint", SESSION_KEY[SESSION_ID_BYTES]),
            _pairwise_hint("pairwise hint", AUTHOR, 1_700_000_400),
            _pairwise_hint("pairwise hint of the next epoch", AUTHOR, 1_700_001_000),
            _decrypt("first message", MESSAGE_0, 0, b"first"),
            _decrypt("empty message", MESSAGE_1, 1, b""),
            _decrypt("index that takes two bytes", MESSAGE_128, 128, b"index 128"),
        ],
        "refused": _refused(),
    }
