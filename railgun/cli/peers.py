"""Reaching the peer of a profile: in this process, or in the one that has the profile open already.

Owns: which of the two, unlocking, waiting for a process that is just ending. Must not know: any call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.runtime.config import Configuration

Result = TypeVar("Result")

RETRY_SECONDS: Final = 4.0
"""How long to wait for a process that has the profile open but does not serve: it starts, or it ends."""
RETRY_PAUSE_SECONDS: Final = 0.1


class Caller(Protocol):
    """What commands ask: `PeerService` or `ControlClient`."""

    async def call(self, name: str, arguments: Mapping[str, object]) -> dict[str, Any]: ...

    def tail(self, arguments: Mapping[str, object]) -> AsyncIterator[dict[str, Any]]: ...


def with_peer(context: Context, work: Callable[[Caller], Awaitable[Result]]) -> Result:
    """Run ``work`` with the profile's peer. Raises whatever opening it and ``work`` raise.

    ``work`` is begun again when the process that served it ends meanwhile.
    """
    import asyncio

    from railgun.runtime.system import run as run_loop

    configuration = context.configuration()
    try:
        return run_loop(_with_peer(context, configuration, work))
    except asyncio.CancelledError as error:  # SIGTERM ends a command as Ctrl-C does: links closed, files in order
        raise KeyboardInterrupt from error


async def _with_peer(
    context: Context, configuration: Configuration, work: Callable[[Caller], Awaitable[Result]]
) -> Result:
    import asyncio
    import signal

    from railgun.runtime.control import ControlClient, ServerGone
    from railgun.storage.process_lock import HeldByAnother

    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    give_up_at: float | None = None
    while True:
        try:
            client = ControlClient(configuration.profile.directory.absolute())
            if client.is_served():
                give_up_at = None
                return await work(client)
            async with _own_peer(context, configuration) as service:
                return await work(service)
        except (HeldByAnother, ServerGone):
            now = loop.time()
            give_up_at = now + RETRY_SECONDS if give_up_at is None else give_up_at
            if now >= give_up_at:
                raise
            await asyncio.sleep(RETRY_PAUSE_SECONDS)


@asynccontextmanager
async def _own_peer(context: Context, configuration: Configuration) -> AsyncIterator[Caller]:
    """A peer of this process, which serves other commands meanwhile."""
    from railgun.cli.context import network_of
    from railgun.cli.unlock import credentials
    from railgun.runtime.api import connect
    from railgun.runtime.control import ControlServer
    from railgun.runtime.peer_service import PeerService

    profile = configuration.profile
    network = None if configuration.network.file is None else network_of(configuration)
    found = credentials(context, profile.directory, profile.key_file)
    peer = await connect(
        profile.directory.absolute(),
        passphrase=found.passphrase,
        key_file=found.key_file,
        network=network,
        bootstrap=configuration.network.bootstrap,
        file_bytes_max=configuration.files.bytes_max,
        listen=configuration.member.listen,
        rendezvous=configuration.rendezvous.servers,
        stun=configuration.network.stun,
        turn=configuration.network.turn,
    )
    try:
        service = PeerService(peer)
        server = await ControlServer.start(profile.directory.absolute(), service)
        try:
            yield service
        finally:
            await server.aclose()
    finally:
        await peer.aclose()
