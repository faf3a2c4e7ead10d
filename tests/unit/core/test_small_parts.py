"""Token buckets, the epoch clock, the windows of an epoch, a tag's store."""

from __future__ import annotations

import pytest

from railgun.core.budgets import TokenBucket
from railgun.core.clock import EpochClock
from railgun.core.epochs import EpochWindow
from railgun.core.events import ended_idle
from railgun.core.tag_store import PUBLISHERS_PER_ENVELOPE_MAX, TagStore
from railgun.limits import CLOCK_CORRECTION_MAX_SECONDS, CLOCK_SAMPLES_MAX
from railgun.network import NetworkParameters
from railgun.types import EnvelopeId, NodeKey, PeerKey


def relay(index: int) -> PeerKey:
    return PeerKey(bytes([index]) * 32)


def test_a_bucket_starts_full_and_fills_with_time() -> None:
    bucket = TokenBucket(10.0, 20.0, now=0.0)
    assert bucket.take(20, 0.0)
    assert not bucket.take(1, 0.0)
    assert bucket.wait_seconds(5, 0.0) == pytest.approx(0.5)
    assert bucket.has(5, 0.5)
    assert bucket.take(5, 0.5)
    assert bucket.wait_seconds(1000, 100.0) == 0.0


def test_a_debt_is_bounded_and_paid_off() -> None:
    bucket = TokenBucket(10.0, 20.0, now=0.0)
    bucket.spend(1000, 0.0)
    assert bucket.wait_seconds(1, 0.0) == pytest.approx(2.1)
    assert bucket.take(1, 2.2)


def test_the_clock_believes_the_median_of_three_relays_and_no_fewer() -> None:
    clock = EpochClock(corrects=True)
    clock.read(1000.0)
    clock.sample(relay(1), 30.0)
    clock.sample(relay(2), -5.0)
    assert clock.wall(1.0) == 1001.0
    clock.sample(relay(3), 10.0)
    assert clock.wall(1.0) == 1011.0
    assert clock.monotonic(1011.0) == pytest.approx(1.0)


def test_a_correction_is_bounded_and_samples_follow_the_clock() -> None:
    clock = EpochClock(corrects=True)
    for index in range(3):
        clock.sample(relay(index), 10_000.0)
    assert clock.correction_seconds == CLOCK_CORRECTION_MAX_SECONDS
    clock.read(9_990.0)
    assert clock.correction_seconds == pytest.approx(10.0)


def test_only_the_newest_relays_are_believed() -> None:
    clock = EpochClock(corrects=True)
    for index in range(CLOCK_SAMPLES_MAX):
        clock.sample(relay(index), 100.0)
    for index in range(100, 100 + CLOCK_SAMPLES_MAX):
        clock.sample(relay(index), 1.0)
    assert clock.correction_seconds == 1.0


def test_a_watching_clock_measures_and_does_not_correct() -> None:
    clock = EpochClock(corrects=False)
    for index in range(3):
        clock.sample(relay(index), 7.0)
    assert clock.measured_offset_seconds == 7.0
    assert clock.correction_seconds == 0.0


def test_an_epoch_s_instants_stand_in_the_specified_order() -> None:
    window = EpochWindow.of(6000, NetworkParameters(name="n", epoch_seconds=600, overlap_seconds=120))
    assert (window.accept_from, window.warm_up_from, window.busy_from) == (5820, 5880, 5970)
    assert (window.end, window.reseal_at, window.busy_until) == (6600, 6660, 6660)
    assert (window.accept_until, window.stay_until, window.keep_until) == (6780, 6780, 6840)
    assert [window.accepts(at) for at in (5819.9, 5820, 6779.9, 6780)] == [False, True, True, False]
    assert [window.next_phase(at) for at in (0, 5970, 6660)] == [5970, 6660, None]
    assert [window.is_busy(at) for at in (5969, 5970, 6659, 6660)] == [False, True, True, False]


def test_an_idle_close_at_either_end_is_no_failure() -> None:
    assert ended_idle("ClosedByPeer: idle")
    assert ended_idle("ClosedLocally")
    assert not ended_idle("ClosedByPeer: shutting_down")
    assert not ended_idle("LinkLost")


def envelope_id(index: int) -> EnvelopeId:
    return EnvelopeId(index.to_bytes(16, "big"))


def test_a_store_numbers_without_gaps_and_its_fingerprint_ignores_order() -> None:
    one, other = TagStore(), TagStore()
    for index in (1, 2, 3):
        one.insert(envelope_id(index), b"x", None)
    for index in (3, 1, 2):
        other.insert(envelope_id(index), b"x", NodeKey(relay(9)))
    assert one.fingerprint == other.fingerprint
    assert one.ids_from(2, 10) == (envelope_id(2), envelope_id(3))
    assert [held.number for held in other.since(2)] == [2, 3]
    held = other.by_number(1)
    assert held is not None
    assert held.envelope_id == envelope_id(3)
    assert other.by_number(0) is None
    assert other.by_number(4) is None


def test_a_full_store_has_no_room_and_evicts_nothing() -> None:
    store = TagStore(bytes_max=10)
    store.insert(envelope_id(1), bytes(8), None)
    assert not store.has_room_for(bytes(3))
    assert store.has_room_for(bytes(2))
    assert store.get(envelope_id(1)) is not None


def test_few_wait_for_one_envelope_s_receipts() -> None:
    held = TagStore().insert(envelope_id(1), b"x", None)
    for index in range(10):
        held.add_publisher(relay(index))
    held.add_publisher(relay(9))
    assert held.publishers == [relay(index) for index in range(10 - PUBLISHERS_PER_ENVELOPE_MAX, 10)]
