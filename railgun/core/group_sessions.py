"""Megolm sessions of one device in one room: its own, to send with, and everyone's, to read with.

Owns: when a new session starts, who has which, requests and answers, replay windows, their rows. Keys travel by
`railgun.core.pairwise`.
Must not know: what messages say, epochs, how bodies travel. Spec: docs/spec/messages.md, "Sessions".

Every change comes back as writes; a pickle that moved on must be committed before what it encrypted leaves.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from railgun.core.generations import OwnDevice
from railgun.core.pairwise import ROW_KEY, BundleOf, PairwiseSessions
from railgun.core.persistence import Write
from railgun.core.room_port import SealRequest
from railgun.core.roster_doubts import UnknownAuthor
from railgun.core.roster_state import GenerationState, RosterState
from railgun.core.sealed_bodies import seal_request
from railgun.crypto.message_ids import group_hint
from railgun.crypto.signing import sign, verify
from railgun.errors import CryptoError, PeerError, RefusalCode
from railgun.limits import (
    GENERATION_LIVE_DAYS,
    INBOUND_SESSIONS_MAX,
    INBOUND_SESSIONS_PER_DEVICE_MAX,
    KEY_ANSWER_AGAIN_SECONDS,
    KEY_REQUEST_AGE_MAX_SECONDS,
    KEY_REQUESTS_MAX,
    ROOM_DEVICES_MAX,
    SESSION_AGE_MAX_SECONDS,
    SESSION_INDEX_MAX,
    SESSION_LARGE_ROOM_DEVICES,
    SESSION_MESSAGES_LARGE_ROOM_MAX,
    SESSION_MESSAGES_MAX,
    SESSIONS_SHARED_MAX,
)
from railgun.ports import Sessions
from railgun.types import DeviceKey, RoomId
from railgun.wire.roster import DeviceField, HashField, PrekeyRecord, TimeField
from railgun.wire.schema import Array, Bytes, Codec, Nested, Uint
from railgun.wire.sealed import KEY_REQUEST_LABEL, KeyRequest, key_request_content

OUTBOUND: Final = "outbound_sessions"
INBOUND: Final = "inbound_sessions"
SEEN: Final = "seen_indexes"
ROOM_ID_BYTES: Final = 32
_OWN_KEY: Final = b"o"
_GIVEN_KEY: Final = b"g"
_SESSION_KEY: Final = b"s"
PICKLE_BYTES_MAX: Final = 65_536
INBOUND_KEEP_SECONDS: Final = SESSION_AGE_MAX_SECONDS + (GENERATION_LIVE_DAYS + 1) * 86_400

IndexField = Annotated[int, Uint(2**32 - 1)]


@dataclass(frozen=True, slots=True)
class _Own:
    """A session of ours. ``pickle`` is empty once a newer one took its place."""

    sequence: Annotated[int, Uint()]
    session_id: HashField
    commitment: HashField
    created: TimeField
    next_index: IndexField
    pickle: Annotated[bytes, Bytes(0, PICKLE_BYTES_MAX)] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Given:
    device: DeviceField
    index: IndexField


@dataclass(frozen=True, slots=True)
class _KeyAt:
    """A session key as it was given out from ``index`` on: only the sender's own state makes one that is signed."""

    index: IndexField
    key: Annotated[bytes, Bytes(1, 256)] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Shares:
    """Who got a session of ours, from which index on, and what they got."""

    given: Annotated[tuple[_Given, ...], Array(Nested(_Given), 2 * ROOM_DEVICES_MAX)]
    keys: Annotated[tuple[_KeyAt, ...], Array(Nested(_KeyAt), 2 * ROOM_DEVICES_MAX)]


@dataclass(frozen=True, slots=True)
class _Inbound:
    session_id: HashField
    author: DeviceField
    first_index: IndexField
    received: TimeField
    pickle: Annotated[bytes, Bytes(1, PICKLE_BYTES_MAX)] = field(repr=False)


_OWN_ROWS: Final[Codec[_Own]] = Codec({1: _Own}, bytes_max=PICKLE_BYTES_MAX + 256)
_SHARES_ROWS: Final[Codec[_Shares]] = Codec({1: _Shares}, bytes_max=700 * ROOM_DEVICES_MAX)
_INBOUND_ROWS: Final[Codec[_Inbound]] = Codec({1: _Inbound}, bytes_max=PICKLE_BYTES_MAX + 256)


@dataclass(frozen=True, slots=True)
class Encrypted:
    """One Megolm message of ours and what must be committed before it leaves."""

    hint: bytes
    message: bytes
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Decrypted:
    """One message of another device, new to us; `GroupSessions.mark_seen` says that it is dealt with."""

    author: DeviceKey
    session_id: bytes
    index: int
    plaintext: bytes = field(repr=False)


class UnknownSession(Exception):
    """No session here reads this message."""


class AlreadySeen(Exception):
    """This session and index were dealt with, or the session is our own."""


class GroupSessions:
    """All Megolm sessions of one device in one room."""

    def __init__(self, room: RoomId, me: OwnDevice, sessions: Sessions, pickle_key: bytes) -> None:
        """``pickle_key``: 32 bytes, secret; encrypts what is written."""
        self._room = room
        self._me = me
        self._sessions = sessions
        self._pickle_key = pickle_key
        self._own: OrderedDict[bytes, _Own] = OrderedDict()
        self._own_hints: set[bytes] = set()
        self._given: dict[bytes, dict[DeviceKey, int]] = {}
        self._keys: dict[bytes, dict[int, bytes]] = {}
        self._inbound: OrderedDict[bytes, _Inbound] = OrderedDict()
        self._by_hint: dict[bytes, bytes] = {}
        self._seen: dict[bytes, int] = {}
        self._answered: OrderedDict[tuple[DeviceKey, bytes], float] = OrderedDict()
        self._asked_at: OrderedDict[DeviceKey, int] = OrderedDict()
        self.pairwise = PairwiseSessions(room, me, sessions, pickle_key)

    def __repr__(self) -> str:
        return f"GroupSessions({len(self._inbound)} inbound, <redacted>)"

    def load(
        self,
        outbound: Iterable[tuple[bytes, bytes]],
        inbound: Iterable[tuple[bytes, bytes]],
        seen: Iterable[tuple[bytes, bytes]],
    ) -> None:
        """Fill an empty machine from the rows of its three tables whose keys start with the room's id; rows of other
        kinds are passed over.

        Raises:
            MalformedInput: a row is damaged.
        """
        start = len(self._room)
        owned = []
        outbound = list(outbound)
        self.pairwise.load(outbound)
        for key, value in outbound:
            if key[start : start + 1] == _OWN_KEY:
                owned.append(_OWN_ROWS.decode(value))
            elif key[start : start + 1] == _GIVEN_KEY:
                shares = _SHARES_ROWS.decode(value)
                self._given[key[start + 1 :]] = {item.device: item.index for item in shares.given}
                self._keys[key[start + 1 :]] = {item.index: item.key for item in shares.keys}
        for own in sorted(owned, key=lambda own: own.sequence):
            self._own[own.session_id] = own
            self._own_hints.add(group_hint(own.session_id))
            self._given.setdefault(own.session_id, {})
            self._keys.setdefault(own.session_id, {})
        found = [_INBOUND_ROWS.decode(value) for key, value in inbound if key[start : start + 1] == _SESSION_KEY]
        for session in sorted(found, key=lambda session: (session.received, session.session_id)):
            self._inbound[session.session_id] = session
            self._by_hint[group_hint(session.session_id)] = session.session_id
        for key, value in seen:
            self._seen[key[start:]] = int.from_bytes(value, "little")

    def use_device(self, me: OwnDevice) -> None:
        """The same device with other prekey secrets: after a new prekey was made, and once the old one is dropped."""
        self._me = me
        self.pairwise.use_device(me)

    # --- sending -------------------------------------------------------------------------------

    def ready(
        self, state: RosterState, generation: GenerationState, bundle_of: BundleOf, wall: float
    ) -> tuple[list[Write], list[SealRequest]]:
        """Have a session to send under ``generation``, and its key on the way to every member that lacks it."""
        writes: list[Write] = []
        own = self._current()
        if own is None or self._is_spent(own, state, generation, wall):
            own = self._start(generation, wall, writes)
        given = self._given[own.session_id]
        lacking = [device for device in state.devices if device != self._me.device and device not in given]
        if not lacking:
            return writes, []
        for device in lacking:
            self._share(own, device)
        writes.append(self._shares_write(own.session_id))
        keys = [(device, (self._key_for(own.session_id, device),)) for device in lacking]
        more, requests = self.pairwise.deliver(keys, bundle_of, wall)
        return writes + more, requests

    def encrypt(self, plaintext: bytes) -> Encrypted:
        """Encrypt under the session that `ready` made ready."""
        own = self._current()
        if own is None:
            raise CryptoError
        encrypted = self._sessions.megolm_encrypt(own.pickle, self._pickle_key, plaintext)
        own = dataclasses.replace(own, next_index=encrypted.index + 1, pickle=encrypted.pickle)
        self._own[own.session_id] = own
        return Encrypted(group_hint(own.session_id), encrypted.message, (self._own_write(own),))

    def _current(self) -> _Own | None:
        own = next(reversed(self._own.values()), None)
        return own if own is not None and own.pickle else None

    def _is_spent(self, own: _Own, state: RosterState, generation: GenerationState, wall: float) -> bool:
        large = len(state.members) > SESSION_LARGE_ROOM_DEVICES
        most = SESSION_MESSAGES_LARGE_ROOM_MAX if large else SESSION_MESSAGES_MAX
        gone = any(state.member(device) is None for device in self._given[own.session_id])
        # A clock set back must not keep a session alive for ever.
        aged = not 0 <= wall - own.created < SESSION_AGE_MAX_SECONDS
        return own.next_index >= most or aged or gone or own.commitment != generation.commitment

    def _start(self, generation: GenerationState, wall: float, writes: list[Write]) -> _Own:
        before = next(reversed(self._own.values()), None)
        if before is not None:
            retired = dataclasses.replace(before, pickle=b"")
            self._own[before.session_id] = retired
            writes.append(self._own_write(retired))
        while len(self._own) >= SESSIONS_SHARED_MAX:
            session_id, _ = self._own.popitem(last=False)
            self._own_hints.discard(group_hint(session_id))
            self._given.pop(session_id, None)
            self._keys.pop(session_id, None)
            writes.append(Write(OUTBOUND, self._room + _OWN_KEY + session_id, None))
            writes.append(Write(OUTBOUND, self._room + _GIVEN_KEY + session_id, None))
        made = self._sessions.megolm_new(self._pickle_key)
        sequence = 0 if before is None else before.sequence + 1
        own = _Own(sequence, made.session_id, generation.commitment, int(wall), made.next_index, made.pickle)
        self._own[own.session_id] = own
        self._own_hints.add(group_hint(own.session_id))
        self._given[own.session_id] = {}
        self._keys[own.session_id] = {}
        writes.append(self._own_write(own))
        return own

    def _share(self, own: _Own, device: DeviceKey) -> None:
        """Note that ``device`` gets the session from its next message on."""
        self._given[own.session_id][device] = own.next_index
        keys = self._keys[own.session_id]
        if own.next_index not in keys:
            keys[own.next_index] = self._sessions.megolm_outbound(own.pickle, self._pickle_key).session_key

    def _own_write(self, own: _Own) -> Write:
        return Write(OUTBOUND, self._room + _OWN_KEY + own.session_id, _OWN_ROWS.encode(own))

    def _shares_write(self, session_id: bytes) -> Write:
        given, keys = self._given[session_id], self._keys[session_id]
        row = _Shares(
            tuple(_Given(device, given[device]) for device in sorted(given)),
            tuple(_KeyAt(index, keys[index]) for index in sorted(keys)),
        )
        return Write(OUTBOUND, self._room + _GIVEN_KEY + session_id, _SHARES_ROWS.encode(row))

    def _key_for(self, session_id: bytes, device: DeviceKey) -> bytes:
        """The session's key as ``device`` was given it."""
        return self._keys[session_id][self._given[session_id][device]]

    # --- receiving -----------------------------------------------------------------------------

    def take_key(self, author: DeviceKey, key: bytes, wall: float) -> tuple[bytes | None, list[Write]]:
        """Take a session's key (229 bytes) of a member's: the hint of messages that can be read now (None: nothing
        new), and what to keep.

        Raises:
            PeerError: somebody else brought this session.
            CryptoError: it is no session's key.
        """
        imported = self._sessions.megolm_import(key, self._pickle_key)
        held = self._inbound.get(imported.session_id)
        if imported.session_id in self._own or (held is not None and held.author != author):
            raise PeerError(RefusalCode.BAD_PROOF, "a session key from someone else")
        if held is not None and held.first_index <= imported.first_index:
            return None, []
        writes = self._make_room(author)
        session = _Inbound(imported.session_id, author, imported.first_index, int(wall), imported.pickle)
        return group_hint(imported.session_id), writes + self._hold(session)

    def decrypt(self, hint: bytes, message: bytes) -> Decrypted:
        """Read a group envelope's body.

        Raises:
            UnknownSession, AlreadySeen: see there.
            CryptoError: it does not decrypt.
        """
        if hint in self._own_hints:
            raise AlreadySeen
        session = self._inbound.get(self._by_hint.get(hint, b""))
        if session is None:
            raise UnknownSession
        decrypted = self._sessions.megolm_decrypt(session.pickle, self._pickle_key, message)
        if decrypted.index >= SESSION_INDEX_MAX:
            raise CryptoError
        if self._seen.get(session.session_id, 0) >> decrypted.index & 1:
            raise AlreadySeen
        return Decrypted(session.author, session.session_id, decrypted.index, decrypted.plaintext)

    def mark_seen(self, decrypted: Decrypted) -> Write:
        """Note (session, index) for good, so that no copy is read again."""
        bits = self._seen.get(decrypted.session_id, 0) | 1 << decrypted.index
        self._seen[decrypted.session_id] = bits
        return Write(SEEN, self._room + decrypted.session_id, bits.to_bytes((bits.bit_length() + 7) // 8, "little"))

    def knows(self, hint: bytes) -> bool:
        """Whether a session with this hint is here."""
        return hint in self._by_hint

    def author_of(self, hint: bytes) -> DeviceKey | None:
        """Whose session has this hint, ours among them; None where none is here."""
        if hint in self._own_hints:
            return self._me.device
        session = self._inbound.get(self._by_hint.get(hint, b""))
        return None if session is None else session.author

    def forget(self, state: RosterState, wall: float) -> list[Write]:
        """Erase sessions under which nothing can arrive any more, and those with devices that are out."""
        old = [s.session_id for s in self._inbound.values() if s.received + INBOUND_KEEP_SECONDS < wall]
        writes = [write for session_id in old for write in self._drop(session_id)]
        return writes + self.pairwise.forget(state)

    def _hold(self, session: _Inbound) -> list[Write]:
        self._inbound[session.session_id] = session
        self._by_hint[group_hint(session.session_id)] = session.session_id
        return [Write(INBOUND, self._room + _SESSION_KEY + session.session_id, _INBOUND_ROWS.encode(session))]

    def _make_room(self, author: DeviceKey) -> list[Write]:
        writes: list[Write] = []
        of_author = [s.session_id for s in self._inbound.values() if s.author == author]
        if len(of_author) >= INBOUND_SESSIONS_PER_DEVICE_MAX:
            writes += self._drop(of_author[0])
        if len(self._inbound) >= INBOUND_SESSIONS_MAX:
            writes += self._drop(next(iter(self._inbound)))
        return writes

    def _drop(self, session_id: bytes) -> list[Write]:
        self._inbound.pop(session_id, None)
        self._by_hint.pop(group_hint(session_id), None)
        writes = [Write(INBOUND, self._room + _SESSION_KEY + session_id, None)]
        # What was seen is forgotten with the session: without its key no copy can be read anyway.
        if self._seen.pop(session_id, None) is not None:
            writes.append(Write(SEEN, self._room + session_id, None))
        return writes

    # --- asking and answering ------------------------------------------------------------------

    def request(
        self, hints: Sequence[bytes], senders: Sequence[DeviceKey], record: PrekeyRecord | None, wall: float
    ) -> SealRequest:
        """Ask for the keys of sessions by hint (8 bytes each), and ``senders`` to start over. ``record``: our newest
        bundle, so that whoever lacks it can answer."""
        asked, time = (tuple(hints), tuple(senders)), int(wall)
        content = key_request_content(self._room, self._me.device, time, *asked)
        signature = sign(self._me.seed, KEY_REQUEST_LABEL, content)
        return seal_request(KeyRequest(self._me.device, time, *asked, record, signature))

    def answer(
        self, body: KeyRequest, state: RosterState, bundle_of: BundleOf, now: float, wall: float
    ) -> tuple[list[Write], list[SealRequest]]:
        """Give a member our sessions that it asks for: from where it was given each first, and one that it never was
        given only from the next message on. Who was given one and asks again gets it over a new pairwise session.

        Raises:
            PeerError: not a member's, forged, or repeated by somebody.
            UnknownAuthor: of a device that the roster does not know of.
        """
        content = key_request_content(self._room, body.author, body.time, body.hints, body.senders)
        if not verify(body.author, KEY_REQUEST_LABEL, content, body.signature) or body.author in state.out:
            raise PeerError(RefusalCode.BAD_SIGNATURE, "key request")
        if state.member(body.author) is None:
            raise UnknownAuthor("key request")
        self._check_fresh(body, wall)
        starts_over = self._me.device in body.senders
        current = self._current()
        asked = [
            own
            for own in self._own.values()
            if group_hint(own.session_id) in body.hints or (starts_over and own is current)
        ]
        writes: list[Write] = []
        keys: list[bytes] = []
        anew = starts_over
        for own in asked:
            if not self._may_answer(body.author, own.session_id, now):
                continue
            if body.author in self._given[own.session_id]:
                anew = True
            elif own.pickle:
                self._share(own, body.author)
                writes.append(self._shares_write(own.session_id))
            else:
                continue
            keys.append(self._key_for(own.session_id, body.author))
        if not keys:
            return [], []
        more, requests = self.pairwise.deliver([(body.author, keys)], bundle_of, wall, anew=anew, now=now)
        return writes + more, requests

    def _check_fresh(self, body: KeyRequest, wall: float) -> None:
        if body.time < self._asked_at.get(body.author, 0) or abs(wall - body.time) > KEY_REQUEST_AGE_MAX_SECONDS:
            raise PeerError(RefusalCode.OUTSIDE_WINDOW, "an old key request", penalty_points=0)
        self._asked_at[body.author] = body.time
        self._asked_at.move_to_end(body.author)
        if len(self._asked_at) > KEY_REQUESTS_MAX:
            self._asked_at.popitem(last=False)

    def _may_answer(self, device: DeviceKey, session_id: bytes, now: float) -> bool:
        last = self._answered.get((device, session_id))
        if device == self._me.device or (last is not None and now - last < KEY_ANSWER_AGAIN_SECONDS):
            return False
        self._answered[device, session_id] = now
        self._answered.move_to_end((device, session_id))
        if len(self._answered) > KEY_REQUESTS_MAX:
            self._answered.popitem(last=False)
        return True


def retired_writes(outbound: Iterable[tuple[bytes, bytes]]) -> tuple[Write, ...]:
    """What a device restored from an older copy must commit before it does anything, from all rows of its table.

    The original has gone on since the copy was made: an index or a ratchet's key used once more, for another message,
    would show both. So none of our sessions sends any more; the next message starts a new one. What was given to whom
    stays, so that members can still ask for it. Pairwise sessions go, and heal by being started over.

    Raises:
        MalformedInput: a row is damaged.
    """
    writes: list[Write] = []
    for key, value in outbound:
        kind = key[ROOM_ID_BYTES : ROOM_ID_BYTES + 1]
        if kind == _OWN_KEY:
            own = dataclasses.replace(_OWN_ROWS.decode(value), pickle=b"")
            writes.append(Write(OUTBOUND, key, _OWN_ROWS.encode(own)))
        elif kind == ROW_KEY:
            writes.append(Write(OUTBOUND, key, None))
    return tuple(writes)
