"""Records: what makes one valid, which of two counts, ads and split payloads."""

from __future__ import annotations

import pytest

from railgun.crypto.records import sign_ad
from railgun.dht.records import (
    RULES,
    RecordKind,
    SignedRecord,
    join_payload,
    read_record,
    record_key,
    sign_record,
    split_payload,
)
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import DHT_PAYLOAD_BYTES_MAX, DHT_RECORD_BYTES_MAX
from railgun.types import Address, Role
from tests.unit.dht.support import WALL, record_of, seed_of


@pytest.mark.parametrize("kind", [kind for kind in RecordKind if kind is not RecordKind.RELAY_AD])
def test_a_record_reads_as_signed_and_the_largest_fits(kind: RecordKind) -> None:
    rules = RULES[kind]
    signed = record_of(
        kind=kind, payload=bytes(DHT_PAYLOAD_BYTES_MAX), version=2**53 - 1, item=rules.items_max - 1,
        expires=WALL + rules.lifetime_seconds_max,
    )  # fmt: skip
    assert len(signed.encoded) <= DHT_RECORD_BYTES_MAX
    assert read_record(signed.encoded, now=WALL) == signed


def test_keys_differ_by_kind_and_author() -> None:
    keys = {record_key(kind, author) for kind in RecordKind for author in (bytes(32), b"\x01" * 32)}
    assert len(keys) == 2 * len(RecordKind)
    assert all(len(key) == 20 for key in keys)


def test_every_byte_of_a_record_is_covered() -> None:
    signed = record_of()
    for index in range(len(signed.encoded)):
        changed = signed.encoded[:index] + bytes([signed.encoded[index] ^ 1]) + signed.encoded[index + 1 :]
        with pytest.raises(MalformedInput):
            read_record(changed, now=WALL)


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({}, WALL + 3_600),
        ({"issued": WALL + 61, "expires": WALL + 100}, WALL),
        ({"issued": WALL - 100, "expires": WALL - 1}, WALL),
    ],
)
def test_expired_records_and_those_from_the_future_are_refused(changes: dict, now: int) -> None:
    with pytest.raises(MalformedInput) as refused:
        read_record(record_of(**changes).encoded, now=now)
    assert refused.value.code is RefusalCode.OUTSIDE_WINDOW


@pytest.mark.parametrize(
    "changes",
    [
        {"item": 64},
        {"item": -1},
        {"expires": WALL},
        {"expires": WALL + 3 * 86_400},
        {"version": 2**53},
        {"payload": bytes(DHT_PAYLOAD_BYTES_MAX + 1)},
        {"kind": RecordKind.KEY_BUNDLE, "item": 3},
    ],
)
def test_what_breaks_its_kinds_rules_cannot_be_made(changes: dict) -> None:
    with pytest.raises(ValueError):
        record_of(**changes)


def ad_record(name: str = "relay", author: str | None = None, **changes: int) -> SignedRecord:
    ad = sign_ad(
        seed_of(name), address=Address("20.0.0.1", 9), certificate_hash=bytes(32), roles=Role.RELAY,
        issued=WALL, expires=WALL + 3_600,
    )  # fmt: skip
    times = {"version": WALL, "issued": WALL, "expires": WALL + 3_600} | changes
    return sign_record(seed_of(author or name), RecordKind.RELAY_AD, ad.encoded, **times)


def test_an_ads_record_is_its_relays_and_repeats_its_times() -> None:
    signed = ad_record()
    assert read_record(signed.encoded, now=WALL) == signed
    for wrong in (
        ad_record(author="other"),
        ad_record(version=WALL + 1),
        ad_record(expires=WALL + 3_601),
        record_of(kind=RecordKind.RELAY_AD, payload=b"no ad"),
    ):
        with pytest.raises(MalformedInput):
            read_record(wrong.encoded, now=WALL)


def test_the_greater_version_counts_and_of_equal_ones_the_greater_hash() -> None:
    old, new = record_of(version=1), record_of(version=2)
    assert old.rank < new.rank
    one, other = record_of(payload=b"one"), record_of(payload=b"other")
    assert (one.rank < other.rank) == (one.hash < other.hash)


@pytest.mark.parametrize("length", [0, 1, DHT_PAYLOAD_BYTES_MAX - 1, DHT_PAYLOAD_BYTES_MAX, 2_000])
def test_a_split_payload_joins_in_any_order_and_only_whole(length: int) -> None:
    payload = bytes(index % 251 for index in range(length))
    parts = [
        record_of(kind=RecordKind.KEY_BUNDLE, payload=part, item=item, version=2)
        for item, part in enumerate(split_payload(payload))
    ]
    assert join_payload(parts[::-1]) == payload
    assert join_payload(parts[:-1]) is None
    older = [record_of(kind=RecordKind.KEY_BUNDLE, payload=part, version=1) for part in split_payload(b"older")]
    assert join_payload(parts + older) == payload
    assert join_payload(parts[1:] + older) == b"older"


def test_a_payload_for_more_records_than_there_may_be_is_not_split() -> None:
    with pytest.raises(ValueError):
        split_payload(bytes(3 * DHT_PAYLOAD_BYTES_MAX))


def test_hostile_part_counts_are_no_payload() -> None:
    for payload in (b"", b"\x00", b"\x00data", b"\xffdata", b"\x02data"):
        assert join_payload([record_of(kind=RecordKind.KEY_BUNDLE, payload=payload)]) is None
