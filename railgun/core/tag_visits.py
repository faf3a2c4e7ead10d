"""Short visits to seats that a client is not attached to: audits, last digests, direct publishes.

Owns: whom to visit when, and for how long a link is wanted for it. Must not know: what the visited seat answers.

A visit shows the seat the tag and asks for all ids that it holds; no subscription follows. Afterwards the link is
left to whoever else uses it, and else to idle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from railgun.core.agenda import Agenda, DeadlineName
from railgun.core.connector import Connector
from railgun.core.effects import Effects
from railgun.limits import AUDIT_SECONDS
from railgun.ports import Chooser
from railgun.types import NodeKey, RelayContact, Tag
from railgun.wire.frames import SubscriptionMode
from railgun.wire.records import Ad

VISIT_SECONDS = 2.0
"""How long a visited seat may take to answer, the dial included."""
VISIT_SLACK_SECONDS = 4.0
"""A visit that is over may end so much later, with whatever wakes the node then."""
AUDIT_SLACK_SECONDS = 1.0
"""The same of an audit's beginning: a node that pulses each second need not wake for it."""

_EPSILON = 1e-6

Subscribe = Callable[[NodeKey, SubscriptionMode, Effects], None]


class TagVisits:
    """The visits of one tag."""

    def __init__(self, tag: Tag, agenda: Agenda, connector: Connector, chooser: Chooser, subscribe: Subscribe) -> None:
        self._tag = tag
        self._agenda = agenda
        self._connector = connector
        self._chooser = chooser
        self._subscribe = subscribe
        self._visits: dict[NodeKey, float] = {}
        """Until when each lasts."""
        self._end_name: DeadlineName = ("visit-end", tag)
        self._user = ("visit", tag)
        self._direct: dict[NodeKey, None] = {}
        self._audited: dict[NodeKey, None] = {}
        """The last one last."""

    def is_visited(self, seat: NodeKey) -> bool:
        return seat in self._visits

    def plan_audit(self, now: float, others: int, not_before: float = 0.0) -> None:
        """Plan the next audit, unless one is planned: each of so many ``others`` is due about every AUDIT_SECONDS.

        None is due before monotonic second ``not_before``.
        """
        if not self._agenda.is_set(("audit", self._tag)):
            wait = AUDIT_SECONDS * (0.5 + self._chooser.random()) / max(1, others)
            slack = min(AUDIT_SLACK_SECONDS, wait)
            self._agenda.set(("audit", self._tag), max(now, not_before) + wait - slack / 2, slack)

    def audit_one(self, others: Sequence[Ad], now: float, out: Effects) -> None:
        """Visit one of several seats: at random one that was not visited yet, else the one visited longest ago."""
        self.end_due(now)
        fresh = [ad for ad in others if ad.node_key not in self._audited]
        if fresh:
            chosen = fresh[self._chooser.randrange(len(fresh))]
        else:
            seats = {ad.node_key: ad for ad in others}
            chosen = next(seats[node_key] for node_key in self._audited if node_key in seats)
        self._audited.pop(chosen.node_key, None)
        self._audited[chosen.node_key] = None
        self.begin(chosen.contact(), now, out)

    def begin(
        self, contact: RelayContact, now: float, out: Effects, *, direct: bool = False, anew: bool = False
    ) -> None:
        """Visit a seat. ``direct``: something is to be published to it once it has answered. ``anew``: ask it also if
        it was asked just now."""
        seat = contact.node_key
        is_new = anew or direct or self._visits.get(seat, now) <= now + _EPSILON
        self._visits[seat] = now + VISIT_SECONDS
        if direct:
            self._direct[seat] = None
        self._agenda.set_earlier(self._end_name, now + VISIT_SECONDS + VISIT_SLACK_SECONDS / 2, VISIT_SLACK_SECONDS / 2)
        self._connector.want(self._user, contact, now, out)
        if is_new and self._connector.is_linked(seat):
            self._subscribe(seat, SubscriptionMode.AUDIT, out)

    def peer_connected(self, seat: NodeKey, out: Effects) -> None:
        """A link is up; perhaps it was awaited."""
        if seat in self._visits:
            self._subscribe(seat, SubscriptionMode.AUDIT, out)

    def take_direct(self, seat: NodeKey) -> bool:
        """Whether the seat that has just answered is to be published to."""
        if seat not in self._direct:
            return False
        del self._direct[seat]
        return True

    def end_due(self, now: float) -> None:
        """End the visits that have lasted long enough."""
        for seat in [seat for seat, until in self._visits.items() if until <= now + _EPSILON]:
            self._end(seat)
        if self._visits:
            at = min(self._visits.values()) + VISIT_SLACK_SECONDS / 2
            self._agenda.set_earlier(self._end_name, at, VISIT_SLACK_SECONDS / 2)

    def _end(self, seat: NodeKey) -> None:
        del self._visits[seat]
        self._direct.pop(seat, None)
        self._connector.release(self._user, seat)

    def close(self) -> None:
        """End all visits and forget all deadlines."""
        for seat in list(self._visits):
            self._end(seat)
        self._agenda.cancel(self._end_name)
        self._agenda.cancel(("audit", self._tag))
