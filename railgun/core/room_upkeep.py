"""Keeping a room supplied with generations: making them in turn, asking for missing ones, answering who asks.

Owns: since when something is needed or missing, whose turn it is. Must not know: the roster's writing, messages.
Spec: docs/spec/rooms.md, "Generations".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from railgun.core.generations import Generations, MadeGeneration, OwnDevice
from railgun.core.room_port import SealRequest
from railgun.core.roster_state import RosterState
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import keyed_hash
from railgun.errors import PeerError
from railgun.limits import (
    GENERATION_ANSWER_TURN_SECONDS,
    GENERATION_ASK_AGAIN_SECONDS,
    GENERATION_ASK_FIRST_SECONDS,
    GENERATION_REQUESTS_WAITING_MAX,
)
from railgun.ports import Entropy, Sessions
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import GenerationEntry, LaterEntry
from railgun.wire.sealed import DayDelivery, GenerationRequest


class GenerationUpkeep:
    """One device's part in keeping its room's secrets going."""

    def __init__(
        self, room: RoomId, generations: Generations, me: OwnDevice, sessions: Sessions, entropy: Entropy
    ) -> None:
        self._room = room
        self._generations = generations
        self._me = me
        self._sessions = sessions
        self._entropy = entropy
        self._needed_since: float | None = None
        self._ask_at: float | None = None
        self._waiting: OrderedDict[DeviceKey, tuple[GenerationRequest, EpochKeys, float]] = OrderedDict()

    def use_device(self, me: OwnDevice) -> None:
        """The same device with other prekey secrets."""
        self._me = me

    def deadlines(self, state: RosterState, start: int, now: float) -> dict[str, float]:
        """Name to monotonic second, for `railgun.core.room.MemberRoom.next_deadlines`."""
        found: dict[str, float] = {}
        if state.member(self._me.device) is None:
            self._needed_since = self._ask_at = None
            return found  # who is out is given nothing: asking would only make noise
        turn = self._generations.turn_seconds(state, self._me.device, start)
        if turn is None:
            self._needed_since = None
        else:
            if self._needed_since is None:
                self._needed_since = now
            found["generation-make"] = self._needed_since + turn
        if not self._generations.missing(state, start):
            self._ask_at = None
        else:
            if self._ask_at is None:
                self._ask_at = now + GENERATION_ASK_FIRST_SECONDS
            found["generation-ask"] = self._ask_at
        if self._waiting:
            found["generation-answer"] = min(due for _, _, due in self._waiting.values())
        return found

    # --- making -------------------------------------------------------------------------------

    def may_make(self, state: RosterState, start: int) -> bool:
        """Whether a generation is still needed and ours to make."""
        self._needed_since = None
        return self._generations.turn_seconds(state, self._me.device, start) is not None

    def entry_for(self, made: MadeGeneration, time: int) -> Callable[[int, bytes], LaterEntry]:
        """The entry that names ``made``, once its place in our chain is known."""

        def entry(number: int, previous: bytes) -> LaterEntry:
            return GenerationEntry(self._room, self._me.device, number, previous, time, made.named)

        return entry

    # --- asking and answering -----------------------------------------------------------------

    def ask(self, state: RosterState, start: int, now: float) -> SealRequest | None:
        """Ask for what is missing still, now and again."""
        self._ask_at = now + GENERATION_ASK_AGAIN_SECONDS
        missing = self._generations.missing(state, start)
        return self._generations.request(missing, self._me) if missing else None

    def asked(self, body: GenerationRequest, keys: EpochKeys, state: RosterState, now: float) -> None:
        """Another device asks, under ``keys``: answer when our turn comes, unless somebody else has by then."""
        if body.author == self._me.device or state.member(body.author) is None:
            return
        self._waiting[body.author] = (body, keys, now + self._turn_seconds(body.author, state))
        if len(self._waiting) > GENERATION_REQUESTS_WAITING_MAX:
            self._waiting.popitem(last=False)

    def answered(self, body: DayDelivery) -> None:
        """Somebody answered."""
        self._waiting.pop(body.recipient, None)

    def answers_due(
        self, state: RosterState, start: int, prekey_of: Callable[[DeviceKey], bytes | None], now: float
    ) -> list[SealRequest]:
        """Answer those whose turn has come."""
        found = []
        for device, (body, keys, due) in list(self._waiting.items()):
            if due > now + 1e-9:
                continue
            del self._waiting[device]
            prekey = prekey_of(device)
            if prekey is None:
                continue
            try:
                request = self._generations.answer(body, self._me, state, start, prekey, self._sessions, keys)
            except PeerError:
                continue  # forged: nobody who asks falsely is answered
            if request is not None:
                found.append(request)
        return found

    def _turn_seconds(self, asker: DeviceKey, state: RosterState) -> float:
        def place(device: DeviceKey) -> bytes:
            return keyed_hash(None, "railgun/generation-turn/v1", asker + device)

        mine = place(self._me.device)
        rank = sum(1 for device in state.devices if place(device) < mine and device != asker)
        return min(rank, 8) * GENERATION_ANSWER_TURN_SECONDS
