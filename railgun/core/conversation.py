"""What is said in one room, by one device: from content to envelope bodies, and back.

Owns: splitting and size classes, message ids, parents, replays, messages that wait for a key, the rows of messages.
Must not know: epochs, seats, clocks, how bodies travel or rows are stored. Spec: docs/spec/messages.md.

Each call answers with writes and requests apart: the writes are committed before any of the requests leaves.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Final

from railgun.core.generations import GenerationId, OwnDevice
from railgun.core.group_sessions import (
    INBOUND,
    OUTBOUND,
    AlreadySeen,
    Decrypted,
    GroupSessions,
    UnknownSession,
)
from railgun.core.outbox import Outbox
from railgun.core.pairwise import BundleOf
from railgun.core.persistence import Write
from railgun.core.reassembly import Reassembly
from railgun.core.room_port import SealRequest
from railgun.core.roster_state import GenerationState, RosterState
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import content_hash
from railgun.crypto.message_ids import message_id
from railgun.errors import CryptoError, MalformedInput, PeerError, UsageError
from railgun.limits import (
    CONTENT_BYTES_MAX,
    CONTENT_PARTS_MAX,
    KEY_REQUEST_AGAIN_SECONDS,
    KEY_REQUEST_BEHIND_SECONDS,
    KEY_REQUEST_FIRST_SECONDS,
    KEY_REQUEST_ITEMS_MAX,
    KEY_REQUEST_PACE_SECONDS,
    KEY_REQUEST_TIMES_MAX,
    KEY_REQUESTS_MAX,
    MESSAGE_PARENTS_MAX,
    MESSAGES_REMEMBERED_MAX,
    RECENT_MESSAGES_MAX,
    UNKNOWN_SESSION_ENVELOPES_MAX,
)
from railgun.ports import MessageArchive, Sessions
from railgun.types import DeviceKey, EnvelopeKind, MessageId, RoomId, SizeClass
from railgun.wire.content import (
    PARENTED,
    PLAINTEXT_BYTES_MAX,
    BeforeContent,
    Content,
    HeadsContent,
    OwnRoomsContent,
    PartContent,
    ReactionContent,
    RosterContent,
    TrailContent,
    TypingContent,
    WantContent,
    decode_content,
    encode_content,
    split_content,
)
from railgun.wire.envelope import smallest_class_for
from railgun.wire.file_content import FilePartContent, FileWantContent
from railgun.wire.roster import DeviceField, PrekeyRecord, TimeField
from railgun.wire.schema import Array, Bytes, Codec, Optional
from railgun.wire.sealed import SEALED_BODY_BYTES_MAX, KeyRequest

MESSAGES: Final = "messages"
_HEADS_KEY: Final = b"h"
_WAITING_KEY: Final = b"w"
NOT_KEPT: Final = (
    TypingContent,
    RosterContent,
    HeadsContent,
    WantContent,
    TrailContent,
    BeforeContent,
    OwnRoomsContent,
    FilePartContent,
    FileWantContent,
)
"""Contents that are acted on and are no part of the history."""
NOT_SEALED_AGAIN: Final = (TypingContent, HeadsContent, WantContent, TrailContent, BeforeContent)
"""Contents that are worth nothing later: whoever still needs to say them says them anew."""
NOT_A_HEAD: Final = (ReactionContent, *NOT_KEPT)


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as the store keeps it: author, Unix second of arrival, encoded content, original Megolm messages and
    their session's hint, with which it can be brought again."""

    author: DeviceField
    received: TimeField
    content: Annotated[bytes, Bytes(1, CONTENT_BYTES_MAX)] = field(repr=False)
    megolm: Annotated[tuple[bytes, ...], Array(Bytes(1, SEALED_BODY_BYTES_MAX), CONTENT_PARTS_MAX, 1)] = field(
        repr=False
    )
    hint: Annotated[bytes | None, Optional(Bytes(8))] = None


MESSAGE_ROWS: Final[Codec[MessageRow]] = Codec({1: MessageRow}, bytes_max=3 * CONTENT_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class _Heads:
    ids: Annotated[tuple[bytes, ...], Array(Bytes(16), RECENT_MESSAGES_MAX)]
    leaves: Annotated[tuple[bytes, ...] | None, Optional(Array(Bytes(16), RECENT_MESSAGES_MAX))] = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    hint: Annotated[bytes, Bytes(8)]
    body: Annotated[bytes, Bytes(1, SEALED_BODY_BYTES_MAX)] = field(repr=False)


_HEADS_ROWS: Final[Codec[_Heads]] = Codec({1: _Heads}, bytes_max=2_048)
_WAITING_ROWS: Final[Codec[_Waiting]] = Codec({1: _Waiting}, bytes_max=SEALED_BODY_BYTES_MAX + 64)


@dataclass(frozen=True, slots=True)
class Message:
    """What the application is shown. ``received`` is in Unix seconds, of our own clock."""

    message_id: MessageId
    author: DeviceKey
    content: Content
    received: int


@dataclass(frozen=True, slots=True)
class PreparedSend:
    """Commit ``writes``, then seal ``requests`` in order. Those with a reference are in the outbox until settled."""

    message_id: MessageId
    writes: tuple[Write, ...]
    requests: tuple[SealRequest, ...]


class ReceiveOutcome(enum.Enum):
    """What became of a group envelope."""

    NEW = "new"
    PARTIAL = "partial"
    WAITING = "waiting for its key"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Received:
    """``message`` stands with NEW alone. ``missing`` are parents that this device has not seen. ``message_id``: of a
    message that is here, or is not to be read whoever brings it."""

    outcome: ReceiveOutcome
    message: Message | None = None
    writes: tuple[Write, ...] = ()
    missing: tuple[MessageId, ...] = ()
    detail: str = ""
    message_id: MessageId | None = None


@dataclass(slots=True)
class _Asked:
    """``under``: the generations in which it was heard. ``is_behind``: in older ones alone."""

    at: float
    times: int = 0
    under: set[GenerationId] = field(default_factory=set)
    is_behind: bool = False


class Conversation:
    """One device's part in one room's messages."""

    def __init__(self, room: RoomId, me: OwnDevice, sessions: Sessions, pickle_key: bytes) -> None:
        """``pickle_key``: 32 bytes, secret; encrypts sessions in what is written."""
        self._room = room
        self._me = me
        self.sessions = GroupSessions(room, me, sessions, pickle_key)
        self.outbox = Outbox(room)
        self._parts = Reassembly(room)
        self._heads: list[MessageId] = []
        self._leaves: list[MessageId] = []
        self._recent: OrderedDict[MessageId, float] = OrderedDict()
        """Since when, in Unix seconds; 0 for what the last run of this device left."""
        self._named: OrderedDict[MessageId, None] = OrderedDict()
        self.archive: MessageArchive | None = None
        self.noted = 0
        """Messages of the history that this run has sent or got."""
        self.said = 0
        """Those of them that are our own."""
        self._waiting: OrderedDict[bytes, _Waiting] = OrderedDict()
        self._asked: OrderedDict[bytes, _Asked] = OrderedDict()
        self._ask_not_before = 0.0
        self._ask_behind_at = 0.0
        self.refused_keys = 0
        """Session keys that a member brought and that were none, or somebody else's."""
        self.refused_contents = 0
        """Messages that were read and say nothing that a member may say, since this was made."""
        self.refused_out = 0
        """Messages by devices that were removed or revoked and go on."""

    def load(
        self,
        outbound: Iterable[tuple[bytes, bytes]],
        inbound: Iterable[tuple[bytes, bytes]],
        seen: Iterable[tuple[bytes, bytes]],
        outbox: Iterable[tuple[bytes, bytes]],
        now: float,
    ) -> None:
        """Fill an empty machine from the rows of tables ``outbound_sessions``, ``inbound_sessions``,
        ``seen_indexes`` and ``outbox`` whose keys start with the room's id.

        Raises:
            MalformedInput: a row is damaged.
        """
        outbound, inbound = list(outbound), list(inbound)
        self.sessions.load(outbound, inbound, seen)
        self.outbox = Outbox.load(self._room, outbox)
        self._parts.load(inbound)
        start = len(self._room)
        for key, value in outbound:
            if key[start : start + 1] == _HEADS_KEY:
                row = _HEADS_ROWS.decode(value)
                self._heads = [MessageId(item) for item in row.ids]
                self._leaves = [MessageId(item) for item in row.leaves or ()]
        for key, value in sorted(inbound):
            if key[start : start + 1] == _WAITING_KEY:
                self._waiting[key] = _WAITING_ROWS.decode(value)
                self._ask(self._waiting[key].hint, now)
        self._recent = OrderedDict.fromkeys((*self._leaves, *self._heads), 0.0)

    def use_device(self, me: OwnDevice) -> None:
        """The same device with other prekey secrets (see `GroupSessions.use_device`)."""
        self._me = me
        self.sessions.use_device(me)

    @property
    def heads(self) -> tuple[MessageId, ...]:
        """Messages that no other one refers to yet, oldest first, at most RECENT_MESSAGES_MAX."""
        return tuple(self._heads)

    @property
    def leaves(self) -> tuple[MessageId, ...]:
        """The newest reactions, which no message will ever refer to, oldest first, at most RECENT_MESSAGES_MAX."""
        return tuple(self._leaves)

    def knows(self, name: MessageId) -> bool:
        """Whether this message of the history is here. Raises StoreError."""
        return name in self._recent or (self.archive is not None and self.archive.find(self._room, name) is not None)

    def arrived_at(self, name: MessageId) -> float:
        """Unix second at which this run got or sent it; 0 where it did not."""
        return self._recent.get(name, 0.0)

    # --- sending -------------------------------------------------------------------------------

    def prepare_send(
        self,
        content: Content,
        *,
        state: RosterState,
        generation: GenerationState,
        bundle_of: BundleOf,
        wall: float,
        size_class: SizeClass | None = None,
        keys: EpochKeys | None = None,
    ) -> PreparedSend:
        """Make envelope bodies of ``content``, to be sealed under ``generation``; text-like content gets its parents.

        ``size_class`` asks for a larger envelope than needed; for its sake the oldest parents are left out.
        ``keys`` are set where the room's sending keys of the moment are not meant.

        Raises:
            UsageError: this device is not a member, or the content does not fit ``size_class``.
            ValueError: a field of the content does not fit.
        """
        if state.member(self._me.device) is None:
            raise UsageError("this device is not a member of the room")
        content = self._with_parents(content, size_class)
        data = encode_content(content)
        if size_class is not None and len(data) > PLAINTEXT_BYTES_MAX[size_class] and size_class is not SizeClass.LARGE:
            raise UsageError(f"{len(data)} bytes do not fit an envelope of {size_class.envelope_bytes} bytes")
        writes, requests = self.sessions.ready(state, generation, bundle_of, wall)
        writes += self.outbox.add(requests)
        keeps = not isinstance(content, NOT_SEALED_AGAIN)
        pieces = split_content(data)
        first: MessageId | None = None
        hint, messages = b"", []
        for index, piece in enumerate(pieces):
            part = piece if len(pieces) == 1 else encode_content(PartContent(index, len(pieces), first or b"", piece))
            encrypted = self.sessions.encrypt(part)
            name = message_id(self._me.device, encrypted.message)
            first = first or name
            hint = encrypted.hint
            messages.append(encrypted.message)
            smallest = smallest_class_for(len(encrypted.message))
            request = SealRequest(
                EnvelopeKind.GROUP,
                encrypted.hint,
                encrypted.message,
                smallest if size_class is None else max(smallest, size_class),
                name if keeps else None,
            )
            writes += encrypted.writes
            writes += self.outbox.add([request])
            requests.append(request)
        if first is None:
            raise UsageError("there is nothing to send")
        if not isinstance(content, NOT_KEPT):
            row = MessageRow(self._me.device, int(wall), data, tuple(messages), hint)
            writes.append(self._message_write(first, row))
            self.said += 1
        writes += self._note(first, content, wall)
        if keys is not None:
            requests = [dataclasses.replace(request, keys=keys) for request in requests]
        return PreparedSend(first, tuple(writes), tuple(requests))

    def _with_parents(self, content: Content, size_class: SizeClass | None) -> Content:
        if not isinstance(content, PARENTED) or content.parents:
            return content
        parents = tuple(self._heads[-MESSAGE_PARENTS_MAX:])
        content = dataclasses.replace(content, parents=parents)
        while size_class is not None and parents and len(encode_content(content)) > PLAINTEXT_BYTES_MAX[size_class]:
            parents = parents[1:]
            content = dataclasses.replace(content, parents=parents)
        return content

    # --- receiving -----------------------------------------------------------------------------

    def receive_group(self, hint: bytes, body: bytes, state: RosterState, now: float, wall: float) -> Received:
        """Take the hint and body of a group envelope. Never raises for what a peer did."""
        try:
            decrypted = self.sessions.decrypt(hint, body)
        except UnknownSession:
            return self._wait(hint, body, now)
        except AlreadySeen:
            author = self.sessions.author_of(hint)
            known = None if author is None else message_id(author, body)
            if known is not None and not self.knows(known):
                known = None  # a part, or what was acted on and not kept
            return Received(ReceiveOutcome.DUPLICATE, message_id=known)
        except CryptoError:
            return Received(ReceiveOutcome.REFUSED, detail="it does not decrypt")
        if decrypted.author in state.removed or decrypted.author in state.revoked:
            self.refused_out += 1
            refused = message_id(decrypted.author, body)
            return Received(ReceiveOutcome.REFUSED, detail="its author was removed", message_id=refused)
        seen = self.sessions.mark_seen(decrypted)
        name = message_id(decrypted.author, body)
        try:
            content = decode_content(decrypted.plaintext)
        except MalformedInput as error:
            self.refused_contents += 1
            return Received(ReceiveOutcome.REFUSED, writes=(seen,), detail=error.detail)
        if isinstance(content, PartContent):
            return self._part(decrypted, name, content, body, hint, seen, wall)
        row = MessageRow(decrypted.author, int(wall), decrypted.plaintext, (body,), hint)
        return self._deliver(name, row, content, [seen], wall)

    def _part(
        self,
        decrypted: Decrypted,
        name: MessageId,
        part: PartContent,
        body: bytes,
        hint: bytes,
        seen: Write,
        wall: float,
    ) -> Received:
        whole, writes = self._parts.add(decrypted.author, name, part, body)
        if whole is None:
            return Received(ReceiveOutcome.PARTIAL, writes=(seen, *writes))
        try:
            content = decode_content(whole.data)
        except MalformedInput as error:
            self.refused_contents += 1
            return Received(ReceiveOutcome.REFUSED, writes=(seen, *writes), detail=error.detail)
        if isinstance(content, PartContent):
            self.refused_contents += 1
            return Received(ReceiveOutcome.REFUSED, writes=(seen, *writes), detail="a part within parts")
        row = MessageRow(decrypted.author, int(wall), whole.data, whole.megolm, hint)
        return self._deliver(whole.message_id, row, content, [seen, *writes], wall)

    def _deliver(
        self, name: MessageId, row: MessageRow, content: Content, writes: list[Write], wall: float
    ) -> Received:
        is_kept = not isinstance(content, NOT_KEPT)
        if is_kept and self.knows(name):
            # Brought again by a member, after the session that it was read under first had been forgotten.
            return Received(ReceiveOutcome.DUPLICATE, writes=tuple(writes), message_id=name)
        missing: tuple[MessageId, ...] = ()
        if isinstance(content, PARENTED):
            missing = tuple(parent for parent in content.parents if not self.knows(parent))
        if is_kept:
            writes.append(self._message_write(name, row))
        writes += self._note(name, content, wall)
        message = Message(name, row.author, content, row.received)
        return Received(ReceiveOutcome.NEW, message, tuple(writes), missing, message_id=name if is_kept else None)

    def receive_pairwise(
        self, body: bytes, state: RosterState, bundle_of: BundleOf, now: float, wall: float
    ) -> list[Received]:
        """Take what a pairwise envelope's body says to us, and read what waited for it: first the body's own writes,
        then one result a message.

        Raises:
            MalformedInput, PeerError, CryptoError: as `PairwiseSessions.take` and `GroupSessions.take_key`.
        """
        taken = self.sessions.pairwise.take(body, state, bundle_of, now, wall)
        if taken is None:
            return []
        writes, hints = list(taken.writes), []
        for key in taken.keys:
            try:
                hint, more = self.sessions.take_key(taken.author, key, wall)
            except (PeerError, CryptoError):
                self.refused_keys += 1
                continue
            writes += more
            if hint is not None:
                hints.append(hint)
        results = [Received(ReceiveOutcome.PARTIAL, writes=tuple(writes))]
        for hint in hints:
            self._asked.pop(hint, None)
            for key in [key for key, waiting in self._waiting.items() if waiting.hint == hint]:
                waiting = self._waiting.pop(key)
                result = self.receive_group(hint, waiting.body, state, now, wall)
                results.append(dataclasses.replace(result, writes=(*result.writes, Write(INBOUND, key, None))))
        return results

    def receive_key_request(
        self, body: KeyRequest, state: RosterState, bundle_of: BundleOf, now: float, wall: float
    ) -> tuple[list[Write], list[SealRequest]]:
        """Answer a member who lacks sessions of ours. Raises PeerError as `GroupSessions.answer`."""
        writes, requests = self.sessions.answer(body, state, bundle_of, now, wall)
        return [*writes, *self.outbox.add(requests)], requests

    # --- waiting for keys ----------------------------------------------------------------------

    def next_key_request_at(self) -> float | None:
        """Monotonic second at which `key_requests_due` has something to say."""
        asked = [max(asked.at, self._ask_behind_at if asked.is_behind else asked.at) for asked in self._asked.values()]
        broken_at = self.sessions.pairwise.next_broken_at()
        at = min(asked if broken_at is None else [*asked, broken_at], default=None)
        return None if at is None else max(at, self._ask_not_before)

    def key_requests_due(
        self, now: float, wall: float, record: PrekeyRecord | None
    ) -> tuple[list[Write], SealRequest | None, frozenset[GenerationId] | None]:
        """Ask for keys that did not come by themselves; give up, with what waited, after KEY_REQUEST_TIMES_MAX.

        ``record``: this device's newest bundle, for whoever lacks it. The last of the answer: the generations in which
        those who are asked were heard, and so listen; None where that is not known.
        """
        writes: list[Write] = []
        hints: list[bytes] = []
        if now < self._ask_not_before:
            return writes, None, frozenset()
        under: set[GenerationId] = set()
        is_known, is_behind = True, False
        for hint, asked in list(self._asked.items()):
            if asked.at > now or (asked.is_behind and now < self._ask_behind_at):
                continue
            if asked.times >= KEY_REQUEST_TIMES_MAX or not any(w.hint == hint for w in self._waiting.values()):
                writes += self._give_up(hint)
            elif len(hints) < KEY_REQUEST_ITEMS_MAX:
                asked.times += 1
                asked.at = now + KEY_REQUEST_AGAIN_SECONDS * 2 ** (asked.times - 1)
                hints.append(hint)
                under |= asked.under
                is_known = is_known and bool(asked.under)
                is_behind = is_behind or asked.is_behind
        senders = self.sessions.pairwise.broken_due(now)
        request = self.sessions.request(hints, senders, record, wall) if hints or senders else None
        if request is not None:
            self._ask_not_before = now + KEY_REQUEST_PACE_SECONDS
        if is_behind:
            self._ask_behind_at = now + KEY_REQUEST_BEHIND_SECONDS
        return writes, request, frozenset(under) if is_known and not senders else None

    def waits_for(self, hint: bytes) -> bool:
        """Whether the key of the session with this hint is asked for."""
        return hint in self._asked

    def heard_under(self, hint: bytes, generation: GenerationId, *, is_behind: bool) -> None:
        """What waits for this session's key came under a generation (g, c). ``is_behind``: an older one, whose keys who
        was removed has as well."""
        asked = self._asked.get(hint)
        if asked is not None:
            asked.is_behind = is_behind and (asked.is_behind or not asked.under)
            asked.under.add(generation)

    def _give_up(self, hint: bytes) -> list[Write]:
        self._asked.pop(hint, None)
        keys = [key for key, waiting in self._waiting.items() if waiting.hint == hint]
        for key in keys:
            del self._waiting[key]
        return [Write(INBOUND, key, None) for key in keys]

    def _wait(self, hint: bytes, body: bytes, now: float) -> Received:
        key = self._room + _WAITING_KEY + content_hash(hint + body)[:16]
        if key in self._waiting:
            return Received(ReceiveOutcome.DUPLICATE)
        try:
            value = _WAITING_ROWS.encode(_Waiting(hint, body))
        except ValueError:
            return Received(ReceiveOutcome.REFUSED, detail="an empty body")
        self._waiting[key] = _Waiting(hint, body)
        writes = [Write(INBOUND, key, value)]
        if len(self._waiting) > UNKNOWN_SESSION_ENVELOPES_MAX:
            oldest, _ = self._waiting.popitem(last=False)
            writes.append(Write(INBOUND, oldest, None))
        self._ask(hint, now)
        return Received(ReceiveOutcome.WAITING, writes=tuple(writes))

    def _ask(self, hint: bytes, now: float) -> None:
        self._asked.setdefault(hint, _Asked(now + KEY_REQUEST_FIRST_SECONDS))
        if len(self._asked) > KEY_REQUESTS_MAX:
            self._asked.popitem(last=False)

    # --- order ---------------------------------------------------------------------------------

    def _note(self, name: MessageId, content: Content, wall: float) -> list[Write]:
        """Let what follows name this message as a parent."""
        if isinstance(content, NOT_KEPT):
            return []
        self.noted += 1
        self._recent[name] = wall
        while len(self._recent) > MESSAGES_REMEMBERED_MAX:
            self._recent.popitem(last=False)
        if isinstance(content, NOT_A_HEAD):
            self._leaves = [*self._leaves, name][-RECENT_MESSAGES_MAX:]
        else:
            replaced = content.parents if isinstance(content, PARENTED) else ()
            self._named.update(dict.fromkeys(replaced))
            while len(self._named) > MESSAGES_REMEMBERED_MAX:
                self._named.popitem(last=False)
            self._heads = [head for head in self._heads if head not in replaced and head != name]
            if name not in self._named:  # else it comes after what names it
                self._heads = [*self._heads, name][-RECENT_MESSAGES_MAX:]
        row = _Heads(tuple(self._heads), tuple(self._leaves) or None)
        return [Write(OUTBOUND, self._room + _HEADS_KEY, _HEADS_ROWS.encode(row))]

    def _message_write(self, name: MessageId, row: MessageRow) -> Write:
        return Write(MESSAGES, self._room + name, MESSAGE_ROWS.encode(row))


def read_message(name: MessageId, value: bytes) -> Message:
    """A message from its row. Raises MalformedInput where the row is damaged."""
    row = MESSAGE_ROWS.decode(value)
    content = decode_content(row.content)
    if isinstance(content, PartContent):
        raise MalformedInput("a part stored as a message")
    return Message(name, row.author, content, row.received)


__all__ = [
    "Conversation",
    "Message",
    "MessageRow",
    "PreparedSend",
    "ReceiveOutcome",
    "Received",
    "read_message",
]
