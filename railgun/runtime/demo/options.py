"""What a demo is asked for.

Owns: the options with their bounds. Must not know: processes, the command line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from railgun.errors import ConfigurationError, UsageError
from railgun.limits import COMMITTEE_DEFAULT, COMMITTEE_MAX, COMMITTEE_MIN
from railgun.network import NetworkKind, NetworkParameters
from railgun.runtime.demo.faults import FaultOptions

RELAYS_MAX: Final = 64
MEMBERS_MAX: Final = 64
MESSAGES_MAX: Final = 10_000
DURATION_SECONDS_MAX: Final = 86_400.0
DRAIN_SECONDS: Final = 15.0
"""How long after the duration messages may still arrive."""
STRICT_DRAIN_SECONDS: Final = 60.0
"""The same in a room under strict cover, where a message waits for its ticks, and one of 64 KiB for many."""
FAULTS_DRAIN_SECONDS: Final = 60.0
"""The same where something went wrong: what a partition or a restart held up comes then."""
OVERLAP_SECONDS: Final = 4
COVER_MODES: Final = ("off", "steady", "strict")
SIZES: Final = 3
BOOTSTRAPS: Final = 1
"""Relays that everyone starts from: the first; all others are found through it, the directory and the DHT."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """A network and what is said in it.

    Attributes:
        relays: relay processes, 1 to 64.
        members: member processes, 2 to 64, all in one room.
        messages: that each member sends, spread over the duration.
        committee: K, 3 to 7.
        epoch_seconds, overlap_seconds: of the network made for the demo; the overlap by default 4, or a fifth of an
            epoch of less than 20.
        duration_seconds: from when all have joined and the first committee is up.
        evidence: a directory for each process's own account, or None.
        cover: what hides when members speak: off, steady or strict.
        faults: what is to go wrong meanwhile.
        stay: keep the network up afterwards, until Ctrl-C.

    Raises:
        UsageError: a value is out of its range; the text names the flag.
    """

    relays: int = 7
    members: int = 6
    messages: int = 60
    committee: int = COMMITTEE_DEFAULT
    epoch_seconds: int = 20
    overlap_seconds: int | None = None
    duration_seconds: float = 90.0
    evidence: Path | None = None
    stay: bool = False
    cover: str = "steady"
    faults: FaultOptions = field(default_factory=FaultOptions)

    def __post_init__(self) -> None:
        _check("--relays", self.relays, 1, RELAYS_MAX)
        _check("--members", self.members, 2, MEMBERS_MAX)
        _check("--messages", self.messages, 1, MESSAGES_MAX)
        _check("--committee", self.committee, COMMITTEE_MIN, COMMITTEE_MAX)
        if self.cover not in COVER_MODES:
            raise UsageError(f"--cover {self.cover}: one of {', '.join(COVER_MODES)}, please")
        if not math.isfinite(self.duration_seconds):
            raise UsageError("--duration-seconds must be a number of seconds")
        _check("--duration-seconds", self.duration_seconds, 1, DURATION_SECONDS_MAX)
        self.faults.check(relays=self.relays, duration_seconds=self.duration_seconds)
        if self.members * self.messages < SIZES:
            raise UsageError(f"--messages {self.messages}: at least one message of each of {SIZES} sizes, please")
        try:
            self.network()
        except ConfigurationError as error:
            flags = str(error).replace("epoch_seconds =", "--epoch-seconds").replace(
                "overlap_seconds =", "--overlap-seconds"
            )  # fmt: skip
            raise UsageError(flags) from error

    def network(self, name: str = "demo") -> NetworkParameters:
        """The parameters of the demo's network."""
        overlap = (
            min(OVERLAP_SECONDS, self.epoch_seconds // 5) if self.overlap_seconds is None else self.overlap_seconds
        )
        return NetworkParameters(name, NetworkKind.LAN, self.epoch_seconds, overlap)

    @property
    def seats(self) -> int:
        """n: how many seats a committee has when all relays count."""
        return min(self.committee, self.relays)

    @property
    def drain_seconds(self) -> float:
        """How long after the duration messages may still arrive."""
        if self.faults.any:
            return FAULTS_DRAIN_SECONDS
        return STRICT_DRAIN_SECONDS if self.cover == "strict" else DRAIN_SECONDS

    @property
    def receipts_needed(self) -> int:
        """A majority of the seats."""
        return self.seats // 2 + 1


def _check(flag: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"{flag} {value:g}: from {least:g} to {most:g}, please")
