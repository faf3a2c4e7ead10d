"""Vectors of the DHT: datagrams, messages, records, what stands under a tag."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import cbor2

from interop.vectors.generate._broken import broken_fields, refusal
from interop.vectors.generate._packed import packed, plain
from railgun.crypto.contact_sealing import CONTACT_BYTES_MAX, seal_contact
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.identity import NodeIdentity
from railgun.crypto.records import sign_ad
from railgun.crypto.signing import public_key_of, sign, signing_key_of
from railgun.dht import datagrams
from railgun.dht.datagrams import DATAGRAM_LABEL, NO_COOKIE, NO_DESTINATION, Form, Header
from railgun.dht.messages import (
    ANSWERS,
    REQUESTS,
    FindNodes,
    FindRecords,
    Found,
    Ping,
    Pong,
    Refused,
    Store,
    Stored,
)
from railgun.dht.records import RecordKind, SignedRecord, record_key, sign_record, split_payload
from railgun.dht.session_keys import NodeAgreement, SessionKeyring, SessionKeys
from railgun.errors import RefusalCode
from railgun.limits import DHT_DATAGRAM_BYTES_MAX
from railgun.types import Address, NodeId, NodeKey, Role
from railgun.wire.schema import Codec, shapes_of
from railgun.wire.tag_payloads import COMMITTEE_CHANGES, TRAVERSAL_HINTS, CommitteeChange, TraversalHints

NOW = 1_700_000_400
NETWORK = bytes(range(8))
SEEDS = (bytes([1]) * 32, bytes([2]) * 32)
KEYS = derive_epoch_keys(bytes(range(32)), 1, NOW)
COOKIE = bytes(range(100, 116))
REQUEST_ID = bytes(range(8))
SMALL_ORDER_KEY = b"\x01" + bytes(31)


def identity(index: int) -> NodeIdentity:
    return NodeIdentity(NodeKey(public_key_of(SEEDS[index])), signing_key_of(SEEDS[index]))


def session_keys(own: int) -> SessionKeys:
    """Between the two nodes, as seen from one of them."""
    ours = identity(own)
    return SessionKeyring(ours.node_key, NodeAgreement(ours.signing_key)).keys_for(identity(1 - own).node_key)


# --- datagrams ----------------------------------------------------------------------------------


def _header(form: Form, cookie: bytes = NO_COOKIE) -> Header:
    to = NO_DESTINATION if form is Form.SIGNED_REQUEST else identity(1).node_id
    return Header(form, NETWORK, identity(0).node_key, NodeId(to), NOW, REQUEST_ID, cookie)


def datagram(form: Form, message: bytes, *, bytes_min: int = 0, cookie: bytes = NO_COOKIE) -> bytes:
    """From the first node to the second."""
    header = _header(form, cookie)
    if form is Form.SIGNED_REQUEST:
        return datagrams.seal_signed(header, message, identity(0), bytes_min=bytes_min)
    return datagrams.seal(header, message, session_keys(0), bytes_min=bytes_min)


def _sealed(name: str, form: Form, message: bytes, *, bytes_min: int = 0, cookie: bytes = NO_COOKIE) -> dict[str, Any]:
    return {
        "name": f"datagram: {name}",
        "operation": "open_datagram",
        "receiver_seed": SEEDS[1].hex(),
        "bytes": packed(datagram(form, message, bytes_min=bytes_min, cookie=cookie)),
        "expected": {
            "form": int(form),
            "network": NETWORK.hex(),
            "sender": identity(0).node_key.hex(),
            "destination": (bytes(20) if form is Form.SIGNED_REQUEST else identity(1).node_id).hex(),
            "time": NOW,
            "request_id": REQUEST_ID.hex(),
            "cookie": cookie.hex(),
            "message": message.hex(),
        },
    }


def _accepted_datagrams() -> Iterator[dict[str, Any]]:
    ping, find = REQUESTS.encode(Ping(True)), REQUESTS.encode(FindNodes(bytes(20), False))
    yield _sealed("a ping to a bare address", Form.SIGNED_REQUEST, ping, bytes_min=DHT_DATAGRAM_BYTES_MAX)
    yield _sealed("a request without a cookie, padded", Form.REQUEST, find, bytes_min=DHT_DATAGRAM_BYTES_MAX)
    yield _sealed("a request with its cookie", Form.REQUEST, find, cookie=COOKIE)
    yield _sealed("an answer", Form.ANSWER, ANSWERS.encode(Stored()), cookie=COOKIE)
    yield _sealed("an empty message", Form.ANSWER, b"", cookie=COOKIE)


def _refused_datagrams() -> Iterator[dict[str, Any]]:
    message = REQUESTS.encode(Ping(True))
    good = datagram(Form.REQUEST, message, bytes_min=160)
    signed = datagram(Form.SIGNED_REQUEST, message, bytes_min=200)
    at = datagrams.HEADER_BYTES
    by_the_other_way = datagrams.seal(_header(Form.REQUEST), message, session_keys(1))
    small = good[:9] + SMALL_ORDER_KEY + good[41:]
    other_label = signed[:-64] + sign(SEEDS[0], DATAGRAM_LABEL + "x", signed[:-64])
    cases = [
        ("nothing", b"", "wrong_size"),
        ("shorter than a header and a MAC", good[:106], "wrong_size"),
        ("1,233 bytes", good.ljust(1_233, b"\0"), "wrong_size"),
        ("form 0xD3", b"\xd3" + good[1:], "malformed"),
        ("form of STUN", b"\x00" + good[1:], "malformed"),
        ("a message longer than its datagram", good[: at - 2] + b"\xff\xff" + good[at:], "malformed"),
        ("padding that is not zeros", good[:-20] + b"\x01" + good[-19:], "malformed"),
        ("a signed request to somebody", signed[:41] + b"\x01" * 20 + signed[61:], "malformed"),
        ("a MACed request to nobody", good[:41] + bytes(20) + good[61:], "malformed"),
        ("another MAC", good[:-1] + bytes([good[-1] ^ 1]), "bad_signature"),
        ("another time under the same MAC", good[:61] + struct.pack(">I", NOW + 1) + good[65:], "bad_signature"),
        ("another cookie under the same MAC", good[:73] + b"\x01" * 16 + good[89:], "bad_signature"),
        ("MACed with the other direction's key", by_the_other_way, "bad_signature"),
        ("another signature", signed[:-1] + bytes([signed[-1] ^ 1]), "bad_signature"),
        ("signed under another label", other_label, "bad_signature"),
        ("a sender of small order", small, "bad_signature"),
    ]
    for name, data, code in cases:
        yield {
            **refusal("open_datagram", f"datagram: {name}", data, code),
            "receiver_seed": SEEDS[1].hex(),
        }


# --- messages and payloads ------------------------------------------------------------------------


CODECS: dict[str, Codec[Any]] = {
    "decode_request": REQUESTS,
    "decode_answer": ANSWERS,
    "decode_committee": COMMITTEE_CHANGES,
    "decode_hints": TRAVERSAL_HINTS,
}


def _samples() -> list[tuple[str, str, Any]]:
    key = bytes(range(20))
    seat, other = identity(0).node_key, identity(1).node_key
    contact = seat + bytes([192, 0, 2, 1]) + struct.pack(">H", 9_000)
    wide = other + bytes(range(16)) + struct.pack(">H", 9_000)
    return [
        ("decode_request", "ping", Ping(True)),
        ("decode_request", "find nodes", FindNodes(key, True)),
        ("decode_request", "find records", FindRecords(key, 64, False)),
        ("decode_request", "store", Store(b"\x01", True)),
        ("decode_answer", "pong", Pong(bytes(6))),
        ("decode_answer", "pong to IPv6", Pong(bytes(18))),
        ("decode_answer", "found", Found((contact, wide), (b"\x01",), True)),
        ("decode_answer", "found nothing", Found((), (), False)),
        ("decode_answer", "stored", Stored()),
        ("decode_answer", "refused", Refused(RefusalCode.CLOCK_SKEWED, NOW)),
        ("decode_committee", "committee", CommitteeChange(NOW, (seat, other), (other,))),
        ("decode_hints", "hints", TraversalHints((bytes(6),), (bytes(18),))),
        ("decode_hints", "no hints", TraversalHints((), ())),
    ]


def _decoded(operation: str, name: str, item: Any) -> dict[str, Any]:
    codec = CODECS[operation]
    kind = next(number for number, cls in codec.classes.items() if cls is type(item))
    return {
        "name": f"message: {name}",
        "operation": operation,
        "bytes": packed(codec.encode(item)),
        "expected": {"kind": kind, "fields": [plain(getattr(item, field)) for field, _ in shapes_of(type(item))]},
    }


def _broken_messages() -> Iterator[dict[str, Any]]:
    seen: dict[type, None] = {}
    for operation, _, item in _samples():
        if type(item) in seen:
            continue
        seen[type(item)] = None
        for case in broken_fields(operation, CODECS[operation], item):
            # A field's own bound may be beyond what a datagram carries: refused all the same.
            yield {**case, "name": f"message: {case['name']}"}
    seat = bytes([1]) * 32
    twice = cbor2.dumps({0: 1, 1: NOW, 2: [seat, seat], 3: []}, canonical=True)
    stranger = cbor2.dumps({0: 1, 1: NOW, 2: [seat], 3: [bytes([2]) * 32]}, canonical=True)
    yield refusal("decode_committee", "message: a seat twice", twice)
    yield refusal("decode_committee", "message: a dead one that is no seat", stranger)
    seven = cbor2.dumps({0: 1, 1: [bytes(7)], 2: []}, canonical=True)
    yield refusal("decode_hints", "message: an address of 7 bytes", seven)
    yield refusal("decode_request", "message: an unknown request", b"\xa1\x00\x05")
    yield refusal("decode_answer", "message: an unknown answer", b"\xa1\x00\x05")


# --- records --------------------------------------------------------------------------------------


def _bundle(**changed: Any) -> SignedRecord:
    fields: dict[str, Any] = {"version": 7, "issued": NOW, "expires": NOW + 600, "item": 0} | changed
    return sign_record(SEEDS[0], RecordKind.KEY_BUNDLE, b"\x01payload", **fields)


def _ad() -> bytes:
    return sign_ad(
        SEEDS[0],
        address=Address("192.0.2.1", 9_000),
        certificate_hash=bytes(range(32)),
        roles=Role.RELAY,
        issued=NOW,
        expires=NOW + 86_400,
        extras=None,
    ).encoded


def _records() -> list[tuple[str, SignedRecord]]:
    ad = sign_record(SEEDS[0], RecordKind.RELAY_AD, _ad(), version=NOW, issued=NOW, expires=NOW + 86_400)
    under = {"version": 1, "issued": NOW, "expires": NOW + 600}
    seed = KEYS.signing_seed
    hints = TRAVERSAL_HINTS.encode(TraversalHints((), ()))
    contact = seal_contact(KEYS, b"contact", bytes(12))
    return [
        ("a relay's ad", ad),
        ("a part of a device's keys", _bundle(item=2)),
        ("the last version", _bundle(version=2**53 - 1)),
        ("hints under a tag", sign_record(seed, RecordKind.TRAVERSAL_HINTS, hints, **under)),
        ("a sealed contact", sign_record(seed, RecordKind.SEALED_CONTACT, contact, item=63, **under)),
        ("issued in a minute", _bundle(issued=NOW + 60, expires=NOW + 90)),
    ]


def _accepted_records() -> Iterator[dict[str, Any]]:
    for name, signed in _records():
        record = signed.record
        yield {
            "name": f"record: {name}",
            "operation": "read_record",
            "now": NOW,
            "bytes": packed(signed.encoded),
            "expected": {
                "key": record_key(record.kind, record.author).hex(),
                "kind": int(record.kind),
                "author": record.author.hex(),
                "item": record.item,
                "version": record.version,
                "issued": record.issued,
                "expires": record.expires,
                "payload": packed(record.payload),
            },
        }


def _resigned(changes: dict[int, Any], label: str = "railgun/dht/record/v1") -> bytes:
    """A bundle's record with other fields, signed anew by its author."""
    fields: dict[int, Any] = {**cbor2.loads(_bundle().encoded), **changes}
    del fields[8]
    content = cbor2.dumps(fields, canonical=True)
    return bytes(cbor2.dumps({**fields, 8: sign(SEEDS[0], label, content)}, canonical=True))


def _refused_records() -> Iterator[dict[str, Any]]:
    good = _bundle().encoded
    ad = sign_record(SEEDS[1], RecordKind.RELAY_AD, _ad(), version=NOW, issued=NOW, expires=NOW + 86_400)
    ad_dates = sign_record(SEEDS[0], RecordKind.RELAY_AD, _ad(), version=NOW, issued=NOW, expires=NOW + 86_399)
    cases = [
        ("expired", _bundle(issued=NOW - 600, expires=NOW).encoded, "outside_window"),
        ("issued in 61 s", _bundle(issued=NOW + 61, expires=NOW + 90).encoded, "outside_window"),
        ("another signature", good[:-1] + bytes([good[-1] ^ 1]), "bad_signature"),
        ("signed under another label", _resigned({}, "railgun/dht/record/v2"), "bad_signature"),
        ("by another author", _resigned({2: identity(1).node_key}), "bad_signature"),
        ("a byte too many", good + b"\0", "malformed"),
        ("an unknown kind", _resigned({1: 6}), "malformed"),
        ("an item that its kind has not", _resigned({3: 3}), "malformed"),
        ("expires when issued", _resigned({6: NOW}), "malformed"),
        ("lives longer than its kind may", _resigned({6: NOW + 14 * 86_400 + 1}), "malformed"),
        ("a payload too long", _resigned({7: bytes(841)}), "malformed"),
        ("a version beyond 2^53", _resigned({4: 2**53}), "malformed"),
        ("the ad of another node", ad.encoded, "malformed"),
        ("an ad with other dates", ad_dates.encoded, "malformed"),
        ("an ad that is none", _resigned({1: 1}), "malformed"),
    ]
    for name, data, code in cases:
        yield {**refusal("read_record", f"record: {name}", data, code), "now": NOW}


# --- contacts under a tag ---------------------------------------------------------------------------


def _contact(name: str, contact: bytes) -> dict[str, Any]:
    nonce = bytes(range(12))
    return {
        "name": f"contact: {name}",
        "operation": "open_contact",
        "day_secret": bytes(range(32)).hex(),
        "generation": 1,
        "start": NOW,
        "bytes": packed(seal_contact(KEYS, contact, nonce)),
        "expected": {"contact": packed(contact)},
    }


def _refused_contacts() -> Iterator[dict[str, Any]]:
    sealed = seal_contact(KEYS, b"contact", bytes(12))
    where = {"day_secret": bytes(range(32)).hex(), "generation": 1, "start": NOW}
    other = derive_epoch_keys(bytes(range(32)), 1, NOW + 600)
    for name, data in (
        ("too short", sealed[:-1]),
        ("too long", sealed + b"\0"),
        ("changed", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        ("of another epoch", seal_contact(other, b"contact", bytes(12))),
    ):
        yield {**refusal("open_contact", f"contact: {name}", data, "crypto"), **where}


def _session_key_case() -> dict[str, Any]:
    keys = session_keys(0)
    return {
        "name": "MAC keys of two nodes",
        "operation": "mac_keys",
        "own_seed": SEEDS[0].hex(),
        "peer": identity(1).node_key.hex(),
        "expected": {"sending": keys.sending.hex(), "receiving": keys.receiving.hex()},
    }


def _split_case(name: str, payload: bytes) -> dict[str, Any]:
    parts = [packed(part) for part in split_payload(payload)]
    return {
        "name": f"keys in parts: {name}",
        "operation": "split_keys",
        "payload": packed(payload),
        "expected": {"parts": parts},
    }


def vectors() -> dict[str, Any]:
    """The content of dht.json."""
    return {
        "description": "The DHT's datagrams, messages and records (docs/spec/dht.md). Long byte strings are lists of "
        "parts and repeats.",
        "accepted": [
            _session_key_case(),
            *_accepted_datagrams(),
            *(_decoded(operation, name, item) for operation, name, item in _samples()),
            *_accepted_records(),
            _split_case("one part", b"short"),
            _split_case("two parts", bytes([7]) * 1_300),
            _contact("short", b"contact"),
            _contact("empty", b""),
            _contact("the longest", bytes([1]) * CONTACT_BYTES_MAX),
        ],
        "refused": [*_refused_datagrams(), *_broken_messages(), *_refused_records(), *_refused_contacts()],
    }
