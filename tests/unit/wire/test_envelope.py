"""The envelope's layout: what fits, what is refused, and with which code."""

from __future__ import annotations

import pytest

from railgun.errors import MalformedInput, RefusalCode
from railgun.types import EnvelopeKind, SizeClass, Tag
from railgun.wire import envelope as layout

TAG = Tag(bytes(range(32)))
HINT = b"hinthint"


def _envelope(size_class: SizeClass, *, version: int = 1, class_byte: int | None = None) -> bytes:
    header = bytearray(layout.pack_header(layout.EnvelopeHeader(size_class, 1_700_000_000, TAG)))
    header[0] = version
    header[1] = size_class if class_byte is None else class_byte
    return bytes(header) + b"\x07" * (size_class.envelope_bytes - len(header))


@pytest.mark.parametrize(("size_class", "expected"), [(0, 115), (1, 3955), (2, 65395)])
def test_capacity_is_what_the_specification_says(size_class: int, expected: int) -> None:
    assert layout.body_bytes_max(SizeClass(size_class)) == expected


@pytest.mark.parametrize(
    ("body_bytes", "expected"),
    [(0, 0), (115, 0), (116, 1), (3955, 1), (3956, 2), (65395, 2)],
)
def test_smallest_class(body_bytes: int, expected: int) -> None:
    assert layout.smallest_class_for(body_bytes) == SizeClass(expected)


def test_no_class_is_large_enough() -> None:
    with pytest.raises(ValueError, match="65396 bytes fit no envelope"):
        layout.smallest_class_for(65396)


@pytest.mark.parametrize("size_class", list(SizeClass))
def test_parse_cuts_at_the_specified_offsets(size_class: SizeClass) -> None:
    data = _envelope(size_class)
    data = data[:38] + b"n" * 12 + data[50:-64] + b"s" * 64
    parsed = layout.parse_envelope(data)
    assert (parsed.size_class, parsed.epoch_start, parsed.tag) == (size_class, 1_700_000_000, TAG)
    assert parsed.header_part == data[:38]
    assert parsed.nonce == b"n" * 12
    assert parsed.sealed == data[50:-64]
    assert len(parsed.sealed) == size_class.envelope_bytes - 114
    assert parsed.signed_part == data[:-64]
    assert parsed.signature == b"s" * 64


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", RefusalCode.WRONG_SIZE),
        (_envelope(SizeClass.SMALL)[:-1], RefusalCode.WRONG_SIZE),
        (_envelope(SizeClass.SMALL) + b"\0", RefusalCode.WRONG_SIZE),
        (_envelope(SizeClass.MEDIUM, class_byte=0), RefusalCode.WRONG_SIZE),
        (_envelope(SizeClass.SMALL, version=0), RefusalCode.UNSUPPORTED_VERSION),
        (_envelope(SizeClass.SMALL, version=2), RefusalCode.UNSUPPORTED_VERSION),
        (_envelope(SizeClass.SMALL, class_byte=3), RefusalCode.MALFORMED),
    ],
)
def test_refused_layouts(data: bytes, code: RefusalCode) -> None:
    with pytest.raises(MalformedInput) as caught:
        layout.parse_envelope(data)
    assert caught.value.code is code


@pytest.mark.parametrize("size_class", list(SizeClass))
@pytest.mark.parametrize("short_by", [0, 1, 50])
def test_inner_part_round_trips(size_class: SizeClass, short_by: int) -> None:
    body = b"\xff" * (layout.body_bytes_max(size_class) - short_by)
    inner = layout.pack_inner(EnvelopeKind.GROUP, HINT, body, size_class)
    assert len(inner) == size_class.envelope_bytes - 130
    assert layout.unpack_inner(inner) == layout.Inner(EnvelopeKind.GROUP, HINT, body)


def test_inner_part_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="116 bytes do not fit"):
        layout.pack_inner(EnvelopeKind.GROUP, HINT, b"x" * 116, SizeClass.SMALL)
    with pytest.raises(ValueError, match="hint"):
        layout.pack_inner(EnvelopeKind.GROUP, b"short", b"", SizeClass.SMALL)
    with pytest.raises(ValueError, match="hint"):
        layout.pack_inner(EnvelopeKind.COVER, HINT, b"", SizeClass.SMALL)


def _inner(kind: int = 1, hint: bytes = HINT, length: int = 3, rest: bytes = b"abc") -> bytes:
    return (bytes([kind]) + hint + length.to_bytes(2, "big") + rest).ljust(126, b"\0")


@pytest.mark.parametrize(
    "inner",
    [
        _inner(kind=4),
        _inner(kind=255),
        _inner(kind=0),  # a hint on a kind that has none
        _inner(kind=3),
        _inner(length=2),  # "c" stands in the padding
        _inner(rest=b"abc" + bytes(111) + b"\1"),
        _inner(length=116),
        _inner(length=65535),
        _inner()[:-1],
        b"",
    ],
)
def test_refused_inner_parts(inner: bytes) -> None:
    with pytest.raises(MalformedInput):
        layout.unpack_inner(inner)


def test_header_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        layout.pack_header(layout.EnvelopeHeader(SizeClass.SMALL, 0, Tag(b"short")))
    for start in (-1, 1 << 32):
        with pytest.raises(ValueError, match="u32"):
            layout.pack_header(layout.EnvelopeHeader(SizeClass.SMALL, start, TAG))
