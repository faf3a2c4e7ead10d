"""``railgun network create | show``: a network's parameter file.

Owns: their options and output. Must not know: the file's form.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_group, whole_number
from railgun.cli.failures import Exit

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.cli.output import Json
    from railgun.network import NetworkParameters

DAY_SECONDS = 86_400


def add(subparsers: Any) -> None:
    """Describe the commands to the parser."""
    group = add_group(subparsers, "network", "The parameters that all peers of a network share.")
    create = add_command(
        group,
        "create",
        run_create,
        "Write a new network's parameter file. Everyone who takes part needs a copy; its id is a hash of the "
        "parameters, and peers of different networks refuse each other.",
    )
    create.add_argument("name", metavar="NAME", help="what people call the network, 1 to 64 characters")
    create.add_argument("--output", metavar="FILE", required=True, help="the file to write; it must not exist yet")
    create.add_argument(
        "--kind",
        choices=("public", "lan"),
        default="public",
        help="public: relays need global addresses; lan: any address, for one machine or one local network",
    )
    create.add_argument(
        "--epoch-seconds",
        metavar="SECONDS",
        type=whole_number(10, DAY_SECONDS),
        default=600,
        help="how long a committee serves before the next one, 10 to 86400",
    )
    create.add_argument(
        "--overlap-seconds",
        metavar="SECONDS",
        type=whole_number(1, DAY_SECONDS),
        help="how long two committees serve side by side, up to a quarter of the epoch; by default a fifth of it",
    )
    create.add_argument(
        "--ad-lifetime-seconds",
        metavar="SECONDS",
        type=whole_number(60, DAY_SECONDS),
        default=DAY_SECONDS,
        help="how long a relay's announcement lives at most, 60 to 86400",
    )
    show = add_command(
        group, "show", run_show, "Check a parameter file and print what is in it, with the network's id."
    )
    show.add_argument("file", metavar="FILE", help="the parameter file")


def run_create(context: Context) -> int:
    """``network create``."""
    from railgun.network import NetworkKind, NetworkParameters
    from railgun.runtime.network_file import save_network

    given = context.arguments
    network = NetworkParameters(
        name=given.name,
        kind=NetworkKind(given.kind),
        epoch_seconds=given.epoch_seconds,
        overlap_seconds=given.epoch_seconds // 5 if given.overlap_seconds is None else given.overlap_seconds,
        ad_lifetime_seconds=given.ad_lifetime_seconds,
    )
    path = Path(given.output)
    save_network(path, network)
    context.printer.result({"file": str(path.absolute()), **describe(network)})
    return Exit.KEPT


def run_show(context: Context) -> int:
    """``network show``."""
    from railgun.runtime.network_file import load_network

    path = Path(context.arguments.file)
    network = load_network(path)
    context.printer.result({"file": str(path.absolute()), **describe(network)})
    return Exit.KEPT


def describe(network: NetworkParameters) -> dict[str, Json]:
    """The parameters and the id, keys as printed."""
    from railgun.crypto.network_ids import network_id

    return {
        "id": network_id(network).hex(),
        "name": network.name,
        "kind": network.kind.value,
        "epoch_seconds": network.epoch_seconds,
        "overlap_seconds": network.overlap_seconds,
        "ad_lifetime_seconds": network.ad_lifetime_seconds,
    }
