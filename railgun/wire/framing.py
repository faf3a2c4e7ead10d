"""Items in a message: how frames share one data-channel message, and how a large frame is cut.

Owns: the layout of a message on the reliable channel, the coalescing encoder, the bounded reassembler.
Must not know: what a frame says, or any channel.
Spec: docs/spec/links.md. A message of at most MESSAGE_BYTES_MAX bytes is one or more items, each
``u8 type, u16 length, bytes`` (big-endian):

====  =====================================================================================
type  bytes
====  =====================================================================================
0     one whole frame, at least one byte
1     a fragment: ``u32 transfer, u16 index, u16 count``, then 1 to FRAGMENT_BYTES_MAX bytes;
      all but the last fragment of a transfer are full
2     a goodbye: ``u8 code, u32 milliseconds to wait`` (0xffffffff: none given)
3     a handshake message (canonical CBOR)
====  =====================================================================================
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import (
    FRAGMENT_BYTES_MAX,
    FRAGMENTED_FRAMES_MAX,
    FRAME_BYTES_MAX,
    HANDSHAKE_BYTES_MAX,
    MESSAGE_BYTES_MAX,
)

__all__ = [
    "HANDSHAKE_BYTES_MAX",
    "RETRY_MILLISECONDS_MAX",
    "Frame",
    "FrameDecoder",
    "FrameEncoder",
    "Goodbye",
    "Handshake",
    "Item",
    "ItemType",
    "goodbye_message",
    "handshake_message",
]

_ITEM: Final = struct.Struct(">BH")
_FRAGMENT: Final = struct.Struct(">IHH")
_GOODBYE: Final = struct.Struct(">BI")
_NO_RETRY: Final = 0xFFFF_FFFF
_WHOLE_BYTES_MAX: Final = MESSAGE_BYTES_MAX - _ITEM.size
_FRAGMENTS_MAX: Final = -(-FRAME_BYTES_MAX // FRAGMENT_BYTES_MAX)
RETRY_MILLISECONDS_MAX: Final = _NO_RETRY - 1


class ItemType(IntEnum):
    """The first byte of an item."""

    FRAME = 0
    FRAGMENT = 1
    GOODBYE = 2
    HANDSHAKE = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame, 1 to FRAME_BYTES_MAX bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Why the sender closes the link, and when trying again makes sense."""

    code: RefusalCode
    retry_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Handshake:
    """A message of the in-band proof, 1 to HANDSHAKE_BYTES_MAX bytes."""

    data: bytes


Item: TypeAlias = Frame | Goodbye | Handshake


def goodbye_message(code: RefusalCode, retry_after_ms: int | None) -> bytes:
    """A message that holds one goodbye; a longer wait than 32 bits hold is cut to the longest."""
    wait = _NO_RETRY if retry_after_ms is None else max(0, min(retry_after_ms, RETRY_MILLISECONDS_MAX))
    return _ITEM.pack(ItemType.GOODBYE, _GOODBYE.size) + _GOODBYE.pack(code, wait)


def handshake_message(data: bytes) -> bytes:
    """A message that holds one handshake message. Raises ValueError beyond HANDSHAKE_BYTES_MAX."""
    if not 1 <= len(data) <= HANDSHAKE_BYTES_MAX:
        raise ValueError(f"a handshake message has 1 to {HANDSHAKE_BYTES_MAX} bytes")
    return _ITEM.pack(ItemType.HANDSHAKE, len(data)) + data


class FrameEncoder:
    """Packs one link's frames into as few messages as hold them, in order."""

    def __init__(self) -> None:
        self._next_transfer = 0

    def encode(self, frames: Iterable[bytes]) -> list[bytes]:
        """Messages of at most MESSAGE_BYTES_MAX bytes.

        Raises:
            ValueError: a frame is empty or longer than FRAME_BYTES_MAX.
        """
        messages: list[bytes] = []
        parts: list[bytes] = []
        room = MESSAGE_BYTES_MAX
        for frame in frames:
            for header, body in self._items(frame):
                size = len(header) + len(body)
                if size > room:
                    messages.append(b"".join(parts))
                    parts, room = [], MESSAGE_BYTES_MAX
                parts.append(header)
                parts.append(body)
                room -= size
        if parts:
            messages.append(b"".join(parts))
        return messages

    def _items(self, frame: bytes) -> list[tuple[bytes, bytes]]:
        length = len(frame)
        if 1 <= length <= _WHOLE_BYTES_MAX:
            return [(_ITEM.pack(ItemType.FRAME, length), frame)]
        if not 1 <= length <= FRAME_BYTES_MAX:
            raise ValueError(f"a frame has 1 to {FRAME_BYTES_MAX} bytes, not {length}")
        transfer = self._next_transfer
        self._next_transfer = (transfer + 1) & 0xFFFF_FFFF
        count = -(-length // FRAGMENT_BYTES_MAX)
        items = []
        for index in range(count):
            body = frame[index * FRAGMENT_BYTES_MAX : (index + 1) * FRAGMENT_BYTES_MAX]
            header = _ITEM.pack(ItemType.FRAGMENT, _FRAGMENT.size + len(body)) + _FRAGMENT.pack(transfer, index, count)
            items.append((header, body))
        return items


class FrameDecoder:
    """Takes one link's messages apart and puts fragmented frames together again.

    Holds at most FRAGMENTED_FRAMES_MAX unfinished frames; the oldest is dropped (`frames_dropped` counts).
    """

    def __init__(self) -> None:
        self._transfers: OrderedDict[int, _Transfer] = OrderedDict()
        self.frames_dropped = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of unfinished frames."""
        return sum(transfer.held_bytes for transfer in self._transfers.values())

    def decode(self, message: bytes) -> list[Item]:
        """The items that ``message`` completes, in order.

        Raises:
            MalformedInput: the message is empty, too long, cut off, or holds an unknown or invalid item.
        """
        total = len(message)
        if not 0 < total <= MESSAGE_BYTES_MAX:
            raise MalformedInput("message of an impossible length")
        items: list[Item] = []
        position = 0
        while position < total:
            body_start = position + _ITEM.size
            if body_start > total:
                raise MalformedInput("truncated item")
            kind, length = _ITEM.unpack_from(message, position)
            position = body_start + length
            if position > total or length == 0:
                raise MalformedInput("truncated or empty item")
            body = message[body_start:position]
            item = Frame(body) if kind == ItemType.FRAME else self._special(kind, body)
            if item is not None:
                items.append(item)
        return items

    def _special(self, kind: int, body: bytes) -> Item | None:
        if kind == ItemType.FRAGMENT:
            return self._fragment(body)
        if kind == ItemType.GOODBYE:
            return _goodbye(body)
        if kind == ItemType.HANDSHAKE:
            if len(body) > HANDSHAKE_BYTES_MAX:
                raise MalformedInput("handshake message too long")
            return Handshake(body)
        raise MalformedInput("unknown item type")

    def _fragment(self, body: bytes) -> Frame | None:
        if len(body) <= _FRAGMENT.size:
            raise MalformedInput("truncated fragment")
        transfer_id, index, count = _FRAGMENT.unpack_from(body)
        payload = body[_FRAGMENT.size :]
        if not 2 <= count <= _FRAGMENTS_MAX or index >= count:
            raise MalformedInput("impossible fragment number")
        if len(payload) > FRAGMENT_BYTES_MAX or (index < count - 1 and len(payload) != FRAGMENT_BYTES_MAX):
            raise MalformedInput("fragment of the wrong length")
        transfer = self._transfers.get(transfer_id)
        if transfer is None:
            if len(self._transfers) >= FRAGMENTED_FRAMES_MAX:
                self._transfers.popitem(last=False)
                self.frames_dropped += 1
            transfer = self._transfers[transfer_id] = _Transfer(count)
        whole = transfer.add(index, count, payload)
        if whole is None:
            return None
        del self._transfers[transfer_id]
        return Frame(whole)


class _Transfer:
    """The fragments of one frame that have come so far."""

    __slots__ = ("_missing", "_parts", "held_bytes")

    def __init__(self, count: int) -> None:
        self._parts: list[bytes | None] = [None] * count
        self._missing = count
        self.held_bytes = 0

    def add(self, index: int, count: int, payload: bytes) -> bytes | None:
        """The whole frame once nothing is missing."""
        if count != len(self._parts) or self._parts[index] is not None:
            raise MalformedInput("contradicting fragments")
        self._parts[index] = payload
        self._missing -= 1
        self.held_bytes += len(payload)
        if self.held_bytes > FRAME_BYTES_MAX:
            raise MalformedInput("frame too long")
        if self._missing:
            return None
        return b"".join(part for part in self._parts if part is not None)


def _goodbye(body: bytes) -> Goodbye:
    if len(body) != _GOODBYE.size:
        raise MalformedInput("goodbye of the wrong length")
    code, wait = _GOODBYE.unpack(body)
    try:
        return Goodbye(RefusalCode(code), None if wait == _NO_RETRY else wait)
    except ValueError as error:
        raise MalformedInput("unknown goodbye code") from error
