"""What one device knows to lack of a room's history: what it asks for, when, and when it gives up.

Owns: ids that messages and members name and that are not here, their tries, their row. Must not know: who answers, how
anything travels, what messages say. Spec: docs/spec/messages.md, "Gaps".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.core.persistence import Write
from railgun.crypto.hashing import keyed_hash
from railgun.limits import (
    GAP_ASK_AGAIN_SECONDS,
    GAP_ASK_FIRST_SECONDS,
    GAP_ASK_SECONDS_MAX,
    GAP_ASK_TIMES_MAX,
    GAPS_ASKED_AT_ONCE_MAX,
    GAPS_BEFORE_MAX,
    GAPS_MISSING_MAX,
    GAPS_TRAIL_IDS,
    GAPS_WANTED_MAX,
)
from railgun.types import DeviceKey, MessageId, RoomId
from railgun.wire.content import WantContent
from railgun.wire.schema import Array, Bytes, Codec

TABLE: Final = "outbound_sessions"
ROW_KEY: Final = b"m"
JITTER_LABEL: Final = "railgun/want-turn/v1"
JITTER_SECONDS: Final = 1.0
NEXT_SECONDS: Final = 0.25
"""Between two questions while much is missing: what comes in one envelope is asked for in one."""
MISSING_AGAIN_SECONDS: Final = 60.0
_EPSILON: Final = 1e-6


@dataclass(frozen=True, slots=True)
class _Row:
    wanted: Annotated[tuple[bytes, ...], Array(Bytes(16), GAPS_WANTED_MAX)]
    missing: Annotated[tuple[bytes, ...], Array(Bytes(16), GAPS_MISSING_MAX)]


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=24 * (GAPS_WANTED_MAX + GAPS_MISSING_MAX))


@dataclass(slots=True)
class _Wanted:
    at: float
    times: int = 0
    is_far: bool = False
    """Named by a member's newest ids or by what had been missing itself: there may be more behind it."""


class Gaps:
    """One device's in one room. All times are monotonic seconds."""

    def __init__(self, room: RoomId, own: DeviceKey) -> None:
        self._room = room
        self._own = own
        self._wanted: OrderedDict[MessageId, _Wanted] = OrderedDict()
        self._missing: OrderedDict[MessageId, float] = OrderedDict()
        self._before: OrderedDict[MessageId, None] = OrderedDict()
        self._not_before = 0.0

    def load(self, rows: Iterable[tuple[bytes, bytes]], now: float) -> None:
        """Fill an empty machine from the rows of ``outbound_sessions`` whose keys start with the room's id.

        Raises:
            MalformedInput: the row is damaged.
        """
        for key, value in rows:
            if key == self._room + ROW_KEY:
                row = _ROWS.decode(value)
                self._missing.update((MessageId(item), now) for item in row.missing)
                self.lacks((MessageId(item) for item in row.wanted), now, is_far=True)

    @property
    def wanted(self) -> tuple[MessageId, ...]:
        """What is being asked for."""
        return tuple(self._wanted)

    @property
    def missing(self) -> tuple[MessageId, ...]:
        """What nobody brought: gaps, as the application is shown them."""
        return tuple(self._missing)

    def is_given_up(self, item: MessageId) -> bool:
        """Whether this is neither here nor asked for: nobody brought it, or it was said before this device came."""
        return item in self._missing or item in self._before

    # --- what is known ------------------------------------------------------------------------

    def lacks(self, ids: Iterable[MessageId], now: float, *, is_far: bool = False, at_once: bool = False) -> None:
        """These are named and not here. ``at_once``: they cannot be under way."""
        for item in ids:
            known = self._wanted.get(item)
            if known is not None:
                known.is_far = known.is_far or is_far
                continue
            if item in self._before or item in self._missing or len(self._wanted) >= GAPS_WANTED_MAX:
                continue
            wait = 0.0 if at_once else GAP_ASK_FIRST_SECONDS + self._jitter(item)
            self._wanted[item] = _Wanted(max(now + wait, self._not_before), is_far=is_far)

    def came(self, item: MessageId) -> bool:
        """A message is here, or will not be read whoever brings it. Returns whether it was known to be lacking."""
        was_missing = self._missing.pop(item, None) is not None
        return self._wanted.pop(item, None) is not None or was_missing

    def from_before(self, ids: Iterable[MessageId]) -> None:
        """These were said before this device came into the room: they are no gaps."""
        for item in ids:
            self._wanted.pop(item, None)
            self._missing.pop(item, None)
            self._before[item] = None
            while len(self._before) > GAPS_BEFORE_MAX:
                self._before.popitem(last=False)

    def wait_until(self, at: float) -> None:
        """Ask for nothing earlier: somebody may yet tell what was before us."""
        self._not_before = at
        for wanted in self._wanted.values():
            wanted.at = max(wanted.at, at)

    def go_on(self, now: float) -> None:
        """End `wait_until`."""
        self._not_before = 0.0
        for wanted in self._wanted.values():
            if not wanted.times:
                wanted.at = min(wanted.at, now + GAP_ASK_FIRST_SECONDS)

    def others_want(self, ids: Iterable[MessageId], now: float) -> None:
        """Another member asked for these: the answer is for us too."""
        for item in ids:
            wanted = self._wanted.get(item)
            if wanted is not None and not wanted.times:
                wanted.at = max(wanted.at, now + GAP_ASK_AGAIN_SECONDS + self._jitter(item))

    def hope(self, now: float) -> None:
        """A member has come back, or told its newest ids: what is missing may be had after all."""
        for item, since in list(self._missing.items()):
            if now - since >= MISSING_AGAIN_SECONDS and len(self._wanted) < GAPS_WANTED_MAX:
                del self._missing[item]
                self._wanted[item] = _Wanted(now + self._jitter(item), GAP_ASK_TIMES_MAX - 1, is_far=True)

    # --- asking -------------------------------------------------------------------------------

    def next_at(self, now: float) -> float | None:
        """When `due` has something to say."""
        if not self._wanted:
            return None
        if self._free(now) > 0:
            return min(wanted.at for wanted in self._wanted.values())
        return min((w.at for w in self._wanted.values() if w.times and w.at > now), default=now)

    def due(self, now: float) -> tuple[WantContent | None, tuple[MessageId, ...]]:
        """What is to be asked for now, and what is given up: missing from now on."""
        given_up = []
        asked: list[MessageId] = []
        far: list[MessageId] = []
        free = self._free(now)
        for item, wanted in list(self._wanted.items()):
            if wanted.at > now + _EPSILON:
                continue
            if wanted.times >= GAP_ASK_TIMES_MAX:
                del self._wanted[item]
                given_up.append(item)
            elif len(asked) < free:
                again = min(GAP_ASK_SECONDS_MAX, GAP_ASK_AGAIN_SECONDS * 2**wanted.times)
                wanted.times += 1
                wanted.at = now + again + self._jitter(item)
                asked.append(item)
                if wanted.is_far:
                    far.append(item)
            elif not wanted.times:
                wanted.at = now + NEXT_SECONDS
        for item in given_up:
            self._missing[item] = now
            while len(self._missing) > GAPS_MISSING_MAX:
                self._missing.popitem(last=False)
        # A trail is worth its bytes where little is known to lack, and there may be more behind it.
        trail = GAPS_TRAIL_IDS if far and len(self._wanted) < GAPS_ASKED_AT_ONCE_MAX else 0
        asked = list(dict.fromkeys([*far[:1], *asked]))
        return (WantContent(tuple(asked), trail) if asked else None), tuple(given_up)

    def row(self) -> Write:
        """What a restart needs."""
        row = _Row(tuple(self._wanted), tuple(self._missing))
        empty = not self._wanted and not self._missing
        return Write(TABLE, self._room + ROW_KEY, None if empty else _ROWS.encode(row))

    def _free(self, now: float) -> int:
        """How many may be asked for now: none until most of those asked for before have come."""
        under_way = sum(1 for wanted in self._wanted.values() if wanted.times and wanted.at > now + _EPSILON)
        return GAPS_ASKED_AT_ONCE_MAX - under_way if under_way <= GAPS_ASKED_AT_ONCE_MAX // 2 else 0

    def _jitter(self, item: MessageId) -> float:
        """Members that lack the same ask one after another: the answer to the first serves all."""
        return JITTER_SECONDS * keyed_hash(None, JITTER_LABEL, self._own + item)[0] / 256
