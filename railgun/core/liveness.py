"""Who is alive: pulses out, silence counted.

Owns: which peers are watched, how often, and when silence means death (spec: links, liveness).
Must not know: what anyone does about a death, or what answers tell.

Silence counts from the oldest unanswered pulse, never from the last sign of life: a peer of which
nothing was asked owes nothing, and a machine that itself was asleep accuses nobody.

Long before silence is death it is doubt: whoever depends on the peer gets itself another one beside it, and lets it
go again when the doubt is over. Pulses get lost, so what is not answered at once is asked again a few times first. A
look at who has answered falls on the moments at which pulses leave, and costs no frame while all do.

Pulses leave on a grid of a quarter second, so that a node with many peers wakes a few times a second and not once
for each of them: all that leave at one moment stand behind one deadline, PULSES.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from railgun.core.agenda import BEAT, Agenda, DeadlineName
from railgun.core.effects import Effects, SendPulse
from railgun.limits import DEAD_SECONDS, PROBE_SECONDS, PULSE_SECONDS, SUSPECT_SECONDS
from railgun.types import PeerKey
from railgun.wire.frames import Pulse

GRID_SECONDS: Final = 0.25
PATIENT_INTERVALS: Final = 1.25
"""Of two peers that watch each other one asks, and the other asks only when that one's pulse is late."""
LOOK_SECONDS: Final = GRID_SECONDS
"""How long after a pulse whoever has not answered is asked again."""
ASK_AGAIN_SECONDS: Final = 0.125
DOUBT_SECONDS: Final = 0.65
"""Silence that is clearly longer than usual: the look, and two or three more pulses, brought nothing."""
DOUBT_ON_A_HINT_SECONDS: Final = 0.4
"""The same where something else speaks against the peer too."""
DOUBT_ROUND_TRIPS: Final = 4.0
"""Peers that usually take long may: their doubt begins after so many of their round trips."""
USUAL_SHARE: Final = 0.25
"""How much the newest round trip counts in what is usual; none counts as more than USUAL_SECONDS_MAX."""
USUAL_SECONDS_MAX: Final = 1.0
LATE_SECONDS: Final = 0.2
"""A look that comes so late was held up here, and so may the answer be: look once more."""
ASLEEP_SECONDS: Final = 1.0
"""A deadline that comes so late means that this machine itself did not run: answers may wait unread."""
_EPSILON: Final = 1e-6
PULSES: Final[DeadlineName] = BEAT
"""The owner's agenda says when `Liveness.pulses_due` is to be asked."""


@dataclass(slots=True, eq=False)
class _Look:
    """A look at who of those asked at one moment has answered; spared once all have."""

    at: float
    asked_at: float
    peers: list[PeerKey]


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
    usual_seconds: float = 0.0
    """A moving mean of what its answers took."""
    is_hurried: bool = False
    """Whether the next pulse was planned early, for want of an answer."""
    is_hinted: bool = False
    was_late: bool = False
    is_doubted: bool = False
    look: _Look | None = None
    """The one that waits for its answer."""
    has_deadline: bool = False
    """Whether a look at its silence may stand in the agenda; most pulses are answered before one is worth it."""

    @property
    def doubt_seconds(self) -> float:
        """The silence that makes doubt; never longer than what makes a suspect."""
        least = DOUBT_ON_A_HINT_SECONDS if self.is_hinted else DOUBT_SECONDS
        return min(SUSPECT_SECONDS, max(least, DOUBT_ROUND_TRIPS * self.usual_seconds))


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
        self._looks: deque[_Look] = deque()
        """In the order of time."""

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
                self._looks.clear()
                self._agenda.set_beat(math.inf)

    def is_doubted(self, peer: PeerKey) -> bool:
        """Whether it leaves pulses unanswered for clearly longer than usual."""
        watch = self._watches.get(peer)
        return watch is not None and watch.is_doubted

    def heard(self, peer: PeerKey, now: float, *, answer: bool = False) -> None:
        """Something arrived from the peer; ``answer``: it was no more than the echo of a pulse of ours."""
        watch = self._watches.get(peer)
        if watch is None:
            return
        if watch.oldest_unanswered_at is not None:
            if answer:
                took = min(USUAL_SECONDS_MAX, now - watch.oldest_unanswered_at)
                watch.usual_seconds += USUAL_SHARE * (took - watch.usual_seconds)
            watch.oldest_unanswered_at = None
            watch.dead_seconds = DEAD_SECONDS
            if watch.look is not None:
                self._answered(peer, watch.look)
                watch.look = None
            if watch.is_hurried:
                watch.is_hurried = watch.is_hinted = watch.is_doubted = watch.was_late = False
                self._plan(peer, watch, self._on_grid(now + watch.interval_seconds))
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
        watch.is_hurried = True
        self._plan(peer, watch, now)
        return True

    def hint(self, peer: PeerKey, now: float) -> None:
        """Something speaks against it, and nobody says that it is dead: ask at once, and doubt it the sooner."""
        watch = self._watches.get(peer)
        if watch is None or watch.is_hinted or watch.is_doubted:
            return
        watch.is_hinted = watch.is_hurried = True
        watch.asked_of_us_at = -math.inf
        if watch.oldest_unanswered_at is not None:
            watch.has_deadline = True
            self._agenda.set_earlier(("silence", peer), max(now, watch.oldest_unanswered_at + watch.doubt_seconds))
        self._plan(peer, watch, now)

    def pulses_due(self, now: float, out: Effects) -> None:
        """Send the pulses that are owed now; to be called when PULSES is due.

        All that a relay sends at one moment are one pulse, encoded once. A client's are numbered a peer, so that
        relays which compare them learn nothing.
        """
        shared: Pulse | None = None
        look: _Look | None = None
        moments = self._moments
        while self._looks and self._looks[0].at <= now + _EPSILON:
            self._take_look(self._looks.popleft(), now)
        while moments and moments[0] <= now:
            moment = heapq.heappop(moments)
            for peer in self._due.pop(moment):
                watch = self._watches.get(peer)
                if watch is None or watch.due_at != moment or not self._is_owed(peer, watch, now):
                    continue
                if watch.oldest_unanswered_at == now and not watch.is_hurried:
                    if look is None:
                        look_at = max(self._on_grid(now + LOOK_SECONDS), self._looks[-1].at if self._looks else now)
                        look = _Look(look_at, now, [])
                    look.peers.append(peer)
                    watch.look = look
                if self._own_key is None:
                    watch.sequence += 1
                    out.append(SendPulse(peer, Pulse(watch.sequence, 0, True, ())))
                    continue
                if shared is None:
                    self._sequence += 1
                    shared = Pulse(self._sequence, 0, True, ())
                watch.sequence = self._sequence
                out.append(SendPulse(peer, shared))
        if look is not None:
            self._looks.append(look)
        if moments:
            self._agenda.set_beat(self._not_after_a_look(moments[0]))

    def _answered(self, peer: PeerKey, look: _Look) -> None:
        """One less to look at; who wakes for nobody, sleeps on until pulses are owed."""
        look.peers.remove(peer)
        if look.peers or not self._looks:
            return
        if look is self._looks[0]:
            self._looks.popleft()
            if self._moments:
                self._agenda.set_beat(self._not_after_a_look(self._moments[0]))
        elif look in self._looks:
            self._looks.remove(look)

    def _take_look(self, look: _Look, now: float) -> None:
        """Ask those again at once who were asked then and have not answered."""
        for peer in look.peers:
            watch = self._watches.get(peer)
            if watch is None:
                continue
            if watch.look is look:
                watch.look = None
            if watch.oldest_unanswered_at == look.asked_at and not watch.is_hurried:
                watch.is_hurried = True
                if now > look.at + LATE_SECONDS:
                    watch.was_late = True
                    watch.oldest_unanswered_at = now
                self._plan(peer, watch, now)

    def _not_after_a_look(self, at: float) -> float:
        return min(at, self._looks[0].at) if self._looks else at

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
            self._agenda.set_beat(self._not_after_a_look(at))

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
            if watch.is_hurried:
                watch.has_deadline = True
                self._agenda.set(("silence", peer), now + min(watch.dead_seconds, watch.doubt_seconds))
        elif not self._agenda.is_set(("silence", peer)):
            # Most pulses are answered before the look: only now is the silence worth a deadline.
            watch.has_deadline = True
            look_at = watch.oldest_unanswered_at + min(watch.dead_seconds, watch.doubt_seconds)
            self._agenda.set(("silence", peer), max(now, look_at))
        waited = now - watch.oldest_unanswered_at
        if watch.dead_seconds == PROBE_SECONDS:
            self._plan(peer, watch, now + PROBE_SECONDS / 2)  # one of the two may be lost
        elif watch.is_hurried and waited < watch.doubt_seconds:
            self._plan(peer, watch, now + ASK_AGAIN_SECONDS)
        else:
            interval = watch.interval_seconds
            self._plan(peer, watch, self._on_grid(now + (min(interval, PULSE_SECONDS) if waited else interval)))
        return True

    def silence_due(self, peer: PeerKey, now: float) -> bool:
        """Whether the peer is dead; if it is merely in doubt (see `is_doubted`), or has answered, watch on."""
        watch = self._watches.get(peer)
        if watch is None or watch.oldest_unanswered_at is None:
            return False
        deadline = watch.oldest_unanswered_at + watch.dead_seconds
        if now > deadline + ASLEEP_SECONDS:
            watch.oldest_unanswered_at = now
            deadline = now + watch.dead_seconds
        if now + _EPSILON >= deadline:
            return True
        doubt_at = watch.oldest_unanswered_at + watch.doubt_seconds
        if now > doubt_at + LATE_SECONDS and not watch.was_late and not watch.is_doubted:
            watch.was_late = True
            doubt_at = now + ASK_AGAIN_SECONDS
        watch.is_doubted = watch.is_doubted or now + _EPSILON >= doubt_at
        watch.has_deadline = True
        self._agenda.set(("silence", peer), deadline if watch.is_doubted else min(deadline, doubt_at))
        return False

    def _on_grid(self, at: float) -> float:
        """The nearest moment of the grid, so that a second's interval stays one."""
        phase = self._phase or 0.0
        return round((at - phase) / GRID_SECONDS) * GRID_SECONDS + phase
