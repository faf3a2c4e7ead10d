"""What the application is shown of a room: messages, receipts, members.

Owns: the shapes. Must not know: how they are gathered, sent or kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from railgun.core import conversation
from railgun.types import DeviceKey, MessageId, RootKey
from railgun.wire.content import (
    Content,
    DeleteContent,
    EditContent,
    FileOfferContent,
    ReactionContent,
    ReplyContent,
    TextContent,
)

_KINDS: dict[type, str] = {
    TextContent: "text",
    ReplyContent: "reply",
    ReactionContent: "reaction",
    EditContent: "edit",
    DeleteContent: "delete",
    FileOfferContent: "file",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """``receipts`` of ``of`` seats have signed that they hold the message, all its parts if it was split.

    ``message_id`` has 16 bytes. ``latency_ms``: milliseconds from the call to that.
    """

    message_id: MessageId
    receipts: int
    of: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said.

    Attributes:
        message_id: 16 bytes, the same at every member.
        author: the device's key, 32 bytes. author_name: how to show it.
        kind: ``text``, ``reply``, ``reaction``, ``edit``, ``delete``, ``file``, or ``unsupported`` by this version.
        text: what is to be shown: of a reaction the emoji, of a file its name. Written by someone else: escape what
            your terminal or page would take for more than text.
        target: the message that it is about, for reply, reaction, edit and delete. Nobody has checked that it exists,
            nor that an edit's or delete's author is the target's: compare before you apply one.
        received_at: Unix seconds, by this device's clock.
        is_own: whether this device said it.
    """

    message_id: MessageId
    author: DeviceKey
    author_name: str
    kind: str
    text: str
    target: MessageId | None
    received_at: int
    is_own: bool
    content: Content = field(repr=False)


@dataclass(frozen=True, slots=True)
class Typing:
    """A member's device began to write, or has stopped."""

    device_key: DeviceKey
    name: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member's device. Keys have 32 bytes; ``root_key`` is the person's, the same for all of its devices."""

    device_key: DeviceKey
    root_key: RootKey
    name: str
    is_admin: bool
    is_self: bool


def short_name(device: DeviceKey) -> str:
    """How a device without a name is shown."""
    return device.hex()[:8]


def view_message(message: conversation.Message, author_name: str, *, is_own: bool) -> Message:
    """A machine's message as the application sees it."""
    content = message.content
    shown = next((getattr(content, name) for name in ("text", "emoji", "name") if hasattr(content, name)), "")
    return Message(
        message_id=message.message_id,
        author=message.author,
        author_name=author_name,
        kind=_KINDS.get(type(content), "unsupported"),
        text=str(shown),
        target=getattr(content, "target", None),
        received_at=message.received,
        is_own=is_own,
        content=content,
    )
