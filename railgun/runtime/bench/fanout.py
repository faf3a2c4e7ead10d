"""The fan-out benchmark: one relay, its subscribers, and the same over raw data channels.

Owns: the runs and their medians. Must not know: what the workers do inside, how results are shown.

Each run has fresh processes: a relay and a load. Ours and raw runs alternate, so that whatever else the machine does
meets both. The processor time is the relay's alone, from the kernel's account of its process.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from railgun.runtime.bench.options import RUNS, WARM_UP_SECONDS, FanoutOptions, FanoutResult, Latency
from railgun.runtime.workers import Message, Worker, WorkerGroup

PACKAGE: Final = "railgun.runtime.bench"
READY_SECONDS: Final = 90.0
ANSWER_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one run measured; None where nothing was delivered."""

    name: str
    delivered_per_second: float
    cpu_us_per_delivery: float | None
    cpu_share: float
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """The two processes of a run."""

    name: str
    relay: Worker
    load: Worker


async def run_fanout(
    options: FanoutOptions,
    progress: Callable[[Run], None] | None = None,
    *,
    runs: int = RUNS,
    warm_up_seconds: float = WARM_UP_SECONDS,
) -> FanoutResult:
    """Measure; takes about six times the options' seconds and 20 s more. ``progress`` is told of each run.

    Raises:
        WorkerFailed: a process did not start, answer or survive; the text names its log.
    """
    ours: list[Run] = []
    raw: list[Run] = []
    for _ in range(runs):
        for done, start in ((ours, _start_ours), (raw, _start_raw)):
            async with WorkerGroup("bench") as group:
                pair = await start(group, options)
                done.append(await _measure(pair, options.seconds, warm_up_seconds))
            if progress is not None:
                progress(done[-1])
    return summarise(ours, raw)


def summarise(ours: list[Run], raw: list[Run]) -> FanoutResult:
    """The medians of both sides, and raw over ours."""
    relay_cpu = _median([run.cpu_us_per_delivery for run in ours])
    raw_cpu = _median([run.cpu_us_per_delivery for run in raw])
    return FanoutResult(
        delivered_per_second=_median([run.delivered_per_second for run in ours]),
        relay_cpu_us_per_delivery=relay_cpu,
        raw_cpu_us_per_delivery=raw_cpu,
        ratio_to_raw=raw_cpu / relay_cpu if raw_cpu and relay_cpu else None,
        latency_ms=Latency(_median([run.p50_ms for run in ours]), _median([run.p95_ms for run in ours])),
    )


def _median(values: list[float | None]) -> float | None:
    """None as soon as one run measured nothing: a median of the rest would hide it."""
    measured = [value for value in values if value is not None]
    return statistics.median(measured) if measured and len(measured) == len(values) else None


def _load_fields(options: FanoutOptions) -> Message:
    return {"subscribers": options.subscribers, "size": options.size, "window": options.window}


async def _start_ours(group: WorkerGroup, options: FanoutOptions) -> Pair:
    relay, ready = await group.start("relay", f"{PACKAGE}.relay_worker", READY_SECONDS)
    load, _ = await group.start(
        "load", f"{PACKAGE}.load_worker", READY_SECONDS, contact=ready["contact"], **_load_fields(options)
    )
    return Pair("rail gun", relay, load)


async def _start_raw(group: WorkerGroup, options: FanoutOptions) -> Pair:
    relay, _ = await group.start(
        "raw relay", f"{PACKAGE}.raw_relay_worker", READY_SECONDS, send_budget_bytes=options.send_budget_bytes
    )
    load, _ = await group.start("raw load", f"{PACKAGE}.raw_load_worker", READY_SECONDS, **_load_fields(options))
    for _ in range(options.subscribers + 1):
        offer = await load.expect("offer", ANSWER_SECONDS)
        relay.tell("offer", sdp=offer["sdp"])
        answer = await relay.expect("answer", ANSWER_SECONDS)
        load.tell("answer", sdp=answer["sdp"])
    await load.expect("connected", READY_SECONDS)
    return Pair("raw channels", relay, load)


async def _measure(pair: Pair, run_seconds: float, warm_up_seconds: float) -> Run:
    load = pair.load
    await asyncio.sleep(warm_up_seconds)
    load.tell("begin")
    await load.expect("begun", ANSWER_SECONDS)
    before = await _processor_seconds(pair.relay)
    await asyncio.sleep(run_seconds)
    load.tell("end")
    measured = await load.expect("measured", ANSWER_SECONDS)
    used = await _processor_seconds(pair.relay) - before
    delivered, seconds = measured["delivered"], measured["seconds"]
    return Run(
        pair.name,
        delivered_per_second=delivered / seconds,
        cpu_us_per_delivery=used * 1e6 / delivered if delivered else None,
        cpu_share=used / seconds,
        p50_ms=measured["p50_ms"],
        p95_ms=measured["p95_ms"],
    )


async def _processor_seconds(relay: Worker) -> float:
    relay.tell("usage")
    return float((await relay.expect("usage", ANSWER_SECONDS))["processor_seconds"])
