"""F3: a relay that forges, drops or corrupts is detected, penalised and blacklisted, with the reason kept; one honest
seat suffices. On real links, through the public API."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from railgun.core.relay import RelayMachine
from railgun.links.pool import ListenAt
from railgun.runtime.relay_host import RelayHost, RelayKeys
from railgun.sim.swarm.liars import LyingRelay
from tests.support.api_lab import Lab, network_of, texts_of

SAID = 20
DELIVERED_SECONDS = 60.0


class _Truthful:
    """A relay's machine as it was before somebody stepped between it and its links."""

    def __init__(self, machine: RelayMachine) -> None:
        self._machine = machine
        self.handle = machine.handle

    def __getattr__(self, name: str) -> object:
        return getattr(self._machine, name)


async def add_liar(lab: Lab, *lies: str) -> RelayHost:
    """A relay of the lab's network that lies from its first link on."""
    keys = RelayKeys.generate(lab.entropy, lab.clock)
    relay = await RelayHost.start(
        keys=keys,
        network=lab.network,
        listen=ListenAt("127.0.0.1", 0),
        bootstrap=lab.bootstrap,
        clock=lab.clock,
        entropy=lab.entropy,
    )
    liar = LyingRelay(_Truthful(relay.machine), keys.seed, lies, random.Random(1))  # type: ignore[arg-type]
    relay.machine.handle = liar.handle  # type: ignore[method-assign,assignment]
    lab.relays.append(relay)
    return relay


@pytest.mark.parametrize("lies", [("corrupts", "forges"), ("drops", "forges")])
async def test_f3_one_honest_seat_delivers_everything_and_the_lies_that_show_are_held_against_who_told_them(
    tmp_path: Path, lies: tuple[str, ...]
) -> None:
    lab = Lab(tmp_path, network_of())
    try:
        honest = await lab.add_relay()
        liars = [await add_liar(lab, *lies) for _ in range(2)]
        ann, bob = await lab.connect("ann"), await lab.connect("bob")
        of_ann, of_bob = await lab.room_of(ann, bob)
        expected = [f"message {number}" for number in range(SAID)]
        reading = asyncio.create_task(texts_of(of_bob, SAID, DELIVERED_SECONDS))
        for text in expected:
            await of_ann.send(text)
        assert sorted(await reading) == sorted(expected)
        keys = {relay.machine.node_key for relay in liars}
        listed = {}
        for peer in (ann, bob):
            listed.update({item.node_key: item for item in peer.status().blacklist})
            # The committee is everyone's, and is not changed by what one peer thinks.
            assert set(peer.status().rooms[0].seats) == {honest.machine.node_key, *keys}
        assert listed.keys() <= keys
        assert listed
        for item in listed.values():
            assert item.reason in ("bad_signature", "conflict")
            assert item.since < item.until
            assert item.detail
    finally:
        await lab.aclose()
