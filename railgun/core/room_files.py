"""The files of one room: those that others offer, and this device's own.

Owns: which of the two something is about. Must not know: disks, deadlines other than its own, how anything travels.
Spec: docs/spec/files.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from railgun.core.conversation import Message
from railgun.core.file_table import TABLE
from railgun.core.incoming_files import STATE_KEY, IncomingFiles
from railgun.core.outgoing_files import OWN_KEY, OutgoingFiles
from railgun.core.room_notifications import FileChanged, MessagePrepared
from railgun.core.room_port import RoomOutcome
from railgun.core.room_telling import RoomTelling
from railgun.errors import UsageError
from railgun.limits import FILE_STRICT_BYTES_MAX
from railgun.types import MessageId
from railgun.wire.content import DeleteContent, FileOfferContent
from railgun.wire.file_content import FilePartContent, FileWantContent
from railgun.wire.roster import Cover

FILES: Final = TABLE
INCOMING_KEY: Final = STATE_KEY
OUTGOING_KEY: Final = OWN_KEY
"""What follows the room's id in the keys of rows to load."""


class RoomFiles:
    """Part of a `railgun.core.room.MemberRoom`."""

    def __init__(self, telling: RoomTelling) -> None:
        room, tools = telling.roster.room, telling.tools
        self._telling = telling
        self.bytes_max = tools.file_bytes_max
        self.incoming = IncomingFiles(room, tools.me.device, tools.file_bytes_max)
        self.outgoing = OutgoingFiles(room)

    def load(
        self, incoming: Iterable[tuple[bytes, bytes]], outgoing: Iterable[tuple[bytes, bytes]], now: float
    ) -> None:
        """Fill empty machines from their rows. Raises MalformedInput, ValueError: a row is damaged."""
        self.incoming.load(incoming, now)
        self.outgoing.load(outgoing)

    def is_strict(self, wall: float) -> bool:
        """Whether every envelope of the room has 4096 bytes and waits for its tick."""
        return self._telling.state(wall).settings.cover is Cover.STRICT

    def offer(
        self, content: FileOfferContent, path: bytes, changed_microseconds: int, token: int, wall: float
    ) -> tuple[MessageId, RoomOutcome]:
        """Offer an own file, and remember where it is.

        Raises:
            NotMember: this device is out.
            UsageError: it is too large, or the room cannot be sent to just now.
            ValueError: a field does not fit.
        """
        most = min(self.bytes_max, FILE_STRICT_BYTES_MAX) if self.is_strict(wall) else self.bytes_max
        if content.size_bytes > most:
            why = "in a room under strict cover" if most < self.bytes_max else "(files.bytes_max)"
            raise UsageError(f"the file has {content.size_bytes} bytes, at most {most} can be sent {why}")
        if self._telling.sending(self._telling.state(wall), wall) is None:
            raise UsageError("the room waits for new keys just now: try again in a moment")
        outcome = self._telling.send(content, token, wall)
        file = next(told.message_id for told in outcome.notifications if isinstance(told, MessagePrepared))
        outcome.writes += self.outgoing.begin(file, path, content.name, content.size_bytes, changed_microseconds)
        return file, outcome

    def heard(self, message: Message, now: float) -> RoomOutcome:
        """What a member said, as far as files go."""
        author, content, outcome = message.author, message.content, RoomOutcome()
        file: MessageId | None = None
        match content:
            case FileOfferContent():
                file = message.message_id
                outcome.writes += self.incoming.offered(file, author, content, now)
            case FilePartContent():
                file = content.file
                outcome.writes += self.incoming.part(author, content, now)
            case DeleteContent():
                file = content.target
                outcome.writes += self.incoming.withdrawn(author, file)
            case FileWantContent():
                file = content.file
                outcome.writes += self.outgoing.wanted(content)
        if not isinstance(content, FilePartContent):
            self.incoming.heard(author, now)
        if file is not None and outcome.writes:
            outcome.notifications.append(FileChanged(self._telling.roster.room, file))
        return outcome

    def next_due(self) -> float | None:
        """Monotonic second at which `due` has something to say."""
        return self.incoming.next_ask_at()

    def due(self, now: float, wall: float) -> RoomOutcome:
        """Ask for what did not come."""
        outcome = RoomOutcome()
        if self._telling.state(wall).member(self._telling.tools.me.device) is not None:
            for want in self.incoming.asks_due(now):
                outcome.add(self._telling.send(want, 0, wall))
        outcome.notifications.clear()  # the application asked for none of this
        return outcome
