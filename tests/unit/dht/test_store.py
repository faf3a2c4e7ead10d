"""The store: every cap refuses, nothing unchecked enters, what is farthest gives way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.dht.counters import DhtCounters
from railgun.dht.records import RecordKind
from railgun.dht.store import RecordStore, Source, StoreLimits
from railgun.errors import MalformedInput, RefusalCode
from tests.unit.dht.support import WALL, record_of

SOURCE = Source(b"k" * 32, b"pre")
OTHER = Source(b"o" * 32, b"fix")


class Times:
    wall = float(WALL)
    now = 0.0


def store_of(**limits: int) -> tuple[RecordStore, DhtCounters, Times]:
    times, counters = Times(), DhtCounters()
    store = RecordStore(
        bytes(20), counters=counters, wall=lambda: times.wall, now=lambda: times.now, limits=StoreLimits(**limits)
    )
    return store, counters, times


def test_what_is_stored_is_found_by_key_and_item() -> None:
    store, counters, _ = store_of()
    signed = [record_of(item=item) for item in (2, 0, 1)]
    assert [store.offer(one.encoded, SOURCE) for one in signed] == [None] * 3
    assert [one.record.item for one in store.records(signed[0].key)] == [0, 1, 2]
    assert [one.record.item for one in store.records(signed[0].key, 1)] == [1, 2]
    assert store.records(bytes(20)) == []
    assert counters.records_stored == 3


def test_versions_only_grow() -> None:
    store, _, _ = store_of()
    old, new = record_of(version=1), record_of(version=2)
    assert store.offer(new.encoded, SOURCE) is None
    assert store.offer(old.encoded, SOURCE) is RefusalCode.CONFLICT
    assert store.offer(new.encoded, OTHER) is None
    assert store.records(new.key) == [new]
    newest = record_of(version=3)
    assert store.offer(newest.encoded, OTHER) is None
    assert store.records(new.key) == [newest]
    assert len(store) == 1


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        (b"", RefusalCode.MALFORMED),
        (bytes(1_001), RefusalCode.MALFORMED),
        (record_of().encoded[:-1] + b"\x00", RefusalCode.BAD_SIGNATURE),
        (record_of(issued=WALL + 100, expires=WALL + 200).encoded, RefusalCode.OUTSIDE_WINDOW),
        (record_of(issued=WALL - 100, expires=WALL).encoded, RefusalCode.OUTSIDE_WINDOW),
        (record_of(kind=RecordKind.RELAY_AD, payload=b"no ad").encoded, RefusalCode.MALFORMED),
    ],
)
def test_poison_is_refused_and_counted(encoded: bytes, code: RefusalCode) -> None:
    store, counters, _ = store_of()
    assert store.offer(encoded, SOURCE) is code
    assert counters.records_refused == {code: 1}
    assert len(store) == 0


def test_a_source_has_its_share_and_others_theirs() -> None:
    for limits in ({"source_records_max": 2}, {"source_bytes_max": 2 * len(record_of("a").encoded) + 20}):
        store, _, _ = store_of(**limits)
        assert [store.offer(record_of(name).encoded, SOURCE) for name in "abc"] == [
            None, None, RefusalCode.QUOTA_EXCEEDED,
        ]  # fmt: skip
        assert store.offer(record_of("c").encoded, OTHER) is None
        assert store.offer(record_of("a", version=2).encoded, SOURCE) is None  # in place of its own


def test_a_network_has_its_share_however_many_keys_it_has() -> None:
    store, _, _ = store_of(prefix_records_max=2)
    sources = [Source(bytes([number]) * 32, b"pre") for number in range(3)]
    codes = [store.offer(record_of(name).encoded, source) for name, source in zip("abc", sources, strict=True)]
    assert codes == [None, None, RefusalCode.QUOTA_EXCEEDED]
    assert store.offer(record_of("c").encoded, OTHER) is None


def test_a_key_has_its_share() -> None:
    store, _, _ = store_of(key_bytes_max=2 * len(record_of().encoded) + 10)
    codes = [store.offer(record_of(item=item).encoded, SOURCE) for item in range(3)]
    assert codes == [None, None, RefusalCode.QUOTA_EXCEEDED]


def test_the_farthest_give_way_to_nearer_ones_and_never_the_other_way() -> None:
    store, counters, _ = store_of(records_max=4)
    signed = sorted((record_of(number) for number in range(10)), key=lambda one: one.key)  # the own id is 0
    for one in signed[5:9]:
        assert store.offer(one.encoded, SOURCE) is None
    assert store.offer(signed[9].encoded, SOURCE) is RefusalCode.QUOTA_EXCEEDED
    for one in signed[:4]:
        assert store.offer(one.encoded, SOURCE) is None
    assert sorted(key for key, _ in store) == [one.key for one in signed[:4]]
    assert counters.records_evicted == 4
    assert store.source_count == 1


def test_a_larger_successor_without_room_leaves_the_old_one() -> None:
    old = record_of()
    store, _, _ = store_of(bytes_max=len(old.encoded) + 10)
    store.offer(old.encoded, SOURCE)
    assert store.offer(record_of(version=2, payload=bytes(500)).encoded, SOURCE) is RefusalCode.QUOTA_EXCEEDED
    assert store.records(old.key) == [old]
    assert store.total_bytes == len(old.encoded)


def test_what_expires_is_not_given_out_and_then_forgotten() -> None:
    store, counters, times = store_of()
    signed = record_of()
    store.offer(signed.encoded, SOURCE)
    times.wall = signed.record.expires
    assert store.records(signed.key) == []
    assert list(store) == []
    store.sweep()
    assert (len(store), store.total_bytes, store.source_count, counters.records_expired) == (0, 0, 0, 1)


def test_records_nobody_stores_again_fall_due_the_longest_first() -> None:
    store, _, times = store_of()
    first, second, third = (record_of(name) for name in "abc")
    for number, signed in enumerate((first, second, third)):
        times.now = float(number)
        store.offer(signed.encoded, SOURCE)
    times.now = 101.5
    assert store.due(100.0, 10) == [first, second]
    assert store.due(100.0, 1) == [first]
    store.offer(first.encoded, OTHER)
    store.refreshed(second)
    assert store.due(100.0, 10) == []


def test_the_librarys_seam_checks_as_well() -> None:
    store, _, _ = store_of()
    signed = record_of()
    store[signed.key] = signed.encoded
    assert store[signed.key] == (signed.encoded,)
    assert store.get(signed.key) == (signed.encoded,)
    assert store.get(bytes(20), "nothing") == "nothing"
    assert list(store.iter_older_than(-1.0)) == [(signed.key, signed.encoded)]
    with pytest.raises(KeyError):
        store[bytes(20)]
    with pytest.raises(MalformedInput):
        store[bytes(20)] = signed.encoded
    with pytest.raises(MalformedInput):
        store[signed.key] = record_of(version=0).encoded


OFFERS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),  # author
        st.integers(0, 3),  # item
        st.integers(0, 5),  # version
        st.sampled_from([0, 100, 400]),  # payload
        st.integers(0, 3),  # source
        st.sampled_from([0, 0, 0, 700, 4_000]),  # seconds that pass
    ),
    max_size=40,
)


@given(OFFERS)
def test_the_books_are_right_after_anything(offers: list[tuple[str, int, int, int, int, int]]) -> None:
    limits = {"records_max": 12, "bytes_max": 4_000, "key_bytes_max": 900, "source_records_max": 6}
    store, counters, times = store_of(**limits, source_bytes_max=2_000, prefix_records_max=9)
    for author, item, version, size, source, seconds in offers:
        times.wall += seconds
        times.now += seconds
        store.sweep()
        held = {(one.key, one.record.item): one for key, _ in store for one in store.records(key)}
        newest = {name: one.record.version for name, one in held.items()}
        issued = int(times.wall)
        signed = record_of(author, bytes(size), item=item, version=version, issued=issued, expires=issued + 3_600)
        code = store.offer(signed.encoded, Source(bytes([source]) * 32, bytes([source // 2])))
        held = {(one.key, one.record.item): one for key, _ in store for one in store.records(key)}
        if code is None:
            assert held[signed.key, item].rank >= signed.rank
        for name, one in held.items():
            assert one.record.version >= newest.get(name, 0)
        assert len(store) == len(held) <= 12
        assert store.total_bytes == sum(len(one.encoded) for one in held.values()) <= 4_000
        assert store.source_count <= 4
    assert counters.internal_errors == 0
    times.wall += 10_000
    store.sweep()
    assert (len(store), store.total_bytes, store.source_count) == (0, 0, 0)
