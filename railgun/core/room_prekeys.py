"""Bringing a room the newest prekey of this device.

Owns: when the room has to be told, and not too often. Must not know: how prekeys are made, seats, disks.
Spec: docs/spec/rooms.md, "Prekeys".
"""

from __future__ import annotations

from railgun.core.room_port import RoomOutcome
from railgun.core.room_telling import RoomTelling
from railgun.core.roster_state import RosterState
from railgun.wire.roster import PrekeyRecord

PREKEY_TELL_AGAIN_SECONDS = 60.0
PREKEY_TELL_WHEN_ABLE_SECONDS = 5.0


class PrekeyTelling:
    """One device's prekey in one room."""

    def __init__(self, telling: RoomTelling) -> None:
        self._telling = telling
        self._at: float | None = None
        self._told_at = -PREKEY_TELL_AGAIN_SECONDS
        self._told: PrekeyRecord | None = None

    def due_at(self, state: RosterState, now: float) -> float | None:
        """Monotonic second at which the room has to be told; None: it knows."""
        record = self._telling.tools.prekey
        if self._at is not None or record is None or record is self._told:
            return self._at
        if state.member(self._telling.tools.me.device) is None:
            return None
        held = self._telling.roster.prekey_record(self._telling.tools.me.device)
        return now if held is None or held.issued < record.issued else None

    def sealed_for_another(self, now: float) -> None:
        """Something for us does not open: who sealed it may know only a prekey whose secret is gone. Tell them again,
        now and then: their keys and messages can be asked for anew."""
        if self._telling.tools.prekey is not None and self._at is None:
            self._at = max(now, self._told_at + PREKEY_TELL_AGAIN_SECONDS)

    def tell(self, now: float, wall: float) -> RoomOutcome:
        """Bring the room our newest prekey."""
        record, state = self._telling.tools.prekey, self._telling.state(wall)
        self._at = None
        if record is None or state.member(self._telling.tools.me.device) is None:
            return RoomOutcome()
        if self._telling.sending(state, wall) is None:
            self._at = now + PREKEY_TELL_WHEN_ABLE_SECONDS
            return RoomOutcome()
        self._told_at, self._told = now, record
        outcome = RoomOutcome(list(self._telling.roster.insert_prekey(record)))
        if len(state.members) > 1:
            outcome.add(self._telling.spread((), (record,), state, wall))
        return outcome
