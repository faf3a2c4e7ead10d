"""Epoch keys, the day chain and the epoch's clock."""

from __future__ import annotations

import hashlib

import pytest

from railgun.crypto import epoch
from railgun.errors import UsageError
from railgun.types import RoomId

SECRET = b"\x11" * 32
ROOM = RoomId(b"\x22" * 32)


def _reference_hash(key: bytes, label: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(label + b"\0" + data, key=key, digest_size=32).digest()


def test_keys_follow_the_specification() -> None:
    context = (3).to_bytes(4, "big") + (1_700_000_400).to_bytes(4, "big")
    keys = epoch.derive_epoch_keys(SECRET, 3, 1_700_000_400)
    assert keys.signing_seed == _reference_hash(SECRET, b"railgun/room-sig/v1", context)
    assert keys.header_key == _reference_hash(SECRET, b"railgun/room-hdr/v1", context)
    assert keys.signing_key == keys.signing_seed + keys.tag
    assert (keys.start, keys.generation) == (1_700_000_400, 3)


def test_every_input_changes_every_key() -> None:
    base = epoch.derive_epoch_keys(SECRET, 1, 600)
    others = [
        epoch.derive_epoch_keys(b"\x12" * 32, 1, 600),
        epoch.derive_epoch_keys(SECRET, 2, 600),
        epoch.derive_epoch_keys(SECRET, 1, 1200),
    ]
    for other in others:
        assert other.tag != base.tag
        assert other.header_key != base.header_key


def test_lobby_is_an_epoch_of_generation_zero() -> None:
    assert epoch.derive_lobby_keys(SECRET, 600) == epoch.derive_epoch_keys(SECRET, 0, 600)


def test_day_chain() -> None:
    first = epoch.first_day_secret(SECRET, 1, 19_000)
    second = epoch.next_day_secret(first, 1, 19_001)
    assert first == _reference_hash(SECRET, b"railgun/day/v1", (1).to_bytes(4, "big") + (19_000).to_bytes(4, "big"))
    assert second == _reference_hash(first, b"railgun/day/v1", (1).to_bytes(4, "big") + (19_001).to_bytes(4, "big"))
    assert len({SECRET, first, second}) == 3


def test_commitment_names_the_secret() -> None:
    assert epoch.generation_commitment(SECRET) == hashlib.blake2b(b"railgun/gen/v1\0" + SECRET, digest_size=32).digest()


@pytest.mark.parametrize("wrong", [b"", b"\1" * 31, b"\1" * 33])
def test_wrong_lengths_are_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        epoch.derive_epoch_keys(wrong, 1, 600)
    with pytest.raises(ValueError, match="32 bytes"):
        epoch.first_day_secret(wrong, 1, 1)
    with pytest.raises(ValueError, match="32 bytes"):
        epoch.generation_commitment(wrong)


@pytest.mark.parametrize(("generation", "start"), [(-1, 0), (0, -1), (1 << 32, 0), (0, 1 << 32)])
def test_numbers_are_u32(generation: int, start: int) -> None:
    with pytest.raises(ValueError, match="u32"):
        epoch.derive_epoch_keys(SECRET, generation, start)


@pytest.mark.parametrize("epoch_seconds", [10, 20, 25, 600, 86_400])
def test_epoch_start_covers_the_time_and_keeps_the_offset(epoch_seconds: int) -> None:
    for number in range(40):
        room = RoomId(bytes([number]) * 32)
        offset = epoch.epoch_offset_seconds(room, epoch_seconds)
        assert 0 <= offset < epoch_seconds
        for wall in (1_700_000_000.0, 1_700_000_000.999, 1_700_000_599.5):
            start = epoch.epoch_start(wall, room, epoch_seconds)
            assert start <= wall < start + epoch_seconds
            assert start % epoch_seconds == offset


def test_offsets_are_tenths_of_an_epoch() -> None:
    offsets = {epoch.epoch_offset_seconds(RoomId(bytes([n]) * 32), 600) for n in range(200)}
    assert offsets == set(range(0, 600, 60))


def test_boundary_belongs_to_the_new_epoch() -> None:
    start = epoch.epoch_start(1_700_000_000.0, ROOM, 600)
    assert epoch.epoch_start(float(start), ROOM, 600) == start
    assert epoch.epoch_start(start - 0.001, ROOM, 600) == start - 600


@pytest.mark.parametrize("wall", [-1.0, -1e9, 2.0**32 + 700, float("nan"), float("inf")])
def test_impossible_clocks_are_the_callers_fault(wall: float) -> None:
    with pytest.raises(UsageError):
        epoch.epoch_start(wall, RoomId(bytes(32)), 600)
