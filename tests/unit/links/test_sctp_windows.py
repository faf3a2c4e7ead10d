"""railgun.links.sctp_send and sctp_receive: nothing is lost or doubled on a bad network, and memory stays bounded."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from railgun.errors import MalformedInput
from railgun.limits import (
    CHUNKS_AHEAD_MAX,
    FLIGHT_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PULSES_WAITING_MAX,
    RECEIVE_BYTES_MAX,
)
from railgun.links.sctp_receive import PARTS_SLACK, ReceiveWindow
from railgun.links.sctp_send import (
    BURST_BYTES,
    CHUNK_BYTES,
    FLAG_FIRST,
    FLAG_LAST,
    WINDOW_BYTES_FIRST,
    OutboundChunk,
    SendWindow,
)


@dataclass
class Network:
    """A sender and a receiver in virtual time, with loss, doubling and reordering."""

    rng: random.Random
    loss: float
    first_tsn: int
    jitter_seconds: float = 0.02
    delivered: list[bytes] = field(default_factory=list)
    pulses: list[bytes] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.sender = SendWindow(self.first_tsn)
        self.receiver = ReceiveWindow((self.first_tsn - 1) & 0xFFFF_FFFF)
        self.events: list[tuple[float, int, object]] = []
        self.count = 0
        self.timer = 0

    def later(self, delay: float, event: object) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now + delay, self.count, event))

    def transmit(self) -> None:
        if self.sender.forward_tsn is not None:
            self.carry(self.sender.forward_tsn)
        for chunk in self.sender.take(self.now):
            self.carry((chunk.tsn, chunk.flags, chunk.stream_id, chunk.payload))
        if self.sender.in_flight:
            self.timer += 1
            self.later(self.sender.timeout_seconds, ("timeout", self.timer))

    def carry(self, packet: object) -> None:
        for _ in range(2 if self.jitter_seconds and self.rng.random() < 0.02 else 1):
            if self.rng.random() >= self.loss:
                self.later(0.03 + self.rng.random() * self.jitter_seconds, packet)

    def run(self, seconds: float = 600.0) -> None:
        self.transmit()
        while self.events and not self.sender.idle and self.now < seconds:
            self.now, _, event = heapq.heappop(self.events)
            match event:
                case ("timeout", number):
                    if number == self.timer:
                        self.sender.timed_out()
                        self.transmit()
                case ("sack", int(cumulative), int(window), list(gaps)):
                    before = self.sender.progress
                    if self.sender.acknowledge(cumulative, window, gaps, self.now):
                        if self.sender.progress != before or not self.sender.in_flight:
                            self.timer += 1
                        self.transmit()
                case int(forward):
                    self.receiver.forward(forward)
                    self.acknowledge()
                case (tsn, flags, stream_id, payload):
                    whole = self.receiver.chunk(tsn, flags, stream_id, payload)  # type: ignore[arg-type]
                    if whole is not None:
                        (self.pulses if whole[0] else self.delivered).append(whole[1])
                    self.acknowledge()

    def acknowledge(self) -> None:
        cumulative, window, gaps, _ = self.receiver.acknowledgement()
        self.carry(("sack", cumulative, window, gaps))


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, MESSAGE_BYTES_MAX), min_size=1, max_size=30),
    loss=st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    first_tsn=st.sampled_from([0, 1, 0x7FFF_FFF0, 0xFFFF_FFF0, 0xFFFF_FFFF]),
    pulses=st.integers(0, 6),
    rng=st.randoms(use_true_random=False),
)
def test_every_message_arrives_once_whatever_the_network_does(
    lengths: list[int], loss: float, first_tsn: int, pulses: int, rng: random.Random
) -> None:
    network = Network(rng, loss, first_tsn)
    messages = [bytes([n % 256]) * length for n, length in enumerate(lengths)]
    for n, message in enumerate(messages):
        network.sender.queue(0, message)
        if n < pulses:
            network.sender.queue_unreliable(1, b"pulse")
    network.run()
    assert sorted(network.delivered) == sorted(messages)
    assert len(network.pulses) <= min(pulses, PULSES_WAITING_MAX)
    assert network.sender.idle
    assert (network.sender.flight_bytes, network.sender.queued_bytes) == (0, 0)
    assert network.receiver.held_bytes == 0


def test_bulk_fills_the_window_but_never_overfills_it() -> None:
    network = Network(random.Random(1), 0.0, 7, jitter_seconds=0.0)
    for _ in range(400):
        network.sender.queue(0, bytes(MESSAGE_BYTES_MAX))
    network.transmit()
    assert 0 < network.sender.flight_bytes <= WINDOW_BYTES_FIRST + CHUNK_BYTES
    network.run()
    assert len(network.delivered) == 400
    assert network.now < 3  # 6.5 MB at a round trip of 60 ms


def test_one_acknowledgement_a_round_trip_does_not_hold_the_flow_back() -> None:
    """A receiver that answers a whole batch at once, as ours does when a batch arrives in one turn."""
    sender = SendWindow(1)
    for _ in range(400):
        sender.queue(0, bytes(MESSAGE_BYTES_MAX))
    sizes: list[int] = []
    tsn = 0
    for trip in range(12):
        taken = sender.take(trip * 0.08)
        sizes.append(sum(len(chunk.payload) for chunk in taken))
        tsn += len(taken)
        sender.acknowledge(tsn, 1 << 20, [], trip * 0.08 + 0.08)
    assert sizes[5] > 10 * sizes[0]
    assert max(sizes) <= FLIGHT_BYTES_MAX + CHUNK_BYTES


def test_flight_is_bounded_and_the_peers_window_is_heeded() -> None:
    sender = SendWindow(1)
    for _ in range(100):
        sender.queue(0, bytes(MESSAGE_BYTES_MAX))
    now, tsn, acked = 0.0, 0, 0
    for _ in range(2_000):
        taken = sender.take(now)
        assert sum(len(chunk.payload) for chunk in taken) <= max(BURST_BYTES, 2 * acked) + CHUNK_BYTES
        assert sender.flight_bytes <= FLIGHT_BYTES_MAX + CHUNK_BYTES
        tsn += max(0, len(taken) // 2)
        now += 0.01
        before = sender.progress
        sender.acknowledge(tsn, 1 << 20, [], now)
        acked = sender.progress - before
    shut = SendWindow(1)
    shut.queue(0, bytes(MESSAGE_BYTES_MAX))
    first = shut.take(0.0)
    shut.acknowledge(first[-1].tsn, 0, [], 0.1)
    shut.queue(0, bytes(MESSAGE_BYTES_MAX))
    assert len(shut.take(0.2)) == 1  # one probe at a time into a closed window


@pytest.mark.parametrize("cumulative", [0x9000_0000, 500, 0])
def test_impossible_acknowledgements_change_nothing(cumulative: int) -> None:
    sender = SendWindow(1_000)
    sender.queue(0, bytes(5_000))
    sender.take(0.0)
    before = sender.flight_bytes
    assert not sender.acknowledge(cumulative, 0, [(1, 65_535)] * 300, 1.0)
    assert not sender.acknowledge(1_000_000, 0, [], 1.0)
    assert sender.flight_bytes == before


def test_gap_reports_without_sense_cost_little_and_end_with_nothing_lost() -> None:
    sender = SendWindow(1)
    for _ in range(50):
        sender.queue(0, bytes(MESSAGE_BYTES_MAX))
    sender.take(0.0)
    for _ in range(50):
        sender.acknowledge(0, 1 << 20, [(65_535, 1), (1, 65_535), (3, 2)] * 100, 1.0)
        sender.take(1.0)
    assert sender.flight_bytes >= 0


@given(
    st.lists(
        st.tuples(st.integers(0, 9_000), st.integers(0, 7), st.binary(min_size=1, max_size=1_200)), max_size=200
    )
)
def test_a_receiver_survives_any_chunks_within_its_bounds(chunks: list[tuple[int, int, bytes]]) -> None:
    receiver = ReceiveWindow(0)
    for tsn, flags, payload in chunks:
        try:
            receiver.chunk(tsn, flags, 0, payload)
        except MalformedInput:
            return
        receiver.acknowledgement()
        assert 0 <= receiver.held_bytes <= RECEIVE_BYTES_MAX + MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    ("flags", "size"), [(0, 1), (FLAG_FIRST, 1), (FLAG_LAST, 1), (FLAG_FIRST, 1_160), (0, 1_160), (4, 0)]
)
def test_endless_unfinished_messages_are_cut_off(flags: int, size: int) -> None:
    receiver = ReceiveWindow(0)
    fed = 0

    def feed() -> None:
        nonlocal fed
        for tsn in range(1, 100_000):
            fed += size
            receiver.chunk(tsn, flags, 0, bytes(size))

    with pytest.raises(MalformedInput):
        feed()
    assert fed <= RECEIVE_BYTES_MAX + 2 * MESSAGE_BYTES_MAX
    assert len(receiver._parts) <= CHUNKS_AHEAD_MAX + PARTS_SLACK + 1


def test_chunks_far_ahead_are_not_kept() -> None:
    receiver = ReceiveWindow(0)
    for tsn in range(CHUNKS_AHEAD_MAX + 1, CHUNKS_AHEAD_MAX + 2_000):
        assert receiver.chunk(tsn, FLAG_FIRST, 0, b"x") is None
    assert receiver.held_bytes == 0
    assert not receiver.disturbed


def test_a_repeated_chunk_is_delivered_once_and_reported() -> None:
    receiver = ReceiveWindow(0)
    whole = FLAG_FIRST | FLAG_LAST
    assert receiver.chunk(1, whole, 0, b"a") == (0, b"a")
    assert receiver.chunk(1, whole, 0, b"a") is None
    assert receiver.disturbed
    assert receiver.acknowledgement()[3] == [1]


def test_outbound_chunks_compare_by_identity() -> None:
    """Two of one content are two: the send window looks them up in no set."""
    assert OutboundChunk(1, 0, 0, b"", True) != OutboundChunk(1, 0, 0, b"", True)
