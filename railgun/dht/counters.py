"""What a node of the DHT counts.

Owns: the counters' names. Must not know: who reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from railgun.errors import RefusalCode


@dataclass(slots=True)
class DhtCounters:
    """Counters since the start; all only grow."""

    datagrams_received: int = 0
    datagrams_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    requests_sent: int = 0
    requests_answered: int = 0
    """Requests of others that got an answer."""
    answers_received: int = 0
    unanswered: int = 0
    """Requests of ours that expired."""
    malformed: int = 0
    wrong_network: int = 0
    wrong_destination: int = 0
    forged: int = 0
    """Datagrams whose MAC or signature does not hold."""
    outside_window: int = 0
    """Requests whose time is too far from ours."""
    rate_limited: int = 0
    strangers_limited: int = 0
    answers_unexpected: int = 0
    """Answers that nobody asked for, among them late, repeated and invented ones."""
    answers_from_elsewhere: int = 0
    """Answers to a request of ours from another address or key than it was sent to."""
    answers_too_long: int = 0
    """Answers kept back since they were longer than what an unproved address had sent."""
    contacts_refused: int = 0
    """Contacts in answers that are no addresses to ask."""
    records_stored: int = 0
    records_poisoned: int = 0
    """Records in answers that are forged, expired, from the future, or under the wrong key."""
    records_refused: dict[RefusalCode, int] = field(default_factory=dict)
    records_from_future: int = 0
    """Of those refused as outside the window; the rest have expired."""
    records_evicted: int = 0
    records_expired: int = 0
    lookups: int = 0
    lookups_certain: int = 0
    internal_errors: int = 0

    def refused(self, code: RefusalCode) -> None:
        self.records_refused[code] = self.records_refused.get(code, 0) + 1
