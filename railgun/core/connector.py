"""Which relays are linked, dialled, wanted, and by whom.

Owns: reference-counted wants, dial retries with back-off, the peers' connection facts.
Must not know: why anyone wants a link, sockets.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from railgun.core.agenda import Agenda
from railgun.core.effects import Connect, Effects
from railgun.core.events import PeerConnected
from railgun.types import NodeKey, PeerKey, RelayContact

RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 30.0
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
    dialling_until: float = -1.0
    not_before: float = 0.0


class Connector:
    """Keeps the wanted relays linked."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self.linked: dict[PeerKey, LinkedPeer] = {}
        self._wants: dict[PeerKey, _Want] = {}

    def is_linked(self, peer: PeerKey | NodeKey) -> bool:
        return peer in self.linked

    def is_failing(self, peer: PeerKey | NodeKey) -> bool:
        """Whether the last dial failed, or the link broke, and no new one stands yet."""
        want = self._wants.get(PeerKey(peer))
        return want is not None and want.failures > 0 and peer not in self.linked

    @property
    def relays(self) -> list[PeerKey]:
        return [peer for peer, linked in self.linked.items() if linked.is_relay]

    def want(self, user: Hashable, contact: RelayContact, now: float, out: Effects) -> None:
        """``user`` needs a link to this relay until it releases it."""
        peer = PeerKey(contact.node_key)
        want = self._wants.get(peer)
        if want is None:
            want = self._wants[peer] = _Want(contact)
        want.contact = contact
        want.users.add(user)
        self._dial(peer, want, now, out)

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
            want.dialling_until = -1.0

    def lost(self, peer: PeerKey, retry_after_seconds: float | None, now: float) -> None:
        """The link broke or the dial failed: plan the next try if anyone still wants it."""
        self.linked.pop(peer, None)
        want = self._wants.get(peer)
        if want is None:
            return
        want.failures += 1
        want.dialling_until = -1.0
        backoff = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2.0 ** min(want.failures - 1, 10))
        want.not_before = now + max(backoff, retry_after_seconds or 0.0)
        self._agenda.set(("dial", peer), want.not_before)

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
