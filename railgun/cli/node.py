"""``railgun node``: a relay in the foreground, until it is told to stop.

Owns: its options, signals, what the operator reads. Must not know: what a relay does.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_network_options, add_unlock_options
from railgun.cli.context import network_of
from railgun.cli.failures import Exit
from railgun.errors import MalformedInput, UsageError

if TYPE_CHECKING:
    import asyncio

    from railgun.cli.context import Context
    from railgun.links.pool import ListenAt
    from railgun.network import NetworkParameters
    from railgun.ports import Store
    from railgun.runtime.config import Configuration
    from railgun.runtime.relay_host import RelayHost, RelayKeys
    from railgun.types import Address, Role


def add(subparsers: Any) -> None:
    """Describe the command to the parser."""
    parser = add_command(
        subparsers,
        "node",
        run,
        "Run a relay in the foreground. Prints its contact, which others give as --bootstrap; Ctrl-C or SIGTERM lets "
        "it take its leave. With --json the object is printed once the relay listens.",
    )
    add_network_options(parser)
    parser.add_argument("--host", metavar="ADDRESS", help="the address to listen on (configuration: node.host)")
    parser.add_argument("--port", metavar="PORT", help="the UDP port, 0 for any free one (configuration: node.port)")
    parser.add_argument(
        "--advertise",
        metavar="ADDRESS:PORT",
        action="append",
        help="the address that others reach this relay by, if it is another than that listened on; may be repeated",
    )
    roles = parser.add_mutually_exclusive_group()
    roles.add_argument("--role", metavar="ROLES", help="relay, fallback, or both with a comma (node.roles)")
    roles.add_argument(
        "--fallback",
        dest="role",
        action="store_const",
        const="fallback",
        help="the same as --role fallback: take a seat only where volunteers are missing",
    )
    parser.add_argument("--links-max", metavar="COUNT", help="links held at once (configuration: node.links_max)")
    add_unlock_options(parser)


def run(context: Context) -> int:
    """``node``."""
    from railgun.cli.unlock import open_for
    from railgun.runtime.relay_host import RelayKeys
    from railgun.runtime.system import raise_descriptor_limit
    from railgun.runtime.system import run as run_loop

    configuration = context.configuration(logs_at_info=True)
    network = network_of(configuration)
    raise_descriptor_limit()
    with open_for(context, configuration.profile.directory, configuration.profile.key_file) as profile:
        keys = RelayKeys.load(profile.store)
        return run_loop(_serve(context, configuration, network, keys, profile.store))


async def _serve(
    context: Context, configuration: Configuration, network: NetworkParameters, keys: RelayKeys, store: Store
) -> int:
    import dataclasses

    from railgun.links.settings import LinkSettings
    from railgun.runtime.control import ControlServer
    from railgun.runtime.relay_host import RelayHost
    from railgun.runtime.relay_service import RelayService
    from railgun.runtime.system import SystemClock, SystemEntropy

    stop = _watch_signals()
    settings = LinkSettings.for_network(network)
    settings = dataclasses.replace(settings, links_max=min(settings.links_max, configuration.node.links_max))
    host = await RelayHost.start(
        keys=keys,
        network=network,
        listen=_listen_at(context, configuration, network),
        bootstrap=configuration.network.bootstrap,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        roles=configuration.node.roles,
        settings=settings,
        store=store,
        rendezvous=configuration.rendezvous.servers,
    )
    try:
        served = configuration.profile.directory.absolute()
        control = await ControlServer.start(served, RelayService(host, network))
        try:
            _print_start(context, network, host, configuration.node.roles)
            stopped_by = await _until_told(context, configuration, host, stop)
            context.printer.note("leaving: telling the other relays and closing links")
        finally:
            await control.aclose(drain_seconds=1.0)
    finally:
        await host.aclose()
    return Exit.INTERRUPTED if stopped_by == signal.SIGINT else Exit.KEPT


def _watch_signals() -> asyncio.Future[int]:
    """Done with the signal's number once this process is told to stop."""
    import asyncio

    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()

    def told(number: int) -> None:
        if not stop.done():
            stop.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, or in the background of a script
            loop.add_signal_handler(number, told, number)
    return stop


async def _until_told(
    context: Context, configuration: Configuration, host: RelayHost, stop: asyncio.Future[int]
) -> int:
    """The signal that ends the relay; raises what made it fail, if that comes first."""
    import asyncio

    from railgun.limits import DIAL_SECONDS
    from railgun.runtime.tasks import Supervisor

    bootstrap = configuration.network.bootstrap
    others = [contact for contact in bootstrap if contact.node_key != host.contact.node_key]

    async def never_ends() -> None:
        await host.wait()
        raise RuntimeError("the relay ended by itself")

    def failed(error: BaseException) -> None:
        if not stop.done():
            stop.set_exception(error)

    tasks = Supervisor(failed)
    tasks.start("relay", never_ends())
    try:
        await asyncio.wait([stop], timeout=DIAL_SECONDS + 1.0)
        if not stop.done() and others and not host.links.peers():
            addresses = ", ".join(str(address) for contact in others for address in contact.addresses)
            context.printer.note(
                f"no bootstrap relay has answered (tried {addresses}): check their contacts and the network file; "
                "this relay keeps trying, and others may join by its own contact"
            )
        return await stop
    finally:
        await tasks.aclose()


def _listen_at(context: Context, configuration: Configuration, network: NetworkParameters) -> ListenAt:
    """Where to listen and what to tell others. Raises UsageError where others could not reach what they are told."""
    from railgun.core.committee import is_global
    from railgun.links.pool import ListenAt
    from railgun.runtime.own_address import is_wildcard, source_host_towards
    from railgun.types import Address

    host, port = configuration.node.host, configuration.node.port
    told = _advertised(context.arguments.advertise or ())
    if not told and is_wildcard(host):
        first = next((contact.addresses[0] for contact in configuration.network.bootstrap), None)
        own = source_host_towards(first, ipv6=":" in host)
        if port == 0:  # the port that others are told is known only once it is bound
            host = own
        else:
            told = (Address(own, port),)
    shown = told or (Address(host, port or 1),)
    if not network.is_lan and not any(is_global(address) for address in shown):
        raise UsageError(
            f"{shown[0].host} cannot be reached from everywhere, which a public network asks of its relays: give "
            "--advertise ADDRESS:PORT with the address that others see, or make a network of --kind lan"
        )
    return ListenAt(host, port, told)


def _advertised(texts: Any) -> tuple[Address, ...]:
    from railgun.wire.contacts import parse_address

    try:
        return tuple(parse_address(text) for text in texts)
    except MalformedInput as error:
        raise UsageError(f"--advertise: {error.detail}") from error


def _print_start(context: Context, network: NetworkParameters, host: RelayHost, roles: Role) -> None:
    from railgun.crypto.network_ids import network_id
    from railgun.types import Role
    from railgun.wire.contacts import format_contact

    contact = host.contact
    service = "This relay serves the network"
    if roles.is_fallback:
        service = "This fallback relay takes seats only where volunteers are missing. It serves the network"
    line = format_contact(contact)
    address = contact.addresses[0]
    context.printer.result(
        {
            "contact": line,
            "node": contact.node_key.hex(),
            "address": str(address),
            "port": address.port,
            "roles": [str(role.name).lower() for role in Role if role in roles],
            "network": network.name,
            "network_id": network_id(network).hex(),
            "pid": os.getpid(),
        },
        "\n".join(
            [
                f"{service} {network.name} ({network.kind.value}) at {address}, UDP.",
                "Others reach it by its contact:",
                line,
                "It stores and forwards sealed messages only. Idle, it sends and gets a few kilobytes a minute;",
                "a room of K seats costs a seat what is sent there, once in and out again to about 1/K of the members.",
                "Stop it with Ctrl-C: it says goodbye first, so that nobody waits for it.",
            ]
        ),
    )
