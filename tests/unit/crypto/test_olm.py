"""Pairwise sessions and short codes: both implementations of the `Sessions` port against one contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from railgun.crypto.deterministic_sessions import DeterministicSessions
from railgun.crypto.sessions import VodozemacSessions
from railgun.errors import CryptoError
from railgun.ports import EncryptedOlm, OlmAccount, Sessions

KEY = b"\x0b" * 32
OTHER_KEY = b"\x0d" * 32


@pytest.fixture(params=[VodozemacSessions, lambda: DeterministicSessions(b"seed")], ids=["vodozemac", "deterministic"])
def sessions(request: pytest.FixtureRequest) -> Sessions:
    make: Callable[[], Sessions] = request.param
    return make()


def account_of(sessions: Sessions) -> OlmAccount:
    return sessions.olm_new_fallback(sessions.olm_account_new(KEY).pickle, KEY)


@dataclass
class End:
    """One end of a session, its state carried along as a caller has to."""

    sessions: Sessions
    pickle: bytes

    def say(self, plaintext: bytes) -> EncryptedOlm:
        encrypted = self.sessions.olm_encrypt(self.pickle, KEY, plaintext)
        self.pickle = encrypted.pickle
        return encrypted

    def hear(self, encrypted: EncryptedOlm) -> bytes:
        decrypted = self.sessions.olm_decrypt(self.pickle, KEY, encrypted.message, is_first=encrypted.is_first)
        self.pickle = decrypted.session.pickle
        return decrypted.plaintext


def pair_of(sessions: Sessions) -> tuple[End, End]:
    anna, bert = account_of(sessions), account_of(sessions)
    one = End(sessions, sessions.olm_start(anna.pickle, KEY, bert.identity_key, bert.fallback_key).pickle)
    accepted = sessions.olm_accept(bert.pickle, KEY, anna.identity_key, one.say(b"hello").message)
    assert accepted.plaintext == b"hello"
    return one, End(sessions, accepted.session.pickle)


def test_an_account_names_its_newest_fallback_key(sessions: Sessions) -> None:
    account = sessions.olm_account_new(KEY)
    assert account.fallback_key == b""
    first = sessions.olm_new_fallback(account.pickle, KEY)
    second = sessions.olm_new_fallback(first.pickle, KEY)
    assert len({first.fallback_key, second.fallback_key}) == 2
    assert first.identity_key == second.identity_key == account.identity_key
    assert sessions.olm_account(second.pickle, KEY) == second


def test_two_devices_talk_both_ways(sessions: Sessions) -> None:
    anna, bert = pair_of(sessions)
    second = anna.say(b"second")
    assert second.is_first
    assert bert.hear(second) == b"second"
    answer = bert.say(b"answer")
    assert not answer.is_first
    assert anna.hear(answer) == b"answer"
    third = anna.say(b"third" * 100)
    assert not third.is_first
    assert bert.hear(third) == b"third" * 100


def test_both_ends_know_the_session_by_one_id(sessions: Sessions) -> None:
    anna, bert = account_of(sessions), account_of(sessions)
    started = sessions.olm_start(anna.pickle, KEY, bert.identity_key, bert.fallback_key)
    first = sessions.olm_encrypt(started.pickle, KEY, b"x")
    accepted = sessions.olm_accept(bert.pickle, KEY, anna.identity_key, first.message)
    assert started.session_id == accepted.session.session_id == sessions.olm_session_id(first.message)
    assert len(started.session_id) == 32


def test_the_fallback_key_before_still_serves_and_the_one_before_that_does_not(sessions: Sessions) -> None:
    anna, bert = account_of(sessions), account_of(sessions)
    started = sessions.olm_start(anna.pickle, KEY, bert.identity_key, bert.fallback_key)
    message = sessions.olm_encrypt(started.pickle, KEY, b"late").message
    once = sessions.olm_new_fallback(bert.pickle, KEY)
    assert sessions.olm_accept(once.pickle, KEY, anna.identity_key, message).plaintext == b"late"
    twice = sessions.olm_new_fallback(once.pickle, KEY)
    with pytest.raises(CryptoError):
        sessions.olm_accept(twice.pickle, KEY, anna.identity_key, message)


def test_a_fallback_key_serves_many(sessions: Sessions) -> None:
    bert = account_of(sessions)
    for _ in range(3):
        anna = account_of(sessions)
        started = sessions.olm_start(anna.pickle, KEY, bert.identity_key, bert.fallback_key)
        message = sessions.olm_encrypt(started.pickle, KEY, b"x").message
        assert sessions.olm_accept(bert.pickle, KEY, anna.identity_key, message).plaintext == b"x"


def test_messages_come_in_any_order_and_once(sessions: Sessions) -> None:
    anna, bert = pair_of(sessions)
    anna.hear(bert.say(b"so that first messages end"))
    sent = [anna.say(bytes([index])) for index in range(6)]
    for index in (3, 0, 5, 1, 4, 2):
        assert bert.hear(sent[index]) == bytes([index])
    for encrypted in sent:
        with pytest.raises(CryptoError):
            bert.hear(encrypted)


def test_what_is_skipped_is_bounded(sessions: Sessions) -> None:
    anna, bert = pair_of(sessions)
    anna.hear(bert.say(b"x"))
    sent = [anna.say(b"x") for _ in range(2_102)]
    with pytest.raises(CryptoError):
        bert.hear(sent[2_101])
    assert bert.hear(sent[1_000]) == b"x"
    with pytest.raises(CryptoError):
        bert.hear(sent[900])
    assert bert.hear(sent[999]) == b"x"


def test_the_pickle_is_the_truth(sessions: Sessions) -> None:
    anna, bert = pair_of(sessions)
    before = bert.pickle
    message = anna.say(b"again")
    assert bert.hear(message) == b"again"
    bert.pickle = before
    assert bert.hear(message) == b"again"


def test_damaged_messages_are_refused_and_leave_the_session_as_it_was(sessions: Sessions) -> None:
    anna, bert = pair_of(sessions)
    good = anna.say(b"whole")
    for place in range(0, len(good.message), 7):
        bad = bytearray(good.message)
        bad[place] ^= 1
        with pytest.raises(CryptoError):
            bert.hear(EncryptedOlm(bytes(bad), good.is_first, b""))
    for wrong in (b"", good.message[:-1], good.message + b"\0", b"x" * 20_000):
        with pytest.raises(CryptoError):
            bert.hear(EncryptedOlm(wrong, good.is_first, b""))
    assert bert.hear(good) == b"whole"


def test_another_account_or_sender_does_not_open_a_first_message(sessions: Sessions) -> None:
    anna, bert, cara = (account_of(sessions) for _ in range(3))
    started = sessions.olm_start(anna.pickle, KEY, bert.identity_key, bert.fallback_key)
    message = sessions.olm_encrypt(started.pickle, KEY, b"for bert").message
    for account, sender in ((cara, anna.identity_key), (bert, cara.identity_key), (bert, b"short")):
        with pytest.raises(CryptoError):
            sessions.olm_accept(account.pickle, KEY, sender, message)


def test_pickles_open_under_their_key_alone(sessions: Sessions) -> None:
    anna, _ = pair_of(sessions)
    account = account_of(sessions)
    with pytest.raises(CryptoError):
        sessions.olm_account(account.pickle, OTHER_KEY)
    with pytest.raises(CryptoError):
        sessions.olm_encrypt(anna.pickle, OTHER_KEY, b"x")
    with pytest.raises(CryptoError):
        sessions.olm_encrypt(account.pickle, KEY, b"x")
    assert len(anna.pickle) % 1_536 == len(account.pickle) % 1_536 == 0


def test_sizes_are_the_same_in_both() -> None:
    lengths = []
    for sessions in (VodozemacSessions(), DeterministicSessions(b"sizes")):
        anna, bert = pair_of(sessions)
        found = [len(anna.say(bytes(size)).message) for size in (0, 15, 16, 100, 229, 300, 2_000)]
        anna.hear(bert.say(b"x"))
        found += [len(anna.say(bytes(size)).message) for size in (0, 15, 16, 100, 229, 300, 2_000)]
        lengths.append([*found, len(account_of(sessions).pickle)])
    assert lengths[0] == lengths[1]


def test_two_ends_of_a_comparison_see_one_code(sessions: Sessions) -> None:
    one, two = sessions.sas_new(), sessions.sas_new()
    here, there = one.establish(two.public_key), two.establish(one.public_key)
    assert here.decimals("this") == there.decimals("this") != here.decimals("that")
    assert all(1_000 <= number <= 9_191 for number in here.decimals("this"))
    there.check_mac(b"content", "info", here.mac(b"content", "info"))
    for content, info, mac in (
        (b"other", "info", here.mac(b"content", "info")),
        (b"content", "other", here.mac(b"content", "info")),
        (b"content", "info", bytes(32)),
        (b"content", "info", b""),
    ):
        with pytest.raises(CryptoError):
            there.check_mac(content, info, mac)


def test_a_comparison_serves_once_and_takes_keys_only(sessions: Sessions) -> None:
    one, two = sessions.sas_new(), sessions.sas_new()
    for wrong in (b"", bytes(32)):
        with pytest.raises(CryptoError):
            sessions.sas_new().establish(wrong)
    one.establish(two.public_key)
    with pytest.raises(CryptoError):
        one.establish(two.public_key)
