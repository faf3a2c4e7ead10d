"""Which relays are linked, dialled, wanted, and by whom.

Owns: reference-counted wants, dial retries with back-off, the peers' connection facts.
Must not know: why anyone wants a link, sockets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.effects import Connect, Effects
from railgun.core.events import PeerConnected
from railgun.limits import FAILED_PEERS_MAX, LINKS_MAX
from railgun.types import NodeKey, PeerKey, RelayContact

RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 30.0
ALONE_RETRY_SECONDS_MAX = 3.0
"""Between two tries while no relay is linked at all: the first that is there again ends an outage."""
ALONE_HURRY_SECONDS = 600.0
"""Then whoever is alone has no network, or a network has no relays, and nobody is helped by hurry."""
FAILURE_REMEMBERED_SECONDS = 30.0
"""A relay that nobody wants any more since it failed must not look fresh to the next who considers it."""
DIAL_GIVE_UP_SECONDS = 8.0
"""The shell promises an answer within DIAL_SECONDS; an answer lost by a bug must not wedge a peer for good."""


@dataclass(slots=True)
class LinkedPeer:
    """Facts of one link."""

    local_key: PeerKey
    is_relay: bool
    inbound: bool
    connected_at: float
    round_trip_seconds: float


@dataclass(slots=True)
class _Want:
    contact: RelayContact
    users: set[Hashable] = field(default_factory=set)
    failures: int = 0
    unanswered: int = 0
    """Failures in a row of which nothing shows that the relay lives."""
    dialling_until: float = -1.0
    not_before: float = 0.0


class Connector:
    """Keeps the wanted relays linked."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self.linked: dict[PeerKey, LinkedPeer] = {}
        self._wants: dict[PeerKey, _Want] = {}
        self._failed: OrderedDict[PeerKey, float] = OrderedDict()
        self._alone_since: float | None = None
        """When a dial failed, or a link broke, and no relay was linked; None since one is."""

    @property
    def wanted_count(self) -> int:
        """Relays that somebody wants a link to."""
        return len(self._wants)

    def is_linked(self, peer: PeerKey | NodeKey) -> bool:
        return peer in self.linked

    def is_failing(self, peer: PeerKey | NodeKey, now: float) -> bool:
        """Whether the last dial failed, or the link broke, and no new one stands yet."""
        peer = PeerKey(peer)
        if peer in self.linked:
            return False
        want = self._wants.get(peer)
        if want is not None and want.failures > 0:
            return True
        return now < self._failed.get(peer, -1.0)

    def dialling_since(self, peer: PeerKey | NodeKey) -> float | None:
        """When the dial that is under way began; None where none is."""
        want = self._wants.get(PeerKey(peer))
        if want is None or want.dialling_until < 0 or peer in self.linked:
            return None
        return want.dialling_until - DIAL_GIVE_UP_SECONDS

    def failing(self) -> list[PeerKey]:
        """The relays that somebody wants a link to and whose last dial, or link, ended without a word of theirs."""
        return [peer for peer, want in self._wants.items() if want.unanswered and peer not in self.linked]

    def dials_unanswered(self, peer: PeerKey | NodeKey) -> int:
        """How often in a row the link broke or a dial failed without a word of the relay's."""
        want = self._wants.get(PeerKey(peer))
        return 0 if want is None else want.unanswered

    @property
    def relays(self) -> list[PeerKey]:
        return [peer for peer, linked in self.linked.items() if linked.is_relay]

    def want(self, user: Hashable, contact: RelayContact, now: float, out: Effects) -> bool:
        """``user`` needs a link to this relay until it releases it. False when as many as may be are wanted already."""
        peer = PeerKey(contact.node_key)
        want = self._wants.get(peer)
        if want is None:
            if len(self._wants) >= LINKS_MAX:
                return False
            want = self._wants[peer] = _Want(contact)
        want.contact = contact
        want.users.add(user)
        self._dial(peer, want, now, out)
        return True

    def release(self, user: Hashable, peer: PeerKey | NodeKey) -> None:
        """``user`` no longer needs it. The link itself ends by idleness."""
        want = self._wants.get(PeerKey(peer))
        if want is None:
            return
        want.users.discard(user)
        if not want.users:
            del self._wants[PeerKey(peer)]
            self._agenda.cancel(("dial", PeerKey(peer)))

    def is_wanted(self, peer: PeerKey) -> bool:
        return peer in self._wants

    def connected(self, event: PeerConnected, now: float) -> None:
        self.linked[event.peer] = LinkedPeer(
            event.local_key, event.is_relay, event.inbound, now, event.round_trip_seconds
        )
        want = self._wants.get(event.peer)
        if want is not None:
            want.failures = 0
            want.unanswered = 0
            want.dialling_until = -1.0
        self._failed.pop(event.peer, None)
        if event.is_relay and self._alone_since is not None:
            self._alone_since = None
            self._hasten(now)

    def _hasten(self, now: float) -> None:
        """One relay is there again: the others may be, for often it was the network that was gone."""
        for peer, want in self._wants.items():
            if want.unanswered and peer not in self.linked and want.dialling_until < 0:
                want.not_before = now
                self._agenda.set(("dial", peer), now)

    def _retry_seconds_max(self, now: float) -> float:
        if any(linked.is_relay for linked in self.linked.values()):
            return RETRY_SECONDS_MAX
        if self._alone_since is None:
            self._alone_since = now
        return ALONE_RETRY_SECONDS_MAX if now < self._alone_since + ALONE_HURRY_SECONDS else RETRY_SECONDS_MAX

    def lost(self, peer: PeerKey, retry_after_seconds: float | None, now: float, *, idle: bool = False) -> bool:
        """The link broke or the dial failed: plan the next try if anyone still wants it.

        ``idle``: it was closed because nobody used it, which is no failure. Returns whether this is news: there was a
        link, or it is the first dial to fail.
        """
        linked = self.linked.pop(peer, None)
        was_linked = linked is not None
        want = self._wants.get(peer)
        if not idle and (linked is None or linked.is_relay):
            self._failed.pop(peer, None)
            self._failed[peer] = now + FAILURE_REMEMBERED_SECONDS
            if len(self._failed) > FAILED_PEERS_MAX:
                self._failed.popitem(last=False)
        if want is None:
            return was_linked
        want.dialling_until = -1.0
        if idle:
            self._agenda.set(("dial", peer), now)
            return was_linked
        want.failures += 1
        want.unanswered = want.unanswered + 1 if retry_after_seconds is None else 0  # who refuses lives
        backoff = min(self._retry_seconds_max(now), RETRY_SECONDS_MIN * 2.0 ** min(want.failures - 1, 10))
        want.not_before = now + max(backoff, retry_after_seconds or 0.0)
        self._agenda.set(("dial", peer), want.not_before)
        return was_linked or want.failures == 1

    def dial_due(self, peer: PeerKey, now: float, out: Effects) -> None:
        want = self._wants.get(peer)
        if want is not None:
            self._dial(peer, want, now, out)

    def _dial(self, peer: PeerKey, want: _Want, now: float, out: Effects) -> None:
        if peer in self.linked or now < want.dialling_until:
            return
        if now < want.not_before:
            self._agenda.set_earlier(("dial", peer), want.not_before)
            return
        want.dialling_until = now + DIAL_GIVE_UP_SECONDS
        self._agenda.set(("dial", peer), want.dialling_until)
        out.append(Connect(want.contact))
