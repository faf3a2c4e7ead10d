"""A relay as a process runs it: profile, links, driver, from start to drained stop.

Owns: putting these together and taking them apart. Must not know: commands, signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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
from railgun.runtime.relay_dht import RelayDht
from railgun.runtime.remembered import REMEMBER_SECONDS, RelayMemory
from railgun.runtime.rendezvous import RelayFinder, RelayRegistrar
from railgun.runtime.system import protocol_dice
from railgun.runtime.tasks import Supervisor
from railgun.types import RelayContact, Role
from railgun.wire.records import Ad

SEED_BYTES = 32
NODE_SEED_KEY = b"node-seed"
CERTIFICATE_KEY = b"certificate"
WITHDRAW_SECONDS = 0.2
MOVE_SECONDS = 2.0
"""How long subscribers have to move on once they were told to."""
LOOK_SECONDS = 0.05

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

    def __init__(
        self,
        machine: RelayMachine,
        driver: Driver,
        links: WebRtcLinks,
        dht: RelayDht,
        memory: RelayMemory,
        clock: Clock,
    ) -> None:
        self.machine = machine
        self.links = links
        self.dht = dht
        self._memory = memory
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
        store: Store | None = None,
        rendezvous: Sequence[str] = (),
    ) -> RelayHost:
        """Bind, announce, and serve. ``store`` keeps whom this relay knows, and nothing else; None: nothing is kept.

        ``rendezvous``: servers that hand this relay out, and that it asks for others while none can be dialled.

        Raises:
            ConfigurationError: the port is taken.
            StoreError: the disk.
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
        memory = RelayMemory(store)
        starts_from = memory.start_from(bootstrap)
        await links.start()
        contact = links.local_contact()
        machine = build_relay(
            seed=keys.seed,
            contact=contact,
            network=network,
            bootstrap=starts_from,
            entropy=entropy,
            chooser=protocol_dice(entropy),
            roles=roles,
            relay_limits=relay_limits,
        )
        dht = RelayDht(
            seed=keys.seed,
            network=network,
            bootstrap=starts_from,
            machine=machine,
            driver=driver,
            links=links,
            clock=clock,
            entropy=entropy,
            store=store,
        )
        host = cls(machine, driver, links, dht, memory, clock)
        host._tasks.start("driver", driver.run(machine, links))
        host._tasks.start("dht", dht.run())
        host._tasks.start("memory", host._remember())
        host._meet(rendezvous, keys.seed, network, entropy)
        log.info("relay listening", node=ShortId(machine.node_key), port=contact.addresses[0].port)
        return host

    def _meet(self, servers: Sequence[str], seed: bytes, network: NetworkParameters, entropy: Entropy) -> None:
        """Be found through rendezvous servers, and find others there while no relay can be dialled."""
        machine, driver = self.machine, self._driver
        directory, dice = machine.directory, protocol_dice(entropy)

        def add_bootstrap(contact: RelayContact) -> None:
            def add(now: float) -> tuple[None, Effects]:
                out: Effects = []
                directory.add_bootstrap(contact, now, out)
                machine.agenda.arm(out)
                return None, out

            driver.act(add)

        def newest_ad() -> Ad | None:
            return directory.directory.newest_ad(machine.node_key)

        self.registrar = RelayRegistrar(servers, network_id(network), seed, newest_ad, dice)
        if not servers:
            return
        for registration in self.registrar.registrations:
            self._tasks.start("registration", self.registrar.serve(registration))
        finder = RelayFinder(
            configured=servers,
            invited=tuple,
            network=network_id(network),
            connector=machine.connector,
            add_bootstrap=add_bootstrap,
            clock=self._clock,
            chooser=dice,
        )
        self._tasks.start("rendezvous", finder.run())

    @property
    def contact(self) -> RelayContact:
        return self.links.local_contact()

    async def wait(self) -> None:
        """Until a task of the relay ends, which happens only by an error; raises it."""
        await self._tasks.wait()

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Until ``condition()`` holds, looked at now and then; False after so many seconds."""
        deadline = self._clock.monotonic() + seconds
        while not condition():
            if self._closed or self._clock.monotonic() >= deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    async def aclose(self) -> None:
        """Withdraw the ad, let subscribers move on, say goodbye to all peers, free the port."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._tasks.failed:
                await self._driver.call(self._withdraw)
                # Its last word should leave before the links close behind it.
                await asyncio.sleep(WITHDRAW_SECONDS)
                await self._let_subscribers_move()
        finally:
            self._driver.stop()
            await self._tasks.aclose()
            self._memory.keep(self.machine.directory, self._clock.wall(), self.machine.node_key)
            await self.links.aclose()
        log.info("relay stopped", node=ShortId(self.machine.node_key))

    async def _let_subscribers_move(self) -> None:
        """Until nobody is served here any more, if there is anyone else to serve them; not for long."""
        machine, until = self.machine, self._clock.monotonic() + MOVE_SECONDS
        while machine.tags.has_subscribers and machine.connector.relays:
            if self._clock.monotonic() >= until:
                log.info("subscribers were left behind", node=ShortId(machine.node_key))
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _remember(self) -> None:
        while True:
            await asyncio.sleep(REMEMBER_SECONDS)
            self._memory.keep(self.machine.directory, self._clock.wall(), self.machine.node_key)

    def _withdraw(self, now: float) -> tuple[None, Effects]:
        out: Effects = []
        self.machine.directory.withdraw(self.machine.clock.wall(now), out)
        self.machine.tags.leave(out)
        return None, out


def _notified(notification: Notification) -> None:
    """Relays have no application to tell; their operator should know of a clock that is off."""
    if isinstance(notification, ClockCorrected) and notification.harmful:
        log.warning("this machine's clock is off; set it right", offset_seconds=round(notification.offset_seconds, 1))
