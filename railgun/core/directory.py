"""The relays that a peer knows of, and which of them count for an epoch.

Owns: the ads and obituaries held, their admission, the rule of what counts, committees worked out from it.
Must not know: how records travel (see `railgun.core.gossip`), rooms, or what time it is: wall seconds are passed in.

Spec: docs/spec/directory.md.
"""

from __future__ import annotations

import bisect
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from railgun.core.committee import Committee, RelayPool, ad_prefix
from railgun.core.reconciliation import fingerprint
from railgun.core.retention import OverflowOrder, kept_until, superseded_until
from railgun.crypto.hashing import content_hash
from railgun.crypto.records import SignedAd, SignedObituary, SignedRecord, check_signatures
from railgun.errors import MalformedInput, PeerError, RefusalCode
from railgun.limits import (
    AD_FUTURE_MAX_SECONDS,
    ADS_MAX,
    ADS_PER_NODE_MAX,
    COMMITTEES_CACHED_MAX,
    COUNTED_CACHED_MAX,
    OBITUARIES_PER_NODE_MAX,
    RELAYS_COUNTED_MIN,
)
from railgun.network import NetworkParameters
from railgun.types import NodeKey, RelayContact, Role, Tag
from railgun.wire.records import Ad, Obituary, decode_record

OBITUARY_TESTIMONIES_NEEDED: Final = 3
_RELAYING: Final = int(Role.RELAY | Role.FALLBACK)  # flags as integers: enum's own arithmetic shows at 10,000 ads

AdPredicate = Callable[[Ad], bool]
"""Whether an ad has what its network asks for beyond its signature (witnesses, work)."""


def every_ad_qualifies(ad: Ad) -> bool:
    """The predicate of `lan` networks."""
    return True


@dataclass(slots=True)
class _Node:
    """What is held of one node, both lists ascending by (instant, hash)."""

    ads: list[SignedAd] = field(default_factory=list)
    obituaries: list[SignedObituary] = field(default_factory=list)
    prefix: bytes | None = None
    """Of the newest ad."""

    def ad_at(self, cutoff: int) -> SignedAd | None:
        """The ad with the greatest (issued, hash) issued by ``cutoff``."""
        newest = self.ads[-1]
        if newest.ad.issued <= cutoff:  # nearly always
            return newest
        return next((signed for signed in reversed(self.ads) if signed.ad.issued <= cutoff), None)


@dataclass(frozen=True, slots=True)
class _Counted:
    ads: tuple[Ad, ...]
    pool: RelayPool


class Directory:
    """Ads and obituaries of one network, at most ``ads_max`` nodes."""

    def __init__(
        self,
        network: NetworkParameters,
        *,
        ad_qualifies: AdPredicate = every_ad_qualifies,
        ads_max: int = ADS_MAX,
    ) -> None:
        self.network = network
        self.version = 0
        """Grows with every change; equal versions mean an unchanged directory."""
        self._ad_qualifies = ad_qualifies
        self._ads_max = ads_max
        self._nodes: dict[NodeKey, _Node] = {}
        self._records: dict[bytes, SignedRecord] = {}
        self._hashes: list[bytes] = []
        self._instants: list[int] = []
        self._overflow = OverflowOrder()
        self._counted: OrderedDict[tuple[int, int], _Counted] = OrderedDict()
        self._committees: OrderedDict[tuple[Tag, int, int], tuple[RelayPool, Committee]] = OrderedDict()
        self._digest: tuple[int, bytes] | None = None

    # --- what is held ---------------------------------------------------------------------

    def __len__(self) -> int:
        """Nodes known, those that left included."""
        return len(self._nodes)

    @property
    def hashes(self) -> Sequence[bytes]:
        """The hashes of all records, ascending. Not to be changed."""
        return self._hashes

    @property
    def digest(self) -> bytes:
        """16 bytes that two directories share exactly if they hold the same records."""
        if self._digest is None or self._digest[0] != self.version:
            self._digest = (self.version, fingerprint(self._hashes))
        return self._digest[1]

    def encoded(self, record_hash: bytes) -> bytes | None:
        """A record's bytes by its hash."""
        record = self._records.get(record_hash)
        return None if record is None else record.encoded

    def records(self) -> Iterable[bytes]:
        """All records' bytes, by ascending hash: what to persist, and to `insert` again after a restart."""
        return (self._records[record_hash].encoded for record_hash in self._hashes)

    def newest_ad(self, node_key: NodeKey) -> Ad | None:
        """What to dial a node by; None for an unknown node."""
        node = self._nodes.get(node_key)
        return node.ads[-1].ad if node is not None else None

    def newest_ad_encoded(self, node_key: NodeKey) -> bytes | None:
        """A node's newest ad as it travels; None for an unknown node."""
        node = self._nodes.get(node_key)
        return node.ads[-1].encoded if node is not None else None

    def newest_ads(self) -> tuple[Ad, ...]:
        """The newest ad of every node, ascending by node key; some may have expired."""
        return tuple(self._nodes[node_key].ads[-1].ad for node_key in sorted(self._nodes))

    def contact(self, node_key: NodeKey) -> RelayContact | None:
        """How to dial a node, by its newest ad."""
        ad = self.newest_ad(node_key)
        return None if ad is None else ad.contact()

    def latest_obituary_dated(self, node_key: NodeKey) -> int | None:
        """The date of the newest obituary of a node that enough known relays signed, or None."""
        node = self._nodes.get(node_key)
        if node is None:
            return None
        known = self._nodes.keys()
        dates = [signed.instant for signed in node.obituaries if _is_signed_enough(signed.obituary, known)]
        return max(dates, default=None)

    def is_dead(self, ad: Ad) -> bool:
        """Whether an obituary says so of this ad, the newest of its node: not worth a dial of one's own accord."""
        if not self._nodes[ad.node_key].obituaries:  # nearly always
            return False
        dated = self.latest_obituary_dated(ad.node_key)
        return dated is not None and dated >= ad.issued

    def is_signed_enough(self, obituary: Obituary) -> bool:
        """Whether 3 known relays testify, or all others if they are fewer; their signatures are not checked here."""
        return _is_signed_enough(obituary, self._nodes.keys())

    # --- admission ------------------------------------------------------------------------

    def insert(self, encoded: bytes, wall: float) -> SignedRecord | None:
        """Check and keep one record; ``wall`` is the corrected time in Unix seconds.

        Returns it if it is new and kept; None if it is known, no longer needed, or dropped by a bound.

        Raises:
            MalformedInput: not a record of this network, or not signed by whom it names.
            PeerError: CLOCK_SKEWED, dated over 60 s in the future.
        """
        record_hash = content_hash(encoded)
        if record_hash in self._records:
            return None
        record = decode_record(encoded)
        self._check(record, wall)
        if not self._is_needed(record, record_hash, wall):
            return None
        return self._keep(check_signatures(record, encoded))

    def forget_expired(self, wall: float) -> int:
        """Drop what no open epoch needs any more; returns how many records went."""
        before = len(self._hashes)
        for node_key in list(self._nodes):
            node = self._nodes[node_key]
            if wall >= kept_until(node.ads[-1].ad.issued, self.network):
                self._drop_node(node_key)
                continue
            pairs = itertools.pairwise(node.ads)
            old_ads = [old for old, new in pairs if wall >= superseded_until(new.ad.issued, self.network)]
            old_obituaries = [old for old in node.obituaries if wall >= kept_until(old.instant, self.network)]
            for ad in old_ads:
                node.ads.remove(ad)
                self._remove(ad)
            for obituary in old_obituaries:
                node.obituaries.remove(obituary)
                self._remove(obituary)
        return before - len(self._hashes)

    def _check(self, record: Ad | Obituary, wall: float) -> None:
        dates = (record.issued,) if isinstance(record, Ad) else [item.dated for item in record.testimonies]
        if max(dates) > wall + AD_FUTURE_MAX_SECONDS:
            raise PeerError(RefusalCode.CLOCK_SKEWED, "a record from the future")
        if isinstance(record, Ad):
            if record.expires - record.issued > self.network.ad_lifetime_seconds:
                raise MalformedInput("the ad lives longer than its network allows")
            if ad_prefix(record, self.network) is None:
                raise MalformedInput("the ad's address is not global")

    def _is_needed(self, record: Ad | Obituary, record_hash: bytes, wall: float) -> bool:
        node = self._nodes.get(record.node_key)
        if isinstance(record, Obituary):
            return node is not None and wall < kept_until(record.dated, self.network) and self.is_signed_enough(record)
        if wall >= kept_until(record.issued, self.network):
            return False
        newer = (
            [] if node is None else [ad for ad in node.ads if (ad.ad.issued, ad.hash) > (record.issued, record_hash)]
        )
        if len(newer) >= ADS_PER_NODE_MAX:
            return False
        return not newer or wall < superseded_until(newer[0].ad.issued, self.network)

    def _keep(self, signed: SignedRecord) -> SignedRecord | None:
        node = self._nodes.setdefault(signed.node_key, _Node())
        self._records[signed.hash] = signed
        bisect.insort(self._hashes, signed.hash)
        bisect.insort(self._instants, signed.instant)
        self._changed(signed.instant)
        if isinstance(signed, SignedAd):
            bisect.insort(node.ads, signed, key=_order)
            if len(node.ads) > ADS_PER_NODE_MAX:
                self._remove(node.ads.pop(0))
            self._place(signed.node_key, node)
            while len(self._overflow) > self._ads_max:
                self._drop_node(self._overflow.last())
        else:
            bisect.insort(node.obituaries, signed, key=_order)
            if len(node.obituaries) > OBITUARIES_PER_NODE_MAX:
                self._remove(node.obituaries.pop(0))
        return signed if signed.hash in self._records else None

    def _place(self, node_key: NodeKey, node: _Node) -> None:
        node.prefix = ad_prefix(node.ads[-1].ad, self.network)
        self._overflow.place(node_key, node.prefix or b"")

    def _drop_node(self, node_key: NodeKey) -> None:
        node = self._nodes.pop(node_key)
        self._overflow.remove(node_key)
        for ad in node.ads:
            self._remove(ad)
        for obituary in node.obituaries:
            self._remove(obituary)

    def _remove(self, record: SignedRecord) -> None:
        del self._records[record.hash]
        del self._hashes[bisect.bisect_left(self._hashes, record.hash)]
        del self._instants[bisect.bisect_left(self._instants, record.instant)]
        self._changed(record.instant)

    def _changed(self, instant: int) -> None:
        self.version += 1
        for key in [key for key in self._counted if key[1] >= instant]:
            del self._counted[key]

    # --- what counts ----------------------------------------------------------------------

    def counted(self, start: int, wall: float) -> tuple[Ad, ...]:
        """The ads that count for the epoch that starts at ``start``, one a node, ascending by node key."""
        return self._counted_for(start, wall).ads

    def committee(self, tag: Tag, start: int, committee_size: int, wall: float) -> Committee:
        """The committee of ``tag`` in the epoch that starts at ``start``, for K = ``committee_size``.

        Worked out again only after a change of what counts. Raises ValueError where K is not 3 to 7.
        """
        pool = self._counted_for(start, wall).pool
        key = (tag, start, committee_size)
        cached = self._committees.get(key)
        if cached is not None and cached[0] is pool:
            self._committees.move_to_end(key)
            return cached[1]
        committee = pool.order(tag, committee_size)
        self._committees[key] = (pool, committee)
        self._committees.move_to_end(key)
        if len(self._committees) > COMMITTEES_CACHED_MAX:
            self._committees.popitem(last=False)
        return committee

    def _counted_for(self, start: int, wall: float) -> _Counted:
        counted = self._counted_at(start, start - self.network.epoch_seconds)
        for cutoff in (start, max(start, int(wall))):
            if len(counted.ads) >= RELAYS_COUNTED_MIN:
                break
            counted = self._counted_at(start, cutoff)
        return counted

    def _counted_at(self, start: int, cutoff: int) -> _Counted:
        # Between two instants nothing changes: the cut-off that is cached by is the last instant before it.
        index = bisect.bisect_right(self._instants, cutoff)
        key = (start, self._instants[index - 1] if index else -1)
        counted = self._counted.get(key)
        if counted is None:
            chosen = self._select(start, cutoff)
            pool = RelayPool.with_prefixes((signed.ad, self._prefix_of(signed)) for signed in chosen)
            counted = _Counted(tuple(signed.ad for signed in chosen), pool)
            self._counted[key] = counted
            if len(self._counted) > COUNTED_CACHED_MAX:
                self._counted.popitem(last=False)
        self._counted.move_to_end(key)
        return counted

    def _prefix_of(self, signed: SignedAd) -> bytes | None:
        node = self._nodes[signed.node_key]
        return node.prefix if signed is node.ads[-1] else ad_prefix(signed.ad, self.network)

    def _select(self, start: int, cutoff: int) -> list[SignedAd]:
        alive: dict[NodeKey, SignedAd] = {}
        for node_key, node in self._nodes.items():
            signed = node.ad_at(cutoff)
            if signed is not None and signed.ad.expires > start and self._offers(signed.ad):
                alive[node_key] = signed
        dead = {
            node_key
            for node_key, signed in alive.items()
            if any(
                signed.ad.issued <= obituary.instant <= cutoff and _is_signed_enough(obituary.obituary, alive.keys())
                for obituary in self._nodes[node_key].obituaries
            )
        }
        counted = [signed for node_key, signed in alive.items() if node_key not in dead]
        if not self.network.is_lan:
            counted = _one_a_host(counted)
        return sorted(counted, key=lambda signed: signed.node_key)

    def _offers(self, ad: Ad) -> bool:
        return bool(int(ad.roles) & _RELAYING) and self._ad_qualifies(ad)


def _order(signed: SignedRecord) -> tuple[int, bytes]:
    return signed.instant, signed.hash


def _one_a_host(ads: Sequence[SignedAd]) -> list[SignedAd]:
    """Of the ads that name one IP address the smallest (issued, hash): who was there first."""
    first: dict[str, SignedAd] = {}
    for signed in ads:
        other = first.setdefault(signed.ad.address.host, signed)
        if other is not signed and _order(signed) < _order(other):
            first[signed.ad.address.host] = signed
    return list(first.values())


def _is_signed_enough(obituary: Obituary, relays: AbstractSet[NodeKey]) -> bool:
    """Whether 3 of ``relays``, or all others if they are fewer, testify."""
    others = len(relays) - (obituary.node_key in relays)
    count = sum(testimony.signer in relays for testimony in obituary.testimonies)
    return count >= max(1, min(OBITUARY_TESTIMONIES_NEEDED, others))
