"""A room as the application sees it: send, read, invite, members.

Owns: waiting for receipts, handing messages over exactly once, the API's shapes.
Must not know: machines' insides, links, commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from railgun.core import conversation
from railgun.core.conversation import read_message
from railgun.core.effects import Notification
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import MessagePrepared, MessageReceipted, MessageReceived, RemovedFromRoom
from railgun.errors import DiscoveryError, NotMember, UsageError
from railgun.limits import HISTORY_PAGE_MAX, INVITE_CONTACTS_MAX, TYPING_QUEUE_MAX
from railgun.storage.message_log import MessageLog
from railgun.types import DeviceKey, MessageId, RoomId, RootKey, SizeClass
from railgun.wire.content import (
    Content,
    DeleteContent,
    EditContent,
    FileOfferContent,
    ReactionContent,
    ReplyContent,
    TextContent,
    TypingContent,
)
from railgun.wire.invites import Invite, format_invite

if TYPE_CHECKING:
    from railgun.runtime.peer import Peer

SEND_SECONDS = 30.0
INVITE_USES = 1
INVITE_SECONDS = 7 * 86_400
_KINDS: dict[type, str] = {
    TextContent: "text",
    ReplyContent: "reply",
    ReactionContent: "reaction",
    TypingContent: "typing",
    EditContent: "edit",
    DeleteContent: "delete",
    FileOfferContent: "file",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """``receipts`` of ``of`` seats have signed that they hold the message. ``latency_ms``: from the call to that."""

    message_id: MessageId
    receipts: int
    of: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said. ``kind`` is text, reply, reaction, edit, delete, file or unsupported.

    ``text`` is what is to be shown (the emoji, of a reaction); ``target`` the message that it is about.
    ``received_at`` is in Unix seconds of this device.
    """

    message_id: MessageId
    author: DeviceKey
    author_name: str
    kind: str
    text: str
    target: MessageId | None
    received_at: int
    content: Content = field(repr=False)


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member's device."""

    device_key: DeviceKey
    root_key: RootKey
    name: str
    is_admin: bool
    is_self: bool


@dataclass(slots=True)
class _Sending:
    began_at: float
    prepared: asyncio.Future[MessageId]
    settled: asyncio.Future[tuple[int, int]]


class RoomMail:
    """What comes and goes of one room, between the driver and the application."""

    def __init__(self, room_id: RoomId, message_log: MessageLog, own: DeviceKey) -> None:
        self.room_id = room_id
        self._log = message_log
        self._own = own
        self._arrived = asyncio.Event()
        self._receipted = asyncio.Event()
        self._sending: dict[int, _Sending] = {}
        self._by_message: dict[MessageId, _Sending] = {}
        self._token = 0
        self._closed = False
        self.typing: asyncio.Queue[DeviceKey] = asyncio.Queue(TYPING_QUEUE_MAX)
        self.is_removed = False

    def notified(self, notification: Notification) -> None:
        """A notification of this room, from the driver."""
        match notification:
            case MessageReceived(_, message):
                if isinstance(message.content, TypingContent):
                    if not self.typing.full():
                        self.typing.put_nowait(message.author)
                else:
                    self._arrived.set()
            case MessagePrepared(_, token, message_id):
                sending = self._sending.pop(token, None)
                if sending is not None and not sending.prepared.done():
                    sending.prepared.set_result(message_id)
                    self._by_message[message_id] = sending
            case MessageReceipted(_, message_id, receipts, of, majority, _):
                self._receipted.set()
                sending = self._by_message.get(message_id)
                if majority and sending is not None and not sending.settled.done():
                    sending.settled.set_result((receipts, of))
            case RemovedFromRoom():
                self.is_removed = True
                self._arrived.set()
            case _:
                pass

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._arrived.set()
        for sending in [*self._sending.values(), *self._by_message.values()]:
            sending.prepared.cancel()
            sending.settled.cancel()

    # --- sending --------------------------------------------------------------------------------

    def begin(self) -> tuple[int, _Sending]:
        """A token for one send, and what to wait on."""
        loop = asyncio.get_running_loop()
        self._token += 1
        sending = self._sending[self._token] = _Sending(monotonic(), loop.create_future(), loop.create_future())
        return self._token, sending

    def end(self, token: int, message_id: MessageId | None) -> None:
        """Nobody waits any more."""
        self._sending.pop(token, None)
        if message_id is not None:
            self._by_message.pop(message_id, None)

    async def wait_settled(self, member: MemberRoom, seconds: float) -> None:
        """Until the room's outbox is empty, or ``seconds`` are over."""
        try:
            async with asyncio.timeout(seconds):
                while len(member.conversation.outbox):
                    self._receipted.clear()
                    await self._receipted.wait()
        except TimeoutError:
            return

    # --- reading --------------------------------------------------------------------------------

    async def messages(self) -> AsyncIterator[Message]:
        """Messages of others that were not acknowledged yet, each once; acknowledged when the next is asked for."""
        while True:
            self._arrived.clear()
            rows = self._log.undelivered(self.room_id)
            for row in rows:
                message = read_message(row.message_id, row.value)
                if message.author != self._own:
                    yield view_message(message)
                self._log.acknowledge(self.room_id, [row.message_id])
            if not rows:
                if self._closed or self.is_removed:
                    return
                await self._arrived.wait()

    def history(self, limit: int, before: int | None = None) -> list[Message]:
        """The newest messages, oldest first."""
        rows = self._log.page(self.room_id, before=before, limit=min(limit, HISTORY_PAGE_MAX))
        return [view_message(read_message(row.message_id, row.value)) for row in reversed(rows)]


class Room:
    """One room of a `Peer`."""

    def __init__(self, peer: Peer, mail: RoomMail) -> None:
        self._peer = peer
        self._mail = mail

    def __repr__(self) -> str:
        return f"Room({self.name!r}, {self.room_id.hex()[:8]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Room) and other.room_id == self.room_id

    def __hash__(self) -> int:
        return hash(self.room_id)

    @property
    def room_id(self) -> RoomId:
        return self._mail.room_id

    @property
    def name(self) -> str:
        return self._machine.state(self._peer.wall()).name

    @property
    def _machine(self) -> MemberRoom:
        return self._peer.member_room(self.room_id)

    async def send(
        self,
        content: str | Content,
        *,
        size_class: SizeClass | None = None,
        timeout: float = SEND_SECONDS,  # noqa: ASYNC109
    ) -> Receipt:
        """Say something; returns when a majority of the committee's seats have signed for it.

        A message that is not receipted in time is not lost: it stays in the outbox and goes out when it can.

        Raises:
            NotMember: this device is out of the room.
            UsageError: the text is too long.
            DiscoveryError: no majority within ``timeout`` seconds; the message goes on by itself.
        """
        body = TextContent(content) if isinstance(content, str) else content
        token, sending = self._mail.begin()
        machine = self._machine
        message_id: MessageId | None = None
        try:
            try:
                outcome = machine.send(body, token, self._peer.wall(), size_class)
            except ValueError as error:
                raise UsageError(f"this cannot be sent: {error}") from error
            self._peer.apply(machine, outcome)
            async with asyncio.timeout(timeout):
                message_id = await sending.prepared
                receipts, of = await sending.settled
        except TimeoutError:
            raise DiscoveryError(
                f"no majority of relays has signed for the message within {timeout:g} s; it is kept and goes on"
            ) from None
        finally:
            self._mail.end(token, message_id)
        return Receipt(message_id, receipts, of, 1000 * (monotonic() - sending.began_at))

    def messages(self) -> AsyncIterator[Message]:
        """What others say, from the first message not yet acknowledged on, each exactly once.

        A message counts as acknowledged when the next one is asked for: one that a crash cut off comes again.
        One reader a room, please: several would share the messages between them.
        """
        return self._mail.messages()

    def history(self, limit: int = 100) -> list[Message]:
        """The newest ``limit`` messages that this device has, own ones too, oldest first."""
        return self._mail.history(limit)

    async def typing(self) -> DeviceKey:
        """The next device that is typing."""
        return await self._mail.typing.get()

    def members(self) -> list[MemberView]:
        """All members' devices, by key."""
        own = self._peer.identity.device_key
        return [
            MemberView(
                member.device,
                member.root,
                self._peer.identity.name if member.device == own else short_name(member.device),
                member.is_admin,
                member.device == own,
            )
            for member in self._machine.state(self._peer.wall()).members
        ]

    def invite(self, uses: int = INVITE_USES, expires_in_seconds: int = INVITE_SECONDS) -> str:
        """A link that lets ``uses`` people in within ``expires_in_seconds``.

        Raises:
            NotMember: this device may not invite.
            UsageError: a number is out of range.
        """
        wall = self._peer.wall()
        machine = self._machine
        try:
            made, outcome = machine.invite(uses, int(wall) + expires_in_seconds, wall)
        except ValueError as error:
            raise UsageError(f"an invite cannot be made so: {error}") from error
        self._peer.apply(machine, outcome)
        contacts = self._peer.known_contacts()[:INVITE_CONTACTS_MAX]
        return format_invite(Invite(self._peer.network_id, self.room_id, made.seed, contacts))

    async def remove(self, device: DeviceKey | str) -> None:
        """Remove a member's device for good. ``device``: its key, or a hexadecimal prefix of it.

        Raises:
            NotMember: this device may not remove, or there is no such member.
        """
        machine = self._machine
        found = [
            member.device
            for member in machine.state(self._peer.wall()).members
            if (member.device == device if isinstance(device, bytes) else member.device.hex().startswith(device))
        ]
        if len(found) != 1:
            raise NotMember(f"{len(found)} members fit; `railgun room members` shows them")
        self._peer.apply(machine, machine.remove(found, self._peer.wall()))

    async def leave(self) -> None:
        """Leave the room and erase all that this device keeps of it."""
        await self._peer.leave(self.room_id)


def short_name(device: DeviceKey) -> str:
    """How a device without a name is shown."""
    return device.hex()[:8]


def view_message(message: conversation.Message) -> Message:
    """A machine's message as the application sees it."""
    content = message.content
    shown = next((getattr(content, name) for name in ("text", "emoji", "name") if hasattr(content, name)), "")
    return Message(
        message_id=message.message_id,
        author=message.author,
        author_name=short_name(message.author),
        kind=_KINDS.get(type(content), "unsupported"),
        text=str(shown),
        target=getattr(content, "target", None),
        received_at=message.received,
        content=content,
    )
