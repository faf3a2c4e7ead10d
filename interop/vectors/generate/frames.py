"""Vectors of frames, pulses, messages on a link, and of what is signed around a tag and in the in-band proof."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any

import cbor2

from interop.vectors.generate._broken import broken_fields, refusal
from interop.vectors.generate._packed import packed, plain
from railgun.crypto.direct import sign_direct
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.hashing import content_hash
from railgun.crypto.receipts import (
    descriptor_content,
    receipt_content,
    sign_receipt,
    sign_subscription,
    sign_tag_descriptor,
    subscribe_content,
)
from railgun.crypto.signing import public_key_of, sign, signing_key_of
from railgun.errors import RefusalCode
from railgun.limits import FRAGMENT_BYTES_MAX, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX
from railgun.links.handshake import (
    CODEC,
    DIALLER_LABEL,
    LISTENER_LABEL,
    Accepted,
    Hello,
    Proof,
    ProofReply,
)
from railgun.links.handshake import Refused as HandshakeRefused
from railgun.types import EnvelopeId, Handle, NodeKey, PeerKey
from railgun.wire.dht_frames import DhtDeclined, DhtFind, DhtFound, DhtHeld, DhtPut
from railgun.wire.directory_frames import (
    AdsPush,
    AdsRequest,
    DirectoryIds,
    DirectoryRange,
    DirectoryRanges,
    IdRange,
)
from railgun.wire.frames import (
    FRAME_KINDS,
    FRAMES,
    PULSES,
    Deliver,
    Digest,
    DirectHold,
    DirectOpen,
    Offer,
    Publish,
    Pull,
    Pulse,
    Receipt,
    Refused,
    SeatDown,
    SeatExchange,
    SeatOpen,
    SeatPull,
    SeatPush,
    Subscribe,
    Subscribed,
    SubscriptionMode,
    TagNumber,
    Unsubscribe,
)
from railgun.wire.framing import FrameEncoder, goodbye_message, handshake_message
from railgun.wire.schema import Codec, shapes_of

START = 1_700_000_400
KEYS = derive_epoch_keys(bytes(range(32)), 1, START)
SEAT_SEED = bytes([1]) * 32
SEAT = NodeKey(public_key_of(SEAT_SEED))
OTHER_SEAT = NodeKey(public_key_of(bytes([2]) * 32))
CLIENT_SEED = bytes([3]) * 32
CLIENT = PeerKey(public_key_of(CLIENT_SEED))
OTHER_CLIENT = PeerKey(public_key_of(bytes([4]) * 32))
HANDLE = Handle(bytes(range(16, 32)))
IDS = tuple(EnvelopeId(bytes([number]) * 16) for number in range(1, 65))
SEATS_HASH = bytes(range(8))
INCARNATION = bytes(range(8, 16))
DESCRIPTOR = sign_tag_descriptor(KEYS, 5, 0)
ENVELOPE = bytes([0xEE]) * 256
U32_MAX = 2**32 - 1


# --- one sample or more of each frame ---------------------------------------------------------


def samples() -> list[tuple[str, Any]]:
    """(name, frame), every kind at least once."""
    receipt = sign_receipt(signing_key_of(SEAT_SEED), KEYS.tag, IDS[:2], SEAT)
    proof = sign_subscription(KEYS, SEAT, CLIENT, HANDLE)
    subscribe = (DESCRIPTOR, HANDLE, SubscriptionMode.PRIMARY, proof, SEATS_HASH)
    hashes = tuple(bytes([number]) * 32 for number in range(1, 4))
    many = IDS[:2] * 256
    return [
        ("subscribe", Subscribe(*subscribe, bytes(8), 1)),
        (
            "subscribe again, as audit",
            Subscribe(*subscribe[:2], SubscriptionMode.AUDIT, *subscribe[3:], INCARNATION, 7),
        ),
        ("subscribed", Subscribed(KEYS.tag, SubscriptionMode.SECONDARY, SEATS_HASH, INCARNATION, 262_144)),
        ("unsubscribe", Unsubscribe(KEYS.tag)),
        ("publish", Publish(ENVELOPE, SEATS_HASH, OTHER_SEAT)),
        ("publish to one seat only", Publish(ENVELOPE, SEATS_HASH, None)),
        ("publish of a wrong size, which decodes", Publish(bytes(65_537), SEATS_HASH, None)),
        ("offer", Offer(KEYS.tag, IDS[:1], SEAT)),
        ("offer of nothing", Offer(KEYS.tag, (), SEAT)),
        ("receipt", Receipt(KEYS.tag, IDS[:2], SEAT, receipt)),
        ("receipt of 64, unsigned", Receipt(KEYS.tag, IDS, SEAT, bytes(64))),
        ("deliver", Deliver(1, ENVELOPE)),
        ("deliver the last number", Deliver(U32_MAX, bytes([0xEE]) * 4096)),
        ("digest", Digest(KEYS.tag, 5, IDS[:3])),
        ("digest of 512", Digest(KEYS.tag, 1, many)),
        ("pull by number", Pull(KEYS.tag, (1, 23, 24, 255, 256, 65_535, 65_536, U32_MAX), ())),
        ("pull by id", Pull(KEYS.tag, (), IDS[:2])),
        ("seat open", SeatOpen(DESCRIPTOR, SEATS_HASH, True)),
        ("seat push", SeatPush(ENVELOPE)),
        (
            "seat exchange",
            SeatExchange(KEYS.tag, IDS[:2], False, 2, bytes(a ^ b for a, b in zip(*IDS[:2], strict=True))),
        ),
        ("seat exchange, urgent", SeatExchange(KEYS.tag, IDS[:1], True, 1, IDS[0])),
        ("seat pull", SeatPull(KEYS.tag, IDS[:2])),
        ("seat down", SeatDown(KEYS.tag, OTHER_SEAT, True)),
        ("refused", Refused(RefusalCode.RATE_LIMITED, KEYS.tag, IDS[:1], 250)),
        ("refused, code alone", Refused(RefusalCode.IDLE, None, None, None)),
        ("refused, tag and wait", Refused(RefusalCode.BUSY, KEYS.tag, None, 86_400_000)),
        ("directory ranges: everything", DirectoryRanges((DirectoryRange(b"", b"", 3, bytes(16)),))),
        (
            "directory ranges: two, adjacent",
            DirectoryRanges(
                (DirectoryRange(b"", b"\x80", 7, bytes(16)), DirectoryRange(b"\x80", b"\x80\x01", 0, b"\xff" * 16))
            ),
        ),
        ("directory ids", DirectoryIds((IdRange(b"", b"\x03", hashes[:2]), IdRange(b"\x03", b"", hashes[2:])))),
        ("directory ids: nothing differs", DirectoryIds(())),
        ("directory ids: an empty range", DirectoryIds((IdRange(b"\x01", b"\x02", ()),))),
        ("ads request", AdsRequest(hashes)),
        ("ads push", AdsPush((b"\xa1\x00\x01", bytes(700)))),
        ("dht find", DhtFind(1, bytes(range(20)), None)),
        ("dht find, any valid record", DhtFind(U32_MAX, bytes(range(20)), 1)),
        ("dht put", DhtPut(2, b"\xa1\x00\x01")),
        ("dht found", DhtFound(1, (b"\xa1\x00\x01", bytes(1_000)), True)),
        ("dht found: nothing", DhtFound(1, (), False)),
        ("dht held", DhtHeld(2, 16)),
        ("dht declined", DhtDeclined(3, RefusalCode.BUSY)),
        (
            "direct open",
            DirectOpen(KEYS.tag, sign_direct(KEYS, CLIENT, OTHER_CLIENT), bytes(range(256)) * 2 + bytes(218)),
        ),
        ("direct hold", DirectHold(KEYS.tag, IDS[:2], False)),
        ("direct hold, asking", DirectHold(KEYS.tag, (), True)),
    ]


PULSE_SAMPLES = [
    ("pulse that asks", Pulse(1, 0, True, ())),
    ("pulse that answers", Pulse(0, 1, False, (TagNumber(KEYS.tag, 12), TagNumber(KEYS.tag, 0)))),
    ("pulse, full", Pulse(U32_MAX, U32_MAX, True, (TagNumber(KEYS.tag, U32_MAX),) * 24)),
]


def _decoded(operation: str, name: str, codec: Codec[Any], item: Any) -> dict[str, Any]:
    encoded = codec.encode(item)
    kind = next(number for number, cls in codec.classes.items() if cls is type(item))
    fields = [plain(getattr(item, field)) for field, _ in shapes_of(type(item))]
    return {
        "name": name,
        "operation": operation,
        "bytes": packed(encoded),
        "expected": {"kind": kind, "fields": fields},
    }


# --- what does not decode ---------------------------------------------------------------------


def _first_of_each_kind() -> list[Any]:
    found: dict[type, Any] = {}
    for _, frame in samples():
        found.setdefault(type(frame), frame)
    return [found[cls] for cls in FRAME_KINDS.values()]


def _broken_directory_frames() -> Iterator[dict[str, Any]]:
    def frame(kind: int, ranges: list[Any]) -> bytes:
        return cbor2.dumps({0: kind, 1: ranges}, canonical=True)

    mark = bytes(16)
    one, two, three = (bytes([number]) * 32 for number in (1, 2, 3))
    many = [
        [bytes([number]), bytes([number + 1]), [bytes([number, index]) + bytes(30) for index in range(32)]]
        for number in range(17)
    ]
    cases: list[tuple[str, int, list[Any]]] = [
        ("range that is empty", 20, [[b"\x02", b"\x02", 0, mark]]),
        ("range upside down", 20, [[b"\x02", b"\x01", 0, mark]]),
        ("ranges that overlap", 20, [[b"", b"\x02", 0, mark], [b"\x01", b"", 0, mark]]),
        ("range after one without end", 20, [[b"", b"", 0, mark], [b"\x01", b"", 0, mark]]),
        ("ids that descend", 21, [[b"", b"", [two, one]]]),
        ("id twice", 21, [[b"", b"", [one, one]]]),
        ("id below its range", 21, [[b"\x02", b"", [one, two]]]),
        ("id at its range's upper bound", 21, [[b"", three, [two, three]]]),
        ("id ranges that overlap", 21, [[b"", b"\x02", []], [b"\x01", b"", []]]),
        ("513 ids and more", 21, many),
    ]
    for name, kind, ranges in cases:
        yield refusal("decode_frame", name, frame(kind, ranges))


def _broken_bytes() -> Iterator[dict[str, Any]]:
    """Not canonical CBOR, or no frame."""
    tag = KEYS.tag
    body = b"\x01\x58\x20" + tag
    good = b"\xa2\x00\x03" + body
    cases = [
        ("nothing", b""),
        ("not a map: an integer", b"\x03"),
        ("not a map: an array", b"\x82\x03\x58\x20" + tag),
        ("an empty map", b"\xa0"),
        ("cut off", good[:-1]),
        ("a byte too many", good + b"\x00"),
        ("two frames", good + good),
        ("no kind", b"\xa1" + body),
        ("kind 0", b"\xa2\x00\x00" + body),
        ("kind 16", b"\xa2\x00\x10" + body),
        ("kind 19", b"\xa2\x00\x13" + body),
        ("kind 29", b"\xa2\x00\x18\x1d" + body),
        ("kind true", b"\xa2\x00\xf5" + body),
        ("kind of another type", b"\xa2\x00\x41\x03" + body),
        ("kind in two bytes", b"\xa2\x00\x18\x03" + body),
        ("keys not ascending", b"\xa2" + body + b"\x00\x03"),
        ("key twice", b"\xa3\x00\x03" + body + body),
        ("key 24", b"\xa3\x00\x03" + body + b"\x18\x18\x00"),
        ("negative key", b"\xa3\x00\x03" + body + b"\x20\x00"),
        ("text as key", b"\xa3\x00\x03" + body + b"\x61\x61\x00"),
        ("indefinite map", b"\xbf\x00\x03" + body + b"\xff"),
        ("indefinite byte string", b"\xa2\x00\x03\x01\x5f\x58\x20" + tag + b"\xff"),
        ("length in three bytes", b"\xa2\x00\x03\x01\x59\x00\x20" + tag),
        ("a tag around it", b"\xd9\xd9\xf7" + good),
        ("a tag around a field", b"\xa2\x00\x03\x01\xc0\x58\x20" + tag),
        ("shared references", b"\xa2\x00\x03\x01\xd8\x1c\x58\x20" + tag),
        ("a float for an integer", b"\xa2\x00\xf9\x42\x00" + body),
        ("undefined", b"\xa2\x00\x03\x01\xf7"),
        ("a simple value", b"\xa2\x00\x03\x01\xe0"),
        ("a big number", b"\xa2\x00\x03\x01\xc2\x49\x01" + bytes(8)),
        ("an integer beyond 2^53", b"\xa2\x00\x07\x01\x1b\x00\x20" + bytes(6)),
        ("invalid UTF-8", b"\xa2\x00\x03\x01\x62\xc3\x28"),
        ("a surrogate in UTF-8", b"\xa2\x00\x03\x01\x63\xed\xa0\x80"),
        ("nested nine deep", b"\xa2\x00\x03\x01" + b"\x81" * 8 + b"\x00"),
        ("nested a thousand deep", b"\xa2\x00\x03\x01" + b"\x81" * 1_000 + b"\x00"),
        ("an array that claims 2^32 items", b"\xa2\x00\x03\x01\x9a\xff\xff\xff\xff"),
        ("a byte string that claims 2^63 bytes", b"\xa2\x00\x03\x01\x5b\x7f" + b"\xff" * 7),
        (
            "longer than a frame",
            b"\xa2\x00\x0b\x01\x5a" + (FRAME_BYTES_MAX).to_bytes(4, "big") + bytes(FRAME_BYTES_MAX),
        ),
    ]
    for name, data in cases:
        yield refusal("decode_frame", name, data)
    size_two = cbor2.dumps([START, KEYS.tag, 2, 0, bytes(64)])
    yield refusal(
        "decode_frame", "committee of 2", b"\xa4\x00\x0a\x01" + size_two + b"\x02\x48" + SEATS_HASH + b"\x03\xf5"
    )


# --- messages ---------------------------------------------------------------------------------


def _frame_items(frames: list[bytes]) -> list[dict[str, Any]]:
    return [{"type": 0, "data": packed(frame)} for frame in frames]


def _encoded(name: str, frames: list[bytes]) -> dict[str, Any]:
    return {
        "name": name,
        "operation": "encode_messages",
        "frames": [packed(frame) for frame in frames],
        "expected": {"messages": [packed(message) for message in FrameEncoder().encode(frames)]},
    }


def _messages(name: str, messages: list[bytes], items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "operation": "decode_messages",
        "messages": [packed(message) for message in messages],
        "expected": {"items": items},
    }


def _fragment(transfer: int, index: int, count: int, payload: bytes) -> bytes:
    return struct.pack(">BHIHH", 1, 8 + len(payload), transfer, index, count) + payload


FULL = bytes([0xF0]) * FRAGMENT_BYTES_MAX


def _accepted_messages() -> list[dict[str, Any]]:
    long = bytes([0xF0]) * (2 * FRAGMENT_BYTES_MAX) + b"end"
    a, b = _fragment(7, 0, 2, FULL), _fragment(7, 1, 2, b"end")
    nine = [_fragment(number, 0, 2, FULL) for number in range(9)]
    return [
        _encoded("three frames in one message", [b"one", b"two", b"three"]),
        _encoded("a frame that fills a message", [bytes([0xF0]) * (MESSAGE_BYTES_MAX - 3)]),
        _encoded("a frame one byte beyond a message", [bytes([0xF0]) * (MESSAGE_BYTES_MAX - 2)]),
        _encoded("three fragments, then a frame beside the last", [long, b"next"]),
        _encoded("two fragmented frames: transfers 0 and 1", [long, long]),
        _encoded("the longest frame", [bytes([0xF0]) * FRAME_BYTES_MAX]),
        _messages("one frame", [b"\x00\x00\x03one"], _frame_items([b"one"])),
        _messages("fragments in reverse", [b, a], _frame_items([FULL + b"end"])),
        _messages("a frame between fragments", [a, b"\x00\x00\x01x" + b], _frame_items([b"x", FULL + b"end"])),
        _messages(
            "of nine unfinished frames the oldest is gone",
            [*nine, _fragment(8, 1, 2, b"z")],
            _frame_items([FULL + b"z"]),
        ),
        _messages("the fragment of a dropped frame begins a new one", [*nine, _fragment(0, 1, 2, b"z")], []),
        _messages(
            "goodbye with a wait",
            [goodbye_message(RefusalCode.BUSY, 5_000)],
            [{"type": 2, "code": "busy", "retry_after_ms": 5_000}],
        ),
        _messages(
            "goodbye without",
            [goodbye_message(RefusalCode.SHUTTING_DOWN, None)],
            [{"type": 2, "code": "shutting_down", "retry_after_ms": None}],
        ),
        _messages("handshake message", [handshake_message(b"\xa1\x00\x04")], [{"type": 3, "data": "a10004"}]),
    ]


def _refused_messages() -> list[dict[str, Any]]:
    first = _fragment(7, 0, 2, FULL)
    cases: list[tuple[str, list[bytes]]] = [
        ("empty message", [b""]),
        ("message too long", [b"\x00\x3f\xff" + bytes(16_383)]),
        ("item without a length", [b"\x00\x00"]),
        ("empty item", [b"\x00\x00\x00"]),
        ("item cut off", [b"\x00\x00\x02x"]),
        ("garbage after an item", [b"\x00\x00\x01x\x00"]),
        ("item type 4", [b"\x04\x00\x01x"]),
        ("item type 255", [b"\xff\x00\x01x"]),
        ("goodbye cut off", [b"\x02\x00\x04\x0a\x00\x00\x00"]),
        ("goodbye too long", [b"\x02\x00\x06\x0a" + bytes(5)]),
        ("goodbye code 0", [b"\x02\x00\x05\x00" + bytes(4)]),
        ("goodbye code 255", [b"\x02\x00\x05\xff" + bytes(4)]),
        ("handshake message too long", [b"\x03\x04\x01" + bytes(1_025)]),
        ("fragment without payload", [_fragment(7, 1, 2, b"")]),
        ("fragment cut off", [b"\x01\x00\x07" + bytes(7)]),
        ("the only fragment", [_fragment(7, 0, 1, b"x")]),
        ("of no fragments", [_fragment(7, 0, 0, b"x")]),
        ("of six fragments", [_fragment(7, 0, 6, FULL)]),
        ("index beyond the count", [_fragment(7, 2, 2, b"x")]),
        ("short fragment that is not the last", [_fragment(7, 0, 2, FULL[1:])]),
        ("long fragment", [_fragment(7, 1, 2, FULL + b"x")]),
        ("fragment twice", [first, first]),
        ("another count", [first, _fragment(7, 1, 3, FULL)]),
        ("80,000 bytes in five fragments", [_fragment(7, index, 5, FULL) for index in range(5)]),
    ]
    return [
        {
            "name": name,
            "operation": "decode_messages",
            "messages": [packed(message) for message in messages],
            "code": "malformed",
        }
        for name, messages in cases
    ]


# --- the in-band proof ------------------------------------------------------------------------

NETWORK_ID = bytes([9]) * 32
DIALLER_NONCE, LISTENER_NONCE = bytes([10]) * 32, bytes([11]) * 32
DIALLER_CERTIFICATE, LISTENER_CERTIFICATE = bytes([12]) * 32, bytes([13]) * 32
NOW_MS = 1_700_000_400_123
TRANSCRIPT = {
    "network_id": NETWORK_ID.hex(),
    "dialler_nonce": DIALLER_NONCE.hex(),
    "listener_nonce": LISTENER_NONCE.hex(),
    "dialler_certificate": DIALLER_CERTIFICATE.hex(),
    "listener_certificate": LISTENER_CERTIFICATE.hex(),
}


def proof_content(case: dict[str, Any]) -> bytes:
    """What a proof's signature covers, put together from the specification alone."""
    parts = ("dialler_nonce", "listener_nonce", "dialler_certificate", "listener_certificate", "network_id")
    return (
        b"".join(bytes.fromhex(case[part]) for part in parts)
        + struct.pack(">Q", case["now_ms"])
        + public_key_of(bytes.fromhex(case["seed"]))
        + bytes([case["is_relay"]])
    )


def _proof(name: str, seed: bytes, now_ms: int, *, dials: bool, is_relay: bool) -> dict[str, Any]:
    case = {
        "name": name,
        "operation": "link_proof",
        **TRANSCRIPT,
        "dials": dials,
        "seed": seed.hex(),
        "now_ms": now_ms,
        "is_relay": is_relay,
    }
    signature = sign(seed, DIALLER_LABEL if dials else LISTENER_LABEL, proof_content(case))
    key = public_key_of(seed)
    message = ProofReply(key, is_relay, now_ms, signature) if dials else Proof(key, LISTENER_NONCE, now_ms, signature)
    return {**case, "expected": {"message": CODEC.encode(message).hex()}}


def _handshakes() -> list[tuple[str, Any]]:
    return [
        ("hello", Hello(1, NETWORK_ID, DIALLER_NONCE)),
        ("proof, unsigned", Proof(SEAT, LISTENER_NONCE, NOW_MS, bytes(64))),
        ("proof reply, unsigned", ProofReply(CLIENT, False, NOW_MS, bytes(64))),
        ("accepted", Accepted()),
        ("handshake refused, code alone", HandshakeRefused(RefusalCode.BAD_PROOF, None, None)),
        ("handshake refused: busy", HandshakeRefused(RefusalCode.BUSY, U32_MAX - 1, None)),
        ("handshake refused: network", HandshakeRefused(RefusalCode.WRONG_NETWORK, None, NETWORK_ID)),
    ]


# --- what is signed around a tag --------------------------------------------------------------


def _signed() -> list[dict[str, Any]]:
    epoch = {"day_secret": bytes(range(32)).hex(), "generation": 1, "start": START}
    ids = IDS[:2]
    return [
        {
            "name": "tag descriptor",
            "operation": "sign_descriptor",
            **epoch,
            "committee_size": 5,
            "gate": 0,
            "expected": {
                "content": descriptor_content(START, KEYS.tag, 5, 0).hex(),
                "signature": DESCRIPTOR.signature.hex(),
            },
        },
        {
            "name": "subscription",
            "operation": "sign_subscription",
            **epoch,
            "seat": SEAT.hex(),
            "client": CLIENT.hex(),
            "handle": HANDLE.hex(),
            "expected": {
                "content": subscribe_content(KEYS.tag, SEAT, CLIENT, HANDLE).hex(),
                "signature": sign_subscription(KEYS, SEAT, CLIENT, HANDLE).hex(),
            },
        },
        {
            "name": "receipt of two",
            "operation": "sign_receipt",
            "seed": SEAT_SEED.hex(),
            "tag": KEYS.tag.hex(),
            "ids": [item.hex() for item in ids],
            "expected": {
                "content": receipt_content(KEYS.tag, ids, SEAT).hex(),
                "content_hash": content_hash(receipt_content(KEYS.tag, ids, SEAT)).hex(),
                "signature": sign_receipt(signing_key_of(SEAT_SEED), KEYS.tag, ids, SEAT).hex(),
            },
        },
    ]


def _forged() -> list[dict[str, Any]]:
    receipt = next(frame for _, frame in samples() if isinstance(frame, Receipt))
    subscribe = next(frame for _, frame in samples() if isinstance(frame, Subscribe))
    replace = dataclasses.replace
    receipts = [
        ("receipt for other ids", replace(receipt, ids=IDS[2:4])),
        ("receipt with the ids in another order", replace(receipt, ids=receipt.ids[::-1])),
        ("receipt for another tag", replace(receipt, tag=bytes(OTHER_SEAT))),
        ("receipt of another seat", replace(receipt, seat=OTHER_SEAT)),
        ("receipt with an altered signature", replace(receipt, signature=bytes(64))),
    ]
    descriptors = [
        ("descriptor with another K", replace(DESCRIPTOR, committee_size=3)),
        ("descriptor with another gate", replace(DESCRIPTOR, gate=1)),
        ("descriptor with another start", replace(DESCRIPTOR, start=START + 600)),
        ("descriptor of another tag", replace(DESCRIPTOR, tag=bytes(OTHER_SEAT))),
    ]
    cases = [{"name": n, "operation": "verify_receipt", "bytes": FRAMES.encode(f).hex()} for n, f in receipts]
    for name, descriptor in descriptors:
        frame = FRAMES.encode(SeatOpen(descriptor, SEATS_HASH, True))
        cases.append({"name": name, "operation": "verify_descriptor", "bytes": frame.hex()})
    proofs = [
        ("subscription on another link", subscribe, SEAT, public_key_of(SEAT_SEED)),
        ("subscription at another seat", subscribe, OTHER_SEAT, CLIENT),
        ("subscription with another handle", replace(subscribe, handle=Handle(bytes(16))), SEAT, CLIENT),
    ]
    for name, altered, seat, client in proofs:
        cases.append(
            {
                "name": name,
                "operation": "verify_subscription",
                "bytes": FRAMES.encode(altered).hex(),
                "seat": seat.hex(),
                "client": client.hex(),
            }
        )
    codes = {"verify_subscription": "bad_proof"}
    return [{**case, "code": codes.get(case["operation"], "bad_signature")} for case in cases]


def vectors() -> dict[str, Any]:
    """The content of frames.json."""
    broken = [case for frame in _first_of_each_kind() for case in broken_fields("decode_frame", FRAMES, frame)]
    broken_handshakes = [
        case
        for item in (_handshakes()[index][1] for index in (0, 1, 2, 3, 6))
        for case in broken_fields("decode_handshake", CODEC, item)
    ]
    return {
        "description": "Frames, pulses, messages and the in-band proof (docs/spec/frames.md, docs/spec/links.md). "
        "Long byte strings are lists of parts and repeats.",
        "accepted": [
            *(_decoded("decode_frame", name, FRAMES, frame) for name, frame in samples()),
            *(_decoded("decode_pulse", name, PULSES, pulse) for name, pulse in PULSE_SAMPLES),
            *(_decoded("decode_handshake", name, CODEC, message) for name, message in _handshakes()),
            *_signed(),
            _proof("listener's proof", SEAT_SEED, NOW_MS, dials=False, is_relay=True),
            _proof("client's proof", CLIENT_SEED, NOW_MS + 7, dials=True, is_relay=False),
            _proof("relay's proof, dialling", CLIENT_SEED, 0, dials=True, is_relay=True),
            *_accepted_messages(),
        ],
        "refused": [
            *_broken_bytes(),
            *broken,
            *_broken_directory_frames(),
            *broken_fields("decode_pulse", PULSES, PULSE_SAMPLES[1][1]),
            *({**case, "name": f"handshake {case['name']}"} for case in broken_handshakes),
            *_forged(),
            *_refused_messages(),
        ],
    }
