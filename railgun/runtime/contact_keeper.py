"""Leaves this device's contact under the tags of its rooms, and learns those of the other members, while relays live.

Owns: when that is done and for which rooms. Must not know: records, lookups, what contacts are for.

Spec: docs/spec/contacts.md, members' contacts. In each epoch a member leaves its own once, and looks for the others'
once; and once more in the middle where somebody is missing who is in the room.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from railgun.core.room import MemberRoom
from railgun.crypto.direct import contact_payload, read_contact
from railgun.crypto.epoch import EpochKeys
from railgun.errors import ClosedLocally, CryptoError, DiscoveryError, MalformedInput, UsageError
from railgun.limits import ROOMS_MAX
from railgun.ports import Chooser
from railgun.runtime.logs import Log
from railgun.runtime.peer_records import PeerRecords
from railgun.runtime.peer_state import PeerState
from railgun.types import DeviceKey, NodeKey, RoomId

LEAVE_SHARE: Final = 0.1
"""Of an epoch, 10 s at most: members come at different times."""
LEAVE_SECONDS_MAX: Final = 10.0
AGAIN_SHARE: Final = 0.5
RETRY_SECONDS: Final = 2.0

log = Log("contacts")


@dataclass(slots=True)
class _Plan:
    """What is left to be done in one room's epoch. Seconds of the monotonic clock."""

    start: int
    at: float
    looks_at: tuple[float, ...]
    has_left: bool = False


class ContactKeeper:
    """See the module. `run` looks after all rooms of one peer."""

    def __init__(self, state: PeerState, records: PeerRecords, chooser: Chooser) -> None:
        self._state = state
        self._records = records
        self._chooser = chooser
        self._plans: dict[RoomId, _Plan] = {}

    def epoch_opened(self, room_id: RoomId, start: int) -> None:
        """A room's senders have switched to the epoch that starts at ``start``."""
        if self._state.machine.direct.own is None or (len(self._plans) >= ROOMS_MAX and room_id not in self._plans):
            return
        now, length = self._state.clock.monotonic(), self._state.network.epoch_seconds
        within = min(LEAVE_SECONDS_MAX, LEAVE_SHARE * length)
        first, second = now + within * (1.0 + self._chooser.random()), now + length * AGAIN_SHARE
        looks_at = (first, second + within * self._chooser.random())
        self._plans[room_id] = _Plan(start, now + within * self._chooser.random(), looks_at)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._wait_seconds())
            now = self._state.clock.monotonic()
            for room_id, plan in list(self._plans.items()):
                if plan.at <= now:
                    await self._attend(room_id, plan)

    def _wait_seconds(self) -> float:
        earliest = min((plan.at for plan in self._plans.values()), default=float("inf"))
        return min(max(earliest - self._state.clock.monotonic(), 0.1), 0.5)

    async def _attend(self, room_id: RoomId, plan: _Plan) -> None:
        """Do what is due, and plan what comes next."""
        room = self._state.machine.rooms.get(room_id)
        keys = room.sending_keys(self._state.wall()) if isinstance(room, MemberRoom) else None
        if not isinstance(room, MemberRoom) or (keys is not None and keys.start != plan.start):
            self._drop(room_id, plan)
            return
        plan.at = self._state.clock.monotonic() + RETRY_SECONDS
        through = () if keys is None else self._through(keys)
        if keys is None or not through or not self._state.machine.direct.takes_part(room_id, self._state.wall()):
            return
        try:
            if not plan.has_left:
                await self._leave(keys, through)
                plan.has_left = True
            else:
                await self._learn(room_id, keys, through)
                plan.looks_at = plan.looks_at[1:]
        except (DiscoveryError, UsageError, MalformedInput) as error:
            log.debug("members' contacts are not exchanged yet", reason=str(error))
            return
        if not plan.looks_at or (len(plan.looks_at) == 1 and self._knows_all(room_id, room)):
            self._drop(room_id, plan)
        else:
            plan.at = plan.looks_at[0]

    def _drop(self, room_id: RoomId, plan: _Plan) -> None:
        """Unless the next epoch's plan has taken its place meanwhile."""
        if self._plans.get(room_id) is plan:
            del self._plans[room_id]

    def _through(self, keys: EpochKeys) -> tuple[NodeKey, ...]:
        """Relays that serve the tag, and so know of our interest."""
        client = self._state.machine.tags.get(keys.tag)
        return () if client is None else tuple(client.attached)

    async def _leave(self, keys: EpochKeys, through: tuple[NodeKey, ...]) -> None:
        own = self._state.machine.direct.own
        if own is not None:
            await self._records.put_contact(keys, own.device, contact_payload(keys, own), through)

    async def _learn(self, room_id: RoomId, keys: EpochKeys, through: tuple[NodeKey, ...]) -> None:
        found = {}
        for device, payload in (await self._records.contacts(keys, through)).items():
            try:
                found[device] = read_contact(keys, device, payload)
            except CryptoError:
                log.debug("a contact that its device has not signed")
        machine = self._state.machine
        try:
            self._state.driver.act(lambda now: (None, machine.learn_contacts(room_id, found, now)))
        except ClosedLocally:
            return

    def _knows_all(self, room_id: RoomId, room: MemberRoom) -> bool:
        known = self._state.machine.direct.contacts(room_id)
        me: DeviceKey = self._state.identity.device_key
        devices = [member.device for member in room.state(self._state.wall()).members]
        return all(device in known or device == me for device in devices)
