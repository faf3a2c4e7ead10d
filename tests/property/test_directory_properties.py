"""Directories agree whatever the order, comparisons end alike, and nothing hostile raises."""

from __future__ import annotations

import hashlib
import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from railgun.core.committee import RelayPool
from railgun.core.directory import Directory
from railgun.core.gossip import Gossip
from railgun.core.reconciliation import (
    EVERYTHING,
    Bounds,
    answer_ids,
    answer_ranges,
    answer_request,
    open_comparison,
    split,
)
from railgun.crypto.hashing import content_hash
from railgun.crypto.records import compose_obituary, sign_testimony, verify_record
from railgun.errors import MalformedInput
from railgun.types import PeerKey, Tag
from railgun.wire import cbor
from railgun.wire.directory_frames import AdsPush, AdsRequest, DirectoryFrame, DirectoryIds, DirectoryRanges
from railgun.wire.records import decode_extras, decode_record
from railgun.wire.schema import Codec
from tests.support.ads import LAN, PUBLIC, plain_ad, seed_of, signed_ad

NOW = 1_000_000
START = NOW + 50
ADS = [signed_ad(index % 20, NOW - 1_000 * (index // 20) - 7 * index) for index in range(60)]
OBITUARIES = [
    compose_obituary(
        ADS[dead].node_key,
        tuple(sign_testimony(seed_of(signer), ADS[dead].node_key, NOW - 600 * dead) for signer in (15, 16, 17)),
    )
    for dead in range(3)
]
FRAMES: Codec[DirectoryFrame] = Codec(
    {20: DirectoryRanges, 21: DirectoryIds, 22: AdsRequest, 23: AdsPush}, bytes_max=70_000
)


@given(
    st.sets(st.sampled_from(range(60)), min_size=1),
    st.randoms(use_true_random=False),
    st.binary(min_size=32, max_size=32),
)
def test_peers_with_the_same_records_agree_in_whatever_order_they_came(
    chosen: set[int], order: random.Random, tag: bytes
) -> None:
    ads = [ADS[index].encoded for index in sorted(chosen)]
    views = []
    for _ in range(2):
        order.shuffle(ads)
        directory = Directory(PUBLIC)
        for encoded in ads:
            directory.insert(encoded, NOW)
        for obituary in OBITUARIES:
            directory.insert(obituary.encoded, NOW)
        directory.forget_expired(NOW)
        views.append(directory)
    assert views[0].digest == views[1].digest
    for start in (START, START + 600, START - 600):
        committees = [view.committee(Tag(tag), start, 5, NOW) for view in views]
        assert committees[0] == committees[1]


@given(st.lists(st.sampled_from(range(60)), min_size=1, max_size=25), st.sampled_from([START, NOW + 600, NOW - 600]))
def test_what_is_cached_is_what_a_fresh_directory_says(arrivals: list[int], start: int) -> None:
    directory = Directory(PUBLIC)
    for step, index in enumerate(arrivals):
        directory.insert(ADS[index].encoded, NOW)
        fresh = Directory(PUBLIC)
        for encoded in directory.records():
            fresh.insert(encoded, NOW)
        assert directory.counted(start, NOW + step) == fresh.counted(start, NOW + step)


@given(st.integers(20, 80), st.data(), st.binary(min_size=32, max_size=32), st.integers(3, 7))
def test_a_view_that_lacks_one_ad_differs_in_one_seat_at_most(
    count: int, data: st.DataObject, tag: bytes, committee_size: int
) -> None:
    ads = [plain_ad(index, crowded=index % 5 == 0) for index in range(count)]
    missing = data.draw(st.integers(0, count - 1))
    whole = RelayPool(ads, PUBLIC).order(Tag(tag), committee_size)
    partial = RelayPool(ads[:missing] + ads[missing + 1 :], PUBLIC).order(Tag(tag), committee_size)
    assert len(set(whole.seat_keys) & set(partial.seat_keys)) >= committee_size - 1


class Side:
    """A bare set of records, to be compared with another."""

    def __init__(self, numbers: set[int]) -> None:
        records = [b"record %d" % number + bytes(200) for number in numbers]
        self.records = {content_hash(record): record for record in records}

    def answer(self, frame: DirectoryFrame, push: bool) -> list[DirectoryFrame]:
        hashes = sorted(self.records)
        if isinstance(frame, DirectoryRanges):
            return answer_ranges(hashes, frame)
        if isinstance(frame, DirectoryIds):
            return answer_ids(hashes, frame, self.records.get, push=push)
        if isinstance(frame, AdsRequest):
            return answer_request(frame, self.records.get) if push else []
        self.records.update((content_hash(record), record) for record in frame.records)
        return []


def _exchange(left: Side, right: Side, *, left_pushes: bool = True) -> int:
    """Run one comparison to its end; returns the number of frames."""
    queue: list[tuple[bool, DirectoryFrame]] = [(False, open_comparison(sorted(left.records)))]
    frames = 0
    while queue:
        at_left, frame = queue.pop(0)
        assert FRAMES.decode(FRAMES.encode(frame)) == frame
        frames += 1
        side, push = (left, left_pushes) if at_left else (right, True)
        answers = side.answer(frame, push)
        assert len(answers) <= 8
        queue += [(not at_left, answer) for answer in answers]
    return frames


@settings(max_examples=40)
@given(st.integers(0, 1_200), st.integers(0, 400), st.integers(0, 400), st.booleans())
def test_comparisons_end_alike_with_bounded_frames(common: int, left: int, right: int, left_pushes: bool) -> None:
    one = Side(set(range(common + left)))
    other = Side(set(range(common)) | set(range(10_000, 10_000 + right)))
    everything = one.records.keys() | other.records.keys()
    before = set(other.records)
    frames = _exchange(one, other, left_pushes=left_pushes)
    assert one.records.keys() == everything
    assert other.records.keys() == (everything if left_pushes else before)
    assert frames <= 10 + (left + right) + common // 32


def test_one_missing_among_many_costs_a_few_frames() -> None:
    one, other = Side(set(range(10_000))), Side(set(range(9_999)))
    assert _exchange(other, one) <= 12


@given(
    st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=80),
    st.integers(2, 16),
    st.binary(max_size=32),
    st.binary(max_size=32),
)
def test_splitting_covers_the_range_once(hashes: set[bytes], parts: int, lower: bytes, upper: bytes) -> None:
    ordered = sorted(hashes)
    bounds = Bounds(lower, upper) if lower < upper else EVERYTHING
    first, last = bounds.slice_of(ordered)
    if last - first < 2:
        return
    pieces = split(ordered, bounds, parts)
    assert (pieces[0].lower, pieces[-1].upper) == (bounds.lower, bounds.upper)
    assert all(left.upper == right.lower for left, right in itertools.pairwise(pieces))
    slices = [piece.slice_of(ordered) for piece in pieces]
    assert sum(end - start for start, end in slices) == last - first
    assert all(0 < end - start < last - first for start, end in slices)


@given(st.binary(max_size=400))
def test_decoders_return_or_raise_malformed_input(data: bytes) -> None:
    for decode in (decode_record, decode_extras, verify_record, FRAMES.decode):
        try:
            decode(data)
        except MalformedInput:
            continue


_small = st.binary(max_size=6)
_hostile_values = st.recursive(
    st.one_of(st.integers(-5, 2**33), st.binary(max_size=40), st.text(max_size=5), st.booleans(), st.none()),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=20,
)


def _bounds(edges: list[bytes]) -> list[tuple[bytes, bytes]]:
    ordered = sorted(set(edges))
    return list(zip(ordered, [*ordered[1:], b""], strict=True))


@st.composite
def hostile_frames(draw: st.DrawFn) -> DirectoryFrame | None:
    """Frames that decode, with anything inside."""
    kind = draw(st.sampled_from([20, 21, 22, 23]))
    bounds = _bounds(draw(st.lists(_small, min_size=1, max_size=64)))
    body: object
    if kind == 20:
        body = [
            [low, high, draw(st.integers(0, 2**32 - 1)), draw(st.binary(min_size=16, max_size=16))]
            for low, high in bounds
        ]
    elif kind == 21:
        body = [[low, high, []] for low, high in bounds]
    elif kind == 22:
        body = draw(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=128))
    else:
        known = st.sampled_from([ad.encoded for ad in ADS] + [obituary.encoded for obituary in OBITUARIES])
        body = draw(st.lists(st.one_of(st.binary(min_size=1, max_size=300), known), min_size=1, max_size=8))
    if draw(st.integers(0, 9)) == 0:
        body = draw(_hostile_values)
    try:
        return FRAMES.decode(cbor.encode({0: kind, 1: body}))  # type: ignore[dict-item]
    except (MalformedInput, ValueError):
        return None


@settings(max_examples=60)
@given(st.lists(hostile_frames(), min_size=1, max_size=8), st.booleans())
def test_hostile_frames_never_raise_and_answers_are_bounded(frames: list[DirectoryFrame | None], relay: bool) -> None:
    directory = Directory(LAN)
    for ad in ADS[:30]:
        directory.insert(ad.encoded, NOW)
    gossip = Gossip(directory, PeerKey(bytes(32)), random.Random(1), is_relay=relay)
    peer = PeerKey(hashlib.sha256(b"hostile").digest())
    gossip.peer_connected(peer, 0.0, is_relay=True)
    for frame in frames:
        if frame is None:
            continue
        outcome = gossip.frame_received(peer, frame, NOW, 0.0)
        assert len(outcome.sends) <= 8
        for send in outcome.sends:
            assert FRAMES.decode(FRAMES.encode(send.frame)) == send.frame
