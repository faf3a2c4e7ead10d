"""C14: a network of 20 relays whose first two, from which all others started, are gone for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from railgun import Room
from railgun.ports import Write
from railgun.runtime.identity import create_member_profile
from railgun.runtime.peer import open_peer
from railgun.runtime.profile import Profile, ProfileKind, create_profile, open_profile
from railgun.runtime.relay_dht import STATE_KEY
from railgun.runtime.relay_host import RelayHost, RelayKeys
from tests.support.many_relays import ManyRelays, many_relays

RELAYS = 20
DEAD = 2
JOIN_SECONDS = 3.0


@pytest.mark.slow
async def test_c14_newcomers_and_old_ones_come_in_without_the_first_two(tmp_path: Path) -> None:
    async with many_relays(RELAYS) as net:
        profile = tmp_path / "old"
        for name in ("old", "friend"):
            create_member_profile(tmp_path / name, net.entropy, net.clock, name=name)
        first, second = net.relays[:DEAD]
        contacts = [first.contact, second.contact]
        async with await open_peer(tmp_path / "friend", network=net.network, bootstrap=contacts) as friend:
            here = await friend.create_room("ops")
            async with await open_peer(profile, network=net.network, bootstrap=contacts) as old:
                await old.join(here.invite())
                assert await old.wait_until(lambda: old.status().relays_known == RELAYS, 20.0)
            for relay in (first, second):
                await net.die(relay)
            await _an_old_member(net, profile, here)
        await _a_new_member(net, tmp_path / "new")
        await _a_new_relay(net)


async def _an_old_member(net: ManyRelays, profile: Path, elsewhere: Room) -> None:
    """It is given nobody: it knows whom it remembers. Its first word reaches a friend in time, by relays that live."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with await open_peer(profile, network=net.network) as old, asyncio.timeout_at(began + JOIN_SECONDS):
        sending = asyncio.create_task(old.room("ops").send("still here"))
        assert await old.wait_until(lambda: old.status().relays_linked > 0, JOIN_SECONDS)
        async for message in elsewhere.messages():
            if message.text == "still here":
                break
        assert loop.time() - began < JOIN_SECONDS
        sent = await sending
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


@contextmanager
def _relay_profile(path: Path, net: ManyRelays) -> Iterator[Profile]:
    if not path.exists():
        made = RelayKeys.generate(net.entropy, net.clock)
        create_profile(path, ProfileKind.RELAY, net.entropy, initial_writes=made.writes())
    with open_profile(path, net.entropy) as profile:
        yield profile


@pytest.mark.slow
async def test_c14_a_relay_comes_back_by_what_it_remembers(tmp_path: Path) -> None:
    """Once by the relays that it knew, once by nothing but its DHT's contacts; whom it is given is dead."""
    async with many_relays(6) as net:
        first, second = net.relays[:2]
        given = [first.contact, second.contact]
        path = tmp_path / "relay"
        with _relay_profile(path, net) as profile:
            relay = await net.add(given, RelayKeys.load(profile.store), profile.store)
            await net.know_each_other(net.relays)
            await relay.aclose()
        net.relays.remove(relay)
        for dead in (first, second):
            await net.die(dead)
        for remembers_relays in (True, False):
            with _relay_profile(path, net) as profile:
                store = profile.store
                if not remembers_relays:
                    store.commit([Write("contacts", key, None) for key, _ in store.load("contacts")])
                relay = await net.add(given, RelayKeys.load(store), store)

                def is_back(relay: RelayHost = relay) -> bool:
                    directory = relay.machine.directory.directory
                    others = [one.machine.node_key for one in net.relays if one is not relay]
                    return len(relay.dht.node.table) > 0 and all(directory.newest_ad(key) is not None for key in others)

                assert await relay.wait_until(is_back, JOIN_SECONDS)
                await relay.aclose()
            net.relays.remove(relay)


async def test_c14_what_is_remembered_of_the_dht_may_be_damaged(tmp_path: Path) -> None:
    async with many_relays(2) as net:
        with _relay_profile(tmp_path / "relay", net) as profile:
            await _damaged(net, profile)


async def _damaged(net: ManyRelays, profile: Profile) -> None:
    profile.store.commit([Write("settings", STATE_KEY, b"\x00 nonsense"), Write("contacts", b"key", b"\xff")])
    relay = await net.add([net.relays[0].contact], RelayKeys.load(profile.store), profile.store)
    await net.know_each_other(net.relays)
    await relay.aclose()
    assert (profile.store.get("settings", STATE_KEY) or b"") != b"\x00 nonsense"
