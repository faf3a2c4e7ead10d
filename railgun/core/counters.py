"""What a node counts.

Owns: the counters' names. Must not know: who reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from railgun.errors import RefusalCode


@dataclass(slots=True)
class RelayCounters:
    """Counters of a relay since its start; all only grow."""

    envelopes_checked: int = 0
    wrong_size_on_wire: int = 0
    """Envelopes that arrived with a length other than 256, 4096 or 65536 bytes, counted before validation."""
    envelopes_stored: int = 0
    deliveries: int = 0
    """Envelopes handed to subscribers, pulls included."""
    pushes_to_seats: int = 0
    receipts_signed: int = 0
    frames_blocked: int = 0
    malformed_frames: int = 0
    tags_opened: int = 0
    refusals: dict[RefusalCode, int] = field(default_factory=dict)

    def refused(self, code: RefusalCode) -> None:
        self.refusals[code] = self.refusals.get(code, 0) + 1


@dataclass(slots=True)
class ClientCounters:
    """Counters of a client since its start; all only grow."""

    envelopes_received: int = 0
    duplicates_dropped: int = 0
    pulled: int = 0
    audits: int = 0
    hidden_ids_found: int = 0
    published: int = 0
    decoys_sent: int = 0
    """Cover envelopes among the published; one sealed again counts again."""
    republished: int = 0
    resealed: int = 0
    receipts_verified: int = 0
    receipts_refused: int = 0
    malformed_frames: int = 0
    frames_blocked: int = 0
    unopenable: int = 0
