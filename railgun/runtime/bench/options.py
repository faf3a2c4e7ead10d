"""What a fan-out benchmark is asked for, and what it answers.

Owns: options with their bounds, the result's keys. Must not know: processes, links, the command line.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from railgun.errors import UsageError
from railgun.limits import LINK_SEND_BUDGET_BYTES, TAG_SUBSCRIBERS_MAX
from railgun.types import ENVELOPE_SIZES_BYTES

SUBSCRIBERS_MAX: Final = min(200, TAG_SUBSCRIBERS_MAX - 1)
SECONDS_MAX: Final = 60.0
WINDOW_BYTES_MAX: Final = 16_384
WINDOW_MESSAGES_MAX: Final = 16
"""What is under way to each subscriber, the same for Rail Gun and for the raw channels: enough that neither waits
for the load, little enough that a message is not measured waiting behind many others."""
WARM_UP_SECONDS: Final = 2.0
RUNS: Final = 3
"""Runs of each side, alternating; the medians count."""


@dataclass(frozen=True, slots=True)
class FanoutOptions:
    """What to measure.

    Attributes:
        subscribers: who get every message, 1 to 200.
        size: of each message, as an envelope on the wire: 256, 4096 or 65536 bytes.
        seconds: how long each of the six runs measures, after 2 s of warm-up; 0.5 to 60.

    Raises:
        UsageError: a value is out of its range; the text says what to write.
    """

    subscribers: int = 20
    size: int = 4096
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.subscribers <= SUBSCRIBERS_MAX:
            raise UsageError(f"--subscribers {self.subscribers}: from 1 to {SUBSCRIBERS_MAX}, please")
        if self.size not in ENVELOPE_SIZES_BYTES:
            sizes = ", ".join(str(size) for size in ENVELOPE_SIZES_BYTES)
            raise UsageError(f"--size {self.size}: envelopes have one of these sizes: {sizes}")
        if not 0.5 <= self.seconds <= SECONDS_MAX:
            raise UsageError(f"--seconds {self.seconds:g}: from 0.5 to {SECONDS_MAX:g}, please")

    @property
    def window(self) -> int:
        """Messages under way at once: 16, or what 16 KiB hold, at least one."""
        return max(1, min(WINDOW_MESSAGES_MAX, WINDOW_BYTES_MAX // self.size))

    @property
    def send_budget_bytes(self) -> int:
        """Bytes that may wait in one channel, on either side."""
        return LINK_SEND_BUDGET_BYTES


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the publisher's send to a subscriber; None where nothing was delivered."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class FanoutResult:
    """Medians over the runs. Unmeasured is None.

    Attributes:
        delivered_per_second: deliveries at subscribers a second.
        relay_cpu_us_per_delivery: microseconds of user and system time of the relay's process a delivery.
        raw_cpu_us_per_delivery: the same of a process that only copies messages between data channels.
        ratio_to_raw: raw over ours; above 1 the relay is cheaper than the raw channels.
    """

    delivered_per_second: float | None
    relay_cpu_us_per_delivery: float | None
    raw_cpu_us_per_delivery: float | None
    ratio_to_raw: float | None
    latency_ms: Latency

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints, numbers rounded to what repeats."""
        return {
            name: {part: _rounded(number) for part, number in value.items()} if isinstance(value, dict)
            else _rounded(value)
            for name, value in asdict(self).items()
        }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
