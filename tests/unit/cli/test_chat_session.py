"""A chat's tasks and its end, with a room that does as it is told: no relay, no clock, no terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytest

from railgun.cli.chat.model import Delivery, Entry, Heard
from railgun.cli.chat.session import OUT, SENDS_MAX, Session
from railgun.errors import DiscoveryError, NotMember, StoreError, UsageError
from railgun.runtime.file_views import FileView
from railgun.runtime.peer import Peer
from railgun.runtime.room import Room
from railgun.runtime.room_views import MemberView, Message, Receipt, Typing
from railgun.types import Address, DeviceKey, MessageId, NetworkId, NodeKey, RelayContact, RoomId, RootKey
from railgun.wire.content import DeleteContent, EditContent, TextContent
from railgun.wire.invites import Invite, format_invite

ADA, BOB = DeviceKey(b"a" * 32), DeviceKey(b"b" * 32)
Script = Callable[[Session], Awaitable[None]]
RELAYS = tuple(RelayContact(NodeKey(bytes([n]) * 32), (Address("192.0.2.1", n),), bytes(32)) for n in (1, 2, 3))
LINK = format_invite(Invite(NetworkId(bytes(32)), RoomId(bytes(32)), bytes(32), RELAYS))


def said(number: int, kind: str = "text") -> Message:
    message_id = MessageId(bytes([number]) * 16)
    return Message(message_id, BOB, "Bob", kind, str(number), None, 1_000, False, TextContent(str(number)))


class FakeRoom:
    """Stands for peer and room. ``answer``: what a send ends in; ``gate`` keeps sends under way."""

    name = "ops"
    room_id = b"r" * 32

    def __init__(self) -> None:
        self.answer: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.coming: asyncio.Queue[Message | None] = asyncio.Queue()
        self.followed: asyncio.Queue[Message] = asyncio.Queue()
        self.known_file: FileView | None = None
        self.asked: list[tuple[Any, ...]] = []

    def members(self) -> list[MemberView]:
        return [MemberView(ADA, RootKey(ADA), "Ada", True, True)]

    def history(self, limit: int) -> list[Message]:
        return [said(number) for number in range(1, 4)][-limit:]

    async def messages(self) -> AsyncIterator[Message]:
        while (message := await self.coming.get()) is not None:
            yield message

    async def follow(self) -> AsyncIterator[Message]:
        while True:
            yield await self.followed.get()

    def file(self, message_id: MessageId) -> FileView | None:
        return self.known_file

    async def typing(self) -> Typing:
        nobody: asyncio.Future[Typing] = asyncio.get_running_loop().create_future()
        return await nobody

    async def send(self, *asked: Any) -> Receipt:
        self.asked.append(asked)
        await self.gate.wait()
        if self.answer is not None:
            raise self.answer
        return Receipt(MessageId(bytes([99 + len(self.asked)]) * 16), 2, 3, 1.0)

    reply = react = send

    async def set_typing(self, active: bool) -> None:
        self.asked.append((active,))

    def invite(self, uses: int) -> str:
        raise NotMember(f"only admins invite {uses}")

    async def wait(self) -> None:
        await self.failed

    def wall(self) -> float:
        return 1_000.0


class FakeSurface:
    """Runs a script and gathers what is shown."""

    def __init__(self, script: Script) -> None:
        self.grace_seconds: float | None = None
        self._script = script
        self.window = (79, 19)
        self.shown: list[str] = []
        self.last: list[str] = []

    def taking_notes(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def run(self, session: Session) -> None:
        await self._script(session)

    def heard(self, heard: Heard) -> None:
        self.shown.append(f"{heard.change.value} {heard.entry.number} {heard.emoji or heard.entry.text}")

    def marked(self, entry: Entry) -> None:
        self.shown.append(f"{entry.delivery.value} {entry.number}")

    def typing(self, name: str) -> None:
        self.shown.append(f"typing {name}")

    def show(self, title: str, lines: Sequence[str]) -> None:
        self.shown.append(f"{title}: {len(lines)} lines")
        self.last = list(lines)

    def moved(self, entry: Entry) -> None:
        self.shown.append(f"moved {entry.number}")

    def has_room(self, columns: int, rows: int) -> bool:
        return columns <= self.window[0] and rows <= self.window[1]

    def tell(self, text: str) -> None:
        self.shown.append(text)


def chat(room: FakeRoom, script: Script) -> tuple[Session, FakeSurface]:
    surface = FakeSurface(script)
    return Session(cast("Peer", room), cast("Room", room), surface), surface


def typing_lines(*lines: str) -> Script:
    async def script(session: Session) -> None:
        for line in lines:
            if not await session.typed(line):
                return

    return script


async def forever(_: Session) -> None:
    await asyncio.get_running_loop().create_future()


async def test_what_is_typed_is_done_and_what_is_under_way_is_awaited() -> None:
    room = FakeRoom()
    session, surface = chat(room, typing_lines("hello", "/reply 2 yes", "/react 3 +", "/invite", "/quit", "never"))
    await session.run(2)
    assert surface.shown[:2] == ["said 1 2", "said 2 3"]
    assert room.asked == [("hello",), (said(3).message_id, "yes")]
    assert "message 3 is not sent yet" in surface.shown
    assert "only admins invite 1" in surface.shown
    assert [line for line in surface.shown if line.endswith(" 4")] == ["under way 4", "signed 4"]
    assert "signed 3" in surface.shown
    assert (session.sent, session.received) == (2, 0)


@pytest.mark.parametrize(
    ("error", "delivery"),
    [(DiscoveryError("late"), Delivery.KEPT), (UsageError("too much"), Delivery.REFUSED)],
)
async def test_what_does_not_arrive_is_marked(error: Exception, delivery: Delivery) -> None:
    room = FakeRoom()
    room.answer = error
    session, surface = chat(room, typing_lines("hello"))
    await session.run(0)
    assert surface.shown == ["under way 1", f"{delivery.value} 1"]
    assert session.sent == 0


def own(number: int, kind: str, text: str, target: MessageId | None = None) -> Message:
    message_id = MessageId(bytes([number]) * 16)
    return Message(message_id, ADA, "Ada", kind, text, target, 1_000, True, TextContent(text))


async def until(shown: list[str], line: str) -> None:
    for _ in range(100):
        await asyncio.sleep(0)
        if line in shown:
            return
    raise AssertionError(f"{line!r} never came: {shown}")


async def test_what_another_command_says_is_shown_at_once() -> None:
    room = FakeRoom()
    room.gate.clear()

    async def script(session: Session) -> None:
        await session.typed("mine")
        await until(surface.shown, "under way 1")
        # What this chat has under way is not shown twice, and can be named before its receipts.
        room.followed.put_nowait(own(60, "text", "mine"))
        room.followed.put_nowait(own(61, "text", "from a script"))
        room.followed.put_nowait(said(9))
        await until(surface.shown, "said 2 from a script")
        assert session.model.entry(1).message_id == own(60, "text", "mine").message_id

    session, surface = chat(room, script)
    surface.grace_seconds = 0
    await session.run(0)
    assert surface.shown == ["under way 1", "said 2 from a script"]
    assert session.received == 0, "own messages are not received; others' come by the reader alone"


async def test_own_messages_are_edited_and_deleted_and_nobody_elses() -> None:
    room = FakeRoom()

    async def script(session: Session) -> None:
        room.followed.put_nowait(own(60, "text", "mien"))
        await until(surface.shown, "said 2 mien")
        for line in ("/edit 1 theirs", "/delete 1", "/edit 2 mine", "/delete 7"):
            await session.typed(line)
        about = own(60, "text", "").message_id
        await session.typed("/delete 2")
        room.followed.put_nowait(own(61, "edit", "mine", about))
        room.followed.put_nowait(own(62, "delete", "", about))
        await until(surface.shown, "deleted 2 ")
        await session.typed("/edit 2 again")

    session, surface = chat(room, script)
    await session.run(1)
    about = own(60, "text", "").message_id
    assert room.asked == [(EditContent(about, "mine"),), (DeleteContent(about),)]
    assert surface.shown.count("message 1 is somebody else's: only its author edits or deletes it") == 2
    assert "edited 2 mine" in surface.shown
    assert surface.shown[-1] == "message 2 is deleted already"


async def test_a_file_is_known_when_it_is_first_shown() -> None:
    room = FakeRoom()
    message_id = said(7).message_id
    room.known_file = FileView(message_id, "plan.pdf", 10, 0, "coming", False)
    session, surface = chat(room, forever)
    room.coming.put_nowait(said(7, "file"))
    room.coming.put_nowait(None)
    await session.run(0)
    assert session.model.entry(1).file == room.known_file
    assert surface.shown[0] == "said 1 7"


async def test_a_full_disk_ends_the_chat() -> None:
    room = FakeRoom()
    session, _ = chat(room, forever)
    room.failed.set_exception(StoreError("the disk is full"))
    with pytest.raises(StoreError, match="disk is full"):
        await session.run(0)


async def test_who_is_removed_sees_what_came_before_and_leaves() -> None:
    room = FakeRoom()
    session, surface = chat(room, forever)
    for message in (said(3), said(7), None):
        room.coming.put_nowait(message)
    await session.run(3)
    assert surface.shown[3:] == ["said 4 7"], "what the history showed is not shown again"
    assert (session.ending, session.received) == (OUT, 1)


async def test_so_many_sends_are_under_way_and_no_more() -> None:
    room = FakeRoom()
    room.gate.clear()

    async def script(session: Session) -> None:
        for number in range(SENDS_MAX):
            await session.typed(str(number))
        one_more = asyncio.ensure_future(session.typed("one more"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not one_more.done()
        assert len(room.asked) == SENDS_MAX
        room.gate.set()
        assert await one_more

    session, _ = chat(room, script)
    await session.run(0)
    assert session.sent == SENDS_MAX + 1


async def test_the_others_hear_of_typing_no_more_than_they_need() -> None:
    room = FakeRoom()

    async def script(session: Session) -> None:
        for active in (False, True, True, True, False, False):
            await session.is_typing(active)

    session, _ = chat(room, script)
    await session.run(0)
    assert room.asked == [(True,), (False,)]


async def test_a_surface_need_not_wait_for_what_is_kept() -> None:
    room = FakeRoom()
    room.gate.clear()
    session, surface = chat(room, typing_lines("hello"))
    surface.grace_seconds = 0
    await session.run(0)
    assert (session.sent, surface.shown[-1]) == (0, "under way 1")


@pytest.mark.parametrize(
    ("window", "lines"), [((80, 19), 0), ((60, 50), 0), ((61, 31), 31), ((72, 40), 31), ((73, 37), 37)]
)
async def test_an_invite_has_the_code_that_the_window_has_room_for(window: tuple[int, int], lines: int) -> None:
    async def script(session: Session) -> None:
        surface.window = window
        session._show_invite(1)

    class Inviting(FakeRoom):
        def invite(self, uses: int) -> str:
            return LINK

    room = Inviting()
    session, surface = chat(room, script)
    await session.run(0)
    assert sum("\u2588" in line for line in surface.last) == lines
    assert LINK in surface.last
    if not lines:
        assert "needs 61 columns and 36 lines" in surface.last[3]
        assert [line.partition(" --")[2] for line in surface.last[4:]] == ["qr", "qr-file invite.png"]
