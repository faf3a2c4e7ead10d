"""What one relay grants its peers.

Owns: the budgets that a relay's operator may change, with the defaults of `railgun.limits`.
Must not know: who enforces them. Peers rely on none of these numbers: whoever is refused is told when to try again.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.limits import (
    PUBLISH_BYTES_BURST,
    PUBLISH_BYTES_PER_SECOND,
    PULL_BYTES_BURST,
    PULL_BYTES_PER_SECOND,
    PUSH_BYTES_BURST,
    PUSH_BYTES_PER_SECOND,
    TAG_BYTES_MAX,
)


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Budgets of one relay: bytes a second and bytes at once for each peer, and bytes held for one tag."""

    publish_bytes_per_second: float = PUBLISH_BYTES_PER_SECOND
    publish_bytes_burst: float = PUBLISH_BYTES_BURST
    pull_bytes_per_second: float = PULL_BYTES_PER_SECOND
    pull_bytes_burst: float = PULL_BYTES_BURST
    push_bytes_per_second: float = PUSH_BYTES_PER_SECOND
    push_bytes_burst: float = PUSH_BYTES_BURST
    tag_bytes_max: int = TAG_BYTES_MAX

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
