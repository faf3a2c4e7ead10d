"""Who is alive: pulses out, silence counted.

Owns: which peers are watched, how often, and when silence means death (spec: links, liveness).
Must not know: what anyone does about it.

Silence counts from the oldest unanswered pulse, never from the last sign of life: a peer of which
nothing was asked owes nothing, and a machine that itself was asleep accuses nobody.

Pulses leave on a grid of a quarter second, so that a node with many peers wakes a few times a second and not once
for each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from railgun.core.agenda import Agenda, DeadlineName
from railgun.limits import DEAD_SECONDS, PROBE_SECONDS, PULSE_SECONDS, SUSPECT_SECONDS
from railgun.types import PeerKey

GRID_SECONDS: Final = 0.25
PATIENT_INTERVALS: Final = 1.25
"""Of two peers that watch each other one asks, and the other asks only when that one's pulse is late."""
ASLEEP_SECONDS: Final = 1.0
"""A deadline that comes so late means that this machine itself did not run: answers may wait unread."""
_EPSILON: Final = 1e-6


@dataclass(slots=True)
class _Watch:
    users: dict[DeadlineName, float]
    interval_seconds: float
    dead_seconds: float
    asked_of_us_at: float
    """When the peer last sent anything but the answer to a pulse of ours."""
    sequence: int = 0
    next_pulse_at: float = 0.0
    oldest_unanswered_at: float | None = None
    is_suspect: bool = False


class Liveness:
    """Watches peers; the owner sends the pulses that `pulse_due` names and acts on the deaths."""

    def __init__(self, agenda: Agenda, own_key: PeerKey | None) -> None:
        """``own_key``: a relay's; of two relays the one with the smaller key asks. None for clients, which nobody
        watches: they ask always."""
        self._agenda = agenda
        self._own_key = own_key
        self._watches: dict[PeerKey, _Watch] = {}
        self._phase: float | None = None
        """Where this node's grid lies: at its first watch, so that not all nodes wake at once."""

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, peer: PeerKey, user: DeadlineName, interval_seconds: float, now: float) -> None:
        """Watch a connected peer on behalf of ``user``; the shortest of all users' intervals holds."""
        if self._phase is None:
            self._phase = now % GRID_SECONDS
        standing = self._watches.get(peer)
        if standing is None:
            self._watches[peer] = _Watch({user: interval_seconds}, interval_seconds, DEAD_SECONDS, now)
            self._agenda.set(("pulse", peer), now)
            return
        standing.users[user] = interval_seconds
        before = standing.interval_seconds
        standing.interval_seconds = min(standing.users.values())
        if standing.interval_seconds < before:
            self._agenda.set(("pulse", peer), now)

    def unwatch(self, peer: PeerKey, user: DeadlineName) -> None:
        """``user`` no longer cares; without users the peer is forgotten. Idempotent."""
        standing = self._watches.get(peer)
        if standing is None or standing.users.pop(user, None) is None:
            return
        if standing.users:
            standing.interval_seconds = min(standing.users.values())
        else:
            self.forget(peer)

    def forget(self, peer: PeerKey) -> None:
        """The peer is gone. Idempotent."""
        if self._watches.pop(peer, None) is not None:
            self._agenda.cancel(("pulse", peer))
            self._agenda.cancel(("silence", peer))

    def is_suspect(self, peer: PeerKey) -> bool:
        """Whether it has not answered for SUSPECT_SECONDS."""
        watch = self._watches.get(peer)
        return watch is not None and watch.is_suspect

    def heard(self, peer: PeerKey, now: float, *, answer: bool = False) -> None:
        """Something arrived from the peer; ``answer``: it was no more than the echo of a pulse of ours."""
        watch = self._watches.get(peer)
        if watch is None:
            return
        if watch.oldest_unanswered_at is not None:
            watch.oldest_unanswered_at = None
            watch.dead_seconds = DEAD_SECONDS
            watch.is_suspect = False
            self._agenda.cancel(("silence", peer))
        if not answer:
            watch.asked_of_us_at = now

    def probe(self, peer: PeerKey, now: float) -> bool:
        """Somebody says it is dead: ask at once and wait only PROBE_SECONDS. False if not watched, or asked just now.

        A peer that is asked already is not asked again: notices must not keep a silence from being counted.
        """
        watch = self._watches.get(peer)
        if watch is None or watch.dead_seconds == PROBE_SECONDS:
            return False
        watch.dead_seconds = PROBE_SECONDS
        if watch.oldest_unanswered_at is not None:
            deadline = min(watch.oldest_unanswered_at + DEAD_SECONDS, now + PROBE_SECONDS)
            watch.oldest_unanswered_at = deadline - PROBE_SECONDS
            self._agenda.set_earlier(("silence", peer), deadline)
        watch.asked_of_us_at = -math.inf
        self._agenda.set(("pulse", peer), now)
        return True

    def pulse_due(self, peer: PeerKey, now: float) -> int | None:
        """The sequence number of the pulse to send now, or None when none is owed."""
        watch = self._watches.get(peer)
        if watch is None:
            return None
        is_patient = self._own_key is not None and self._own_key > peer
        if is_patient and watch.oldest_unanswered_at is None and watch.sequence:
            quiet_until = watch.asked_of_us_at + PATIENT_INTERVALS * watch.interval_seconds
            if now < quiet_until - _EPSILON:
                self._agenda.set(("pulse", peer), self._on_grid(max(quiet_until, now) + GRID_SECONDS / 2))
                return None
        watch.sequence += 1
        if watch.oldest_unanswered_at is not None and now > watch.next_pulse_at + ASLEEP_SECONDS:
            watch.oldest_unanswered_at = now
        if watch.oldest_unanswered_at is None:
            watch.oldest_unanswered_at = now
            if watch.dead_seconds < DEAD_SECONDS or watch.interval_seconds > PULSE_SECONDS:
                self._agenda.set(("silence", peer), now + min(watch.dead_seconds, PULSE_SECONDS))
        elif not self._agenda.is_set(("silence", peer)):
            # Most pulses are answered before the next: only now is a look at the silence worth a deadline.
            look_at = watch.oldest_unanswered_at + min(watch.dead_seconds, SUSPECT_SECONDS)
            self._agenda.set(("silence", peer), max(now, look_at))
        if watch.dead_seconds == PROBE_SECONDS:
            watch.next_pulse_at = now + PROBE_SECONDS / 2  # one of the two may be lost
        else:
            watch.next_pulse_at = self._on_grid(now + watch.interval_seconds)
        self._agenda.set(("pulse", peer), watch.next_pulse_at)
        return watch.sequence

    def silence_due(self, peer: PeerKey, now: float) -> bool:
        """Whether the peer is dead; if it is merely suspect (see `is_suspect`), or has answered, watch on."""
        watch = self._watches.get(peer)
        if watch is None or watch.oldest_unanswered_at is None:
            return False
        deadline = watch.oldest_unanswered_at + watch.dead_seconds
        if now > deadline + ASLEEP_SECONDS:
            watch.oldest_unanswered_at = now
            deadline = now + watch.dead_seconds
        if now + _EPSILON < deadline:
            suspect_at = watch.oldest_unanswered_at + SUSPECT_SECONDS
            watch.is_suspect = now + _EPSILON >= suspect_at
            later = deadline if watch.is_suspect else min(deadline, suspect_at)
            if watch.interval_seconds > PULSE_SECONDS and not watch.is_suspect:
                # Rarely asked, and it does not answer: a pulse may be lost, so ask again.
                self._agenda.set(("pulse", peer), now)
                later = min(later, now + PULSE_SECONDS)
            self._agenda.set(("silence", peer), later)
            return False
        return True

    def _on_grid(self, at: float) -> float:
        """The nearest moment of the grid, so that a second's interval stays one."""
        phase = self._phase or 0.0
        return round((at - phase) / GRID_SECONDS) * GRID_SECONDS + phase
