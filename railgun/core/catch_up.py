"""Catching up on a roster: a member who was away asks, one who has another roster answers as to a joiner.

Owns: requests, whose turn it is to answer, merging an answer. Must not know: when to ask, how bodies travel.
Spec: docs/spec/rooms.md, "Catching up".

Without it a member who was away longer than relays keep envelopes would never learn who came, who went, and which
generation the others send under.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from railgun.core.answers import AnswerCollector, Answerer, answer_chunks, removal_chunks
from railgun.core.generations import Generations, OwnDevice
from railgun.core.persistence import Write
from railgun.core.removal_proofs import RemovalProofs, is_proof
from railgun.core.room_port import SealRequest
from railgun.core.roster import Roster
from railgun.core.roster_doubts import UnknownAuthor
from railgun.core.roster_state import RosterState
from railgun.core.sealed_bodies import seal_request
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.signing import sign, verify
from railgun.errors import PeerError, RefusalCode, UsageError
from railgun.limits import (
    LOBBY_JOINS_MAX,
    LOBBY_TURN_SECONDS,
    LOBBY_TURNS_MAX,
    ROSTER_ANSWER_AGAIN_SECONDS,
    ROSTER_ANSWER_ANYWAY,
    ROSTER_ANSWERED_MAX,
    ROSTER_ASK_DOUBT_SECONDS,
    ROSTER_REQUEST_AGE_MAX_SECONDS,
)
from railgun.ports import Sessions
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import SECONDS_PER_DAY
from railgun.wire.sealed import ROSTER_REQUEST_LABEL, AnswerChunk, RemovalNotice, RosterRequest, context


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What an answer brought. ``unknown`` are entries of ours that its author lacks: spread them."""

    writes: tuple[Write, ...]
    changed: bool
    unknown: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """``yields``: also to an answer under an older generation, that who was removed could pretend."""

    body: RosterRequest
    keys: EpochKeys
    due: float
    yields: bool

    def yields_to(self, keys: EpochKeys) -> bool:
        """Whether an answer under an older generation's ``keys`` makes ours needless."""
        return self.yields and keys.generation == self.keys.generation


class CatchUp:
    """One device's part in keeping its room's rosters alike."""

    def __init__(self, room: RoomId, sessions: Sessions) -> None:
        self._room = room
        self._sessions = sessions
        self._collector = AnswerCollector(room, sessions)
        self._waiting: OrderedDict[DeviceKey, _Waiting] = OrderedDict()
        self._answered: OrderedDict[DeviceKey, float] = OrderedDict()
        # By author and generation, when the last question was asked.
        self._asked_at: OrderedDict[tuple[DeviceKey, int], int] = OrderedDict()
        self._proofs = RemovalProofs()
        self._has_asked = False
        self.declined_count = 0

    # --- asking --------------------------------------------------------------------------------

    def request(self, roster: Roster, me: OwnDevice, keys: EpochKeys, wall: float) -> SealRequest:
        """Ask under ``keys``; one request for each generation that we listen to, since others may have dropped one."""
        self._has_asked = True
        digest = roster.digest()
        signature = sign(me.seed, ROSTER_REQUEST_LABEL, self._content(me.device, int(wall), digest))
        return seal_request(RosterRequest(me.device, int(wall), digest, signature), keys)

    def receive(
        self,
        chunk: AnswerChunk,
        keys: EpochKeys,
        roster: Roster,
        generations: Generations,
        me: OwnDevice,
        now: float,
        *,
        is_behind: bool,
    ) -> CaughtUp | None:
        """Take a chunk of an answer under ``keys``, for us or for another; what it brought with the last one for us.

        ``is_behind``: those are keys of an older generation, which who was removed holds as well. Only its recipient
        can tell whether it is an answer at all.

        Raises:
            PeerError, CryptoError, MalformedInput: the answer is not valid.
        """
        waiting = self._waiting.get(chunk.recipient)
        if waiting is not None and (not is_behind or waiting.yields_to(keys)):
            del self._waiting[chunk.recipient]
            self._note_answered(chunk.recipient, now)
        # Unasked, an old answer sent again could make us repeat what all the others know.
        opened = self._collector.add_any(chunk, me) if self._has_asked else None
        if opened is None:
            return None
        if isinstance(opened, RemovalNotice):
            return self._shown_out(opened, roster, me)
        self._has_asked = False
        results = roster.insert_all(opened.entries)
        writes = [write for result in results for write in result.writes]
        state = roster.state(opened.answer.time // SECONDS_PER_DAY)
        if state.member(opened.author) is not None:
            for record in opened.answer.prekeys:
                writes += roster.insert_prekey(record)
            writes += generations.take_secrets(opened.secrets, state, opened.author)
        known = set(opened.entries)
        is_in = state.member(me.device) is not None
        unknown = tuple(data for data in roster.export() if data not in known) if is_in else ()
        return CaughtUp(tuple(writes), any(result.added for result in results), unknown)

    def _shown_out(self, notice: RemovalNotice, roster: Roster, me: OwnDevice) -> CaughtUp | None:
        """Only what puts us out is taken: whatever else it brings is for those who are in."""
        if not is_proof(roster.room, notice.entries, me.device):
            return None
        self._has_asked = False
        results = roster.insert_all(notice.entries)
        writes = tuple(write for result in results for write in result.writes)
        return CaughtUp(writes, any(result.added for result in results), ())

    # --- answering -----------------------------------------------------------------------------

    def asked(
        self,
        body: RosterRequest,
        keys: EpochKeys,
        roster: Roster,
        state: RosterState,
        me: OwnDevice,
        now: float,
        wall: float,
    ) -> bool:
        """Another device asks under ``keys``: answer when our turn comes, unless somebody else has by then. One that is
        out is answered as well, but only that it is, and seldom. Whether it asks indeed: whoever has a generation's
        keys can say again what was said under them, and under those of older ones who was removed has them.

        Raises:
            PeerError: it is forged.
            UnknownAuthor: it is of a device that the roster does not know of.
        """
        content = self._content(body.author, body.time, body.digest)
        if not verify(body.author, ROSTER_REQUEST_LABEL, content, body.signature):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "roster request")
        is_out = body.author in state.out
        if state.member(body.author) is None and not is_out:
            raise UnknownAuthor("roster request")
        if not self._is_news(body, keys, wall):
            return False
        again = ROSTER_ASK_DOUBT_SECONDS if is_out else ROSTER_ANSWER_AGAIN_SECONDS
        answered = self._answered.get(body.author)
        if answered is not None and now < answered + again:
            return True
        if body.author == me.device or body.digest == roster.digest() or body.author in self._waiting:
            return True
        rank = self._rank(body.author, state, me.device)
        yields = is_out or rank >= ROSTER_ANSWER_ANYWAY
        self._waiting[body.author] = _Waiting(body, keys, now + rank * LOBBY_TURN_SECONDS, yields)
        if len(self._waiting) > LOBBY_JOINS_MAX:
            self._waiting.popitem(last=False)
        return True

    def _is_news(self, body: RosterRequest, keys: EpochKeys, wall: float) -> bool:
        """Whether it was asked of late, and later than what its author asked before under the same generation."""
        key = (body.author, keys.generation)
        if body.time <= self._asked_at.get(key, 0) or abs(wall - body.time) > ROSTER_REQUEST_AGE_MAX_SECONDS:
            return False
        self._asked_at[key] = body.time
        self._asked_at.move_to_end(key)
        if len(self._asked_at) > ROSTER_ANSWERED_MAX:
            self._asked_at.popitem(last=False)
        return True

    def next_due(self) -> float | None:
        """Monotonic second at which `due` has something to do."""
        return min((waiting.due for waiting in self._waiting.values()), default=None)

    def due(
        self,
        roster: Roster,
        generations: Generations,
        answerer: Answerer,
        start: int,
        now: float,
        wall: float,
    ) -> list[SealRequest]:
        """Answer those whose turn has come and whose roster still differs."""
        requests: list[SealRequest] = []
        for device in [device for device, waiting in self._waiting.items() if waiting.due <= now]:
            waiting = self._waiting.pop(device)
            body, keys = waiting.body, waiting.keys
            prekey = roster.prekey(device)
            if body.digest == roster.digest():
                continue
            state = roster.state(int(wall) // SECONDS_PER_DAY)
            self._note_answered(device, now)
            try:
                if device in state.out:
                    requests += removal_chunks(answerer, device, roster, self._proofs, keys)
                elif prekey is not None:
                    secrets = generations.day_secrets(state, start)
                    requests += answer_chunks(answerer, device, prekey, roster, secrets, keys, wall)
            except UsageError:
                self.declined_count += 1
        return requests

    def _note_answered(self, device: DeviceKey, now: float) -> None:
        self._answered[device] = now
        self._answered.move_to_end(device)
        if len(self._answered) > ROSTER_ANSWERED_MAX:
            self._answered.popitem(last=False)

    def _content(self, author: DeviceKey, time: int, digest: bytes) -> bytes:
        return context(ROSTER_REQUEST_LABEL, self._room, author, time, digest)

    def _rank(self, asker: DeviceKey, state: RosterState, me: DeviceKey) -> int:
        others = [device for device in state.devices if device != asker]
        order = sorted(others, key=lambda device: keyed_hash(None, "railgun/roster-turn/v1", asker + device))
        rank = order.index(me) if me in order else LOBBY_TURNS_MAX
        return min(rank, LOBBY_TURNS_MAX)
