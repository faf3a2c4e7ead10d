"""A relay as a process runs it: profile, links, driver, from start to drained stop.

Owns: putting these together and taking them apart. Must not know: commands, signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from railgun.core.assembly import build_relay
from railgun.core.effects import Effects, Notification
from railgun.core.notifications import ClockCorrected
from railgun.core.relay import RelayMachine
from railgun.core.relay_limits import RelayLimits
from railgun.crypto.network_ids import network_id
from railgun.errors import StoreError
from railgun.links.certificate import LinkCertificate
from railgun.links.pool import ListenAt, WebRtcLinks
from railgun.links.settings import LinkIdentity, LinkSettings
from railgun.network import NetworkParameters
from railgun.ports import Clock, Entropy, Store, Write
from railgun.runtime.driver import Driver
from railgun.runtime.logs import Log, ShortId
from railgun.runtime.system import protocol_dice
from railgun.runtime.tasks import Supervisor
from railgun.types import RelayContact, Role

SEED_BYTES = 32
NODE_SEED_KEY = b"node-seed"
CERTIFICATE_KEY = b"certificate"
WITHDRAW_SECONDS = 0.2

log = Log("relay")


@dataclass(frozen=True, slots=True)
class RelayKeys:
    """What a relay keeps for life: its node key's seed and its DTLS certificate."""

    seed: bytes
    certificate: LinkCertificate

    def __repr__(self) -> str:
        return "RelayKeys(<redacted>)"

    @classmethod
    def generate(cls, entropy: Entropy, clock: Clock) -> RelayKeys:
        return cls(entropy.random_bytes(SEED_BYTES), LinkCertificate.generate(clock.wall()))

    def writes(self) -> list[Write]:
        """What to persist, for `load`."""
        return [
            Write("identity", NODE_SEED_KEY, self.seed),
            Write("identity", CERTIFICATE_KEY, self.certificate.to_pem()),
        ]

    @classmethod
    def load(cls, store: Store) -> RelayKeys:
        """Raises StoreError where a profile holds no relay's keys."""
        seed, pem = store.get("identity", NODE_SEED_KEY), store.get("identity", CERTIFICATE_KEY)
        if seed is None or pem is None:
            raise StoreError("this profile holds no relay's keys; make one with `railgun init --relay`")
        return cls(seed, LinkCertificate.from_pem(pem))


class RelayHost:
    """One running relay. Made by `start`; ends with `aclose`, which is idempotent."""

    def __init__(self, machine: RelayMachine, driver: Driver, links: WebRtcLinks, clock: Clock) -> None:
        self.machine = machine
        self.links = links
        self._driver = driver
        self._clock = clock
        self._tasks = Supervisor()
        self._closed = False

    @classmethod
    async def start(  # noqa: PLR0913  # all by keyword, each a part of its own
        cls,
        *,
        keys: RelayKeys,
        network: NetworkParameters,
        listen: ListenAt,
        bootstrap: Sequence[RelayContact],
        clock: Clock,
        entropy: Entropy,
        roles: Role = Role.RELAY,
        settings: LinkSettings | None = None,
        relay_limits: RelayLimits | None = None,
    ) -> RelayHost:
        """Bind, announce, and serve.

        Raises:
            ConfigurationError: the port is taken.
        """
        driver = Driver(clock=clock, store=None, notify=_notified)
        links = WebRtcLinks(
            driver,
            LinkIdentity(keys.seed, is_relay=True),
            network_id(network),
            clock,
            entropy,
            keys.certificate,
            listen,
            settings or LinkSettings.for_network(network),
        )
        await links.start()
        contact = links.local_contact()
        machine = build_relay(
            seed=keys.seed,
            contact=contact,
            network=network,
            bootstrap=bootstrap,
            entropy=entropy,
            chooser=protocol_dice(entropy),
            roles=roles,
            relay_limits=relay_limits,
        )
        host = cls(machine, driver, links, clock)
        host._tasks.start("driver", driver.run(machine, links))
        log.info("relay listening", node=ShortId(machine.node_key), port=contact.addresses[0].port)
        return host

    @property
    def contact(self) -> RelayContact:
        return self.links.local_contact()

    async def wait(self) -> None:
        """Until a task of the relay ends, which happens only by an error; raises it."""
        await self._tasks.wait()

    async def aclose(self) -> None:
        """Withdraw the ad, say goodbye to all peers, free the port."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._tasks.failed:
                await self._driver.call(self._withdraw)
                # Its last word should leave before the links close behind it.
                await asyncio.sleep(WITHDRAW_SECONDS)
        finally:
            self._driver.stop()
            await self._tasks.aclose()
            await self.links.aclose()
        log.info("relay stopped", node=ShortId(self.machine.node_key))

    def _withdraw(self, now: float) -> tuple[None, Effects]:
        out: Effects = []
        self.machine.directory.withdraw(self.machine.clock.wall(now), out)
        return None, out


def _notified(notification: Notification) -> None:
    """Relays have no application to tell; their operator should know of a clock that is off."""
    if isinstance(notification, ClockCorrected) and notification.harmful:
        log.warning("this machine's clock is off; set it right", offset_seconds=round(notification.offset_seconds, 1))
