"""Which faults a demo plants, and when.

Owns: the options with their bounds, the schedule. Must not know: processes, how a fault is done.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

from railgun.errors import UsageError

FAULTS_MAX: Final = 1_000
RESTART_AFTER_SECONDS: Final = 3.0
"""How long a killed process that is to come back stays down."""
PAUSE_SECONDS: Final = 10.0
ROLLING_GAP_SECONDS: Final = 1.0
"""Between one relay being up again and the next going down."""


class FaultKind(enum.StrEnum):
    """What is done to the demo's network."""

    KILL = "kill"
    """SIGKILL of a relay that holds a seat; it does not come back."""
    RESTART = "restart"
    """SIGKILL of relays and members in turn; up again after RESTART_AFTER_SECONDS."""
    PAUSE = "pause"
    """SIGSTOP of relays and members in turn, for PAUSE_SECONDS."""
    PARTITION = "partition"
    """Two halves of all processes do not hear each other."""
    KILL_COMMITTEE = "kill_committee"
    """SIGKILL of all seats of the room at once."""
    ROLLING_RESTART = "rolling_restart"
    """SIGTERM of all relays one after the other, each started again at once."""
    CHURN = "churn"
    """A relay leaves (SIGTERM), or a new one joins."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault: when, in seconds from when the talking begins, and the how manieth of its kind, from 0."""

    at_seconds: float
    kind: FaultKind
    number: int


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """What is to go wrong.

    Attributes:
        kill, restart, pause: how often, evenly spaced over the duration.
        partition_seconds: how long the halves are cut apart in the middle of the duration; 0 for not at all.
        kill_committee: kill all seats, in the middle of the duration.
        rolling_restart: restart every relay, beginning after a tenth of the duration.
        churn_seconds: how often a relay joins or leaves; None for never.

    Raises:
        UsageError: a value is out of its range; the text names the flag.
    """

    kill: int = 0
    restart: int = 0
    pause: int = 0
    partition_seconds: float = 0.0
    kill_committee: bool = False
    rolling_restart: bool = False
    churn_seconds: float | None = None

    def __post_init__(self) -> None:
        for flag, count in (("--kill", self.kill), ("--restart", self.restart), ("--pause", self.pause)):
            if not 0 <= count <= FAULTS_MAX:
                raise UsageError(f"{flag} {count}: from 0 to {FAULTS_MAX}, please")
        if not math.isfinite(self.partition_seconds) or self.partition_seconds < 0:
            raise UsageError("--partition: a number of seconds, please")
        if self.churn_seconds is not None and not (math.isfinite(self.churn_seconds) and self.churn_seconds >= 1):
            raise UsageError("--churn-seconds: a number of seconds from 1, please")

    @property
    def any(self) -> bool:
        """Whether anything is to go wrong at all."""
        return self != FaultOptions()

    def schedule(self, duration_seconds: float) -> list[PlannedFault]:
        """All faults in the order of their time."""
        planned: list[PlannedFault] = []
        for kind, count in (
            (FaultKind.KILL, self.kill),
            (FaultKind.RESTART, self.restart),
            (FaultKind.PAUSE, self.pause),
        ):
            planned += [PlannedFault(duration_seconds * (at + 1) / (count + 1), kind, at) for at in range(count)]
        if self.partition_seconds:
            begins = max(0.0, (duration_seconds - self.partition_seconds) / 2)
            planned.append(PlannedFault(begins, FaultKind.PARTITION, 0))
        if self.kill_committee:
            planned.append(PlannedFault(duration_seconds / 2, FaultKind.KILL_COMMITTEE, 0))
        if self.rolling_restart:
            planned.append(PlannedFault(duration_seconds / 10, FaultKind.ROLLING_RESTART, 0))
        if self.churn_seconds is not None:
            count = math.ceil(duration_seconds / self.churn_seconds) - 1
            planned += [PlannedFault((at + 1) * self.churn_seconds, FaultKind.CHURN, at) for at in range(count)]
        return sorted(planned, key=lambda fault: fault.at_seconds)

    def check(self, *, relays: int, duration_seconds: float) -> None:
        """Raise UsageError for what a network of this size and time cannot do."""
        if self.kill >= relays:
            raise UsageError(f"--kill {self.kill}: of {relays} relays at least one has to stay")
        if self.partition_seconds >= duration_seconds:
            raise UsageError(f"--partition {self.partition_seconds:g}: less than the duration, please")
        if self.partition_seconds and relays < 2:
            raise UsageError("--partition: two relays at least, one for each half")
