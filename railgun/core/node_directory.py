"""A node's dealings with the directory: first contact, gossip, its own ad.

Owns: which relays a node keeps links to for the directory's sake, when records are compared, renewed and withdrawn.
Must not know: rooms, tags. Parts: `directory` (what counts), `gossip` (how it travels), `own_ad`.
"""

from __future__ import annotations

from collections.abc import Sequence

from railgun.core.agenda import Agenda, DeadlineName
from railgun.core.committee import Committee
from railgun.core.connector import Connector
from railgun.core.directory import Directory
from railgun.core.effects import Effects, PenalisePeer, SendFrame
from railgun.core.gossip import Gossip, GossipOutcome
from railgun.core.obituaries import DEADLINE as OBITUARY_DEADLINE
from railgun.core.obituaries import Obituaries, ObituaryOutcome
from railgun.core.own_ad import OwnAd
from railgun.errors import MalformedInput
from railgun.limits import BOOTSTRAP_MAX, CLOCK_SAMPLES_MIN
from railgun.ports import Chooser
from railgun.types import NodeKey, PeerKey, RelayContact, Tag
from railgun.wire.directory_frames import DirectoryFrame

HOME_RELAYS_OF_CLIENT = CLOCK_SAMPLES_MIN
"""A client's links for the directory: two answer its questions, and three correct its clock."""
HOME_RELAYS_OF_RELAY = 4
TICK_SECONDS = 1.0
TICK_SECONDS_QUIET = 10.0
QUIET_AFTER_SECONDS = 10.0
HOME = ("home",)


class NodeDirectory:
    """One node's directory and the links that keep it fresh.

    Owns the node's agenda and connector, which the node's machine shares.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        own_key: PeerKey,
        own_ad: OwnAd | None,
        bootstrap: Sequence[RelayContact],
        chooser: Chooser,
        gossip: Gossip,
    ) -> None:
        """``own_ad`` is None for clients."""
        self.directory = directory
        self.agenda = Agenda()
        self.connector = Connector(self.agenda)
        self._own_key = own_key
        self._own_ad = own_ad
        self._obituaries = None if own_ad is None else Obituaries(directory, self.connector, self.agenda, own_ad)
        self._bootstrap = [contact for contact in bootstrap if contact.node_key != NodeKey(own_key)]
        self._chooser = chooser
        self._gossip = gossip
        self._homes: dict[NodeKey, None] = {}
        self._version_seen = directory.version
        self._version_ticked = directory.version
        self._quiet_from = 0.0
        self._was_started = False

    @property
    def relays_known(self) -> int:
        """Relays in the directory, this one included."""
        return len(self.directory)

    @property
    def suspects(self) -> tuple[NodeKey, ...]:
        """Relays that do not answer and are tried again before this one calls them dead."""
        return () if self._obituaries is None else self._obituaries.suspects

    @property
    def agreeing(self) -> tuple[PeerKey, ...]:
        """Linked relays that hold exactly the records that we hold."""
        return self._gossip.agreeing()

    def committee(self, tag: Tag, start: int, committee_size: int, wall: float) -> Committee:
        """See `Directory.committee`."""
        return self.directory.committee(tag, start, committee_size, wall)

    def take_changed(self) -> bool:
        """Whether the directory changed since the last call."""
        changed = self.directory.version != self._version_seen
        self._version_seen = self.directory.version
        return changed

    # --- events -------------------------------------------------------------------------------

    def started(self, wall: float, now: float, out: Effects) -> None:
        """The clock was read for the first time, or again: issue the own ad, dial the first relays."""
        self._renew(wall, out)
        if not self._was_started:
            self._was_started = True
            self._quiet_from = now + QUIET_AFTER_SECONDS
            self.agenda.set(("gossip",), now + TICK_SECONDS)
        self._keep_homes(now, out)

    def add_bootstrap(self, contact: RelayContact, now: float, out: Effects) -> None:
        """Another relay to start from."""
        known = any(item.node_key == contact.node_key for item in self._bootstrap)
        if known or contact.node_key == NodeKey(self._own_key) or len(self._bootstrap) >= BOOTSTRAP_MAX:
            return
        self._bootstrap.append(contact)
        if self._was_started:
            self._keep_homes(now, out)

    def peer_connected(self, peer: PeerKey, now: float, out: Effects, *, is_relay: bool) -> None:
        self._apply(self._gossip.peer_connected(peer, now, is_relay=is_relay), out)
        self._keep_homes(now, out)

    def peer_gone(self, peer: PeerKey) -> None:
        self._gossip.peer_disconnected(peer)
        self.agenda.set_earlier(("gossip",), 0.0)

    def views_differ(self, peer: PeerKey, wall: float, now: float, out: Effects) -> None:
        """A peer named other seats than we do."""
        self._apply(self._gossip.views_differ(peer, now), out)

    def frame_received(self, peer: PeerKey, frame: DirectoryFrame, wall: float, now: float, out: Effects) -> None:
        outcome = self._gossip.frame_received(peer, frame, wall, now)
        self._apply(outcome, out)
        for encoded in outcome.words:
            self._words_received(peer, encoded, wall, now, out)
        self._keep_homes(now, out)

    def due(self, name: DeadlineName, wall: float, now: float, out: Effects) -> None:
        if name == OBITUARY_DEADLINE and self._obituaries is not None:
            self._told(self._obituaries.due(wall, now, out), None, wall, out)
        if name != ("gossip",):
            return
        if self._obituaries is not None:
            self._obituaries.look(wall, now, out)
        self._apply(self._gossip.tick(wall, now), out)
        self._renew(wall, out)
        self._keep_homes(now, out)
        if self.directory.version != self._version_ticked:
            self._version_ticked = self.directory.version
            self._quiet_from = now + QUIET_AFTER_SECONDS
        wait = TICK_SECONDS if now < self._quiet_from else TICK_SECONDS_QUIET
        self.agenda.set(("gossip",), now + wait)

    def withdraw(self, wall: float, out: Effects) -> None:
        """Leave the network: publish an ad that has expired."""
        if self._own_ad is not None:
            self._apply(self._gossip.announce(self._own_ad.withdraw(self.directory, wall).encoded, wall), out)
            self._own_ad = None
            self._obituaries = None

    # --- who died ---------------------------------------------------------------------------------

    def _words_received(self, peer: PeerKey, encoded: bytes, wall: float, now: float, out: Effects) -> None:
        if self._obituaries is None:
            return
        try:
            outcome = self._obituaries.received(encoded, wall, now, out)
        except MalformedInput as error:
            out.append(PenalisePeer(peer, error.code, error.detail, error.penalty_points))
            return
        self._told(outcome, peer, wall, out)

    def _told(self, outcome: ObituaryOutcome, source: PeerKey | None, wall: float, out: Effects) -> None:
        self._apply(self._gossip.pass_on(outcome.pass_on, source), out)
        for obituary in outcome.announce:
            self._apply(self._gossip.announce(obituary.encoded, wall), out)

    # --- inside -------------------------------------------------------------------------------

    def _renew(self, wall: float, out: Effects) -> None:
        if self._own_ad is not None and self._own_ad.is_due(self.directory, wall):
            self._apply(self._gossip.announce(self._own_ad.issue(self.directory, wall).encoded, wall), out)

    def _keep_homes(self, now: float, out: Effects) -> None:
        """Keep links to a few relays, whatever else this node does."""
        most = HOME_RELAYS_OF_RELAY if self._own_ad is not None else HOME_RELAYS_OF_CLIENT
        for node_key in [key for key in self._homes if self.connector.is_failing(key, now)]:
            if len(self.directory) > len(self._homes):
                del self._homes[node_key]
                self.connector.release(HOME, node_key)
        for contact in self._candidates(most - len(self._homes)):
            self._homes[contact.node_key] = None
            self.connector.want(HOME, contact, now, out)

    def _candidates(self, most: int) -> list[RelayContact]:
        if most <= 0:
            return []
        known = [
            ad.contact()
            for ad in self.directory.newest_ads()
            if ad.expires > ad.issued
            and ad.node_key not in self._homes
            and ad.node_key != NodeKey(self._own_key)
            and not self.directory.is_dead(ad)
        ]
        fresh = [contact for contact in self._bootstrap if contact.node_key not in self._homes]
        pool = known if known else fresh
        chosen: list[RelayContact] = []
        while pool and len(chosen) < most:
            chosen.append(pool.pop(self._chooser.randrange(len(pool))))
        return chosen

    def _apply(self, outcome: GossipOutcome, out: Effects) -> None:
        out.extend(SendFrame((send.peer,), send.frame) for send in outcome.sends)
        out.extend(
            PenalisePeer(penalty.peer, penalty.code, penalty.detail, penalty.points) for penalty in outcome.penalties
        )
