"""Message ids and hints."""

from __future__ import annotations

import hashlib

import pytest

from railgun.crypto.message_ids import group_hint, message_id, pairwise_hint
from railgun.types import DeviceKey

AUTHOR = DeviceKey(b"\x31" * 32)


def _hash(label: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(label + b"\0" + data, digest_size=32).digest()


def test_ids_and_hints_follow_the_specification() -> None:
    assert message_id(AUTHOR, b"megolm") == _hash(b"railgun/message/v1", AUTHOR + b"megolm")[:16]
    assert group_hint(b"s" * 32) == _hash(b"railgun/hint/v1", b"s" * 32)[:8]
    assert pairwise_hint(AUTHOR, 600) == _hash(b"railgun/hint/v1", AUTHOR + (600).to_bytes(4, "big"))[:8]


def test_an_id_depends_on_author_and_bytes() -> None:
    ids = {
        message_id(AUTHOR, b"one"),
        message_id(AUTHOR, b"two"),
        message_id(DeviceKey(b"\x32" * 32), b"one"),
    }
    assert len(ids) == 3


def test_a_short_author_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        message_id(DeviceKey(AUTHOR[:31]), b"\x31megolm")
