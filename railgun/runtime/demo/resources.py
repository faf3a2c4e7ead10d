"""What a demo's process holds, now and then, and whether it holds ever more.

Owns: the samples that a worker takes of itself, the figures made of them. Must not know: what a process does.

A sample is a record of kind ``resources``: at, rss_kib, tasks, descriptors, and sockets, those of them that links which
this process dialled need (links come and go, and one that is up is no leak); ``last`` is true for the one that a
process takes when it is told to end, with nothing said or done any more. A process is compared with itself after
SETTLE_SECONDS: by then its code is loaded, its caches and its tables are as full as they get.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from railgun.runtime.demo.evidence import Record, Recorder

SAMPLE_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 600.0
"""From a process's first sample; what it holds then is what it may hold in the end."""
SLOPE_SECONDS_MIN: Final = 600.0
"""From over a shorter time no slope is taken: it would be noise."""
BASE_SECONDS: Final = 60.0
"""The most tasks of so long are the measure: links come and go in between."""
IDLE_SECONDS: Final = 40.0
"""After the drain, until links to relays that are gone have been given up as well."""
SHARE_SETTLED: Final = 1 / 3
SHARE_IDLE: Final = 1 / 10
DECIMALS: Final = 1
KIND: Final = "resources"
_STATUS: Final = Path("/proc/self/status")
_DESCRIPTORS: Final = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class ResourceFigures:
    """What grew, None where it was not measured.

    Attributes:
        rss_slope_kib_per_hour: of the process whose resident memory grew fastest once settled, by least squares.
        tasks_leaked, descriptors_leaked: what processes hold at the end beyond what they held settled, summed.
    """

    rss_slope_kib_per_hour: float | None = None
    tasks_leaked: int | None = None
    descriptors_leaked: int | None = None


def rss_kib(status: str) -> int | None:
    """VmRSS in the text of ``/proc/PID/status``; None where it is missing."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.split()[0])
    return None


def take_sample(recorder: Recorder, sockets: int, *, last: bool = False) -> None:
    """Note what this process holds; to be called on its loop."""
    recorder.record(
        KIND,
        at=time.monotonic(),
        rss_kib=rss_kib(_STATUS.read_text(encoding="ascii", errors="replace")),
        tasks=len(asyncio.all_tasks()),
        descriptors=sum(1 for _ in _DESCRIPTORS.iterdir()) - 1,  # the listing itself has one open
        sockets=sockets,
        last=last,
    )


async def keep_sampling(recorder: Recorder, sockets: Callable[[], int]) -> None:
    """Until it is cancelled."""
    while True:
        take_sample(recorder, sockets())
        await asyncio.sleep(SAMPLE_SECONDS)


def idle_seconds(duration_seconds: float) -> float:
    """How long to leave the network alone before the last samples."""
    return min(IDLE_SECONDS, SHARE_IDLE * duration_seconds)


def resource_figures(lives: Iterable[Sequence[Record]], duration_seconds: float) -> ResourceFigures:
    """From the accounts of each life of each process."""
    slopes: list[float] = []
    tasks: list[int] = []
    descriptors: list[int] = []
    settled_after = min(SETTLE_SECONDS, SHARE_SETTLED * duration_seconds)
    for life in lives:
        samples = [record for record in life if record["kind"] == KIND]
        if not samples:
            continue
        first = samples[0]["at"]
        slope = _slope([sample for sample in samples if sample["at"] >= first + SETTLE_SECONDS])
        if slope is not None:
            slopes.append(slope)
        at = first + settled_after
        base = [sample for sample in samples if at <= sample["at"] <= at + BASE_SECONDS and not sample["last"]]
        if base and samples[-1]["last"]:
            tasks.append(_beyond(samples[-1], base, _tasks))
            descriptors.append(_beyond(samples[-1], base, _descriptors))
    return ResourceFigures(
        rss_slope_kib_per_hour=round(max(slopes), DECIMALS) if slopes else None,
        tasks_leaked=sum(tasks) if tasks else None,
        descriptors_leaked=sum(descriptors) if descriptors else None,
    )


def _tasks(sample: Record) -> int:
    return int(sample["tasks"])


def _descriptors(sample: Record) -> int:
    return int(sample["descriptors"] - sample["sockets"])


def _beyond(last: Record, base: Sequence[Record], held: Callable[[Record], int]) -> int:
    return max(0, held(last) - max(map(held, base)))


def _slope(samples: Sequence[Record]) -> float | None:
    """KiB an hour, by least squares."""
    points = [(sample["at"], sample["rss_kib"]) for sample in samples if sample["rss_kib"] is not None]
    if not points or points[-1][0] - points[0][0] < SLOPE_SECONDS_MIN:
        return None
    mean_at = sum(at for at, _ in points) / len(points)
    mean_kib = sum(kib for _, kib in points) / len(points)
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    slope: float = sum((at - mean_at) * (kib - mean_kib) for at, kib in points) / spread
    return 3600.0 * slope
