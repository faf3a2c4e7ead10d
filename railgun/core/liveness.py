"""Who is alive: pulses out, silence counted.

Owns: which peers are watched, how often, and when silence means death (spec: links, liveness).
Must not know: what anyone does about a death, or what answers tell.

Silence counts from the oldest unanswered pulse, never from the last sign of life: a peer of which
nothing was asked owes nothing, and a machine that itself was asleep accuses nobody.

Pulses leave on a grid of a quarter second, so that a node with many peers wakes a few times a second and not once
for each of them: all that leave at one moment stand behind one deadline, PULSES.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Final

from railgun.core.agenda import Agenda, DeadlineName
from railgun.core.effects import Effects, SendPulse
from railgun.limits import DEAD_SECONDS, PROBE_SECONDS, PULSE_SECONDS, SUSPECT_SECONDS
from railgun.types import PeerKey
from railgun.wire.frames import Pulse

GRID_SECONDS: Final = 0.25
PATIENT_INTERVALS: Final = 1.25
"""Of two peers that watch each other one asks, and the other asks only when that one's pulse is late."""
ASLEEP_SECONDS: Final = 1.0
"""A deadline that comes so late means that this machine itself did not run: answers may wait unread."""
_EPSILON: Final = 1e-6
PULSES: Final[DeadlineName] = ("pulses",)
"""The owner's agenda says when `Liveness.pulses_due` is to be asked."""


@dataclass(slots=True)
class _Watch:
    users: dict[DeadlineName, float]
    interval_seconds: float
    dead_seconds: float
    asked_of_us_at: float
    """When the peer last sent anything but the answer to a pulse of ours."""
    sequence: int = 0
    """Of the last pulse sent."""
    due_at: float = 0.0
    """When to pulse next, or to see whether a pulse is owed."""
    oldest_unanswered_at: float | None = None
    is_suspect: bool = False
    has_deadline: bool = False
    """Whether a look at its silence may stand in the agenda; most pulses are answered before one is worth it."""


class Liveness:
    """Watches peers: sends pulses, and tells the owner who is dead."""

    def __init__(self, agenda: Agenda, own_key: PeerKey | None) -> None:
        """``own_key``: a relay's; of two relays the one with the smaller key asks. None for clients, which nobody
        watches: they ask always."""
        self._agenda = agenda
        self._own_key = own_key
        self._watches: dict[PeerKey, _Watch] = {}
        self._phase: float | None = None
        """Where this node's grid lies: at its first watch, so that not all nodes wake at once."""
        self._sequence = 0
        self._moments: list[float] = []
        """A heap of the keys of `_due`."""
        self._due: dict[float, list[PeerKey]] = {}
        """Who is due at which moment; whose watch names another moment is stale there."""

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, peer: PeerKey, user: DeadlineName, interval_seconds: float, now: float) -> None:
        """Watch a connected peer on behalf of ``user``; the shortest of all users' intervals holds."""
        if self._phase is None:
            self._phase = now % GRID_SECONDS
        standing = self._watches.get(peer)
        if standing is None:
            watch = self._watches[peer] = _Watch({user: interval_seconds}, interval_seconds, DEAD_SECONDS, now)
            self._plan(peer, watch, now)
            return
        standing.users[user] = interval_seconds
        before = standing.interval_seconds
        standing.interval_seconds = min(standing.users.values())
        if standing.interval_seconds < before:
            self._plan(peer, standing, now)

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
            self._agenda.cancel(("silence", peer))
            if not self._watches:
                self._moments.clear()
                self._due.clear()
                self._agenda.cancel(PULSES)

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
            if watch.has_deadline:
                watch.has_deadline = False
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
            watch.has_deadline = True
            self._agenda.set_earlier(("silence", peer), deadline)
        watch.asked_of_us_at = -math.inf
        self._plan(peer, watch, now)
        return True

    def pulses_due(self, now: float, out: Effects) -> None:
        """Send the pulses that are owed now; to be called when PULSES is due.

        All that a relay sends at one moment are one pulse, encoded once. A client's are numbered a peer, so that
        relays which compare them learn nothing.
        """
        shared: Pulse | None = None
        moments = self._moments
        while moments and moments[0] <= now:
            moment = heapq.heappop(moments)
            for peer in self._due.pop(moment):
                watch = self._watches.get(peer)
                if watch is None or watch.due_at != moment or not self._is_owed(peer, watch, now):
                    continue
                if self._own_key is None:
                    watch.sequence += 1
                    out.append(SendPulse(peer, Pulse(watch.sequence, 0, True, ())))
                    continue
                if shared is None:
                    self._sequence += 1
                    shared = Pulse(self._sequence, 0, True, ())
                watch.sequence = self._sequence
                out.append(SendPulse(peer, shared))
        if moments:
            self._agenda.set(PULSES, moments[0])

    def _plan(self, peer: PeerKey, watch: _Watch, at: float) -> None:
        """Have the peer looked at then, and no more at the moment that was planned before."""
        watch.due_at = at
        due = self._due.get(at)
        if due is not None:
            due.append(peer)
            return
        self._due[at] = [peer]
        heapq.heappush(self._moments, at)
        if self._moments[0] == at:
            self._agenda.set(PULSES, at)

    def _is_owed(self, peer: PeerKey, watch: _Watch, now: float) -> bool:
        """Whether the peer is to be sent a pulse now; plans its next one, and a look at its silence."""
        if watch.oldest_unanswered_at is None and watch.sequence and self._own_key is not None:
            quiet_until = watch.asked_of_us_at + PATIENT_INTERVALS * watch.interval_seconds
            if now < quiet_until - _EPSILON and self._own_key > peer:
                self._plan(peer, watch, self._on_grid(max(quiet_until, now) + GRID_SECONDS / 2))
                return False
        if watch.oldest_unanswered_at is not None and now > watch.due_at + ASLEEP_SECONDS:
            watch.oldest_unanswered_at = now
        if watch.oldest_unanswered_at is None:
            watch.oldest_unanswered_at = now
            if watch.dead_seconds < DEAD_SECONDS:
                watch.has_deadline = True
                self._agenda.set(("silence", peer), now + min(watch.dead_seconds, PULSE_SECONDS))
            elif watch.interval_seconds > PULSE_SECONDS:
                watch.has_deadline = True
                self._agenda.set(("silence", peer), now + PULSE_SECONDS)
        elif not self._agenda.is_set(("silence", peer)):
            # Most pulses are answered before the next: only now is a look at the silence worth a deadline.
            look_at = watch.oldest_unanswered_at + min(watch.dead_seconds, SUSPECT_SECONDS)
            watch.has_deadline = True
            self._agenda.set(("silence", peer), max(now, look_at))
        if watch.dead_seconds == PROBE_SECONDS:
            self._plan(peer, watch, now + PROBE_SECONDS / 2)  # one of the two may be lost
        else:
            self._plan(peer, watch, self._on_grid(now + watch.interval_seconds))
        return True

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
                self._plan(peer, watch, now)
                later = min(later, now + PULSE_SECONDS)
            watch.has_deadline = True
            self._agenda.set(("silence", peer), later)
            return False
        return True

    def _on_grid(self, at: float) -> float:
        """The nearest moment of the grid, so that a second's interval stays one."""
        phase = self._phase or 0.0
        return round((at - phase) / GRID_SECONDS) * GRID_SECONDS + phase
