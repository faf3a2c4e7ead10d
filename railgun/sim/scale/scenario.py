"""One fixed traffic, one lookup, one joining client on networks of growing size: the figures and the promises.

Owns: the options, spreading the work over processes, the fit, which figures are promises.
Must not know: how a figure is measured (`load`, `directory`, `lookups`).
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from railgun.errors import UsageError
from railgun.limits import COMMITTEE_DEFAULT, COMMITTEE_MAX, COMMITTEE_MIN
from railgun.sim.scale.directory import DirectoryCost, measure_directory
from railgun.sim.scale.load import SHARES, Load, LoadShare, count_load
from railgun.sim.scale.lookups import LOOKUPS, measure_hops

RELAYS_MIN: Final = 20
RELAYS_MAX: Final = 20_000
SIZES_MAX: Final = 8
EPOCHS: Final = 6
"""Of each room: an hour."""
ROOMS: Final = 12_000
"""Chance alone lifts the busiest hundredth of 10,000 relays above the mean, the more the fewer seats there are: by the
exponent 0.09 with half as many rooms, 0.06 with these, 0.04 with twice as many."""
PERCENT: Final = 99
EXPONENT: Final = -1.0
EXPONENT_TOLERANCE: Final = 0.1
HOPS_GROWTH_MAX: Final = 2.2
"""From the smallest network to the largest; the logarithm of the size doubles from 100 to 10,000."""
JOIN_BYTES_AIM: Final = 1_000_000
DECIMALS: Final = 4


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """What to simulate. Raises UsageError for values out of range.

    Attributes:
        relays: the networks' sizes, ascending.
        rooms: each of 20 members who all say one message in each of 6 epochs.
        lookups: in each network.
    """

    relays: tuple[int, ...] = (100, 1_000, 10_000)
    rooms: int = ROOMS
    committee_size: int = COMMITTEE_DEFAULT
    seed: int = 1
    lookups: int = LOOKUPS

    def __post_init__(self) -> None:
        if not 1 <= len(self.relays) <= SIZES_MAX or list(self.relays) != sorted(set(self.relays)):
            raise UsageError(f"--relays: 1 to {SIZES_MAX} different sizes, the smallest first, please")
        for relays in self.relays:
            if not RELAYS_MIN <= relays <= RELAYS_MAX:
                raise UsageError(f"--relays {relays}: from {RELAYS_MIN} to {RELAYS_MAX}, please")
        if not 1 <= self.rooms <= 1_000_000:
            raise UsageError("--rooms: from 1 to 1000000, please")
        if not COMMITTEE_MIN <= self.committee_size <= COMMITTEE_MAX:
            raise UsageError(f"--committee: from {COMMITTEE_MIN} to {COMMITTEE_MAX}, please")


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """The command's JSON keys, in order.

    Attributes:
        load_exponent: of the 99th-percentile relay's load over the number of relays, fitted on a log-log scale; None
            for a single size.
        load_max_over_mean, load_max_over_mean_random: of the largest network; the second as if every seat's work had
            gone to a relay at random.
        overhead_bytes_per_relay_hour: sent by one relay of the largest network for the directory.
        client_join_bytes: of the directory of the largest network, until a client is in step with two relays.
        hops: by the number of relays, requests of a lookup that follow one another, on average.
        seconds: of real time.
    """

    load_exponent: float | None
    load_max_over_mean: float
    load_max_over_mean_random: float
    overhead_bytes_per_relay_hour: float
    client_join_bytes: int
    hops: dict[str, float]
    seconds: float


Task: TypeAlias = tuple[str, int, LoadShare | None, ScaleOptions]
"""What to measure, in a network of how many relays, of its load which part."""
Measured: TypeAlias = float | DirectoryCost | Load


def broken_promises(result: ScaleResult) -> list[str]:
    """One line for each that was not kept. Of a single size nothing is promised."""
    broken = []
    exponent = result.load_exponent
    if exponent is not None and abs(exponent - EXPONENT) > EXPONENT_TOLERANCE:
        broken.append(f"load_exponent is {exponent}: not within {EXPONENT_TOLERANCE} of {EXPONENT:g}")
    least, most = min(result.hops, key=int), max(result.hops, key=int)
    if result.hops[most] > HOPS_GROWTH_MAX * result.hops[least]:
        broken.append(f"hops grow more than {HOPS_GROWTH_MAX} times from {least} to {most} relays")
    return broken


def missed_aims(result: ScaleResult) -> list[str]:
    """What is hoped for and not promised."""
    if result.client_join_bytes <= JOIN_BYTES_AIM:
        return []
    return [f"a client that joins takes in {result.client_join_bytes} bytes; the aim is {JOIN_BYTES_AIM}"]


def run_scale(options: ScaleOptions, *, processes: int = 1, tell: Callable[[str], None] | None = None) -> ScaleResult:
    """Measure everything. A few minutes for 100, 1,000 and 10,000 relays on two cores."""
    began = time.perf_counter()
    tasks = _tasks(options)
    loads = {relays: Load([], []) for relays in options.relays}
    hops: dict[int, float] = {}
    cost: DirectoryCost | None = None
    parts_left = Counter((what, relays) for what, relays, _, _ in tasks)
    for done, ((what, relays, _, _), measured) in enumerate(_measured(tasks, processes), 1):
        if isinstance(measured, Load):
            loads[relays].add(measured)
        elif isinstance(measured, DirectoryCost):
            cost = measured
        else:
            hops[relays] = measured
        parts_left[what, relays] -= 1
        if tell is not None and not parts_left[what, relays]:
            tell(f"{done} of {len(tasks)}: {what} of {relays} relays, {time.perf_counter() - began:.0f} s")
    if cost is None:
        raise RuntimeError("the directory was not measured")
    largest = loads[options.relays[-1]]
    return ScaleResult(
        load_exponent=fitted_exponent({relays: busy_relay(load.by_order) for relays, load in loads.items()}),
        load_max_over_mean=_max_over_mean(largest.by_order),
        load_max_over_mean_random=_max_over_mean(largest.at_random),
        overhead_bytes_per_relay_hour=round(cost.sent_bytes_per_relay_hour),
        client_join_bytes=cost.join_bytes,
        hops={str(relays): round(hops[relays], DECIMALS) for relays in options.relays},
        seconds=round(time.perf_counter() - began, 3),
    )


def busy_relay(load: Sequence[int]) -> int:
    """The load that 99 of 100 relays do not exceed."""
    return sorted(load)[max(0, math.ceil(len(load) * PERCENT / 100) - 1)]


def fitted_exponent(load_by_relays: dict[int, int]) -> float | None:
    """The slope of log(load) over log(relays), by least squares; None where there is no line to lay."""
    points = [(math.log(relays), math.log(load)) for relays, load in load_by_relays.items() if load > 0]
    if len(points) < 2 or len(points) < len(load_by_relays):
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return round(sum((x - mean_x) * (y - mean_y) for x, y in points) / spread, DECIMALS)


def _tasks(options: ScaleOptions) -> list[Task]:
    """The longest first, so that no process is left alone with one."""
    sizes = options.relays[::-1]
    tasks: list[Task] = [("directory", sizes[0], None, options)]
    tasks += [("lookups", relays, None, options) for relays in sizes]
    for relays in sizes:
        for share in range(SHARES):
            load = LoadShare(relays, options.rooms * EPOCHS, options.committee_size, options.seed, share)
            tasks.append(("load", relays, load, options))
    return tasks


def _measure(task: Task) -> tuple[Task, Measured]:
    what, relays, share, options = task
    if share is not None:
        return task, count_load(share)
    if what == "directory":
        return task, measure_directory(relays, options.seed)
    return task, measure_hops(relays, options.seed, options.lookups)


def _measured(tasks: Sequence[Task], processes: int) -> Iterator[tuple[Task, Measured]]:
    if processes <= 1:
        yield from map(_measure, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_measure, tasks)


def _max_over_mean(load: Sequence[int]) -> float:
    return round(max(load) * len(load) / sum(load), DECIMALS)
