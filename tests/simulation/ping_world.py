"""A world of pinging toys; run as a program it prints its digest, so that a test can vary the hash seed.

Arguments: seed, pingers, virtual seconds, milliseconds added to one pair's delay.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from railgun.sim.network_model import NetworkModel
from railgun.sim.virtual_node import MachineFactory
from railgun.sim.world import World
from railgun.types import RelayContact
from tests.simulation.toys import Echo, Pinger, contact_of, key_of

RELAYS = 10


def pinger_factory(seed: int, contacts: Sequence[RelayContact]) -> MachineFactory:
    return lambda persisted: Pinger(seed, contacts, interval=1.0)


def ping_world(seed: int, pingers: int, added_ms: int = 0) -> World:
    pair = ("pinger-0", "relay-0")
    delay = World(seed).sampler.pair_delay_seconds(*pair)
    model = NetworkModel(loss=0.01, delays_seconds={pair: delay + added_ms / 1000})
    world = World(seed, model)
    for number in range(RELAYS):
        world.add_node(f"relay-{number}", key_of(number), True, Echo)
    for number in range(pingers):
        contacts = [contact_of(key_of((number + step) % RELAYS)) for step in range(3)]
        world.add_node(f"pinger-{number}", key_of(1000 + number), False, pinger_factory(number, contacts))
    return world


def main(arguments: list[str]) -> None:
    seed, pingers, seconds, added_ms = (int(argument) for argument in arguments)
    world = ping_world(seed, pingers, added_ms)
    began = time.perf_counter()
    world.run(seconds)
    took = time.perf_counter() - began
    print(world.trace_digest())
    print(f"{world.events} events, {world.events / took:,.0f} a second", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
