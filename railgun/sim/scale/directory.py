"""What the directory costs: a relay each hour, a client that joins.

Owns: a sample of relays with their links, the ads of all the others, the count of bytes.
Must not know: what a comparison says, what a record is for.

Ten thousand real machines, each with ten thousand ads, are too many for one machine. So RELAYS_SAMPLED real ones are
linked as relays link for the directory's sake alone (rooms bring more links, and so more copies), each holds the ads of
the whole network, and the ads that are due anywhere in it come to one of them at random. An ad costs every relay as
many frames as it has links, whatever the size of the network; what the sample does not show is that records are on
their way for longer in a larger one. Bytes are those of encoded frames, without what links add.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass
from typing import Final

from railgun.core.directory import Directory
from railgun.core.gossip import CLIENT_RELAYS, Gossip, GossipOutcome
from railgun.core.node_directory import HOME_RELAYS_OF_CLIENT, HOME_RELAYS_OF_RELAY, TICK_SECONDS, TICK_SECONDS_QUIET
from railgun.core.own_ad import RENEWALS_A_LIFETIME
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.records import SignedAd, sign_ad
from railgun.crypto.signing import signatures_remembered
from railgun.errors import InvariantViolated
from railgun.network import NetworkParameters
from railgun.sim.committee import draw_relays
from railgun.sim.loop import WALL_START_SECONDS
from railgun.types import Address, PeerKey, Role
from railgun.wire.directory_frames import DirectoryFrame
from railgun.wire.frames import FRAMES

RELAYS_SAMPLED: Final = 12
WATCHED_SECONDS: Final = 300.0
JOIN_SECONDS_MAX: Final = 120.0
DELAY_SECONDS: Final = (0.01, 0.05)
DIAL_TRIPS: Final = 3
"""A dial takes one and a half round trips."""
_JOIN_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class DirectoryCost:
    """Bytes of encoded frames.

    Attributes:
        sent_bytes_per_relay_hour: by one relay, for all of the directory.
        join_bytes: taken in by a client until two relays hold the very records that it holds.
    """

    sent_bytes_per_relay_hour: float
    join_bytes: int


@dataclass(slots=True)
class _Machine:
    directory: Directory
    gossip: Gossip
    is_relay: bool
    sent_bytes: int = 0
    received_bytes: int = 0
    version_seen: int = -1


class DirectoryWorld:
    """A sample of a network of ``relays`` relays, in virtual time."""

    def __init__(self, relays: int, seed: int) -> None:
        self.now = 0.0
        self._network = NetworkParameters("simulation")
        self._seed = seed
        self._dice = random.Random(f"scale directory {seed}")
        self._machines: dict[PeerKey, _Machine] = {}
        self._delays: dict[frozenset[PeerKey], float] = {}
        self._heap: list[tuple[float, int, PeerKey, PeerKey | None, DirectoryFrame | None]] = []
        """When, what number, to whom, from whom, what; from nobody it is a tick."""
        self._numbers = itertools.count()
        self._addresses = [ad.address for ad in draw_relays(relays, seed)]
        period = self._network.ad_lifetime_seconds / RENEWALS_A_LIFETIME
        shuffled = self._dice.sample(range(relays), relays)
        self.due = [(period * (place + self._dice.random()) / relays, index) for place, index in enumerate(shuffled)]
        """In how many seconds which relay renews its ad, ascending."""
        ads = [self._ad(index, at - period) for at, index in self.due]
        keys = [PeerKey(ad.node_key) for ad in ads[: min(RELAYS_SAMPLED, relays)]]
        for key in keys:
            self._add(key, ads, is_relay=True)
        self.relays = tuple(keys)
        # In a large network each relay dials four and is dialled by four: in a ring it has as many links.
        for place, key in enumerate(keys):
            for step in range(1, HOME_RELAYS_OF_RELAY + 1):
                other = keys[(place + step) % len(keys)]
                if other != key:
                    self.link(key, other)

    def _ad(self, index: int, at: float) -> SignedAd:
        secret = keyed_hash(None, "railgun/sim/ad/v1", f"{self._seed}:{index}".encode())
        address: Address = self._addresses[index]
        issued = int(WALL_START_SECONDS + at)
        expires = issued + self._network.ad_lifetime_seconds
        return sign_ad(
            secret,
            address=address,
            certificate_hash=keyed_hash(None, "railgun/sim/certificate/v1", secret),
            roles=Role.RELAY,
            issued=issued,
            expires=expires,
        )

    def _add(self, key: PeerKey, ads: list[SignedAd], *, is_relay: bool) -> _Machine:
        directory = Directory(self._network)
        for ad in ads:
            directory.insert(ad.encoded, WALL_START_SECONDS)
        gossip = Gossip(directory, key, random.Random(f"scale gossip {key.hex()}"), is_relay=is_relay)
        machine = self._machines[key] = _Machine(directory, gossip, is_relay, version_seen=directory.version)
        self._post(self.now + TICK_SECONDS_QUIET * self._dice.random(), key, None, None)
        return machine

    def link(self, left: PeerKey, right: PeerKey) -> None:
        """From now on they hear each other. Idempotent."""
        pair = frozenset((left, right))
        if pair in self._delays:
            return
        self._delays[pair] = self._dice.uniform(*DELAY_SECONDS)
        for own, other in ((left, right), (right, left)):
            far = self._machines[other]
            self._apply(own, self._machines[own].gossip.peer_connected(other, self.now, is_relay=far.is_relay))

    # --- time -----------------------------------------------------------------------------------

    def run(self, until: float) -> None:
        """Let everything happen that happens before ``until``."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, key, source, frame = heapq.heappop(self._heap)
            machine = self._machines[key]
            wall = WALL_START_SECONDS + self.now
            if source is None or frame is None:
                self._apply(key, machine.gossip.tick(wall, self.now))
                has_changed = machine.directory.version != machine.version_seen
                machine.version_seen = machine.directory.version
                seconds = TICK_SECONDS if has_changed or not machine.is_relay else TICK_SECONDS_QUIET
                self._post(self.now + seconds, key, None, None)
            else:
                self._apply(key, machine.gossip.frame_received(source, frame, wall, self.now))
        self.now = until

    def _post(self, at: float, key: PeerKey, source: PeerKey | None, frame: DirectoryFrame | None) -> None:
        heapq.heappush(self._heap, (at, next(self._numbers), key, source, frame))

    def _apply(self, key: PeerKey, outcome: GossipOutcome) -> None:
        if outcome.penalties:
            raise InvariantViolated(f"an honest relay was penalised: {outcome.penalties[0].detail}")
        machine = self._machines[key]
        for send in outcome.sends:
            size = len(FRAMES.encode(send.frame))
            machine.sent_bytes += size
            self._machines[send.peer].received_bytes += size
            self._post(self.now + self._delays[frozenset((key, send.peer))], send.peer, key, send.frame)

    def records(self) -> list[bytes]:
        """What the first of the relays holds."""
        return list(self._machines[self.relays[0]].directory.records())

    # --- measuring --------------------------------------------------------------------------------

    def sent_bytes_per_relay_hour(self, seconds: float = WATCHED_SECONDS) -> float:
        """Watch the relays while ads come to their end and are renewed."""
        before = sum(self._machines[key].sent_bytes for key in self.relays)
        began = self.now
        for at, index in self.due:
            if not began < at <= began + seconds:
                continue
            self.run(at)
            ad = self._ad(index, at)
            own = PeerKey(ad.node_key)
            key = own if own in self._machines else self._dice.choice(self.relays)
            self._apply(key, self._machines[key].gossip.announce(ad.encoded, WALL_START_SECONDS + at))
        self.run(began + seconds)
        sent = sum(self._machines[key].sent_bytes for key in self.relays) - before
        return sent / len(self.relays) / seconds * 3600

    def join_bytes(self) -> int:
        """A client that knows one relay joins as clients do: as soon as it knows others it links to two of them."""
        client = PeerKey(keyed_hash(None, "railgun/sim/client/v1", f"{self._seed}".encode()))
        machine = self._add(client, [], is_relay=False)
        homes = self._dice.sample(self.relays, min(HOME_RELAYS_OF_CLIENT, len(self.relays)))
        wanted = min(CLIENT_RELAYS, len(homes))
        self.link(homes[0], client)
        others_at: float | None = None
        deadline = self.now + JOIN_SECONDS_MAX
        while len(machine.gossip.agreeing()) < wanted:
            if self.now >= deadline:
                raise InvariantViolated("a client is not in step with relays of which nothing new comes")
            self.run(self.now + _JOIN_LOOK_SECONDS)
            if others_at is None and len(machine.directory):
                others_at = self.now + DIAL_TRIPS * sum(DELAY_SECONDS) / 2
            if others_at is not None and self.now >= others_at:
                for home in homes[1:]:
                    self.link(home, client)
        return machine.received_bytes


def measure_directory(relays: int, seed: int) -> DirectoryCost:
    """Both costs in a network of ``relays`` relays. Takes about a minute for 10,000."""
    with signatures_remembered(2 * relays):  # each ad is looked at by all of the sample
        world = DirectoryWorld(relays, seed)
        world.run(2 * TICK_SECONDS_QUIET)
        join_bytes = world.join_bytes()
        return DirectoryCost(world.sent_bytes_per_relay_hour(), join_bytes)
