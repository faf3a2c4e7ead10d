"""One lookup: whom to ask next, and when the answer is certain. Pure: no datagrams, no clock.

Owns: candidates, disjoint paths, what counts as a holder's word, the depth of the search.
Must not know: how nodes are asked, whether a record is valid (only valid ones are passed in).

Spec: docs/spec/dht.md. Each node is asked on one path only, so that whoever bends one path bends no other. A node that
names contacts which do not answer loses its say: what it alone has named is asked no more.
"""

from __future__ import annotations

import bisect
import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from kademlia.node import NodeHeap

from railgun.dht.contacts import Contact, target_node
from railgun.dht.records import SignedRecord
from railgun.limits import (
    DHT_ALPHA,
    DHT_CANDIDATES_PER_PATH_MAX,
    DHT_CONTACTS_PER_ANSWER_MAX,
    DHT_CONTACTS_PER_PREFIX_MAX,
    DHT_PATHS,
    DHT_QUORUM,
    DHT_REPLICAS,
)

_REFERRERS_MAX = 4
_STRIKES = 2
"""Contacts of a node that did not answer, less those that did, from which on it is not heeded."""


@dataclass(frozen=True, slots=True)
class LookupRules:
    """How hard to look; the defaults are the spec's.

    ``one_holder_per_prefix``: only one holder of a /24 counts. ``hearsay_per_prefix``: contacts of a /24 that only
    others have named and that are asked, None for any number. In `lan` networks neither holds. ``holder_distance``: how
    far from the key a node may lie and still count as one of its holders.
    """

    paths: int = DHT_PATHS
    alpha: int = DHT_ALPHA
    quorum: int = DHT_QUORUM
    replicas: int = DHT_REPLICAS
    one_holder_per_prefix: bool = True
    hearsay_per_prefix: int | None = DHT_CONTACTS_PER_PREFIX_MAX
    holder_distance: int = 2**160


class _Status(enum.Enum):
    WAITING = enum.auto()
    ASKED = enum.auto()
    LATE = enum.auto()
    ANSWERED = enum.auto()
    FAILED = enum.auto()


@dataclass(slots=True, eq=False)
class _Candidate:
    contact: Contact
    distance: int
    depth: int
    """Requests, one after the other, until its answer: 1 for the own table's contacts."""
    referrers: list[_Candidate]
    status: _Status = _Status.WAITING
    path: int = -1
    strikes: int = 0

    @property
    def is_discredited(self) -> bool:
        return bool(self.referrers) and all(one.strikes >= _STRIKES for one in self.referrers)


@dataclass(slots=True)
class _Path:
    members: list[_Candidate] = field(default_factory=list)
    """In ascending distance."""
    known: set[bytes] = field(default_factory=set)
    under_way: int = 0
    has_contributed: bool = False


def _distance(candidate: _Candidate) -> int:
    return candidate.distance


class Lookup:
    """See the module. The owner asks whom `to_ask` returns, and reports each answer, delay and failure."""

    def __init__(
        self, target: bytes, own_id: bytes, seeds: Sequence[Contact], *, wants_records: bool, rules: LookupRules
    ) -> None:
        """``target`` and ``own_id``: 20 bytes. ``seeds``: contacts of the own table, nearest first."""
        self._target = target_node(target)
        self._own_id = own_id
        self._wants_records = wants_records
        self._rules = rules
        self._candidates: dict[bytes, _Candidate] = {}
        self._paths = [_Path() for _ in range(rules.paths)]
        self._asked_of_prefix: Counter[bytes] = Counter()
        self._late = 0
        self._answered = 0
        self._holders = 0
        self._holder_prefixes: set[bytes] = set()
        self._deepest_holder = 0
        self.records: dict[int, SignedRecord] = {}
        """Item to the newest record seen."""
        for index, seed in enumerate(seeds):
            self._learn(seed, None, self._paths[index % rules.paths])

    # --- reports --------------------------------------------------------------------------------

    def to_ask(self) -> list[Contact]:
        """Contacts to ask now; they count as asked."""
        chosen: list[Contact] = []
        for index, path in enumerate(self._paths):
            while path.under_way < self._rules.alpha:
                candidate = self._next_of(path)
                if candidate is None:
                    break
                candidate.status, candidate.path = _Status.ASKED, index
                if candidate.referrers:
                    self._asked_of_prefix[candidate.contact.prefix] += 1
                path.under_way += 1
                chosen.append(candidate.contact)
        return chosen

    def answered(self, contact: Contact, contacts: Sequence[Contact], records: Sequence[SignedRecord]) -> None:
        """``contact`` has answered, even if late, with contacts and with records that are valid and lie here."""
        candidate = self._leave(contact, _Status.ANSWERED)
        if candidate is None:
            return
        self._answered += 1
        path = self._paths[candidate.path]
        for other in contacts[:DHT_CONTACTS_PER_ANSWER_MAX]:
            self._learn(other, candidate, path)
        for signed in records:
            old = self.records.get(signed.record.item)
            if old is None or old.rank < signed.rank:
                self.records[signed.record.item] = signed
        if records and candidate.distance <= self._rules.holder_distance:
            self._count_holder(candidate, path)

    def late(self, contact: Contact) -> None:
        """``contact`` has not answered in time: others are asked meanwhile."""
        self._leave(contact, _Status.LATE)

    def failed(self, contact: Contact) -> None:
        """``contact`` will not answer any more, or with nothing of use."""
        self._leave(contact, _Status.FAILED)

    # --- results --------------------------------------------------------------------------------

    @property
    def is_certain(self) -> bool:
        """Whether enough holders near the key have answered, on every path that leads anywhere."""
        return self._holders >= self._rules.quorum and all(
            path.has_contributed or self._is_dry(path) for path in self._paths
        )

    @property
    def is_done(self) -> bool:
        """Whether nothing more needs to be waited for."""
        if self._wants_records and self.is_certain:
            return True
        if not all(self._is_dry(path) for path in self._paths):
            return False
        if self._late == 0:
            return True
        # Late ones are waited for only where the rest is too little.
        if self._wants_records:
            return 2 * self._holders >= self._rules.quorum
        return 2 * self._answered >= self._rules.replicas

    @property
    def hops(self) -> int:
        """Requests that had to follow one another: until the last holder that counted, or the nearest node."""
        if self._holders:
            return self._deepest_holder
        nearest = min(
            (one for one in self._candidates.values() if one.status is _Status.ANSWERED), key=_distance, default=None
        )
        return 0 if nearest is None else nearest.depth

    @property
    def holders(self) -> int:
        """Holders near the key that have answered with a record, those of one prefix counted once."""
        return self._holders

    def nearest(self) -> list[Contact]:
        """The nodes nearest to the target that have answered, nearest first, as many as hold a record."""
        heap = NodeHeap(self._target, self._rules.replicas)
        heap.push([one.contact for one in self._candidates.values() if one.status is _Status.ANSWERED])
        return list(heap)

    # --- inside ---------------------------------------------------------------------------------

    def _learn(self, contact: Contact, referrer: _Candidate | None, path: _Path) -> None:
        if contact.id == self._own_id:
            return
        candidate = self._candidates.get(contact.raw)
        if candidate is None:
            distance = self._target.long_id ^ contact.long_id
            depth, referrers = (1, []) if referrer is None else (referrer.depth + 1, [referrer])
            candidate = self._candidates[contact.raw] = _Candidate(contact, distance, depth, referrers)
        elif (
            referrer is not None
            and 0 < len(candidate.referrers) < _REFERRERS_MAX  # the own table's contacts need nobody's word
            and referrer not in candidate.referrers
        ):
            candidate.referrers.append(referrer)
        if contact.raw in path.known or len(path.known) >= 2 * DHT_CANDIDATES_PER_PATH_MAX:
            return
        path.known.add(contact.raw)
        bisect.insort(path.members, candidate, key=_distance)
        if len(path.members) > DHT_CANDIDATES_PER_PATH_MAX:
            path.members.pop()

    def _next_of(self, path: _Path) -> _Candidate | None:
        """The nearest that nobody has asked, among as many of the nearest as hold a record."""
        counted = 0
        for candidate in path.members:
            status = candidate.status
            if status is _Status.WAITING:
                if not candidate.is_discredited and self._may_ask(candidate):
                    return candidate
            elif status is not _Status.FAILED and status is not _Status.LATE:
                counted += 1
                if counted >= self._rules.replicas:
                    return None
        return None

    def _may_ask(self, candidate: _Candidate) -> bool:
        """Not where two of its network, known from hearsay alone, were asked: nobody is to be flooded through us."""
        most = self._rules.hearsay_per_prefix
        return most is None or not candidate.referrers or self._asked_of_prefix[candidate.contact.prefix] < most

    def _is_dry(self, path: _Path) -> bool:
        return path.under_way == 0 and self._next_of(path) is None

    def _leave(self, contact: Contact, status: _Status) -> _Candidate | None:
        """Move an asked candidate on; None where it was not waited for."""
        candidate = self._candidates.get(contact.raw)
        if candidate is None or candidate.status not in (_Status.ASKED, _Status.LATE):
            return None
        was_late = candidate.status is _Status.LATE
        if was_late:
            if status is _Status.LATE:
                return None
            self._late -= 1
        else:
            self._paths[candidate.path].under_way -= 1
        candidate.status = status
        if status is _Status.LATE:
            self._late += 1
        for referrer in candidate.referrers:
            if status is _Status.ANSWERED:
                referrer.strikes -= 2 if was_late else 1
            elif not was_late:
                referrer.strikes += 1
        return candidate

    def _count_holder(self, candidate: _Candidate, path: _Path) -> None:
        if self._rules.one_holder_per_prefix:
            if candidate.contact.prefix in self._holder_prefixes:
                return
            self._holder_prefixes.add(candidate.contact.prefix)
        self._holders += 1
        path.has_contributed = True
        self._deepest_holder = max(self._deepest_holder, candidate.depth)
