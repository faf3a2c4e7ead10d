"""Which messages this device is to bring again to members that lack them, and when.

Owns: whose turn it is, what others have brought meanwhile, how much one asker may cost. Must not know: what messages
say, where they are kept, how they travel. Spec: docs/spec/messages.md, "Gaps".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from railgun.crypto.hashing import keyed_hash
from railgun.limits import (
    GAP_ANSWER_AGAIN_SECONDS,
    GAP_TURN_SECONDS,
    GAP_TURNS_MAX,
    GAPS_ANSWER_BYTES_PER_ASKER_MAX,
    GAPS_ANSWER_BYTES_PER_SECOND,
    GAPS_ANSWERS_MAX,
    GAPS_ANSWERS_PER_ASKER_MAX,
    GAPS_ANSWERS_REMEMBERED_MAX,
    GAPS_ANSWERS_WINDOW_SECONDS,
    ROOM_DEVICES_MAX,
)
from railgun.types import DeviceKey, MessageId

TURN_LABEL: Final = "railgun/want-answer/v1"
STEP_SECONDS: Final = 0.02
"""Between two messages of one answer: fifty a second."""
BURST_SECONDS: Final = 0.25
"""How far what is brought may run ahead of its pace."""
_EPSILON: Final = 1e-6


@dataclass(slots=True)
class _Spent:
    since: float
    messages: int = 0
    size_bytes: int = 0


class GapAnswers:
    """One device's in one room. All times are monotonic seconds."""

    def __init__(self, own: DeviceKey) -> None:
        self._own = own
        self._pending: OrderedDict[MessageId, tuple[DeviceKey, float]] = OrderedDict()
        self._trails: OrderedDict[DeviceKey, tuple[tuple[MessageId, ...], int, float]] = OrderedDict()
        self._joiners: OrderedDict[DeviceKey, float] = OrderedDict()
        self._brought: OrderedDict[MessageId, float] = OrderedDict()
        self._spent: OrderedDict[DeviceKey, _Spent] = OrderedDict()
        self._free_at = 0.0

    def __len__(self) -> int:
        return len(self._pending)

    def turn_seconds(self, item: bytes, asker: DeviceKey, devices: Sequence[DeviceKey]) -> float:
        """How long this device waits for those before it to answer ``asker`` about ``item``."""

        def place(device: DeviceKey) -> bytes:
            return keyed_hash(None, TURN_LABEL, item + device)

        mine = place(self._own)
        rank = sum(1 for device in devices if device not in (asker, self._own) and place(device) < mine)
        return min(rank, GAP_TURNS_MAX) * GAP_TURN_SECONDS

    # --- what is asked ------------------------------------------------------------------------

    def wanted(
        self, ids: Sequence[MessageId], asker: DeviceKey, devices: Sequence[DeviceKey], trail: int, now: float
    ) -> None:
        """A member lacks these."""
        spent = self._account(asker, now)
        for place, item in enumerate(ids):
            brought = self._brought.get(item, -GAP_ANSWER_AGAIN_SECONDS)
            if item in self._pending or now - brought < GAP_ANSWER_AGAIN_SECONDS:
                continue
            if len(self._pending) >= GAPS_ANSWERS_MAX or spent.messages >= GAPS_ANSWERS_PER_ASKER_MAX:
                break
            spent.messages += 1
            self._pending[item] = (asker, now + self.turn_seconds(item, asker, devices) + STEP_SECONDS * place)
        if trail and ids and asker not in self._trails:
            at = now + self.turn_seconds(ids[0], asker, devices)
            self._trails[asker] = (tuple(ids), trail, at)
            while len(self._trails) > ROOM_DEVICES_MAX:
                self._trails.popitem(last=False)

    def joined(self, joiner: DeviceKey, devices: Sequence[DeviceKey], now: float) -> None:
        """A member has nothing yet, and is to be told what was before it."""
        self._joiners.setdefault(joiner, now + self.turn_seconds(joiner, joiner, devices))

    # --- what others did ----------------------------------------------------------------------

    def heard(self, item: MessageId, now: float) -> None:
        """Somebody brought a message that was here."""
        self._pending.pop(item, None)
        self._brought[item] = now
        self._brought.move_to_end(item)
        while len(self._brought) > GAPS_ANSWERS_REMEMBERED_MAX or self._is_past(now):
            self._brought.popitem(last=False)

    def _is_past(self, now: float) -> bool:
        """Whether the oldest of what was brought would be brought again anyway."""
        return now - next(iter(self._brought.values()), now) >= GAP_ANSWER_AGAIN_SECONDS

    def heard_trail(self, after: MessageId) -> None:
        """Somebody told what came before ``after``."""
        for asker, (ids, _, _) in list(self._trails.items()):
            if ids[0] == after:
                del self._trails[asker]

    def heard_before(self, device: DeviceKey, ids: Iterable[MessageId]) -> None:
        """Somebody told ``device`` that these are from before its time."""
        self._joiners.pop(device, None)
        for item in ids:
            if item in self._pending and self._pending[item][0] == device:
                del self._pending[item]

    # --- answering ----------------------------------------------------------------------------

    def next_at(self) -> float | None:
        """When one of the three below has something."""
        found = [max(at, self._free_at - BURST_SECONDS) for _, at in self._pending.values()]
        found += [at for _, _, at in self._trails.values()]
        found += self._joiners.values()
        return min(found, default=None)

    def due(self, now: float) -> list[tuple[MessageId, DeviceKey]]:
        """Messages to bring now, and to whom; each after the first only while `is_free`."""
        if not self.is_free(now):
            return []
        return [(item, asker) for item, (asker, at) in self._pending.items() if at <= now + _EPSILON]

    def take(self, item: MessageId) -> None:
        """It is answered, or cannot be."""
        self._pending.pop(item, None)

    def is_free(self, now: float) -> bool:
        """Whether what was brought before has had its time."""
        return self._free_at <= now + BURST_SECONDS + _EPSILON

    def postpone(self, at: float) -> None:
        """Bring nothing earlier."""
        self._free_at = max(self._free_at, at + BURST_SECONDS)
        self._trails = OrderedDict((asker, (ids, n, max(due, at))) for asker, (ids, n, due) in self._trails.items())
        self._joiners = OrderedDict((device, max(due, at)) for device, due in self._joiners.items())

    def clear(self) -> None:
        """There is nobody to answer."""
        self._pending.clear()
        self._trails.clear()
        self._joiners.clear()

    def has_cost_too_much(self, asker: DeviceKey, now: float) -> bool:
        """Whether ``asker`` is brought nothing for a while."""
        return self._account(asker, now).size_bytes >= GAPS_ANSWER_BYTES_PER_ASKER_MAX

    def spend(self, asker: DeviceKey, size_bytes: int, now: float) -> None:
        """So many bytes leave for ``asker``."""
        self._account(asker, now).size_bytes += size_bytes
        self._free_at = max(now, self._free_at) + size_bytes / GAPS_ANSWER_BYTES_PER_SECOND

    def trails_due(self, now: float) -> list[tuple[DeviceKey, tuple[MessageId, ...], int]]:
        """Who is to be told what came before which messages, and how many ids of it."""
        found = []
        for asker, (ids, count, at) in list(self._trails.items()):
            if at <= now + _EPSILON:
                del self._trails[asker]
                found.append((asker, ids, count))
        return found

    def joiners_due(self, now: float) -> list[DeviceKey]:
        """Who is to be told what was before it."""
        found = [device for device, at in self._joiners.items() if at <= now + _EPSILON]
        for device in found:
            del self._joiners[device]
        return found

    def _account(self, asker: DeviceKey, now: float) -> _Spent:
        spent = self._spent.get(asker)
        if spent is None or now - spent.since >= GAPS_ANSWERS_WINDOW_SECONDS:
            spent = self._spent[asker] = _Spent(now)
            while len(self._spent) > ROOM_DEVICES_MAX:
                self._spent.popitem(last=False)
        return spent
