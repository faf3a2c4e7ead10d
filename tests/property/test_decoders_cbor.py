"""The one decoder under all others: one spelling for one value, whatever an adversary writes."""

from __future__ import annotations

import time
import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from railgun.errors import MalformedInput
from railgun.limits import FRAME_BYTES_MAX
from railgun.wire import cbor
from tests.fuzz.cbor_writer import Loose

MEMORY_MULTIPLE_MAX = 128
"""Peak memory of decoding, in bytes a byte of input: an empty array in an array costs most."""
SECONDS_MAX = 5.0
"""For inputs that take milliseconds, on any machine; those that are not refused in time take hours."""

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-cbor.INTEGER_MAX, cbor.INTEGER_MAX)
    | st.binary(max_size=40)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, cbor.MAP_KEY_MAX), inner, max_size=5),
    max_leaves=12,
).filter(lambda value: _depth(value) <= cbor.DEPTH_MAX)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(item) for item in value), default=0)
    return 0


@given(values)
@settings(max_examples=200)
def test_what_is_encoded_decodes_to_itself(value: cbor.Value) -> None:
    encoded = cbor.encode(value)
    assert cbor.decode(encoded, bytes_max=len(encoded)) == value


@given(st.binary(max_size=80))
@settings(max_examples=300)
def test_random_bytes_are_malformed_or_canonical(data: bytes) -> None:
    try:
        value = cbor.decode(data, bytes_max=80)
    except MalformedInput:
        return
    assert cbor.encode(value) == data


@given(values, st.integers(0, 2**32), st.sampled_from([0.02, 0.1, 0.5]))
@settings(max_examples=400)
def test_loose_spellings_are_malformed_or_canonical(value: cbor.Value, seed: int, mischief: float) -> None:
    data = Loose(Random(seed), mischief).write(value)
    try:
        decoded = cbor.decode(data, bytes_max=max(len(data), 1))
    except MalformedInput:
        return
    assert cbor.encode(decoded) == data


def _tag(number: int) -> bytes:
    for lead, size in ((0xD8, 1), (0xD9, 2), (0xDA, 4), (0xDB, 8)):
        if number < 1 << 8 * size:
            return bytes([0xC0 + number]) if number < 24 else bytes([lead]) + number.to_bytes(size, "big")
    raise AssertionError


def _shared_references(levels: int, width: int) -> bytes:
    """Lists of references to lists of references: ``width ** levels`` values in a few bytes."""
    if levels == 0:
        return b"\xd8\x1c\x80"
    return b"\xd8\x1c" + bytes([0x98, width]) + _shared_references(levels - 1, width) + b"\xd8\x1d\x01" * (width - 1)


def _nested_references(levels: int, width: int) -> bytes:
    def level(depth: int) -> bytes:
        if depth == levels - 1:
            return b"\xd8\x1c" + bytes([0x98, width]) + bytes(width)
        return b"\xd8\x1c" + bytes([0x98, width]) + level(depth + 1) + (b"\xd8\x1d" + bytes([depth + 1])) * (width - 1)

    return level(0)


@pytest.mark.parametrize("bomb", [_nested_references(7, 60), _nested_references(5, 60), _shared_references(8, 200)])
def test_shared_references_are_refused_before_they_multiply(bomb: bytes) -> None:
    began = time.process_time()
    with pytest.raises(MalformedInput):
        cbor.decode(bomb, bytes_max=FRAME_BYTES_MAX)
    assert time.process_time() - began < SECONDS_MAX


def test_every_tag_is_refused_before_its_content_is_read() -> None:
    for number in [*range(70_000), 2**32 - 1, 2**32, 2**63, 2**64 - 1]:
        for content in (b"\x00", b"\x61a") if number < 300 else (b"\x00",):
            with pytest.raises(MalformedInput) as caught:
                cbor.decode(_tag(number) + content, bytes_max=16)
            reasons = [repr(caught.value.__cause__), repr(getattr(caught.value.__cause__, "__cause__", None))]
            assert any("tags have no place" in reason for reason in reasons), (number, reasons)


@pytest.mark.parametrize("lead", [0x5B, 0x7B, 0x9B, 0xBB])
@pytest.mark.parametrize("claimed", [2**16, 2**31, 2**32, 2**40, 2**63 - 1, 2**64 - 1])
def test_a_length_that_lies_reserves_nothing(lead: int, claimed: int) -> None:
    head = bytes([lead]) + claimed.to_bytes(8, "big")
    tracemalloc.start()
    try:
        for data in (head, b"\x82" + head + head, b"\xa1\x00" + head + bytes(64)):
            with pytest.raises(MalformedInput):
                cbor.decode(data, bytes_max=FRAME_BYTES_MAX)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "item", [b"\x80", b"\xa0", b"\x40", b"\x60", b"\x41\x00", b"\x82\xf6\xf6", b"\xa1\x00\x80", b"\x1a\x00\x01\x00\x00"]
)
def test_memory_and_time_are_linear_in_the_input(item: bytes) -> None:
    count = (cbor.ITEMS_MAX - 3) // len(item)
    data = b"\x99" + count.to_bytes(2, "big") + item * count
    began = time.process_time()
    tracemalloc.start()
    try:
        cbor.decode(data, bytes_max=FRAME_BYTES_MAX)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_MULTIPLE_MAX * len(data)
    assert time.process_time() - began < SECONDS_MAX


@pytest.mark.parametrize(
    "unit", [b"\x81", b"\xa1\x00", b"\x9f", b"\xbf\x00", b"\xc1", b"\xd8\x1c\x81", b"\x5f", b"\xff"]
)
def test_depth_is_refused_and_not_followed(unit: bytes) -> None:
    began = time.process_time()
    with pytest.raises(MalformedInput):
        cbor.decode((unit * FRAME_BYTES_MAX)[:FRAME_BYTES_MAX], bytes_max=FRAME_BYTES_MAX)
    assert time.process_time() - began < SECONDS_MAX


@pytest.mark.parametrize("item", [b"\x80", b"\xa0", b"\x00", b"\x81\x80", b"\xa1\x00\xf6", b"\x41x"])
def test_a_long_input_of_too_many_items_is_refused_before_they_are_made(item: bytes) -> None:
    size = 8_000_000
    data = b"\x9a" + (size // len(item)).to_bytes(4, "big") + item * (size // len(item))
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(MalformedInput, match="items"):
            cbor.decode(data, bytes_max=len(data))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < SECONDS_MAX


@pytest.mark.parametrize("over", [0, 1])
def test_the_number_of_items_is_bounded_exactly(over: int) -> None:
    # The array, its items, and one long string among them.
    value: list[cbor.Value] = [*([0] * (cbor.ITEMS_MAX - 2 + over)), b"x" * 40]
    encoded = cbor.encode(value)
    if over:
        with pytest.raises(MalformedInput, match="items"):
            cbor.decode(encoded, bytes_max=len(encoded))
    else:
        assert cbor.decode(encoded, bytes_max=len(encoded)) == value


@given(st.lists(values.filter(lambda value: _depth(value) < cbor.DEPTH_MAX), max_size=4))
@settings(max_examples=30)
def test_counting_items_agrees_with_reading_them(items: list[cbor.Value]) -> None:
    encoded = cbor.encode([*items, bytes(cbor.ITEMS_MAX)])
    assert cbor.decode(encoded, bytes_max=len(encoded)) == [*items, bytes(cbor.ITEMS_MAX)]


def test_one_byte_too_many_is_refused_unread() -> None:
    data = cbor.encode([b"x" * 100])
    with pytest.raises(MalformedInput, match="at most"):
        cbor.decode(data, bytes_max=len(data) - 1)
