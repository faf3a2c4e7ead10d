"""How many requests a lookup in a large DHT takes, one after the other.

Owns: the size of the sample. Must not know: how nodes ask, or how tables are filled (`railgun.sim.dht_world`).
"""

from __future__ import annotations

from typing import Final

from railgun.sim.dht_world import DhtWorldOptions, measure_lookups

LOOKUPS: Final = 300
RECORDS: Final = 10


def measure_hops(nodes: int, seed: int, lookups: int = LOOKUPS) -> float:
    """The mean over ``lookups``, all nodes alive, tables as full as they get."""
    options = DhtWorldOptions(nodes=nodes, dead=0, lookups=lookups, records=RECORDS, seed=seed, prefilled=True)
    samples = measure_lookups(options).samples
    return sum(sample.hops for sample in samples) / len(samples)
