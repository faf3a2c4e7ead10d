"""Secrets at rest: they open under the right passphrase or key file, and a hostile file costs nothing."""

from __future__ import annotations

import tracemalloc

import pytest

from railgun.crypto import wrapping
from railgun.errors import CryptoError, StoreError, UsageError, WrongPassphrase
from railgun.wire import cbor

DATA_KEY = b"\x51" * 32
KEY_FILE = b"\x52" * 32
SALT = b"\x53" * 16
NONCE = b"\x54" * 24


def _wrap(passphrase: str = "correct horse") -> bytes:
    return wrapping.wrap_with_passphrase(
        DATA_KEY, passphrase, salt=SALT, nonce=NONCE, operations=1, memory_bytes=8 << 10
    )


def test_passphrase_round_trip() -> None:
    wrapped = _wrap()
    assert wrapping.needs_passphrase(wrapped)
    assert wrapping.unwrap_with_passphrase(wrapped, "correct horse") == DATA_KEY
    assert DATA_KEY not in wrapped
    for wrong in ("correct hors", "Correct horse", "correct horse "):
        with pytest.raises(WrongPassphrase):
            wrapping.unwrap_with_passphrase(wrapped, wrong)


def test_defaults_are_readable_again() -> None:
    wrapped = wrapping.wrap_with_passphrase(DATA_KEY, "x", salt=SALT, nonce=NONCE)
    assert wrapping.unwrap_with_passphrase(wrapped, "x") == DATA_KEY


def test_a_passphrase_may_be_typed_composed_or_decomposed() -> None:
    assert wrapping.unwrap_with_passphrase(_wrap("caf\u00e9"), "cafe\u0301") == DATA_KEY


@pytest.mark.parametrize("passphrase", ["", "\ud800"])
def test_a_passphrase_is_text(passphrase: str) -> None:
    with pytest.raises(UsageError):
        _wrap(passphrase)
    with pytest.raises(UsageError):
        wrapping.unwrap_with_passphrase(_wrap(), passphrase)


def test_key_file_round_trip() -> None:
    wrapped = wrapping.wrap_with_key_file(DATA_KEY, KEY_FILE, nonce=NONCE)
    assert not wrapping.needs_passphrase(wrapped)
    assert wrapping.unwrap_with_key_file(wrapped, KEY_FILE) == DATA_KEY
    with pytest.raises(WrongPassphrase):
        wrapping.unwrap_with_key_file(wrapped, b"\x55" * 32)
    with pytest.raises(UsageError, match="exactly 32 bytes, this one 31"):
        wrapping.unwrap_with_key_file(wrapped, KEY_FILE[:-1])


def test_the_text_says_which_of_the_two_is_wanted() -> None:
    with pytest.raises(WrongPassphrase, match="open with a key file"):
        wrapping.unwrap_with_passphrase(wrapping.wrap_with_key_file(DATA_KEY, KEY_FILE, nonce=NONCE), "x")
    with pytest.raises(WrongPassphrase, match="open with a passphrase"):
        wrapping.unwrap_with_key_file(_wrap(), KEY_FILE)


def _hostile(**changes: int) -> bytes:
    fields = {"operations": 1, "memory_bytes": 8 << 10} | changes
    return cbor.encode({0: 1, 1: SALT, 2: fields["operations"], 3: fields["memory_bytes"], 4: NONCE, 5: bytes(48)})


@pytest.mark.parametrize(
    "wrapped",
    [
        b"",
        b"\0" * 100,
        _wrap()[:-1],
        _wrap() + b"\0",
        bytes(10_000),
        _hostile(memory_bytes=(1 << 30) + 1),
        _hostile(memory_bytes=1 << 50),
        _hostile(memory_bytes=(8 << 10) - 1),
        _hostile(operations=0),
        _hostile(operations=17),
        cbor.encode({0: 3}),
    ],
)
def test_damaged_or_hostile_headers_cost_nothing(wrapped: bytes) -> None:
    tracemalloc.start()
    try:
        for unwrap in (
            lambda: wrapping.unwrap_with_passphrase(wrapped, "x"),
            lambda: wrapping.unwrap_with_key_file(wrapped, KEY_FILE),
            lambda: wrapping.needs_passphrase(wrapped),
        ):
            with pytest.raises(StoreError) as caught:
                unwrap()
            assert not isinstance(caught.value, WrongPassphrase)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_changed_parameters_do_not_open() -> None:
    wrapped = cbor.decode(_wrap(), bytes_max=256)
    assert isinstance(wrapped, dict)
    for key, value in ((1, b"s" * 16), (2, 2), (3, 16 << 10), (4, b"n" * 24), (5, bytes(48))):
        with pytest.raises(WrongPassphrase):
            wrapping.unwrap_with_passphrase(cbor.encode({**wrapped, key: value}), "correct horse")


def test_what_cannot_be_read_back_is_not_written() -> None:
    for changes in ({"operations": 17}, {"memory_bytes": (1 << 30) + 1}, {"operations": 0}, {"memory_bytes": 1}):
        with pytest.raises(ValueError, match="Argon2id"):
            wrapping.wrap_with_passphrase(DATA_KEY, "x", salt=SALT, nonce=NONCE, **changes)
    with pytest.raises(ValueError, match="data key"):
        wrapping.wrap_with_key_file(b"short", KEY_FILE, nonce=NONCE)


def test_secrets_open_under_their_key_and_context_only() -> None:
    sealed = wrapping.seal_secret(DATA_KEY, "room/1", b"secret", NONCE)
    assert len(sealed) == 6 + 40
    assert wrapping.open_secret(DATA_KEY, "room/1", sealed) == b"secret"
    for key, context, data in (
        (b"\x56" * 32, "room/1", sealed),
        (DATA_KEY, "room/2", sealed),
        (DATA_KEY, "room/1", sealed[:-1]),
        (DATA_KEY, "room/1", b"\0" + sealed[1:]),
        (DATA_KEY, "room/1", b""),
    ):
        with pytest.raises(CryptoError):
            wrapping.open_secret(key, context, data)
    with pytest.raises(ValueError, match="nonce"):
        wrapping.seal_secret(DATA_KEY, "", b"", b"short")


def test_subkeys_differ_by_purpose_and_key() -> None:
    keys = {wrapping.subkey(DATA_KEY, "a"), wrapping.subkey(DATA_KEY, "b"), wrapping.subkey(KEY_FILE, "a"), DATA_KEY}
    assert len(keys) == 4
