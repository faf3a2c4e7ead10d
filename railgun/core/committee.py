"""Which relays serve a room in an epoch: the order that every peer computes alike.

Owns: prefixes, the order under a tag, seats, standbys, fallbacks, and how a subscriber ranks seats.
Must not know: which ads count (that is the directory's), rooms, or time.

Spec: docs/spec/committee.md. The order takes each network prefix in turn, so that many keys in one network buy no
more seats than one. Work is done only where it can matter: prefixes are hashed once a tag, nodes only in prefixes
that are reached.
"""

from __future__ import annotations

import hashlib
import heapq
import ipaddress
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from railgun.crypto.hashing import HASH_BYTES, keyed_hash
from railgun.limits import COMMITTEE_MAX, COMMITTEE_MIN
from railgun.network import NetworkParameters
from railgun.types import Address, Handle, NodeKey, Role, ServiceMode, Tag
from railgun.wire.records import Ad

NET_LABEL: Final = "railgun/net/v1"
SEAT_LABEL: Final = "railgun/seat/v1"
SEATS_LABEL: Final = "railgun/seats/v1"
RANK_LABEL: Final = "railgun/rank/v1"
SEATS_HASH_BYTES: Final = 8

_RELAY: Final = int(Role.RELAY)
_FALLBACK: Final = int(Role.FALLBACK)

_NOT_GLOBAL_IPV4: Final = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_GLOBAL_IPV6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_GLOBAL_IPV6: Final = tuple(
    ipaddress.IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


@dataclass(frozen=True, slots=True)
class Committee:
    """The relays of one tag, in order; all three parts together are the ranking.

    Attributes:
        tag: R_e, 32 bytes.
        committee_size: K, the room's setting.
        seats: the first n = min(K, available) relays.
        standbys: ranks up to 2K + 2.
        fallbacks: relays of role fallback beyond them, at most 2K + 2.
    """

    tag: Tag
    committee_size: int
    seats: tuple[Ad, ...]
    standbys: tuple[Ad, ...]
    fallbacks: tuple[Ad, ...]

    @property
    def n(self) -> int:
        """How many seats there are: K, or fewer in a network that has not as many relays."""
        return len(self.seats)

    @property
    def majority(self) -> int:
        """Receipts that complete a send: floor(n/2) + 1."""
        return self.n // 2 + 1

    @property
    def seat_keys(self) -> tuple[NodeKey, ...]:
        return tuple(ad.node_key for ad in self.seats)

    @property
    def ranking(self) -> tuple[Ad, ...]:
        """Seats, standbys, fallbacks."""
        return self.seats + self.standbys + self.fallbacks

    def mode(self, attached: Collection[NodeKey]) -> ServiceMode | None:
        """How a room is served for who is ``attached`` to these relays of the ranking; None while to no relay.

        Hybrid where a fallback holds a seat, and where one serves in the place of a dead seat.
        """
        if not attached:
            return None
        serving = (ad for ad in self.ranking if ad.node_key in attached)
        is_hybrid = any(ad.roles.is_fallback for ad in (*self.seats, *serving))
        return ServiceMode.HYBRID if is_hybrid else ServiceMode.VOLUNTEERS

    @property
    def seats_hash(self) -> bytes:
        """8 bytes that two peers compare to see whether they name the same seats in the same order."""
        return seats_hash(self.seat_keys)

    def rank_of(self, node_key: NodeKey) -> int | None:
        """Place in the ranking from 0, or None."""
        return next((rank for rank, ad in enumerate(self.ranking) if ad.node_key == node_key), None)

    def serves(self, node_key: NodeKey) -> bool:
        """Whether the node is of the ranking, and so serves the tag for who proves it."""
        return self.rank_of(node_key) is not None


class RelayPool:
    """Ads sorted into prefixes once, to be ordered under many tags. Immutable.

    Ads without a relaying role, and in public networks those with an address that is not global, are left out.

    Raises:
        ValueError: two ads of one node; which of them counts is the directory's to say.
    """

    __slots__ = ("_count", "_fallbacks", "_relays")

    def __init__(self, ads: Iterable[Ad], network: NetworkParameters) -> None:
        self._place((ad, ad_prefix(ad, network)) for ad in ads)

    @classmethod
    def with_prefixes(cls, placed: Iterable[tuple[Ad, bytes | None]]) -> RelayPool:
        """A pool of ads whose prefixes (see `ad_prefix`) are known already."""
        pool = cls.__new__(cls)
        pool._place(placed)
        return pool

    def _place(self, placed: Iterable[tuple[Ad, bytes | None]]) -> None:
        self._relays: dict[bytes, list[Ad]] = {}
        self._fallbacks: dict[bytes, list[Ad]] = {}
        seen: set[NodeKey] = set()
        for ad, prefix in placed:
            if ad.node_key in seen:
                raise ValueError("two ads of one node")
            seen.add(ad.node_key)
            if prefix is None:
                continue
            roles = int(ad.roles)  # enum's own arithmetic shows at 10,000 ads
            if roles & _RELAY:
                self._relays.setdefault(prefix, []).append(ad)
            if roles & _FALLBACK:
                self._fallbacks.setdefault(prefix, []).append(ad)
        self._count = len(seen)

    def __len__(self) -> int:
        """How many ads were given."""
        return self._count

    def order(self, tag: Tag, committee_size: int) -> Committee:
        """The committee of ``tag`` with K = ``committee_size``. Raises ValueError where K is not 3 to 7."""
        if not COMMITTEE_MIN <= committee_size <= COMMITTEE_MAX:
            raise ValueError(f"a committee has {COMMITTEE_MIN} to {COMMITTEE_MAX} seats")
        ranked = ranks_kept(committee_size)
        relays = _in_order(self._relays, tag, ranked)
        chosen = {ad.node_key for ad in relays}
        # A node of both roles is a relay first; as many more are looked at as may be dropped for that.
        fallbacks = [ad for ad in _in_order(self._fallbacks, tag, 2 * ranked) if ad.node_key not in chosen]
        ranking = (*relays, *fallbacks[:ranked])
        return Committee(
            tag, committee_size, ranking[:committee_size], ranking[committee_size:ranked], ranking[ranked:]
        )

    def prefixes_in_order(self, tag: Tag, most: int) -> list[bytes]:
        """The first ``most`` prefixes of relays under ``tag``."""
        return _prefixes_in_order(self._relays, tag, most)

    def members_in_order(self, tag: Tag, prefix: bytes) -> Sequence[Ad]:
        """All relays of one prefix under ``tag``."""
        members = self._relays.get(prefix, [])
        return _members_in_order(members, tag, len(members))


def order_relays(tag: Tag, ads: Iterable[Ad], network: NetworkParameters, committee_size: int) -> Committee:
    """The committee of one tag from the ads that count (one a node, in any order). See `RelayPool`.

    Whoever orders many tags from the same ads keeps a `RelayPool`. Raises ValueError as that does.
    """
    return RelayPool(ads, network).order(tag, committee_size)


def ranks_kept(committee_size: int) -> int:
    """2K + 2: seats and standbys together."""
    return 2 * committee_size + 2


def ad_prefix(ad: Ad, network: NetworkParameters) -> bytes | None:
    """The prefix that an ad competes in; None where its address cannot count in a public network."""
    if network.is_lan:
        return b"\x00" + ad.node_key
    return address_prefix(ad.address)


def address_prefix(address: Address) -> bytes | None:
    """0x04 and 3 bytes, or 0x06 and 6 bytes, of a global address; None for any other."""
    if not is_global(address):
        return None
    packed = address.packed
    return b"\x04" + packed[:3] if len(packed) == 4 else b"\x06" + packed[:6]


def is_global(address: Address) -> bool:
    """Whether all peers take the address for a public one.

    The blocks are fixed here and in the spec: libraries' own notions differ by version, and peers must agree.
    """
    host = ipaddress.ip_address(address.host)
    if isinstance(host, ipaddress.IPv4Address):
        return not any(host in block for block in _NOT_GLOBAL_IPV4)
    return host in _GLOBAL_IPV6 and not any(host in block for block in _NOT_GLOBAL_IPV6)


def seats_hash(seat_keys: Sequence[NodeKey]) -> bytes:
    """H(-, 'railgun/seats/v1', ordered node keys)[0..8]."""
    return keyed_hash(None, SEATS_LABEL, b"".join(seat_keys))[:SEATS_HASH_BYTES]


def rank_for_handle(handle: Handle, seats: Iterable[NodeKey]) -> tuple[NodeKey, ...]:
    """The seats as the subscriber of this handle ranks them: its primary, its secondary, the others."""
    return tuple(sorted(seats, key=lambda node_key: keyed_hash(None, RANK_LABEL, handle + node_key)))


def interleave(queues: Sequence[Sequence[Ad]], most: int) -> list[Ad]:
    """Round i takes the i-th ad of each queue in turn, until ``most`` are found or all are taken."""
    found: list[Ad] = []
    for index in range(max(map(len, queues), default=0)):
        for queue in queues:
            if len(found) == most:
                return found
            if index < len(queue):
                found.append(queue[index])
    return found


def _in_order(groups: dict[bytes, list[Ad]], tag: Tag, most: int) -> list[Ad]:
    # `most` prefixes fill the first round already, so that later prefixes are never reached.
    prefixes = _prefixes_in_order(groups, tag, most)
    return interleave([_members_in_order(groups[prefix], tag, most) for prefix in prefixes], most)


def _prefixes_in_order(groups: dict[bytes, list[Ad]], tag: Tag, most: int) -> list[bytes]:
    hash_of = _hasher(NET_LABEL, tag)
    return [prefix for _, prefix in heapq.nsmallest(most, [(hash_of(prefix), prefix) for prefix in groups])]


def _members_in_order(members: Sequence[Ad], tag: Tag, most: int) -> Sequence[Ad]:
    if len(members) <= 1:
        return members
    hash_of = _hasher(SEAT_LABEL, tag)
    return heapq.nsmallest(most, members, key=lambda ad: hash_of(ad.node_key))


def _hasher(label: str, start: bytes) -> Callable[[bytes], bytes]:
    """H(-, label, start || x) as a function of x, with the common part absorbed once."""
    base = hashlib.blake2b(label.encode("ascii") + b"\0" + start, digest_size=HASH_BYTES)

    def hash_of(data: bytes) -> bytes:
        state = base.copy()
        state.update(data)
        return state.digest()

    return hash_of
