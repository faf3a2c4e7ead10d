"""A virtual disk's messages, as a member's machine reads them.

Owns: the reading. Must not know: what messages say. Rows of a table stand in the order
in which they were first written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from railgun.types import MessageId, RoomId

MESSAGES: Final = "messages"


class DiskArchive:
    """Implements `railgun.ports.MessageArchive` over the tables that ``disk`` returns at each call."""

    def __init__(self, disk: Callable[[], Mapping[str, Mapping[bytes, bytes]]]) -> None:
        self._disk = disk

    def find(self, room_id: RoomId, message_id: MessageId) -> bytes | None:
        """See `MessageArchive`."""
        return self._rows().get(room_id + message_id)

    def newest(self, room_id: RoomId, count: int, before: MessageId | None = None) -> Sequence[MessageId]:
        """See `MessageArchive`."""
        rows = self._rows()
        if before is not None and room_id + before not in rows:
            return ()
        keys = [key for key in rows if key.startswith(room_id)]
        end = len(keys) if before is None else keys.index(room_id + before)
        return [MessageId(key[len(room_id) :]) for key in islice(reversed(keys[:end]), count)]

    def _rows(self) -> Mapping[bytes, bytes]:
        return self._disk().get(MESSAGES, {})
