"""Who is there: mailboxes that are open on this instance, and what waits for their readers.

Owns: presence on this instance, the bounded outboxes. Must not know: sockets, other instances, what a blob says.

Nothing outlives the connection that opened it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.frames import Delivery
from railgun_signaling.limits import BLOB_BYTES, IN_FLIGHT_BYTES_MAX, OUTBOX_BLOBS_MAX

BUSY_SECONDS = 2
OCCUPIED_SECONDS = 60
FULL_SECONDS = 60


class InFlight:
    """Bytes of blobs that wait for readers, over all mailboxes of the process."""

    def __init__(self, most: int = IN_FLIGHT_BYTES_MAX) -> None:
        self._most = most
        self.held_bytes = 0

    def take(self, count: int) -> bool:
        """Whether so many more may wait; they count until `release`."""
        if self.held_bytes + count > self._most:
            return False
        self.held_bytes += count
        return True

    def release(self, count: int) -> None:
        self.held_bytes -= count


class Mailbox:
    """One open mailbox. Its connection takes from it what others put in."""

    def __init__(self, key: bytes, in_flight: InFlight) -> None:
        self.key = key
        self._in_flight = in_flight
        self._waiting: deque[Delivery] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Mailbox(<redacted>, {len(self._waiting)} waiting)"

    def put(self, delivery: Delivery) -> None:
        """Hand over a blob. Raises Refusal (BUSY): its reader is slow; (ABSENT): it has just gone."""
        if self._is_closed:
            raise Refusal(RefusalCode.ABSENT, BUSY_SECONDS)
        if len(self._waiting) >= OUTBOX_BLOBS_MAX or not self._in_flight.take(BLOB_BYTES):
            raise Refusal(RefusalCode.BUSY, BUSY_SECONDS)
        self._waiting.append(delivery)
        self._changed.set()

    async def take(self) -> Delivery:
        """The next blob, once there is one. It counts as in flight until `done`."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    def done(self) -> None:
        """What `take` gave has left."""
        self._in_flight.release(BLOB_BYTES)

    def close(self) -> None:
        """Forget what waits. Idempotent."""
        self._is_closed = True
        self._in_flight.release(BLOB_BYTES * len(self._waiting))
        self._waiting.clear()


class Mailboxes:
    """The open mailboxes of this instance."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[bytes, Mailbox] = {}
        self.in_flight = InFlight()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, key: bytes) -> Mailbox:
        """Raises Refusal (OCCUPIED): somebody holds it; (FULL)."""
        if key in self._open:
            raise Refusal(RefusalCode.OCCUPIED, OCCUPIED_SECONDS)
        if len(self._open) >= self._most:
            raise Refusal(RefusalCode.FULL, FULL_SECONDS)
        mailbox = self._open[key] = Mailbox(key, self.in_flight)
        return mailbox

    def close(self, mailbox: Mailbox) -> None:
        """Nobody is there any more."""
        if self._open.get(mailbox.key) is mailbox:
            del self._open[mailbox.key]
        mailbox.close()

    def get(self, key: bytes) -> Mailbox | None:
        """The mailbox, if it is open here."""
        return self._open.get(key)
