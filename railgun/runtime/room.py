"""A room as the application sees it: send, read, invite, members.

Owns: the API's words and their errors. Must not know: machines' insides, links, commands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from railgun.core.room import MemberRoom
from railgun.errors import NotMember, UsageError
from railgun.limits import (
    HISTORY_PAGE_MAX,
    INVITE_CONTACTS_MAX,
    INVITE_RENDEZVOUS_MAX,
    PENDING_SENDS_MAX,
    SEND_KEY_BYTES_MAX,
)
from railgun.runtime.file_views import FileView
from railgun.runtime.rendezvous import fit_for_invites
from railgun.runtime.room_following import MessageFollower
from railgun.runtime.room_mail import MessageReader, RoomMail
from railgun.runtime.room_settings import change, coming, holding
from railgun.runtime.room_views import MemberView, Message, Receipt, SettingsView, Typing
from railgun.types import DeviceKey, MessageId, RoomId, ServiceMode, SizeClass
from railgun.wire.content import Content, ReactionContent, ReplyContent, TextContent, TypingContent
from railgun.wire.invites import Invite, format_invite
from railgun.wire.roster import SECONDS_PER_DAY

if TYPE_CHECKING:
    from railgun.runtime.peer import Peer

SEND_SECONDS = 30.0
INVITE_USES = 1
INVITE_SECONDS = 7 * 86_400
DEVICE_PREFIX_DIGITS_MIN = 8
MESSAGE_ID_BYTES = 16


class Room:
    """One room of a `Peer`. Two of the same room are equal. All methods raise UsageError once the peer is closed, and
    what ended the peer (StoreError: the disk) once it has failed."""

    def __init__(self, peer: Peer, mail: RoomMail) -> None:
        self._peer = peer
        self._mail = mail

    def __repr__(self) -> str:
        return f"Room({self.room_id.hex()[:8]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Room) and other.room_id == self.room_id

    def __hash__(self) -> int:
        return hash(self.room_id)

    @property
    def room_id(self) -> RoomId:
        """32 bytes: the hash of the room's first roster entry."""
        return self._mail.room_id

    @property
    def name(self) -> str:
        """What its creator called it; several rooms may have one name. Raises NotMember after `leave`."""
        return self._machine.state(self._peer.wall()).name

    @property
    def mode(self) -> ServiceMode | None:
        """Through whom messages go at the moment: volunteers, volunteers and fallback relays (hybrid), or the members
        themselves (direct); None while nobody can be reached."""
        return next((view.mode for view in self._peer.status().rooms if view.room_id == self.room_id), None)

    @property
    def is_member(self) -> bool:
        """Whether this device may still send: False once it was removed."""
        return not (self._mail.is_removed or self._mail.is_closed)

    @property
    def _machine(self) -> MemberRoom:
        return self._peer.member_room(self.room_id)

    # --- saying things --------------------------------------------------------------------------

    async def send(
        self,
        content: str | Content,
        *,
        size_class: SizeClass | None = None,
        key: str | None = None,
        timeout: float = SEND_SECONDS,  # noqa: ASYNC109
    ) -> Receipt:
        """Say something; returns when a majority of the committee's seats have signed for it.

        Up to 64 sends of a room are under way at a time; more wait their turn, in the order of their calls. A message
        that is not receipted in time, or whose caller was cancelled while it was under way, is not lost: it stays in
        the outbox and goes out when it can, also after a restart.

        Args:
            content: text of at most 131,072 bytes in UTF-8, or any content of `railgun.wire.content`.
            size_class: an envelope larger than needed; by default the smallest that fits.
            key: a name of your own for this send, 1 to 64 bytes in UTF-8. A call that was cut off, be it by a crash,
                can be made again under the same key: the message goes out once, and both calls tell the same id. A
                room remembers the newest 1,024 keys.
            timeout: seconds, for the turn and the receipts.

        Raises:
            NotMember: this device is out of the room.
            UsageError: it does not fit (``size_class``), or too much waits already; it was not taken.
            DiscoveryError: no majority within ``timeout`` seconds; the message is kept and goes on by itself.
            StoreError: it could not be kept; it was not sent, and the peer has ended.
        """
        body = TextContent(content) if isinstance(content, str) else content
        if isinstance(body, TypingContent):
            raise UsageError("nobody signs for typing: use set_typing")
        named = None if key is None else _send_key(key)
        return await self._mail.send(lambda token: self._start(body, token, size_class, named), timeout)

    async def reply(self, message_id: MessageId, text: str) -> Receipt:
        """Answer a message. Raises as `send`."""
        return await self.send(self._about(ReplyContent, message_id, text))

    async def react(self, message_id: MessageId, emoji: str) -> Receipt:
        """Put an emoji on a message, at most 64 bytes in UTF-8; an empty one takes it back. Raises as `send`.

        Up to 11 bytes travel in the smallest envelope.
        """
        return await self.send(self._about(ReactionContent, message_id, emoji))

    async def set_typing(self, active: bool) -> None:
        """Let the others know that this device is writing, or has stopped. Sent once: not receipted, not kept.

        Raises:
            NotMember, UsageError, StoreError: as `send`.
        """
        self._mail.check_open()
        self._start(TypingContent(active), 0, None)

    @staticmethod
    def _about(kind: type[ReplyContent] | type[ReactionContent], message_id: MessageId, text: str) -> Content:
        if len(message_id) != MESSAGE_ID_BYTES:
            raise UsageError("a message id has 16 bytes: take it from a message")
        return kind(message_id, text)

    def _start(self, body: Content, token: int, size_class: SizeClass | None, key: bytes | None = None) -> None:
        """Hand content to the machine, and carry out what it wants."""
        machine = self._machine
        self._peer.check_usable()
        if len(machine.conversation.outbox) >= PENDING_SENDS_MAX:
            raise UsageError(f"{PENDING_SENDS_MAX} messages wait for relays already; this one was not taken")
        try:
            outcome = machine.send(body, token, self._peer.wall(), size_class, key)
        except ValueError as error:
            raise UsageError(f"this cannot be sent: {error}") from error
        self._peer.apply(machine, outcome)

    # --- files ----------------------------------------------------------------------------------

    async def send_file(self, path: str | Path, progress: Callable[[FileView], None] | None = None) -> FileView:
        """Send a file; returns when every piece of it has a majority of seats, or is in the outbox.

        It is offered as a message of kind ``file``, then sent piece by piece, one at a time and at most 1 MiB a second.
        Members who miss pieces ask for them, so leave the file where it is. After a crash or `Peer.aclose` it goes on
        with the next start; cancelling this call takes the file back.

        Args:
            path: a regular file, at most ``file_bytes_max`` of `connect` (8 MiB); 512 KiB in a room under strict cover.
            progress: called with each piece that went.

        Raises:
            UsageError: it cannot be read, is too large, changed meanwhile, or was cancelled.
            NotMember, StoreError: as `send`.
            DiscoveryError: the offer was not even taken.
        """
        return await self._peer.files.send(self._mail, Path(path), progress)

    async def offer_file(self, path: str | Path) -> MessageId:
        """Begin to send a file; it goes on by itself, also after a restart. Returns the id of the message that offers
        it, for `file` and `cancel_file`. Raises as `send_file`."""
        return await self._peer.files.offer(self._mail, Path(path))

    def files(self) -> list[FileView]:
        """Files of others that this device collects, or has, then own ones; of each the newest 64 and 32."""
        return self._peer.files.all(self.room_id)

    def file(self, message_id: MessageId) -> FileView | None:
        """How far the file that this message offers has come; None where none is known."""
        return self._peer.files.get(self.room_id, message_id)

    async def save_file(self, message_id: MessageId, directory: str | Path = ".") -> Path:
        """Write a file that is ``ready`` into ``directory``, and forget its pieces.

        Its name is its author's without paths, control characters and what file systems refuse, with a number where
        there is one of that name: nothing is overwritten. Its hash is checked before it appears.

        Raises:
            UsageError: it is not ready, or the directory refuses.
            CryptoError: what came is not what was offered; nothing is saved, and the file is ``false`` from now on.
            StoreError: the disk of the profile.
        """
        return await self._peer.files.save(self.room_id, message_id, Path(directory))

    def cancel_file(self, message_id: MessageId) -> None:
        """Send no more of an own file, and take it back from the others; or collect no more of somebody else's.

        Raises:
            UsageError: there is no such file, or it is saved.
            StoreError: the disk.
        """
        self._peer.files.cancel(self.room_id, message_id)

    def collect_file(self, message_id: MessageId) -> None:
        """Collect a file after all that was ``declined``, or ask for one again that stopped coming.

        Raises:
            UsageError: it is not to be had any more, or there is no room for it.
            StoreError: the disk.
        """
        self._peer.files.collect(self.room_id, message_id)

    # --- hearing things -------------------------------------------------------------------------

    def messages(self) -> MessageReader:
        """What others say, from the first message not yet acknowledged on, as an async iterator.

        A message counts as acknowledged when the next one is asked for: one that a crash, an exception or a ``break``
        cut off comes again with the next reader; no other ever does. Waiting may be cancelled and taken up again. It
        ends when the peer is closed or this device was removed. One reader a room: a newer one takes over.

        Raises, while iterated:
            UsageError: a newer reader has taken over.
            StoreError: the disk.
        """
        return MessageReader(self._mail)

    def follow(self) -> MessageFollower:
        """What is said from now on, by others and from here, as an async iterator beside the reader of `messages`.

        It acknowledges nothing, and any number of them may follow a room. It ends as `messages` does.

        Raises, while iterated:
            StoreError: the disk.
        """
        return MessageFollower(self._mail)

    def history(self, limit: int = 100, before: MessageId | None = None) -> list[Message]:
        """The newest ``limit`` messages (1 to 500) that this device has, own ones too, oldest first; with ``before``
        those that arrived before that message.

        Raises:
            UsageError: ``limit`` is less than 1, or ``before`` is not here.
            StoreError: the disk.
        """
        return self._mail.history(min(limit, HISTORY_PAGE_MAX), before)

    @property
    def missing(self) -> tuple[MessageId, ...]:
        """Messages that others name, that are not here, and that no member has brought so far: gaps in the history. One
        that comes later is a message like any other. Raises NotMember after `leave`."""
        return self._machine.gaps.gaps.missing

    async def typing(self) -> Typing:
        """The next member that begins or stops typing; the latest 64 wait to be asked for.

        Raises:
            NotMember: this device is out.
        """
        return await self._mail.next_typing()

    # --- members --------------------------------------------------------------------------------

    def members(self) -> list[MemberView]:
        """All members' devices, by key. Raises NotMember after `leave`."""
        own = self._peer.identity.device_key
        found = self._machine.state(self._peer.wall()).members
        verified = self._peer.people.verified({member.root for member in found})
        return [
            MemberView(
                device_key=member.device,
                root_key=member.root,
                name=self._mail.name_of(member.device),
                is_admin=member.is_admin,
                is_self=member.device == own,
                is_verified=member.root in verified,
            )
            for member in found
        ]

    def invite(self, uses: int = INVITE_USES, expires_in_seconds: float = INVITE_SECONDS) -> str:
        """A link that lets ``uses`` people in within ``expires_in_seconds``. Whoever has it can use it: send it safely.

        Raises:
            NotMember: this device may not invite.
            UsageError: a number is out of range.
            StoreError: the disk.
        """
        self._mail.check_open()
        self._peer.check_usable()
        wall = self._peer.wall()
        machine = self._machine
        contacts = self._peer.known_contacts()[:INVITE_CONTACTS_MAX]
        if not math.isfinite(expires_in_seconds):
            raise UsageError("an invite needs an expiry")
        try:
            made, outcome = machine.invite(uses, int(wall + expires_in_seconds), wall)
        except ValueError as error:
            raise UsageError(f"an invite cannot be made so: {error}") from error
        self._peer.apply(machine, outcome)
        servers = fit_for_invites(self._peer.rendezvous.configured, is_lan=self._peer.network.is_lan)
        named = tuple(servers[:INVITE_RENDEZVOUS_MAX])
        return format_invite(Invite(self._peer.network_id, self.room_id, made.seed, contacts, named))

    @property
    def settings(self) -> SettingsView:
        """What the room's admins have set, as it holds today. Raises NotMember after `leave`."""
        wall = self._peer.wall()
        return holding(self._machine.state(wall), int(wall) // SECONDS_PER_DAY)

    @property
    def next_settings(self) -> SettingsView | None:
        """Other settings that hold from a later day, if an admin has set any. Raises NotMember after `leave`."""
        wall = self._peer.wall()
        return coming(self._machine.state(wall), int(wall) // SECONDS_PER_DAY)

    async def change_settings(
        self, *, cover: str | None = None, committee_size: int | None = None, from_day: int | None = None
    ) -> SettingsView:
        """Change what holds for all members, from a UTC day on; what is not given stays as it is.

        Args:
            cover: ``off``, ``steady`` or ``strict``.
            committee_size: K, 3 to 7.
            from_day: counted from 1970, tomorrow at the earliest; None for tomorrow, or in a day's last hour the day
                after. An epoch keeps the settings of the day that it starts on.

        Returns what holds from that day.

        Raises:
            NotMember: this device is no admin of the room.
            UsageError: a value is out of range, nothing is to change, or another admin's settings for that day count.
            StoreError: the disk.
        """
        self._mail.check_open()
        self._peer.check_usable()
        machine, wall = self._machine, self._peer.wall()
        made, outcome = change(
            machine,
            self._peer.identity.device_key,
            wall,
            committee_size=committee_size,
            cover=cover,
            from_day=from_day,
        )
        self._peer.apply(machine, outcome)
        if cover not in (None, made.cover) or committee_size not in (None, made.committee_size):
            raise UsageError(
                f"an admin nearer to the room's creator has set something else from {made.date}, and that counts: "
                "name another day"
            )
        return made

    async def remove(self, device: DeviceKey | str) -> None:
        """Remove a member's device for good. ``device``: its key, or 8 or more hexadecimal digits that begin it:
        fewer, anybody could make a key to fit.

        Raises:
            NotMember: this device may not remove, or there is no such member, or several fit.
            UsageError: it is this device's own key (`leave` is for that), or too few digits.
            StoreError: the disk.
        """
        self._mail.check_open()
        self._peer.check_usable()
        machine = self._machine
        if isinstance(device, str) and len(device) < DEVICE_PREFIX_DIGITS_MIN:
            raise UsageError(f"name the device by at least {DEVICE_PREFIX_DIGITS_MIN} digits of its key")
        found = [
            member.device
            for member in machine.state(self._peer.wall()).members
            if (member.device.hex().startswith(device.lower()) if isinstance(device, str) else member.device == device)
        ]
        if len(found) != 1:
            raise NotMember(f"{len(found)} members fit; `railgun room members` shows them")
        if found[0] == self._peer.identity.device_key:
            raise UsageError("this is your own device: leave the room instead")
        self._peer.apply(machine, machine.remove(found, self._peer.wall()))

    async def leave(self) -> None:
        """Tell the others, for up to 5 s, and erase all that this device keeps of the room.

        A device that has left stays out: it cannot be invited again.

        Raises:
            NotMember: it was left already.
            StoreError: the disk.
        """
        await self._peer.leave(self.room_id)


def _send_key(key: str) -> bytes:
    try:
        named = key.encode()
    except UnicodeEncodeError:  # a command line that is not UTF-8
        named = b""
    if not 1 <= len(named) <= SEND_KEY_BYTES_MAX:
        raise UsageError(f"a send's key has 1 to {SEND_KEY_BYTES_MAX} bytes in UTF-8")
    return named


__all__ = ["MemberView", "Message", "Receipt", "Room", "Typing"]
