"""The demo from beginning to end.

Owns: the phases, the drain, what is told meanwhile. Must not know: how it is shown, the command line.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from railgun.runtime.demo.evidence import FAULTS, SUFFIX, Record, Recorder, prepare_directory
from railgun.runtime.demo.halves import Halves
from railgun.runtime.demo.injector import Injector
from railgun.runtime.demo.network import DemoNetwork, Process
from railgun.runtime.demo.options import DemoOptions
from railgun.runtime.demo.plan import plan
from railgun.runtime.demo.resources import idle_seconds
from railgun.runtime.demo.result import DemoResult
from railgun.runtime.demo.totals import totals
from railgun.runtime.network_file import save_network
from railgun.runtime.tasks import Supervisor, first_ended, running
from railgun.runtime.workers import Message, WorkerGroup

BEGIN_DELAY_SECONDS: Final = 0.3
"""From the order to begin until the duration does: every process has it by then."""
PROGRESS_SECONDS: Final = 0.5
LATE_SECONDS: Final = 1.0
"""After everything has arrived, how long to look out for what arrives twice."""
STAY_USES: Final = 20

Result = TypeVar("Result")


@dataclass(slots=True)
class Progress:
    """How far the demo is, for a live table. ``phase`` is for people."""

    phase: str = "starting relays"
    waiting_for: str | None = None
    has_begun: bool = False
    seconds: float = 0.0
    duration_seconds: float = 0.0
    sent: int = 0
    expected: int = 0
    delivered: int = 0
    epoch_start: int | None = None
    seats: tuple[str, ...] = ()
    rotations: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    deliveries: dict[str, int] = field(default_factory=dict)
    """Of each relay since talking began, in the order of their start."""


@dataclass(frozen=True, slots=True)
class Running:
    """A network that stays: how to reach it. ``processes`` are (name, pid, UDP port or None)."""

    processes: tuple[tuple[str, int, int | None], ...]
    invite: str
    network_file: str


class _Tally:
    """Counts along as the accounts come in."""

    def __init__(self, members: int) -> None:
        self.progress = Progress()
        self._others = members - 1
        self._sent_at: dict[str, float] = {}
        self._before: dict[str, int] = {}
        self._pairs: set[tuple[str, str]] = set()
        self._first_start: int | None = None
        self.unfinished: set[str] = set()
        self._news = asyncio.Event()

    def begin(self, relays: Iterable[str]) -> None:
        """All are there and talk; ``relays``: their names, in the order of their start."""
        self.progress.has_begun = True
        self.progress.waiting_for = None
        self.progress.phase = "talking"
        self.progress.deliveries = dict.fromkeys(relays, 0)

    def note(self, process: Process, message: Message) -> None:
        """A message of a process."""
        progress = self.progress
        if message["kind"] == "count" and process.name in self._before:
            progress.deliveries[process.name] = message["deliveries"] - self._before[process.name]
        if message["kind"] != "record":
            return
        self._news.set()
        record = message["record"]
        match record["kind"]:
            case "began" if "deliveries" in record:
                self._before[process.name] = record["deliveries"]
            case "sending" if record["number"] not in self._sent_at:
                progress.sent += 1
                progress.expected = progress.sent * self._others
                self._sent_at[record["number"]] = record["at"]
                self.unfinished.add(record["number"])
            case "sent" | "unsent":
                self.unfinished.discard(record["number"])
            case "received" if (record["number"], process.name) not in self._pairs:
                self._pairs.add((record["number"], process.name))
                progress.delivered += 1
                sent_at = self._sent_at.get(record["number"])
                if sent_at is not None:
                    progress.latencies_ms.append(1000 * (record["at"] - sent_at))
            case "epoch" if record["start"] != progress.epoch_start:
                progress.rotations += progress.epoch_start is not None and progress.sent > 0
                progress.epoch_start, progress.seats = record["start"], tuple(record["seats"])
            case _:
                pass

    async def wait_all_arrived(self) -> None:
        """Until every message sent so far is at every other member, and every call of send has returned."""
        while self.unfinished or self.progress.delivered < self.progress.expected:
            self._news.clear()
            await self._news.wait()


async def run_demo(
    options: DemoOptions,
    progress: Callable[[Progress], None] | None = None,
    staying: Callable[[DemoResult, Running], None] | None = None,
) -> DemoResult:
    """Start everything, talk, drain, count, and end everything; cancel it and all processes end too.

    ``progress`` is told about twice a second. With ``options.stay`` the network is kept up after ``staying`` was
    told the result, until this program gets SIGINT or SIGTERM.

    Raises:
        UsageError: the directory for evidence is unfit.
        WorkerFailed, DemoFailed: one line that says what went wrong and where its log is.
    """
    began = time.monotonic()
    evidence = None if options.evidence is None else prepare_directory(options.evidence)
    tally = _Tally(options.members)
    tally.progress.duration_seconds = options.duration_seconds
    async with AsyncExitStack() as stack:
        halves = await stack.enter_async_context(Halves()) if options.faults.partition_seconds else None
        group = await stack.enter_async_context(WorkerGroup("demo"))
        network = DemoNetwork(group, options, evidence, tally.note, halves)
        faults = stack.enter_context(_FaultAccount(evidence if options.faults.any else None))
        reporting = Supervisor()
        reporting.start("report", _report(network, tally.progress, began, progress))
        try:
            await _unless(network.until_failure(), network.start())
            injector = Injector(network, options.faults, halves, faults.recorder) if options.faults.any else None
            await _unless(network.until_failure(), _talk(network, options, tally, injector))
            accounts = [process.account for process in network.processes]
            if injector is not None:
                accounts.append(faults.records)
            result = totals(options, accounts, time.monotonic() - began)
            if options.stay:
                tally.progress.phase = "staying"
                await reporting.aclose()
                stay = await _running(network, options, group)
                with _told_to_stop() as told:
                    if staying is not None:
                        staying(result, stay)
                    await _unless(network.until_failure(), told.wait())
        finally:
            await reporting.aclose()
            await network.aclose()
    return result


async def _talk(network: DemoNetwork, options: DemoOptions, tally: _Tally, injector: Injector | None) -> None:
    tally.begin(relay.name for relay in network.relays)
    at = time.monotonic() + BEGIN_DELAY_SECONDS
    for relay in network.relays:
        relay.begin()
    for member, planned in zip(network.members, plan(options), strict=True):
        rows = [(one.number, one.at_seconds, int(one.size_class)) for one in planned]
        member.begin(at=at, plan=rows)
    if injector is not None:
        await injector.run(at, options.duration_seconds)
    await asyncio.sleep(max(0.0, at + options.duration_seconds - time.monotonic()))
    await asyncio.gather(*(member.ask("over", "over") for member in network.members))
    tally.progress.phase = "draining"
    deadline = time.monotonic() + options.drain_seconds
    try:
        async with asyncio.timeout(options.drain_seconds):
            await tally.wait_all_arrived()
    except TimeoutError:
        pass  # what is missing is counted as lost
    await asyncio.sleep(min(LATE_SECONDS, max(0.0, deadline - time.monotonic())))
    if options.faults.churn_seconds is not None:
        tally.progress.phase = "idle, to see what is left behind"
        await asyncio.sleep(idle_seconds(options.duration_seconds))
    await asyncio.gather(*(process.ask("end", "ended") for process in network.up))
    tally.progress.phase = "done"


async def _running(network: DemoNetwork, options: DemoOptions, group: WorkerGroup) -> Running:
    path = group.directory / "network.toml"
    save_network(path, options.network())
    processes = tuple((process.name, process.worker.pid, process.ready.get("port")) for process in network.processes)
    return Running(processes, await network.invite(STAY_USES), str(path))


class _FaultAccount:
    """What went wrong, kept and, if wanted, written to a file beside the processes' accounts."""

    def __init__(self, evidence: Path | None) -> None:
        self.records: list[Record] = []
        path = None if evidence is None else str(evidence / f"{FAULTS}{SUFFIX}")
        self.recorder = Recorder(self.records.append, path)

    def __enter__(self) -> _FaultAccount:
        return self

    def __exit__(self, *_: object) -> None:
        self.recorder.__exit__(None, None, None)


@contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """Set by SIGINT or SIGTERM, which then are the wished-for end and no interruption."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _unless(failure: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Result]) -> Result:
    """The work's result, or the failure if that comes first."""
    async with running(failing=failure, working=work) as (failing, working):
        await first_ended(failing, working)
        result: Result = await working
        return result


async def _report(
    network: DemoNetwork, state: Progress, began: float, progress: Callable[[Progress], None] | None
) -> None:
    if progress is None:
        return
    while True:
        state.seconds = time.monotonic() - began
        if not state.has_begun:
            state.phase = network.phase
            state.waiting_for = network.missing() if network.members else None
        for relay in network.relays:
            if relay.is_up:
                relay.worker.tell("count")
        progress(state)
        await asyncio.sleep(PROGRESS_SECONDS)
