"""How records travel: new ones pushed on at once, the rest compared with a random peer now and then.

Owns: whom to compare with and when, the answer to every directory frame, what a peer may ask for.
Must not know: links, or what the records are used for.

Spec: docs/spec/directory.md, gossip. Relays push and answer; clients only ask. Whatever a peer sends becomes records,
frames and penalties; nothing that it sends raises.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from railgun.core.budgets import TokenBucket
from railgun.core.directory import Directory
from railgun.core.directory_catch_up import DirectoryCatchUp
from railgun.core.reconciliation import answer_ids, answer_ranges, answer_request, open_comparison, push_frames
from railgun.crypto.records import SignedRecord
from railgun.errors import MalformedInput, PeerError, RefusalCode
from railgun.limits import (
    AD_FORWARD_SECONDS,
    AD_FORWARDS_BURST,
    AD_FORWARDS_PER_SECOND,
    DIRECTORY_FRAMES_BURST,
    DIRECTORY_FRAMES_PER_SECOND,
    GOSSIP_CALM_SECONDS_MAX,
    GOSSIP_SECONDS,
)
from railgun.types import NodeKey, PeerKey
from railgun.wire.directory_frames import AdsPush, AdsRequest, DirectoryFrame, DirectoryIds, DirectoryRanges
from railgun.wire.records import is_obituary

if TYPE_CHECKING:
    from random import Random

CLIENT_RELAYS: Final = 2
"""Relays that a client compares with: one alone could keep it in the dark."""
RECHECK_SECONDS: Final = 1.0
"""A client that has learnt something compares again after this long, and on a mismatch nobody does so more often."""


@dataclass(frozen=True, slots=True)
class GossipSend:
    """Send ``frame`` to ``peer``."""

    peer: PeerKey
    frame: DirectoryFrame


@dataclass(frozen=True, slots=True)
class GossipPenalty:
    """``peer`` broke a rule; what to do about it is the owner's to say."""

    peer: PeerKey
    code: RefusalCode
    points: int
    detail: str


@dataclass(slots=True)
class GossipOutcome:
    """What follows from one call, in order."""

    sends: list[GossipSend] = field(default_factory=list)
    learnt: list[SignedRecord] = field(default_factory=list)
    penalties: list[GossipPenalty] = field(default_factory=list)
    words: list[bytes] = field(default_factory=list)
    """Obituaries, as they came, that too few have signed for the directory to keep."""


@dataclass(slots=True)
class _Peer:
    is_relay: bool
    frames: TokenBucket
    forwards: TokenBucket
    compared_at: float
    recheck_at: float | None = None
    opened_digest: bytes | None = None
    """Our digest when we last opened a comparison, while its first answer is awaited."""
    agreed_digest: bytes | None = None


class Gossip:
    """Keeps one directory in step with the peers that it is linked to.

    ``random`` is the injected generator for protocol choices. ``is_relay`` tells whether this node itself is one.
    """

    def __init__(self, directory: Directory, own_key: PeerKey, random: Random, *, is_relay: bool) -> None:
        self._directory = directory
        self._own_key = own_key
        self._random = random
        self._is_relay = is_relay
        self._peers: dict[PeerKey, _Peer] = {}
        self._compare_at: float | None = None
        self._calm_rounds = 0
        """Comparisons of a client in a row that found nothing: it compares ever less often."""
        self._compared_version = -1
        self._catch_up = DirectoryCatchUp()

    # --- events ---------------------------------------------------------------------------

    def peer_connected(self, peer: PeerKey, now: float, *, is_relay: bool) -> GossipOutcome:
        """A link is up. Relays present their own ads to each other, and the one with the smaller key compares; clients
        always do."""
        outcome = GossipOutcome()
        frames = TokenBucket(DIRECTORY_FRAMES_PER_SECOND, DIRECTORY_FRAMES_BURST, now)
        forwards = TokenBucket(AD_FORWARDS_PER_SECOND, AD_FORWARDS_BURST, now)
        self._peers[peer] = _Peer(is_relay, frames, forwards, now)
        own = self._directory.newest_ad_encoded(NodeKey(self._own_key)) if is_relay and self._is_relay else None
        if own is not None:  # a relay listens to those whose ads it knows: present ours before anything else
            outcome.sends += [GossipSend(peer, frame) for frame in push_frames([own])]
        if is_relay and (not self._is_relay or self._own_key < peer):
            self._open(peer, now, outcome)
        if self._compare_at is None:
            self._compare_at = now + self._interval()
        return outcome

    def peer_disconnected(self, peer: PeerKey) -> None:
        """A link is gone."""
        self._peers.pop(peer, None)
        self._catch_up.gone(peer)

    def views_differ(self, peer: PeerKey, now: float) -> GossipOutcome:
        """The peer named other seats than we do: compare at once, though not more than once a second."""
        outcome = GossipOutcome()
        self._found_difference(now)
        state = self._peers.get(peer)
        if state is not None and state.is_relay and now >= state.compared_at + RECHECK_SECONDS:
            self._open(peer, now, outcome)
        return outcome

    def announce(self, encoded: bytes, wall: float) -> GossipOutcome:
        """Keep a record of our own and push it to all relays. Raises PeerError if it is not fit to be kept."""
        outcome = GossipOutcome()
        record = self._directory.insert(encoded, wall)
        if record is not None:
            outcome.learnt.append(record)
            self._push([record], None, outcome)
        return outcome

    def pass_on(self, records: Sequence[SignedRecord], source: PeerKey | None) -> GossipOutcome:
        """Push records that the directory does not keep to all relays but ``source``."""
        outcome = GossipOutcome()
        self._push(records, source, outcome)
        return outcome

    def tick(self, wall: float, now: float) -> GossipOutcome:
        """Open the comparisons that are due, and forget what no epoch needs. To be called about once a second."""
        outcome = GossipOutcome()
        for peer, state in self._peers.items():
            if state.recheck_at is not None and now >= state.recheck_at:
                self._open(peer, now, outcome)
        if self._compare_at is None or now < self._compare_at:
            return outcome
        self._compare_at = now + self._next_interval()
        self._directory.forget_expired(wall)
        self._compared_version = self._directory.version
        relays = sorted(peer for peer, state in self._peers.items() if state.is_relay)
        count = min(len(relays), 1 if self._is_relay else CLIENT_RELAYS)
        for peer in self._random.sample(relays, count):
            self._open(peer, now, outcome)
        return outcome

    def frame_received(self, peer: PeerKey, frame: DirectoryFrame, wall: float, now: float) -> GossipOutcome:
        """Answer one frame. Never raises for what the peer sent: that becomes a penalty."""
        outcome = GossipOutcome()
        state = self._peers.get(peer)
        if state is None:
            return outcome  # its link went away while the frame was queued
        if not state.frames.take(1, now):
            outcome.penalties.append(GossipPenalty(peer, RefusalCode.RATE_LIMITED, 1, "too many directory frames"))
            return outcome
        try:
            self._answer(peer, state, frame, wall, now, outcome)
        except PeerError as error:
            outcome.penalties.append(GossipPenalty(peer, error.code, error.penalty_points, error.detail))
        return outcome

    def next_at(self) -> float:
        """When `tick` is to be called next, at the latest; infinite before anyone is linked."""
        rechecks = (state.recheck_at for state in self._peers.values() if state.recheck_at is not None)
        return min(rechecks, default=math.inf) if self._compare_at is None else min((self._compare_at, *rechecks))

    # --- what is known --------------------------------------------------------------------

    def agreeing(self) -> tuple[PeerKey, ...]:
        """The relays that hold exactly what we hold now, as far as they said, in ascending order."""
        digest = self._directory.digest
        return tuple(sorted(peer for peer, state in self._peers.items() if state.agreed_digest == digest))

    # --- inside ---------------------------------------------------------------------------

    def _answer(
        self, peer: PeerKey, state: _Peer, frame: DirectoryFrame, wall: float, now: float, outcome: GossipOutcome
    ) -> None:
        directory = self._directory
        if isinstance(frame, AdsPush):
            self._take(peer, state, frame, wall, now, outcome)
            return
        if isinstance(frame, DirectoryIds) and not frame.ranges:
            state.agreed_digest = state.opened_digest or state.agreed_digest
            state.opened_digest = None
            return
        self._found_difference(now)
        if isinstance(frame, DirectoryRanges):
            state.opened_digest = None
            if not self._is_relay and self._catch_up.must_wait(peer, frame, directory.hashes, now):
                state.recheck_at = now + RECHECK_SECONDS
                return
            answers = answer_ranges(directory.hashes, frame)
        elif isinstance(frame, DirectoryIds):
            state.opened_digest = None
            answers = answer_ids(directory.hashes, frame, directory.encoded, push=self._is_relay)
        else:
            answers = answer_request(frame, directory.encoded) if self._is_relay else []
        if not state.is_relay:  # a client's records are not wanted
            answers = [answer for answer in answers if not isinstance(answer, AdsRequest)]
        outcome.sends += [GossipSend(peer, answer) for answer in answers]

    def _take(
        self, peer: PeerKey, state: _Peer, frame: AdsPush, wall: float, now: float, outcome: GossipOutcome
    ) -> None:
        if not state.is_relay:
            raise PeerError(RefusalCode.MALFORMED, "clients do not push")
        future: PeerError | None = None
        try:
            for encoded in frame.records:
                try:
                    record = self._directory.insert(encoded, wall)
                except MalformedInput:
                    raise
                except PeerError as error:  # our own clock may be the wrong one: the other records still count
                    future = error
                    continue
                if record is not None:
                    outcome.learnt.append(record)
                elif self._is_relay and is_obituary(encoded) and state.forwards.take(1, now):
                    outcome.words.append(encoded)
        finally:  # what stood before a bad record is good, and others should hear of it
            if outcome.learnt and not self._is_relay:
                state.recheck_at = now + RECHECK_SECONDS
                self._catch_up.learnt(peer, len(outcome.learnt), now)
            fresh = [record for record in outcome.learnt if record.instant >= wall - AD_FORWARD_SECONDS]
            self._push([record for record in fresh if state.forwards.take(1, now)], peer, outcome)
        if future is not None:
            raise future

    def _push(self, records: Iterable[SignedRecord], source: PeerKey | None, outcome: GossipOutcome) -> None:
        if not self._is_relay:
            return
        frames = push_frames([record.encoded for record in records])
        for peer, state in self._peers.items():
            if state.is_relay and peer != source:
                outcome.sends += [GossipSend(peer, frame) for frame in frames]

    def _open(self, peer: PeerKey, now: float, outcome: GossipOutcome) -> None:
        state = self._peers[peer]
        state.compared_at = now
        state.recheck_at = None
        state.opened_digest = self._directory.digest
        outcome.sends.append(GossipSend(peer, open_comparison(self._directory.hashes)))

    def _interval(self) -> float:
        return GOSSIP_SECONDS * self._random.uniform(0.75, 1.25)

    def _next_interval(self) -> float:
        """Relays keep to theirs. A client that found nothing the last time, neither there nor elsewhere, doubles it."""
        unanswered = any(state.opened_digest is not None for state in self._peers.values())
        if self._is_relay or unanswered or self._directory.version != self._compared_version:
            self._calm_rounds = 0
            return self._interval()
        longest = min(GOSSIP_CALM_SECONDS_MAX, self._directory.network.epoch_seconds / 4)
        wait = max(GOSSIP_SECONDS, min(longest, GOSSIP_SECONDS * 2.0**self._calm_rounds))
        self._calm_rounds = min(self._calm_rounds + 1, 16)
        return wait * self._random.uniform(0.75, 1.25)

    def _found_difference(self, now: float) -> None:
        """Somebody holds other records than we do: compare as often as one that has just come."""
        if self._calm_rounds:
            self._calm_rounds = 0
            self._compare_at = min(self._compare_at or 0.0, now + self._interval())
