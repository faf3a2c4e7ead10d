"""Whatever bytes come in: a value, or the one documented error."""

from __future__ import annotations

import math
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from railgun.crypto import sealing, wrapping
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.epoch import derive_epoch_keys, epoch_start, first_day_secret, next_day_secret
from railgun.crypto.identity import verify_certificate
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError, MalformedInput, PeerError, StoreError
from railgun.types import EnvelopeKind, RoomId, SizeClass
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.envelope import (
    NO_HINT,
    Inner,
    body_bytes_max,
    pack_header,
    pack_inner,
    parse_envelope,
    smallest_class_for,
    unpack_inner,
)

KEYS = derive_epoch_keys(b"\x61" * 32, 1, 1_700_000_400)
PICKLE_KEY = b"\x62" * 32
REAL = VodozemacSessions()
SIMULATED = DeterministicSessions(b"properties")

secrets = st.binary(min_size=32, max_size=32)
u32s = st.integers(0, 2**32 - 1)
small_envelopes = st.binary(min_size=256, max_size=256) | st.builds(
    lambda head, rest: head + rest,
    st.sampled_from([b"\1\0", b"\1\1", b"\2\0", b"\1\0" + KEYS.start.to_bytes(4, "big") + KEYS.tag]),
    st.binary(min_size=218, max_size=254),
)


@given(st.binary(max_size=300) | small_envelopes)
def test_any_bytes_are_an_envelope_or_malformed(data: bytes) -> None:
    try:
        parsed = parse_envelope(data)
    except MalformedInput:
        return
    assert pack_header(parsed.header) == data[:38]
    assert parsed.signed_part + parsed.signature == data


@given(small_envelopes)
def test_any_bytes_are_refused_by_relay_and_member(data: bytes) -> None:
    for operation in (sealing.check_envelope, lambda value: sealing.open_envelope(KEYS, value)):
        try:
            operation(data)
        except (PeerError, CryptoError):
            continue
        raise AssertionError("random bytes were accepted")


@given(
    st.binary(min_size=126, max_size=126)
    | st.builds(
        lambda kind, hint, length, body: bytes([kind]) + hint + length.to_bytes(2, "big") + body.ljust(115, b"\0"),
        st.integers(0, 5),
        st.sampled_from([NO_HINT, b"hinthint"]),
        st.integers(0, 130),
        st.binary(max_size=115),
    )
)
def test_an_inner_part_has_one_encoding(data: bytes) -> None:
    try:
        inner = unpack_inner(data)
    except MalformedInput:
        return
    assert pack_inner(inner.kind, inner.hint, inner.body, SizeClass.SMALL) == data


@settings(max_examples=40)
@given(
    secrets,
    u32s,
    u32s,
    st.sampled_from(EnvelopeKind),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 2).flatmap(
        lambda number: st.tuples(st.just(SizeClass(number)), st.integers(0, body_bytes_max(SizeClass(number))))
    ),
    st.binary(min_size=12, max_size=12),
)
def test_what_is_sealed_is_checked_and_opened(
    secret: bytes,
    generation: int,
    start: int,
    kind: EnvelopeKind,
    hint: bytes,
    shape: tuple[SizeClass, int],
    nonce: bytes,
) -> None:
    size_class, body_bytes = shape
    keys = derive_epoch_keys(secret, generation, start)
    hint = hint if kind in {EnvelopeKind.GROUP, EnvelopeKind.PAIRWISE} else NO_HINT
    body = (nonce * (body_bytes // 12 + 1))[:body_bytes]
    data = sealing.seal_envelope(keys, kind, hint, body, size_class, nonce)
    assert len(data) == size_class.envelope_bytes
    assert sealing.open_envelope(keys, data) == Inner(kind, hint, body)
    header, envelope_id = sealing.check_envelope(data)
    assert (header.epoch_start, header.tag, envelope_id) == (start, keys.tag, sealing.envelope_id(data))


@given(st.integers(0, 65_395))
def test_the_smallest_class_is_the_smallest(body_bytes: int) -> None:
    size_class = smallest_class_for(body_bytes)
    assert body_bytes <= body_bytes_max(size_class)
    assert size_class == 0 or body_bytes > body_bytes_max(SizeClass(size_class - 1))


@given(st.floats(100_000, 2**32 - 1), secrets, st.integers(10, 86_400))
def test_every_moment_has_one_epoch(wall_seconds: float, room: bytes, epoch_seconds: int) -> None:
    start = epoch_start(wall_seconds, RoomId(room), epoch_seconds)
    assert start <= math.floor(wall_seconds) < start + epoch_seconds
    assert epoch_start(start, RoomId(room), epoch_seconds) == start
    assert epoch_start(start + epoch_seconds - 1, RoomId(room), epoch_seconds) == start


@given(secrets, u32s, st.integers(0, 2**32 - 2))
def test_day_secrets_never_repeat(secret: bytes, generation: int, day: int) -> None:
    first = first_day_secret(secret, generation, day)
    second = next_day_secret(first, generation, day + 1)
    assert len({secret, first, second}) == 3


@given(st.binary(max_size=2_100))
def test_any_bytes_are_no_certificate(data: bytes) -> None:
    try:
        certificate = verify_certificate(data)
    except PeerError:
        return
    assert CERTIFICATES.encode(certificate) == data


@given(st.binary(max_size=300), st.sampled_from([b"", b"\3\x08\0\x12\x10", b"\3\x08\0\x12\xff\xff\xff\xff\x0f"]))
def test_any_bytes_are_no_megolm_message(data: bytes, prefix: bytes) -> None:
    for sessions in (REAL, SIMULATED):
        inbound = sessions.megolm_import(sessions.megolm_new(PICKLE_KEY).session_key, PICKLE_KEY)
        try:
            sessions.megolm_decrypt(inbound.pickle, PICKLE_KEY, prefix + data)
        except CryptoError:
            continue
        raise AssertionError("random bytes were accepted")


@given(st.binary(max_size=300), st.sampled_from([b"", b"\1", b"\2", b"megolm-out\0", b"megolm-in\0", b"olm-account\0"]))
def test_any_bytes_are_no_session_state(data: bytes, prefix: bytes) -> None:
    for sessions in (REAL, SIMULATED):
        for value in (prefix + data, (prefix + data).ljust(1536), (prefix + data).ljust(229, b"\0")):
            for operation in (
                sessions.megolm_import,
                sessions.megolm_outbound,
                sessions.olm_account,
                lambda pickle, key, sessions=sessions: sessions.megolm_export(pickle, key, 0),
            ):
                try:
                    operation(value, PICKLE_KEY)
                except CryptoError:
                    continue
                raise AssertionError("random bytes were accepted")


@settings(max_examples=30)
@given(st.binary(max_size=1_200))
def test_any_bytes_open_under_no_hpke_secret(data: bytes) -> None:
    for sessions in (REAL, SIMULATED):
        try:
            sessions.hpke_open(PICKLE_KEY, b"", data.ljust(1_136, b"\1"))
        except CryptoError:
            continue
        raise AssertionError("random bytes were accepted")


@given(st.binary(max_size=300))
def test_any_bytes_are_no_wrapped_key(data: bytes) -> None:
    attempts: tuple[Callable[[], bytes], ...] = (
        lambda: wrapping.unwrap_with_passphrase(data, "x"),
        lambda: wrapping.unwrap_with_key_file(data, PICKLE_KEY),
    )
    for attempt in attempts:
        try:
            attempt()
        except StoreError:
            continue
        raise AssertionError("random bytes were accepted")
