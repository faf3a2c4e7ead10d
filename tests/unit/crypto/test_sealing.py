"""Envelopes end to end: sealed, checked by a relay, opened by a member, and tampered with."""

from __future__ import annotations

import pytest

from railgun.crypto import sealing
from railgun.crypto.epoch import EpochKeys, derive_epoch_keys
from railgun.crypto.hashing import content_hash
from railgun.crypto.signing import sign_digest
from railgun.errors import CryptoError, MalformedInput, PeerError, RefusalCode
from railgun.types import EnvelopeKind, SizeClass
from railgun.wire.envelope import Inner, body_bytes_max

KEYS = derive_epoch_keys(b"\x11" * 32, 1, 1_700_000_400)
NONCE = bytes(range(12))
HINT = b"hinthint"


def _seal(size_class: SizeClass = SizeClass.SMALL, body: bytes = b"body", keys: EpochKeys = KEYS) -> bytes:
    return sealing.seal_envelope(keys, EnvelopeKind.GROUP, HINT, body, size_class, NONCE)


def _flip(data: bytes, offset: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("size_class", list(SizeClass))
def test_sealed_envelopes_have_their_class_size_and_open_again(size_class: SizeClass) -> None:
    for body in (b"", b"body", b"\0" * body_bytes_max(size_class)):
        data = _seal(size_class, body)
        assert len(data) == size_class.envelope_bytes
        assert sealing.open_envelope(KEYS, data) == Inner(EnvelopeKind.GROUP, HINT, body)
        header, envelope_id = sealing.check_envelope(data)
        assert (header.size_class, header.epoch_start, header.tag) == (size_class, KEYS.start, KEYS.tag)
        assert envelope_id == sealing.envelope_id(data) == content_hash(data[:-64])[:16]


def test_a_relay_refuses_any_changed_bit() -> None:
    data = _seal()
    for offset in (2, 5, 6, 37, 38, 49, 50, 100, 191, 192, 255):
        with pytest.raises(PeerError) as caught:
            sealing.check_envelope(_flip(data, offset))
        assert caught.value.code is RefusalCode.BAD_SIGNATURE


def test_a_member_refuses_any_changed_bit_that_it_would_read() -> None:
    data = _seal()
    for offset in (2, 6, 37, 38, 49, 50, 191):
        with pytest.raises(CryptoError):
            sealing.open_envelope(KEYS, _flip(data, offset))


def test_layout_errors_come_before_any_cipher() -> None:
    for wrong, code in ((b"", RefusalCode.WRONG_SIZE), (_flip(_seal(), 0), RefusalCode.UNSUPPORTED_VERSION)):
        for function in (sealing.check_envelope, sealing.envelope_id, lambda data: sealing.open_envelope(KEYS, data)):
            with pytest.raises(MalformedInput) as caught:
                function(wrong)
            assert caught.value.code is code


def test_other_epochs_and_generations_do_not_open() -> None:
    data = _seal()
    for other in (derive_epoch_keys(b"\x11" * 32, 1, KEYS.start + 600), derive_epoch_keys(b"\x11" * 32, 2, KEYS.start)):
        with pytest.raises(CryptoError):
            sealing.open_envelope(other, data)


def test_another_signing_key_cannot_speak_for_the_tag() -> None:
    other = derive_epoch_keys(b"\x12" * 32, 1, KEYS.start)
    data = _seal()
    forged = data[:-64] + sign_digest(other.signing_key, sealing.ENVELOPE_LABEL, content_hash(data[:-64]))
    with pytest.raises(PeerError):
        sealing.check_envelope(forged)


def test_the_label_separates_domains() -> None:
    data = _seal()
    relabelled = data[:-64] + sign_digest(KEYS.signing_key, "railgun/tag/v1", content_hash(data[:-64]))
    with pytest.raises(PeerError):
        sealing.check_envelope(relabelled)


def test_caller_mistakes_are_value_errors() -> None:
    with pytest.raises(ValueError, match="nonce"):
        sealing.seal_envelope(KEYS, EnvelopeKind.GROUP, HINT, b"", SizeClass.SMALL, b"short")
    with pytest.raises(ValueError, match="do not fit"):
        _seal(body=b"x" * 116)
