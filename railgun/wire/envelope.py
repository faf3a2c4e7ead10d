"""The envelope's layout: fixed binary, exactly 256, 4096 or 65536 bytes.

Owns: where each field stands, what the inner part looks like, how much fits. Must not know: keys, ciphers, hashes.
Spec: docs/spec/envelope.md.

::

    0         version = 1                  u8
    1         size class 0, 1, 2           u8, must match the length
    2         start of the epoch           u32, Unix seconds
    6         tag R_e                      32 bytes
    38        nonce                        12 bytes
    50        sealed inner part            size - 114 bytes, the last 16 of them the cipher's tag
    size-64   signature                    64 bytes

    inner:    kind u8, hint 8 bytes, length u16, body, zeros up to size - 130 bytes
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from railgun.errors import MalformedInput, RefusalCode
from railgun.types import ENVELOPE_SIZES_BYTES, EnvelopeKind, SizeClass, Tag

ENVELOPE_VERSION: Final = 1
TAG_BYTES: Final = 32
NONCE_BYTES: Final = 12
CIPHER_TAG_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64
HINT_BYTES: Final = 8
NO_HINT: Final = bytes(HINT_BYTES)

_HEADER: Final = struct.Struct(">BBI32s")
_INNER: Final = struct.Struct(">B8sH")
HEADER_BYTES: Final = _HEADER.size
INNER_HEADER_BYTES: Final = _INNER.size
SEALED_OFFSET: Final = HEADER_BYTES + NONCE_BYTES
OVERHEAD_BYTES: Final = SEALED_OFFSET + CIPHER_TAG_BYTES + SIGNATURE_BYTES

_CLASS_BY_BYTES: Final = {size: SizeClass(index) for index, size in enumerate(ENVELOPE_SIZES_BYTES)}
_HINTED_KINDS: Final = (EnvelopeKind.GROUP, EnvelopeKind.PAIRWISE)


@dataclass(frozen=True, slots=True)
class EnvelopeHeader:
    """What a relay reads of an envelope.

    ``epoch_start`` is in Unix seconds (u32); ``tag`` has 32 bytes.
    """

    size_class: SizeClass
    epoch_start: int
    tag: Tag


@dataclass(frozen=True, slots=True)
class ParsedEnvelope:
    """An envelope whose layout is right; nothing of it is proved yet.

    Fields are cut out on demand: a relay that only forwards never copies the sealed part.
    """

    header: EnvelopeHeader
    data: bytes

    @property
    def size_class(self) -> SizeClass:
        return self.header.size_class

    @property
    def epoch_start(self) -> int:
        """Unix seconds."""
        return self.header.epoch_start

    @property
    def tag(self) -> Tag:
        return self.header.tag

    @property
    def header_part(self) -> bytes:
        """Bytes 0 to 37: the cipher's associated data."""
        return self.data[:HEADER_BYTES]

    @property
    def nonce(self) -> bytes:
        """12 bytes."""
        return self.data[HEADER_BYTES:SEALED_OFFSET]

    @property
    def sealed(self) -> bytes:
        """Ciphertext and the cipher's tag, size - 114 bytes."""
        return self.data[SEALED_OFFSET:-SIGNATURE_BYTES]

    @property
    def signed_part(self) -> bytes:
        """All bytes before the signature."""
        return self.data[:-SIGNATURE_BYTES]

    @property
    def signature(self) -> bytes:
        """64 bytes."""
        return self.data[-SIGNATURE_BYTES:]


@dataclass(frozen=True, slots=True)
class Inner:
    """The inner part once opened. ``hint`` has 8 bytes, zeros for the kinds cover and sealed."""

    kind: EnvelopeKind
    hint: bytes
    body: bytes


def inner_bytes(size_class: SizeClass) -> int:
    """Length of the inner part before sealing: size - 130 bytes."""
    return size_class.envelope_bytes - OVERHEAD_BYTES


def body_bytes_max(size_class: SizeClass) -> int:
    """The longest body in bytes: 115, 3955 or 65395."""
    return inner_bytes(size_class) - INNER_HEADER_BYTES


def smallest_class_for(body_bytes: int) -> SizeClass:
    """The smallest class whose body holds ``body_bytes`` bytes. Raises ValueError where none does."""
    for size_class in SizeClass:
        if body_bytes <= body_bytes_max(size_class):
            return size_class
    raise ValueError(f"{body_bytes} bytes fit no envelope, at most {body_bytes_max(SizeClass.LARGE)} do")


def parse_header(data: bytes) -> EnvelopeHeader:
    """Read an envelope's header, checks in order of cost.

    Raises:
        MalformedInput: WRONG_SIZE (no envelope has this length, or the class names another one),
            UNSUPPORTED_VERSION, or MALFORMED (unknown class).
    """
    by_length = _CLASS_BY_BYTES.get(len(data))
    if by_length is None:
        raise MalformedInput(f"{len(data)} bytes are no envelope", RefusalCode.WRONG_SIZE)
    version, class_number, epoch_start, tag = _HEADER.unpack_from(data)
    if version != ENVELOPE_VERSION:
        raise MalformedInput(f"envelope version {version}", RefusalCode.UNSUPPORTED_VERSION)
    if class_number >= len(ENVELOPE_SIZES_BYTES):
        raise MalformedInput("unknown size class")
    if class_number != by_length:
        raise MalformedInput("size class names another length", RefusalCode.WRONG_SIZE)
    return EnvelopeHeader(by_length, epoch_start, Tag(tag))


def parse_envelope(data: bytes) -> ParsedEnvelope:
    """Check an envelope's layout. Raises MalformedInput as `parse_header` does."""
    return ParsedEnvelope(parse_header(data), data)


def pack_header(header: EnvelopeHeader) -> bytes:
    """The first 38 bytes. Raises ValueError where a field does not fit."""
    if len(header.tag) != TAG_BYTES:
        raise ValueError("a tag has 32 bytes")
    if not 0 <= header.epoch_start < 1 << 32:
        raise ValueError("an epoch's start is a u32")
    return _HEADER.pack(ENVELOPE_VERSION, header.size_class, header.epoch_start, header.tag)


def pack_inner(kind: EnvelopeKind, hint: bytes, body: bytes, size_class: SizeClass) -> bytes:
    """The inner part, padded with zeros to size - 130 bytes.

    Raises:
        ValueError: the body is too long for the class, or the hint does not fit the kind.
    """
    if len(hint) != HINT_BYTES or (kind not in _HINTED_KINDS and hint != NO_HINT):
        raise ValueError("a hint has 8 bytes, zeros for the kinds cover and sealed")
    if len(body) > body_bytes_max(size_class):
        raise ValueError(f"{len(body)} bytes do not fit, at most {body_bytes_max(size_class)} do")
    return (_INNER.pack(kind, hint, len(body)) + body).ljust(inner_bytes(size_class), b"\0")


def unpack_inner(inner: bytes) -> Inner:
    """Read an inner part that was unsealed.

    Raises:
        MalformedInput: no class has this length, the kind is unknown, the hint does not fit it, the body
            overruns, or the padding is not all zeros.
    """
    if len(inner) + OVERHEAD_BYTES not in _CLASS_BY_BYTES:
        raise MalformedInput("inner part of the wrong length", RefusalCode.WRONG_SIZE)
    kind_number, hint, body_bytes = _INNER.unpack_from(inner)
    try:
        kind = EnvelopeKind(kind_number)
    except ValueError as error:
        raise MalformedInput("unknown envelope kind") from error
    if kind not in _HINTED_KINDS and hint != NO_HINT:
        raise MalformedInput("a hint on a kind that has none")
    end = INNER_HEADER_BYTES + body_bytes
    if end > len(inner):
        raise MalformedInput("body overruns the envelope")
    if inner.count(0, end) != len(inner) - end:
        raise MalformedInput("padding is not all zeros")
    return Inner(kind, hint, inner[INNER_HEADER_BYTES:end])
