"""What the application is told of its rooms.

Owns: the notifications of the people's half. Must not know: who listens.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.core.conversation import Message
from railgun.types import DeviceKey, MessageId, RoomId


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message of another member, new to this device. Its row was committed before."""

    room_id: RoomId
    message: Message


@dataclass(frozen=True, slots=True)
class MessagePrepared:
    """What the application asked to send under ``token`` has its id now, and is kept.

    ``parts`` are the ids that `MessageReceipted` will name: one, or several where it was split, or none where nobody
    keeps it (typing)."""

    room_id: RoomId
    token: int
    message_id: MessageId
    parts: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True)
class MessageReceipted:
    """``receipts`` of ``of`` seats hold the message. ``majority`` and ``complete`` are each told once."""

    room_id: RoomId
    message_id: MessageId
    receipts: int
    of: int
    majority: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class MessagesMissing:
    """These were said and no member brings them; each is told once, and may come later as `MessageReceived`."""

    room_id: RoomId
    ids: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True)
class FileChanged:
    """More of a file is here, more of an own one is to be sent, or one was taken back; `MemberRoom.files` knows."""

    room_id: RoomId
    file: MessageId


@dataclass(frozen=True, slots=True)
class RosterChanged:
    """Members, settings or invites are others than before."""

    room_id: RoomId
    members: tuple[DeviceKey, ...]
    forked: bool


@dataclass(frozen=True, slots=True)
class RoomJoined:
    """A lobby let this device in."""

    room_id: RoomId
    name: str


@dataclass(frozen=True, slots=True)
class RemovedFromRoom:
    """The roster says that this device is out."""

    room_id: RoomId
