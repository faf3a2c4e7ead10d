"""A client without a profile or rooms that fetches the directory and reads committees from it.

Owns: such a client from start to end, the wait until relays agree with it. Must not know: commands, rooms.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from railgun.core.assembly import build_client
from railgun.core.client import ClientMachine
from railgun.core.committee import Committee
from railgun.core.effects import Effects, Notification
from railgun.crypto.network_ids import network_id
from railgun.errors import DiscoveryError, LinkError, UsageError
from railgun.limits import DIAL_SECONDS
from railgun.links.pool import WebRtcLinks
from railgun.links.settings import LinkIdentity, LinkSettings
from railgun.network import NetworkParameters
from railgun.ports import Clock, Entropy
from railgun.runtime.driver import Driver
from railgun.runtime.system import protocol_dice
from railgun.runtime.tasks import Supervisor
from railgun.types import PeerKey, RelayContact, Tag

SYNC_SECONDS: Final = 2 * DIAL_SECONDS
LOOK_SECONDS: Final = 0.05
"""How often the machine is asked whether it is in step."""
AGREEING_WANTED: Final = 2
"""Relays that hold the same records: one alone could show a directory of its own."""


class _DialWatcher(Driver):
    """Keeps why dials failed, to tell whoever waits in vain."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock, store=None, notify=_ignore)
        self.failures: dict[PeerKey, str] = {}

    def dial_failed(self, peer: PeerKey, error: LinkError) -> None:
        """See `railgun.ports.LinkObserver`."""
        self.failures[peer] = str(error)
        super().dial_failed(peer, error)


class DirectoryClient:
    """One running client; made by `directory_client`."""

    def __init__(
        self, machine: ClientMachine, driver: _DialWatcher, links: WebRtcLinks, bootstrap: Sequence[RelayContact]
    ) -> None:
        self._machine = machine
        self._driver = driver
        self._links = links
        self._bootstrap = bootstrap

    async def sync(self, seconds: float = SYNC_SECONDS) -> int:
        """Wait until two relays (the only one, if there is one) hold the very records that this client holds.

        Returns how many do when that is so, or when ``seconds`` are over: then perhaps fewer, for a directory
        that changes all the time is never quite in step.

        Raises:
            DiscoveryError: no relay answered; the text names the addresses that were tried.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        agreeing = known = 0
        while loop.time() < deadline:
            agreeing, known = await self._driver.call(self._look)
            if known and agreeing >= min(AGREEING_WANTED, known):
                return agreeing
            if len(self._driver.failures) == len(self._bootstrap) and not self._links.peers() and not known:
                break  # each has been tried and none is left to wait for
            await asyncio.sleep(LOOK_SECONDS)
        if not known:
            raise DiscoveryError(f"no relay answered: {self._tried()}: check the addresses and the network file")
        return agreeing

    async def committee(self, tag: Tag, start: int, committee_size: int) -> Committee:
        """The committee of ``tag`` for the epoch starting at Unix second ``start``, by the records held now."""

        def read(now: float) -> tuple[Committee, Effects]:
            machine = self._machine
            return machine.directory.committee(tag, start, committee_size, machine.wall(now)), []

        return await self._driver.call(read)

    async def relays_known(self) -> int:
        """Relays in the directory as it is held now."""
        return (await self._driver.call(self._look))[1]

    def _look(self, now: float) -> tuple[tuple[int, int], Effects]:
        directory = self._machine.directory
        return (len(directory.agreeing), directory.relays_known), []

    def _tried(self) -> str:
        return tried(self._bootstrap, self._driver.failures)


def tried(contacts: Sequence[RelayContact], failures: dict[PeerKey, str]) -> str:
    """``tried 192.0.2.1:9000 (no link within 5 s), ...``."""
    parts = []
    for contact in contacts:
        reason = failures.get(PeerKey(contact.node_key), "no answer")
        parts.append(f"{', '.join(str(address) for address in contact.addresses)} ({reason})")
    return f"tried {', '.join(parts)}"


@asynccontextmanager
async def directory_client(
    network: NetworkParameters, bootstrap: Sequence[RelayContact], clock: Clock, entropy: Entropy
) -> AsyncIterator[DirectoryClient]:
    """Run a client for as long as the block. Raises UsageError without a bootstrap."""
    if not bootstrap:
        raise UsageError("no relay to start from: give --bootstrap CONTACT (`railgun node` prints a relay's contact)")
    driver = _DialWatcher(clock)
    links = WebRtcLinks(
        driver,
        LinkIdentity(None, is_relay=False),
        network_id(network),
        clock,
        entropy,
        settings=LinkSettings.for_network(network),
    )
    await links.start()
    machine = build_client(network=network, bootstrap=bootstrap, entropy=entropy, chooser=protocol_dice(entropy))
    tasks = Supervisor()
    tasks.start("driver", driver.run(machine, links))
    try:
        yield DirectoryClient(machine, driver, links, bootstrap)
    finally:
        driver.stop()
        await tasks.aclose()
        await links.aclose()


def _ignore(notification: Notification) -> None:
    """Without rooms there is nothing to tell."""
