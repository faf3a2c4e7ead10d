"""Who is alive: pulses out, silence counted.

Owns: which peers are watched, how often, and when silence means death (spec: links, liveness).
Must not know: what anyone does about it.

Silence counts from the oldest unanswered pulse, never from the last sign of life: a peer of which
nothing was asked owes nothing, and a machine that itself was asleep accuses nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.core.agenda import Agenda, DeadlineName
from railgun.limits import DEAD_SECONDS, PROBE_SECONDS
from railgun.types import PeerKey


@dataclass(slots=True)
class _Watch:
    users: dict[DeadlineName, float]
    interval_seconds: float
    dead_seconds: float
    sequence: int = 0
    oldest_unanswered_at: float | None = None
    last_heard_at: float = 0.0


class Liveness:
    """Watches peers; the owner sends the pulses that `due` names and acts on the deaths."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._watches: dict[PeerKey, _Watch] = {}

    def watch(self, peer: PeerKey, user: DeadlineName, interval_seconds: float, now: float) -> None:
        """Watch a connected peer on behalf of ``user``; the shortest of all users' intervals holds."""
        standing = self._watches.get(peer)
        if standing is None:
            self._watches[peer] = _Watch({user: interval_seconds}, interval_seconds, DEAD_SECONDS, last_heard_at=now)
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
        if self._watches.pop(peer, None) is not None:
            self._agenda.cancel(("pulse", peer))
            self._agenda.cancel(("silence", peer))

    def heard(self, peer: PeerKey, now: float) -> None:
        """Anything at all arrived from the peer."""
        watch = self._watches.get(peer)
        if watch is not None:
            watch.last_heard_at = now
            watch.oldest_unanswered_at = None
            watch.dead_seconds = DEAD_SECONDS

    def probe(self, peer: PeerKey, now: float) -> bool:
        """Somebody says it is dead: ask at once and wait only PROBE_SECONDS. False if not watched."""
        watch = self._watches.get(peer)
        if watch is None:
            return False
        watch.dead_seconds = PROBE_SECONDS
        watch.oldest_unanswered_at = None
        self._agenda.set(("pulse", peer), now)
        return True

    def pulse_due(self, peer: PeerKey, now: float) -> int | None:
        """The sequence number of the pulse to send now, or None when none is owed.

        None is owed to a peer that is not watched, or was heard within the interval: of two peers that watch each
        other one ends up asking and the other answering.
        """
        watch = self._watches.get(peer)
        if watch is None:
            return None
        quiet_until = watch.last_heard_at + watch.interval_seconds
        if watch.oldest_unanswered_at is None and watch.sequence and now < quiet_until - 0.05:
            self._agenda.set(("pulse", peer), quiet_until)
            return None
        watch.sequence += 1
        if watch.oldest_unanswered_at is None:
            watch.oldest_unanswered_at = now
            self._agenda.set(("silence", peer), now + watch.dead_seconds)
        self._agenda.set(("pulse", peer), now + min(watch.interval_seconds, watch.dead_seconds))
        return watch.sequence

    def silence_due(self, peer: PeerKey, now: float) -> bool:
        """Whether the peer is dead; if it is merely younger than the deadline, watch on."""
        watch = self._watches.get(peer)
        if watch is None or watch.oldest_unanswered_at is None:
            return False
        deadline = watch.oldest_unanswered_at + watch.dead_seconds
        if now + 1e-9 < deadline:
            self._agenda.set(("silence", peer), deadline)
            return False
        return True
