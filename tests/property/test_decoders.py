"""Every decoder of the project: a value, or the one documented error, in bounded time and memory.

The targets, and what must hold of each, are those of `make soak` (tests/fuzz/targets.py); here hypothesis feeds them.
"""

from __future__ import annotations

import time
import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from railgun.wire.schema import Nested, Optional, Shape, shapes_of
from tests.fuzz.mutations import mutated, respelt
from tests.fuzz.samples import Sampler, all_codecs
from tests.fuzz.targets import SEED, Target, all_targets

SECONDS_MAX = 10.0
"""For one input of the greatest size: milliseconds on any machine, hours where something grows out of bounds."""
ROUNDS = 12
"""Mutations tried for each example that hypothesis draws."""
EXAMPLES = {"store": 4, "sctp": 10, "sessions": 10}

TARGETS = all_targets()
each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


def _examples(target: Target) -> int:
    return EXAMPLES.get(target.group, 20)


def test_names_are_unique_and_every_codec_is_a_target() -> None:
    names = [target.name for target in TARGETS]
    assert len(names) == len(set(names))
    assert set(all_codecs()) <= set(names)
    assert {"wire.frames.frames", "wire.sealed.answers", "links.handshake.codec"} <= set(names)


@each_target
def test_there_are_valid_inputs_to_start_from(target: Target) -> None:
    accepted = [target.check(data) for data in target.seed_inputs]
    assert any(accepted) or target.name == "unwrap"


@each_target
def test_random_bytes_are_a_value_or_the_documented_error(target: Target) -> None:
    @given(st.binary(max_size=300))
    @settings(max_examples=_examples(target))
    def holds(data: bytes) -> None:
        target.check(data)

    holds()


@each_target
def test_spoilt_inputs_are_a_value_or_the_documented_error(target: Target) -> None:
    @given(st.integers(0, 2**64 - 1))
    @settings(max_examples=_examples(target))
    def holds(seed: int) -> None:
        random = Random(seed)
        for _ in range(ROUNDS):
            data = mutated(random.choice(target.seed_inputs), random, target.seed_inputs)
            target.check(data[: target.bytes_max + 1])

    holds()


@pytest.mark.parametrize("label", all_codecs())
def test_what_a_codec_encodes_it_decodes_to_the_same(label: str) -> None:
    codec = all_codecs()[label]

    @given(st.integers(0, 2**64 - 1), st.sampled_from([0.0, 0.05, 0.3]))
    @settings(max_examples=10)
    def holds(seed: int, generous: float) -> None:
        sampler = Sampler(Random(seed), generous)
        for cls in codec.classes.values():
            data = sampler.encoded(codec, cls)
            value = codec.decode(data)
            assert type(value) is cls
            assert codec.encode(value) == data

    holds()


@pytest.mark.parametrize("label", all_codecs())
def test_no_other_spelling_of_a_codec_s_value_is_taken(label: str) -> None:
    codec = all_codecs()[label]
    target = next(target for target in TARGETS if target.name == label)

    @given(st.integers(0, 2**64 - 1))
    @settings(max_examples=10)
    def holds(seed: int) -> None:
        random = Random(seed)
        for cls in codec.classes.values():
            target.check(respelt(Sampler(random).encoded(codec, cls), random))

    holds()


def _shapes_below(cls: type) -> list[tuple[str, Shape]]:
    found = []
    for name, shape in shapes_of(cls):
        inner = shape
        while (item := getattr(inner, "item", None)) is not None:
            inner = item
        if isinstance(inner, Nested):
            found += [(f"{cls.__name__}.{name}.{below}", shape) for below, shape in _shapes_below(inner.cls)]
        found.append((f"{cls.__name__}.{name}", shape))
    return found


@pytest.mark.parametrize("label", all_codecs())
def test_only_a_whole_item_s_own_fields_are_optional(label: str) -> None:
    """A nested structure is an array of all its fields: an absent one would have no place in it."""
    for cls in all_codecs()[label].classes.values():
        for name, shape in _shapes_below(cls):
            assert not (isinstance(shape, Optional) and name.count(".") > 1), name


def _largest(target: Target) -> list[bytes]:
    """Inputs of the greatest size that are likely to cost most, and one beyond it."""
    most = target.bytes_max
    random = Random(SEED)
    longest = max(target.seed_inputs, key=len)
    made = [random.randbytes(most), bytes(most), b"\xff" * most, (longest * (most // len(longest) + 1))[:most]]
    made += [(unit * most)[:most] for unit in (b"\x80", b"=", b"[a.", b"\xc3\xa4")]
    starts = [seed[: len(seed) // 2] for seed in target.seed_inputs[:3]]
    made += [(start + b"\x9a\0\0\xff\xff" + b"\x80" * most)[:most] for start in starts]
    head = b"\x9a" + min(most, 65_000).to_bytes(4, "big")
    made.append((head + b"\xa0" * most)[:most])
    return [*made, bytes(most + 1), longest + bytes(most)]


@each_target
def test_the_largest_inputs_stay_within_time_and_memory(target: Target) -> None:
    inputs = _largest(target)
    target.check(inputs[0])  # imports and caches are nobody's fault
    for data in inputs:
        began = time.process_time()
        tracemalloc.start()
        try:
            target.check(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= target.memory_bytes_max(len(data))
        assert time.process_time() - began < SECONDS_MAX
