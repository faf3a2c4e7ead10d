"""Several rendezvous servers that share presence through a real nats-server, as processes of their own."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import railgun_signaling.nats_presence as nats_module
from railgun.crypto.rendezvous import MailboxKey
from railgun.errors import LinkLost, RendezvousRefusal
from railgun.links.rendezvous import ask_relays, open_mailbox, registered_relay
from railgun.runtime.system import SystemEntropy
from railgun.types import NetworkId
from tests.support.ads import seed_of, signed_ad
from tests.support.signaling_lab import (
    NatsServer,
    ServerProcess,
    configuration,
    get,
    health,
    poll,
    running,
    until,
    url_of,
)

pytestmark = pytest.mark.processes

ENTROPY = SystemEntropy()
NETWORK = NetworkId(b"n" * 32)


def fresh() -> MailboxKey:
    return MailboxKey.of(ENTROPY.random_bytes(32))


@pytest.fixture
def started(tmp_path: Path) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def nats(started: ExitStack, tmp_path: Path) -> NatsServer:
    server = NatsServer(tmp_path)
    started.callback(server.end)
    return server


@pytest.fixture
async def three(started: ExitStack, nats: NatsServer, tmp_path: Path) -> list[ServerProcess]:
    servers = []
    for _ in range(3):
        servers.append(ServerProcess(tmp_path, "--port", "0", "--nats", nats.url, environ=ROOMY))
        started.callback(servers[-1].end)
    for server in servers:
        await connected(server.port)
    return servers


ROOMY = {
    "RAILGUN_SIGNALING_LIMITS_ARRIVALS_PER_SECOND": "10000",
    "RAILGUN_SIGNALING_LIMITS_ARRIVALS_BURST": "100000",
}


async def connected(port: int, state: str = "connected") -> None:
    async def now() -> object:
        return (await health(port))["nats"]

    await poll(now, state)


async def gone(port: int, key: MailboxKey, sender_url: str) -> None:
    """Until nobody is told of the mailbox any more."""
    async with asyncio.timeout(30), open_mailbox(sender_url, fresh(), ENTROPY) as at:
        while True:
            try:
                await at.send(key.public, b"are you there?")
            except RendezvousRefusal as refused:
                if refused.reason == "absent":
                    return


async def test_mailboxes_on_three_instances_reach_each_other(three: list[ServerProcess]) -> None:
    ann, ben, cleo = fresh(), fresh(), fresh()
    async with (
        open_mailbox(three[0].url, ann, ENTROPY) as at_ann,
        open_mailbox(three[1].url, ben, ENTROPY) as at_ben,
        open_mailbox(three[2].url, cleo, ENTROPY) as at_cleo,
    ):
        await at_ann.send(ben.public, b"one")
        await at_ben.send(cleo.public, b"two")
        await at_cleo.send(ann.public, b"three")
        assert await at_ben.receive() == (ann.public, b"one")
        assert await at_cleo.receive() == (ben.public, b"two")
        assert await at_ann.receive() == (cleo.public, b"three")
        with pytest.raises(RendezvousRefusal, match="absent"):
            await at_ann.send(fresh().public, b"nobody")
        with pytest.raises(RendezvousRefusal, match="occupied"):
            async with open_mailbox(three[1].url, ann, ENTROPY):
                raise AssertionError
    _, text = await asyncio.to_thread(get, three[0].port, "/metrics")
    assert "railgun_signaling_blobs_remote_total 1" in text
    assert "railgun_signaling_blobs_taken_total 1" in text


async def test_an_instance_that_is_killed_takes_its_mailboxes_along_and_the_others_go_on(
    three: list[ServerProcess],
) -> None:
    ann, ben, cleo = fresh(), fresh(), fresh()
    async with open_mailbox(three[0].url, ann, ENTROPY) as at_ann, open_mailbox(three[1].url, ben, ENTROPY) as at_ben:
        async with open_mailbox(three[2].url, cleo, ENTROPY) as at_cleo:
            await at_ann.send(cleo.public, b"before")
            assert (await at_cleo.receive())[1] == b"before"
            three[2].end(signal.SIGKILL)
            with pytest.raises(LinkLost):
                await at_cleo.receive()
        await gone(three[0].port, cleo, three[0].url)
        async with open_mailbox(three[1].url, cleo, ENTROPY) as at_cleo:  # it comes back elsewhere
            await at_ann.send(cleo.public, b"after")
            assert (await at_cleo.receive())[1] == b"after"
        await at_ann.send(ben.public, b"on we go")
        assert (await at_ben.receive())[1] == b"on we go"


async def test_a_relay_that_registers_at_one_is_handed_out_by_all_until_it_goes(three: list[ServerProcess]) -> None:
    ad = signed_ad(1, int(time.time()), host="127.0.0.1")

    async def handed_out(by: ServerProcess, wanted: tuple[object, ...]) -> None:
        await poll(lambda: ask_relays(by.url, NETWORK), wanted)

    async with registered_relay(three[0].url, NETWORK, seed_of(1), ad.encoded, ad.ad.address):
        for server in three:
            await handed_out(server, (ad.ad.contact(),))
    for server in three:
        await handed_out(server, ())


async def test_without_nats_an_instance_says_so_serves_its_own_and_comes_back(
    started: ExitStack, nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_module, "RECONNECT_SECONDS", 0.05)
    ann, ben, cleo = fresh(), fresh(), fresh()
    async with running(configuration(nats=nats.url)) as one, running(configuration(nats=nats.url)) as two:
        for server in (one, two):
            await connected(server.port)
        async with (
            open_mailbox(url_of(one), ann, ENTROPY) as at_ann,
            open_mailbox(url_of(one), ben, ENTROPY) as at_ben,
            open_mailbox(url_of(two), cleo, ENTROPY) as at_cleo,
        ):
            nats.end(signal.SIGKILL)
            await connected(one.port, "lost")
            await connected(two.port, "lost")
            assert (await health(one.port))["status"] == "degraded"
            await at_ann.send(ben.public, b"a local pair")
            assert (await at_ben.receive())[1] == b"a local pair"
            with pytest.raises(RendezvousRefusal, match="absent"):
                await at_ann.send(cleo.public, b"elsewhere")
            again = NatsServer(tmp_path, nats.port)
            started.callback(again.end)
            for server in (one, two):
                await connected(server.port)
            await until(lambda: len(two._nats._subscriptions) == 1)
            async with asyncio.timeout(30):
                while True:
                    try:
                        await at_ann.send(cleo.public, b"elsewhere")
                        break
                    except RendezvousRefusal:
                        continue  # the subscription is on its way to the new NATS server
            assert (await at_cleo.receive())[1] == b"elsewhere"
            assert one.metrics.value("presence_losses_total") == 1
            assert (await health(one.port))["status"] == "ok"


async def test_an_instance_starts_without_nats_and_finds_it_later(
    started: ExitStack, nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_module, "RECONNECT_SECONDS", 0.05)
    nats.end()
    key, other = fresh(), fresh()
    async with running(configuration(nats=nats.url)) as early, open_mailbox(url_of(early), key, ENTROPY) as at_key:
        assert (await health(early.port))["nats"] == "lost"
        again = NatsServer(tmp_path, nats.port)
        started.callback(again.end)
        await connected(early.port)
        async with running(configuration(nats=again.url)) as late:
            await connected(late.port)
            async with open_mailbox(url_of(late), other, ENTROPY) as at_other:
                await at_other.send(key.public, b"found")
            assert (await at_key.receive())[1] == b"found"


async def test_what_is_no_word_of_an_instance_is_refused_and_harms_nothing(nats: NatsServer) -> None:
    from nats.aio.client import Client

    key = fresh()
    async with running(configuration(nats=nats.url)) as server:
        await connected(server.port)
        stranger = Client()
        await stranger.connect([nats.url], allow_reconnect=False)
        try:
            async with open_mailbox(url_of(server), key, ENTROPY) as at_key:
                (subject,) = (one.subject for one in server._nats._subscriptions.values())
                for data in (b"", b"\xff", b"\xa1\x00\x01", b"\xa3\x00\x01\x01\x41x\x02\x41y", bytes(5_000)):
                    assert (await stranger.request(subject, data, timeout=10)).data == b"\1"
                    await stranger.publish("railgun.signaling.v1.relays", data)
                await stranger.flush()
                async with open_mailbox(url_of(server), fresh(), ENTROPY) as at_other:
                    await at_other.send(key.public, b"still here")
                assert (await at_key.receive())[1] == b"still here"
        finally:
            await stranger.close()
        assert len(server.shared.relays) == 0
        assert server.metrics.value("faults_total") == 0
