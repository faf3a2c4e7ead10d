"""What a node does in the DHT, and what it refuses, as plain values for `railgun status`.

Owns: the names of the reasons. Must not know: how anything is refused.
"""

from __future__ import annotations

from typing import Any

from railgun.dht.counters import DhtCounters
from railgun.errors import RefusalCode
from railgun.runtime.dht_client import DhtClient
from railgun.runtime.relay_dht import RelayDht


def relay_dht_status(dht: RelayDht) -> dict[str, Any]:
    """Of a relay: its node's contacts and records, what it did for clients, and what it refused since its start."""
    node, desk = dht.node, dht.desk
    return {
        "contacts": len(node.table),
        "records": len(node.store),
        "lookups": node.counters.lookups,
        "client_asks": desk.served,
        "client_asks_declined": sum(desk.declined.values()),
        "refused": {"contacts_of_one_network": node.table.crowded, **refused(node.counters)},
    }


def refused(counters: DhtCounters) -> dict[str, int]:
    """How often what was refused, by reason."""
    by_code = counters.records_refused
    outside = by_code.get(RefusalCode.OUTSIDE_WINDOW, 0)
    return {
        "datagrams_malformed": counters.malformed,
        "datagrams_of_another_network": counters.wrong_network,
        "datagrams_to_another_id": counters.wrong_destination,
        "datagrams_forged": counters.forged,
        "clock_skewed": counters.outside_window,
        "rate_limited": counters.rate_limited + counters.strangers_limited,
        "answers_unexpected": counters.answers_unexpected,
        "answers_from_elsewhere": counters.answers_from_elsewhere,
        "contacts_unfit": counters.contacts_refused,
        "records_poisoned": counters.records_poisoned + by_code.get(RefusalCode.BAD_SIGNATURE, 0),
        "records_malformed": by_code.get(RefusalCode.MALFORMED, 0),
        "records_expired": outside - counters.records_from_future,
        "records_from_the_future": counters.records_from_future,
        "records_outdated": by_code.get(RefusalCode.CONFLICT, 0),
        "records_too_many": by_code.get(RefusalCode.QUOTA_EXCEEDED, 0),
    }


def member_dht_status(dht: DhtClient) -> dict[str, Any]:
    """Of a member: what it asked its relays for since its start, and what it refused of their answers."""
    counters = dht.counters
    return {
        "asks": counters.asks_sent,
        "asks_declined": counters.asks_declined,
        "asks_unanswered": counters.asks_unanswered,
        "refused": {
            "answers_unexpected": counters.answers_unexpected,
            "records_poisoned": counters.records_poisoned,
        },
    }
