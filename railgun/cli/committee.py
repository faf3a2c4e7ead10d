"""``railgun committee``: who serves a room, or any tag, worked out here and now.

Owns: its options and output. Must not know: how the order is made, how the directory is fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, hexadecimal, whole_number
from railgun.cli.context import network_of
from railgun.cli.failures import Exit
from railgun.cli.output import table
from railgun.cli.rooms import ROOM_HELP, add_peer_options, ask
from railgun.errors import UsageError

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.cli.output import Json

KEY_BYTES = 32
GROUPS = ("seats", "standbys", "fallbacks")


def add(subparsers: Any) -> None:
    """Describe the command to the parser."""
    parser = add_command(
        subparsers,
        "committee",
        run,
        "Show the relays that serve a room in this epoch and the next, or those of any tag: seats in order, then "
        "standbys. This device works the order out from the directory itself, as every peer does; exit status 1 if "
        "--verify names a relay that has no seat.",
    )
    parser.add_argument("room", metavar="ROOM", nargs="?", help=f"{ROOM_HELP}; instead of --tag")
    parser.add_argument(
        "--tag",
        metavar="HEX",
        type=hexadecimal(KEY_BYTES),
        help="a room's tag of one epoch, 64 digits; needs no profile",
    )
    parser.add_argument(
        "--start",
        metavar="SECONDS",
        type=whole_number(0, 2**32 - 1),
        help="when the tag's epoch starts, in Unix seconds",
    )
    parser.add_argument(
        "--size", metavar="SEATS", type=whole_number(3, 7), help="K, the committee size of the tag's room, 3 to 7"
    )
    parser.add_argument(
        "--verify",
        metavar="NODEKEY",
        type=hexadecimal(KEY_BYTES),
        help="check that this relay, 64 digits, has a seat (of a room: in the epoch that is open)",
    )
    add_peer_options(parser)


def run(context: Context) -> int:
    """``committee``."""
    given = context.arguments
    by_tag = (given.tag, given.start, given.size)
    if given.room is not None:
        if any(value is not None for value in by_tag):
            raise UsageError("a room and --tag, --start or --size: give the one or the other")
        found = ask(context, "committee", room=given.room)
    elif None in by_tag:
        raise UsageError("give a room, or all of --tag, --start and --size")
    else:
        found = _of_tag(context)
    wanted = None if given.verify is None else given.verify.hex()
    seats = [relay["node"] for relay in found["committees"][0]["seats"]] if found["committees"] else []
    verified = None if wanted is None else wanted in seats
    fields = {**found, "verified": verified}
    context.printer.result(fields, _text(fields))
    return Exit.BROKEN if verified is False else Exit.KEPT


def _of_tag(context: Context) -> dict[str, Any]:
    """The committee of ``--tag``, by a client without a profile."""
    from railgun.runtime.directory_client import directory_client
    from railgun.runtime.peer_service import describe_committee
    from railgun.runtime.system import SystemClock, SystemEntropy
    from railgun.runtime.system import run as run_loop
    from railgun.types import Tag

    given = context.arguments
    configuration = context.configuration()
    network = network_of(configuration)

    async def look() -> dict[str, Any]:
        bootstrap = configuration.network.bootstrap
        async with directory_client(network, bootstrap, SystemClock(), SystemEntropy()) as client:
            agreeing = await client.sync()
            committee = await client.committee(Tag(given.tag), given.start, given.size)
            return {
                "room": None,
                "committees": [describe_committee(committee, given.start)],
                "relays_known": await client.relays_known(),
                "relays_agreeing": agreeing,
            }

    return run_loop(look())


def _text(found: dict[str, Any]) -> str:
    lines: list[str] = []
    for committee in found["committees"]:
        rows: list[list[Json]] = []
        for group in GROUPS:
            for relay in committee[group]:
                rows.append([len(rows) + 1, group[:-1], relay["node"], relay["address"]])
        lines += [
            f"{_when(committee['start'])}: {committee['n']} seats, a majority is {committee['majority']}, "
            f"seats hash {committee['seats_hash']}, tag {committee['tag']}",
            table(["rank", "as", "node", "address"], rows),
        ]
    if not found["committees"]:
        lines.append("This device holds no key of the room for this epoch yet: try again in a moment.")
    lines.append(
        f"{found['relays_known']} relays known; {found['relays_agreeing']} hold the same directory as this device"
    )
    if found["verified"] is not None:
        lines.append("The relay has a seat." if found["verified"] else "The relay has no seat.")
    return "\n".join(lines)


def _when(start: int) -> str:
    from datetime import UTC, datetime

    return f"Epoch from {datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M:%S} UTC"
