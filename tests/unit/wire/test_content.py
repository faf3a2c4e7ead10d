"""Content and sealed bodies: what fits, what is refused, and that nothing else is raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import MalformedInput
from railgun.limits import CONTENT_BYTES_MAX
from railgun.types import MessageId, SizeClass
from railgun.wire import cbor
from railgun.wire.content import (
    PART_BYTES_MAX,
    PLAINTEXT_BYTES_MAX,
    PartContent,
    ReactionContent,
    TextContent,
    TypingContent,
    UnsupportedContent,
    decode_content,
    encode_content,
    split_content,
)
from railgun.wire.roster import ENTRIES, JOIN_REQUESTS, PREKEYS, SIGNED_ENTRIES
from railgun.wire.sealed import ANSWERS, DAY_SECRETS, SEALED_BODIES, SIGNED_ANSWERS

ID = MessageId(b"i" * 16)


def test_a_reaction_and_a_word_fit_the_smallest_envelope() -> None:
    assert len(encode_content(ReactionContent(ID, "👩‍🚀"))) <= PLAINTEXT_BYTES_MAX[SizeClass.SMALL]
    assert len(encode_content(TypingContent(True))) <= PLAINTEXT_BYTES_MAX[SizeClass.SMALL]
    assert len(encode_content(TextContent("hello you", (ID,)))) <= PLAINTEXT_BYTES_MAX[SizeClass.SMALL]


def test_the_largest_part_fits_the_largest_envelope() -> None:
    part = PartContent(1, 2, ID, b"x" * PART_BYTES_MAX)
    assert len(encode_content(part)) <= PLAINTEXT_BYTES_MAX[SizeClass.LARGE]


@given(st.integers(0, CONTENT_BYTES_MAX))
def test_pieces_add_up(length: int) -> None:
    data = bytes(length)
    assert b"".join(split_content(data)) == data


@pytest.mark.parametrize(
    "value",
    [
        [],
        {0: 1},
        [True, "x", []],
        [-1],
        [65_536],
        ["text"],
        [1, "x"],
        [1, "x", [], 0],
        [1, b"x", []],
        [1, "x", [b"short"]],
        [1, "x", [bytes(16)] * 9],
        [3, bytes(15), "a"],
        [3, bytes(16), "a" * 65],
        [4, 1],
        [0, 2, 2, bytes(16), b"x"],
        [0, 0, 1, b"", b"x"],
        [0, 0, 2, bytes(16), b"x"],
        [0, 1, 2, b"", b"x"],
        [0, 1, 2, bytes(16), b""],
        [8, [b""], []],
        [9, [bytes(16)] * 257],
    ],
)
def test_content_out_of_shape_is_refused(value: cbor.Value) -> None:
    with pytest.raises(MalformedInput):
        decode_content(cbor.encode(value))


def test_unknown_types_are_kept_as_they_came() -> None:
    data = cbor.encode([4_000, {0: "whatever"}])
    content = decode_content(data)
    assert content == UnsupportedContent(4_000, data)
    assert encode_content(content) == data


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_or_the_one_error(data: bytes) -> None:
    codecs = (SEALED_BODIES, ANSWERS, SIGNED_ANSWERS, DAY_SECRETS, ENTRIES, SIGNED_ENTRIES, PREKEYS, JOIN_REQUESTS)
    for decode in (decode_content, *(codec.decode for codec in codecs)):
        try:
            decode(data)
        except MalformedInput:
            continue


values = st.recursive(
    st.integers(-10, 2**32) | st.binary(max_size=40) | st.text(max_size=10) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 9), inner, max_size=6),
    max_leaves=20,
)


@given(st.integers(0, 12), st.lists(values, max_size=5), st.dictionaries(st.integers(1, 8), values, max_size=8))
def test_any_value_is_content_or_the_one_error(
    kind: int, fields: list[cbor.Value], body: dict[int, cbor.Value]
) -> None:
    record: dict[int, cbor.Value] = {0: kind, **body}
    cases = ((decode_content, [kind, *fields]), (SEALED_BODIES.decode, record), (ENTRIES.decode, record))
    for decode, value in cases:
        try:
            encoded = cbor.encode(value)
        except ValueError:
            return
        try:
            decode(encoded)
        except MalformedInput:
            continue
