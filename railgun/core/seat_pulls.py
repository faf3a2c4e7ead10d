"""What one seat has heard of and not yet got from the others.

Owns: ids announced, who announced them, when each is asked for again. Must not know: who may announce, or subscribers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.effects import Effects, SendFrame
from railgun.core.tag_store import TagStore
from railgun.limits import ANNOUNCE_PULL_DELAY_SECONDS, PENDING_PULLS_PER_SEAT_MAX, PULLS_PER_FRAME_MAX
from railgun.types import EnvelopeId, NodeKey, PeerKey, Tag
from railgun.wire.frames import SeatPull

PULL_RETRY_SECONDS = 1.0
PULL_TRIES_MAX = 5


@dataclass(slots=True)
class _Pending:
    due_at: float
    first_source: NodeKey
    turn: int
    sources: list[NodeKey] = field(default_factory=list)
    tries: int = 0


class SeatPulls:
    """Pending pulls of one tag; each counts against the relay that first named it."""

    def __init__(self, tag: Tag, store: TagStore, agenda: Agenda) -> None:
        self._tag = tag
        self._store = store
        self._agenda = agenda
        self._pending: dict[EnvelopeId, _Pending] = {}
        self._counts: dict[NodeKey, int] = {}
        self._turn = 0
        self.has_urgent = False

    def __len__(self) -> int:
        return len(self._pending)

    def is_pending(self, envelope_id: EnvelopeId) -> bool:
        """Whether it was announced and is still to come."""
        return envelope_id in self._pending

    def add(self, envelope_id: EnvelopeId, source: NodeKey, now: float, *, urgent: bool) -> None:
        """``source`` holds an envelope that we lack."""
        pending = self._pending.get(envelope_id)
        if pending is None:
            count = self._counts.get(source, 0)
            if count >= PENDING_PULLS_PER_SEAT_MAX:
                return
            self._counts[source] = count + 1
            pending = self._pending[envelope_id] = _Pending(now + ANNOUNCE_PULL_DELAY_SECONDS, source, self._turn)
            self._turn += 1
        if source not in pending.sources:
            pending.sources.append(source)
        if urgent and pending.tries == 0:
            pending.due_at = now
            self.has_urgent = True
        self._agenda.set_earlier(("seat-pull", self._tag), pending.due_at)

    def arrived(self, envelope_id: EnvelopeId) -> Sequence[NodeKey]:
        """It is held now (or no longer worth asking for). Returns who had named it."""
        pending = self._pending.pop(envelope_id, None)
        if pending is None:
            return ()
        left = self._counts[pending.first_source] - 1
        if left:
            self._counts[pending.first_source] = left
        else:
            del self._counts[pending.first_source]
        return pending.sources

    def forget_source(self, source: NodeKey) -> None:
        """A relay is gone: what nobody else has named is forgotten."""
        for envelope_id, pending in list(self._pending.items()):
            if source in pending.sources:
                pending.sources.remove(source)
                if not pending.sources:
                    self.arrived(envelope_id)

    def due(self, linked: Sequence[NodeKey], now: float, out: Effects) -> None:
        """Ask for the bodies that nobody pushed in time; each try asks the next source, and sources take turns."""
        self.has_urgent = False
        by_source: dict[NodeKey, list[EnvelopeId]] = {}
        for envelope_id, pending in list(self._pending.items()):
            if pending.due_at > now + 1e-6:
                continue
            if self._store.get(envelope_id) is not None or pending.tries >= PULL_TRIES_MAX:
                self.arrived(envelope_id)
                continue
            sources = [seat for seat in pending.sources if seat in linked]
            if sources:
                by_source.setdefault(sources[(pending.turn + pending.tries) % len(sources)], []).append(envelope_id)
            pending.tries += 1
            pending.due_at = now + PULL_RETRY_SECONDS
        for seat, ids in by_source.items():
            for first in range(0, len(ids), PULLS_PER_FRAME_MAX):
                out.append(
                    SendFrame((PeerKey(seat),), SeatPull(self._tag, tuple(ids[first : first + PULLS_PER_FRAME_MAX])))
                )
        if self._pending:
            self._agenda.set_earlier(
                ("seat-pull", self._tag), min(pending.due_at for pending in self._pending.values())
            )
