"""The DHT as a member uses it, whom nobody can reach: through the relays that it is linked to.

Owns: whom to ask, what waits for answers, when another relay is asked. Must not know: what records are for.

Spec: docs/spec/dht.md, clients. Records prove themselves, so a relay can keep one back but not change it: where an
answer is uncertain or empty, a second relay is asked as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from railgun.core.connector import Connector
from railgun.dht.desk import read_found
from railgun.dht.records import RecordKind, SignedRecord, record_key
from railgun.errors import DiscoveryError, MalformedInput, RefusalCode, UsageError
from railgun.limits import DHT_CLIENT_WAITING_MAX
from railgun.ports import Chooser, Links
from railgun.types import NodeKey, PeerKey
from railgun.wire.dht_frames import DhtAsk, DhtDeclined, DhtFind, DhtFound, DhtHeld, DhtPut, DhtReply
from railgun.wire.frames import FRAMES, Frame

ANSWER_SECONDS: Final = 7.0
"""A relay ends a lookup after 5 s with what it has."""
RELAYS_ASKED_MAX: Final = 3
NUMBERS: Final = 2**32


@dataclass(frozen=True, slots=True)
class Found:
    """What relays found. ``is_certain``: one of them has heard enough nodes near the key. ``relays``: how many
    answered."""

    records: tuple[SignedRecord, ...]
    is_certain: bool
    relays: int


@dataclass(slots=True)
class DhtClientCounters:
    """Counters since the start; all only grow."""

    asks_sent: int = 0
    asks_declined: int = 0
    asks_unanswered: int = 0
    answers_unexpected: int = 0
    records_poisoned: int = 0
    """Answers with records that are forged, expired, or were not asked for."""


class DhtClient:
    """Implements `railgun.runtime.driver.FrameSide`."""

    kinds: frozenset[type] = frozenset({DhtFound, DhtHeld, DhtDeclined})

    def __init__(self, links: Links, connector: Connector, chooser: Chooser, wall: Callable[[], float]) -> None:
        """``wall`` gives corrected Unix seconds."""
        self._links = links
        self._connector = connector
        self._chooser = chooser
        self._wall = wall
        self._number = 0
        self._waiting: dict[tuple[PeerKey, int], asyncio.Future[DhtReply | None]] = {}
        self.counters = DhtClientCounters()

    # --- asking ---------------------------------------------------------------------------------

    async def find(
        self, kind: RecordKind, author: bytes, *, quorum: int | None = None, through: Sequence[NodeKey] = ()
    ) -> Found:
        """The newest valid record of each item of an author (32 bytes).

        ``through``: ask these relays and no others, since they know of this client's interest already; empty: any.

        Raises:
            DiscoveryError: no relay that is linked has answered.
            UsageError: too much is asked at once.
        """
        key = record_key(kind, author)
        newest: dict[int, SignedRecord] = {}
        answered, is_certain = 0, False
        for relay in self._relays(through):
            reply = await self._ask(relay, DhtFind(self._next_number(), key, quorum))
            if not isinstance(reply, DhtFound):
                continue
            try:
                records = read_found(reply, key, now=self._wall())
            except MalformedInput:
                self.counters.records_poisoned += 1
                continue
            answered += 1
            is_certain = is_certain or reply.is_certain
            for signed in records:
                old = newest.get(signed.record.item)
                if old is None or old.rank < signed.rank:
                    newest[signed.record.item] = signed
            if answered > 1 or (newest and (is_certain or quorum == 1)):
                break
        if not answered:
            raise DiscoveryError("no relay has looked this up: none is linked, or all were busy; try again")
        return Found(tuple(newest[item] for item in sorted(newest)), is_certain, answered)

    async def put(self, signed: SignedRecord, *, through: Sequence[NodeKey] = ()) -> int:
        """Have a record stored; returns how many nodes have said that they hold it, at least one.

        Raises as `find`; MalformedInput: relays refuse the record itself.
        """
        refused: RefusalCode | None = None
        for relay in self._relays(through):
            reply = await self._ask(relay, DhtPut(self._next_number(), signed.encoded))
            if isinstance(reply, DhtHeld) and reply.holders:
                return reply.holders
            if isinstance(reply, DhtDeclined) and reply.code not in (RefusalCode.BUSY, RefusalCode.RATE_LIMITED):
                refused = reply.code
        if refused is not None:
            raise MalformedInput("relays refuse the record", refused)
        raise DiscoveryError("no relay has stored the record: none is linked, or all were busy; try again")

    def _relays(self, through: Sequence[NodeKey]) -> list[PeerKey]:
        linked = sorted(self._connector.relays)
        rest = [relay for relay in linked if not through or NodeKey(relay) in through]
        chosen: list[PeerKey] = []
        while rest and len(chosen) < RELAYS_ASKED_MAX:
            chosen.append(rest.pop(self._chooser.randrange(len(rest))))
        return chosen

    def _next_number(self) -> int:
        self._number = (self._number + 1) % NUMBERS
        return self._number

    async def _ask(self, relay: PeerKey, ask: DhtAsk) -> DhtReply | None:
        if len(self._waiting) >= DHT_CLIENT_WAITING_MAX:
            raise UsageError(f"{DHT_CLIENT_WAITING_MAX} questions to the DHT wait for answers already")
        self.counters.asks_sent += 1
        if not self._links.send_frame(relay, FRAMES.encode(ask)):
            self.counters.asks_unanswered += 1
            return None
        name = (relay, ask.number)
        waiting: asyncio.Future[DhtReply | None] = asyncio.get_running_loop().create_future()
        self._waiting[name] = waiting
        try:
            # Not `wait_for`: an answer (or `close`) and a cancellation at once, and that one loses the cancellation.
            async with asyncio.timeout(ANSWER_SECONDS):
                reply = await waiting
        except TimeoutError:
            reply = None
        finally:
            del self._waiting[name]
        self.counters.asks_unanswered += reply is None
        self.counters.asks_declined += isinstance(reply, DhtDeclined)
        return reply

    # --- answers --------------------------------------------------------------------------------

    def frame_received(self, peer: PeerKey, frame: Frame) -> None:
        """See `FrameSide`."""
        if not isinstance(frame, DhtFound | DhtHeld | DhtDeclined):
            return
        waiting = self._waiting.get((peer, frame.number))
        if waiting is None or waiting.done():
            self.counters.answers_unexpected += 1
            return
        waiting.set_result(frame)

    def peer_gone(self, peer: PeerKey) -> None:
        """See `FrameSide`: whoever waits for it asks another."""
        for (relay, _), waiting in self._waiting.items():
            if relay == peer and not waiting.done():
                waiting.set_result(None)

    def close(self) -> None:
        """End what waits. Idempotent."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
