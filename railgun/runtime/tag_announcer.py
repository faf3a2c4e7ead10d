"""Announces under each epoch's tag who serves it, where no other member has done so, and heeds what others announce.

Owns: when that is done and for which rooms. Must not know: records, lookups.

Spec: docs/spec/dht.md, under a tag.
"""

from __future__ import annotations

import asyncio
from typing import Final

from railgun.core.effects import Effects
from railgun.core.room import MemberRoom
from railgun.crypto.epoch import EpochKeys
from railgun.errors import ClosedLocally, DiscoveryError, MalformedInput, UsageError
from railgun.limits import ROOMS_MAX
from railgun.ports import Chooser
from railgun.runtime.logs import Log
from railgun.runtime.peer_records import PeerRecords
from railgun.runtime.peer_state import PeerState
from railgun.types import NodeKey, PeerKey, RoomId
from railgun.wire.tag_payloads import DEAD_MAX, CommitteeChange

WAIT_SHARE_MAX: Final = 0.25
"""Of an epoch: members come at different times, so that most find announced what they would have announced."""
AGAIN_SECONDS: Final = 5.0
"""A seat that is found dead is announced at the next look; they are this far apart."""

log = Log("dht")


class TagAnnouncer:
    """See the module. `run` looks after all rooms of one peer."""

    def __init__(self, state: PeerState, records: PeerRecords, chooser: Chooser) -> None:
        self._state = state
        self._records = records
        self._chooser = chooser
        self._due: dict[RoomId, tuple[int, float]] = {}
        self._told: dict[RoomId, CommitteeChange] = {}

    def epoch_opened(self, room_id: RoomId, start: int) -> None:
        """A room's senders have switched to the epoch that starts at ``start``."""
        if len(self._due) < ROOMS_MAX or room_id in self._due:
            wait = self._chooser.random() * WAIT_SHARE_MAX * self._state.network.epoch_seconds
            self._due[room_id] = (start, self._state.clock.monotonic() + wait)

    def room_left(self, room_id: RoomId) -> None:
        """Nothing more is announced for it."""
        self._due.pop(room_id, None)
        self._told.pop(room_id, None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._wait_seconds())
            now = self._state.clock.monotonic()
            for room_id in [room_id for room_id, (_, at) in self._due.items() if at <= now]:
                start, _ = self._due[room_id]
                self._due[room_id] = (start, now + AGAIN_SECONDS)
                await self._look(room_id, start)

    def _wait_seconds(self) -> float:
        earliest = min((at for _, at in self._due.values()), default=float("inf"))
        return min(max(earliest - self._state.clock.monotonic(), 0.2), 1.0)

    async def _look(self, room_id: RoomId, start: int) -> None:
        room = self._state.machine.rooms.get(room_id)
        if not isinstance(room, MemberRoom):
            self.room_left(room_id)
            return
        keys = room.sending_keys(self._state.wall())
        if keys is None or keys.start != start:
            return
        own = self._committee(keys)
        if own is None or own == self._told.get(room_id):
            return
        through = tuple(seat for seat in own.seats if self._state.machine.connector.is_linked(seat))
        if not through:
            return
        try:
            await self._announce(keys, own, through)
            self._told[room_id] = own
        except (DiscoveryError, UsageError, MalformedInput) as error:
            log.debug("a committee is not announced yet", reason=str(error))

    async def _announce(self, keys: EpochKeys, own: CommitteeChange, through: tuple[NodeKey, ...]) -> None:
        told = await self._records.committee_of(keys, through)
        if told is not None and told.seats != own.seats:
            log.info("another member sees other seats: comparing directories")
            self._compare(through[0])
        if told is None or (set(own.dead) - set(told.dead)):
            await self._records.put_committee(keys, own, through)

    def _committee(self, keys: EpochKeys) -> CommitteeChange | None:
        client = self._state.machine.tags.get(keys.tag)
        if client is None or not client.committee.seats:
            return None
        seats = tuple(seat.node_key for seat in client.committee.seats)
        now = self._state.clock.monotonic()
        dead = [seat for seat in seats if self._state.machine.connector.is_failing(seat, now)]
        return CommitteeChange(keys.start, seats, tuple(dead[:DEAD_MAX]))

    def _compare(self, relay: NodeKey) -> None:
        machine = self._state.machine

        def compare(now: float) -> tuple[None, Effects]:
            out: Effects = []
            machine.directory.views_differ(PeerKey(relay), machine.wall(now), now, out)
            machine.agenda.arm(out)
            return None, out

        try:
            self._state.driver.act(compare)
        except ClosedLocally:
            return
