"""railgun.links.sctp: two associations over memory, and any chunk that a peer may think of."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable

import pytest
from google_crc32c import value as crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from railgun.errors import MalformedInput
from railgun.links.sctp import FRAMES_STREAM, PULSE_STREAM, Association, DtlsCarrier
from railgun.links.timers import GuardedTimers


class End:
    """One association with what it reported."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, is_listener: bool) -> None:
        self.errors: list[Exception] = []
        self.messages: list[tuple[int, bytes]] = []
        self.ups = 0
        self.downs: list[str] = []
        self.sent: list[bytes] = []
        self.has_sent = asyncio.Event()
        carrier = DtlsCarrier(self._send, is_server=is_listener)
        self.association = Association(carrier, self, GuardedTimers(loop, self.errors.append), loop.time)

    def _send(self, data: bytes | bytearray) -> None:
        self.sent.append(bytes(data))
        self.has_sent.set()

    def association_up(self) -> None:
        self.ups += 1

    def association_down(self, reason: str) -> None:
        self.downs.append(reason)

    def association_message(self, stream_id: int, message: bytes) -> None:
        self.messages.append((stream_id, message))

    def association_drained(self) -> None:
        """Ignored."""


def pump(left: End, right: End) -> None:
    """Carry packets both ways until there are none."""
    while left.sent or right.sent:
        for source, target in ((left, right), (right, left)):
            packets, source.sent = source.sent, []
            for packet in packets:
                target.association.receive(packet)


def pair(loop: asyncio.AbstractEventLoop) -> tuple[End, End]:
    dialler, listener = End(loop, is_listener=False), End(loop, is_listener=True)
    listener.association.open(actively=False)
    dialler.association.open(actively=True)
    pump(dialler, listener)
    return dialler, listener


def on_a_loop(test: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    """Run a synchronous test with a loop of its own, and see that no task was born."""

    async def run() -> None:
        test(asyncio.get_running_loop())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


async def test_both_come_up_and_carry_messages() -> None:
    dialler, listener = pair(asyncio.get_running_loop())
    assert (dialler.ups, listener.ups) == (1, 1)
    dialler.association.send_reliable(FRAMES_STREAM, b"frame" * 1_000)
    listener.association.send_unreliable(PULSE_STREAM, b"pulse")
    pump(dialler, listener)
    async with asyncio.timeout(5):
        while not dialler.association.is_idle or not listener.association.is_idle:
            # The last packet may wait for company before it is acknowledged.
            listener.has_sent.clear()
            await listener.has_sent.wait()
            pump(dialler, listener)
    assert listener.messages == [(FRAMES_STREAM, b"frame" * 1_000)]
    assert dialler.messages == [(PULSE_STREAM, b"pulse")]
    listener.association.close()
    pump(dialler, listener)
    assert dialler.downs == ["the peer ended the association"]
    assert not listener.downs


def wrap(end: End, chunks: bytes, *, tag: int | None = None) -> bytes:
    """A packet for ``end`` with a true tag and checksum."""
    real = end.association._local_verification_tag if tag is None else tag
    head = struct.pack(">HHL", 5_000, 5_000, real)
    return head + struct.pack("<L", crc32c(head + bytes(4) + chunks)) + chunks


CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 130, 192, 255]),
        st.integers(0, 255),
        st.binary(max_size=64),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300)
@given(CHUNKS, st.booleans(), st.booleans())
def test_any_chunks_are_taken_or_malformed(
    chunks: list[tuple[int, int, bytes]], is_up: bool, is_listener: bool
) -> None:
    def scenario(loop: asyncio.AbstractEventLoop) -> None:
        if is_up:
            dialler, listener = pair(loop)
            end = listener if is_listener else dialler
        else:
            end = End(loop, is_listener=is_listener)
            end.association.open(actively=not is_listener)
        body = b"".join(
            struct.pack(">BBH", kind, flags, 4 + len(data)) + data + bytes(-len(data) & 3)
            for kind, flags, data in chunks
        )
        with contextlib.suppress(MalformedInput):
            end.association.receive(wrap(end, body, tag=0 if chunks[0][0] == 1 else None))
        assert not end.errors
        end.association.close()

    on_a_loop(scenario)


@given(st.binary(max_size=100))
def test_any_bytes_are_malformed(data: bytes) -> None:
    def scenario(loop: asyncio.AbstractEventLoop) -> None:
        _, listener = pair(loop)
        with pytest.raises(MalformedInput):
            listener.association.receive(data)
        with pytest.raises(MalformedInput):
            listener.association.receive(wrap(listener, data + b"\0\0\0\0", tag=12_345))
        listener.association.close()

    on_a_loop(scenario)


def test_data_on_other_channels_or_of_other_kinds_is_malformed() -> None:
    def scenario(loop: asyncio.AbstractEventLoop) -> None:
        _, listener = pair(loop)
        for stream_id, protocol in ((2, 53), (65_535, 53), (0, 50), (0, 51)):
            data = struct.pack(">BBHLHHL", 0, 7, 17, 1, stream_id, 0, protocol) + b"x" + bytes(3)
            with pytest.raises(MalformedInput):
                listener.association.receive(wrap(listener, data))

    on_a_loop(scenario)


async def test_an_unanswered_set_up_is_repeated_and_then_given_up() -> None:
    end = End(asyncio.get_running_loop(), is_listener=False)
    end.association.open(actively=True)
    for _ in range(8):
        end.association._t1_expired()
    assert len(end.sent) == 9
    assert not end.downs
    end.association._t1_expired()
    assert end.downs == ["the association could not be set up"]
    end.association.close()
