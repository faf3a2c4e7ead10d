"""A relay's peers: what each may have it do.

Owns: one peer's budgets, the tags that it has proved, and who is taken for a relay.
Must not know: what frames say, tags' contents, links.

Whoever says that it is a relay has proved a key and nothing else: keys cost nothing. It gets a relay's budgets, and may
speak for a seat, once an ad of that key stands in the directory. Until then it is served as a client is, and may
present its ad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from railgun.core.budgets import TokenBucket
from railgun.core.directory import Directory
from railgun.core.relay_limits import RelayLimits
from railgun.errors import PeerError, RefusalCode
from railgun.limits import (
    CLIENT_SILENCE_SECONDS,
    PULSES_BURST,
    PULSES_PER_SECOND,
    WORK_BURST,
    WORK_OF_RELAY_BURST,
    WORK_OF_RELAY_PER_SECOND,
    WORK_PER_SECOND,
)
from railgun.types import Handle, NodeKey, PeerKey, Tag


@dataclass(slots=True)
class RelayPeer:
    """One link's remote. ``says_relay`` is its own claim; ``is_relay`` that an ad bears it out."""

    key: PeerKey
    says_relay: bool
    publish_bytes: TokenBucket
    pull_bytes: TokenBucket
    push_bytes: TokenBucket
    work: TokenBucket
    pulses: TokenBucket
    heard_at: float
    is_relay: bool = False
    tags: dict[Tag, tuple[Handle, bytes]] = field(default_factory=dict)
    """Tags that it has proved, with handle and proof: the same need not be checked again on the same link."""
    tags_told: int = 0

    def charge(self, units: float, now: float) -> None:
        """Take from what it may have us do. Raises PeerError: RATE_LIMITED."""
        if not self.work.take(units, now):
            raise PeerError(RefusalCode.RATE_LIMITED, "too much work", penalty_points=1)


class RelayPeers:
    """All linked peers of one relay, by key."""

    def __init__(self, directory: Directory, limits: RelayLimits) -> None:
        self._directory = directory
        self._limits = limits
        self._peers: dict[PeerKey, RelayPeer] = {}
        self.get: Callable[[PeerKey], RelayPeer | None] = self._peers.get  # asked for every frame and pulse

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, key: PeerKey, now: float, *, says_relay: bool) -> RelayPeer:
        """A link is up; it starts with full budgets."""
        limits = self._limits
        peer = self._peers[key] = RelayPeer(
            key,
            says_relay,
            TokenBucket(limits.publish_bytes_per_second, limits.publish_bytes_burst, now),
            TokenBucket(limits.pull_bytes_per_second, limits.pull_bytes_burst, now),
            TokenBucket(limits.push_bytes_per_second, limits.push_bytes_burst, now),
            TokenBucket(WORK_PER_SECOND, WORK_BURST, now),
            TokenBucket(PULSES_PER_SECOND, PULSES_BURST, now),
            now,
        )
        self.find_ad(peer, now)
        return peer

    def remove(self, key: PeerKey) -> RelayPeer | None:
        """The link is gone. Idempotent."""
        return self._peers.pop(key, None)

    def find_ad(self, peer: RelayPeer, now: float) -> bool:
        """Whether it is a relay that the directory names; from then on it has a relay's budgets."""
        if not peer.is_relay and peer.says_relay and self._directory.newest_ad(NodeKey(peer.key)) is not None:
            peer.is_relay = True
            peer.work = TokenBucket(WORK_OF_RELAY_PER_SECOND, WORK_OF_RELAY_BURST, now)
        return peer.is_relay

    def silent(self, now: float) -> list[PeerKey]:
        """Clients, and whoever only says that it is a relay, that have not been heard for long."""
        return [
            key
            for key, peer in self._peers.items()
            if now >= peer.heard_at + CLIENT_SILENCE_SECONDS and not self.find_ad(peer, now)
        ]

    def has_clients(self) -> bool:
        """Whether anyone is linked who may be found `silent`."""
        return any(not peer.is_relay for peer in self._peers.values())
