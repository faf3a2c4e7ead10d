"""What a hostile or broken remote can do to a link layer: be refused, and counted."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import random
import socket
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from railgun.errors import ClosedByPeer, ClosedLocally, LinkLost, RefusalCode
from railgun.limits import HALF_OPEN_MAX, HALF_OPEN_PER_ADDRESS_MAX
from railgun.links.handshake import CODEC, Hello, Instant, Proof, ProofReply, Refused, WrongNetwork
from railgun.links.settings import LinkCounters, LinkSettings
from railgun.links.stun import check
from railgun.types import Address, NetworkId, NodeKey
from railgun.wire.framing import FrameEncoder
from tests.support.links_lab import LAN, Node, certificate, client, relay
from tests.support.raw_dialler import RawDialler, exchange, first_hello, second_hello, udp_socket


@asynccontextmanager
async def raw(node: Node, **how: object) -> AsyncIterator[RawDialler]:
    dialler = RawDialler(node.links.local_contact(), **how)  # type: ignore[arg-type]
    try:
        yield await dialler.open()
    finally:
        dialler.vanish()


async def counted(node: Node, condition: Callable[[LinkCounters], bool]) -> None:
    """Wait until the counters say so; looks after each turn of the loop."""
    async with asyncio.timeout(5):
        while not condition(node.links.counters):  # noqa: ASYNC110 - counters announce nothing
            await asyncio.sleep(0)


async def still_serves(server: Node) -> None:
    async with client() as dialler:
        await dialler.up_with(server)


# --- diallers are careful ------------------------------------------------------------------------


async def test_a_dialler_refuses_another_node_key() -> None:
    async with relay() as server, client() as dialler:
        contact = dataclasses.replace(server.links.local_contact(), node_key=NodeKey(os.urandom(32)))
        dialler.links.dial(contact)
        await dialler.seen.until(lambda: bool(dialler.seen.failures))
        key, error = dialler.seen.failures[0]
        assert key == contact.node_key
        assert isinstance(error, ClosedLocally)
        assert "another node key" in str(error)
        assert dialler.links.counters.refused_bad_proof == 1
        assert not server.seen.ups


async def test_a_dialler_refuses_another_certificate() -> None:
    async with relay() as server, client() as dialler:
        contact = server.links.local_contact()
        dialler.links.dial(dataclasses.replace(contact, certificate_hash=certificate("other").certificate_hash))
        await dialler.seen.until(lambda: bool(dialler.seen.failures))
        assert "another certificate" in str(dialler.seen.failures[0][1])
        assert not server.seen.ups


async def test_networks_refuse_each_other_by_name() -> None:
    other = NetworkId(b"\x77" * 32)
    async with relay() as server, client(network=other) as dialler:
        dialler.links.dial(server.links.local_contact())
        await dialler.seen.until(lambda: bool(dialler.seen.failures))
        error = dialler.seen.failures[0][1]
        assert isinstance(error, WrongNetwork)
        assert error.code is RefusalCode.WRONG_NETWORK
        assert "wrong_network" in str(error)
        assert other.hex()[:16] in str(error)
        assert server.links.counters.refused_wrong_network == 1


async def test_a_dial_to_nobody_ends_within_its_deadline() -> None:
    settings = dataclasses.replace(LAN, dial_seconds=0.3)
    async with relay() as server, client(settings=settings) as dialler:
        contact = server.links.local_contact()
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", silent.getsockname()[1])
        started = time.monotonic()
        dialler.links.dial(dataclasses.replace(contact, addresses=(address,)))
        await dialler.seen.until(lambda: bool(dialler.seen.failures))
        assert 0.25 < time.monotonic() - started < 1.5
        assert isinstance(dialler.seen.failures[0][1], LinkLost)
        silent.close()
        dialler.links.dial(dataclasses.replace(contact, addresses=(address,)))
        await dialler.seen.until(lambda: len(dialler.seen.failures) == 2)
        dialler.links.dial(dataclasses.replace(contact, addresses=()))
        await dialler.seen.until(lambda: len(dialler.seen.failures) == 3)
        dialler.links.dial(dataclasses.replace(contact, addresses=(address, *contact.addresses)))
        await dialler.seen.until(lambda: bool(dialler.seen.ups))


# --- listeners are careful -----------------------------------------------------------------------


async def test_a_bad_signature_is_refused() -> None:
    async with relay() as server, raw(server) as dialler:
        proof = dialler.proof()
        now = Instant(time.monotonic(), time.time())
        dialler.say(proof.begin(now))
        item = await dialler.items.get()
        reply = CODEC.decode(proof.receive(item.data, now) or b"")  # type: ignore[union-attr]
        assert isinstance(reply, ProofReply)
        dialler.say(CODEC.encode(dataclasses.replace(reply, signature=bytes(64))))
        assert await dialler.answer() == Refused(RefusalCode.BAD_PROOF, None, None)
        await asyncio.wait_for(dialler.down.wait(), 5)
        assert server.links.counters.refused_bad_proof == 1
        assert not server.seen.ups


async def test_a_proof_of_one_connection_is_worthless_on_another() -> None:
    async with relay() as server, raw(server) as first, raw(server, certificate_name="thief") as second:
        seed = os.urandom(32)
        now = Instant(time.monotonic(), time.time())
        proof = first.proof(seed=seed)
        hello = proof.begin(now)
        first.say(hello)
        reply = proof.receive((await first.items.get()).data, now)  # type: ignore[union-attr]
        second.say(hello)
        assert isinstance(await second.answer(), Proof)
        second.say(reply or b"")
        assert await second.answer() == Refused(RefusalCode.BAD_PROOF, None, None)


async def test_an_unknown_version_is_refused() -> None:
    async with relay() as server, raw(server) as dialler:
        dialler.say(CODEC.encode(Hello(9, bytes(32), bytes(32))))
        assert await dialler.answer() == Refused(RefusalCode.UNSUPPORTED_VERSION, None, None)


@pytest.mark.parametrize(
    "message", [b"", b"\xff" * 20, b"\x00\x00", FrameEncoder().encode([b"frame"])[0], b"\x03\x00\x01\x00"]
)
async def test_malformed_bytes_before_the_proof_end_the_connection(message: bytes) -> None:
    async with relay() as server, raw(server) as dialler:
        dialler.session.send_message(message or b"\x03")
        await asyncio.wait_for(dialler.down.wait(), 5)
        assert server.links.counters.refused_malformed == 1
        assert server.links.half_open_count == 0
        await still_serves(server)


async def test_malformed_bytes_on_a_link_are_answered_and_counted() -> None:
    async with relay() as server, raw(server) as dialler:
        await dialler.prove()
        dialler.session.send_message(b"\x09\x00\x01x")
        assert (await dialler.goodbye()).code is RefusalCode.MALFORMED
        await server.seen.until(lambda: bool(server.seen.downs))
        assert server.links.counters.refused_malformed == 1
        assert not server.links.peers()


async def test_a_pulse_that_is_too_long_ends_the_link() -> None:
    async with relay() as server, raw(server) as dialler:
        await dialler.prove()
        assert dialler.session.send_pulse(bytes(1_101))
        await server.seen.until(lambda: bool(server.seen.downs))
        assert server.links.counters.refused_malformed == 1


async def test_broken_sctp_ends_the_session_and_nothing_else() -> None:
    rng = random.Random(7)
    async with relay() as server:
        for length in (0, 1, 15, 16, 40, 400):
            async with raw(server) as dialler:
                dialler.session._dtls.send(rng.randbytes(length) or b"x")
                await asyncio.wait_for(dialler.down.wait(), 5)
        await still_serves(server)


# --- before a cookie -----------------------------------------------------------------------------


async def test_garbage_is_counted_and_never_answered() -> None:
    rng = random.Random(3)
    async with relay() as server:
        sock = udp_socket(server.links.local_contact())
        _, hello = first_hello()
        garbage = [rng.randbytes(rng.randrange(1, 1_400)) for _ in range(300)]
        garbage += [b"\x16\xfe\xff\0\0" + rng.randbytes(60) for _ in range(50)]
        garbage += [hello[:cut] for cut in range(1, len(hello))]
        garbage += [b"\0\x01\0\x08\x21\x12\xa4\x42" + rng.randbytes(20) for _ in range(20)]
        for n, datagram in enumerate(garbage):
            sock.send(datagram)
            if n % 50 == 49:
                await asyncio.sleep(0)
        await counted(server, lambda c: c.datagrams_received >= len(garbage))
        with pytest.raises(BlockingIOError):
            sock.recv(2_048)
        counters = server.links.counters
        refused = counters.datagrams_unknown + counters.hellos_malformed + counters.stun_invalid
        assert refused == len(garbage)
        assert counters.internal_errors == 0
        assert server.links.half_open_count == 0
        sock.close()
        await still_serves(server)


async def test_answers_are_never_longer_than_questions() -> None:
    async with relay() as server:
        sock = udp_socket(server.links.local_contact())
        _, hello = first_hello()
        assert len(await exchange(sock, hello)) <= len(hello)
        question = check("abcd", os.urandom(12), 1)
        assert len(await exchange(sock, question)) <= len(question)
        assert server.links.half_open_count == 0
        sock.close()


async def test_a_cookie_opens_one_session() -> None:
    settings = dataclasses.replace(LAN, half_open_seconds=0.2)
    async with relay(settings=settings) as server:
        sock = udp_socket(server.links.local_contact())
        hello = await second_hello(sock)
        sock.send(hello)
        await counted(server, lambda c: c.half_open_started == 1)
        await counted(server, lambda c: c.half_open_expired == 1)
        assert server.links.half_open_count == 0
        sock.send(hello)
        await counted(server, lambda c: c.cookies_refused == 1)
        assert server.links.half_open_count == 0
        sock.close()


async def test_a_cookie_is_worthless_from_another_port() -> None:
    async with relay() as server:
        contact = server.links.local_contact()
        first, second = udp_socket(contact), udp_socket(contact)
        second.send(await second_hello(first))
        await counted(server, lambda c: c.cookies_refused == 1)
        assert server.links.half_open_count == 0
        first.close()
        second.close()


async def flood(server: Node, count: int) -> None:
    """Half-open dials, each from an address of its own."""
    for n in range(count):
        sock = udp_socket(server.links.local_contact(), (f"127.66.{n // 250}.{n % 250 + 1}", 0))
        try:
            sock.send(await second_hello(sock))
        finally:
            sock.close()


async def test_a_thousand_half_open_dials_stay_bounded_and_shut_nobody_out() -> None:
    async with relay(settings=LinkSettings()) as server:
        flooding = asyncio.create_task(flood(server, 1_000))
        await counted(server, lambda c: c.half_open_started > 300)
        async with client() as dialler:
            await dialler.up_with(server)
            assert not flooding.done()
            await flooding
            await counted(server, lambda c: c.half_open_started >= 1_001)
            assert server.links.half_open_count <= HALF_OPEN_MAX
            assert len(server.links._paths) <= HALF_OPEN_MAX + 1
            assert server.links.counters.half_open_evicted >= 1_000 - HALF_OPEN_MAX
            dialler.links.send_frame(dialler.seen.ups[0].peer, b"still here")
            await server.seen.until(lambda: server.seen.frames == [b"still here"])


async def test_one_address_has_a_quota_and_its_newest_dial_gets_in() -> None:
    async with relay(settings=LinkSettings()) as server:
        sockets = [udp_socket(server.links.local_contact()) for _ in range(60)]
        for sock in sockets:
            sock.send(await second_hello(sock))
        await counted(server, lambda c: c.half_open_started == 60)
        assert server.links.half_open_count == HALF_OPEN_PER_ADDRESS_MAX
        await still_serves(server)
        for sock in sockets:
            sock.close()


async def test_token_buckets_silence_a_prefix() -> None:
    settings = dataclasses.replace(LAN, stun_per_second=0.0, stun_burst=3, cookies_per_second=0.0, cookies_burst=2)
    async with relay(settings=settings) as server:
        sock = udp_socket(server.links.local_contact())
        for _ in range(5):
            sock.send(check("abcd", os.urandom(12), 1))
            sock.send(first_hello()[1])
        await counted(server, lambda c: c.datagrams_received == 10)
        counters = server.links.counters
        assert (counters.stun_answered, counters.stun_limited) == (3, 2)
        assert (counters.cookies_sent, counters.cookies_limited) == (2, 3)
        sock.close()


# --- live links ----------------------------------------------------------------------------------


async def test_a_client_that_lost_its_state_comes_back_from_the_same_port() -> None:
    async with relay() as server:
        seed = os.urandom(32)
        first = await RawDialler(server.links.local_contact()).open()
        await first.prove(first.proof(seed=seed))
        source = first.source
        first.session._dtls._transmit = lambda _datagram: None
        first.vanish()
        async with raw(server, source=source) as second:
            assert len(server.links.peers()) == 1
            assert not server.seen.downs  # the cookie alone replaces nobody
            await second.prove(second.proof(seed=seed))
            await server.seen.until(lambda: len(server.seen.ups) == 2)
            assert len(server.seen.downs) == 1
            second.session.send_message(FrameEncoder().encode([b"me again"])[0])
            await server.seen.until(lambda: server.seen.frames == [b"me again"])


async def test_a_half_open_dial_at_a_live_address_disturbs_nothing() -> None:
    async with relay() as server, raw(server) as dialler:
        await dialler.prove()
        dialler._loop.remove_reader(dialler.socket)
        hello = await second_hello(dialler.socket)
        dialler.socket.send(hello)
        await counted(server, lambda c: c.half_open_started == 2)
        dialler._loop.add_reader(dialler.socket, dialler._readable)
        dialler.session.send_message(FrameEncoder().encode([b"undisturbed"])[0])
        await server.seen.until(lambda: server.seen.frames == [b"undisturbed"])
        assert not server.seen.downs


async def test_a_peer_that_never_reads_costs_a_bounded_buffer_and_then_its_link() -> None:
    settings = dataclasses.replace(LAN, stall_seconds=0.4)
    async with relay(settings=settings) as server, raw(server) as dialler:
        await dialler.prove()
        await server.seen.until(lambda: bool(server.seen.ups))
        peer = server.links.peers()[0]
        dialler.is_deaf = True
        while server.links.send_frame(peer, bytes(16_000)):
            pass
        assert server.links.buffered_bytes(peer) <= settings.send_budget_bytes
        assert not server.links.send_frame(peer, bytes(16_000))
        await server.seen.until(lambda: bool(server.seen.downs))
        error = server.seen.downs[0][1]
        assert isinstance(error, LinkLost)
        assert "took nothing" in str(error)
        assert server.links.counters.links_stalled == 1


async def test_a_listener_that_ends_is_noticed() -> None:
    async with relay() as server, client() as dialler:
        up = await dialler.up_with(server)
        for link in tuple(server.links._paths):
            link.abandon(LinkLost("the process died"))
        await dialler.seen.until(lambda: bool(dialler.seen.downs))
        assert dialler.seen.downs[0][0] == up.peer
        assert isinstance(dialler.seen.downs[0][1], LinkLost)
        assert not dialler.links.peers()


async def test_shutting_down_is_said() -> None:
    async with client() as dialler:
        async with relay() as server:
            await dialler.up_with(server)
        await dialler.seen.until(lambda: bool(dialler.seen.downs))
        error = dialler.seen.downs[0][1]
        assert isinstance(error, ClosedByPeer)
        assert error.code is RefusalCode.SHUTTING_DOWN


async def test_what_has_ended_is_freed_without_the_collector() -> None:
    """A session holds about 100 kB of OpenSSL's memory, which the collector does not see."""
    settings = dataclasses.replace(LAN, half_open_seconds=0.2)
    gc.collect()
    gc.disable()
    try:
        async with relay(settings=settings) as server:
            sock = udp_socket(server.links.local_contact())
            sock.send(await second_hello(sock))
            await counted(server, lambda c: c.half_open_started == 1)
            half_open = [weakref.ref(link._session) for link in server.links._paths]
            await counted(server, lambda c: c.half_open_expired == 1)
            sock.close()
            async with client() as dialler:
                up = await dialler.up_with(server)
                live = [weakref.ref(link._session) for node in (server, dialler) for link in node.links._paths]
                assert [ref() is not None for ref in live] == [True, True]
                server.links.close_link(up.local_key, RefusalCode.BUSY)
                await dialler.seen.until(lambda: bool(dialler.seen.downs))
        assert [ref() for ref in half_open + live] == [None, None, None]
    finally:
        gc.enable()
