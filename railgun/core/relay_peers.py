"""A relay's peers: what each may have it do.

Owns: one peer's budgets, the tags that it has proved, and who is taken for a relay.
Must not know: what frames say, tags' contents, links.

Whoever says that it is a relay has proved a key and nothing else: keys cost nothing. It gets a relay's budgets, and may
speak for a seat, once an ad of that key stands in the directory. Until then it is served as a client is, and may
present its ad.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from railgun.core.budgets import TokenBucket
from railgun.core.directory import Directory
from railgun.core.relay_limits import RelayLimits
from railgun.core.tag_admission import Opener
from railgun.errors import PeerError, RefusalCode
from railgun.limits import (
    CLIENT_SILENCE_SECONDS,
    PREFIX_SHARE,
    PREFIXES_MAX,
    PULSES_BURST,
    PULSES_PER_SECOND,
    WORK_BURST,
    WORK_OF_RELAY_BURST,
    WORK_OF_RELAY_PER_SECOND,
    WORK_PER_SECOND,
)
from railgun.types import Handle, NodeKey, PeerKey, Tag


@dataclass(slots=True)
class Prefix:
    """What the clients of one network prefix share."""

    name: bytes
    publish_bytes: TokenBucket
    pull_bytes: TokenBucket
    work: TokenBucket
    links: int = 0


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
    prefix: Prefix | None = None
    """Whom it shares budgets with; None for relays, and where addresses say nothing."""
    tags: dict[Tag, tuple[Handle, bytes]] = field(default_factory=dict)
    """Tags that it has proved, with handle and proof: the same need not be checked again on the same link."""
    tags_told: int = 0

    def charge(self, units: float, now: float) -> None:
        """Take from what it may have us do. Raises PeerError: RATE_LIMITED."""
        if not self.work.take(units, now):
            raise PeerError(RefusalCode.RATE_LIMITED, "too much work", penalty_points=1)
        if self.prefix is not None and not self.prefix.work.take(units, now):
            raise PeerError(RefusalCode.RATE_LIMITED, "too much work for one prefix", penalty_points=0)

    def may_publish(self, count: int, now: float) -> bool:
        """Take ``count`` bytes from what it may publish, and its prefix with it."""
        prefix = self.prefix
        if not self.work.has(1.0, now) or (prefix is not None and not prefix.publish_bytes.has(count, now)):
            return False
        taken = self.publish_bytes.take(count, now)
        return taken and (prefix is None or prefix.publish_bytes.take(count, now))

    def may_pull(self, count: int, now: float) -> bool:
        """The same of what it may pull."""
        prefix = self.prefix
        if prefix is not None and not prefix.pull_bytes.has(count, now):
            return False
        return self.pull_bytes.take(count, now) and (prefix is None or prefix.pull_bytes.take(count, now))

    def publish_wait_seconds(self, count: int, now: float) -> float:
        """Until it may publish so many bytes."""
        own = self.publish_bytes.wait_seconds(count, now)
        return own if self.prefix is None else max(own, self.prefix.publish_bytes.wait_seconds(count, now))

    def work_wait_seconds(self, now: float) -> float:
        """Until it may have us do anything."""
        own = self.work.wait_seconds(1.0, now)
        return own if self.prefix is None else max(own, self.prefix.work.wait_seconds(1.0, now))

    def opener(self, *, proved: bool) -> Opener:
        """It as somebody who opens a tag."""
        return Opener(self.key, proved, b"" if self.prefix is None else self.prefix.name)


class RelayPeers:
    """All linked peers of one relay, by key."""

    def __init__(self, directory: Directory, limits: RelayLimits, *, shares_prefixes: bool) -> None:
        """``shares_prefixes``: clients of one prefix share budgets, as everywhere but in `lan` networks."""
        self._shares_prefixes = shares_prefixes
        self._prefixes: OrderedDict[bytes, Prefix] = OrderedDict()
        self._directory = directory
        self._limits = limits
        self._peers: dict[PeerKey, RelayPeer] = {}
        self.get: Callable[[PeerKey], RelayPeer | None] = self._peers.get  # asked for every frame and pulse

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, key: PeerKey, now: float, *, says_relay: bool, prefix: bytes = b"") -> RelayPeer:
        """A link is up; it starts with full budgets, but for what its prefix has used up."""
        limits = self._limits
        shared = self._prefix(prefix, now) if prefix and self._shares_prefixes else None
        peer = self._peers[key] = RelayPeer(
            key,
            says_relay,
            TokenBucket(limits.publish_bytes_per_second, limits.publish_bytes_burst, now),
            TokenBucket(limits.pull_bytes_per_second, limits.pull_bytes_burst, now),
            TokenBucket(limits.push_bytes_per_second, limits.push_bytes_burst, now),
            TokenBucket(WORK_PER_SECOND, WORK_BURST, now),
            TokenBucket(PULSES_PER_SECOND, PULSES_BURST, now),
            now,
            prefix=shared,
        )
        if shared is not None:
            shared.links += 1
        self.find_ad(peer, now)
        return peer

    def remove(self, key: PeerKey) -> RelayPeer | None:
        """The link is gone. Idempotent."""
        peer = self._peers.pop(key, None)
        if peer is not None and peer.prefix is not None:
            peer.prefix.links -= 1
        return peer

    def _prefix(self, name: bytes, now: float) -> Prefix:
        """The prefix's budgets, which outlive its links: who comes again finds them as they were."""
        found = self._prefixes.get(name)
        if found is None:
            limits, share = self._limits, PREFIX_SHARE
            found = self._prefixes[name] = Prefix(
                name,
                TokenBucket(share * limits.publish_bytes_per_second, share * limits.publish_bytes_burst, now),
                TokenBucket(share * limits.pull_bytes_per_second, share * limits.pull_bytes_burst, now),
                TokenBucket(share * WORK_PER_SECOND, share * WORK_BURST, now),
            )
            if len(self._prefixes) > PREFIXES_MAX:
                idle = next((key for key, prefix in self._prefixes.items() if not prefix.links and key != name), None)
                if idle is not None:
                    del self._prefixes[idle]
        self._prefixes.move_to_end(name)
        return found

    def find_ad(self, peer: RelayPeer, now: float) -> bool:
        """Whether it is a relay that the directory names; from then on it has a relay's budgets."""
        if not peer.is_relay and peer.says_relay and self._directory.newest_ad(NodeKey(peer.key)) is not None:
            peer.is_relay = True
            if peer.prefix is not None:
                peer.prefix.links -= 1
                peer.prefix = None
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
