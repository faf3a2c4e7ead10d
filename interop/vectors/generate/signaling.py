"""Vectors of first contact: every frame of a rendezvous server, proofs, sealed blobs, an invite's mailboxes.

A frame's case gives its encoding, its kind by name, and its fields: byte strings in hexadecimal, an absent optional
field as null, relays as objects.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from railgun.crypto.rendezvous import MailboxKey, invite_mailbox, mailbox_period, seal_blob, sign_registration
from railgun.crypto.signing import public_key_of
from railgun.limits import SEALED_BLOB_BYTES, SEALED_BLOB_CONTENT_BYTES_MAX
from railgun.types import Address, NetworkId, NodeKey
from railgun.wire import cbor
from railgun.wire.rendezvous import (
    RENDEZVOUS_FRAMES,
    AskRelays,
    Challenge,
    Delivery,
    Forwarded,
    Opened,
    OpenMailbox,
    Registered,
    RegisterRelay,
    RelayAddress,
    Relays,
    RendezvousCode,
    RendezvousFrame,
    RendezvousRefused,
    Send,
)

NETWORK = NetworkId(b"\xa1" * 32)
SECRET = bytes(range(32))
OTHER = bytes(range(32, 64))
EPHEMERAL = bytes(range(64, 96))
SEED = bytes(range(96, 128))
NONCE = b"\x5a" * 32
SMALL_ORDER = (bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f")


def _blob(content: bytes = b"offer") -> bytes:
    return seal_blob(MailboxKey.of(SECRET).public, content, EPHEMERAL)


def _relay(number: int, *addresses: Address) -> RelayAddress:
    return RelayAddress(NodeKey(bytes([number]) * 32), bytes([number + 1]) * 32, addresses)


def _frames() -> list[tuple[str, RendezvousFrame]]:
    four, six = Address("192.0.2.7", 9000), Address("2001:db8::7", 65_535)
    key, challenge = MailboxKey.of(SECRET), MailboxKey.of(OTHER).public
    return [
        ("ask for relays", AskRelays(NETWORK)),
        ("open a mailbox", OpenMailbox(key.public, key.proof(NONCE, challenge))),
        ("register a relay", RegisterRelay(NETWORK, b"an ad", sign_registration(SEED, NONCE, challenge, NETWORK, b"an ad"))),
        ("send", Send(1, key.public, _blob())),
        ("send, the greatest number", Send(2**32 - 1, key.public, _blob())),
        ("challenge", Challenge(1, NONCE, challenge)),
        ("no relays", Relays(())),
        ("two relays", Relays((_relay(1, four), _relay(3, six, four)))),
        ("eight relays", Relays(tuple(_relay(number, four) for number in range(8)))),
        ("opened", Opened(3600)),
        ("registered", Registered(60)),
        ("forwarded", Forwarded(7)),
        ("delivery", Delivery(MailboxKey.of(OTHER).public, _blob())),
        *((f"refused, {code.name.lower()}", RendezvousRefused(code)) for code in RendezvousCode),
        ("refused, come again", RendezvousRefused(RendezvousCode.RATE_LIMITED, 30)),
        ("a blob refused", RendezvousRefused(RendezvousCode.ABSENT, 5, 7)),
        ("a blob refused for good", RendezvousRefused(RendezvousCode.MALFORMED, None, 7)),
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, RendezvousCode):
        return value.name.lower()
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _fields(frame: Any) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(frame):
        value = getattr(frame, field.name)
        if isinstance(frame, Relays):
            found[field.name] = [_fields(relay) for relay in value]
        else:
            found[field.name] = _plain(value)
    return found


def _accepted_frame(name: str, frame: RendezvousFrame) -> dict[str, Any]:
    expected = {"frame": type(frame).__name__, **_fields(frame)}
    encoded = RENDEZVOUS_FRAMES.encode(frame)
    return {"name": name, "operation": "rendezvous_frame", "encoded": encoded.hex(), "expected": expected}


def _refused_frames() -> list[dict[str, Any]]:
    blob = _blob()
    relay: list[cbor.Value] = [b"\1" * 32, b"\2" * 32, [bytes((192, 0, 2, 7, 35, 40))]]
    mapped = bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 7, 35, 40))
    cases: list[tuple[str, bytes]] = [
        ("nothing", b""),
        ("no map", cbor.encode([1, NETWORK])),
        ("an unknown kind", cbor.encode({0: 5, 1: NETWORK})),
        ("no kind", cbor.encode({1: NETWORK})),
        ("a missing field", cbor.encode({0: 1})),
        ("a field too many", cbor.encode({0: 1, 1: NETWORK, 2: 1})),
        ("a key too short", cbor.encode({0: 1, 1: bytes(31)})),
        ("text for bytes", cbor.encode({0: 1, 1: "a" * 32})),
        ("a blob one byte short", cbor.encode({0: 4, 1: 1, 2: bytes(32), 3: blob[:-1]})),
        ("a blob one byte long", cbor.encode({0: 4, 1: 1, 2: bytes(32), 3: blob + b"\0"})),
        ("a number too great", cbor.encode({0: 4, 1: 2**32, 2: bytes(32), 3: blob})),
        ("a negative number", cbor.encode({0: 20, 1: -1})),
        ("an empty ad", cbor.encode({0: 3, 1: NETWORK, 2: b"", 3: bytes(64)})),
        ("an ad too long", cbor.encode({0: 3, 1: NETWORK, 2: bytes(301), 3: bytes(64)})),
        ("a code that is none", cbor.encode({0: 22, 1: 0})),
        ("another code that is none", cbor.encode({0: 22, 1: 19})),
        ("a null for an absent field", cbor.encode({0: 22, 1: 6, 2: None})),
        ("true for a number", cbor.encode({0: 20, 1: True})),
        ("nine relays", cbor.encode({0: 17, 1: [relay] * 9})),
        ("a relay without an address", cbor.encode({0: 17, 1: [[b"\1" * 32, b"\2" * 32, []]]})),
        ("a relay with five addresses", cbor.encode({0: 17, 1: [[b"\1" * 32, b"\2" * 32, relay[2] * 5]]})),  # type: ignore[operator]
        ("an address of 7 bytes", cbor.encode({0: 17, 1: [[b"\1" * 32, b"\2" * 32, [bytes(7)]]]})),
        ("port 0", cbor.encode({0: 17, 1: [[b"\1" * 32, b"\2" * 32, [bytes((192, 0, 2, 7, 0, 0))]]]})),
        ("a mapped address", cbor.encode({0: 17, 1: [[b"\1" * 32, b"\2" * 32, [mapped]]]})),
        ("an integer that is not shortest", b"\xa2\x00\x14\x01\x18\x07"),
        ("keys out of order", b"\xa2\x01\x07\x00\x14"),
        ("a key twice", b"\xa3\x00\x14\x01\x07\x01\x07"),
        ("an indefinite map", b"\xbf\x00\x14\x01\x07\xff"),
        ("bytes after the end", b"\xa2\x00\x14\x01\x07\x00"),
        ("a frame too long", cbor.encode({0: 3, 1: NETWORK, 2: bytes(4_600), 3: bytes(64)})),
    ]
    return [
        {"name": name, "operation": "rendezvous_frame", "encoded": data.hex(), "code": "malformed"}
        for name, data in cases
    ]


def _accepted_crypto() -> list[dict[str, Any]]:
    key, challenge = MailboxKey.of(SECRET), MailboxKey.of(OTHER).public
    cases: list[dict[str, Any]] = [
        {
            "name": "the proof that opens a mailbox",
            "operation": "mailbox_proof",
            "secret": SECRET.hex(),
            "nonce": NONCE.hex(),
            "challenge_key": challenge.hex(),
            "expected": {"mailbox": key.public.hex(), "proof": key.proof(NONCE, challenge).hex()},
        },
        {
            "name": "a relay's registration",
            "operation": "sign_registration",
            "seed": SEED.hex(),
            "nonce": NONCE.hex(),
            "challenge_key": challenge.hex(),
            "network": NETWORK.hex(),
            "ad": b"an ad".hex(),
            "expected": {
                "node_key": public_key_of(SEED).hex(),
                "signature": sign_registration(SEED, NONCE, challenge, NETWORK, b"an ad").hex(),
            },
        },
    ]
    for name, content in (("nothing", b""), ("a few bytes", b"offer"), ("all that fits", bytes([7]) * 4_045)):
        blob = seal_blob(key.public, content, EPHEMERAL)
        sealed = {"mailbox": key.public.hex(), "content": content.hex(), "ephemeral_secret": EPHEMERAL.hex()}
        opened = {"secret": SECRET.hex(), "blob": blob.hex(), "expected": {"content": content.hex()}}
        cases.append({"name": f"seal {name}", "operation": "seal_blob", **sealed, "expected": {"blob": blob.hex()}})
        cases.append({"name": f"open {name}", "operation": "open_blob", **opened})
    for wall, slot in ((0, 0), (3_599, 1), (3_600, 2), (1_700_000_400, 3)):
        made = invite_mailbox(SECRET, mailbox_period(wall), slot)
        cases.append(
            {
                "name": f"an invite's mailbox at {wall}, slot {slot}",
                "operation": "invite_mailbox",
                "lobby_secret": SECRET.hex(),
                "wall": wall,
                "slot": slot,
                "expected": {"period": wall // 3_600, "secret": made.secret.hex(), "mailbox": made.public.hex()},
            }
        )
    return cases


def _refused_crypto() -> list[dict[str, Any]]:
    blob = _blob()
    longer = SEALED_BLOB_CONTENT_BYTES_MAX + 1
    flipped = {
        "the version": b"\2" + blob[1:],
        "the ephemeral key": blob[:1] + bytes((blob[1] ^ 1,)) + blob[2:],
        "a byte inside": blob[:2_000] + bytes((blob[2_000] ^ 1,)) + blob[2_001:],
        "the authenticator": blob[:-1] + bytes((blob[-1] ^ 1,)),
        "the length": blob[:-1],
        "everything": bytes(SEALED_BLOB_BYTES),
    }
    cases: list[dict[str, Any]] = [
        {"name": f"open, {name} changed", "operation": "open_blob", "secret": SECRET.hex(), "blob": data.hex(), "code": "crypto"}
        for name, data in flipped.items()
    ]
    cases.append(
        {"name": "open, another's", "operation": "open_blob", "secret": OTHER.hex(), "blob": blob.hex(), "code": "crypto"}
    )
    for number, point in enumerate(SMALL_ORDER):
        small = {"name": f"a blob from small order {number}", "operation": "open_blob", "secret": SECRET.hex()}
        cases.append({**small, "blob": (b"\1" + point + blob[33:]).hex(), "code": "crypto"})
        sealing = {"mailbox": point.hex(), "content": "", "ephemeral_secret": EPHEMERAL.hex(), "code": "crypto"}
        cases.append({"name": f"seal for small order {number}", "operation": "seal_blob", **sealing})
        proving = {"secret": SECRET.hex(), "nonce": NONCE.hex(), "challenge_key": point.hex(), "code": "crypto"}
        cases.append({"name": f"prove to small order {number}", "operation": "mailbox_proof", **proving})
    too_long = {"mailbox": MailboxKey.of(SECRET).public.hex(), "content": bytes(longer).hex()}
    too_long |= {"ephemeral_secret": EPHEMERAL.hex(), "code": "invalid_argument"}
    cases.append({"name": "seal too much", "operation": "seal_blob", **too_long})
    return cases


def vectors() -> dict[str, Any]:
    """The file."""
    urls = ["wss://rendezvous.example", "ws://192.0.2.7:8443", "wss://[2001:db8::7]:443/a/b", "wss://a.example/"]
    wrong = ["", "https://a.example", "wss://", "wss://u@a.example", "wss://a.example:0", "wss://a.example:65536"]
    wrong += ["wss://a.example/?q", "wss://a.example/#f", "wss://a example", "wss://" + "a" * 123]
    return {
        "description": "First contact through a rendezvous server (docs/spec/signaling.md).",
        "accepted": [
            *(_accepted_frame(name, frame) for name, frame in _frames()),
            *_accepted_crypto(),
            *(
                {"name": url, "operation": "rendezvous_url", "url": url, "expected": {"url": url.rstrip("/")}}
                for url in urls
            ),
        ],
        "refused": [
            *_refused_frames(),
            *_refused_crypto(),
            *({"name": f"address {url!r}", "operation": "rendezvous_url", "url": url, "code": "malformed"} for url in wrong),
        ],
    }
