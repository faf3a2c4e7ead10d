"""The envelopes that a seat holds for one tag, numbered in the order of their arrival.

Owns: bodies, numbers, ids, who else holds what, whose publish it was, the receipts seen.
Must not know: links, clocks, signatures.

Nothing held is evicted before the tag ends: an acknowledged envelope stays. What does not fit is
refused on arrival instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from railgun.limits import TAG_BYTES_MAX
from railgun.types import EnvelopeId, NodeKey, PeerKey
from railgun.wire.frames import Receipt

PUBLISHERS_PER_ENVELOPE_MAX = 4
"""A message has one author, who may come over a few links in turn; more would be a way to fill memory."""


@dataclass(slots=True)
class Held:
    """One envelope held.

    ``source`` is the seat that brought the body, None when a client did. ``holders`` are the other seats known to
    hold it. ``receipts`` are other seats' receipts, kept for the publisher.
    """

    number: int
    envelope_id: EnvelopeId
    envelope: bytes
    source: NodeKey | None
    publishers: list[PeerKey] = field(default_factory=list)
    holders: set[NodeKey] = field(default_factory=set)
    receipts: dict[NodeKey, Receipt] = field(default_factory=dict)
    unranked_receipts: int = 0

    def add_publisher(self, peer: PeerKey) -> None:
        """Remember who waits for receipts; the oldest gives way."""
        if peer in self.publishers:
            return
        if len(self.publishers) >= PUBLISHERS_PER_ENVELOPE_MAX:
            self.publishers.pop(0)
        self.publishers.append(peer)


class TagStore:
    """Numbered envelopes of one tag. Numbers start at 1 and have no gaps."""

    def __init__(self, bytes_max: int = TAG_BYTES_MAX) -> None:
        self._by_number: list[Held] = []
        self._by_id: dict[EnvelopeId, Held] = {}
        self._fingerprint = 0
        self._bytes_max = bytes_max
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def last_number(self) -> int:
        return len(self._by_number)

    @property
    def fingerprint(self) -> bytes:
        """XOR of all ids held, 16 bytes."""
        return self._fingerprint.to_bytes(16, "big")

    def has_room_for(self, envelope: bytes) -> bool:
        return self.held_bytes + len(envelope) <= self._bytes_max

    def get(self, envelope_id: EnvelopeId) -> Held | None:
        return self._by_id.get(envelope_id)

    def by_number(self, number: int) -> Held | None:
        return self._by_number[number - 1] if 1 <= number <= len(self._by_number) else None

    def insert(self, envelope_id: EnvelopeId, envelope: bytes, source: NodeKey | None) -> Held:
        """Add an envelope that is not held yet and give it the next number."""
        held = Held(len(self._by_number) + 1, envelope_id, envelope, source)
        if source is not None:
            held.holders.add(source)
        self._by_number.append(held)
        self._by_id[envelope_id] = held
        self._fingerprint ^= int.from_bytes(envelope_id, "big")
        self.held_bytes += len(envelope)
        return held

    def ids_from(self, first_number: int, count: int) -> tuple[EnvelopeId, ...]:
        """Up to ``count`` ids, from ``first_number`` on."""
        first = max(first_number, 1) - 1
        return tuple(held.envelope_id for held in self._by_number[first : first + count])

    def since(self, first_number: int) -> Iterator[Held]:
        """All held with a number from ``first_number`` on, in order."""
        return iter(self._by_number[max(first_number, 1) - 1 :])
