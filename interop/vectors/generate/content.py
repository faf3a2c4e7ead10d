"""Vectors of content: what members say to each other, inside all encryption (docs/spec: messages, files, devices).

Types 9 and 10 are left out as long as they change.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from interop.vectors.generate._packed import packed
from railgun.limits import DEVICE_NAME_BYTES_MAX, EMOJI_BYTES_MAX, FILE_WANT_RANGES_MAX
from railgun.types import MessageId
from railgun.wire import cbor
from railgun.wire.content import (
    CONTENT_TYPES,
    AnyContent,
    DeleteContent,
    EditContent,
    FileOfferContent,
    OwnRoomsContent,
    PartContent,
    ReactionContent,
    ReplyContent,
    RosterContent,
    TextContent,
    TypingContent,
    UnsupportedContent,
    encode_content,
)
from railgun.wire.file_content import (
    FILE_PART_BYTES_MAX,
    FILE_UNITS_MAX,
    FilePartContent,
    FileWantContent,
    UnitRange,
)

ONE, TWO = MessageId(bytes(range(16))), MessageId(b"\xee" * 16)
LINK = "railgun://join/x"


def fields_of(content: AnyContent) -> dict[str, Any]:
    """Content as vectors show it: bytes in hexadecimal, the long ones packed."""
    if isinstance(content, UnsupportedContent):
        return {"type": content.type}
    number = next(number for number, cls in CONTENT_TYPES.items() if cls is type(content))
    return {
        "type": number,
        **{field.name: _shown(getattr(content, field.name)) for field in dataclasses.fields(content)},
    }


def _shown(value: object) -> Any:
    if isinstance(value, bytes):
        return packed(value)
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    if dataclasses.is_dataclass(value):
        return [_shown(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return value


def _accepted(name: str, content: AnyContent) -> dict[str, Any]:
    data = encode_content(content)
    return {"name": name, "operation": "decode_content", "bytes": packed(data), "expected": fields_of(content)}


def _refused(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "operation": "decode_content", "bytes": packed(data), "code": "malformed"}


def _raw(name: str, *fields: cbor.Value) -> dict[str, Any]:
    return _refused(name, cbor.encode(list(fields)))


def vectors() -> dict[str, Any]:
    """The file."""
    want = encode_content(FileWantContent(ONE, (UnitRange(0, 3),)))
    return {
        "description": "Content of messages (docs/spec/messages.md): encoded and decoded alike, or refused.",
        "accepted": [
            _accepted("a part of a long content", PartContent(1, 3, ONE, b"\x07" * 300)),
            _accepted("a text", TextContent("grüß Gott \U0001f44d", (ONE, TWO))),
            _accepted("an empty text", TextContent("")),
            _accepted("a reply", ReplyContent(ONE, "yes")),
            _accepted("a reaction", ReactionContent(ONE, "\U0001f44d")),
            _accepted("a reaction taken back", ReactionContent(ONE, "")),
            _accepted("typing", TypingContent(True)),
            _accepted("an edit", EditContent(ONE, "no", (TWO,))),
            _accepted("a deletion", DeleteContent(ONE)),
            _accepted("a file", FileOfferContent("plan.pdf", "application/pdf", 4_000, b"\x11" * 32)),
            _accepted("roster entries", RosterContent((b"\x01\x02",))),
            _accepted("own rooms: one asks", OwnRoomsContent("phone", True)),
            _accepted("own rooms: an invite", OwnRoomsContent("", False, (LINK,))),
            _accepted("file part: one unit", FilePartContent(ONE, 0, b"\x22" * 3_840)),
            _accepted("file part: the last unit there can be", FilePartContent(ONE, FILE_UNITS_MAX - 1, b"\x22")),
            _accepted("file part: as large as can be", FilePartContent(ONE, 17, b"\x22" * FILE_PART_BYTES_MAX)),
            _accepted("file want: two ranges", FileWantContent(ONE, (UnitRange(0, 3), UnitRange(7, 1)))),
            _accepted("file want: all units", FileWantContent(ONE, (UnitRange(0, FILE_UNITS_MAX),))),
            _accepted("an unknown type", UnsupportedContent(65_535, cbor.encode([65_535, "anything"]))),
        ],
        "refused": [
            _refused("empty", b""),
            _refused("no array", cbor.encode({0: 1})),
            _refused("an empty array", cbor.encode([])),
            _refused("a byte too many", want + b"\0"),
            _refused("an array of no fixed length", b"\x9f" + want[1:] + b"\xff"),
            _raw("a type that is no number", "1", "text", []),
            _raw("a type above all types", 65_536),
            _raw("a text without parents", 1, "text"),
            _raw("a text with a field too many", 1, "text", [], 0),
            _raw("a reaction about no message", 3, b"\0" * 15, "+"),
            _raw("a reaction too long", 3, bytes(ONE), "+" * (EMOJI_BYTES_MAX + 1)),
            _raw("typing by a number", 4, 1),
            _raw("own rooms: a name too long", 11, "n" * (DEVICE_NAME_BYTES_MAX + 1), False, []),
            _raw("own rooms: asks by a number", 11, "phone", 1, []),
            _raw("own rooms: an invite in bytes", 11, "phone", True, [LINK.encode()]),
            _raw("own rooms: no invites named", 11, "phone", True),
            _raw("file part: of no message", 12, b"\0" * 15, 0, b"x"),
            _raw("file part: empty", 12, bytes(ONE), 0, b""),
            _raw("file part: too large", 12, bytes(ONE), 0, b"\0" * (FILE_PART_BYTES_MAX + 1)),
            _raw("file part: beyond the largest file", 12, bytes(ONE), FILE_UNITS_MAX, b"x"),
            _raw("file part: a negative unit", 12, bytes(ONE), -1, b"x"),
            _raw("file want: nothing", 13, bytes(ONE), []),
            _raw("file want: a range of none", 13, bytes(ONE), [[0, 0]]),
            _raw("file want: beyond the largest file", 13, bytes(ONE), [[1, FILE_UNITS_MAX]]),
            _raw("file want: too many ranges", 13, bytes(ONE), [[2 * n, 1] for n in range(FILE_WANT_RANGES_MAX + 1)]),
            _raw("file want: half a range", 13, bytes(ONE), [[3]]),
        ],
    }
