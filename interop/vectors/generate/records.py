"""Vectors of directory records: ads, extras, obituaries, their admission, and range fingerprints."""

from __future__ import annotations

import dataclasses
from typing import Any

from railgun.core.reconciliation import fingerprint
from railgun.crypto.hashing import content_hash
from railgun.crypto.records import (
    AD_LABEL,
    SignedAd,
    SignedRecord,
    compose_obituary,
    sign_ad,
    sign_testimony,
)
from railgun.crypto.signing import public_key_of, sign
from railgun.types import Address, NodeKey, Role
from railgun.wire import cbor
from railgun.wire.records import Ad, AdExtras, Proof, RelayMode, encode_extras, encode_record, signed_content

ISSUED = 1_700_000_000
LIFETIME = 86_400
EXTRAS = AdExtras(
    other_addresses=(Address("2a00:1450:4001:81b::200e", 9000), Address("20.1.2.3", 65535)),
    capacity_bytes_per_second=12_500_000,
    mode=RelayMode.DEDICATED,
    retention_seconds=604_800,
    onion="a" * 56 + ".onion",
    rendezvous=(NodeKey(bytes(range(32))),),
    proofs=(Proof(1, b"\x01\x02"), Proof(255, b"\x03")),
)


def seed(index: int) -> bytes:
    return bytes([index]) * 32


def make_ad(index: int, issued: int = ISSUED, **change: Any) -> SignedAd:
    fields: dict[str, Any] = {
        "address": Address(f"20.0.{index}.1", 9000),
        "certificate_hash": bytes(range(32)),
        "roles": Role.RELAY,
        "expires": issued + LIFETIME,
        **change,
    }
    return sign_ad(seed(index), issued=issued, **fields)


def make_obituary(signers: tuple[int, ...], dates: tuple[int, ...], dead: int = 100) -> SignedRecord:
    node_key = NodeKey(public_key_of(seed(dead)))
    testimonies = tuple(
        sign_testimony(seed(signer), node_key, dated) for signer, dated in zip(signers, dates, strict=True)
    )
    return compose_obituary(node_key, testimonies)


def _case(name: str, operation: str, record: bytes, **rest: Any) -> dict[str, Any]:
    return {"name": name, "operation": operation, "record": record.hex(), **rest}


def _ad_case(name: str, signed: SignedAd) -> dict[str, Any]:
    ad = signed.ad
    expected = {
        "hash": signed.hash.hex(),
        "signed_content": signed_content(ad).hex(),
        "node_key": ad.node_key.hex(),
        "host": ad.address.host,
        "port": ad.address.port,
        "certificate_hash": ad.certificate_hash.hex(),
        "roles": int(ad.roles),
        "issued": ad.issued,
        "expires": ad.expires,
        "extras_hash": None if ad.extras_hash is None else ad.extras_hash.hex(),
    }
    return _case(name, "verify_ad", signed.encoded, expected=expected)


def _obituary_case(name: str, signed: SignedRecord) -> dict[str, Any]:
    expected = {"hash": signed.hash.hex(), "node_key": signed.node_key.hex(), "dated": signed.instant}
    return _case(name, "verify_obituary", signed.encoded, expected=expected)


def _fields(ad: Ad) -> dict[int, Any]:
    """The ad's map, to be damaged and encoded again."""
    decoded = cbor.decode(encode_record(ad), bytes_max=300)
    assert isinstance(decoded, dict)
    return dict(decoded)


def _resigned(index: int, **change: Any) -> bytes:
    """The map of an ad with changed fields (by number), signed anew as if they were right."""
    fields = _fields(make_ad(index).ad)
    fields.update({int(key[1:]): value for key, value in change.items()})
    del fields[8]
    fields[8] = sign(seed(index), AD_LABEL, cbor.encode(fields))
    return cbor.encode(fields)


def _refused_ads() -> list[dict[str, Any]]:
    signed = make_ad(1)
    forged = dataclasses.replace(signed.ad, roles=Role.RELAY | Role.FALLBACK)
    identity = bytes([1]) + bytes(31)
    weak = dataclasses.replace(signed.ad, node_key=NodeKey(identity), signature=identity + bytes(32))
    mapped = bytes(10) + b"\xff\xff" + bytes([20, 0, 1, 1]) + (9000).to_bytes(2, "big")
    swapped = signed.encoded.replace(cbor.encode(ISSUED), b"\x1b" + ISSUED.to_bytes(8, "big"))
    malformed = {
        "empty": b"",
        "truncated": signed.encoded[:-1],
        "trailing byte": signed.encoded + b"\0",
        "an integer longer than need be": swapped,
        "unknown field": _resigned(1, f9=0),
        "unknown kind": _resigned(1, f0=9),
        "no address": cbor.encode({key: value for key, value in _fields(signed.ad).items() if key != 2}),
        "mapped IPv6 address": _resigned(1, f2=mapped),
        "address of 5 bytes": _resigned(1, f2=bytes([20, 0, 1, 1, 9])),
        "port 0": _resigned(1, f2=bytes([20, 0, 1, 1, 0, 0])),
        "roles beyond a byte": _resigned(1, f4=256),
        "issued beyond 32 bits": _resigned(1, f5=2**32, f6=2**32),
        "expires before its issue": _resigned(1, f6=ISSUED - 1),
        "extras hash null": _resigned(1, f7=None),
    }
    bad_signature = {
        "another role than signed": encode_record(forged),
        "signature of zeros": encode_record(dataclasses.replace(signed.ad, signature=bytes(64))),
        "the identity as key": encode_record(weak),
    }
    return [
        *(_case(f"ad: {name}", "verify_ad", data, code="malformed") for name, data in malformed.items()),
        *(_case(f"ad: {name}", "verify_ad", data, code="bad_signature") for name, data in bad_signature.items()),
    ]


def _refused_obituaries() -> list[dict[str, Any]]:
    obituary = cbor.decode(make_obituary((1, 2, 3), (ISSUED,) * 3).encoded, bytes_max=700)
    assert isinstance(obituary, dict)
    testimonies = obituary[2]
    assert isinstance(testimonies, list)
    own = sign_testimony(seed(100), NodeKey(public_key_of(seed(100))), ISSUED)
    malformed: dict[str, Any] = {
        "no testimony": [],
        "descending signers": testimonies[::-1],
        "one signer twice": testimonies[:1] * 2,
        "its own testimony": [[own.signer, own.dated, own.signature]],
    }
    cases = [
        _case(f"obituary: {name}", "verify_obituary", cbor.encode({**obituary, 2: value}), code="malformed")
        for name, value in malformed.items()
    ]
    other = cbor.encode({**obituary, 1: public_key_of(seed(101))})
    return [*cases, _case("obituary: of another node", "verify_obituary", other, code="bad_signature")]


def _admission() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    def case(name: str, kind: str, signed: SignedAd, wall: int, **rest: Any) -> dict[str, Any]:
        return {**_case(name, "admit", signed.encoded), "network_kind": kind, "wall": wall, **rest}

    private = make_ad(1, address=Address("192.168.1.2", 9000))
    accepted = [
        case("60 s in the future", "public", make_ad(1), ISSUED - 60, expected={}),
        case("a private address in a lan", "lan", private, ISSUED, expected={}),
    ]
    refused = [
        case("61 s in the future", "public", make_ad(1), ISSUED - 61, code="clock_skewed"),
        case("a private address in public", "public", private, ISSUED, code="malformed"),
        case("too long a life", "lan", make_ad(1, expires=ISSUED + LIFETIME + 1), ISSUED, code="malformed"),
    ]
    return accepted, refused


def _extras() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    full, bare = encode_extras(EXTRAS), encode_extras(AdExtras())
    accepted = [
        _case("extras: all fields", "decode_extras", full, expected={"hash": content_hash(full).hex()}),
        _case("extras: none", "decode_extras", bare, expected={"hash": content_hash(bare).hex()}),
    ]
    refused = [
        _case("extras: without addresses", "decode_extras", cbor.encode({0: 2}), code="malformed"),
        _case("extras: unknown mode", "decode_extras", cbor.encode({0: 2, 1: [], 3: 9}), code="malformed"),
        _case("extras: trailing byte", "decode_extras", bare + b"\0", code="malformed"),
    ]
    return accepted, refused


def vectors() -> dict[str, Any]:
    extras_accepted, extras_refused = _extras()
    admitted, not_admitted = _admission()
    hashes = sorted(content_hash(bytes([index])) for index in range(3))
    fingerprints = [
        {
            "name": f"fingerprint of {count}",
            "operation": "fingerprint",
            "hashes": [item.hex() for item in hashes[:count]],
            "expected": {"fingerprint": fingerprint(hashes[:count]).hex()},
        }
        for count in range(4)
    ]
    return {
        "description": "Directory records (docs/spec/directory.md). `admit`: what a directory checks beyond a record's "
        "own form and signature; ads live at most 86400 s.",
        "accepted": [
            _ad_case("ad: IPv4", make_ad(1)),
            _ad_case("ad: IPv6 with extras", make_ad(2, address=Address("2a00::1", 1), extras=EXTRAS)),
            _ad_case("ad: unknown role bits", make_ad(3, roles=Role(0x83))),
            _ad_case("ad: a relay that leaves", make_ad(4, expires=ISSUED)),
            _obituary_case("obituary: one testimony", make_obituary((1,), (ISSUED,))),
            _obituary_case("obituary: dated by the median", make_obituary((1, 2, 3), (ISSUED, 5, ISSUED + 9))),
            _obituary_case("obituary: lower median of four", make_obituary((1, 2, 3, 4), (9, 3, 7, 5))),
            *extras_accepted,
            *admitted,
            *fingerprints,
        ],
        "refused": [*_refused_ads(), *_refused_obituaries(), *extras_refused, *not_admitted],
    }
