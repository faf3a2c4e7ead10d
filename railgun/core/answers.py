"""Answers to joiners and to members who were away: the whole roster and the keys, in chunks, for one device.

Owns: making, chunking, collecting and opening an answer, and what makes one valid. Must not know: who may have one, or
what its reader does with it. Spec: docs/spec/rooms.md, "Answers".
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from railgun.core.generations import OwnDevice, open_sealed
from railgun.core.persistence import Write
from railgun.core.removal_proofs import RemovalProofs
from railgun.core.room_port import SealRequest
from railgun.core.roster import Roster
from railgun.core.roster_state import RosterState
from railgun.core.sealed_bodies import seal_request
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.signing import sign, verify
from railgun.errors import MalformedInput, PeerError, RefusalCode, UsageError
from railgun.limits import LOBBY_ANSWERS_MAX, ROOM_DEVICES_MAX
from railgun.ports import Entropy, Sessions
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import SECONDS_PER_DAY
from railgun.wire.sealed import (
    ANSWER_BYTES_MAX,
    ANSWER_ID_BYTES,
    ANSWER_LABEL,
    ANSWERS,
    CHUNK_BYTES,
    SIGNED_ANSWERS,
    Answer,
    AnswerChunk,
    DaySecret,
    RemovalNotice,
    SignedAnswer,
    context,
)

PREKEYS_BYTES_MAX = ROOM_DEVICES_MAX * 1_400 + 65_536
"""Of an answer: all that is not roster entries."""


@dataclass(frozen=True, slots=True)
class OpenedAnswer:
    """A valid answer: its roster on its own, what that holds, the secrets that came with it, and the rows of both."""

    author: DeviceKey
    roster: Roster
    state: RosterState
    entries: tuple[bytes, ...]
    secrets: tuple[DaySecret, ...] = field(repr=False)
    answer: Answer = field(repr=False)
    writes: tuple[Write, ...] = ()


@dataclass(slots=True)
class _Collected:
    count: int
    chunks: dict[int, bytes] = field(default_factory=dict)


class AnswerCollector:
    """Chunks of answers for one device, until one is whole."""

    def __init__(self, room: RoomId, sessions: Sessions) -> None:
        self._room = room
        self._sessions = sessions
        self._open: OrderedDict[bytes, _Collected] = OrderedDict()

    def add(self, chunk: AnswerChunk, me: OwnDevice) -> OpenedAnswer | None:
        """Take a chunk; the answer with the last one. What says that we are out is none: see `add_any`."""
        opened = self.add_any(chunk, me)
        return opened if isinstance(opened, OpenedAnswer) else None

    def add_any(self, chunk: AnswerChunk, me: OwnDevice) -> OpenedAnswer | RemovalNotice | None:
        """Take a chunk; with the last one the answer, or a notice that nobody has judged yet.

        Raises:
            PeerError, CryptoError, MalformedInput: it is not valid; others may still come.
        """
        if chunk.recipient != me.device:
            return None
        collected = self._open.setdefault(chunk.answer_id, _Collected(chunk.count))
        while len(self._open) > LOBBY_ANSWERS_MAX:
            self._open.popitem(last=False)
        if chunk.count != collected.count or chunk.index in collected.chunks:
            return None
        info = context(ANSWER_LABEL, self._room, chunk.recipient, chunk.answer_id, chunk.index, chunk.count)
        collected.chunks[chunk.index] = open_sealed(me, info, chunk.sealed, self._sessions)
        if len(collected.chunks) < collected.count:
            return None
        del self._open[chunk.answer_id]
        return self._read(b"".join(collected.chunks[index] for index in range(collected.count)), me)

    def _read(self, data: bytes, me: OwnDevice) -> OpenedAnswer | RemovalNotice:
        signed = SIGNED_ANSWERS.decode(data)
        if isinstance(signed, RemovalNotice):
            return signed
        answer = ANSWERS.decode(signed.body)
        if answer.room != self._room or answer.recipient != me.device:
            raise MalformedInput("an answer for someone else")
        if not verify(answer.author, ANSWER_LABEL, signed.body, signed.signature):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "answer")
        # The room's id is the hash of its first entry: nobody can make up another roster for it.
        roster = Roster(self._room)
        writes = [write for result in roster.insert_all(answer.entries) for write in result.writes]
        if not roster.is_known:
            raise MalformedInput("a roster without its first entry")
        state = roster.state(answer.time // SECONDS_PER_DAY)
        if state.member(answer.author) is None or state.member(me.device) is None:
            raise PeerError(RefusalCode.BAD_PROOF, "an answer by someone who is not a member, or that adds nobody")
        for record in answer.prekeys:
            writes += roster.insert_prekey(record)
        return OpenedAnswer(answer.author, roster, state, answer.entries, answer.secrets, answer, tuple(writes))


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers, and with what."""

    me: OwnDevice
    sessions: Sessions
    entropy: Entropy


def fits_an_answer(roster: Roster) -> bool:
    """Whether the roster is small enough to be sent."""
    return sum(map(len, roster.export())) <= ANSWER_BYTES_MAX - PREKEYS_BYTES_MAX


def answer_chunks(
    answerer: Answerer,
    recipient: DeviceKey,
    prekey: bytes,
    roster: Roster,
    secrets: tuple[DaySecret, ...],
    keys: EpochKeys,
    wall: float,
) -> list[SealRequest]:
    """The whole roster and ``secrets`` for ``recipient``, under its prekey (1,216 bytes), sealed under ``keys``.

    Raises:
        UsageError: the roster is too large (see `fits_an_answer`), or there are no secrets to give.
    """
    if not secrets or not fits_an_answer(roster):
        raise UsageError("there are no keys to give, or the roster is too large to be sent")
    body = ANSWERS.encode(
        Answer(roster.room, answerer.me.device, recipient, int(wall), roster.export(), roster.export_prekeys(), secrets)
    )
    data = SIGNED_ANSWERS.encode(SignedAnswer(body, sign(answerer.me.seed, ANSWER_LABEL, body)))
    return _chunks(answerer, data, recipient, prekey, roster.room, keys)


def removal_chunks(
    answerer: Answerer,
    recipient: DeviceKey,
    roster: Roster,
    proofs: RemovalProofs,
    keys: EpochKeys,
    prekey: bytes | None = None,
) -> list[SealRequest]:
    """What shows ``recipient`` that it is out, under ``keys`` and ``prekey`` (1,216 bytes), or the last that is known.

    Raises:
        UsageError: it is not out, or too much would have to be shown.
    """
    entries = proofs.of(roster, recipient)
    prekey = prekey or roster.last_prekey(recipient)
    if prekey is None or not entries or sum(map(len, entries)) > ANSWER_BYTES_MAX - PREKEYS_BYTES_MAX:
        raise UsageError("there is nothing to show to this device")
    data = SIGNED_ANSWERS.encode(RemovalNotice(entries))
    return _chunks(answerer, data, recipient, prekey, roster.room, keys)


def _chunks(
    answerer: Answerer, data: bytes, recipient: DeviceKey, prekey: bytes, room: RoomId, keys: EpochKeys
) -> list[SealRequest]:
    answer_id = answerer.entropy.random_bytes(ANSWER_ID_BYTES)
    pieces = [data[offset : offset + CHUNK_BYTES] for offset in range(0, len(data), CHUNK_BYTES)]
    requests = []
    for index, piece in enumerate(pieces):
        info = context(ANSWER_LABEL, room, recipient, answer_id, index, len(pieces))
        sealed = answerer.sessions.hpke_seal(prekey, info, piece)
        requests.append(seal_request(AnswerChunk(recipient, answer_id, index, len(pieces), sealed), keys))
    return requests
