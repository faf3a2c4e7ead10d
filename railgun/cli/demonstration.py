"""``railgun demo``: a whole network on this machine, and what came of it.

Owns: its options, which stream shows what. Must not know: how the demo runs, counts or is drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, number, whole_number
from railgun.cli.failures import Exit

if TYPE_CHECKING:
    import argparse

    from railgun.cli.context import Context
    from railgun.runtime.demo.result import DemoResult
    from railgun.runtime.demo.run import Running

DAY_SECONDS = 86_400


def add(subparsers: Any) -> None:
    """Describe the command to the parser."""
    parser = add_command(
        subparsers,
        "demo",
        run,
        "Start relays and members as processes of their own on this machine, let the members talk in a room while its "
        "committees rotate, and count what arrived. Exit status 1 if anything was lost, doubled, or of a wrong size "
        "on the wire.",
    )
    parser.add_argument("--relays", type=whole_number(1, 64), default=7, help="relay processes, 1 to 64")
    parser.add_argument("--members", type=whole_number(2, 64), default=6, help="member processes in one room, 2 to 64")
    parser.add_argument("--messages", type=whole_number(1, 10_000), default=60, help="messages that each member sends")
    parser.add_argument("--committee", type=whole_number(3, 7), default=5, help="seats of the room's committee, 3 to 7")
    parser.add_argument(
        "--epoch-seconds",
        metavar="SECONDS",
        type=whole_number(10, DAY_SECONDS),
        default=20,
        help="how long a committee serves",
    )
    parser.add_argument(
        "--overlap-seconds",
        metavar="SECONDS",
        type=whole_number(1, DAY_SECONDS),
        help="how long two committees serve side by side, up to a quarter of the epoch; by default 4, or a fifth of "
        "an epoch of less than 20",
    )
    parser.add_argument(
        "--duration-seconds",
        metavar="SECONDS",
        type=number(1, DAY_SECONDS),
        default=90,
        help="over how long the messages are spread, once all have joined",
    )
    parser.add_argument(
        "--cover",
        choices=("off", "steady", "strict"),
        default="steady",
        help="decoys that hide when members speak; strict sends on ticks alone, so that messages wait",
    )
    _add_faults(parser)
    parser.add_argument(
        "--evidence", metavar="DIR", help="write each process's own account there, from which the totals recompute"
    )
    parser.add_argument(
        "--stay", action="store_true", help="keep the network up afterwards, with an invite to its room, until Ctrl-C"
    )


def _add_faults(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("faults", "what goes wrong while the members talk; the promises stay the same")
    count = whole_number(0, 1_000)
    group.add_argument(
        "--kill", metavar="N", type=count, default=0, help="SIGKILL a relay that holds a seat, N times, evenly spaced"
    )
    group.add_argument(
        "--restart",
        metavar="N",
        type=count,
        default=0,
        help="SIGKILL relays and members in turn, N times, and start each again after 3 s",
    )
    group.add_argument(
        "--pause", metavar="N", type=count, default=0, help="SIGSTOP relays and members in turn, N times, for 10 s"
    )
    group.add_argument(
        "--partition",
        metavar="SECONDS",
        type=number(0, DAY_SECONDS),
        default=0.0,
        help="cut all processes into two halves that do not hear each other, by network namespaces and nftables",
    )
    group.add_argument("--kill-committee", action="store_true", help="SIGKILL all seats of the room at once, mid-run")
    group.add_argument(
        "--rolling-restart", action="store_true", help="SIGTERM every relay and start it again, one after the other"
    )
    group.add_argument(
        "--churn-seconds", metavar="SECONDS", type=number(1, DAY_SECONDS), help="how often a relay joins or leaves"
    )


def run(context: Context) -> int:
    """``demo``."""
    import asyncio
    import signal

    from railgun.runtime.demo.display import LiveTable, staying_text, summary
    from railgun.runtime.demo.faults import FaultOptions
    from railgun.runtime.demo.options import DemoOptions
    from railgun.runtime.demo.result import promises_kept
    from railgun.runtime.demo.run import run_demo
    from railgun.runtime.system import raise_descriptor_limit
    from railgun.runtime.system import run as run_loop

    given = context.arguments
    context.configuration()
    raise_descriptor_limit()
    options = DemoOptions(
        relays=given.relays,
        members=given.members,
        messages=given.messages,
        committee=given.committee,
        epoch_seconds=given.epoch_seconds,
        overlap_seconds=given.overlap_seconds,
        duration_seconds=given.duration_seconds,
        evidence=None if given.evidence is None else Path(given.evidence),
        stay=given.stay,
        cover=given.cover,
        faults=FaultOptions(
            kill=given.kill,
            restart=given.restart,
            pause=given.pause,
            partition_seconds=given.partition,
            kill_committee=given.kill_committee,
            rolling_restart=given.rolling_restart,
            churn_seconds=given.churn_seconds,
        ),
    )
    printer = context.printer
    table = LiveTable(printer.progress_stream)

    def staying(result: DemoResult, running: Running) -> None:
        table.__exit__(None, None, None)
        printer.result(result.as_json(), summary(result))
        printer.tell(staying_text(running))

    async def until_told() -> DemoResult:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await run_demo(options, table, staying)

    with table:
        try:
            result = run_loop(until_told())
        except asyncio.CancelledError as error:  # SIGTERM ends it as Ctrl-C does: no process and no file stays behind
            raise KeyboardInterrupt from error
    if not printer.has_result:
        printer.result(result.as_json(), summary(result))
    return Exit.KEPT if promises_kept(result) else Exit.BROKEN
