"""What a member's peer refused, by kind, for `railgun status`: in its rooms, from the DHT, from its relays.

Owns: the kinds' names. Must not know: how anything is refused, how it is shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from railgun.core.client import ClientMachine
from railgun.core.room_refusals import RoomRefusals
from railgun.runtime.dht_client import DhtClient
from railgun.runtime.peer_records import PeerRecords
from railgun.runtime.traversal import TraversalBook


def peer_refusals(
    machine: ClientMachine,
    dht: DhtClient,
    records: PeerRecords,
    traversal: TraversalBook,
    rooms: Iterable[tuple[RoomRefusals, int]],
) -> dict[str, int]:
    """Counts by kind since the peer started, zeros as well. ``rooms``: what was refused of each, and its forked
    authors, which are kept over restarts."""
    found = {field.name: 0 for field in dataclasses.fields(RoomRefusals)}
    forks = 0
    for refused, forked in rooms:
        for kind, count in dataclasses.asdict(refused).items():
            found[kind] += count
        forks += forked
    found["bundles_forged"] += records.counters.keys_forged
    return found | {
        "roster_forks": forks,
        "records_poisoned": dht.counters.records_poisoned,
        "records_malformed": records.counters.payloads_malformed,
        "contacts_forged": records.counters.contacts_forged,
        "servers_unfit": traversal.refused,
        "frames_malformed": machine.counters.malformed_frames,
        "envelopes_unopenable": machine.counters.unopenable,
    }
