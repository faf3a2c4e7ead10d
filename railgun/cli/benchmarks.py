"""``railgun bench fanout``: what one relay's processor time buys.

Owns: its options and output. Must not know: how anything is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_group, number, whole_number
from railgun.cli.failures import Exit

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.runtime.bench.fanout import Run


def add(subparsers: Any) -> None:
    """Describe the commands to the parser."""
    group = add_group(subparsers, "bench", "Measurements on this machine.")
    fanout = add_command(
        group,
        "fanout",
        run_fanout,
        "One relay as the only seat of a room, with all its checks, beside a program that only copies messages between "
        "as many raw data channels. Three alternating runs of each; takes about six times --seconds and 20 s more.",
    )
    fanout.add_argument("--subscribers", type=whole_number(1, 200), default=20, help="who get every message, 1 to 200")
    fanout.add_argument("--size", type=whole_number(256, 65_536), default=4096, help="envelope bytes: 256, 4096, 65536")
    fanout.add_argument("--seconds", type=number(0.5, 60), default=10.0, help="how long each run measures, 0.5 to 60")


def run_fanout(context: Context) -> int:
    """``bench fanout``."""
    from railgun.runtime.bench.fanout import run_fanout as measure
    from railgun.runtime.bench.options import FanoutOptions
    from railgun.runtime.system import run as run_loop

    given = context.arguments
    context.configuration()
    options = FanoutOptions(subscribers=given.subscribers, size=given.size, seconds=given.seconds)

    def tell(run: Run) -> None:
        cpu = "nothing delivered" if run.cpu_us_per_delivery is None else f"{run.cpu_us_per_delivery:.1f} us a delivery"
        context.printer.note(f"{run.name}: {run.delivered_per_second:.0f} deliveries a second, {cpu}")

    context.printer.result(run_loop(measure(options, tell)).as_json())
    return Exit.KEPT
