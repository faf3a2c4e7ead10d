"""Both implementations of the `Sessions` port, against one contract, and their sizes against each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from railgun.crypto import sessions as real
from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.errors import CryptoError
from railgun.ports import Sessions

KEY = b"\x0b" * 32
SECRET = b"\x0c" * 32

Make = Callable[[], Sessions]


def _make_real() -> Sessions:
    return real.VodozemacSessions()


def _make_simulated() -> Sessions:
    return DeterministicSessions(b"seed")


@pytest.fixture(params=[_make_real, _make_simulated], ids=["vodozemac", "deterministic"])
def make(request: pytest.FixtureRequest) -> Make:
    chosen: Make = request.param
    return chosen


def test_megolm_round_trip_with_the_state_carried_by_the_caller(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    inbound = sessions.megolm_import(outbound.session_key, KEY)
    assert inbound.session_id == outbound.session_id
    assert (inbound.first_index, outbound.next_index) == (0, 0)
    pickle = outbound.pickle
    for index, plaintext in enumerate((b"", b"a", b"b" * 15, b"c" * 16, b"d" * 65_000)):
        encrypted = sessions.megolm_encrypt(pickle, KEY, plaintext)
        pickle = encrypted.pickle
        assert encrypted.index == index
        decrypted = sessions.megolm_decrypt(inbound.pickle, KEY, encrypted.message)
        assert (decrypted.index, decrypted.plaintext) == (index, plaintext)
    assert sessions.megolm_outbound(pickle, KEY).next_index == 5


def test_pickles_outlive_the_process(make: Make) -> None:
    first = make()
    outbound = first.megolm_new(KEY)
    inbound = first.megolm_import(outbound.session_key, KEY)
    encrypted = first.megolm_encrypt(outbound.pickle, KEY, b"one")
    account = first.olm_account_new(KEY)
    later = make()
    again = later.megolm_encrypt(encrypted.pickle, KEY, b"two")
    assert again.index == 1
    assert later.megolm_decrypt(inbound.pickle, KEY, again.message).plaintext == b"two"
    assert later.megolm_decrypt(inbound.pickle, KEY, encrypted.message).plaintext == b"one"
    assert later.olm_account(account.pickle, KEY).identity_key == account.identity_key


def test_a_stale_pickle_gives_the_stale_state_whatever_is_cached(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    assert sessions.megolm_encrypt(outbound.pickle, KEY, b"x").index == 0
    assert sessions.megolm_encrypt(outbound.pickle, KEY, b"x").index == 0


def test_the_same_message_decrypts_twice_so_callers_must_record_the_index(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    inbound = sessions.megolm_import(outbound.session_key, KEY)
    message = sessions.megolm_encrypt(outbound.pickle, KEY, b"x").message
    assert sessions.megolm_decrypt(inbound.pickle, KEY, message) == sessions.megolm_decrypt(
        inbound.pickle, KEY, message
    )


def test_a_newcomer_reads_nothing_from_before(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    early = sessions.megolm_encrypt(outbound.pickle, KEY, b"early")
    newcomer = sessions.megolm_import(sessions.megolm_outbound(early.pickle, KEY).session_key, KEY)
    late = sessions.megolm_encrypt(early.pickle, KEY, b"late")
    assert newcomer.first_index == 1
    assert sessions.megolm_decrypt(newcomer.pickle, KEY, late.message).plaintext == b"late"
    with pytest.raises(CryptoError):
        sessions.megolm_decrypt(newcomer.pickle, KEY, early.message)


def test_exports_read_from_their_index_on(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    inbound = sessions.megolm_import(outbound.session_key, KEY)
    first = sessions.megolm_encrypt(outbound.pickle, KEY, b"0")
    second = sessions.megolm_encrypt(first.pickle, KEY, b"1")
    copy = sessions.megolm_restore(sessions.megolm_export(inbound.pickle, KEY, 1), KEY)
    assert (copy.session_id, copy.first_index) == (inbound.session_id, 1)
    assert sessions.megolm_decrypt(copy.pickle, KEY, second.message).plaintext == b"1"
    with pytest.raises(CryptoError):
        sessions.megolm_decrypt(copy.pickle, KEY, first.message)
    with pytest.raises(CryptoError):
        sessions.megolm_export(copy.pickle, KEY, 0)
    with pytest.raises(ValueError, match="u32"):
        sessions.megolm_export(copy.pickle, KEY, 1 << 32)


def test_changed_or_foreign_messages_are_refused(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    inbound = sessions.megolm_import(outbound.session_key, KEY)
    other = sessions.megolm_import(sessions.megolm_new(KEY).session_key, KEY)
    message = sessions.megolm_encrypt(outbound.pickle, KEY, b"hello").message
    with pytest.raises(CryptoError):
        sessions.megolm_decrypt(other.pickle, KEY, message)
    for offset in range(len(message)):
        changed = bytearray(message)
        changed[offset] ^= 1
        with pytest.raises(CryptoError):
            sessions.megolm_decrypt(inbound.pickle, KEY, bytes(changed))
    for cut in range(len(message)):
        with pytest.raises(CryptoError):
            sessions.megolm_decrypt(inbound.pickle, KEY, message[:cut])


def test_a_second_encoding_of_a_message_is_refused(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    inbound = sessions.megolm_import(outbound.session_key, KEY)
    message = sessions.megolm_encrypt(outbound.pickle, KEY, b"hello").message
    body, tail = message[:-72], message[-72:]
    assert body[:3] == b"\x03\x08\x00"
    for encoding in (body + b"\x18\x01", b"\x03\x08\x80\x00" + body[3:], body[:3] + b"\x08\x00" + body[3:]):
        with pytest.raises(CryptoError):
            sessions.megolm_decrypt(inbound.pickle, KEY, encoding + tail)


@pytest.mark.parametrize("length", [0, 1, 164, 165, 166, 228, 229, 230, 100_000])
def test_garbage_session_keys_are_refused(make: Make, length: int) -> None:
    for filler in (b"\0", b"\1", b"\2", b"\xff"):
        with pytest.raises(CryptoError):
            make().megolm_import(filler * length, KEY)
        if length != real.EXPORTED_KEY_BYTES:  # nothing in an export is signed
            with pytest.raises(CryptoError):
                make().megolm_restore(filler * length, KEY)


def test_a_session_key_with_a_changed_bit_is_refused(make: Make) -> None:
    session_key = make().megolm_new(KEY).session_key
    for offset in range(len(session_key)):
        changed = bytearray(session_key)
        changed[offset] ^= 1
        with pytest.raises(CryptoError):
            make().megolm_import(bytes(changed), KEY)


def test_pickles_open_under_their_key_and_for_their_purpose_only(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    inbound = sessions.megolm_import(outbound.session_key, KEY)
    account = sessions.olm_account_new(KEY)
    fresh = make()
    for pickle, key in (
        (outbound.pickle, b"\x0d" * 32),
        (inbound.pickle, KEY),
        (account.pickle, KEY),
        (b"", KEY),
        (b"x" * 1536, KEY),
        (b"megolm-out\0" + b"\xff" * 1525, KEY),
        (outbound.pickle[:-1], KEY),
        (outbound.pickle[:100] + b"A" + outbound.pickle[101:], KEY),
    ):
        with pytest.raises(CryptoError):
            fresh.megolm_encrypt(pickle, key, b"")
        with pytest.raises(CryptoError):
            fresh.megolm_outbound(pickle, key)
    for pickle in (outbound.pickle, b"", b"megolm-in\0".ljust(1536)):
        with pytest.raises(CryptoError):
            fresh.megolm_decrypt(pickle, KEY, b"")
        with pytest.raises(CryptoError):
            fresh.olm_account(pickle, KEY)
    with pytest.raises(ValueError, match="32 bytes"):
        fresh.megolm_new(b"short")


def test_hpke_round_trip_and_refusals(make: Make) -> None:
    sessions = make()
    public_key = sessions.hpke_public_key(SECRET)
    for plaintext in (b"", b"hello", b"x" * 65_536):
        sealed = sessions.hpke_seal(public_key, b"context", plaintext)
        assert sessions.hpke_open(SECRET, b"context", sealed) == plaintext
    sealed = sessions.hpke_seal(public_key, b"context", b"hello")
    assert sealed != sessions.hpke_seal(public_key, b"context", b"hello")
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for secret, info, data in (
        (b"\x0e" * 32, b"context", sealed),
        (SECRET, b"other", sealed),
        (SECRET, b"context", flipped),
        (SECRET, b"context", b"\0" + sealed[1:]),
        (SECRET, b"context", sealed[:-1]),
        (SECRET, b"context", sealed[:1135]),
        (SECRET, b"context", b""),
        (SECRET, b"context", bytes(1136 + 65_537)),
    ):
        with pytest.raises(CryptoError):
            sessions.hpke_open(secret, info, data)
    with pytest.raises(CryptoError):
        sessions.hpke_seal(public_key[:-1], b"", b"")
    with pytest.raises(ValueError, match="65536"):
        sessions.hpke_seal(public_key, b"", bytes(65_537))
    with pytest.raises(ValueError, match="32 bytes"):
        sessions.hpke_public_key(b"short")


def test_hostile_public_keys_are_one_opaque_error() -> None:
    sessions = _make_real()
    valid = sessions.hpke_public_key(SECRET)
    for hostile in (bytes(1216), b"\xff" * 1216, valid[:1184] + bytes(32)):
        with pytest.raises(CryptoError):
            sessions.hpke_seal(hostile, b"", b"")


def test_the_simulator_sees_real_sizes() -> None:
    actual, simulated = _make_real(), _make_simulated()
    pairs = []
    for sessions in (actual, simulated):
        outbound = sessions.megolm_new(KEY)
        inbound = sessions.megolm_import(outbound.session_key, KEY)
        export = sessions.megolm_export(inbound.pickle, KEY, 0)
        public_key = sessions.hpke_public_key(SECRET)
        account = sessions.olm_account_new(KEY)
        sizes = [len(export), len(public_key), len(account.identity_key), len(account.pickle), len(inbound.pickle)]
        sizes += [len(outbound.session_id), len(outbound.session_key), len(outbound.pickle)]
        sizes += [len(sessions.hpke_seal(public_key, b"info", bytes(count))) for count in (0, 1, 32, 229, 65_536)]
        pickle = outbound.pickle
        lengths = [*range(70), 100, 127, 128, 2047, 2048, 3870, 16_383, 16_384, 65_300]
        for count in lengths + [0] * 60:  # past index 127, which is encoded longer
            encrypted = sessions.megolm_encrypt(pickle, KEY, bytes(count))
            pickle = encrypted.pickle
            sizes += [len(encrypted.message), len(pickle)]
        pairs.append(sizes)
    assert pairs[0] == pairs[1]


def test_the_simulator_is_deterministic_and_its_seed_matters() -> None:
    def run(seed: bytes) -> list[bytes]:
        sessions = DeterministicSessions(seed)
        outbound = sessions.megolm_new(KEY)
        encrypted = sessions.megolm_encrypt(outbound.pickle, KEY, b"hello")
        sealed = sessions.hpke_seal(sessions.hpke_public_key(SECRET), b"", b"hello")
        return [outbound.session_id, encrypted.message, sealed, sessions.olm_account_new(KEY).identity_key]

    assert run(b"a") == run(b"a")
    for one, other in zip(run(b"a"), run(b"b"), strict=True):
        assert one != other


def test_sessions_differ_within_one_run(make: Make) -> None:
    sessions = make()
    assert len({sessions.megolm_new(KEY).session_id for _ in range(20)}) == 20
    assert len({sessions.olm_account_new(KEY).identity_key for _ in range(20)}) == 20


def test_the_cache_is_bounded_and_invisible() -> None:
    sessions = real.VodozemacSessions(live_sessions_max=2)
    outbound = [sessions.megolm_new(KEY) for _ in range(10)]
    inbound = [sessions.megolm_import(one.session_key, KEY) for one in outbound]
    for sender, recipient in zip(outbound, inbound, strict=True):
        message = sessions.megolm_encrypt(sender.pickle, KEY, b"x").message
        assert sessions.megolm_decrypt(recipient.pickle, KEY, message).plaintext == b"x"
    assert len(sessions._outbound._items) == 2
    assert len(sessions._inbound._items) == 2


def test_states_and_keys_stay_out_of_reprs(make: Make) -> None:
    sessions = make()
    outbound = sessions.megolm_new(KEY)
    for value in (outbound, sessions.megolm_encrypt(outbound.pickle, KEY, b"plaintext")):
        assert "pickle" not in repr(value)
        assert "session_key" not in repr(value)
    assert "redacted" in repr(sessions)
