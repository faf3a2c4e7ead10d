"""SCTP from a peer that has only got through DTLS: packets are taken or malformed, in bounded time and memory."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from railgun.errors import MalformedInput
from railgun.limits import CHUNKS_AHEAD_MAX, MESSAGE_BYTES_MAX, RECEIVE_BYTES_MAX
from railgun.links.sctp_receive import PARTS_SLACK, ReceiveWindow
from tests.fuzz.sctp_lab import FIRST_TSN, SctpLab, chunk, data_chunk

SECONDS_MAX = 5.0
PACKET_SECONDS_MAX = 0.01
"""An honest full packet takes some 20 us; one that makes us look through all that a window may hold, 40 ms."""
PACKET_BYTES = 1_200
"""What an honest peer's datagram holds."""

chunk_types = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 128, 130, 192, 255])
bodies = st.binary(max_size=64) | st.builds(
    lambda head, params: head + params,
    st.sampled_from([b"", bytes(16), b"\0\0\0\1" + bytes(12), b"\xff" * 16]),
    st.lists(
        st.builds(
            lambda kind, length, value: struct.pack(">HH", kind, length) + value,
            st.sampled_from([0, 1, 7, 13, 0x8008, 0xC000]),
            st.sampled_from([0, 1, 3, 4, 5, 8, 12, 65_535]),
            st.binary(max_size=12),
        ),
        max_size=6,
    ).map(b"".join),
)
wild_chunks = st.builds(chunk, chunk_types, st.integers(0, 255), bodies)


@pytest.mark.parametrize("kind", [1, 2, 4, 9])
@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_a_parameter_that_is_shorter_than_its_head_is_malformed(kind: int, length: int) -> None:
    fixed = struct.pack(">LLHHL", 1, 1 << 20, 2, 2, 7) if kind in (1, 2) else b""
    with SctpLab(up=kind != 1) as lab:
        began = time.process_time()
        assert not lab.feed(chunk(kind, 0, fixed + struct.pack(">HH", 1, length) + bytes(8)))
        assert time.process_time() - began < SECONDS_MAX


@given(st.booleans(), st.booleans(), st.lists(st.lists(wild_chunks, min_size=1, max_size=4).map(b"".join), max_size=6))
@settings(max_examples=120)
def test_packets_are_taken_or_malformed(up: bool, is_listener: bool, packets: list[bytes]) -> None:
    with SctpLab(up=up, is_listener=is_listener) as lab:
        for packet in packets:
            if not lab.feed(packet):
                break
        assert len(lab.observer.downs) <= 1


@given(st.binary(max_size=80))
@settings(max_examples=100)
def test_bytes_that_are_no_packet_are_malformed(data: bytes) -> None:
    with SctpLab() as lab, pytest.raises(MalformedInput):
        lab.victim.receive(data)


@given(
    st.lists(
        st.tuples(
            st.integers(-3, 12) | st.integers(-(2**31), 2**31),
            st.integers(0, 7),
            st.sampled_from([0, 1, 2, 65_535]),
            st.integers(0, 40) | st.just(1_200),
        ),
        max_size=30,
    )
)
@settings(max_examples=120)
def test_data_in_any_order_delivers_only_what_was_sent_whole(script: list[tuple[int, int, int, int]]) -> None:
    with SctpLab() as lab:
        first = lab.next_tsn
        for offset, flags, stream_id, size in script:
            if not lab.feed(data_chunk(first + offset, b"d" * size, flags, stream_id)):
                break
        assert all(0 < len(message) <= MESSAGE_BYTES_MAX for _, message in lab.observer.messages)
        receiving = lab.victim._receiving
        assert receiving is not None
        assert receiving.held_bytes <= RECEIVE_BYTES_MAX + 2 * MESSAGE_BYTES_MAX


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32))
@settings(max_examples=40)
def test_a_receive_window_holds_no_more_than_its_bound(last_tsn: int, seed: int) -> None:
    random = Random(seed)
    window = ReceiveWindow(last_tsn)
    for _ in range(600):
        tsn = (last_tsn + random.choice((random.randrange(1, 40), random.randrange(1, 8_000)))) & 0xFFFF_FFFF
        try:
            if random.random() < 0.05:
                window.forward(tsn)
            else:
                window.chunk(tsn, random.randrange(4), 0, bytes(random.choice((1, 16, 1_200, 9_000))))
        except MalformedInput:
            pass
        assert window.held_bytes <= RECEIVE_BYTES_MAX + 2 * MESSAGE_BYTES_MAX
        assert len(window._ahead) <= CHUNKS_AHEAD_MAX
        assert len(window._parts) <= CHUNKS_AHEAD_MAX + PARTS_SLACK + 1
        assert window.held_bytes == window._run_bytes + sum(len(part[2]) for part in window._parts.values())


def _seconds_a_packet(chunks: list[bytes]) -> float:
    """CPU seconds that the victim spends on a packet of many chunks, until it has enough of the peer."""
    packets = [b""]
    for item in chunks:
        if len(packets[-1]) + len(item) > PACKET_BYTES:
            packets.append(b"")
        packets[-1] += item
    with SctpLab() as lab:
        began = time.process_time()
        taken = 0
        for packet in packets:
            taken += 1
            if not lab.feed(packet):
                break
        return (time.process_time() - began) / taken


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(
            lambda tsn: [data_chunk(tsn + 1 + i, b"x", 4) for i in range(4_090)], id="middles without a first"
        ),
        pytest.param(lambda tsn: [data_chunk(tsn + i, b"x", 4) for i in range(4_090)], id="middles in order"),
        pytest.param(lambda tsn: [data_chunk(tsn + 4_090 - i, b"x", 4) for i in range(4_090)], id="backwards"),
        pytest.param(lambda tsn: [data_chunk(tsn + 1 + 2 * i, b"x") for i in range(2_040)], id="every other"),
        pytest.param(
            lambda tsn: [
                *(data_chunk(tsn + 1 + 2 * i, b"x", 4) for i in range(2_040)),
                *(chunk(192, 0, struct.pack(">L", (tsn + i) & 0xFFFF_FFFF)) for i in range(2_000)),
            ],
            id="gaps forgotten one by one",
        ),
        pytest.param(
            lambda tsn: [chunk(3, 0, struct.pack(">LLHH", tsn - 1, 1 << 20, 250, 0) + b"\0\1\xff\xff" * 250)] * 50,
            id="gap blocks that overlap",
        ),
        pytest.param(
            lambda tsn: [chunk(4, 0, struct.pack(">HH", 1, 4) * 280)] * 50, id="heartbeats of many parameters"
        ),
    ],
)
def test_no_packet_costs_more_than_a_few_milliseconds(attack: Callable[[int], list[bytes]]) -> None:
    # Every association here starts at the sequence number that the lab gives it.
    assert _seconds_a_packet(attack(FIRST_TSN)) < PACKET_SECONDS_MAX
