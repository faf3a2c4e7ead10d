"""A room tied to a surface: what comes is shown, what is typed is done.

Owns: the tasks of a chat and its end. Must not know: terminals, options, how a profile is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any, Final, Protocol

from railgun.cli.chat import words
from railgun.cli.chat.model import ChatModel, Entry, Heard
from railgun.cli.chat.owned_tasks import OwnedTasks, owned_tasks
from railgun.cli.chat.qr import QR_CONTACTS, invite_qr_lines
from railgun.cli.chat.texts import committee_lines, file_lines, member_lines
from railgun.cli.chat.transfers import Transfers
from railgun.cli.failures import explain
from railgun.errors import DiscoveryError, NotMember, RailGunError, StoreError, UsageError
from railgun.runtime.peer import Peer
from railgun.runtime.room import Room
from railgun.runtime.room_following import MessageFollower
from railgun.runtime.room_views import Message, Receipt
from railgun.runtime.status import RoomStatusView
from railgun.types import MessageId
from railgun.wire.content import DeleteContent, EditContent

SENDS_MAX: Final = 32
"""Sends of this chat under way; typing on waits."""
TYPING_AGAIN_SECONDS: Final = 5.0
"""How often the others hear that this device is still typing."""
OUT: Final = "This device is no longer a member of the room."


class Surface(Protocol):
    """Where a chat is shown and typed.

    ``grace_seconds``: how long its end waits for what is under way; None for as long as that takes (30 s at most).
    """

    grace_seconds: float | None

    def taking_notes(self) -> AbstractContextManager[None]:
        """While it holds, nothing that is logged spoils what is shown."""

    async def run(self, session: Session) -> None:
        """Take what is typed, until it is over."""

    def heard(self, heard: Heard) -> None:
        """Something came from the room."""

    def marked(self, entry: Entry) -> None:
        """The delivery mark of something of this device's has changed."""

    def moved(self, entry: Entry) -> None:
        """More of a file is sent, or here, or something else about it has changed."""

    def typing(self, name: str) -> None:
        """Somebody began to type, or (empty) something about who is typing has changed."""

    def show(self, title: str, lines: Sequence[str]) -> None:
        """Lines that were asked for. They are escaped already."""

    def has_room(self, columns: int, rows: int) -> bool:
        """Whether so much can be seen at once."""

    def tell(self, text: str) -> None:
        """A line about something that went wrong, or ended."""


class Session:
    """One chat, from the history to its end."""

    def __init__(self, peer: Peer, room: Room, surface: Surface) -> None:
        own = next((member for member in room.members() if member.is_self), None)
        if own is None:
            raise NotMember(OUT)
        self.model = ChatModel(own.device_key, own.name)
        self.room_name = room.name
        self.ending = ""
        self.sent = 0
        self.received = 0
        self._peer = peer
        self._room = room
        self._surface = surface
        self._transfers = Transfers(room, self.model, surface, peer.wall)
        self._tasks: OwnedTasks | None = None
        self._sends: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(SENDS_MAX)
        self._typing_until = 0.0

    def status(self) -> RoomStatusView | None:
        """The room's part of the peer's status."""
        return next((view for view in self._peer.status().rooms if view.room_id == self._room.room_id), None)

    # --- life -----------------------------------------------------------------------------------

    async def run(self, history: int) -> None:
        """Show the last ``history`` messages, then chat until the surface ends or this device is out.

        Raises StoreError, or whatever else ended the peer.
        """
        follower = self._room.follow()
        for message in self._room.history(history) if history else ():
            self._heard(message)
        async with owned_tasks() as self._tasks:
            surface = self._tasks.start(self._surface.run(self), ends_all=True)
            for work in (self._read(), self._peer.wait()):
                self._tasks.start(work, ends_all=True)
            self._tasks.start(self._hear_typing())
            self._tasks.start(self._hear_own(follower))
            self._tasks.start(self._transfers.watch())
            await self._tasks.wait()
            if surface.done() and self._sends:
                await asyncio.wait(self._sends, timeout=self._surface.grace_seconds)

    async def _read(self) -> None:
        async for message in self._room.messages():
            if self._heard(message):
                self.received += 1
        self.ending = OUT

    async def _hear_own(self, follower: MessageFollower) -> None:
        """What other commands on this profile say, and what this chat says, seen before its receipts."""
        async for message in follower:
            if message.is_own:
                self._heard(message)

    def _heard(self, message: Message) -> bool:
        """Show a message; whether it changes anything that is shown."""
        heard = self.model.heard(message)
        if heard is None:
            return False
        self._transfers.attach(heard.entry)
        self._surface.heard(heard)
        return True

    async def _hear_typing(self) -> None:
        try:
            while True:
                event = await self._room.typing()
                began = self.model.typing(event, monotonic())
                self._surface.typing(event.name if began else "")
        except NotMember:
            return  # the reader of messages tells, once it has shown the last of them

    # --- what is typed --------------------------------------------------------------------------

    async def typed(self, line: str) -> bool:
        """Do what ``line`` asks for; False once it asks to quit. What goes wrong is told. Raises StoreError."""
        try:
            asked = words.parse_words(line)
            return await self._do(asked)
        except StoreError:
            raise
        except RailGunError as error:
            self._surface.tell(explain(error))
            return True

    async def _do(self, asked: words.Words | None) -> bool:
        model, surface = self.model, self._surface
        match asked:
            case words.Quit():
                return False
            case words.Say(text):
                entry = model.saying(text, self._peer.wall())
                await self._start(self._say(entry, lambda: self._room.send(text)))
            case words.Reply(number, text):
                target = self._target(number)
                entry = model.saying(text, self._peer.wall(), target)
                await self._start(self._say(entry, lambda: self._room.reply(target, text)))
            case words.React(number, emoji):
                await self._start(self._react(model.entry(number), emoji))
            case words.Edit() | words.Delete():
                await self._start(self._correct(self._correction(asked)))
            case words.SendFile(path):
                await self._start(self._transfers.send(path))
            case words.SaveFile(number, directory):
                await self._start(self._transfers.save(self._transfers.find(number), directory))
            case words.CancelFile(number):
                self._transfers.cancel(number)
            case words.ShowFiles():
                self._transfers.look()
                surface.show("Files", file_lines([entry for entry in model.entries if entry.kind == "file"]))
            case words.Who():
                surface.show("Members", member_lines(self._room.members()))
            case words.ShowCommittee():
                view = self.status()
                surface.show("Committee", [] if view is None else committee_lines(view))
            case words.Invite(uses):
                self._show_invite(uses)
            case words.Help():
                surface.show("Help", words.HELP)
        return True

    def _show_invite(self, uses: int) -> None:
        link = self._room.invite(uses)
        for_whom = f"For {uses} of those who have it, within a week:"
        # One relay that lives is enough to find the others: better a code with one than none.
        for contacts in range(QR_CONTACTS, 0, -1):
            code = invite_qr_lines(link, contacts)
            if self._surface.has_room(len(code[0]), len(code)):
                self._surface.show("Invite", [*code, "", for_whom, link])
                return
        how = (
            f"A QR code of it needs {len(code[0])} columns and {len(code) + 5} lines: make the window larger and ask "
            "again, or let another terminal print one, or make a picture:"
        )
        command = f"railgun room invite {self._room.room_id.hex()[:8]}"
        self._surface.show("Invite", [for_whom, link, "", how, f"{command} --qr", f"{command} --qr-file invite.png"])

    def _target(self, number: int) -> MessageId:
        found = self.model.entry(number).message_id
        if found is None:
            raise UsageError(f"message {number} is not sent yet")
        return found

    def _correction(self, asked: words.Edit | words.Delete) -> EditContent | DeleteContent:
        self.model.correctable(asked.number)
        target = self._target(asked.number)
        return EditContent(target, asked.text) if isinstance(asked, words.Edit) else DeleteContent(target)

    async def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` beside what is typed next; wait while too much is under way."""
        try:
            await self._slots.acquire()
        except BaseException:  # above all a cancellation: work that never began is closed, and the error goes on up
            work.close()
            raise
        if self._tasks is None:
            raise RuntimeError("a chat does nothing before `run`")
        task = self._tasks.start(work)
        self._sends.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._sends.discard(task)

    async def _say(self, entry: Entry, send: Callable[[], Awaitable[Receipt]]) -> None:
        self._typing_until = 0.0  # what is said ends the typing at the others
        self._surface.marked(entry)
        try:
            receipt = await send()
        except DiscoveryError:
            self.model.kept(entry)
        except StoreError:
            raise
        except RailGunError as error:
            self.model.refused(entry, explain(error))
        else:
            self.sent += 1
            self.model.signed(entry, receipt)
        self._surface.marked(entry)

    async def _react(self, entry: Entry, emoji: str) -> None:
        if entry.message_id is None:
            return
        try:
            await self._room.react(entry.message_id, emoji)
        except DiscoveryError:
            self._surface.tell("No majority yet for the reaction; it is kept and going on.")
        except StoreError:
            raise
        except RailGunError as error:
            self._surface.tell(explain(error))
            return
        heard = self.model.reacted(entry, self.model.own, "you", emoji)
        if heard is not None:
            self._surface.heard(heard)

    async def _correct(self, correction: EditContent | DeleteContent) -> None:
        """Send it; it is shown as soon as it is kept, as every own message that is followed."""
        try:
            await self._room.send(correction)
        except DiscoveryError:
            self._surface.tell("No majority yet for the change; it is kept and going on.")
        except StoreError:
            raise
        except RailGunError as error:
            self._surface.tell(explain(error))

    async def is_typing(self, active: bool) -> None:
        """Let the others know, not more often than they need. Raises StoreError."""
        now = monotonic()
        if active == (now < self._typing_until):
            return
        self._typing_until = now + TYPING_AGAIN_SECONDS if active else 0.0
        try:
            await self._room.set_typing(active)
        except StoreError:
            raise
        except RailGunError as error:
            self._surface.tell(explain(error))
