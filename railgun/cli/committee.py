"""``railgun committee``: who serves a tag in an epoch, worked out here and now.

Owns: its options and output. Must not know: how the order is made, how the directory is fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_network_options, hexadecimal, whole_number
from railgun.cli.context import network_of
from railgun.cli.failures import Exit
from railgun.cli.output import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from railgun.cli.context import Context
    from railgun.cli.output import Json
    from railgun.core.committee import Committee
    from railgun.network import NetworkParameters
    from railgun.types import RelayContact
    from railgun.wire.records import Ad

KEY_BYTES = 32


def add(subparsers: Any) -> None:
    """Describe the command to the parser."""
    parser = add_command(
        subparsers,
        "committee",
        run,
        "Show the relays that serve a tag in an epoch: seats in order, then standbys. This device fetches the "
        "directory and works the order out itself, as every peer does; exit status 1 if --verify names a relay that "
        "has no seat.",
    )
    parser.add_argument(
        "--tag",
        metavar="HEX",
        type=hexadecimal(KEY_BYTES),
        required=True,
        help="the room's tag of that epoch, 64 digits",
    )
    parser.add_argument(
        "--start",
        metavar="SECONDS",
        type=whole_number(0, 2**32 - 1),
        required=True,
        help="when the epoch starts, in Unix seconds",
    )
    parser.add_argument("--size", type=whole_number(3, 7), default=5, help="K, the room's committee size, 3 to 7")
    parser.add_argument(
        "--verify", metavar="NODEKEY", type=hexadecimal(KEY_BYTES), help="check that this relay, 64 digits, has a seat"
    )
    add_network_options(parser)


def run(context: Context) -> int:
    """``committee``."""
    from railgun.runtime.system import run as run_loop

    configuration = context.configuration()
    network = network_of(configuration)
    committee, agreeing, relays_known = run_loop(_look(context, network, configuration.network.bootstrap))
    wanted = context.arguments.verify
    verified = None if wanted is None else wanted in committee.seat_keys
    groups = {"seats": committee.seats, "standbys": committee.standbys, "fallbacks": committee.fallbacks}
    fields: dict[str, Json] = {
        "tag": committee.tag.hex(),
        "start": context.arguments.start,
        "size": committee.committee_size,
        "n": committee.n,
        "majority": committee.majority,
        "seats_hash": committee.seats_hash.hex(),
        **{name: [_relay(ad) for ad in ads] for name, ads in groups.items()},
        "relays_known": relays_known,
        "relays_agreeing": agreeing,
        "verified": verified,
    }
    context.printer.result(fields, _text(committee, groups, agreeing, relays_known, verified))
    return Exit.BROKEN if verified is False else Exit.KEPT


async def _look(
    context: Context, network: NetworkParameters, bootstrap: Sequence[RelayContact]
) -> tuple[Committee, int, int]:
    from railgun.runtime.directory_client import directory_client
    from railgun.runtime.system import SystemClock, SystemEntropy
    from railgun.types import Tag

    given = context.arguments
    async with directory_client(network, bootstrap, SystemClock(), SystemEntropy()) as client:
        agreeing = await client.sync()
        committee = await client.committee(Tag(given.tag), given.start, given.size)
        return committee, agreeing, await client.relays_known()


def _relay(ad: Ad) -> dict[str, Json]:
    return {"node": ad.node_key.hex(), "address": str(ad.address)}


def _text(
    committee: Committee,
    groups: dict[str, tuple[Ad, ...]],
    agreeing: int,
    relays_known: int,
    verified: bool | None,
) -> str:
    rows: list[list[Json]] = []
    for name, ads in groups.items():
        rows += [[len(rows) + index + 1, name[:-1], ad.node_key.hex(), str(ad.address)] for index, ad in enumerate(ads)]
    lines = [
        table(["rank", "as", "node", "address"], rows),
        f"{committee.n} seats, a majority is {committee.majority}; seats hash {committee.seats_hash.hex()}",
        f"{relays_known} relays known; {agreeing} of those asked hold the same directory",
    ]
    if verified is not None:
        lines.append("The relay has a seat." if verified else "The relay has no seat.")
    return "\n".join(lines)
