"""Token buckets: how much a peer may ask for, in bytes.

Owns: the arithmetic. Must not know: what is counted.
"""

from __future__ import annotations


class TokenBucket:
    """Holds up to ``burst`` tokens and gains ``per_second``; starts full."""

    __slots__ = ("_burst", "_per_second", "_tokens", "_updated_at")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._updated_at = now

    def take(self, count: float, now: float) -> bool:
        """Take ``count`` tokens, or none and return False."""
        tokens = self._tokens + (now - self._updated_at) * self._per_second  # as `_refill`: this is called most
        tokens = min(tokens, self._burst)
        self._updated_at = now
        if tokens < count:
            self._tokens = tokens
            return False
        self._tokens = tokens - count
        return True

    def has(self, count: float, now: float) -> bool:
        """Whether ``count`` tokens are there."""
        self._refill(now)
        return self._tokens >= count

    def spend(self, count: float, now: float) -> None:
        """Take ``count`` tokens even where that leaves a debt, of at most ``burst``."""
        self._refill(now)
        self._tokens = max(-self._burst, self._tokens - count)

    def wait_seconds(self, count: float, now: float) -> float:
        """Seconds until ``count`` tokens will be there (0 when they are)."""
        self._refill(now)
        return max(0.0, (min(count, self._burst) - self._tokens) / self._per_second)

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._per_second)
        self._updated_at = now
