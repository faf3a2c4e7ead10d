"""Olm sessions of one device with the others of one room, and what is told over them: Megolm session keys.

Owns: which session to use, when a new one starts, first messages under X-Wing, packing, replays, what broke, the rows.
Must not know: why a key is given to someone, epochs, how bodies travel. Spec: docs/spec/messages.md, "Pairwise bodies".

A session that moved on is a write; it is committed before what it encrypted leaves, so a crash uses no key twice.
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
from railgun.core.roster_doubts import UnknownAuthor
from railgun.core.roster_entries import DeviceBundle
from railgun.core.roster_state import RosterState
from railgun.core.sealed_bodies import REFERENCE_BYTES
from railgun.crypto.hashing import content_hash, keyed_hash
from railgun.crypto.message_ids import pairwise_hint
from railgun.crypto.signing import sign, verify
from railgun.errors import CryptoError, MalformedInput, PeerError, RefusalCode
from railgun.limits import (
    KEY_REQUEST_SENDERS_MAX,
    PAIRWISE_BROKEN_MAX,
    PAIRWISE_FRESH_SECONDS,
    PAIRWISE_HEAL_FIRST_SECONDS,
    PAIRWISE_HEAL_SECONDS,
    PAIRWISE_HEAL_TIMES_MAX,
    PAIRWISE_KEYS_MAX,
    PAIRWISE_SESSIONS_PER_DEVICE_MAX,
    PAIRWISE_TAKEN_MAX,
)
from railgun.ports import DecryptedOlm, Sessions
from railgun.types import DeviceKey, EnvelopeKind, RoomId
from railgun.wire.envelope import smallest_class_for
from railgun.wire.pairwise import (
    PAIRWISE_BODIES,
    PAIRWISE_LABEL,
    SHARED_KEYS,
    PairwiseBody,
    PairwiseItem,
    SharedKeys,
    pack_items,
    pairwise_content,
)
from railgun.wire.roster import DeviceField, HashField, TimeField
from railgun.wire.schema import Bytes, Codec, Uint
from railgun.wire.sealed import context

TABLE: Final = "outbound_sessions"
ROW_KEY: Final = b"d"
TAKEN_KEY: Final = b"t"
_TIME_BYTES: Final = 8
PICKLE_BYTES_MAX: Final = 65_536
CONTEXT_LABEL: Final = "railgun/pairwise-context/v1"

BundleOf: TypeAlias = Callable[[DeviceKey], DeviceBundle | None]


@dataclass(frozen=True, slots=True)
class _Row:
    """One session. Of a device's sessions the one with the greatest ``rank`` is used: made, or heard under, last.

    ``theirs`` and ``ours``: when the bundles were issued that both sides had when it was made."""

    device: DeviceField
    session_id: HashField
    rank: Annotated[int, Uint()]
    theirs: TimeField
    ours: TimeField
    pickle: Annotated[bytes, Bytes(1, PICKLE_BYTES_MAX)] = field(repr=False)


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=PICKLE_BYTES_MAX + 256)


@dataclass(frozen=True, slots=True)
class Taken:
    """Megolm session keys from their author, and what to keep."""

    author: DeviceKey
    keys: tuple[bytes, ...] = field(repr=False)
    writes: tuple[Write, ...]


@dataclass(slots=True)
class _Broken:
    at: float
    times: int = 0


class PairwiseSessions:
    """All Olm sessions of one device in one room. A room's sessions are its own: rooms do not depend on each other."""

    def __init__(self, room: RoomId, me: OwnDevice, sessions: Sessions, pickle_key: bytes) -> None:
        """``pickle_key``: 32 bytes, secret; encrypts what is written, and the device's account."""
        self._room = room
        self._me = me
        self._sessions = sessions
        self._pickle_key = pickle_key
        self._held: dict[DeviceKey, dict[bytes, _Row]] = {}
        self._rank = 0
        self._taken: OrderedDict[bytes, int] = OrderedDict()
        self._broken: OrderedDict[DeviceKey, _Broken] = OrderedDict()
        self._renewed: OrderedDict[DeviceKey, float] = OrderedDict()
        self.unreachable_count = 0
        """Devices that something was for and whose bundle no session can be started from."""

    def __repr__(self) -> str:
        return f"PairwiseSessions({len(self._held)} devices, <redacted>)"

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Fill an empty machine from the rows of its table whose keys start with the room's id; rows of other kinds are
        passed over.

        Raises:
            MalformedInput: a row is damaged.
        """
        start = len(self._room)
        taken: list[tuple[int, bytes]] = []
        for key, value in rows:
            if key[start : start + 1] == TAKEN_KEY:
                taken.append((int.from_bytes(value, "big"), key[start + 1 :]))
            if key[start : start + 1] == ROW_KEY:
                row = _ROWS.decode(value)
                self._held.setdefault(row.device, {})[row.session_id] = row
                self._rank = max(self._rank, row.rank)
        self._taken.update((digest, made) for made, digest in sorted(taken))

    def use_device(self, me: OwnDevice) -> None:
        """The same device with other prekeys and another account."""
        self._me = me

    # --- telling -------------------------------------------------------------------------------

    def deliver(
        self,
        keys: Sequence[tuple[DeviceKey, Sequence[bytes]]],
        bundle_of: BundleOf,
        wall: float,
        *,
        anew: bool = False,
        now: float = 0.0,
    ) -> tuple[list[Write], list[SealRequest]]:
        """Megolm session keys (229 bytes each) for devices: commit the writes, then send the requests.

        ``anew``: what they had did not work, so start new sessions, but at most one a device in a while (of ``now``).
        A device without a bundle gets nothing; it asks, and brings its bundle along.
        """
        made = int(wall)
        writes: list[Write] = []
        items: list[PairwiseItem] = []
        for device, some in keys:
            bundle = bundle_of(device)
            if bundle is None:
                continue
            fresh = anew and self._may_renew(device, now)
            for first in range(0, len(some), PAIRWISE_KEYS_MAX):
                try:
                    item, more = self._seal(device, bundle, tuple(some[first : first + PAIRWISE_KEYS_MAX]), made, fresh)
                except CryptoError:
                    self.unreachable_count += 1
                    break
                fresh = False
                items.append(item)
                writes += more
        return writes, [self._request(body, made) for body in pack_items(items)]

    def _request(self, items: tuple[PairwiseItem, ...], made: int) -> SealRequest:
        signature = sign(self._me.seed, PAIRWISE_LABEL, pairwise_content(self._room, self._me.device, made, items))
        data = PAIRWISE_BODIES.encode(PairwiseBody(self._me.device, made, items, signature))
        reference = content_hash(data)[:REFERENCE_BYTES]
        return SealRequest(EnvelopeKind.PAIRWISE, items[0].hint, data, smallest_class_for(len(data)), reference)

    def _seal(
        self, device: DeviceKey, bundle: DeviceBundle, keys: tuple[bytes, ...], made: int, fresh: bool
    ) -> tuple[PairwiseItem, list[Write]]:
        writes: list[Write] = []
        row = None if fresh else self._usable(device, bundle)
        if row is None:
            started = self._sessions.olm_start(self._me.account, self._pickle_key, bundle.account_key, bundle.fallback)
            row = self._next_row(device, started.session_id, bundle.issued, started.pickle)
        shared = SharedKeys(self._context(self._me.device, device), made, keys)
        encrypted = self._sessions.olm_encrypt(row.pickle, self._pickle_key, SHARED_KEYS.encode(shared))
        message = encrypted.message
        if encrypted.is_first:
            # A first message shows the keys that the session follows from: whoever keeps it for the day on which
            # Curve25519 falls shall find them under ML-KEM.
            message = self._sessions.hpke_seal(bundle.prekey, self._info(self._me.device, device), message)
        writes += self._keep(dataclasses.replace(row, pickle=encrypted.pickle))
        return PairwiseItem(pairwise_hint(device, made), encrypted.is_first, message), writes

    def _usable(self, device: DeviceKey, bundle: DeviceBundle) -> _Row | None:
        """The session used last. None of those older than a bundle: whoever copied a device reads on until then."""
        rows = self._held.get(device, {}).values()
        fit = [row for row in rows if row.theirs >= bundle.issued and row.ours >= self._me.issued]
        return max(fit, key=lambda row: row.rank, default=None)

    def _may_renew(self, device: DeviceKey, now: float) -> bool:
        last = self._renewed.get(device)
        if last is not None and now - last < PAIRWISE_FRESH_SECONDS:
            return False
        self._renewed[device] = now
        self._renewed.move_to_end(device)
        if len(self._renewed) > PAIRWISE_BROKEN_MAX:
            self._renewed.popitem(last=False)
        return True

    # --- hearing -------------------------------------------------------------------------------

    def take(self, data: bytes, state: RosterState, bundle_of: BundleOf, now: float, wall: float) -> Taken | None:
        """What a pairwise envelope's body says to this device; None where it says nothing, or nothing new.

        Raises:
            MalformedInput, PeerError: no body, not a member's, or forged.
            CryptoError: it is for us and does not open: `broken_due` will say whom to ask.
        """
        body = PAIRWISE_BODIES.decode(data)
        hint = pairwise_hint(self._me.device, body.made)
        item = next((item for item in body.items if item.hint == hint), None)
        member = state.member(body.author)
        if item is None or body.author == self._me.device:
            return None
        content = pairwise_content(self._room, body.author, body.made, body.items)
        if not verify(body.author, PAIRWISE_LABEL, content, body.signature) or body.author in state.out:
            raise PeerError(RefusalCode.BAD_SIGNATURE, "pairwise body")
        if member is None:
            raise UnknownAuthor("pairwise body")
        # The same body comes again when it is sealed again, after each start, and whenever a member likes.
        digest = content_hash(item.message)
        if digest in self._taken:
            return None
        writes = self._note_taken(digest, body.made)
        bundle = bundle_of(body.author)
        issued = 0 if bundle is None else bundle.issued
        try:
            row, plaintext = self._open(body.author, member.certificate.account_key, item, issued)
            shared = self._read(plaintext, body)
        except (CryptoError, MalformedInput) as error:
            self._note_broken(body.author, now)
            raise CryptoError from error
        self._broken.pop(body.author, None)
        return Taken(body.author, shared.keys, (*writes, *self._keep(row)))

    def _note_taken(self, digest: bytes, made: int) -> list[Write]:
        """Kept: seats bring it again after a start, when its key is used up: that is no broken session."""
        self._taken[digest] = made
        writes = [Write(TABLE, self._room + TAKEN_KEY + digest, made.to_bytes(_TIME_BYTES, "big"))]
        if len(self._taken) > PAIRWISE_TAKEN_MAX:
            oldest, _ = self._taken.popitem(last=False)
            writes.append(Write(TABLE, self._room + TAKEN_KEY + oldest, None))
        return writes

    def _open(self, author: DeviceKey, account_key: bytes, item: PairwiseItem, issued: int) -> tuple[_Row, bytes]:
        """The session as it is after the message, ranked first, and the plaintext. Nothing is kept yet."""
        held = self._held.get(author, {})
        if item.first:
            message = open_sealed(self._me, self._info(author, self._me.device), item.message, self._sessions)
            row = held.get(self._sessions.olm_session_id(message))
            if row is not None:
                return self._moved(row, self._decrypt(row, message, is_first=True))
            accepted = self._sessions.olm_accept(self._me.account, self._pickle_key, account_key, message)
            session = accepted.session
            return self._next_row(author, session.session_id, issued, session.pickle), accepted.plaintext
        for row in sorted(held.values(), key=lambda row: -row.rank):
            try:
                return self._moved(row, self._decrypt(row, item.message, is_first=False))
            except CryptoError:
                continue
        raise CryptoError

    def _decrypt(self, row: _Row, message: bytes, *, is_first: bool) -> DecryptedOlm:
        return self._sessions.olm_decrypt(row.pickle, self._pickle_key, message, is_first=is_first)

    def _moved(self, row: _Row, decrypted: DecryptedOlm) -> tuple[_Row, bytes]:
        self._rank += 1
        return dataclasses.replace(row, rank=self._rank, pickle=decrypted.session.pickle), decrypted.plaintext

    def _read(self, plaintext: bytes, body: PairwiseBody) -> SharedKeys:
        shared = SHARED_KEYS.decode(plaintext)
        # Olm proves account keys, and a certificate may name somebody else's: the context says who means whom.
        if shared.context != self._context(body.author, self._me.device) or shared.made != body.made:
            raise CryptoError
        return shared

    def _context(self, author: DeviceKey, recipient: DeviceKey) -> bytes:
        return keyed_hash(None, CONTEXT_LABEL, self._room + author + recipient)

    def _info(self, author: DeviceKey, recipient: DeviceKey) -> bytes:
        return context(PAIRWISE_LABEL, self._room, author, recipient)

    # --- what broke ----------------------------------------------------------------------------

    def _note_broken(self, author: DeviceKey, now: float) -> None:
        self._broken.setdefault(author, _Broken(now + PAIRWISE_HEAL_FIRST_SECONDS))
        if len(self._broken) > PAIRWISE_BROKEN_MAX:
            self._broken.popitem(last=False)

    def next_broken_at(self) -> float | None:
        """Monotonic second at which `broken_due` has something to say."""
        waiting = [broken.at for broken in self._broken.values() if broken.times < PAIRWISE_HEAL_TIMES_MAX]
        return min(waiting, default=None)

    def broken_due(self, now: float) -> tuple[DeviceKey, ...]:
        """Whose messages could not be opened and have not come anew: ask them to start over. Ever more rarely."""
        due: list[DeviceKey] = []
        for device, broken in self._broken.items():
            if broken.at <= now and broken.times < PAIRWISE_HEAL_TIMES_MAX and len(due) < KEY_REQUEST_SENDERS_MAX:
                broken.times += 1
                broken.at = now + PAIRWISE_HEAL_SECONDS * 2 ** (broken.times - 1)
                due.append(device)
        return tuple(due)

    # --- keeping -------------------------------------------------------------------------------

    def forget(self, state: RosterState) -> list[Write]:
        """Erase sessions with devices that are out."""
        gone = [device for device in sorted(self._held) if state.member(device) is None]
        return [self._erased(row) for device in gone for row in self._held.pop(device).values()]

    def _next_row(self, device: DeviceKey, session_id: bytes, theirs: int, pickle: bytes) -> _Row:
        self._rank += 1
        return _Row(device, session_id, self._rank, theirs, self._me.issued, pickle)

    def _keep(self, row: _Row) -> list[Write]:
        held = self._held.setdefault(row.device, {})
        held[row.session_id] = row
        writes = [Write(TABLE, self._key(row), _ROWS.encode(row))]
        if len(held) > PAIRWISE_SESSIONS_PER_DEVICE_MAX:
            writes.append(self._erased(held.pop(min(held.values(), key=lambda other: other.rank).session_id)))
        return writes

    def _erased(self, row: _Row) -> Write:
        return Write(TABLE, self._key(row), None)

    def _key(self, row: _Row) -> bytes:
        return self._room + ROW_KEY + row.device + row.session_id
