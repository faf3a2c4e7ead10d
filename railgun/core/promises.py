"""Receipts as promises: who signed that it holds an envelope, and then acted as if it did not.

Owns: promises under watch, and when one counts as broken. Must not know: signatures, links, what follows from it.
Spec: docs/spec/delivery.md, "Liars".

Only a seat's own word is held against it. That others name an envelope which it does not name proves nothing: they,
with a member, may have kept it from that very seat.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from railgun.core.agenda import Agenda
from railgun.core.intake import SeatLog
from railgun.limits import PROMISE_GRACE_SECONDS, PROMISES_MAX
from railgun.types import EnvelopeId, NodeKey, Tag


@dataclass(frozen=True, slots=True)
class _Promise:
    incarnation: bytes
    since: float
    due_at: float


class Promises:
    """Of one tag. Bounded: beyond PROMISES_MAX nothing more is watched."""

    def __init__(self, tag: Tag, agenda: Agenda) -> None:
        self._tag = tag
        self._agenda = agenda
        self._watched: dict[tuple[NodeKey, EnvelopeId], _Promise] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def made(self, seat: NodeKey, log: SeatLog, ids: Iterable[EnvelopeId], now: float) -> None:
        """A seat that serves us has receipted these, so it has numbered them or is about to."""
        for envelope_id in ids:
            if envelope_id in log.ids or (seat, envelope_id) in self._watched or len(self._watched) >= PROMISES_MAX:
                continue
            self._watched[seat, envelope_id] = _Promise(log.incarnation, now, now + PROMISE_GRACE_SECONDS)
            self._agenda.set_earlier(("promises", self._tag), now + PROMISE_GRACE_SECONDS)

    def broken(
        self, logs: Mapping[NodeKey, SeatLog], serving_since: Mapping[NodeKey, float], now: float
    ) -> list[tuple[NodeKey, EnvelopeId]]:
        """(seat, id) of promises that are due and broken.

        Not judged: who did not serve us all the time, who restarted since (memory is lost with it), and of whose
        numbers some are still missing here.
        """
        found = []
        for (seat, envelope_id), promise in list(self._watched.items()):
            if promise.due_at > now + 1e-6:
                continue
            del self._watched[seat, envelope_id]
            log = logs.get(seat)
            is_judged = (
                log is not None
                and serving_since.get(seat, now) <= promise.since
                and log.incarnation == promise.incarnation
                and log.is_confirmed
                and log.contiguous == log.last_number
            )
            if is_judged and log is not None and envelope_id not in log.ids:
                found.append((seat, envelope_id))
        if self._watched:
            self._agenda.set_earlier(("promises", self._tag), min(promise.due_at for promise in self._watched.values()))
        return found
