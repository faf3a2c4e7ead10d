"""What the application is shown of a room: messages, receipts, members.

Owns: the shapes. Must not know: how they are gathered, sent or kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

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
from railgun.wire.roster import SECONDS_PER_DAY, RoomSettings

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
        author: the device's key, 32 bytes. author_name: how to show it, as of now: one line, without what
            steers a terminal or hides; with the start of the key where names look alike. It proves nothing.
        kind: ``text``, ``reply``, ``reaction``, ``edit``, ``delete``, ``file``, or ``unsupported`` by this version.
        text: what is to be shown: of a reaction the emoji, of a file its name. Written by someone else: escape what
            your terminal or page would take for more than text.
        target: the message that it is about, for reply, reaction, edit and delete. Nobody has checked that it exists,
            nor that an edit's or delete's author is the target's: compare before you apply one.
        received_at: Unix seconds, by this device's clock.
        is_own: whether this device said it.
        is_after_gap: whether messages are missing right before it, that its author had seen: nobody has brought them
            so far. As of when it was read.
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
    is_after_gap: bool = False


@dataclass(frozen=True, slots=True)
class Typing:
    """A member's device began to write, or has stopped."""

    device_key: DeviceKey
    name: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member's device. Keys have 32 bytes; ``root_key`` is the person's, the same for all of its devices.

    ``name`` is as `Message.author_name`. ``is_verified``: on this device somebody has said that the safety numbers with
    that person agree."""

    device_key: DeviceKey
    root_key: RootKey
    name: str
    is_admin: bool
    is_self: bool
    is_verified: bool = False


@dataclass(frozen=True, slots=True)
class SettingsView:
    """What an admin has set for all members of a room.

    Attributes:
        committee_size: K, relays that serve the room at a time, 3 to 7.
        cover: how members hide when they speak: ``off``, ``steady`` or ``strict``.
        closed: whether only admins let people in.
        from_day: the UTC day, counted from 1970, that they hold from: for every epoch that starts on it or later.
    """

    committee_size: int
    cover: str
    closed: bool
    from_day: int

    @property
    def date(self) -> str:
        """`from_day` as ``2031-12-24``."""
        return datetime.fromtimestamp(self.from_day * SECONDS_PER_DAY, UTC).date().isoformat()


def view_settings(settings: RoomSettings, from_day: int) -> SettingsView:
    """A roster's settings as the application sees them."""
    return SettingsView(settings.committee_size, settings.cover.name.lower(), settings.closed, from_day)


def short_name(device: DeviceKey) -> str:
    """How a device without a name is shown."""
    return device.hex()[:8]


def view_message(
    message: conversation.Message, author_name: str, *, is_own: bool, missing: Collection[MessageId] = ()
) -> Message:
    """A machine's message as the application sees it. ``missing``: ids of the room's gaps."""
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
        is_after_gap=bool(missing) and not frozenset(getattr(content, "parents", ())).isdisjoint(missing),
    )
