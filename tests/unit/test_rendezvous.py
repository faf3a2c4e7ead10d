"""When rendezvous servers are asked and told, in a time that the test sets."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from railgun.cli.status import registration_words, rendezvous_words
from railgun.core.agenda import Agenda
from railgun.core.connector import Connector
from railgun.core.events import PeerConnected
from railgun.errors import LinkLost, RendezvousRefusal, UsageError
from railgun.links.rendezvous import ask_relays
from railgun.runtime.rendezvous import (
    AGAIN_SECONDS_MIN,
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    RelayFinder,
    RelayRegistrar,
    fit_for_invites,
    given_rendezvous,
)
from railgun.types import Address, NetworkId, NodeKey, PeerKey, RelayContact
from tests.support.ads import plain_ad

NETWORK = NetworkId(b"n" * 32)
URL = "wss://rendezvous.example"


def contact(number: int) -> RelayContact:
    return RelayContact(NodeKey(bytes([number]) * 32), (Address("192.0.2.1", number),), bytes(32))


@dataclass
class World:
    """A node that knows relays, and servers that answer as they are told to."""

    now: float = 100.0
    configured: tuple[str, ...] = (URL,)
    invited: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    found: list[RelayContact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connector = Connector(Agenda())
        self.finder = RelayFinder(
            configured=self.configured,
            invited=lambda: self.invited,
            network=NETWORK,
            connector=self.connector,
            add_bootstrap=self.found.append,
            clock=self,
            chooser=random.Random(1),
            ask=self.ask,
        )

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_000_000 + self.now

    async def ask(self, url: str, network: NetworkId) -> tuple[RelayContact, ...]:
        assert network == NETWORK
        self.asked.append(url)
        answer = self.answers.get(url, LinkLost("gone"))
        if isinstance(answer, Exception):
            raise answer
        return tuple(answer)

    def want(self, number: int) -> None:
        self.connector.want("test", contact(number), self.now, [])

    def fail(self, number: int, retry: float | None = None) -> None:
        self.connector.lost(PeerKey(bytes([number]) * 32), retry, self.now)

    def link(self, number: int) -> None:
        key = PeerKey(bytes([number]) * 32)
        self.connector.connected(PeerConnected(key, key, True, False, 0.01, 0.0), self.now)

    async def after(self, seconds: float) -> list[str]:
        """Whom it asked in that time."""
        already = len(self.asked)
        end = self.now + seconds
        while self.now < end:
            self.now += 0.1
            await self.finder.look()
        return self.asked[already:]


async def test_a_server_is_asked_only_once_every_relay_has_failed() -> None:
    world = World(answers={URL: [contact(9)]})
    world.want(1)
    world.want(2)
    assert await world.after(3.0) == []  # they are being dialled
    world.fail(1)
    assert await world.after(3.0) == []  # one may still answer
    world.fail(2)
    assert await world.after(PATIENCE_SECONDS / 2) == []
    assert await world.after(PATIENCE_SECONDS) == [URL]
    assert world.found == [contact(9)]
    status = world.finder.status()
    assert (status.asked, status.relays_given, status.problem) == (1, 1, None)
    assert status.last_asked_at == 1_000_106


async def test_who_has_a_relay_or_is_refused_by_a_living_one_asks_nobody() -> None:
    world = World(answers={URL: [contact(9)]})
    world.want(1)
    world.want(2)
    world.link(1)
    world.fail(2)
    assert await world.after(60.0) == []
    busy = World(answers={URL: [contact(9)]})
    busy.want(1)
    busy.fail(1, retry=5.0)
    assert await busy.after(60.0) == []
    assert busy.finder.status().last_asked_at is None


async def test_who_knows_no_relay_asks_at_once_and_then_ever_more_seldom() -> None:
    world = World(answers={URL: []})
    assert await world.after(1.0) == [URL]
    assert world.finder.status().problem == "the rendezvous server knows no relay of this network"
    assert await world.after(AGAIN_SECONDS_MIN * 0.7) == []
    assert len(await world.after(3_600.0)) in range(6, 16)


async def test_the_next_server_is_asked_where_one_fails_and_none_after_one_that_helps() -> None:
    other = "wss://other.example"
    world = World(configured=(URL, other), answers={URL: [contact(9)], other: [contact(8)]})
    assert len(await world.after(1.0)) == 1
    world = World(configured=(URL, other), answers={URL: [contact(9)]})
    assert (await world.after(1.0))[-1] == URL
    assert world.found == [contact(9)]


async def test_a_server_that_asks_for_time_gets_it_but_no_more_than_ten_minutes() -> None:
    world = World(answers={URL: RendezvousRefusal("full", 300)})
    assert await world.after(1.0) == [URL]
    assert await world.after(200.0) == []
    assert world.finder.status().problem == "refused by the rendezvous server: full, retry after 300 s"
    world = World(answers={URL: RendezvousRefusal("full", 2**32 - 1)})
    assert await world.after(1.0) == [URL]
    assert await world.after(800.0) == [URL]


async def test_an_invite_that_is_opened_meanwhile_does_not_wait_for_an_old_failure() -> None:
    world = World(configured=())
    assert await world.after(60.0) == []
    world.invited.append(URL)
    assert await world.after(0.5) == [URL]


def test_an_invite_makes_nobody_connect_without_tls_outside_a_lan() -> None:
    named = ["ws://192.168.1.1:80/reboot", URL]
    assert fit_for_invites(named, is_lan=False) == [URL]
    assert fit_for_invites(named, is_lan=True) == named


def test_given_servers_are_checked() -> None:
    assert given_rendezvous([URL + "/", URL]) == (URL,)
    with pytest.raises(UsageError, match="rendezvous server's address is"):
        given_rendezvous(["https://x"])
    with pytest.raises(UsageError, match="at most 4"):
        given_rendezvous([f"wss://{n}.example" for n in range(5)])


@pytest.mark.parametrize("url", ["wss://a..b", "wss://" + "a" * 90, "ws://[::1:]:1", "ws://127.0.0.1:1"])
async def test_an_address_that_leads_nowhere_is_no_fault_of_ours(url: str) -> None:
    with pytest.raises(LinkLost):
        await ask_relays(url, NETWORK)


async def test_a_relay_registers_again_when_its_time_is_over_and_waits_where_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes: list[Exception] = [RendezvousRefusal("expired", 0), LinkLost("gone"), RendezvousRefusal("bad_ad")]
    slept: list[float] = []
    done = asyncio.Event()

    async def register(self: RelayRegistrar, registration: Any, ad: Any) -> None:
        registration.is_registered = isinstance(outcomes[0], RendezvousRefusal) and outcomes[0].reason == "expired"
        raise outcomes.pop(0)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not outcomes:
            done.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(RelayRegistrar, "_register", register)
    monkeypatch.setattr("railgun.runtime.rendezvous.asyncio.sleep", sleep)
    registrar = RelayRegistrar([URL], NETWORK, b"S" * 32, lambda: plain_ad(1), random.Random(1))
    (registration,) = registrar.registrations
    serving = asyncio.get_running_loop().create_task(registrar.serve(registration))
    await done.wait()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert slept[0] == LOOK_SECONDS
    assert 1.0 < slept[1] < 3.0
    assert 400 < slept[2] < 800  # somebody has to change something first
    assert registration.problem == "refused by the rendezvous server: bad ad"
    assert not registration.is_registered
    assert "S" * 8 not in repr(registrar)


def test_people_are_told_what_came_of_it() -> None:
    found = {"servers": [URL], "asked": 1, "relays_given": 2, "last_asked_at": 0, "problem": None}
    assert rendezvous_words(found) == ["contact  a rendezvous server was asked at 1970-01-01 00:00Z: 2 relays named"]
    assert "gone" in rendezvous_words(found | {"problem": "gone"})[0]
    assert rendezvous_words(found | {"last_asked_at": None}) == ["contact  no rendezvous server was needed"]
    assert rendezvous_words(found | {"last_asked_at": None, "servers": []}) == []
    registered = {"server": URL, "is_registered": True, "problem": None}
    assert registration_words([registered]) == [f"contact  {URL}: registered"]
    assert registration_words([registered | {"is_registered": False, "problem": "gone"}]) == [f"contact  {URL}: gone"]
    assert "not yet" in registration_words([registered | {"is_registered": False}])[0]
