"""The routing table: the library's buckets, with limits per network, a clock that is passed in, and exact answers.

Owns: which contacts are kept, which give way, and who is nearest to a key.
Must not know: datagrams, or how a contact was proved: whoever calls `add_contact` has done that.

Spec: docs/spec/dht.md. Replaced here of `kademlia.routing`: the ambient clock; the ranges, which left one id between
two buckets; `find_neighbors`, which took contacts from both sides in turn instead of the nearest; the ping that a full
bucket started as a task of nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from kademlia.routing import KBucket, RoutingTable

from railgun.dht.contacts import ID_BITS, Contact
from railgun.limits import DHT_BUCKET_CONTACTS, DHT_CONTACTS_MAX, DHT_CONTACTS_PER_PREFIX_MAX
from railgun.types import NodeId

_REPLACEMENTS_FACTOR = 1
"""Replacements kept a bucket, in buckets."""
_SPLIT_DEPTH = 1
"""A bucket away from the own id is split until its contacts share a multiple of so many bits. The library's 5 would
make tables several times as large, all of it to be kept alive, for a quarter of a round less."""


class Bucket(KBucket):  # type: ignore[misc] # the library has no types
    """Contacts of one range of ids, both ends included; the longest unheard first."""

    range: tuple[int, int]

    def __init__(
        self, lower: int, upper: int, contacts_max: int, *, per_prefix_max: int | None, now: Callable[[], float]
    ) -> None:
        self._now = now
        self._per_prefix_max = per_prefix_max
        super().__init__(lower, upper, contacts_max, _REPLACEMENTS_FACTOR)

    def touch_last_updated(self) -> None:
        """A lookup went through here."""
        self.last_updated = self._now()

    def split(self) -> tuple[Bucket, Bucket]:
        """Two buckets of half the range each, with this one's contacts."""
        lower, upper = self.range
        middle = (lower + upper) // 2
        halves = tuple(
            Bucket(first, last, self.ksize, per_prefix_max=self._per_prefix_max, now=self._now)
            for first, last in ((lower, middle), (middle + 1, upper))
        )
        for contact in chain(self.nodes.values(), self.replacement_nodes.values()):
            halves[contact.long_id > middle].add_node(contact)
        for half in halves:
            half.last_updated = self.last_updated
        return halves[0], halves[1]

    def add_node(self, node: Contact) -> bool:
        """Keep ``node`` as the last heard; False if it was refused or only noted as a replacement."""
        if not self.has_room_for_prefix(node):
            return False
        self.replacement_nodes.pop(node.id, None)
        return bool(super().add_node(node))

    def has_room_for_prefix(self, contact: Contact) -> bool:
        """Whether fewer others of its /24 are here than may be."""
        if self._per_prefix_max is None:
            return True
        near = [one for one in self.nodes.values() if one.prefix == contact.prefix and one.id != contact.id]
        return len(near) < self._per_prefix_max

    def remove_node(self, node: Contact) -> None:
        """Forget ``node``; the newest replacement that its prefix allows takes the place."""
        self.replacement_nodes.pop(node.id, None)
        if self.nodes.pop(node.id, None) is None:
            return
        for candidate in reversed(list(self.replacement_nodes.values())):
            if self.has_room_for_prefix(candidate):
                del self.replacement_nodes[candidate.id]
                self.nodes[candidate.id] = candidate
                return

    def depth(self) -> int:
        """Leading bits that the contacts' ids share; 160 for none or one."""
        ids = [contact.long_id for contact in self.nodes.values()]
        return ID_BITS - (min(ids, default=0) ^ max(ids, default=0)).bit_length()

    def contacts(self) -> Iterator[Contact]:
        """The longest unheard first."""
        return iter(self.nodes.values())


class Table(RoutingTable):  # type: ignore[misc] # the library has no types
    """All buckets of one node."""

    buckets: list[Bucket]

    def __init__(
        self,
        own: Contact | Any,
        *,
        is_lan: bool,
        now: Callable[[], float],
        contacts_max: int = DHT_BUCKET_CONTACTS,
        split_depth: int = _SPLIT_DEPTH,
    ) -> None:
        """``own`` is the node's own id as the library's Node. ``now`` gives monotonic seconds."""
        self._now = now
        self._per_prefix_max = None if is_lan else DHT_CONTACTS_PER_PREFIX_MAX
        self._split_depth = split_depth
        self._count = 0
        self.crowded = 0
        """Contacts passed over since their network has as many as it may have in a bucket."""
        super().__init__(None, contacts_max, own)

    def flush(self) -> None:
        """Forget everyone."""
        self.buckets = [Bucket(0, 2**ID_BITS - 1, self.ksize, per_prefix_max=self._per_prefix_max, now=self._now)]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def contacts(self) -> list[Contact]:
        """All contacts, by bucket in ascending order of ids."""
        return [contact for bucket in self.buckets for contact in bucket.contacts()]

    def get(self, node_id: NodeId) -> Contact | None:
        """The contact with this id, if it is here."""
        bucket = self.bucket_of(int.from_bytes(node_id, "big"))
        contact: Contact | None = bucket[node_id]
        return contact

    def get_bucket_for(self, node: Any) -> int:
        """The index of the bucket in whose range the id lies."""
        low, high = 0, len(self.buckets) - 1
        while low < high:
            middle = (low + high) // 2
            if node.long_id > self.buckets[middle].range[1]:
                low = middle + 1
            else:
                high = middle
        return low

    def bucket_of(self, long_id: int) -> Bucket:
        """The bucket in whose range an id lies."""
        return next(bucket for bucket in self.buckets if long_id <= bucket.range[1])

    def wants(self, contact: Contact) -> bool:
        """Whether a contact not yet here would be kept."""
        if contact.id == self.node.id:
            return False
        index = self.get_bucket_for(contact)
        bucket = self.buckets[index]
        if contact.id in bucket.nodes or not (len(bucket) < bucket.ksize or self._may_split(bucket)):
            return False
        has_room: bool = bucket.has_room_for_prefix(contact)
        self.crowded += not has_room
        return has_room

    def add_contact(self, node: Contact) -> Contact | None:
        """Keep a contact that has just been proved. Returns the contact to ask whether it is still there, when the
        bucket is full: if it is not, remove it, and the new one takes its place."""
        if node.id == self.node.id:
            return None
        while True:
            index = self.get_bucket_for(node)
            bucket = self.buckets[index]
            before = len(bucket)
            if bucket.add_node(node):
                self._count += len(bucket) - before
                return None
            if node.id not in bucket.replacement_nodes:
                self.crowded += 1
                return None  # its prefix has enough
            if not self._may_split(bucket):
                return next(bucket.contacts())
            bucket.replacement_nodes.pop(node.id)
            self.split_bucket(index)
            self._count += len(self.buckets[index]) + len(self.buckets[index + 1]) - before

    def _may_split(self, bucket: Bucket) -> bool:
        if bucket.range[0] == bucket.range[1] or self._count >= DHT_CONTACTS_MAX:
            return False
        if bucket.has_in_range(self.node):
            return True
        return self._split_depth > 1 and bucket.depth() % self._split_depth != 0

    def remove_contact(self, node: Contact) -> None:
        """Forget a contact that does not answer."""
        bucket = self.buckets[self.get_bucket_for(node)]
        before = len(bucket)
        bucket.remove_node(node)
        self._count += len(bucket) - before

    def touch(self, target: Any) -> None:
        """Note that a lookup for ``target`` goes through its bucket."""
        self.buckets[self.get_bucket_for(target)].touch_last_updated()

    def stale_buckets(self, older_than_seconds: float) -> list[Bucket]:
        """Buckets that no lookup went through for so long."""
        limit = self._now() - older_than_seconds
        return [bucket for bucket in self.buckets if bucket.last_updated < limit]

    def find_neighbors(self, node: Any, k: int | None = None, exclude: Any = None) -> list[Contact]:
        """The ``k`` contacts nearest to ``node``'s id, nearest first, without ``exclude`` and without itself."""
        wanted = self.ksize if k is None else k
        target = node.long_id
        found: list[tuple[int, Contact]] = []
        # A bucket is a subtree: all of one are nearer to the target than all of the next in this order.
        for bucket in sorted(self.buckets, key=lambda one: (one.range[0] ^ target) & ~(one.range[1] - one.range[0])):
            if len(found) >= wanted:
                break
            here = [
                (target ^ contact.long_id, contact)
                for contact in bucket.nodes.values()
                if contact.long_id != target and (exclude is None or contact.id != exclude.id)
            ]
            here.sort(key=lambda pair: pair[0])
            found.extend(here)
        return [contact for _, contact in found[:wanted]]

    def holder_distance(self, replicas: int) -> int:
        """Within what distance of a key its ``replicas`` nearest nodes can be expected, from how densely the own
        neighbourhood is settled; twice that, since the guess rests on few."""
        nearest = self.find_neighbors(self.node, self.ksize)
        if len(nearest) < self.ksize:
            return int(2**ID_BITS)
        span = nearest[-1].long_id ^ self.node.long_id
        return int(min(2**ID_BITS, 2 * span * replicas // len(nearest)))
