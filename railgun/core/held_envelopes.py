"""Envelopes that a member keeps for members who lack them, should no relay be left to ask.

Owns: the bytes, and which of them give way. Must not know: links, what is inside.
"""

from __future__ import annotations

from collections.abc import Container

from railgun.limits import DIRECT_HELD_BYTES_MAX, DIRECT_HELD_MAX
from railgun.types import EnvelopeId, Tag


class HeldEnvelopes:
    """Of all tags together, the newest."""

    def __init__(self) -> None:
        self._order: dict[tuple[Tag, EnvelopeId], None] = {}
        self._by_tag: dict[Tag, dict[EnvelopeId, bytes]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._order)

    def add(self, tag: Tag, envelope_id: EnvelopeId, envelope: bytes) -> None:
        """Keep one. Idempotent."""
        if (tag, envelope_id) in self._order:
            return
        self._order[tag, envelope_id] = None
        self._by_tag.setdefault(tag, {})[envelope_id] = envelope
        self._bytes += len(envelope)
        while self._bytes > DIRECT_HELD_BYTES_MAX or len(self._order) > DIRECT_HELD_MAX:
            self._drop(*next(iter(self._order)))

    def get(self, tag: Tag, envelope_id: EnvelopeId) -> bytes | None:
        return self._by_tag.get(tag, {}).get(envelope_id)

    def ids(self, tag: Tag) -> list[EnvelopeId]:
        """Of one tag, the oldest first."""
        return list(self._by_tag.get(tag, ()))

    def keep_only(self, tags: Container[Tag]) -> None:
        """All other tags are closed. Idempotent."""
        for tag in [tag for tag in self._by_tag if tag not in tags]:
            for envelope_id in self.ids(tag):
                self._drop(tag, envelope_id)

    def _drop(self, tag: Tag, envelope_id: EnvelopeId) -> None:
        del self._order[tag, envelope_id]
        held = self._by_tag[tag]
        self._bytes -= len(held.pop(envelope_id))
        if not held:
            del self._by_tag[tag]
