"""The demo for people: a live table while it runs, and a summary of what came of it.

Owns: their looks. Must not know: how anything was counted.
"""

from __future__ import annotations

from types import TracebackType
from typing import IO, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from railgun.runtime.demo.result import CoverFigures, DemoResult, Latencies, promises_kept
from railgun.runtime.demo.run import Progress, Running
from railgun.runtime.percentiles import percentile
from railgun.types import ServiceMode

SEAT_DIGITS = 8
SERVED_BY: Final[dict[str | None, str]] = {
    ServiceMode.VOLUNTEERS: "volunteers alone",
    ServiceMode.HYBRID: "volunteers and fallback relays",
    ServiceMode.DIRECT: "its members themselves",
    None: "nobody",
}
BAR_WIDTH = 20


class LiveTable:
    """Shows progress on a stream, in place on a terminal. A context manager; call it with each `Progress`."""

    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._told: str | None = None

    def __enter__(self) -> LiveTable:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Show where the demo is. Where there is no terminal, a line for each phase."""
        if self._console.is_terminal:
            self._live.update(render(progress), refresh=True)
        elif progress.phase != self._told:
            self._told = progress.phase
            self._console.print(f"demo: {progress.phase}, {progress.seconds:.0f} s since the start", highlight=False)


def render(progress: Progress) -> Group:
    """One picture of the demo."""
    facts = Table.grid(padding=(0, 2))
    phase = progress.phase if progress.waiting_for is None else f"{progress.phase}: {progress.waiting_for}"
    facts.add_row("phase", phase)
    facts.add_row("time", f"{progress.seconds:.0f} s")
    facts.add_row("messages", f"{progress.sent} sent, {progress.delivered} of {progress.expected} deliveries")
    ascending = sorted(progress.latencies_ms)
    facts.add_row("latency", _latency_line(percentile(ascending, 50), percentile(ascending, 95)))
    facts.add_row("rotations", str(progress.rotations))
    facts.add_row("committee", " ".join(seat[:SEAT_DIGITS] for seat in progress.seats) or "-")
    relays = Table("relay", "deliveries", "", title=None, box=None, padding=(0, 2))
    most = max(progress.deliveries.values(), default=0)
    for name, count in progress.deliveries.items():
        relays.add_row(name, str(count), "#" * round(BAR_WIDTH * count / most) if most else "")
    return Group(facts, Text(), relays)


def summary(result: DemoResult) -> str:
    """What came of the demo, in sentences."""
    lost = "nothing was lost" if result.lost == 0 else f"{result.lost} deliveries were LOST"
    doubled = "nothing came twice" if result.duplicated == 0 else f"{result.duplicated} deliveries came TWICE"
    lines = [
        f"{result.members} members sent {result.sent} messages through {result.relays} relays: "
        f"{result.delivered} of {result.expected} deliveries arrived, {lost}, {doubled}.",
        _rotations_line(result),
        f"From send to the recipient's application: {_latencies_line(result.latency_ms)}.",
        *(f"  {size:>5} bytes: {_latencies_line(latencies)}" for size, latencies in result.latency_ms_by_size.items()),
        f"{result.receipts.complete} of {result.sent} messages got receipts of {result.receipts.needed} of "
        f"{result.receipts.of} seats.",
        f"Envelopes of a wrong size seen by relays: {_shown(result.wrong_size_on_wire)}.",
        _cover_line(result.cover),
        f"Deliveries by relay, decoys included: {', '.join(_shown(count) for count in result.per_relay_deliveries)} "
        f"(the busiest {_shown(result.load_max_over_mean)} times the mean).",
        f"At the end the room was served by {SERVED_BY[result.mode]}.",
        "All promises kept." if promises_kept(result) else "A PROMISE WAS BROKEN.",
    ]
    return "\n".join(lines)


def staying_text(running: Running) -> str:
    """How to reach a network that stays."""
    lines = ["The network stays up until Ctrl-C.", ""]
    lines += [
        f"  {name:<10} pid {pid}" + ("" if port is None else f", UDP port {port}")
        for name, pid, port in running.processes
    ]
    lines += [
        "",
        "Join the room from another shell with a profile of your own (railgun init):",
        f"  railgun join --network {running.network_file} {running.invite}",
    ]
    return "\n".join(lines)


def _rotations_line(result: DemoResult) -> str:
    if result.rotations is None:
        return "Rotations were not measured."
    return f"The committee rotated {result.rotations} times; {_shown(result.seats_changed)} seats changed hands."


def _cover_line(cover: CoverFigures) -> str:
    decoys = "decoys were not measured" if cover.decoys_sent is None else f"members sent {cover.decoys_sent} decoys"
    line = f"Cover {cover.mode}: {decoys}."
    if cover.wait_p95_seconds is None:
        return line
    return f"{line} One message in twenty waits {cover.wait_p95_seconds:g} s or longer for its tick."


def _latencies_line(latencies: Latencies) -> str:
    if latencies.p50 is None:
        return "nothing measured"
    return f"half within {latencies.p50:.1f} ms, 95 % within {latencies.p95:.1f} ms, 99 % within {latencies.p99:.1f} ms"


def _latency_line(p50: float | None, p95: float | None) -> str:
    return "-" if p50 is None else f"half within {p50:.1f} ms, 95 % within {p95:.1f} ms"


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:g}"
