"""When an epoch opens, hands over and ends.

Owns: the instants of one epoch, in corrected Unix seconds (spec: delivery, rotation).
Must not know: rooms, keys, or what anyone does at these instants.
"""

from __future__ import annotations

from dataclasses import dataclass

from railgun.network import NetworkParameters


@dataclass(frozen=True, slots=True)
class EpochWindow:
    """The instants of the epoch that starts at ``start``; L and O are the network's."""

    start: int
    epoch_seconds: int
    overlap_seconds: int

    @staticmethod
    def of(start: int, network: NetworkParameters) -> EpochWindow:
        return EpochWindow(start, network.epoch_seconds, network.overlap_seconds)

    @property
    def end(self) -> int:
        """The boundary at which senders switch to the next epoch."""
        return self.start + self.epoch_seconds

    @property
    def warm_up_from(self) -> float:
        """Peers attach from here on (with jitter)."""
        return self.start - self.overlap_seconds

    @property
    def accept_from(self) -> float:
        """Seats accept publishes from here on."""
        return self.start - 1.5 * self.overlap_seconds

    @property
    def accept_until(self) -> float:
        """Seats accept publishes up to here; then they are too late."""
        return self.end + 1.5 * self.overlap_seconds

    @property
    def keep_until(self) -> float:
        """Seats forget the tag here."""
        return self.end + 2.0 * self.overlap_seconds

    @property
    def stay_until(self) -> float:
        """Subscribers take their last digests here."""
        return self.accept_until

    @property
    def reseal_at(self) -> float:
        """What is short of a majority here is sealed again in the next epoch."""
        return self.end + 0.5 * self.overlap_seconds

    @property
    def busy_from(self) -> float:
        """From shortly before the epoch starts its seats are watched closely, and before that from time to time."""
        return self.start - 0.25 * self.overlap_seconds

    @property
    def busy_until(self) -> float:
        """Whoever's clock is right has switched long ago; half the overlap is for the others."""
        return self.end + 0.5 * self.overlap_seconds

    def is_busy(self, wall_seconds: float) -> bool:
        return self.busy_from <= wall_seconds < self.busy_until

    def next_phase(self, wall_seconds: float) -> float | None:
        """When `is_busy` changes next, or None."""
        return next((at for at in (self.busy_from, self.busy_until) if at > wall_seconds), None)

    def accepts(self, wall_seconds: float) -> bool:
        return self.accept_from <= wall_seconds < self.accept_until
