"""Megolm sessions of one device in one room: its own, to send with, and everyone's, to read with.

Owns: when a new session starts, who has which, key deliveries, requests and answers, replay windows, their rows.
Must not know: what messages say, epochs, how bodies travel. Spec: docs/spec/messages.md, "Sessions".

Every change comes back as writes; a pickle that moved on must be committed before what it encrypted leaves.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from railgun.core.generations import OwnDevice, open_sealed
from railgun.core.persistence import Write
from railgun.core.room_port import SealRequest
from railgun.core.roster_state import GenerationState, RosterState
from railgun.core.sealed_bodies import packed, seal_request
from railgun.crypto.message_ids import group_hint
from railgun.crypto.signing import sign, verify
from railgun.errors import CryptoError, PeerError, RefusalCode
from railgun.limits import (
    GENERATION_LIVE_DAYS,
    INBOUND_SESSIONS_MAX,
    INBOUND_SESSIONS_PER_DEVICE_MAX,
    KEY_ANSWER_AGAIN_SECONDS,
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
from railgun.wire.roster import DeviceField, HashField, TimeField
from railgun.wire.schema import Array, Bytes, Codec, Nested, Uint
from railgun.wire.sealed import (
    KEY_REQUEST_LABEL,
    SESSION_LABEL,
    KeyRequest,
    SealedKey,
    SessionDelivery,
    context,
    key_request_content,
    session_content,
)

OUTBOUND: Final = "outbound_sessions"
INBOUND: Final = "inbound_sessions"
SEEN: Final = "seen_indexes"
_OWN_KEY: Final = b"o"
_GIVEN_KEY: Final = b"g"
_SESSION_KEY: Final = b"s"
PICKLE_BYTES_MAX: Final = 65_536
INBOUND_KEEP_SECONDS: Final = SESSION_AGE_MAX_SECONDS + (GENERATION_LIVE_DAYS + 1) * 86_400

PrekeyOf: TypeAlias = Callable[[DeviceKey], bytes | None]
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

    # --- sending -------------------------------------------------------------------------------

    def ready(
        self, state: RosterState, generation: GenerationState, prekey_of: PrekeyOf, wall: float
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
        return writes, self._deliver(own.session_id, lacking, prekey_of)

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

    def _deliver(self, session_id: bytes, devices: Sequence[DeviceKey], prekey_of: PrekeyOf) -> list[SealRequest]:
        """The session's key for ``devices``, to each from where it was given it."""
        items = []
        for device in devices:
            key = self._keys[session_id][self._given[session_id][device]]
            prekey = prekey_of(device)
            if prekey is not None:
                info = context(SESSION_LABEL, self._room, self._me.device, session_id, device)
                items.append(SealedKey(device, self._sessions.hpke_seal(prekey, info, key)))

        def body(some: tuple[SealedKey, ...]) -> SessionDelivery:
            content = session_content(self._room, self._me.device, session_id, some)
            return SessionDelivery(self._me.device, session_id, some, sign(self._me.seed, SESSION_LABEL, content))

        return packed(items, body)

    # --- receiving -----------------------------------------------------------------------------

    def take_delivery(self, body: SessionDelivery, state: RosterState, wall: float) -> tuple[bytes | None, list[Write]]:
        """Take a session's key: the hint of messages that can be read now (None: nothing new), and what to keep.

        Raises:
            PeerError: its author is not a member, it is forged, or brings more than we hold of one device.
            CryptoError: it does not open, or is another session's.
        """
        item = next((item for item in body.items if item.recipient == self._me.device), None)
        held = self._inbound.get(body.session_id)
        if item is None or body.author == self._me.device:
            return None, []
        if state.member(body.author) is None or (held is not None and held.author != body.author):
            raise PeerError(RefusalCode.BAD_PROOF, "a session key from someone else")
        content = session_content(self._room, body.author, body.session_id, body.items)
        if not verify(body.author, SESSION_LABEL, content, body.signature):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "session delivery")
        info = context(SESSION_LABEL, self._room, body.author, body.session_id, self._me.device)
        key = open_sealed(self._me, info, item.sealed, self._sessions)
        imported = self._sessions.megolm_import(key, self._pickle_key)
        if imported.session_id != body.session_id:
            raise CryptoError
        if held is not None and held.first_index <= imported.first_index:
            return None, []
        writes = self._make_room(body.author)
        writes += self._hold(_Inbound(body.session_id, body.author, imported.first_index, int(wall), imported.pickle))
        return group_hint(body.session_id), writes

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

    def forget(self, wall: float) -> list[Write]:
        """Erase sessions under which nothing can arrive any more."""
        old = [s.session_id for s in self._inbound.values() if s.received + INBOUND_KEEP_SECONDS < wall]
        return [write for session_id in old for write in self._drop(session_id)]

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

    def request(self, hints: Sequence[bytes]) -> SealRequest:
        """Ask for the keys of sessions by hint (8 bytes each)."""
        content = key_request_content(self._room, self._me.device, tuple(hints))
        return seal_request(KeyRequest(self._me.device, tuple(hints), sign(self._me.seed, KEY_REQUEST_LABEL, content)))

    def answer(
        self, body: KeyRequest, state: RosterState, prekey_of: PrekeyOf, now: float
    ) -> tuple[list[Write], list[SealRequest]]:
        """Give a member our sessions that it asks for: from where it was given each first, and one that it never was
        given only from the next message on.

        Raises:
            PeerError: not a member's, or forged.
        """
        content = key_request_content(self._room, body.author, body.hints)
        known = state.member(body.author) is not None
        if not known or not verify(body.author, KEY_REQUEST_LABEL, content, body.signature):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "key request")
        writes: list[Write] = []
        requests: list[SealRequest] = []
        for own in [own for own in self._own.values() if group_hint(own.session_id) in body.hints]:
            if not self._may_answer(body.author, own.session_id, now):
                continue
            if body.author not in self._given[own.session_id]:
                if not own.pickle:
                    continue
                self._share(own, body.author)
                writes.append(self._shares_write(own.session_id))
            requests += self._deliver(own.session_id, [body.author], prekey_of)
        return writes, requests

    def _may_answer(self, device: DeviceKey, session_id: bytes, now: float) -> bool:
        last = self._answered.get((device, session_id))
        if device == self._me.device or (last is not None and now - last < KEY_ANSWER_AGAIN_SECONDS):
            return False
        self._answered[device, session_id] = now
        self._answered.move_to_end((device, session_id))
        if len(self._answered) > KEY_REQUESTS_MAX:
            self._answered.popitem(last=False)
        return True
