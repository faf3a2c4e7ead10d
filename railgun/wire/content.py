"""What a message says: the CBOR array under Megolm.

Owns: content types, their fields and bounds, how much fits an envelope. Must not know: sessions, who said it, when.
Spec: docs/spec/messages.md.

``[type, field, ...]``, fields in the order of the classes below. Text-like contents end in the ids of the newest
messages that their author had seen. A type that is not known here is kept whole and shown as unsupported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from railgun.errors import MalformedInput
from railgun.limits import (
    CONTENT_BYTES_MAX,
    CONTENT_PARTS_MAX,
    DEVICE_NAME_BYTES_MAX,
    EMOJI_BYTES_MAX,
    FILE_NAME_BYTES_MAX,
    INVITE_LINK_CHARACTERS_MAX,
    MESSAGE_IDS_PER_CONTENT_MAX,
    MESSAGE_PARENTS_MAX,
    OWN_ROOMS_PER_CONTENT_MAX,
    ROSTER_ENTRY_BYTES_MAX,
    TEXT_BYTES_MAX,
)
from railgun.types import MessageId, SizeClass
from railgun.wire import cbor
from railgun.wire.file_content import FilePartContent, FileWantContent
from railgun.wire.roster import DeviceField, PrekeyRecord
from railgun.wire.schema import Array, Bool, Bytes, Nested, Text, Uint, build, shapes_of

TYPE_MAX: Final = 65_535
ROSTER_ENTRIES_PER_CONTENT_MAX: Final = 8
PREKEYS_PER_CONTENT_MAX: Final = 8
ROSTER_DIGEST_START_BYTES: Final = 8
"""With a single id `HeadsContent` then still fits the smallest envelope."""

PLAINTEXT_BYTES_MAX: Final = {SizeClass.SMALL: 31, SizeClass.MEDIUM: 3_871, SizeClass.LARGE: 65_311}
"""The longest content in bytes whose Megolm message fits an envelope of each class, whatever its index."""
PART_OVERHEAD_BYTES: Final = 32
PART_BYTES_MAX: Final = PLAINTEXT_BYTES_MAX[SizeClass.LARGE] - PART_OVERHEAD_BYTES

IdField = Annotated[MessageId, Bytes(16)]
IdsField = Annotated[tuple[MessageId, ...], Array(Bytes(16), MESSAGE_IDS_PER_CONTENT_MAX)]
ParentsField = Annotated[tuple[MessageId, ...], Array(Bytes(16), MESSAGE_PARENTS_MAX)]
TextField = Annotated[str, Text(TEXT_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class PartContent:
    """A piece of longer content. ``first`` is the id of part 0, empty in part 0 itself."""

    index: Annotated[int, Uint(CONTENT_PARTS_MAX - 1)]
    count: Annotated[int, Uint(CONTENT_PARTS_MAX)]
    first: Annotated[bytes, Bytes(0, 16)]
    data: Annotated[bytes, Bytes(1, PART_BYTES_MAX)]

    def __post_init__(self) -> None:
        if self.index >= self.count or self.count < 2 or len(self.first) != (16 if self.index else 0):
            raise ValueError("the parts do not add up")


@dataclass(frozen=True, slots=True)
class TextContent:
    """Something said."""

    text: TextField
    parents: ParentsField = ()


@dataclass(frozen=True, slots=True)
class ReplyContent:
    """Something said about another message."""

    target: IdField
    text: TextField
    parents: ParentsField = ()


@dataclass(frozen=True, slots=True)
class ReactionContent:
    """An emoji on a message; an empty one takes it back. Up to 11 bytes of it fit the smallest envelope."""

    target: IdField
    emoji: Annotated[str, Text(EMOJI_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class TypingContent:
    """The author is writing, or has stopped. Never kept."""

    active: Annotated[bool, Bool()]


@dataclass(frozen=True, slots=True)
class EditContent:
    """New text for a message of the same author."""

    target: IdField
    text: TextField
    parents: ParentsField = ()


@dataclass(frozen=True, slots=True)
class DeleteContent:
    """Takes back a message of the same author."""

    target: IdField
    parents: ParentsField = ()


@dataclass(frozen=True, slots=True)
class FileOfferContent:
    """A file that can be had. ``size_bytes`` and ``content_hash`` (BLAKE2b-256) are of the plaintext."""

    name: Annotated[str, Text(FILE_NAME_BYTES_MAX, 1)]
    media_type: Annotated[str, Text(FILE_NAME_BYTES_MAX)]
    size_bytes: Annotated[int, Uint()]
    content_hash: Annotated[bytes, Bytes(32)]
    parents: ParentsField = ()


@dataclass(frozen=True, slots=True)
class RosterContent:
    """Signed roster entries and prekeys for everyone."""

    entries: Annotated[tuple[bytes, ...], Array(Bytes(1, ROSTER_ENTRY_BYTES_MAX), ROSTER_ENTRIES_PER_CONTENT_MAX)]
    prekeys: Annotated[tuple[PrekeyRecord, ...], Array(Nested(PrekeyRecord), PREKEYS_PER_CONTENT_MAX)] = ()


@dataclass(frozen=True, slots=True)
class HeadsContent:
    """The newest messages that the author has: those that no other names, and the newest of those that none ever
    will (``leaves``: reactions). ``roster``: the start of its roster's digest."""

    ids: IdsField
    leaves: IdsField = ()
    roster: Annotated[bytes, Bytes(0, ROSTER_DIGEST_START_BYTES)] = b""


@dataclass(frozen=True, slots=True)
class WantContent:
    """Messages that the author lacks. ``trail``: how many ids it wants to be told of what came before the
    first of them."""

    ids: IdsField
    trail: Annotated[int, Uint(MESSAGE_IDS_PER_CONTENT_MAX)] = 0


@dataclass(frozen=True, slots=True)
class TrailContent:
    """Messages that the author has, newest first: what came before ``after``, which somebody wanted."""

    after: IdField
    ids: IdsField


@dataclass(frozen=True, slots=True)
class BeforeContent:
    """Messages from before ``device`` came into the room: it is to miss none of them."""

    device: DeviceField
    ids: IdsField


@dataclass(frozen=True, slots=True)
class OwnRoomsContent:
    """Between the devices of one person, in the room that is theirs alone: how the author is called, and invites to
    rooms that others of them are not in yet. ``asks``: the author has just come and may lack some. Never kept."""

    name: Annotated[str, Text(DEVICE_NAME_BYTES_MAX)]
    asks: Annotated[bool, Bool()]
    invites: Annotated[tuple[str, ...], Array(Text(INVITE_LINK_CHARACTERS_MAX), OWN_ROOMS_PER_CONTENT_MAX)] = ()


@dataclass(frozen=True, slots=True)
class UnsupportedContent:
    """Content of a type that this version does not know. ``data`` is all of it, type included."""

    type: int
    data: bytes


KnownContent: TypeAlias = (
    TextContent
    | ReplyContent
    | ReactionContent
    | TypingContent
    | EditContent
    | DeleteContent
    | FileOfferContent
    | FilePartContent
    | FileWantContent
    | RosterContent
    | HeadsContent
    | WantContent
    | TrailContent
    | BeforeContent
    | OwnRoomsContent
)
Content: TypeAlias = KnownContent | UnsupportedContent
AnyContent: TypeAlias = Content | PartContent
ParentedContent: TypeAlias = TextContent | ReplyContent | EditContent | DeleteContent | FileOfferContent
PARENTED: Final = (TextContent, ReplyContent, EditContent, DeleteContent, FileOfferContent)

CONTENT_TYPES: Final[dict[int, type]] = {
    0: PartContent,
    1: TextContent,
    2: ReplyContent,
    3: ReactionContent,
    4: TypingContent,
    5: EditContent,
    6: DeleteContent,
    7: FileOfferContent,
    12: FilePartContent,
    13: FileWantContent,
    8: RosterContent,
    9: HeadsContent,
    10: WantContent,
    11: OwnRoomsContent,
    14: TrailContent,
    15: BeforeContent,
}
_NUMBERS: Final = {cls: number for number, cls in CONTENT_TYPES.items()}


def encode_content(content: AnyContent) -> bytes:
    """Encode. Raises ValueError where a field does not fit, or all of it is over CONTENT_BYTES_MAX."""
    if isinstance(content, UnsupportedContent):
        return content.data
    fields: list[cbor.Value] = [_NUMBERS[type(content)]]
    fields += [shape.pack(getattr(content, name)) for name, shape in shapes_of(type(content))]
    data = cbor.encode(fields)
    if len(data) > CONTENT_BYTES_MAX:
        raise ValueError(f"{len(data)} bytes of content, at most {CONTENT_BYTES_MAX} allowed")
    return data


def decode_content(data: bytes) -> AnyContent:
    """Decode what a member said. Raises MalformedInput."""
    value = cbor.decode(data, bytes_max=CONTENT_BYTES_MAX)
    if not isinstance(value, list) or not value or type(value[0]) is not int or not 0 <= value[0] <= TYPE_MAX:
        raise MalformedInput("content is an array that starts with its type")
    cls = CONTENT_TYPES.get(value[0])
    if cls is None:
        return UnsupportedContent(value[0], data)
    shapes = shapes_of(cls)
    if len(value) != len(shapes) + 1:
        raise MalformedInput("content of the wrong length")
    fields = [shape.unpack(item) for (_, shape), item in zip(shapes, value[1:], strict=True)]
    return build(cls, fields)


def split_content(data: bytes) -> tuple[bytes, ...]:
    """Pieces of encoded content for `PartContent`; one, the whole, where it fits an envelope as it is."""
    if len(data) <= PLAINTEXT_BYTES_MAX[SizeClass.LARGE]:
        return (data,)
    return tuple(data[offset : offset + PART_BYTES_MAX] for offset in range(0, len(data), PART_BYTES_MAX))
