"""Cover: decoys, and strict rooms in which all leaves on ticks that nobody outside can foresee.

Owns: each room's Poisson ticks, what leaves on one, what waits for them, putting fragments' receipts together.
Must not know: what envelopes say, how they are sealed, published or receipted. Spec: docs/spec/cover.md.

Decoys go the way of messages: the same sealing, the same publisher, receipts, repeats and sealing again. What makes one
out is a reference of another type, which the publisher does not look at.

Ticks and sizes are drawn from `Entropy`, never from the `Chooser`: whoever could foresee the ticks could take the
decoys away, and a `Chooser` is a generator whose choices (whom to audit, when) seats see, and whose state they betray.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from railgun.core.agenda import Agenda
from railgun.core.counters import ClientCounters
from railgun.core.fragments import WHOLE_BODY_BYTES_MAX, cut
from railgun.core.room_port import CoverPlan, SealRequest
from railgun.crypto.epoch import EpochKeys
from railgun.errors import ConfigurationError
from railgun.limits import COVER_QUEUE_MAX, COVER_TRANSFERS_MAX
from railgun.ports import Entropy
from railgun.types import EnvelopeKind, NodeKey, PeerKey, RoomId, SizeClass
from railgun.wire.envelope import NO_HINT
from railgun.wire.roster import Cover

STEADY_DECOYS_PER_SECOND: Final = 1.0
"""Of a whole room."""
STEADY_SMALL_SHARE: Final = 0.65
STRICT_TICKS_PER_SECOND: Final = 2.0
STRICT_TICKS_PER_SECOND_MAX: Final = 100.0
COVER_TICK: Final = "cover"
"""Of a room's deadlines the one that is not the room's own."""
CATCH_UP_SECONDS: Final = 1.0
"""Ticks that a busy machine missed are made up for as far as this; a machine that slept starts anew."""


@dataclass(frozen=True, slots=True)
class CoverOptions:
    """What an owner may choose of cover.

    Attributes:
        mode: of rooms that this peer creates; rooms that exist have theirs in their settings.
        strict_ticks_per_second: of this peer in each strict room, above 0 and at most 100.

    Raises:
        ConfigurationError: the rate is out of range.
    """

    mode: Cover = Cover.STEADY
    strict_ticks_per_second: float = STRICT_TICKS_PER_SECOND

    def __post_init__(self) -> None:
        if not 0 < self.strict_ticks_per_second <= STRICT_TICKS_PER_SECOND_MAX:
            raise ConfigurationError(f"strict ticks a second: above 0, and at most {STRICT_TICKS_PER_SECOND_MAX:g}")

    @property
    def strict_wait_p95_seconds(self) -> float:
        """How long one in twenty envelopes waits at least for its tick, when nothing waits before it."""
        return 3.0 / self.strict_ticks_per_second


@dataclass(frozen=True, slots=True)
class CoverStatus:
    """A room's cover at a moment. ``waiting``: bodies, and pieces of one, that wait for ticks."""

    decoys_sent: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class DecoyReference:
    """Names a decoy in the publisher."""

    size_class: SizeClass


@dataclass(frozen=True, slots=True)
class FragmentReference:
    """Names a fragment in the publisher: of which body (its reference, 16 bytes), and which one."""

    whole: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves now, and by which reference the publisher is to report on it."""

    request: SealRequest
    reference: object


@dataclass(frozen=True, slots=True)
class WholeProgress:
    """A fragmented body's receipts: those of the fragment that has the fewest."""

    whole: bytes
    receipts: int
    of: int
    majority: bool
    complete: bool


class Seats:
    """What a tick may know of seats. ``attached``: those of the tag of some keys, None: of the room's sending epoch.
    ``is_over``: whether nothing can be published under these keys any more."""

    def __init__(
        self, attached: Callable[[EpochKeys | None], Sequence[NodeKey]], is_over: Callable[[EpochKeys], bool]
    ) -> None:
        self.attached = attached
        self.is_over = is_over


@dataclass(slots=True)
class _Transfer:
    receipts: list[tuple[int, int]]
    settled: list[bool]
    complete: list[bool]
    told: int = 0


@dataclass(slots=True)
class _Room:
    plan: CoverPlan
    rate: float
    next_at: float = 0.0
    queue: deque[SealRequest] = field(default_factory=deque)
    pieces: deque[Leaving] = field(default_factory=deque)
    transfers: OrderedDict[bytes, _Transfer] = field(default_factory=OrderedDict)
    decoys_sent: int = 0


def decoy(size_class: SizeClass) -> Leaving:
    """An envelope that nobody reads, of ``size_class``."""
    return Leaving(SealRequest(EnvelopeKind.COVER, NO_HINT, b"", size_class), DecoyReference(size_class))


class CoverTraffic:
    """The cover of all rooms of one client."""

    def __init__(self, agenda: Agenda, entropy: Entropy, counters: ClientCounters, options: CoverOptions) -> None:
        self._agenda = agenda
        self._entropy = entropy
        self._counters = counters
        self.options = options
        self._rooms: dict[RoomId, _Room] = {}
        self._blocked: dict[PeerKey, None] = {}

    def status(self, room_id: RoomId) -> CoverStatus:
        """What to tell the owner."""
        room = self._rooms.get(room_id)
        if room is None:
            return CoverStatus()
        return CoverStatus(room.decoys_sent, len(room.queue) + len(room.pieces))

    # --- following rooms and links --------------------------------------------------------------

    def follow(self, room_id: RoomId, plan: CoverPlan | None, now: float) -> list[Leaving]:
        """A room's cover is this from now on; None: it has none, and what waits is dropped, as nothing can leave.

        Returns what waited and leaves at once, since the room is no longer strict."""
        if plan is None:
            self.drop(room_id)
            return []
        room = self._rooms.get(room_id)
        if room is not None and room.plan == plan:
            return []
        rate = self._rate(plan)
        if room is None:
            room = self._rooms[room_id] = _Room(plan, 0.0)
        was_strict, room.plan = room.plan.mode is Cover.STRICT, plan
        if rate != room.rate:
            room.rate = rate
            # Exponential gaps have no memory: a new draw from here on is as good as the rest of the old gap.
            room.next_at = now
            self._plan_tick(room_id, room, now)
        if not was_strict or plan.mode is Cover.STRICT:
            return []
        waiting = [*room.pieces, *(Leaving(request, request.reference) for request in room.queue)]
        room.pieces.clear()
        room.queue.clear()
        return waiting

    def _rate(self, plan: CoverPlan) -> float:
        match plan.mode:
            case Cover.STEADY:
                return STEADY_DECOYS_PER_SECOND / max(1, plan.devices)
            case Cover.STRICT:
                return self.options.strict_ticks_per_second
            case _:
                return 0.0

    def drop(self, room_id: RoomId) -> None:
        """The room was left. Idempotent."""
        if self._rooms.pop(room_id, None) is not None:
            self._agenda.cancel(("room", room_id, COVER_TICK))

    def link_blocked(self, peer: PeerKey) -> None:
        """A link refused a frame: its budget is spent."""
        self._blocked[peer] = None

    def link_free(self, peer: PeerKey) -> None:
        """It takes frames again, or is gone."""
        self._blocked.pop(peer, None)

    # --- what waits -----------------------------------------------------------------------------

    def holds_back(self, room_id: RoomId, request: SealRequest) -> bool:
        """Take on what is to be sealed for a strict room: it leaves on ticks. False: it may leave at once."""
        room = self._rooms.get(room_id)
        if room is None or room.plan.mode is not Cover.STRICT:
            return False
        whole = request.reference
        if whole is not None:  # sealed again: once is enough
            if any(other.reference == whole for other in room.queue):
                room.queue = deque(other for other in room.queue if other.reference != whole)
            room.pieces = deque(piece for piece in room.pieces if _whole_of(piece) != whole)
        room.queue.append(request)
        if len(room.queue) > COVER_QUEUE_MAX:
            self._give_way(room)
        return True

    @staticmethod
    def _give_way(room: _Room) -> None:
        """The oldest answer or notice, else the oldest of what nobody waits for (typing)."""
        least = next((item for item in room.queue if item.kind is not EnvelopeKind.GROUP), None)
        least = least or next((item for item in room.queue if item.reference is None), None)
        if least is not None:
            room.queue.remove(least)

    # --- ticks ----------------------------------------------------------------------------------

    def due(self, room_id: RoomId, seats: Seats, now: float) -> tuple[Leaving | None, list[bytes]]:
        """A tick: what leaves, and references that are to be sealed again first, since their keys are over."""
        room = self._rooms.get(room_id)
        if room is None or room.rate == 0:
            return None, []
        if room.next_at > now + 1e-6:  # an earlier plan's deadline
            self._agenda.set(("room", room_id, COVER_TICK), room.next_at)
            return None, []
        self._plan_tick(room_id, room, now)
        if room.plan.mode is Cover.STEADY:
            attached = seats.attached(None)
            # Cover is the first to give way: one busy link is enough.
            if not attached or any(PeerKey(seat) in self._blocked for seat in attached):
                return None, []
            is_small = self._uniform() < STEADY_SMALL_SHARE
            return self._decoy(room, SizeClass.SMALL if is_small else SizeClass.MEDIUM), []
        return self._strict_tick(room, seats)

    def _strict_tick(self, room: _Room, seats: Seats) -> tuple[Leaving | None, list[bytes]]:
        """A real one if there is one, else a decoy. One of either needs the same seats, or the tick passes."""
        again = self._drop_over(room, seats)
        for piece in room.pieces:
            if self._is_open(seats, piece.request.keys):
                room.pieces.remove(piece)
                return piece, again
        for request in room.queue:
            if self._is_open(seats, request.keys):
                room.queue.remove(request)
                room.pieces.extend(self._cut(room, request))
                return (room.pieces.popleft() if room.pieces else None), again
        return (self._decoy(room, SizeClass.MEDIUM) if self._is_open(seats, None) else None), again

    def _is_open(self, seats: Seats, keys: EpochKeys | None) -> bool:
        return any(PeerKey(seat) not in self._blocked for seat in seats.attached(keys))

    def _drop_over(self, room: _Room, seats: Seats) -> list[bytes]:
        """Forget what was meant for an epoch that is over; what is reported on comes again under other keys."""

        def is_over(request: SealRequest) -> bool:
            return request.keys is not None and seats.is_over(request.keys)

        over = [piece for piece in room.pieces if is_over(piece.request)]
        over += [Leaving(request, request.reference) for request in room.queue if is_over(request)]
        if not over:
            return []
        room.pieces = deque(piece for piece in room.pieces if not is_over(piece.request))
        room.queue = deque(request for request in room.queue if not is_over(request))
        return list(dict.fromkeys(whole for item in over if (whole := _whole_of(item)) is not None))

    def _cut(self, room: _Room, request: SealRequest) -> list[Leaving]:
        """A body as it leaves in a strict room: always in envelopes of 4096 bytes. Fragments that have a majority
        already, of a body that is sealed again, are left out."""
        if len(request.body) <= WHOLE_BODY_BYTES_MAX:
            return [Leaving(dataclasses.replace(request, size_class=SizeClass.MEDIUM), request.reference)]
        bodies = cut(request.kind, request.hint, request.body)
        whole = request.reference
        transfer = None if whole is None else room.transfers.get(whole)
        if whole is not None and transfer is None:
            count = len(bodies)
            transfer = room.transfers[whole] = _Transfer([(0, 0)] * count, [False] * count, [False] * count)
            if len(room.transfers) > COVER_TRANSFERS_MAX:
                room.transfers.popitem(last=False)
        return [
            Leaving(
                SealRequest(EnvelopeKind.SEALED, NO_HINT, body, SizeClass.MEDIUM, None, request.keys),
                None if whole is None else FragmentReference(whole, index),
            )
            for index, body in enumerate(bodies)
            if transfer is None or not transfer.settled[index]
        ]

    def _decoy(self, room: _Room, size_class: SizeClass) -> Leaving:
        room.decoys_sent += 1
        self._counters.decoys_sent += 1
        return decoy(size_class)

    def decoy_again(self, room_id: RoomId, reference: DecoyReference) -> Leaving | None:
        """A decoy that got no majority in its epoch: as a message it is sealed again. In strict rooms the ticks go on
        and take its place."""
        room = self._rooms.get(room_id)
        if room is None or room.plan.mode is not Cover.STEADY:
            return None
        return self._decoy(room, reference.size_class)

    # --- receipts of fragments ------------------------------------------------------------------

    def progress(
        self, room_id: RoomId, reference: FragmentReference, receipts: int, of: int, *, majority: bool, complete: bool
    ) -> WholeProgress | None:
        """A fragment's receipts grew; what that means for the whole, if anything."""
        room = self._rooms.get(room_id)
        transfer = None if room is None else room.transfers.get(reference.whole)
        if room is None or transfer is None:
            return None
        was_settled = all(transfer.settled)
        transfer.receipts[reference.index] = (receipts, of)
        transfer.settled[reference.index] |= majority
        transfer.complete[reference.index] |= complete
        least, of = min(transfer.receipts)
        is_settled, is_complete = all(transfer.settled), all(transfer.complete)
        if is_complete:
            del room.transfers[reference.whole]
        if least <= transfer.told and is_settled == was_settled and not is_complete:
            return None
        transfer.told = max(least, transfer.told)
        return WholeProgress(reference.whole, least, of, is_settled and not was_settled, is_complete)

    # --- randomness -----------------------------------------------------------------------------

    def _plan_tick(self, room_id: RoomId, room: _Room, now: float) -> None:
        if room.rate == 0:
            self._agenda.cancel(("room", room_id, COVER_TICK))
            return
        # From when the tick was due, so that a busy machine does not tick more slowly than an idle one.
        since = room.next_at if now - room.next_at < CATCH_UP_SECONDS else now
        room.next_at = since - math.log(1.0 - self._uniform()) / room.rate
        self._agenda.set(("room", room_id, COVER_TICK), room.next_at)

    def _uniform(self) -> float:
        """In [0, 1), 53 bits."""
        return (int.from_bytes(self._entropy.random_bytes(7), "big") >> 3) / (1 << 53)


def _whole_of(leaving: Leaving) -> bytes | None:
    """The reference that the room knows it by; None where nobody asks."""
    reference = leaving.reference
    if isinstance(reference, FragmentReference):
        return reference.whole
    return reference if isinstance(reference, bytes) else None
