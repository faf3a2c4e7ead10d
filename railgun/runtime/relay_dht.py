"""A relay's node of the DHT: on the relay's own port, under its own key.

Owns: joining through whoever answers, the own ad's record, carrying ads of nodes that were met to the directory,
remembering. Must not know: how lookups work, links' insides. Parts: `relay_dht_desk` serves clients.

Spec: docs/spec/dht.md, relays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from railgun.core.effects import Effects
from railgun.core.relay import RelayMachine
from railgun.crypto.identity import NodeIdentity
from railgun.crypto.network_ids import network_id
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.dht.datagrams import FIRST_BYTES
from railgun.dht.node import DhtNode, DhtSettings
from railgun.dht.ports import DhtPorts
from railgun.dht.records import RecordKind, sign_record
from railgun.errors import ClosedLocally, DiscoveryError, MalformedInput, StoreError, UsageError
from railgun.limits import DHT_ADS_LOOKED_UP_MAX, DHT_REMEMBERED_MAX
from railgun.links.pool import WebRtcLinks
from railgun.network import NetworkParameters
from railgun.ports import Clock, Entropy, Store, Write
from railgun.runtime.driver import Driver
from railgun.runtime.logs import Log
from railgun.runtime.relay_dht_desk import RelayDhtDesk
from railgun.runtime.system import protocol_dice
from railgun.types import Address, NodeKey, RelayContact

STATE_KEY: Final = b"dht-state"
TICK_SECONDS: Final = 1.0
SAVE_SECONDS: Final = 60.0
LOOK_AGAIN_SECONDS: Final = 60.0
"""A node whose ad was not found is looked up again after this long."""
REJOIN_SECONDS_MIN: Final = 1.0
REJOIN_SECONDS_MAX: Final = 60.0

log = Log("dht")


class CorrectedClock:
    """A relay's clock as its machine has corrected it. Implements `railgun.ports.Clock`."""

    def __init__(self, machine: RelayMachine, clock: Clock) -> None:
        self._machine = machine
        self._clock = clock

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def wall(self) -> float:
        corrected = self._machine.clock
        return corrected.wall(self._clock.monotonic()) if corrected.was_read else self._clock.wall()


class RelayDht:
    """See the module. To be `run` under a supervisor."""

    def __init__(  # noqa: PLR0913  # all by keyword, each a part of its own
        self,
        *,
        seed: bytes,
        network: NetworkParameters,
        bootstrap: Sequence[RelayContact],
        machine: RelayMachine,
        driver: Driver,
        links: WebRtcLinks,
        clock: Clock,
        entropy: Entropy,
        store: Store | None,
    ) -> None:
        """``links`` listen already. ``store`` None: nothing is remembered."""
        self._seed = seed
        self._machine = machine
        self._driver = driver
        self._links = links
        self._clock = CorrectedClock(machine, clock)
        self._store = store
        self._addresses = tuple(address for contact in bootstrap for address in contact.addresses)
        ports = DhtPorts(links.datagrams(FIRST_BYTES), self._clock, entropy, protocol_dice(entropy))
        identity = NodeIdentity(NodeKey(public_key_of(seed)), signing_key_of(seed))
        settings = DhtSettings(is_lan=network.is_lan)
        self.node = DhtNode(identity, network_id(network), ports, settings=settings)
        self.desk = RelayDhtDesk(self.node, self._clock, links)
        self._published: bytes | None = None
        self._looked_up: dict[NodeKey, float] = {}
        self._saved: bytes = b""
        self._save_at = 0.0
        self._rejoin_at = 0.0
        self._rejoin_seconds = REJOIN_SECONDS_MIN

    async def run(self) -> None:
        """Answer, join, publish, look around, remember: until cancelled, and then it is at its end."""
        await self.node.start()
        self._driver.attach(self.desk)
        try:
            await self._run(self._load())
        finally:
            self._save()
            await self.desk.aclose()
            await self.node.aclose()

    async def _run(self, state: bytes) -> None:
        while True:
            try:
                if not len(self.node.table):
                    await self._join(state)
                if len(self.node.table):
                    await self._publish_ad()
                    await self._carry_ads()
            except UsageError:
                log.debug("the DHT has as many lookups under way as it may")
            if self._clock.monotonic() >= self._save_at:
                self._save_at = self._clock.monotonic() + SAVE_SECONDS
                self._save()
            await asyncio.sleep(TICK_SECONDS)

    # --- joining --------------------------------------------------------------------------------

    async def _join(self, state: bytes) -> None:
        now = self._clock.monotonic()
        ads = self._machine.directory.directory.newest_ads()
        known = [ad.address for ad in ads if ad.expires > ad.issued and ad.node_key != self.node.identity.node_key]
        addresses = tuple(dict.fromkeys((*self._addresses, *known)))[:DHT_REMEMBERED_MAX]
        if now < self._rejoin_at or not (addresses or state):
            return
        try:
            contacts = await self.node.join(addresses, state)
        except MalformedInput:
            log.warning("what was remembered of the DHT is damaged and is not used")
            contacts = await self.node.join(addresses) if addresses else 0
        except DiscoveryError as error:
            self._rejoin_at = self._clock.monotonic() + self._rejoin_seconds
            self._rejoin_seconds = min(2 * self._rejoin_seconds, REJOIN_SECONDS_MAX)
            log.info("the DHT is not joined yet", reason=str(error))
            return
        self._rejoin_seconds = REJOIN_SECONDS_MIN
        log.info("joined the DHT", contacts=contacts)

    def addresses(self) -> tuple[Address, ...]:
        """Where the nodes answer that the table holds."""
        return tuple(contact.address for contact in self.node.table.contacts())

    # --- ads ------------------------------------------------------------------------------------

    async def _publish_ad(self) -> None:
        """The own ad, each time that there is a new one; the node itself repeats it."""
        own = self.node.identity.node_key
        directory = self._machine.directory.directory
        encoded, ad = directory.newest_ad_encoded(own), directory.newest_ad(own)
        if encoded is None or ad is None or encoded == self._published or ad.expires <= ad.issued:
            return
        record = sign_record(
            self._seed, RecordKind.RELAY_AD, encoded, version=ad.issued, issued=ad.issued, expires=ad.expires
        )
        await self.node.publish(record)
        self._published = encoded

    async def _carry_ads(self) -> None:
        """Look up the ads of nodes that the directory does not know, and tell it: so who knows one node finds all."""
        now, known = self._clock.monotonic(), self._machine.directory.directory
        self._looked_up = {key: at for key, at in self._looked_up.items() if now < at + LOOK_AGAIN_SECONDS}
        strangers = [
            contact.node_key
            for contact in self.node.table.contacts()
            if known.newest_ad(contact.node_key) is None and contact.node_key not in self._looked_up
        ]
        found = await asyncio.gather(*(self._carry_ad(key) for key in strangers[:DHT_ADS_LOOKED_UP_MAX]))
        if any(found):
            log.info("found relays through the DHT", relays=sum(found))

    async def _carry_ad(self, node_key: NodeKey) -> bool:
        self._looked_up[node_key] = self._clock.monotonic()
        finding = await self.node.get(RecordKind.RELAY_AD, node_key, quorum=1)
        for signed in finding.records:
            encoded = signed.record.payload

            def tell(now: float, encoded: bytes = encoded) -> tuple[None, Effects]:
                out: Effects = []
                self._machine.directory.ad_found(encoded, self._machine.clock.wall(now), now, out)
                self._machine.agenda.arm(out)
                return None, out

            try:
                await self._driver.call(tell)
            except ClosedLocally:
                return False
        return bool(finding.records)

    # --- remembering ----------------------------------------------------------------------------

    def _load(self) -> bytes:
        return (self._store.get("settings", STATE_KEY) or b"") if self._store is not None else b""

    def _save(self) -> None:
        if self._store is None or not len(self.node.table):
            return
        state = self.node.export_state()
        if state == self._saved:
            return
        try:
            self._store.commit([Write("settings", STATE_KEY, state)], survives_power_loss=False)
            self._saved = state
        except StoreError as error:  # it can go on without: it would only come back more slowly
            log.warning("the DHT's contacts cannot be remembered", reason=str(error))
