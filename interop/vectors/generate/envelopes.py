"""Vectors of envelopes: sealed, checked as a relay does, opened as a member does."""

from __future__ import annotations

import struct
from typing import Any

from nacl import bindings

from railgun.crypto import sealing
from railgun.crypto.epoch import derive_epoch_keys
from railgun.crypto.hashing import content_hash
from railgun.crypto.signing import sign_digest
from railgun.types import EnvelopeKind, SizeClass
from railgun.wire.envelope import body_bytes_max

DAY_SECRET = bytes(range(32))
GENERATION = 1
START = 1_700_000_400
KEYS = derive_epoch_keys(DAY_SECRET, GENERATION, START)
EPOCH = {"day_secret": DAY_SECRET.hex(), "generation": GENERATION, "start": START}
HINT = bytes.fromhex("a0a1a2a3a4a5a6a7")
NO_HINT = bytes(8)
NONCE = bytes(range(12))
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def _accepted(
    name: str, kind: EnvelopeKind, hint: bytes, size_class: SizeClass, body: bytes, nonce: bytes = NONCE
) -> dict[str, Any]:
    data = sealing.seal_envelope(KEYS, kind, hint, body, size_class, nonce)
    # A long body repeats one byte and a long envelope is named by its hash, so that the file stays readable.
    repeats = len(body) > 256
    long = len(data) > 4096
    return {
        "name": name,
        "operation": "seal_check_open",
        **EPOCH,
        "kind": int(kind),
        "hint": hint.hex(),
        "size_class": int(size_class),
        "nonce": nonce.hex(),
        **({"body_repeated": {"byte": body[:1].hex(), "count": len(body)}} if repeats else {"body": body.hex()}),
        "expected": {
            **({"envelope_blake2b": content_hash(data).hex()} if long else {"envelope": data.hex()}),
            "envelope_id": sealing.envelope_id(data).hex(),
        },
    }


def _signed(unsigned: bytes) -> bytes:
    return unsigned + sign_digest(KEYS.signing_key, sealing.ENVELOPE_LABEL, content_hash(unsigned))


def _sealed(inner: bytes) -> bytes:
    """An envelope around any 126 bytes, sealed and signed as it should be."""
    header = struct.pack(">BBI32s", 1, 0, START, KEYS.tag)
    return _signed(
        header + NONCE + bindings.crypto_aead_chacha20poly1305_ietf_encrypt(inner, header, NONCE, KEYS.header_key)
    )


def _inner(kind: int, hint: bytes, length: int, rest: bytes) -> bytes:
    return struct.pack(">B8sH", kind, hint, length) + rest.ljust(115, b"\0")


def _flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def _malleated(data: bytes) -> bytes:
    """The same signature with the group's order added to its second half."""
    scalar = int.from_bytes(data[-32:], "little") + ED25519_ORDER
    return data[:-32] + scalar.to_bytes(32, "little")


def _weak_tag() -> bytes:
    """A tag of order 1, under which verifiers that do not look accept one signature for every message."""
    identity = b"\1" + bytes(31)
    unsigned = struct.pack(">BBI32s", 1, 0, START, identity) + NONCE + bytes(256 - 50 - 64)
    return unsigned + identity + bytes(32)


def _refused() -> list[dict[str, Any]]:
    good = sealing.seal_envelope(KEYS, EnvelopeKind.GROUP, HINT, b"body", SizeClass.SMALL, NONCE)
    other_label = good[:-64] + sign_digest(KEYS.signing_key, "railgun/tag/v1", content_hash(good[:-64]))
    check = [
        ("nothing", b"", "wrong_size"),
        ("one byte short", good[:-1], "wrong_size"),
        ("one byte long", good + b"\0", "wrong_size"),
        ("class 1 in 256 bytes", _signed(b"\1\1" + good[2:-64]), "wrong_size"),
        ("version 0", _signed(b"\0" + good[1:-64]), "unsupported_version"),
        ("version 2", _signed(b"\2" + good[1:-64]), "unsupported_version"),
        ("class 3", _signed(b"\1\3" + good[2:-64]), "malformed"),
        ("changed start", _flipped(good, 5), "bad_signature"),
        ("changed tag", _flipped(good, 6), "bad_signature"),
        ("changed nonce", _flipped(good, 38), "bad_signature"),
        ("changed ciphertext", _flipped(good, 50), "bad_signature"),
        ("changed signature", _flipped(good, 255), "bad_signature"),
        ("signature under another label", other_label, "bad_signature"),
        ("signature plus the group's order", _malleated(good), "bad_signature"),
        ("tag of order 1", _weak_tag(), "bad_signature"),
    ]
    opened = [
        ("changed ciphertext, opened", _flipped(good, 50), "crypto"),
        ("changed cipher tag, opened", _flipped(good, 191), "crypto"),
        ("changed start, opened", _flipped(good, 5), "crypto"),
        ("another room's tag, opened", _flipped(good, 6), "crypto"),
        ("too short, opened", good[:-1], "wrong_size"),
        ("kind 4", _sealed(_inner(4, NO_HINT, 0, b"")), "malformed"),
        ("cover with a hint", _sealed(_inner(0, HINT, 0, b"")), "malformed"),
        ("sealed with a hint", _sealed(_inner(3, HINT, 0, b"")), "malformed"),
        ("body overruns", _sealed(_inner(1, HINT, 116, b"")), "malformed"),
        ("body overruns by far", _sealed(_inner(1, HINT, 65_535, b"")), "malformed"),
        ("padding starts with a one", _sealed(_inner(1, HINT, 4, b"body\1")), "malformed"),
        ("padding ends with a one", _sealed(_inner(1, HINT, 4, b"body".ljust(114, b"\0") + b"\1")), "malformed"),
    ]
    cases = [("check_envelope", *case) for case in check] + [("open_envelope", *case) for case in opened]
    seal = {"operation": "seal_envelope", **EPOCH, "kind": 1, "hint": HINT.hex(), "size_class": 0, "nonce": NONCE.hex()}
    return [
        *(
            {"name": name, "operation": operation, **EPOCH, "envelope": data.hex(), "code": code}
            for operation, name, data, code in cases
        ),
        {"name": "body of 116 bytes in 256", **seal, "body": "00" * 116, "code": "invalid_argument"},
        {"name": "nonce of 11 bytes", **seal, "nonce": NONCE[:-1].hex(), "body": "", "code": "invalid_argument"},
        {"name": "hint of 7 bytes", **seal, "hint": HINT[:-1].hex(), "body": "", "code": "invalid_argument"},
        {"name": "cover sealed with a hint", **seal, "kind": 0, "body": "", "code": "invalid_argument"},
    ]


def vectors() -> dict[str, Any]:
    """The content of envelopes.json."""
    full = [
        _accepted(f"full, class {int(c)}", EnvelopeKind.GROUP, HINT, c, b"\xab" * body_bytes_max(c)) for c in SizeClass
    ]
    return {
        "description": "Envelopes (docs/spec/envelope.md).",
        "accepted": [
            _accepted("group", EnvelopeKind.GROUP, HINT, SizeClass.SMALL, b"body"),
            _accepted("pairwise", EnvelopeKind.PAIRWISE, HINT, SizeClass.SMALL, b"body", bytes(range(100, 112))),
            _accepted("sealed", EnvelopeKind.SEALED, NO_HINT, SizeClass.SMALL, b"body"),
            _accepted("cover, empty", EnvelopeKind.COVER, NO_HINT, SizeClass.SMALL, b""),
            _accepted("body of zeros", EnvelopeKind.GROUP, HINT, SizeClass.SMALL, bytes(9)),
            _accepted("short body in a medium envelope", EnvelopeKind.GROUP, HINT, SizeClass.MEDIUM, b"body"),
            *full,
        ],
        "refused": _refused(),
    }
