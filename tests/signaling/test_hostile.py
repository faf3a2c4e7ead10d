"""Strangers at the rendezvous server: garbage, lies, floods, and those who never say or read anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

import railgun_signaling.connection as connection_module
import railgun_signaling.server as server_module
from railgun.crypto.rendezvous import MailboxKey
from railgun.runtime.system import SystemEntropy
from railgun.types import NetworkId
from railgun.wire import cbor
from railgun.wire.rendezvous import (
    RENDEZVOUS_FRAMES,
    AskRelays,
    Forwarded,
    Opened,
    OpenMailbox,
    RendezvousCode,
    RendezvousFrame,
    RendezvousRefused,
    Send,
)
from railgun_signaling.configuration import LimitsConfiguration
from railgun_signaling.limits import BLOB_BYTES, OUTBOX_BLOBS_MAX, SEND_BUFFER_BYTES
from tests.support.signaling_lab import changed, configuration, get, health, raw_client, running, until, url_of

NETWORK = NetworkId(b"n" * 32)
KEY = MailboxKey.of(bytes(31) + b"k")
BLOB = b"b" * BLOB_BYTES
MALFORMED = RendezvousRefused(RendezvousCode.MALFORMED)

FRAMES: list[RendezvousFrame] = [AskRelays(NETWORK), Send(1, KEY.public, BLOB), Opened(5)]
GARBAGE: list[bytes | str] = [
    b"",
    b"\xff" * 100,
    "text",
    cbor.encode({0: 99}),
    cbor.encode({0: 1}),
    cbor.encode({0: 1, 1: b"short"}),
    cbor.encode({0: 1, 1: bytes(32), 2: 1}),
    cbor.encode([1, bytes(32)]),
    b"\xbf\x00\x01\x01\x58\x20" + bytes(32) + b"\xff",  # an indefinite map
    b"\xa2\x18\x00\x01\x01\x58\x20" + bytes(32),  # a key that is not written shortest
    b"\xa2\x00\x01\x00\x01",  # a key twice
    b"\xd8\x1c\x80" * 30,  # shared references
    cbor.encode({0: 4, 1: 1, 2: bytes(32), 3: bytes(4095)}),
    cbor.encode({0: 4, 1: 1, 2: bytes(32), 3: bytes(4097)}),
]


@pytest.mark.parametrize("data", GARBAGE)
async def test_garbage_is_refused_as_malformed_and_ends_the_connection(data: bytes | str) -> None:
    async with running() as server, raw_client(url_of(server)) as raw:
        await raw.say(data)
        assert await raw.refusal() == MALFORMED
        await until(lambda: server.metrics.value("connections") == 0)
        assert server.metrics.value("faults_total") == 0


@pytest.mark.parametrize("size", [4_609, 16_384])
async def test_a_frame_too_large_is_named_as_such(size: int) -> None:
    async with running() as server, raw_client(url_of(server)) as raw:
        await raw.say(bytes(size))
        assert await raw.refusal() == RendezvousRefused(RendezvousCode.TOO_LARGE)


async def test_a_message_beyond_what_is_read_ends_the_connection() -> None:
    async with running() as server, raw_client(url_of(server)) as raw:
        with contextlib.suppress(ConnectionClosed):
            await raw.say(bytes(1 << 20))
        await raw.connection.wait_closed()
        assert raw.connection.close_code == 1009
        await until(lambda: server.metrics.value("connections") == 0)
        assert server.metrics.value("faults_total") == 0


async def test_a_mailbox_needs_the_proof_of_its_own_key_over_this_connections_challenge() -> None:
    other = MailboxKey.of(bytes(31) + b"o")
    async with running() as server:
        async with raw_client(url_of(server)) as first, raw_client(url_of(server)) as second:
            assert first.challenge is not None
            assert second.challenge is not None
            assert first.challenge.nonce != second.challenge.nonce
            replayed = KEY.proof(first.challenge.nonce, first.challenge.key)
            await second.say(OpenMailbox(KEY.public, replayed))
            assert await second.refusal() == RendezvousRefused(RendezvousCode.BAD_PROOF)
            await first.say(OpenMailbox(KEY.public, other.proof(first.challenge.nonce, first.challenge.key)))
            assert await first.refusal() == RendezvousRefused(RendezvousCode.BAD_PROOF)
        assert len(server.shared.mailboxes) == 0


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
async def test_a_key_of_small_order_opens_nothing(point: bytes) -> None:
    async with running() as server, raw_client(url_of(server)) as raw:
        await raw.say(OpenMailbox(point, bytes(32)))
        assert await raw.refusal() == RendezvousRefused(RendezvousCode.BAD_PROOF)


@pytest.mark.parametrize("frame", [Send(1, bytes(32), BLOB), Opened(1), Forwarded(1)])
async def test_frames_out_of_order_end_the_connection(frame: RendezvousFrame) -> None:
    async with running() as server, raw_client(url_of(server)) as raw:
        await raw.say(frame)
        assert await raw.refusal() == RendezvousRefused(RendezvousCode.OUT_OF_ORDER)


async def test_another_version_is_named_and_other_paths_are_not_found() -> None:
    async with running() as server:
        async with raw_client(url_of(server), "/v2") as raw:
            assert (await raw.hear()) == RendezvousRefused(RendezvousCode.UNSUPPORTED_VERSION)
        assert (await asyncio.to_thread(get, server.port, "/"))[0] == 404
        assert (await asyncio.to_thread(get, server.port, "/v1"))[0] == 426
        await until(lambda: server.metrics.value("tcp_connections") == 0)
        assert server._served == 0


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from([RENDEZVOUS_FRAMES.encode(frame) for frame in FRAMES]),
        ),
        max_size=4,
    )
)
def test_no_sequence_of_messages_is_a_fault_of_the_server(messages: list[bytes]) -> None:
    async def exchange() -> None:
        async with running() as server, raw_client(url_of(server)) as raw:
            await raw.open(MailboxKey.of(SystemEntropy().random_bytes(32)))
            for message in messages:
                try:
                    await raw.say(message)
                except ConnectionClosed:
                    break
            await raw.connection.close()
            await until(lambda: server.metrics.value("connections") == 0)
            assert server.metrics.value("faults_total") == 0
            assert len(server.shared.mailboxes) == 0
            assert server.shared.mailboxes.in_flight.held_bytes == 0

    with pytest.MonkeyPatch.context() as patch:  # what still comes after a refusal is not read, so both ends wait
        patch.setattr(server_module, "CLOSE_SECONDS", 0.01)
        asyncio.run(exchange())


# --- who never says anything ------------------------------------------------------------------


async def test_who_says_nothing_after_the_challenge_is_told_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "OPENING_SECONDS", 0.05)
    async with running() as server, raw_client(url_of(server)) as raw:
        assert (await raw.refusal()).code is RendezvousCode.TIMED_OUT


async def test_half_a_request_is_cut_in_time_and_beyond_the_places_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "OPENING_SECONDS", 0.3)
    monkeypatch.setattr(server_module, "HALF_OPEN_EXTRA", 3)
    async with running(changed(configuration(), connections_max=1)) as server:
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        for _, writer in slow:
            writer.write(b"GET /v1 HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        await until(lambda: server.metrics.value("tcp_connections") == 4)
        reader, late = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""  # cut at once
        assert server.metrics.value("connections_cut_total") == 1
        for reader, writer in slow:
            with contextlib.suppress(ConnectionResetError):
                await reader.read()  # until the server has had enough
            writer.close()
        late.close()
        await until(lambda: server.metrics.value("tcp_connections") == 0)


async def test_one_source_cannot_hold_all_places_by_saying_nothing() -> None:
    async with running(changed(configuration(), connections_per_source=2)) as server:
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        await until(lambda: server.metrics.value("tcp_connections") == 4)
        reader, late = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""  # cut at once, though the server has thousands of places
        assert server.metrics.value("connections_cut_total") == 1
        for _, writer in [*slow, (reader, late)]:
            writer.close()
        await until(lambda: server.metrics.value("tcp_connections") == 0)
        assert not server._tcp_of
        async with raw_client(url_of(server)) as raw:
            await raw.open()


# --- who never reads --------------------------------------------------------------------------


async def test_a_reader_that_never_reads_is_dropped_and_costs_no_more_than_its_outbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "SEND_SECONDS", 0.5)
    async with running() as server:
        narrow = socket.create_connection(("127.0.0.1", server.port))
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        narrow.setblocking(False)
        async with raw_client(url_of(server), sock=narrow) as deaf, raw_client(url_of(server)) as sender:
            await deaf.open(KEY)
            deaf.connection.transport.pause_reading()
            await sender.open()
            codes = []
            most = 0
            for number in range(400):
                await sender.say(Send(number, KEY.public, BLOB))
                answer = await sender.hear()
                codes.append(answer.code if isinstance(answer, RendezvousRefused) else None)
                most = max(most, server.shared.mailboxes.in_flight.held_bytes)
                if codes[-1] is RendezvousCode.ABSENT:
                    break
            assert RendezvousCode.BUSY in codes
            assert codes.count(None) * BLOB_BYTES < 20 * SEND_BUFFER_BYTES  # what kernel and socket buffers took
            assert most <= (OUTBOX_BLOBS_MAX + 1) * BLOB_BYTES
            await until(lambda: server.metrics.value("slow_readers_total") == 1)
            await until(lambda: len(server.shared.mailboxes) == 1)
            assert server.shared.mailboxes.in_flight.held_bytes == 0
            deaf.connection.transport.abort()


# --- floods -----------------------------------------------------------------------------------


async def test_a_source_that_sends_too_much_is_refused_with_a_time_to_wait() -> None:
    wanted = changed(configuration(), frames_per_second=1.0, frames_burst=5)
    async with running(wanted) as server, raw_client(url_of(server)) as raw:
        await raw.open()
        for number in range(5):
            await raw.say(Send(number, bytes(31) + b"\x09", BLOB))
        answers = [await raw.hear() for _ in range(4)]
        assert [answer.number for answer in answers if isinstance(answer, RendezvousRefused)] == [0, 1, 2, 3]
        assert await raw.refusal() == RendezvousRefused(RendezvousCode.RATE_LIMITED, 1)


async def test_a_source_has_so_many_connections_and_no_more() -> None:
    async with running(changed(configuration(), connections_per_source=2)) as server:
        async with raw_client(url_of(server)), raw_client(url_of(server)), raw_client(url_of(server)) as third:
            refused = await third.hear()
            assert isinstance(refused, RendezvousRefused)
            assert refused.code is RendezvousCode.TOO_MANY_CONNECTIONS
            assert refused.retry_after_seconds == 30
        await until(lambda: server.metrics.value("tcp_connections") == 0)
        async with raw_client(url_of(server)) as again:
            await again.open()


async def test_the_server_has_so_many_connections_and_no_more() -> None:
    async with (
        running(changed(configuration(), connections_max=2)) as server,
        raw_client(url_of(server)),
        raw_client(url_of(server)),
        raw_client(url_of(server)) as third,
    ):
        refused = await third.hear()
        assert isinstance(refused, RendezvousRefused)
        assert refused.code is RendezvousCode.FULL


async def test_a_flood_of_connections_gets_429_and_leaves_nothing() -> None:
    limits = LimitsConfiguration(arrivals_per_second=0.01, arrivals_burst=30)
    async with running(configuration(limits=limits)) as server:
        outcomes: list[int | None] = []
        waits: set[str] = set()

        async def once() -> None:
            try:
                async with raw_client(url_of(server)):
                    outcomes.append(None)
            except InvalidStatus as error:
                outcomes.append(error.response.status_code)
                waits.add(error.response.headers["Retry-After"])

        for _ in range(10):
            await asyncio.gather(*(once() for _ in range(20)))
        assert outcomes.count(None) == 30
        assert outcomes.count(429) == 170
        assert waits == {"100"}
        await until(lambda: server.metrics.value("tcp_connections") == 0)
        assert server.metrics.value("connections") == 0
        assert server.metrics.value("sources") == 2
        assert len(server.shared.mailboxes) == 0


async def test_connections_that_end_without_a_word_leave_nothing() -> None:
    async with running() as server:
        for _ in range(50):
            rude = socket.create_connection(("127.0.0.1", server.port))
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            rude.sendall(b"GET /v1 HTTP/1.1\r\n")
            rude.close()  # with a reset
        async with raw_client(url_of(server)) as raw:
            await raw.open()
        await until(lambda: server.metrics.value("tcp_connections") == 0)
        assert (await health(server.port))["status"] == "ok"
        assert server.metrics.value("faults_total") == 0
