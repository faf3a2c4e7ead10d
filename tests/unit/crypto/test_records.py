"""Ads, extras and obituaries: what is accepted, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.crypto.hashing import content_hash
from railgun.crypto.records import (
    SignedAd,
    SignedObituary,
    compose_obituary,
    sign_ad,
    sign_testimony,
    verify_extras,
    verify_record,
)
from railgun.errors import MalformedInput, RefusalCode
from railgun.types import Address, NodeKey, Role
from railgun.wire.records import Ad, AdExtras, Obituary, Proof, RelayMode, decode_record, encode_extras, encode_record
from tests.support.ads import seed_of, signed_ad

EXTRAS = AdExtras(
    other_addresses=(Address("2a00:1450:4001:81b::200f", 9000), Address("20.1.2.3", 9001)),
    capacity_bytes_per_second=1_000_000,
    mode=RelayMode.DEDICATED,
    retention_seconds=86_400,
    onion="a" * 56 + ".onion",
    rendezvous=(NodeKey(bytes(32)),),
    proofs=tuple(Proof(kind, bytes(256)) for kind in range(5)),
)


def test_an_ad_survives_the_journey_and_is_small() -> None:
    signed = signed_ad(1, 1000, host="2a00:1450:4001:81b::200e", extras=EXTRAS)
    assert verify_record(signed.encoded) == signed
    assert len(signed.encoded) <= 300
    assert signed.hash == content_hash(signed.encoded)
    assert verify_extras(signed.ad, encode_extras(EXTRAS)) == EXTRAS
    contact = signed.ad.contact(EXTRAS)
    assert contact.addresses == (signed.ad.address, *EXTRAS.other_addresses)
    assert (contact.node_key, contact.certificate_hash) == (signed.node_key, signed.ad.certificate_hash)


def test_the_largest_extras_fit_and_belong_to_one_ad() -> None:
    assert len(encode_extras(EXTRAS)) <= 2048
    with pytest.raises(MalformedInput):
        verify_extras(signed_ad(1, 1000).ad, encode_extras(EXTRAS))
    with pytest.raises(MalformedInput):
        verify_extras(signed_ad(1, 1000, extras=EXTRAS).ad, encode_extras(AdExtras()))


@pytest.mark.parametrize(
    "change",
    [
        {"node_key": NodeKey(seed_of(7))},
        {"address": Address("20.0.0.9", 9000)},
        {"certificate_hash": bytes(32)},
        {"roles": Role.RELAY | Role.FALLBACK},
        {"issued": 999},
        {"expires": 90_000},
        {"extras_hash": bytes(32)},
        {"signature": bytes(64)},
    ],
)
def test_every_field_is_signed(change: dict[str, object]) -> None:
    forged = dataclasses.replace(signed_ad(1, 1000).ad, **change)  # type: ignore[arg-type]
    with pytest.raises(MalformedInput) as caught:
        verify_record(encode_record(forged))
    assert caught.value.code is RefusalCode.BAD_SIGNATURE


def test_every_truncation_and_bit_flip_is_refused() -> None:
    encoded = signed_ad(1, 1000).encoded
    for length in range(len(encoded)):
        with pytest.raises(MalformedInput):
            verify_record(encoded[:length])
    for index in range(len(encoded)):
        with pytest.raises(MalformedInput):
            verify_record(encoded[:index] + bytes([encoded[index] ^ 1]) + encoded[index + 1 :])
    with pytest.raises(MalformedInput):
        verify_record(encoded + b"\0")


def test_an_ad_that_expires_before_its_issue_cannot_be_made_or_read() -> None:
    with pytest.raises(ValueError, match="expires"):
        signed_ad(1, 1000, expires=999)
    assert isinstance(signed_ad(1, 1000, expires=1000), SignedAd)


def test_a_mapped_address_has_one_form() -> None:
    encoded = signed_ad(1, 1000, host="2a00:1450:4001:81b::200e").encoded
    packed = Address("2a00:1450:4001:81b::200e", 9000).packed
    with pytest.raises(MalformedInput):
        decode_record(encoded.replace(packed, bytes(10) + b"\xff\xff\x14\x00\x01\x01"))


def test_unknown_role_bits_are_kept() -> None:
    signed = signed_ad(1, 1000, roles=Role(0x81))
    record = decode_record(signed.encoded)
    assert isinstance(record, Ad)
    assert record.roles == Role(0x81)


def _obituary(count: int, *, dates: tuple[int, ...] = ()) -> SignedObituary:
    dead = signed_ad(100, 1000).node_key
    dated = dates or tuple(2000 + index for index in range(count))
    return compose_obituary(dead, tuple(sign_testimony(seed_of(index), dead, dated[index]) for index in range(count)))


def test_an_obituary_survives_the_journey() -> None:
    for count in range(1, 6):
        signed = _obituary(count)
        assert verify_record(signed.encoded) == signed
        assert len(signed.encoded) <= 700
    with pytest.raises(ValueError):
        _obituary(6)


def test_an_obituary_is_dated_by_the_lower_median() -> None:
    assert _obituary(3, dates=(5000, 1, 2000)).instant == 2000
    assert _obituary(4, dates=(5000, 1, 2000, 3000)).instant == 2000


def test_a_testimony_must_be_signed_by_its_relay_about_that_node() -> None:
    signed = _obituary(3)
    other = Obituary(signed_ad(101, 1000).node_key, signed.obituary.testimonies)
    with pytest.raises(MalformedInput) as caught:
        verify_record(encode_record(other))
    assert caught.value.code is RefusalCode.BAD_SIGNATURE


def test_testimonies_ascend_and_nobody_testifies_on_itself() -> None:
    testimonies = _obituary(3).obituary.testimonies
    dead = signed_ad(100, 1000).node_key
    with pytest.raises(ValueError, match="ascend"):
        Obituary(dead, testimonies[::-1])
    with pytest.raises(ValueError, match="ascend"):
        Obituary(dead, testimonies[:1] * 2)
    with pytest.raises(ValueError, match="itself"):
        Obituary(testimonies[0].signer, testimonies)


def test_an_ad_without_extras_says_nothing_of_them() -> None:
    bare = sign_ad(
        seed_of(1), address=Address("20.0.0.1", 1), certificate_hash=bytes(32), roles=Role.RELAY, issued=1, expires=2
    )
    assert bare.ad.extras_hash is None
    assert bare.ad.contact().addresses == (bare.ad.address,)
