"""The rendezvous server as peers use it: relays, registrations, mailboxes, its leave."""

from __future__ import annotations

import asyncio
import time

import pytest

from railgun.crypto.rendezvous import MailboxKey, invite_mailbox, seal_blob
from railgun.errors import LinkLost, RendezvousRefusal
from railgun.links.rendezvous import ask_relays, open_mailbox, registered_relay
from railgun.runtime.system import SystemEntropy
from railgun.types import NetworkId
from railgun.wire.rendezvous import AskRelays, Forwarded, RendezvousCode, RendezvousRefused, Send
from railgun_signaling.configuration import AddressCheck, RelaysConfiguration
from railgun_signaling.frames import RelayAddress as ServerRelay
from railgun_signaling.relays import StaticRelay
from tests.support.ads import seed_of, signed_ad
from tests.support.signaling_lab import configuration, get, health, raw_client, running, until, url_of

ENTROPY = SystemEntropy()
NETWORK = NetworkId(b"n" * 32)
OTHER = NetworkId(b"o" * 32)


def fresh() -> MailboxKey:
    return MailboxKey.of(ENTROPY.random_bytes(32))


async def test_two_mailboxes_exchange_sealed_words_and_know_each_other_by_key_alone() -> None:
    ann, ben = fresh(), fresh()
    async with (
        running() as server,
        open_mailbox(url_of(server), ann, ENTROPY) as at_ann,
        open_mailbox(url_of(server), ben, ENTROPY) as at_ben,
    ):
        await at_ann.send(ben.public, b"offer")
        assert await at_ben.receive() == (ann.public, b"offer")
        await at_ben.send(ann.public, b"answer" * 600)
        assert await at_ann.receive() == (ben.public, b"answer" * 600)
        assert server.metrics.value("blobs_local_total") == 2
        assert server.shared.mailboxes.in_flight.held_bytes == 0


async def test_nobody_there_is_said_at_once_and_the_mailbox_stays_open() -> None:
    ann, ben = fresh(), fresh()
    async with running() as server, open_mailbox(url_of(server), ann, ENTROPY) as at_ann:
        with pytest.raises(RendezvousRefusal) as refused:
            await at_ann.send(ben.public, b"offer")
        assert (refused.value.reason, refused.value.retry_after_seconds) == ("absent", 5)
        async with open_mailbox(url_of(server), ben, ENTROPY) as at_ben:
            await at_ann.send(ben.public, b"offer")
            assert (await at_ben.receive())[1] == b"offer"
        await until(lambda: len(server.shared.mailboxes) == 1)
        with pytest.raises(RendezvousRefusal, match="absent"):
            await at_ann.send(ben.public, b"offer")


async def test_a_mailbox_that_is_held_is_not_given_to_another_and_the_next_slot_is_free() -> None:
    first, second = (invite_mailbox(b"l" * 32, 7, slot) for slot in (0, 1))
    assert first.public != second.public
    async with running() as server, open_mailbox(url_of(server), first, ENTROPY):
        with pytest.raises(RendezvousRefusal, match="occupied"):
            async with open_mailbox(url_of(server), first, ENTROPY):
                raise AssertionError
        async with open_mailbox(url_of(server), second, ENTROPY):
            assert len(server.shared.mailboxes) == 2
        await until(lambda: len(server.shared.mailboxes) == 1)


async def test_a_blob_that_was_sealed_for_somebody_else_is_passed_over() -> None:
    ann, ben = fresh(), fresh()
    async with running() as server, open_mailbox(url_of(server), ben, ENTROPY) as at_ben:
        async with raw_client(url_of(server)) as raw:
            await raw.open(ann)
            await raw.say(Send(1, ben.public, seal_blob(ann.public, b"not yours", bytes(32))))
            await raw.say(Send(2, ben.public, seal_blob(ben.public, b"yours", bytes(31) + b"1")))
            assert [await raw.hear(), await raw.hear()] == [Forwarded(1), Forwarded(2)]
        assert await at_ben.receive() == (ann.public, b"yours")


async def test_a_relay_is_handed_out_while_its_connection_stands_and_no_longer() -> None:
    relays = RelaysConfiguration(address_check=AddressCheck.ANY)
    ad = signed_ad(1, int(time.time()))
    async with running(configuration(relays=relays)) as server:
        assert await ask_relays(url_of(server), NETWORK) == ()
        async with registered_relay(url_of(server), NETWORK, seed_of(1), ad.encoded, ad.ad.address) as registration:
            assert registration.expires_in_seconds == 3600
            assert await ask_relays(url_of(server), NETWORK) == (ad.ad.contact(),)
            assert await ask_relays(url_of(server), OTHER) == ()
        await until(lambda: len(server.shared.relays) == 0)
        assert await ask_relays(url_of(server), NETWORK) == ()


async def test_a_relay_registers_only_from_the_address_that_its_ad_names() -> None:
    here = signed_ad(1, int(time.time()), host="127.0.0.1")
    elsewhere = signed_ad(2, int(time.time()), host="127.0.0.2")
    async with running() as server:
        async with registered_relay(url_of(server), NETWORK, seed_of(1), here.encoded, here.ad.address):
            assert len(server.shared.relays) == 1
        with pytest.raises(RendezvousRefusal, match="address mismatch"):
            async with registered_relay(url_of(server), NETWORK, seed_of(2), elsewhere.encoded, here.ad.address):
                raise AssertionError


@pytest.mark.parametrize(
    ("issued_ago", "lives", "reason"), [(86_401, 86_400, "bad ad"), (-4_000, 86_400, "bad ad"), (0, 0, "bad ad")]
)
async def test_an_ad_that_does_not_hold_now_is_refused(issued_ago: int, lives: int, reason: str) -> None:
    issued = int(time.time()) - issued_ago
    ad = signed_ad(1, issued, host="127.0.0.1", expires=issued + lives)
    async with running() as server:
        with pytest.raises(RendezvousRefusal, match=reason):
            async with registered_relay(url_of(server), NETWORK, seed_of(1), ad.encoded, ad.ad.address):
                raise AssertionError


async def test_another_node_cannot_register_with_an_ad_that_it_found() -> None:
    ad = signed_ad(1, int(time.time()), host="127.0.0.1")
    async with running() as server:
        with pytest.raises(RendezvousRefusal, match="bad proof"):
            async with registered_relay(url_of(server), NETWORK, seed_of(2), ad.encoded, ad.ad.address):
                raise AssertionError
        assert len(server.shared.relays) == 0


async def test_configured_relays_are_handed_out_and_other_networks_are_not_served() -> None:
    ad = signed_ad(3, 0).ad
    packed = ad.address.packed + ad.address.port.to_bytes(2, "big")
    static = StaticRelay(NETWORK, ServerRelay(ad.node_key, ad.certificate_hash, (packed,)))
    async with running(configuration(relays=RelaysConfiguration(networks=(NETWORK,), static=(static,)))) as server:
        assert await ask_relays(url_of(server), NETWORK) == (ad.contact(),)
        with pytest.raises(RendezvousRefusal, match="network not served") as refused:
            await ask_relays(url_of(server), OTHER)
        assert refused.value.retry_after_seconds is None


async def test_at_most_eight_relays_are_named_and_others_the_next_time() -> None:
    packed = bytes((20, 0, 0, 1, 0, 9))
    static = tuple(StaticRelay(NETWORK, ServerRelay(bytes((n,)) * 32, bytes(32), (packed,))) for n in range(1, 33))
    async with running(configuration(relays=RelaysConfiguration(static=static))) as server:
        answers = [{relay.node_key for relay in await ask_relays(url_of(server), NETWORK)} for _ in range(6)]
    assert all(len(answer) == 8 for answer in answers)
    assert len(set().union(*answers)) > 8


async def test_who_asks_for_relays_cannot_use_its_mailbox_for_it() -> None:
    async with running() as server, raw_client(url_of(server)) as raw:
        await raw.open()
        await raw.say(AskRelays(NETWORK))
        assert await raw.refusal() == RendezvousRefused(RendezvousCode.OUT_OF_ORDER)


async def test_it_drains_everybody_is_told_and_health_says_so() -> None:
    async with running() as server:
        async with raw_client(url_of(server)) as idle, raw_client(url_of(server)) as open_one:
            await open_one.open()
            assert (await health(server.port))["status"] == "ok"
            draining = asyncio.get_running_loop().create_task(server.drain())
            for client in (idle, open_one):
                refused = await client.refusal()
                assert refused.code is RendezvousCode.SHUTTING_DOWN
                assert refused.retry_after_seconds in range(1, 6)
            await draining
        status, text = await asyncio.to_thread(get, server.port, "/health")
        assert status == 503
        assert '"draining"' in text
        with pytest.raises(RendezvousRefusal, match="shutting down"):
            await ask_relays(url_of(server), NETWORK)
        assert server.metrics.value("connections") == 0


async def test_the_client_says_so_where_no_server_is_or_something_else_is() -> None:
    async with running() as server:
        url = url_of(server)
        with pytest.raises(LinkLost, match="HTTP 404"):
            await ask_relays(url + "/elsewhere", NETWORK)
    with pytest.raises(LinkLost, match="cannot be reached"):
        await ask_relays(url, NETWORK)
