"""C10: N relays carry about 1/N of the traffic each."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from railgun.crypto.epoch import derive_epoch_keys, epoch_start
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.receipts import sign_tag_descriptor
from railgun.crypto.sealing import seal_envelope
from railgun.sim.committee import CommitteeScenario, simulate_committees
from railgun.types import EnvelopeKind, RoomId, SizeClass
from railgun.wire.envelope import NO_HINT
from railgun.wire.frames import Deliver, Publish, Subscribed
from tests.requirements.real import bare_clients, handle_of, relays_agree
from tests.support.api_lab import lab

RELAYS, ROOMS, CLIENTS = 6, 40, 10
LEAST, MOST = 0.3, 1.9
"""Of the mean. Forty rooms that pick three of six relays vary by about 0.16 of it: these bounds are over four times
that."""


@pytest.mark.slow
async def test_c10_the_deliveries_of_many_rooms_spread_over_all_relays(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=RELAYS) as net, bare_clients(net, CLIENTS) as clients:
        anna = await net.connect("anna")
        await relays_agree(net, anna)
        await asyncio.gather(*(client.link_to(net.relays) for client in clients))
        wall = net.clock.wall()
        for number in range(ROOMS):
            secret = keyed_hash(None, "test/room", net.relays[0].machine.node_key + bytes([number]))
            start = epoch_start(wall, RoomId(secret), net.network.epoch_seconds)
            keys = derive_epoch_keys(secret, 1, start)
            committee = net.relays[0].machine.directory.committee(keys.tag, start, 3, wall)
            descriptor = sign_tag_descriptor(keys, 3, 0)
            seats = [
                client.subscribe(keys, descriptor, committee, handle_of(CLIENTS * number + place))
                for place, client in enumerate(clients)
            ]
            await asyncio.gather(*(client.until_count(Subscribed, number + 1) for client in clients))
            envelope = seal_envelope(keys, EnvelopeKind.SEALED, NO_HINT, b"", SizeClass.SMALL, secret[:12])
            clients[0].send(seats[0], Publish(envelope, committee.seats_hash, None))
        # All but the publisher of each are delivered to.
        for client in clients[1:]:
            await client.until_count(Deliver, ROOMS)
        carried = [relay.machine.counters.deliveries for relay in net.relays]
        assert sum(carried) >= ROOMS * (CLIENTS - 1)
        mean = sum(carried) / RELAYS
        assert all(LEAST * mean < count < MOST * mean for count in carried), carried


@pytest.mark.slow
def test_c10_in_a_large_network_no_relay_carries_much_more_than_chance_would_have_it() -> None:
    scenario = CommitteeScenario(relays=100, rooms=1_000, views=0, epochs=6, seed=1)
    result = simulate_committees(scenario, time.monotonic)
    assert result.load_max_over_mean <= 1.5 * result.load_max_over_mean_random
