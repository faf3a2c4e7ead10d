"""A network of many relays in one process, on 127.0.0.1, of which some die as machines do: without a word.

Must not know: machines' insides.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from railgun.links.pool import ListenAt
from railgun.network import NetworkParameters
from railgun.ports import Store
from railgun.runtime.relay_host import RelayHost, RelayKeys
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.types import RelayContact
from tests.support.api_lab import network_of

UP_SECONDS = 60.0


class ManyRelays:
    """Relays that started one after the other, each with the address of the first alone."""

    def __init__(self, network: NetworkParameters, stack: AsyncExitStack) -> None:
        self.network = network
        self.relays: list[RelayHost] = []
        self.clock, self.entropy = SystemClock(), SystemEntropy()
        self._stack = stack

    async def add(
        self, bootstrap: Sequence[RelayContact], keys: RelayKeys | None = None, store: Store | None = None
    ) -> RelayHost:
        relay = await RelayHost.start(
            keys=keys or RelayKeys.generate(self.entropy, self.clock),
            network=self.network,
            listen=ListenAt("127.0.0.1", 0),
            bootstrap=bootstrap,
            clock=self.clock,
            entropy=self.entropy,
            store=store,
        )
        self._stack.push_async_callback(relay.aclose)
        self.relays.append(relay)
        return relay

    async def know_each_other(self, relays: Sequence[RelayHost]) -> None:
        """Until all of them are in the directory and in the DHT of each."""
        keys = [relay.machine.node_key for relay in relays]

        def is_done() -> bool:
            return all(
                relay.machine.directory.directory.newest_ad(key) is not None and len(relay.dht.node.table)
                for relay in relays
                for key in keys
            )

        assert await self.relays[0].wait_until(is_done, UP_SECONDS)

    async def die(self, relay: RelayHost) -> None:
        """From one moment to the next, for good: its port swallows what comes, as that of a machine that is off."""
        self.relays.remove(relay)
        address = relay.contact.addresses[0]
        relay._driver.stop()
        port = relay.links._port
        assert port is not None
        port.close()
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind((address.host, address.port))
        self._stack.callback(silent.close)
        await relay._tasks.aclose()
        await relay.links.aclose()
        relay._closed = True


@asynccontextmanager
async def many_relays(count: int, network: NetworkParameters | None = None) -> AsyncIterator[ManyRelays]:
    async with AsyncExitStack() as stack:
        made = ManyRelays(network or network_of(), stack)
        first = await made.add([])
        for _ in range(count - 1):
            await made.add([first.contact])
        await made.know_each_other(made.relays)
        yield made
