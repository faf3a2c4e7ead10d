"""Files that others offer in one room: which are collected, what has come of each, what is asked for again.

Owns: states and bounds of files under way to this device, and their rows. Must not know: disks, names that are safe,
sessions, how anything travels. Spec: docs/spec/files.md.

Pieces are kept in the store, sealed like messages, until the application takes the whole: one that was read is not
brought again by itself, and a restart goes on from what is there.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.core.file_table import TABLE, FileTable
from railgun.core.persistence import Write
from railgun.crypto.hashing import keyed_hash
from railgun.errors import UsageError
from railgun.limits import (
    FILE_ASK_SECONDS,
    FILE_ASK_TIMES_MAX,
    FILE_BYTES_MAX,
    FILE_NAME_BYTES_MAX,
    FILE_WANT_RANGES_MAX,
    FILES_HELD_BYTES_MAX,
    FILES_INCOMING_MAX,
)
from railgun.types import DeviceKey, MessageId, RoomId
from railgun.wire.content import FileOfferContent
from railgun.wire.file_content import (
    FILE_UNIT_BYTES,
    FILE_UNITS_MAX,
    FilePartContent,
    FileWantContent,
    UnitSet,
    units_of,
)
from railgun.wire.roster import DeviceField
from railgun.wire.schema import Bytes, Codec, Text, Uint

STATE_KEY: Final = b"i"
PART_KEY: Final = b"p"
JITTER_LABEL: Final = "railgun/file-turn/v1"
HEARD_AGAIN_SECONDS: Final = 5.0


class IncomingState(enum.IntEnum):
    """How it stands with a file of somebody else's."""

    COMING = 0
    WHOLE = 1
    """All pieces are here; whether they are what was offered is checked when they are taken."""
    TAKEN = 2
    """The application has it; the pieces are gone."""
    WITHDRAWN = 3
    """Its author took it back."""
    DECLINED = 4
    """This device does not want it: too large, no room left, or the application said so."""
    FALSE = 5
    """It was not what its author had offered."""


@dataclass(frozen=True, slots=True)
class _Row:
    author: DeviceField
    name: Annotated[str, Text(FILE_NAME_BYTES_MAX, 1)]
    media_type: Annotated[str, Text(FILE_NAME_BYTES_MAX)]
    size_bytes: Annotated[int, Uint()]
    content_hash: Annotated[bytes, Bytes(32)]
    sequence: Annotated[int, Uint()]
    state: Annotated[IncomingState, Uint(5, IncomingState)]
    held: Annotated[bytes, Bytes(0, FILE_UNITS_MAX // 8 + 1)]


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=FILE_UNITS_MAX // 8 + 1_024)


@dataclass(slots=True)
class IncomingFile:
    """One file. ``held`` are the units that are here; ``name`` is its author's word, safe nowhere."""

    file: MessageId
    author: DeviceKey
    name: str
    media_type: str
    size_bytes: int
    content_hash: bytes
    sequence: int
    state: IncomingState
    held: UnitSet
    ask_at: float = 0.0
    asked: int = 0

    @property
    def bytes_held(self) -> int:
        """Of the file's own bytes."""
        return self.held.bytes_of(self.size_bytes)


class IncomingFiles(FileTable[IncomingFile]):
    """One room's. ``bytes_max``: larger files are not collected."""

    def __init__(self, room: RoomId, own: DeviceKey, bytes_max: int) -> None:
        super().__init__(room)
        self._own = own
        self._bytes_max = min(bytes_max, FILE_BYTES_MAX)

    def load(self, rows: Iterable[tuple[bytes, bytes]], now: float) -> None:
        """Fill an empty machine from the rows of ``files`` whose keys start with the room's id and ``i``.

        Raises:
            MalformedInput, ValueError: a row is damaged.
        """
        found = []
        for key, value in rows:
            row = _ROWS.decode(value)
            held = UnitSet(_units(row.size_bytes), row.held)
            found.append(
                IncomingFile(
                    self._file_of(key),
                    row.author,
                    row.name,
                    row.media_type,
                    row.size_bytes,
                    row.content_hash,
                    row.sequence,
                    row.state,
                    held,
                )
            )
        self._restore(found)
        for incoming in self._files.values():
            self._ask_later(incoming, now)

    # --- what the room brings -------------------------------------------------------------------

    def offered(self, file: MessageId, author: DeviceKey, offer: FileOfferContent, now: float) -> list[Write]:
        """A member offers a file: it is collected if it fits."""
        if file in self._files:
            return []
        writes = self._make_room()
        fits = offer.size_bytes <= self._bytes_max and self._bytes_kept() + offer.size_bytes <= FILES_HELD_BYTES_MAX
        state = IncomingState.COMING if fits else IncomingState.DECLINED
        if fits and not offer.size_bytes:
            state = IncomingState.WHOLE
        incoming = IncomingFile(
            file,
            author,
            offer.name,
            offer.media_type,
            offer.size_bytes,
            offer.content_hash,
            next(self._sequence),
            state,
            UnitSet(_units(offer.size_bytes)),
        )
        self._files[file] = incoming
        self._ask_later(incoming, now)
        return [*writes, self._write(incoming)]

    def part(self, author: DeviceKey, part: FilePartContent, now: float) -> list[Write]:
        """A piece came; none but the offer's author may bring it. Empty where it is not wanted."""
        incoming = self._files.get(part.file)
        if incoming is None or incoming.author != author or incoming.state is not IncomingState.COMING:
            return []
        count = units_of(len(part.data))
        end_bytes = part.first * FILE_UNIT_BYTES + len(part.data)
        is_last = end_bytes == incoming.size_bytes
        if end_bytes > incoming.size_bytes or (len(part.data) % FILE_UNIT_BYTES and not is_last):
            return []
        if incoming.held.has_any(part.first, count):
            return []
        incoming.held.add(part.first, count)
        incoming.asked = 0
        self._ask_later(incoming, now)
        if incoming.held.is_full:
            incoming.state = IncomingState.WHOLE
        return [Write(TABLE, part_key(self._room, part.file, part.first), part.data), self._write(incoming)]

    def withdrawn(self, author: DeviceKey, file: MessageId) -> list[Write]:
        """A member deleted a message: if it was its own offer, what has come of the file goes."""
        incoming = self._files.get(file)
        if incoming is None or incoming.author != author or incoming.state is IncomingState.TAKEN:
            return []
        return self._end(incoming, IncomingState.WITHDRAWN)

    def heard(self, author: DeviceKey, now: float) -> None:
        """A member is there again: ask it for what it left unfinished."""
        for incoming in self._files.values():
            is_given_up = incoming.state is IncomingState.COMING and incoming.asked >= FILE_ASK_TIMES_MAX
            if incoming.author == author and is_given_up:
                incoming.asked = 0
                incoming.ask_at = now + HEARD_AGAIN_SECONDS + self._turn(incoming)

    # --- what the application does --------------------------------------------------------------

    def taken(self, file: MessageId, *, is_true: bool) -> list[Write]:
        """The application has it (or it is not what was offered): its pieces go."""
        incoming = self._known(file)
        return self._end(incoming, IncomingState.TAKEN if is_true else IncomingState.FALSE)

    def decline(self, file: MessageId) -> list[Write]:
        """Collect no more of it, and drop what is here. Raises UsageError: there is no such file, or it is taken."""
        incoming = self._known(file)
        if incoming.state is IncomingState.TAKEN:
            raise UsageError("this file was saved already")
        return self._end(incoming, IncomingState.DECLINED)

    def collect(self, file: MessageId, now: float) -> list[Write]:
        """Collect it after all: it was declined, or gave no sign for long.

        Raises:
            UsageError: there is no such file, it is not to be had any more, or too much is kept already.
        """
        incoming = self._known(file)
        match incoming.state:
            case IncomingState.WITHDRAWN | IncomingState.FALSE | IncomingState.TAKEN:
                raise UsageError(f"this file cannot be had any more: it was {_WHY[incoming.state]}")
            case IncomingState.WHOLE:
                return []
            case IncomingState.DECLINED:
                if incoming.size_bytes > self._bytes_max:
                    raise UsageError(
                        f"this file has {incoming.size_bytes} bytes, more than files.bytes_max ({self._bytes_max})"
                    )
                if self._bytes_kept() + incoming.size_bytes > FILES_HELD_BYTES_MAX:
                    raise UsageError("too many bytes of files wait to be saved: save or decline some first")
                incoming.state = IncomingState.COMING
        incoming.asked, incoming.ask_at = 0, now
        return [self._write(incoming)]

    # --- asking ---------------------------------------------------------------------------------

    def next_ask_at(self) -> float | None:
        """Monotonic second at which `asks_due` has something to say."""
        return min((incoming.ask_at for incoming in self._files.values() if _may_ask(incoming)), default=None)

    def asks_due(self, now: float) -> list[FileWantContent]:
        """What is to be asked for now."""
        found = []
        for incoming in self._files.values():
            if _may_ask(incoming) and incoming.ask_at <= now:
                incoming.asked += 1
                incoming.ask_at = now + FILE_ASK_SECONDS * 2**incoming.asked + self._turn(incoming)
                gaps = tuple(itertools.islice(incoming.held.missing(), FILE_WANT_RANGES_MAX))
                found.append(FileWantContent(incoming.file, gaps))
        return found

    def _ask_later(self, incoming: IncomingFile, now: float) -> None:
        incoming.ask_at = now + FILE_ASK_SECONDS + self._turn(incoming)

    def _turn(self, incoming: IncomingFile) -> float:
        """Members that lack the same ask one after another: the answer to the first may serve all."""
        drawn = keyed_hash(None, JITTER_LABEL, self._own + incoming.file)
        return FILE_ASK_SECONDS / 2 * drawn[0] / 256

    # --- inside ---------------------------------------------------------------------------------

    def part_keys(self, incoming: IncomingFile) -> list[bytes]:
        """Where its pieces may be, in order; a piece is found under its first unit alone."""
        return [
            part_key(self._room, incoming.file, unit) for unit in range(incoming.held.count) if unit in incoming.held
        ]

    def _known(self, file: MessageId) -> IncomingFile:
        incoming = self._files.get(file)
        if incoming is None:
            raise UsageError("no file is known under this message: it may be too old, or your own")
        return incoming

    def _bytes_kept(self) -> int:
        keeping = (IncomingState.COMING, IncomingState.WHOLE)
        return sum(incoming.size_bytes for incoming in self._files.values() if incoming.state in keeping)

    def _make_room(self) -> list[Write]:
        if len(self._files) < FILES_INCOMING_MAX:
            return []
        done = next((file for file, incoming in self._files.items() if incoming.state >= IncomingState.TAKEN), None)
        oldest = self._files[next(iter(self._files)) if done is None else done]
        writes = self._end(oldest, IncomingState.DECLINED)
        del self._files[oldest.file]
        return [*writes, Write(TABLE, self._room + STATE_KEY + oldest.file, None)]

    def _end(self, incoming: IncomingFile, state: IncomingState) -> list[Write]:
        writes = [Write(TABLE, key, None) for key in self.part_keys(incoming)]
        incoming.state = state
        incoming.held = UnitSet(incoming.held.count)
        return [*writes, self._write(incoming)]

    def _write(self, incoming: IncomingFile) -> Write:
        row = _Row(
            incoming.author,
            incoming.name,
            incoming.media_type,
            incoming.size_bytes,
            incoming.content_hash,
            incoming.sequence,
            incoming.state,
            incoming.held.encoded(),
        )
        return Write(TABLE, self._room + STATE_KEY + incoming.file, _ROWS.encode(row))


_WHY: Final = {
    IncomingState.WITHDRAWN: "taken back",
    IncomingState.FALSE: "not what was offered",
    IncomingState.TAKEN: "saved already",
}


def part_key(room: RoomId, file: MessageId, first: int) -> bytes:
    """Where a piece is kept, by its first unit."""
    return room + PART_KEY + file + first.to_bytes(4, "big")


def _units(size_bytes: int) -> int:
    """Of one that is too large ever to be collected, none."""
    return units_of(size_bytes) if size_bytes <= FILE_BYTES_MAX else 0


def _may_ask(incoming: IncomingFile) -> bool:
    return incoming.state is IncomingState.COMING and incoming.asked < FILE_ASK_TIMES_MAX
