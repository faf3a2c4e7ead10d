"""The epoch clock: this machine's wall time, corrected by what relays say.

Owns: the offset samples and the correction (spec: delivery, clocks). Must not know: what the time is for.
"""

from __future__ import annotations

from collections import OrderedDict
from statistics import median_low

from railgun.limits import CLOCK_CORRECTION_MAX_SECONDS, CLOCK_SAMPLES_MAX, CLOCK_SAMPLES_MIN
from railgun.types import PeerKey


class EpochClock:
    """Maps monotonic seconds to corrected Unix seconds."""

    def __init__(self, *, corrects: bool) -> None:
        """``corrects``: whether relays' clocks are believed or only watched."""
        self._corrects = corrects
        self._wall_minus_monotonic = 0.0
        self.was_read = False
        self._samples: OrderedDict[PeerKey, float] = OrderedDict()
        self._offset = 0.0
        self._directory_offset = 0.0

    def read(self, wall_minus_monotonic_seconds: float) -> None:
        """Take a fresh reading; samples taken against another reading are shifted to fit."""
        jump = wall_minus_monotonic_seconds - self._wall_minus_monotonic
        self._wall_minus_monotonic = wall_minus_monotonic_seconds
        self.was_read = True
        for peer in self._samples:
            self._samples[peer] -= jump
        self._settle()

    def sample(self, relay: PeerKey, offset_seconds: float) -> None:
        """A relay's clock less ours; the newest CLOCK_SAMPLES_MAX relays count."""
        self._samples.pop(relay, None)
        self._samples[relay] = offset_seconds
        if len(self._samples) > CLOCK_SAMPLES_MAX:
            self._samples.popitem(last=False)
        self._settle()

    def _settle(self) -> None:
        """Work out once what every reading adds."""
        self._offset = self._wall_minus_monotonic + self.correction_seconds
        self._directory_offset = self._wall_minus_monotonic + self._correction(1)

    @property
    def measured_offset_seconds(self) -> float | None:
        """Median offset of at least CLOCK_SAMPLES_MIN relays, else None."""
        return self._median_offset(CLOCK_SAMPLES_MIN)

    @property
    def correction_seconds(self) -> float:
        """What is added to this machine's wall time, at most CLOCK_CORRECTION_MAX_SECONDS either way."""
        return self._correction(CLOCK_SAMPLES_MIN)

    def _median_offset(self, samples_min: int) -> float | None:
        if len(self._samples) < samples_min:
            return None
        return median_low(self._samples.values())

    def _correction(self, samples_min: int) -> float:
        offset = self._median_offset(samples_min)
        if offset is None or not self._corrects:
            return 0.0
        return max(-CLOCK_CORRECTION_MAX_SECONDS, min(CLOCK_CORRECTION_MAX_SECONDS, offset))

    def wall(self, now: float) -> float:
        """Corrected Unix seconds at monotonic ``now``."""
        return now + self._offset

    def directory_wall(self, now: float) -> float:
        """Unix seconds to judge ads by, corrected from the first relay on.

        A clock that is behind takes fresh ads for ones from the future, and so would never hear of the further relays
        that it takes to correct it.
        """
        return now + self._directory_offset

    def monotonic(self, wall_seconds: float) -> float:
        """The monotonic second at which the corrected clock shows ``wall_seconds``."""
        return wall_seconds - self._offset
