"""``railgun sim committee | rotation | swarm | scale``: many peers in virtual time, on one core.

Owns: their options and output, which figures are promises. Must not know: how anything is simulated.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_group, number, whole_number
from railgun.cli.failures import Exit
from railgun.errors import UsageError

if TYPE_CHECKING:
    from railgun.cli.context import Context

SEED_MAX = 2**63 - 1


def add(subparsers: Any) -> None:
    """Describe the commands to the parser."""
    group = add_group(subparsers, "sim", "Simulations with the real machines, in virtual time.")
    _add_committee(group)
    _add_rotation(group)
    _add_swarm(group)
    _add_scale(group)


def _add_committee(group: Any) -> None:
    parser = add_command(
        group,
        "committee",
        run_committee,
        "How far peers with different directories agree on committees, and how evenly seats fall. Exit status 1 if "
        "two views of a room have no seat in common.",
    )
    parser.add_argument("--relays", type=whole_number(3, 40_000), default=10_000, help="relays in the network")
    parser.add_argument("--rooms", type=whole_number(1, 1_000_000), default=1_000, help="rooms")
    parser.add_argument(
        "--view-loss", type=number(0, 0.999), default=0.01, help="the chance that a relay is missing from a view"
    )
    parser.add_argument("--views", type=whole_number(0, 1_000), default=20, help="directories to compare")
    parser.add_argument("--committee", type=whole_number(3, 7), default=5, help="seats of a committee, 3 to 7")
    parser.add_argument("--epochs", type=whole_number(1, 10_000), default=1, help="epochs of each room")
    parser.add_argument("--seed", type=whole_number(0, SEED_MAX), default=1, help="equal seeds draw equal networks")


def _add_rotation(group: Any) -> None:
    parser = add_command(
        group,
        "rotation",
        run_rotation,
        "Rooms that talk for hours while their committees rotate, over links with delay, loss, reordering and skewed "
        "clocks. Exit status 1 if a message is lost or delivered twice.",
    )
    parser.add_argument("--peers", type=whole_number(2, 100_000), default=200, help="members, spread over the rooms")
    parser.add_argument("--rooms", type=whole_number(1, 10_000), default=20, help="rooms")
    parser.add_argument("--hours", type=number(0.001, 1_000), default=2.0, help="virtual hours of talk")
    parser.add_argument("--seed", type=whole_number(0, SEED_MAX), default=1, help="equal seeds give equal traces")
    parser.add_argument(
        "--cover",
        choices=("off", "steady", "strict"),
        default="off",
        help="how members hide when they speak; decoys make most of a run's events",
    )


def _add_swarm(group: Any) -> None:
    parser = add_command(
        group,
        "swarm",
        run_swarm,
        "Many small networks, each with faults of its own: loss, partitions, crashes, skewed clocks, relays that lie. "
        "Every violation is told in one line, with the command that shows it again. Exit status 1 if there is one.",
    )
    parser.add_argument("--seeds", type=seed_range, default="1..100", metavar="A..B", help="seeds, both included")
    parser.add_argument(
        "--byzantine", type=whole_number(0, 6), help="relays that lie, in every seed (with --committee)"
    )
    parser.add_argument(
        "--committee", type=whole_number(3, 7), help="seats of a committee, 3 to 7; else each seed's own"
    )
    parser.add_argument("--break", dest="break_name", metavar="NAME", help="plant a bug, to see that it is found")
    parser.add_argument(
        "--trace",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write a readable timeline of the one seed to FILE, or else to standard error",
    )
    parser.add_argument(
        "--processes", type=whole_number(1, 256), default=None, help="processes; by default one for each core"
    )
    parser.add_argument(
        "--log", metavar="FILE", help="append a line of JSON to FILE for every 50 seeds that are through"
    )
    parser.add_argument(
        "--resume", action="store_true", help="leave out seeds that stand in the log with the same flags and code"
    )


def _add_scale(group: Any) -> None:
    parser = add_command(
        group,
        "scale",
        run_scale,
        "One fixed traffic on networks of growing size: how the load of a relay falls, how the requests of a lookup "
        "grow, what the directory costs. Exit status 1 if the load does not fall with the number of relays, or lookups "
        "take more than 2.2 times as many requests in the largest network as in the smallest.",
    )
    parser.add_argument(
        "--relays",
        type=sizes,
        default="100,1000,10000",
        metavar="N,N,...",
        help="the networks' sizes, 20 to 20000, ascending",
    )
    parser.add_argument(
        "--rooms", type=whole_number(1, 1_000_000), default=12_000, help="rooms of 20 members, over an hour"
    )
    parser.add_argument("--committee", type=whole_number(3, 7), default=5, help="seats of a committee, 3 to 7")
    parser.add_argument("--seed", type=whole_number(0, SEED_MAX), default=1, help="equal seeds draw equal networks")
    parser.add_argument(
        "--processes", type=whole_number(1, 256), default=None, help="processes; by default one for each core"
    )


def sizes(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    parts = text.split(",")
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: must be whole numbers with commas between them")
    return tuple(map(int, parts))


def seed_range(text: str) -> tuple[int, int]:
    """``A..B``, or one seed alone."""
    first, dots, last = text.partition("..")
    if not first.isdecimal() or (dots and not last.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r}: must be A..B, two whole numbers from 0 on")
    seeds = int(first), int(last if dots else first)
    if seeds[0] > seeds[1] or seeds[1] > SEED_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: A must be at most B, and both below 2^63")
    return seeds


def run_committee(context: Context) -> int:
    """``sim committee``."""
    from railgun.sim.committee import CommitteeScenario, simulate_committees

    given = context.arguments
    scenario = CommitteeScenario(
        relays=given.relays,
        rooms=given.rooms,
        view_loss=given.view_loss,
        views=given.views,
        committee_size=given.committee,
        epochs=given.epochs,
        seed=given.seed,
    )
    figures = simulate_committees(scenario, time.perf_counter)
    context.printer.result(dataclasses.asdict(figures))
    return Exit.BROKEN if figures.rooms_without_common_seat else Exit.KEPT


def run_rotation(context: Context) -> int:
    """``sim rotation``."""
    from railgun.core.cover import CoverOptions
    from railgun.sim.machines import rotation_machines
    from railgun.sim.rotation import RotationOptions, run_rotation
    from railgun.wire.roster import Cover

    given = context.arguments
    options = RotationOptions(
        peers=given.peers,
        rooms=given.rooms,
        hours=given.hours,
        seed=given.seed,
        cover=CoverOptions(Cover[given.cover.upper()]),
    )
    result = run_rotation(options, rotation_machines())
    context.printer.result(dataclasses.asdict(result))
    return Exit.BROKEN if result.lost or result.duplicated else Exit.KEPT


def run_swarm(context: Context) -> int:
    """``sim swarm``."""
    from railgun.sim.swarm.log import SwarmLog
    from railgun.sim.swarm.plan import SwarmOptions
    from railgun.sim.swarm.ranges import run_range, trace_one

    given = context.arguments
    first, last = given.seeds
    log = None if given.log is None else SwarmLog(Path(given.log))
    if given.resume and log is None:
        raise UsageError("--resume: say with --log where it stands which seeds have run")
    options = SwarmOptions(byzantine=given.byzantine, committee_size=given.committee, break_name=given.break_name)
    if given.trace is not None:
        if first != last:
            raise UsageError("--trace: one seed at a time, please")
        if given.trace == "-":
            trace_one(first, options, sys.stderr)
        else:
            with Path(given.trace).open("w") as stream:
                trace_one(first, options, stream)
    processes = given.processes or os.cpu_count() or 1
    result = run_range(
        first, last, options, processes=processes, tell=context.printer.note, log=log, resume=given.resume
    )
    context.printer.result(dataclasses.asdict(result))
    return Exit.BROKEN if result.violations else Exit.KEPT


def run_scale(context: Context) -> int:
    """``sim scale``."""
    from railgun.sim.scale.scenario import ScaleOptions, broken_promises, missed_aims, run_scale

    given = context.arguments
    options = ScaleOptions(relays=given.relays, rooms=given.rooms, committee_size=given.committee, seed=given.seed)
    processes = given.processes or os.cpu_count() or 1
    result = run_scale(options, processes=processes, tell=context.printer.note)
    context.printer.result(dataclasses.asdict(result))
    broken = broken_promises(result)
    for line in (*broken, *missed_aims(result)):
        context.printer.note(line)
    return Exit.BROKEN if broken else Exit.KEPT
