"""Where connections come from, and how much each source may ask.

Owns: prefixes, token buckets, the count of connections a source, the address behind a trusted proxy.
Must not know: what a connection is for.

Sources are counted under a keyed hash whose key dies with the process, and are forgotten once they have no connection
and their buckets are full again. An address itself is never kept.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, Union

from railgun_signaling.errors import Refusal, RefusalCode
from railgun_signaling.limits import FORWARDED_FOR_BYTES_MAX, SOURCES_MAX, SOURCES_SCANNED_MAX

Host: TypeAlias = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network: TypeAlias = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

NARROW_BITS: Final = {4: 32, 6: 64}
"""One subscriber: an IPv4 address, an IPv6 /64."""
WIDE_BITS: Final = {4: 24, 6: 48}
"""One provider's block, or whoever rents it."""
WIDE_FACTOR: Final = 8
"""A block may do so many times what one source of it may."""
SOURCE_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What one source may do; its block eight times that."""

    connections_max: int
    arrivals_per_second: float
    arrivals_burst: int
    frames_per_second: float
    frames_burst: int


@dataclass(slots=True)
class _Bucket:
    tokens: float
    refilled_at: float

    def take(self, rate: float, burst: float, now: float) -> bool:
        self.tokens = min(burst, self.tokens + (now - self.refilled_at) * rate)
        self.refilled_at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def is_full(self, rate: float, burst: float, now: float) -> bool:
        return self.tokens + (now - self.refilled_at) * rate >= burst


@dataclass(slots=True)
class _Source:
    factor: int
    arrivals: _Bucket
    frames: _Bucket
    connections: int = 0
    relays: int = 0


@dataclass(frozen=True, slots=True)
class SourceId:
    """A source as this process knows it: hashes of its narrow and its wide prefix."""

    narrow: bytes = field(repr=False)
    wide: bytes = field(repr=False)


class Sources:
    """Counts what each source does."""

    def __init__(self, limits: SourceLimits, key: bytes) -> None:
        """``key``: 32 random bytes."""
        self._limits = limits
        self._key = key
        self._held: OrderedDict[bytes, _Source] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def identify(self, host: Host) -> SourceId:
        """The source that ``host`` belongs to."""
        return SourceId(self._hash(host, NARROW_BITS), self._hash(host, WIDE_BITS))

    def arrive(self, source: SourceId, now: float) -> None:
        """A request came. Raises Refusal (RATE_LIMITED, FULL)."""
        limits = self._limits
        for one in self._both(source, now):
            rate, burst = limits.arrivals_per_second * one.factor, limits.arrivals_burst * one.factor
            if not one.arrivals.take(rate, burst, now):
                raise Refusal(RefusalCode.RATE_LIMITED, _wait(rate))

    def connect(self, source: SourceId, now: float) -> None:
        """A connection begins; `disconnect` ends it. Raises Refusal (TOO_MANY_CONNECTIONS, FULL)."""
        both = self._both(source, now)
        for one in both:
            if one.connections >= self._limits.connections_max * one.factor:
                raise Refusal(RefusalCode.TOO_MANY_CONNECTIONS, 30)
        for one in both:
            one.connections += 1

    def disconnect(self, source: SourceId) -> None:
        """The connection has ended."""
        for key in (source.narrow, source.wide):
            self._held[key].connections -= 1  # kept for as long as it has connections

    def frame(self, source: SourceId, now: float) -> None:
        """A frame came on a connection. Raises Refusal (RATE_LIMITED)."""
        limits = self._limits
        for one in self._both(source, now):
            rate, burst = limits.frames_per_second * one.factor, limits.frames_burst * one.factor
            if not one.frames.take(rate, burst, now):
                raise Refusal(RefusalCode.RATE_LIMITED, _wait(rate))

    def register(self, source: SourceId, most: int, now: float) -> None:
        """A relay of this source is handed out from now on; `unregister` ends it. Raises Refusal (FULL)."""
        narrow = self._both(source, now)[0]
        if narrow.relays >= most:
            raise Refusal(RefusalCode.FULL, 600)
        narrow.relays += 1

    def unregister(self, source: SourceId) -> None:
        """The registration has ended."""
        narrow = self._held.get(source.narrow)
        if narrow is not None and narrow.relays:  # its connection may have ended first, and the source be forgotten
            narrow.relays -= 1

    def forget_idle(self, now: float) -> None:
        """Drop whoever has no connection and has been quiet long enough for its buckets to be full."""
        idle = [key for key, one in self._held.items() if self._is_idle(one, now)]
        for key in idle:
            del self._held[key]

    def _is_idle(self, one: _Source, now: float) -> bool:
        limits = self._limits
        return (
            one.connections == 0
            and one.arrivals.is_full(limits.arrivals_per_second * one.factor, limits.arrivals_burst * one.factor, now)
            and one.frames.is_full(limits.frames_per_second * one.factor, limits.frames_burst * one.factor, now)
        )

    def _both(self, source: SourceId, now: float) -> tuple[_Source, _Source]:
        return self._entry(source.narrow, 1, now), self._entry(source.wide, WIDE_FACTOR, now)

    def _entry(self, key: bytes, factor: int, now: float) -> _Source:
        found = self._held.get(key)
        if found is None:
            self._make_room()
            limits = self._limits
            arrivals = _Bucket(float(limits.arrivals_burst * factor), now)
            frames = _Bucket(float(limits.frames_burst * factor), now)
            found = self._held[key] = _Source(factor, arrivals, frames)
        self._held.move_to_end(key)
        return found

    def _make_room(self) -> None:
        if len(self._held) < SOURCES_MAX:
            return
        for _ in range(SOURCES_SCANNED_MAX):
            key = next(iter(self._held))
            if self._held[key].connections == 0:
                del self._held[key]
                return
            self._held.move_to_end(key)
        raise Refusal(RefusalCode.FULL, 60)

    def _hash(self, host: Host, bits: dict[int, int]) -> bytes:
        kept = bits[host.version]
        prefix = int(host) >> (host.max_prefixlen - kept) << (host.max_prefixlen - kept)
        data = bytes((host.version, kept)) + prefix.to_bytes(host.max_prefixlen // 8, "big")
        return hashlib.blake2b(data, key=self._key, digest_size=SOURCE_ID_BYTES).digest()


def _wait(rate: float) -> int:
    return max(1, round(1.0 / rate))


def normal_host(text: str) -> Host:
    """The address, an IPv4-mapped one as IPv4. Raises ValueError."""
    host = ipaddress.ip_address(text.partition("%")[0])
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return mapped or host


def source_host(peer: Host, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Host:
    """Whose connection this is.

    ``forwarded_for``: the values of ``X-Forwarded-For``, believed only as far as trusted proxies wrote them: from the
    right, the first address that is none of theirs. Anything odd in it: the proxy itself.
    """
    if not is_trusted(peer, trusted):
        return peer
    text = ",".join(forwarded_for)
    if len(text) > FORWARDED_FOR_BYTES_MAX:
        return peer
    for item in reversed(text.split(",")):
        try:
            host = normal_host(item.strip())
        except ValueError:
            return peer
        if not is_trusted(host, trusted):
            return host
    return peer


def is_trusted(host: Host, trusted: Sequence[Network]) -> bool:
    """Whether this is one of the operator's proxies."""
    return any(host.version == network.version and host in network for network in trusted)
