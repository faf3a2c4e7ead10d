"""Following what comes to a room beside whoever takes it over.

Owns: where each follower is. Must not know: who reads, what has been acknowledged.
"""

from __future__ import annotations

from collections import deque

from railgun.runtime.room_mail import RoomMail
from railgun.runtime.room_views import Message
from railgun.storage.message_log import StoredMessage


class MessageFollower:
    """The async iterator that `Room.follow` returns: sees what comes, and takes nothing over."""

    def __init__(self, mail: RoomMail) -> None:
        self._mail = mail
        self._after = mail.newest_arrival()
        self._rows: deque[StoredMessage] = deque()

    def __aiter__(self) -> MessageFollower:
        return self

    async def __anext__(self) -> Message:
        mail = self._mail
        while True:
            if mail.is_closed:
                mail.check_reader(None)
                raise StopAsyncIteration
            if not self._rows:
                self._rows.extend(mail.arrived_after(self._after))
            if self._rows:
                row = self._rows.popleft()
                self._after = row.arrival
                return mail.view(row)
            if mail.is_removed:
                raise StopAsyncIteration
            await mail.wait_arrival()
