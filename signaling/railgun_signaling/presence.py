"""How instances learn of each other's mailboxes and relays.

Owns: the seam, and what stands behind it where there is only one instance. Must not know: NATS, connections.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.frames import Delivery

ABSENT_SECONDS = 5


class PresenceState(enum.Enum):
    """Whether other instances can be asked."""

    ALONE = "alone"
    CONNECTED = "connected"
    LOST = "lost"


class Presence(Protocol):
    """The other instances."""

    @property
    def state(self) -> PresenceState:
        """Whether they can be asked now."""

    async def opened(self, mailbox: bytes, take: Callable[[Delivery], None]) -> None:
        """The mailbox is open here: ``take`` is given what others have for it, and raises Refusal.

        Raises Refusal (OCCUPIED) where another instance has it open.
        """

    async def closed(self, mailbox: bytes) -> None:
        """It no longer is. Idempotent."""

    async def forward(self, to: bytes, delivery: Delivery) -> None:
        """Hand a blob to the instance that has the mailbox. Raises Refusal (ABSENT, BUSY)."""

    async def registered(self, network: bytes, ad: bytes) -> None:
        """A relay was registered here."""

    async def withdrawn(self, network: bytes, node_key: bytes) -> None:
        """It is gone."""

    async def aclose(self) -> None:
        """Leave. Idempotent."""


class Alone:
    """The only instance: nobody to ask."""

    state = PresenceState.ALONE

    async def opened(self, mailbox: bytes, take: Callable[[Delivery], None]) -> None:
        """See `Presence`."""

    async def closed(self, mailbox: bytes) -> None:
        """See `Presence`."""

    async def forward(self, to: bytes, delivery: Delivery) -> None:
        """See `Presence`."""
        raise Refusal(RefusalCode.ABSENT, ABSENT_SECONDS)

    async def registered(self, network: bytes, ad: bytes) -> None:
        """See `Presence`."""

    async def withdrawn(self, network: bytes, node_key: bytes) -> None:
        """See `Presence`."""

    async def aclose(self) -> None:
        """See `Presence`."""
