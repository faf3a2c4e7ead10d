"""What comes and goes of one room, between the driver and the application.

Owns: sends that wait for receipts and how many may, the one reader and what it has taken over, who is typing, and how
all of them end. Must not know: machines' insides, links, commands.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from time import monotonic

from railgun.core.conversation import read_message
from railgun.core.effects import Notification
from railgun.core.room_notifications import MessagePrepared, MessageReceipted, MessageReceived, RemovedFromRoom
from railgun.errors import DiscoveryError, MalformedInput, NotMember, RailGunError, StoreError, UsageError
from railgun.limits import HISTORY_PAGE_MAX, TYPING_QUEUE_MAX
from railgun.runtime.room_views import Message, Receipt, Typing, short_name, view_message
from railgun.storage.message_log import MessageLog, StoredMessage
from railgun.types import DeviceKey, MessageId, RoomId
from railgun.wire.content import TypingContent

SENDS_IN_FLIGHT_MAX = 64
"""Sends of a room that wait for receipts at a time; further calls wait their turn, in order."""
READ_AHEAD = 32
"""Messages read from the disk at a time."""

OUT = "this device is no longer a member of the room"


Names = Callable[[], Mapping[DeviceKey, str]]
Missing = Callable[[], Collection[MessageId]]


def _none_missing() -> Collection[MessageId]:
    return ()


@dataclass(slots=True)
class _Sending:
    began_at: float
    settled: asyncio.Future[tuple[MessageId, int, int]]
    message_id: MessageId | None = None
    waits_for: set[MessageId] = field(default_factory=set)
    least: tuple[int, int] | None = None

    def fail(self, error: RailGunError) -> None:
        if not self.settled.done():
            self.settled.set_exception(error)
            self.settled.exception()  # whoever waited may be gone


class RoomMail:
    """One room's. Made by `Peer`; it ends by `close`, or for sends and readers by the removal of this device."""

    def __init__(
        self, room_id: RoomId, message_log: MessageLog, own: DeviceKey, names: Names, missing: Missing = _none_missing
    ) -> None:
        """``names``: how the room's devices are shown, ``missing``: the ids of its gaps; both as of each call."""
        self.room_id = room_id
        self.own = own
        self._names = names
        self._missing = missing
        self._log = message_log
        self._arrived = asyncio.Event()
        self._settled_some = asyncio.Event()
        self._typing = asyncio.Event()
        self._typing_queue: deque[Typing] = deque(maxlen=TYPING_QUEUE_MAX)
        self._slots = asyncio.Semaphore(SENDS_IN_FLIGHT_MAX)
        self._sending: dict[int, _Sending] = {}
        self._by_part: dict[MessageId, _Sending] = {}
        self._token = 0
        self._end: RailGunError | None = None
        self._reader: MessageReader | None = None
        self.is_closed = False
        self.is_removed = False

    def name_of(self, device: DeviceKey) -> str:
        """How to show a device."""
        return self._names().get(device) or short_name(device)

    # --- from the driver ------------------------------------------------------------------------

    def notified(self, notification: Notification) -> None:
        """A notification of this room."""
        match notification:
            case MessageReceived(_, message):
                if isinstance(message.content, TypingContent):
                    name = self.name_of(message.author)
                    self._typing_queue.append(Typing(message.author, name, message.content.active))
                    self._typing.set()
                else:
                    self._arrived.set()
            case MessagePrepared(_, token, message_id, parts):
                self._prepared(token, message_id, parts)
                if parts:
                    self._arrived.set()  # whoever follows sees own messages too
            case MessageReceipted(_, part, receipts, of, majority, _):
                self._settled_some.set()
                if majority:
                    self._receipted(part, receipts, of)
            case RemovedFromRoom():
                self.removed()
            case _:
                pass

    def _prepared(self, token: int, message_id: MessageId, parts: tuple[MessageId, ...]) -> None:
        sending = self._sending.get(token)
        if sending is not None:
            sending.message_id = message_id
            sending.waits_for = set(parts)
            for part in parts:
                self._by_part[part] = sending

    def _receipted(self, part: MessageId, receipts: int, of: int) -> None:
        sending = self._by_part.pop(part, None)
        if sending is None or sending.message_id is None:
            return
        sending.waits_for.discard(part)
        sending.least = min(sending.least or (receipts, of), (receipts, of))
        if not sending.waits_for and not sending.settled.done():
            sending.settled.set_result((sending.message_id, *sending.least))

    def removed(self) -> None:
        """This device is out: nothing more goes, and what has come can still be read."""
        self.is_removed = True
        self._wake(NotMember(OUT))

    def close(self, error: RailGunError | None = None) -> None:
        """Nothing more will come or go, because of ``error`` or because the application said so. Idempotent."""
        if not self.is_closed:
            self.is_closed = True
            self._end = error
            self._wake(error or UsageError("this was closed meanwhile; what was to be sent is kept, and goes on later"))

    def _wake(self, error: RailGunError) -> None:
        for event in (self._arrived, self._settled_some, self._typing):
            event.set()
        for sending in self._sending.values():
            sending.fail(error)

    def check_open(self) -> None:
        """Raises NotMember, UsageError, or what ended the peer."""
        if self._end is not None:
            raise self._end
        if self.is_closed:
            raise UsageError("this room or its peer is closed")
        if self.is_removed:
            raise NotMember(OUT)

    # --- sending --------------------------------------------------------------------------------

    async def send(self, start: Callable[[int], None], timeout: float) -> Receipt:  # noqa: ASYNC109
        """Let ``start(token)`` hand a message to the room's machine, and wait for its receipts; see `Room.send`."""
        sending: _Sending | None = None
        token = 0
        try:
            async with asyncio.timeout(timeout), self._slots:
                self.check_open()
                began_at = monotonic()
                self._token += 1
                token = self._token
                settled = asyncio.get_running_loop().create_future()
                sending = self._sending[token] = _Sending(began_at, settled)
                start(token)
                message_id, receipts, of = await settled
        except TimeoutError:
            if sending is None:
                raise UsageError("too many messages are under way; this one was not taken, try again later") from None
            raise DiscoveryError(
                f"no majority of relays has signed for the message within {timeout:g} s; it is kept and goes on"
            ) from None
        finally:
            self._forget(token)
        return Receipt(message_id, receipts, of, 1000 * (monotonic() - began_at))

    def _forget(self, token: int) -> None:
        sending = self._sending.pop(token, None)
        if sending is not None:
            for part in sending.waits_for:
                self._by_part.pop(part, None)

    async def wait_settled(self, waiting: Callable[[], int], seconds: float) -> None:
        """Until ``waiting()`` messages are none, the room is closed, or ``seconds`` are over."""
        try:
            async with asyncio.timeout(seconds):
                while waiting() and not self.is_closed:
                    self._settled_some.clear()
                    await self._settled_some.wait()
        except TimeoutError:
            return

    # --- reading --------------------------------------------------------------------------------

    async def next_typing(self) -> Typing:
        """See `Room.typing`."""
        while not self._typing_queue:
            self.check_open()
            self._typing.clear()
            await self._typing.wait()
        return self._typing_queue.popleft()

    def history(self, limit: int, before: MessageId | None) -> list[Message]:
        """See `Room.history`."""
        if self._end is not None or self.is_closed:
            self.check_open()
        place = None
        if before is not None:
            found = self._log.find(self.room_id, before)
            if found is None:
                raise UsageError("there is no such message here to read on from")
            place = found.arrival
        rows = self._log.page(self.room_id, before=place, limit=min(limit, HISTORY_PAGE_MAX))
        return [self.view(row) for row in reversed(rows)]

    def view(self, row: StoredMessage) -> Message:
        """A row as the application sees it. Raises StoreError where it is damaged."""
        try:
            message = read_message(row.message_id, row.value)
        except MalformedInput as error:
            raise StoreError("a message is damaged: restore the profile from a backup") from error
        is_own = message.author == self.own
        return view_message(message, self.name_of(message.author), is_own=is_own, missing=self._missing())

    def take_over(self, reader: MessageReader) -> None:
        """From now on ``reader`` is the one."""
        if self._reader is not reader:
            self._reader = reader
            self._arrived.set()

    async def wait_for_mail(self, reader: MessageReader) -> None:
        """Until something may be there for ``reader``. Raises UsageError once it is not the reader any more."""
        self._arrived.clear()
        await self._arrived.wait()
        if self._reader is not reader:
            self._arrived.set()
            self.check_reader(reader)

    def check_reader(self, reader: MessageReader | None) -> None:
        """Raises UsageError where another reader took over (None: there need be none), and what ended the peer."""
        if self._end is not None:
            raise self._end
        if reader is not None and self._reader is not reader:
            raise UsageError("another reader has taken over this room's messages; have one reader a room")

    def unread(self, after: int) -> list[StoredMessage]:
        """The next rows that nobody has acknowledged. Raises StoreError."""
        return self._log.undelivered(self.room_id, after=after, limit=READ_AHEAD)

    def newest_arrival(self) -> int:
        """The arrival number of the newest message that is here; 0 for none. Raises StoreError."""
        rows = self._log.page(self.room_id, limit=1)
        return rows[0].arrival if rows else 0

    def arrived_after(self, after: int) -> list[StoredMessage]:
        """The next rows after an arrival number, whoever has read them. Raises StoreError."""
        return self._log.arrived_after(self.room_id, after, limit=READ_AHEAD)

    async def wait_arrival(self) -> None:
        """Until something may have come, or ended. Call with no other await since `arrived_after` was empty."""
        self._arrived.clear()
        await self._arrived.wait()

    def acknowledge(self, message_ids: list[MessageId]) -> None:
        """The application has taken these over. Raises StoreError."""
        self._log.acknowledge(self.room_id, message_ids)


class MessageReader:
    """The async iterator that `Room.messages` returns.

    Waiting for the next message may be cancelled (``asyncio.timeout``) and taken up again.
    """

    def __init__(self, mail: RoomMail) -> None:
        self._mail = mail
        self._rows: deque[StoredMessage] = deque()
        self._taken: list[MessageId] = []
        self._last_arrival = 0
        self._is_waiting = False
        self._began = False

    def __aiter__(self) -> MessageReader:
        return self

    async def __anext__(self) -> Message:
        if self._is_waiting:
            raise UsageError("this reader is waiting already; have one reader a room")
        if not self._began:
            self._began = True
            self._mail.take_over(self)
        self._is_waiting = True
        try:
            return await self._next()
        finally:
            self._is_waiting = False

    async def _next(self) -> Message:
        mail = self._mail
        while True:
            mail.check_reader(self)
            if mail.is_closed:
                raise StopAsyncIteration
            self._acknowledge()
            message = self._from_disk()
            if message is not None:
                return message
            if mail.is_removed:
                raise StopAsyncIteration
            await mail.wait_for_mail(self)

    def _from_disk(self) -> Message | None:
        while True:
            if not self._rows:
                self._acknowledge()
                self._rows.extend(self._mail.unread(self._last_arrival))
            if not self._rows:
                return None
            message = self._mail.view(self._rows[0])
            row = self._rows.popleft()
            self._last_arrival = row.arrival
            self._taken.append(row.message_id)
            if not message.is_own:
                return message

    def _acknowledge(self) -> None:
        if self._taken:
            self._mail.acknowledge(self._taken)
            self._taken = []
