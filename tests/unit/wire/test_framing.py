"""railgun.wire.framing: coalescing, fragmentation, and what it refuses."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import (
    FRAGMENT_BYTES_MAX,
    FRAGMENTED_FRAMES_MAX,
    FRAME_BYTES_MAX,
    HANDSHAKE_BYTES_MAX,
    MESSAGE_BYTES_MAX,
)
from railgun.wire.framing import (
    Frame,
    FrameDecoder,
    FrameEncoder,
    Goodbye,
    Handshake,
    goodbye_message,
    handshake_message,
)


def decode_all(messages: list[bytes]) -> list[bytes]:
    decoder = FrameDecoder()
    return [item.data for message in messages for item in decoder.decode(message) if isinstance(item, Frame)]


def test_small_frames_share_one_message() -> None:
    frames = [bytes([n]) * 300 for n in range(50)]
    messages = FrameEncoder().encode(frames)
    assert len(messages) == 1
    assert decode_all(messages) == frames


@pytest.mark.parametrize("length", [1, 16_380, 16_381, 16_382, 32_000, 32_001, 65_536, FRAME_BYTES_MAX])
def test_every_length_comes_back_whole(length: int) -> None:
    frame = random.Random(length).randbytes(length)
    messages = FrameEncoder().encode([frame])
    assert all(len(message) <= MESSAGE_BYTES_MAX for message in messages)
    assert (len(messages) == 1) == (length <= 16_381)
    assert decode_all(messages) == [frame]


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1])
def test_impossible_frames_are_the_callers_fault(length: int) -> None:
    with pytest.raises(ValueError, match="a frame has"):
        FrameEncoder().encode([b"x" * length])


@given(st.lists(st.integers(1, FRAME_BYTES_MAX), max_size=6), st.randoms(use_true_random=False))
def test_any_order_of_messages_gives_the_same_frames(lengths: list[int], rng: random.Random) -> None:
    frames = [bytes([n + 1]) * length for n, length in enumerate(lengths)]
    messages = FrameEncoder().encode(frames)
    rng.shuffle(messages)
    assert sorted(decode_all(messages)) == sorted(frames)


@given(st.binary(max_size=200))
def test_any_bytes_give_items_or_the_one_error(data: bytes) -> None:
    decoder = FrameDecoder()
    try:
        items = decoder.decode(data)
    except MalformedInput:
        return
    assert all(isinstance(item, (Frame, Goodbye, Handshake)) for item in items)
    assert decoder.held_bytes <= len(data)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 60))
def test_truncated_messages_are_refused(frame: bytes, cut: int) -> None:
    message = FrameEncoder().encode([frame])[0]
    if cut < len(message):
        with pytest.raises(MalformedInput):
            FrameDecoder().decode(message[:cut])


def test_goodbye_and_handshake_round_trip() -> None:
    assert FrameDecoder().decode(goodbye_message(RefusalCode.BUSY, 5_000)) == [Goodbye(RefusalCode.BUSY, 5_000)]
    assert FrameDecoder().decode(goodbye_message(RefusalCode.BUSY, None)) == [Goodbye(RefusalCode.BUSY, None)]
    assert FrameDecoder().decode(handshake_message(b"hi")) == [Handshake(b"hi")]
    with pytest.raises(ValueError, match="handshake message"):
        handshake_message(bytes(HANDSHAKE_BYTES_MAX + 1))


def fragment(transfer: int, index: int, count: int, payload: bytes) -> bytes:
    body = transfer.to_bytes(4, "big") + index.to_bytes(2, "big") + count.to_bytes(2, "big") + payload
    return b"\x01" + len(body).to_bytes(2, "big") + body


FULL = bytes(FRAGMENT_BYTES_MAX)


@pytest.mark.parametrize(
    "messages",
    [
        [b""],
        [bytes(MESSAGE_BYTES_MAX + 1)],
        [b"\x00\x00\x00"],
        [b"\x09\x00\x01x"],
        [b"\x02\x00\x01x"],
        [b"\x02\x00\x05\xff\x00\x00\x00\x00"],
        [b"\x03" + (HANDSHAKE_BYTES_MAX + 1).to_bytes(2, "big") + bytes(HANDSHAKE_BYTES_MAX + 1)],
        [fragment(1, 0, 1, FULL)],
        [fragment(1, 0, 6, FULL)],
        [fragment(1, 2, 2, b"x")],
        [fragment(1, 0, 2, b"short")],
        [fragment(1, 1, 2, b"")],
        [fragment(1, 0, 2, FULL), fragment(1, 0, 2, FULL)],
        [fragment(1, 0, 2, FULL), fragment(1, 1, 3, FULL)],
        [fragment(1, n, 5, FULL) for n in range(5)],
    ],
)
def test_what_no_honest_peer_sends(messages: list[bytes]) -> None:
    decoder = FrameDecoder()
    for message in messages[:-1]:
        decoder.decode(message)
    with pytest.raises(MalformedInput):
        decoder.decode(messages[-1])


def test_unfinished_frames_are_bounded_and_the_oldest_goes() -> None:
    decoder = FrameDecoder()
    for transfer in range(1_000):
        assert decoder.decode(fragment(transfer, 0, 2, FULL)) == []
        assert decoder.held_bytes <= FRAGMENTED_FRAMES_MAX * FRAGMENT_BYTES_MAX
    assert decoder.frames_dropped == 1_000 - FRAGMENTED_FRAMES_MAX
    assert decoder.decode(fragment(999, 1, 2, b"end")) == [Frame(FULL + b"end")]
