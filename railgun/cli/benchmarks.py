"""``railgun bench fanout | dht``: what one relay's processor time buys, how fast the DHT answers.

Owns: their options and output, handing the simulated network to the measurement of lookups. Must not know: how anything
is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_group, number, whole_number
from railgun.cli.failures import Exit

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.runtime.bench.fanout import Run

SEED_MAX = 2**63 - 1


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
    _add_dht(group)


def _add_dht(group: Any) -> None:
    parser = add_command(
        group,
        "dht",
        run_dht,
        "How fast and how surely the DHT finds a record right after nodes have died without notice, in virtual time. "
        "Who asks lacks the record. Takes about a minute for 2,000 nodes. Exit status 1 if one lookup in twenty takes "
        "500 ms or longer, or more than one in a thousand does not give the right value within 5 s.",
    )
    parser.add_argument("--nodes", type=whole_number(20, 5_000), default=200, help="nodes in the network, 20 to 5000")
    parser.add_argument(
        "--dead", type=number(0, 0.5), default=0.2, help="the share of them that dies at once, 0 to 0.5"
    )
    parser.add_argument("--hostile", type=number(0, 0.4), default=0.0, help="the share of them that lies, 0 to 0.4")
    parser.add_argument("--rtt-ms", type=number(1, 1_000), default=80.0, help="mean round trip, 1 to 1000 ms")
    parser.add_argument(
        "--lookups", type=whole_number(1_000, 100_000), default=1_000, help="how many to measure, 1000 to 100000"
    )
    parser.add_argument("--seed", type=whole_number(0, SEED_MAX), default=1, help="equal seeds give equal figures")


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


def run_dht(context: Context) -> int:
    """``bench dht``."""
    from railgun.runtime.bench.dht import DhtOptions, bench_dht
    from railgun.sim.dht_world import DhtMeasurement, DhtWorldOptions, measure_lookups

    given = context.arguments
    context.configuration()
    options = DhtOptions(
        nodes=given.nodes,
        dead=given.dead,
        hostile=given.hostile,
        rtt_ms=given.rtt_ms,
        lookups=given.lookups,
        seed=given.seed,
    )

    def measure(wanted: DhtOptions) -> DhtMeasurement:
        return measure_lookups(
            DhtWorldOptions(
                nodes=wanted.nodes,
                dead=wanted.dead,
                hostile=wanted.hostile,
                round_trip_seconds=wanted.rtt_ms / 1000,
                lookups=wanted.lookups,
                seed=wanted.seed,
            )
        )

    result = bench_dht(options, measure)
    context.printer.result(result.as_json())
    return Exit.KEPT if result.holds else Exit.BROKEN
