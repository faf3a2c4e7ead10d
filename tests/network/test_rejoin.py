"""A network of 20 relays whose first two, from which all others started, are gone for good (C1, C14)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from railgun.runtime.identity import create_member_profile
from railgun.runtime.peer import open_peer
from tests.support.many_relays import ManyRelays, many_relays

RELAYS = 20
DEAD = 2
JOIN_SECONDS = 3.0


@pytest.mark.slow
async def test_newcomers_and_old_ones_come_in_without_the_first_two(tmp_path: Path) -> None:
    async with many_relays(RELAYS) as net:
        profile = tmp_path / "old"
        create_member_profile(profile, net.entropy, net.clock, name="old")
        first, second = net.relays[:DEAD]
        async with await open_peer(profile, network=net.network, bootstrap=[first.contact, second.contact]) as old:
            assert await old.wait_until(lambda: old.status().relays_known == RELAYS, 20.0)
        for relay in (first, second):
            await net.die(relay)
        await _an_old_member(net, profile)
        await _a_new_member(net, tmp_path / "new")
        await _a_new_relay(net)


async def _an_old_member(net: ManyRelays, profile: Path) -> None:
    """It is given nobody: it knows whom it remembers."""
    async with await open_peer(profile, network=net.network) as old:
        assert await old.wait_until(lambda: old.status().relays_linked > 0, JOIN_SECONDS)
        room = await old.create_room("again")
        sent = await room.send("still here")
        assert sent.receipts * 2 > sent.of


async def _a_new_member(net: ManyRelays, profile: Path) -> None:
    """It is given one relay, any that lives."""
    create_member_profile(profile, net.entropy, net.clock, name="new")
    async with await open_peer(profile, network=net.network, bootstrap=[net.relays[7].contact]) as new:

        def is_in() -> bool:
            status = new.status()
            return status.relays_linked > 0 and status.relays_known >= RELAYS - DEAD

        assert await new.wait_until(is_in, JOIN_SECONDS), new.status()


async def _a_new_relay(net: ManyRelays) -> None:
    """It is given one relay, any that lives, and finds the others; and they find it, through the DHT as well."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    others = [relay.machine.node_key for relay in net.relays]
    new = await net.add([net.relays[11].contact])

    def is_in() -> bool:
        directory = new.machine.directory.directory
        return len(new.dht.node.table) > 0 and all(directory.newest_ad(key) is not None for key in others)

    assert await new.wait_until(is_in, JOIN_SECONDS)
    assert loop.time() - began < JOIN_SECONDS
    own = new.machine.node_key
    oldest = net.relays[0]
    assert await oldest.wait_until(lambda: oldest.machine.directory.directory.newest_ad(own) is not None, 20.0)
