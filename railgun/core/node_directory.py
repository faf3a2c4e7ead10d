"""A node's dealings with the directory: first contact, gossip, its own ad.

Owns: which relays a node keeps links to for the directory's sake, when records are compared, renewed and withdrawn.
Must not know: rooms, tags. Parts: `directory` (what counts), `gossip` (how it travels), `own_ad`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from railgun.core.agenda import Agenda, DeadlineName
from railgun.core.committee import Committee
from railgun.core.connector import Connector
from railgun.core.directory import Directory
from railgun.core.effects import Effects, PenalisePeer, SendFrame
from railgun.core.gossip import Gossip, GossipOutcome
from railgun.core.obituaries import DEADLINE as OBITUARY_DEADLINE
from railgun.core.obituaries import Obituaries, ObituaryOutcome
from railgun.core.own_ad import OwnAd
from railgun.errors import MalformedInput, PeerError, RefusalCode
from railgun.limits import BOOTSTRAP_MAX, CLOCK_SAMPLES_MIN
from railgun.ports import Chooser
from railgun.types import NodeKey, PeerKey, RelayContact, Tag
from railgun.wire.directory_frames import DirectoryFrame

HOME_RELAYS_OF_CLIENT = CLOCK_SAMPLES_MIN
"""A client's links for the directory: two answer its questions, and three correct its clock."""
HOME_RELAYS_OF_RELAY = 4
TICK_SECONDS = 1.0
TICK_SECONDS_QUIET = 10.0
TICK_SECONDS_SETTLED = 300.0
QUIET_AFTER_SECONDS = 10.0
SETTLED_AFTER_SECONDS = 120.0
GOSSIP = ("gossip",)
HOME = ("home",)
FIRST_DIALS = ("first-dials",)
FIRST_DIALS_SECONDS = 0.3
"""While no link stands, this often two more relays are dialled: most of those that a node remembers may be gone, and
a dead one takes seconds to be told from a slow one."""
FIRST_DIALS_MAX = 16
"""Relays dialled at a time while no link stands."""
FIRST_CHOICES = 8
"""Among so many of those seen last one is picked: whom all newcomers know should not have to serve them all."""


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
        self.report: Callable[[PeerKey, RefusalCode, str, int], None] | None = None
        """Who hears of penalties (code, detail, points), where somebody keeps an account of them."""
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
        self._tick_at = 0.0

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
            self._plan_tick(now)
        self._keep_homes(now, out)
        self.agenda.set(FIRST_DIALS, now + FIRST_DIALS_SECONDS)

    def add_bootstrap(self, contact: RelayContact, now: float, out: Effects) -> None:
        """Another relay to start from."""
        known = any(item.node_key == contact.node_key for item in self._bootstrap)
        if known or contact.node_key == NodeKey(self._own_key):
            return
        self._bootstrap.insert(0, contact)
        del self._bootstrap[BOOTSTRAP_MAX:]
        if self._was_started:
            self._keep_homes(now, out)
            self.agenda.set_earlier(FIRST_DIALS, now)

    def peer_connected(self, peer: PeerKey, now: float, out: Effects, *, is_relay: bool) -> None:
        self._apply(self._gossip.peer_connected(peer, now, is_relay=is_relay), out)
        self._keep_homes(now, out)

    def peer_gone(self, peer: PeerKey) -> None:
        self._gossip.peer_disconnected(peer)
        if self._obituaries is not None or NodeKey(peer) in self._homes:
            self.agenda.set_earlier(GOSSIP, 0.0)
        if not self.connector.relays:
            self.agenda.set_earlier(FIRST_DIALS, 0.0)

    def views_differ(self, peer: PeerKey, wall: float, now: float, out: Effects) -> None:
        """A peer named other seats than we do."""
        self._apply(self._gossip.views_differ(peer, now), out)
        self._hasten(now)

    def frame_received(self, peer: PeerKey, frame: DirectoryFrame, wall: float, now: float, out: Effects) -> None:
        before = self.directory.version
        outcome = self._gossip.frame_received(peer, frame, wall, now)
        self._apply(outcome, out)
        for encoded in outcome.words:
            self._words_received(peer, encoded, wall, now, out)
        if self.directory.version != before:
            self.agenda.set_earlier(GOSSIP, now + TICK_SECONDS)
            self._keep_homes(now, out)
        else:
            self._hasten(now)

    def ad_found(self, encoded: bytes, wall: float, now: float, out: Effects) -> None:
        """An ad that came by another way than gossip (the DHT). Whoever found it answers for nothing: one that is not
        fit to be kept is dropped."""
        try:
            self._apply(self._gossip.announce(encoded, wall), out)
        except PeerError:
            return
        self._keep_homes(now, out)

    def due(self, name: DeadlineName, wall: float, now: float, out: Effects) -> None:
        if name == OBITUARY_DEADLINE and self._obituaries is not None:
            self._told(self._obituaries.due(wall, now, out), None, wall, out)
        if name == FIRST_DIALS:
            self._dial_more(now, out)
        if name != GOSSIP:
            return
        if self._obituaries is not None:
            self._obituaries.look(wall, now, out)
        self._apply(self._gossip.tick(wall, now), out)
        self._renew(wall, out)
        self._keep_homes(now, out)
        if self.directory.version != self._version_ticked:
            self._version_ticked = self.directory.version
            self._quiet_from = now + QUIET_AFTER_SECONDS
        self._plan_tick(now)

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

    def _plan_tick(self, now: float) -> None:
        """Every second while records come in. Long after the last one a client's only when a comparison is due: by
        then no ad begins to count merely because time passes."""
        if now < self._quiet_from:
            self._tick_at = now + TICK_SECONDS
        elif self._obituaries is not None or now < self._quiet_from + SETTLED_AFTER_SECONDS:
            self._tick_at = now + TICK_SECONDS_QUIET
        else:
            self._tick_at = max(now + TICK_SECONDS, min(self._gossip.next_at(), now + TICK_SECONDS_SETTLED))
        self.agenda.set(GOSSIP, self._tick_at)

    def _hasten(self, now: float) -> None:
        """A difference was found: the next comparison may be due before the tick that is planned."""
        at = max(now, self._gossip.next_at())
        if self._was_started and at < self._tick_at:
            self._tick_at = at
            self.agenda.set_earlier(GOSSIP, at)

    def _renew(self, wall: float, out: Effects) -> None:
        if self._own_ad is not None and self._own_ad.is_due(self.directory, wall):
            self._apply(self._gossip.announce(self._own_ad.issue(self.directory, wall).encoded, wall), out)

    def _keep_homes(self, now: float, out: Effects) -> None:
        """Keep links to a few relays, whatever else this node does."""
        most = HOME_RELAYS_OF_RELAY if self._own_ad is not None else HOME_RELAYS_OF_CLIENT
        failing = [key for key in self._homes if self.connector.is_failing(key, now)]
        instead = self._candidates(most - len(self._homes) + len(failing), now)
        for node_key in failing[: max(0, len(self._homes) + len(instead) - most)]:
            self._release(node_key)
        for contact in instead:
            self._homes[contact.node_key] = None
            self.connector.want(HOME, contact, now, out)
        if len(self._homes) > most and self.connector.relays:
            # One of the many first dials has succeeded: the rest have served.
            for node_key in [key for key in self._homes if not self.connector.is_linked(key)]:
                if len(self._homes) > most:
                    self._release(node_key)

    def _release(self, node_key: NodeKey) -> None:
        del self._homes[node_key]
        self.connector.release(HOME, node_key)

    def _dial_more(self, now: float, out: Effects) -> None:
        """No link yet: dial others beside those that have not answered so far."""
        if self.connector.relays or not self._was_started:
            return
        more = self._candidates(min(2, FIRST_DIALS_MAX - len(self._homes)), now)
        for contact in more:
            self._homes[contact.node_key] = None
            self.connector.want(HOME, contact, now, out)
        if more:
            self.agenda.set(FIRST_DIALS, now + FIRST_DIALS_SECONDS)

    def _candidates(self, most: int, now: float) -> list[RelayContact]:
        """Whom to link next: nobody who has just failed. Without any link those named first count too, for all that
        the directory knows may be gone."""
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
        chosen: list[RelayContact] = []
        # Those of the directory at random, since none is better; of those remembered, the last seen first.
        self._choose(known, len(known), most, now, chosen)
        if not known or not self.connector.relays:
            taken = {contact.node_key for contact in chosen}
            fresh = [contact for contact in fresh if contact.node_key not in taken]
            self._choose(fresh, FIRST_CHOICES, most, now, chosen)
        return chosen

    def _choose(
        self, pool: list[RelayContact], choices: int, most: int, now: float, chosen: list[RelayContact]
    ) -> None:
        pool = [contact for contact in pool if not self.connector.is_failing(contact.node_key, now)]
        while pool and len(chosen) < most:
            chosen.append(pool.pop(self._chooser.randrange(min(choices, len(pool)))))

    def _apply(self, outcome: GossipOutcome, out: Effects) -> None:
        out.extend(SendFrame((send.peer,), send.frame) for send in outcome.sends)
        for penalty in outcome.penalties:
            if self.report is not None:
                self.report(penalty.peer, penalty.code, penalty.detail, penalty.points)
            else:
                out.append(PenalisePeer(penalty.peer, penalty.code, penalty.detail, penalty.points))
