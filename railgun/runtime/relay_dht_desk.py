"""What a relay does in the DHT for the clients on its links.

Owns: how much a client may ask, the tasks of what is under way, the answers' way back. Must not know: lookups.

Spec: docs/spec/dht.md, clients.
"""

from __future__ import annotations

import asyncio
from typing import Final

from railgun.core.budgets import TokenBucket
from railgun.dht.desk import ClientDesk, Finder
from railgun.errors import RefusalCode
from railgun.limits import DHT_ASKS_MAX, DHT_CLIENT_ASKS_BURST, DHT_CLIENT_ASKS_PER_SECOND, LINKS_MAX
from railgun.ports import Clock, Links
from railgun.runtime.logs import Log
from railgun.types import PeerKey
from railgun.wire.dht_frames import DhtAsk, DhtDeclined, DhtFind, DhtPut, DhtReply
from railgun.wire.frames import FRAMES, Frame

KINDS: Final = frozenset({DhtFind, DhtPut})

log = Log("dht")


class RelayDhtDesk:
    """Implements `railgun.runtime.driver.FrameSide`."""

    kinds: frozenset[type] = KINDS

    def __init__(self, node: Finder, clock: Clock, links: Links) -> None:
        self._desk = ClientDesk(node, clock)
        self._clock = clock
        self._links = links
        self._budgets: dict[PeerKey, TokenBucket] = {}
        self._tasks: dict[asyncio.Task[None], PeerKey] = {}
        self._is_closed = False
        self.served = 0
        self.declined: dict[RefusalCode, int] = {}

    def frame_received(self, peer: PeerKey, frame: Frame) -> None:
        """See `FrameSide`."""
        if self._is_closed or not isinstance(frame, DhtFind | DhtPut):
            return
        now = self._clock.monotonic()
        budget = self._budgets.get(peer)
        if budget is None:
            if len(self._budgets) >= LINKS_MAX:
                self._decline(peer, frame.number, RefusalCode.BUSY)
                return
            budget = self._budgets[peer] = TokenBucket(DHT_CLIENT_ASKS_PER_SECOND, DHT_CLIENT_ASKS_BURST, now)
        if not budget.take(1.0, now):
            self._decline(peer, frame.number, RefusalCode.RATE_LIMITED)
        elif len(self._tasks) >= DHT_ASKS_MAX:
            self._decline(peer, frame.number, RefusalCode.BUSY)
        else:
            task = asyncio.get_running_loop().create_task(self._serve(peer, frame), name="dht ask")
            self._tasks[task] = peer
            task.add_done_callback(self._done)

    def peer_gone(self, peer: PeerKey) -> None:
        """See `FrameSide`. What it asked for is dropped."""
        self._budgets.pop(peer, None)
        for task in [task for task, asker in self._tasks.items() if asker == peer]:
            task.cancel()

    async def aclose(self) -> None:
        """Drop what is under way. Idempotent."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, peer: PeerKey, ask: DhtAsk) -> None:
        reply = await self._desk.serve(peer, ask)
        if isinstance(reply, DhtDeclined):
            self._decline(peer, reply.number, reply.code)
            return
        self.served += 1
        self._send(peer, reply)

    def _decline(self, peer: PeerKey, number: int, code: RefusalCode) -> None:
        self.declined[code] = self.declined.get(code, 0) + 1
        self._send(peer, DhtDeclined(number, code))

    def _send(self, peer: PeerKey, reply: DhtReply) -> None:
        # A link that is full or gone loses the answer: the client asks again, or another relay.
        self._links.send_frame(peer, FRAMES.encode(reply))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("an ask of a client failed", cause=task.exception())
