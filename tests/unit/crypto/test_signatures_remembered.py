"""Signatures that one process has verified already (spec: encoding, signatures)."""

from __future__ import annotations

import pytest
from nacl import bindings

from railgun.crypto.signing import public_key_of, sign, signatures_remembered, verify

SEED = bytes(range(32))
KEY = public_key_of(SEED)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """One item for each time that libsodium was asked."""
    asked: list[bytes] = []
    real = bindings.crypto_sign_open

    def counted(signed: bytes, key: bytes) -> bytes:
        asked.append(signed)
        return bytes(real(signed, key))

    monkeypatch.setattr(bindings, "crypto_sign_open", counted)
    return asked


def test_good_and_bad_are_told_apart_as_ever_and_each_is_checked_once(checks: list[bytes]) -> None:
    good = sign(SEED, "label", b"content")
    bad = bytes([good[0] ^ 1]) + good[1:]
    with signatures_remembered(16):
        for _ in range(3):
            assert verify(KEY, "label", b"content", good)
            assert not verify(KEY, "label", b"content", bad)
            assert not verify(KEY, "other", b"content", good)
            assert not verify(KEY, "label", b"other", good)
            assert not verify(public_key_of(bytes(32)), "label", b"content", good)
            assert not verify(KEY, "label", b"content", good[:-1])
    assert len(checks) == 5


def test_what_was_signed_within_is_not_verified_at_all_and_nothing_else_is_believed(checks: list[bytes]) -> None:
    with signatures_remembered(16):
        made = sign(SEED, "label", b"content")
        assert verify(KEY, "label", b"content", made)
        assert checks == []
        for key, label, content, signature in (
            (public_key_of(bytes(32)), "label", b"content", made),
            (KEY, "other", b"content", made),
            (KEY, "label", b"other", made),
            (KEY, "label", b"content", made[:-1] + bytes([made[-1] ^ 1])),
        ):
            assert not verify(key, label, content, signature)
        assert len(checks) == 4


def test_signatures_made_give_way_too(checks: list[bytes]) -> None:
    with signatures_remembered(2):
        for number in range(3):
            sign(SEED, "label", bytes([number]))
        assert verify(KEY, "label", bytes([2]), sign(SEED, "label", bytes([2])))
        assert checks == [], "the newest are kept"
        assert verify(KEY, "label", bytes([0]), sign(bytes(SEED), "label", bytes([0])))
        assert checks == [], "made anew, known anew"


def test_nothing_is_remembered_outside_of_it(checks: list[bytes]) -> None:
    good = sign(SEED, "label", b"content")
    with signatures_remembered(16):
        assert verify(KEY, "label", b"content", good)
    for _ in range(2):
        assert verify(KEY, "label", b"content", good)
    assert len(checks) == 3


def test_the_oldest_gives_way(checks: list[bytes]) -> None:
    signatures = [sign(SEED, "label", bytes([number])) for number in range(5)]
    with signatures_remembered(4):
        for number, signature in enumerate(signatures):
            assert verify(KEY, "label", bytes([number]), signature)
        assert verify(KEY, "label", bytes([4]), signatures[4])
        assert len(checks) == 5
        assert verify(KEY, "label", bytes([0]), signatures[0])
        assert len(checks) == 6
