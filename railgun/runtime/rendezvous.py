"""First contact through rendezvous servers: asked only while no relay can be dialled; told of relays that run.

Owns: when a server is asked or told, how often, what is shown of it. Must not know: frames, sockets, rooms.

Spec: docs/spec/signaling.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from railgun.core.connector import Connector
from railgun.errors import LinkError, LinkLost, MalformedInput, RendezvousRefusal, UsageError
from railgun.limits import RENDEZVOUS_AGAIN_SECONDS_MAX, RENDEZVOUS_SERVERS_MAX
from railgun.links.rendezvous import ask_relays, registered_relay
from railgun.ports import Chooser, Clock
from railgun.runtime.logs import Log
from railgun.types import NetworkId, RelayContact
from railgun.wire.records import Ad, encode_record
from railgun.wire.rendezvous import RendezvousCode, check_rendezvous_url

LOOK_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 0.5
"""How long all relays have to have failed: more may be dialled in the next moment."""
AGAIN_SECONDS_MIN: Final = 15.0
"""Before the servers are asked again; twice as long each time."""
REGISTER_AGAIN_SECONDS_MIN: Final = 2.0
SECURE_SCHEME: Final = "wss://"
EXPIRED: Final = RendezvousCode.EXPIRED.name.lower()

Ask: TypeAlias = Callable[[str, NetworkId], Awaitable[tuple[RelayContact, ...]]]

log = Log("rendezvous")


@dataclass(frozen=True, slots=True)
class RendezvousStatus:
    """What became of asking.

    Attributes:
        servers: those that would be asked now, configured ones first.
        asked: answers and refusals so far.
        relays_given: relays that the answers named.
        last_asked_at: Unix seconds; None: no server was needed so far.
        problem: why the last attempt brought nothing; None if it did.
    """

    servers: tuple[str, ...]
    asked: int
    relays_given: int
    last_asked_at: int | None
    problem: str | None


def given_rendezvous(servers: Sequence[str]) -> tuple[str, ...]:
    """Addresses as they are kept, each once. Raises UsageError for one that is none, or too many."""
    try:
        found = tuple(dict.fromkeys(check_rendezvous_url(server) for server in servers))
    except MalformedInput as error:
        raise UsageError(error.detail) from error
    if len(found) > RENDEZVOUS_SERVERS_MAX:
        raise UsageError(f"at most {RENDEZVOUS_SERVERS_MAX} rendezvous servers")
    return found


def fit_for_invites(servers: Iterable[str], *, is_lan: bool) -> list[str]:
    """Those that an invite may name, and its opener ask.

    Whoever makes an invite chooses what its openers connect to. Over TLS a machine inside their network that knows
    nothing of this answers nothing and is told nothing; so only that, but in `lan` networks.
    """
    return [server for server in servers if is_lan or server.startswith(SECURE_SCHEME)]


class RelayFinder:
    """Asks servers for relays while none can be dialled. `run` is to run beside the node."""

    def __init__(
        self,
        *,
        configured: Sequence[str],
        invited: Callable[[], Iterable[str]],
        network: NetworkId,
        connector: Connector,
        add_bootstrap: Callable[[RelayContact], None],
        clock: Clock,
        chooser: Chooser,
        ask: Ask = ask_relays,
    ) -> None:
        """``invited``: servers that invites under way name. ``add_bootstrap`` is given each relay that is found."""
        self.configured = tuple(configured)
        self._invited = invited
        self._network = network
        self._connector = connector
        self._add_bootstrap = add_bootstrap
        self._clock = clock
        self._chooser = chooser
        self._ask = ask
        self._stranded_since: float | None = None
        self._not_before = -1.0
        self._wait = AGAIN_SECONDS_MIN
        self._last_servers: tuple[str, ...] = ()
        self._asked = 0
        self._relays_given = 0
        self._last_asked_at: int | None = None
        self._problem: str | None = None

    @property
    def servers(self) -> tuple[str, ...]:
        """Those that would be asked now, configured ones first."""
        return tuple(dict.fromkeys((*self.configured, *self._invited())))[: 2 * RENDEZVOUS_SERVERS_MAX]

    def status(self) -> RendezvousStatus:
        """What became of it so far."""
        return RendezvousStatus(self.servers, self._asked, self._relays_given, self._last_asked_at, self._problem)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Ask, if that is due now."""
        now = self._clock.monotonic()
        if not self._is_stranded():
            self._stranded_since, self._wait = None, AGAIN_SECONDS_MIN
            return
        if self._stranded_since is None:
            self._stranded_since = now
        servers = self.servers
        if servers != self._last_servers:  # whoever has just opened an invite does not wait for an old failure
            self._last_servers, self._not_before, self._wait = servers, -1.0, AGAIN_SECONDS_MIN
        if servers and now - self._stranded_since >= PATIENCE_SECONDS and now >= self._not_before:
            await self._ask_in_turn(list(servers))

    def _is_stranded(self) -> bool:
        """Whether every relay that this node wants, if it knows any, has failed to answer."""
        return not self._connector.relays and len(self._connector.failing()) == self._connector.wanted_count

    async def _ask_in_turn(self, servers: list[str]) -> None:
        self._last_asked_at = int(self._clock.wall())
        retry = 0.0
        while servers:
            server = servers.pop(self._chooser.randrange(len(servers)))
            try:
                found = await self._ask(server, self._network)
            except RendezvousRefusal as refusal:
                self._asked += 1
                self._problem = str(refusal)
                retry = max(retry, float(refusal.retry_after_seconds or 0))
            except LinkLost as error:
                self._problem = str(error)
            else:
                self._asked += 1
                self._problem = None if found else "the rendezvous server knows no relay of this network"
                if found:
                    self._relays_given += len(found)
                    log.info("a rendezvous server named relays", relays=len(found))
                    for contact in found:
                        self._add_bootstrap(contact)
                    break
            log.info("a rendezvous server could not help", reason=self._problem)
        wait = min(max(self._wait, retry), RENDEZVOUS_AGAIN_SECONDS_MAX) * (0.75 + self._chooser.random() / 2)
        self._not_before = self._clock.monotonic() + wait
        self._wait = min(2 * self._wait, RENDEZVOUS_AGAIN_SECONDS_MAX)


@dataclass(slots=True)
class Registration:
    """How a relay stands with one server. ``problem``: why it is not registered, if it is known."""

    server: str
    is_registered: bool = False
    problem: str | None = None


class RelayRegistrar:
    """Keeps one relay registered with servers. `serve` is to run for each of ``registrations``."""

    def __init__(
        self,
        servers: Sequence[str],
        network: NetworkId,
        seed: bytes,
        newest_ad: Callable[[], Ad | None],
        chooser: Chooser,
    ) -> None:
        """``seed``: the node key's. ``newest_ad``: the relay's own, once it has one."""
        self.registrations = [Registration(server) for server in servers]
        self._network = network
        self._seed = seed
        self._newest_ad = newest_ad
        self._chooser = chooser

    def __repr__(self) -> str:
        return f"RelayRegistrar({len(self.registrations)} servers, seed=<redacted>)"

    async def serve(self, registration: Registration) -> None:
        """Register with its server, and again whenever that ends; until cancelled."""
        wait = REGISTER_AGAIN_SECONDS_MIN
        while True:
            ad = self._newest_ad()
            if ad is None or ad.expires <= ad.issued:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            pause = wait
            try:
                await self._register(registration, ad)
            except RendezvousRefusal as refusal:
                if refusal.reason == EXPIRED:  # its time was over: nothing is wrong
                    pause = 0.0
                elif refusal.retry_after_seconds is None:
                    pause = RENDEZVOUS_AGAIN_SECONDS_MAX  # somebody has to change a setting first
                else:
                    pause = max(wait, float(refusal.retry_after_seconds))
                self._ended(registration, refusal)
            except LinkLost as error:
                self._ended(registration, error)
            finally:
                was_registered, registration.is_registered = registration.is_registered, False
            wait = REGISTER_AGAIN_SECONDS_MIN if was_registered else min(2 * wait, RENDEZVOUS_AGAIN_SECONDS_MAX)
            pause = min(pause, RENDEZVOUS_AGAIN_SECONDS_MAX) * (0.75 + self._chooser.random() / 2)
            await asyncio.sleep(max(pause, LOOK_SECONDS))

    async def _register(self, registration: Registration, ad: Ad) -> None:
        async with registered_relay(
            registration.server, self._network, self._seed, encode_record(ad), ad.address
        ) as standing:
            registration.is_registered, registration.problem = True, None
            log.info("registered with a rendezvous server", seconds=standing.expires_in_seconds)
            await standing.ended()

    def _ended(self, registration: Registration, error: LinkError) -> None:
        if str(error) != registration.problem:
            log.info("not registered with a rendezvous server", reason=str(error))
        registration.problem = str(error)
