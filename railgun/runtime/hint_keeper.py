"""Names this device's STUN and TURN servers under the tags of its rooms, and learns those that other members name.

Owns: when that is done and for which rooms. Must not know: records, lookups, how a server is asked.

Spec: docs/spec/dht.md, under a tag. In each epoch a member that was given servers names them once, unless others have,
and every member looks once, after the time in which they are named.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from railgun.core.room import MemberRoom
from railgun.crypto.epoch import EpochKeys
from railgun.errors import DiscoveryError, MalformedInput, UsageError
from railgun.limits import ROOMS_MAX
from railgun.ports import Chooser
from railgun.runtime.logs import Log
from railgun.runtime.peer_records import PeerRecords
from railgun.runtime.peer_state import PeerState
from railgun.types import NodeKey, RoomId

NAME_SHARE: Final = 0.25
"""Of an epoch, from its begin: members name theirs at different times."""
LOOK_SHARE: Final = 0.25
"""Of an epoch, after that: nobody looks before it, unless it comes late."""
RETRY_SECONDS: Final = 5.0

log = Log("hints")


@dataclass(slots=True)
class _Plan:
    """What is left to be done in one room's epoch. ``names_at`` and ``looks_at``: seconds of the monotonic clock."""

    start: int
    names_at: float | None
    looks_at: float

    @property
    def at(self) -> float:
        return self.looks_at if self.names_at is None else min(self.names_at, self.looks_at)


class HintKeeper:
    """See the module. `run` looks after all rooms of one peer."""

    def __init__(self, state: PeerState, records: PeerRecords, chooser: Chooser) -> None:
        self._state = state
        self._records = records
        self._chooser = chooser
        self._plans: dict[RoomId, _Plan] = {}

    def epoch_opened(self, room_id: RoomId, start: int) -> None:
        """A room's senders have switched to the epoch that starts at ``start``."""
        if len(self._plans) >= ROOMS_MAX and room_id not in self._plans:
            return
        now, length = self._state.clock.monotonic(), self._state.network.epoch_seconds
        begun = min(max(self._state.wall() - start, 0.0), length)
        names_at = now + self._chooser.random() * NAME_SHARE * length if self._state.traversal.own else None
        # Who comes late finds them named already, and need not wait as long.
        looks_at = now + max(NAME_SHARE * length - begun, 0.0) + self._chooser.random() * LOOK_SHARE * length
        self._plans[room_id] = _Plan(start, names_at, looks_at)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._wait_seconds())
            now = self._state.clock.monotonic()
            for room_id, plan in list(self._plans.items()):
                if plan.at <= now:
                    await self._attend(room_id, plan, now)

    def _wait_seconds(self) -> float:
        earliest = min((plan.at for plan in self._plans.values()), default=float("inf"))
        return min(max(earliest - self._state.clock.monotonic(), 0.1), 0.5)

    async def _attend(self, room_id: RoomId, plan: _Plan, now: float) -> None:
        """Do what is due, and plan what comes next."""
        room = self._state.machine.rooms.get(room_id)
        keys = room.sending_keys(self._state.wall()) if isinstance(room, MemberRoom) else None
        if not isinstance(room, MemberRoom):
            self._state.traversal.forget(room_id)
        if not isinstance(room, MemberRoom) or (keys is not None and keys.start != plan.start):
            self._drop(room_id, plan)
            return
        through = () if keys is None else self._through(keys)
        try:
            if keys is None or not through:
                raise DiscoveryError("no relay serves the room's tag")
            if plan.names_at is not None and plan.names_at <= now:
                await self._name(keys, through)
                plan.names_at = None
            if plan.looks_at <= now:
                await self._look(room_id, keys, through)
                plan.looks_at = float("inf")
        except (DiscoveryError, UsageError, MalformedInput) as error:
            log.debug("servers are not named or looked for yet", reason=str(error))
            again = self._state.clock.monotonic() + RETRY_SECONDS
            plan.names_at = None if plan.names_at is None else max(plan.names_at, again)
            plan.looks_at = max(plan.looks_at, again)
        if plan.at == float("inf"):
            self._drop(room_id, plan)

    def _drop(self, room_id: RoomId, plan: _Plan) -> None:
        """Unless the next epoch's plan has taken its place meanwhile."""
        if self._plans.get(room_id) is plan:
            del self._plans[room_id]

    def _through(self, keys: EpochKeys) -> tuple[NodeKey, ...]:
        """Relays that serve the tag, and so know of our interest."""
        client = self._state.machine.tags.get(keys.tag)
        return () if client is None else tuple(client.attached)

    async def _name(self, keys: EpochKeys, through: tuple[NodeKey, ...]) -> None:
        own = self._state.traversal.own.hints
        named = await self._records.hints_of(keys, through)
        if set(own.stun) <= {one for hints in named for one in hints.stun} and set(own.turn) <= {
            one for hints in named for one in hints.turn
        }:
            return
        await self._records.put_hints(keys, self._state.identity.device_key, own, through)

    async def _look(self, room_id: RoomId, keys: EpochKeys, through: tuple[NodeKey, ...]) -> None:
        network = self._state.network
        until = keys.start + 2 * (network.epoch_seconds + network.overlap_seconds)
        self._state.traversal.heed(room_id, await self._records.hints_of(keys, through), until)
