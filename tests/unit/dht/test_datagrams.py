"""The form of a datagram: what is proved, what is refused."""

from __future__ import annotations

import pytest

from railgun.crypto.signing import SIGNATURE_BYTES
from railgun.dht import datagrams
from railgun.dht.cookies import CookieJar, CookieMaker
from railgun.dht.datagrams import HEADER_BYTES, MAC_BYTES, NO_COOKIE, NO_DESTINATION, Form, Header
from railgun.dht.session_keys import NodeAgreement, SessionKeyring
from railgun.errors import MalformedInput
from railgun.limits import DHT_COOKIE_SECONDS, DHT_COOKIES_MAX, DHT_DATAGRAM_BYTES_MAX, DHT_SESSION_KEYS_MAX
from railgun.sim.loop import SeededEntropy
from railgun.types import NodeKey
from tests.unit.dht.support import identity_of

ONE, OTHER = identity_of("one"), identity_of("other")
KEYS = SessionKeyring(ONE.node_key, NodeAgreement(ONE.signing_key)).keys_for(OTHER.node_key)
THEIR_KEYS = SessionKeyring(OTHER.node_key, NodeAgreement(OTHER.signing_key)).keys_for(ONE.node_key)
HEADER = Header(Form.REQUEST, b"network.", ONE.node_key, OTHER.node_id, 1_700_000_000, b"request.", b"c" * 16)


def test_both_ends_work_out_the_same_keys_one_a_direction() -> None:
    assert KEYS.sending == THEIR_KEYS.receiving
    assert KEYS.receiving == THEIR_KEYS.sending
    assert KEYS.sending != KEYS.receiving


def test_a_sealed_datagram_opens_and_keeps_its_fields() -> None:
    data = datagrams.seal(HEADER, b"message", KEYS, bytes_min=300)
    assert len(data) == 300
    parsed = datagrams.parse(data)
    assert (parsed.header, parsed.message) == (HEADER, b"message")
    assert datagrams.mac_holds(parsed, THEIR_KEYS)


def test_a_datagram_sent_back_to_its_sender_does_not_hold() -> None:
    assert not datagrams.mac_holds(datagrams.parse(datagrams.seal(HEADER, b"message", KEYS)), KEYS)


@pytest.mark.parametrize("signed", [False, True])
def test_every_byte_is_covered_by_the_proof(signed: bool) -> None:
    if signed:
        header = Header(Form.SIGNED_REQUEST, b"network.", ONE.node_key, NO_DESTINATION, 1, b"request.", NO_COOKIE)
        data = datagrams.seal_signed(header, b"message", ONE, bytes_min=200)
        assert datagrams.signature_holds(datagrams.parse(data))
    else:
        data = datagrams.seal(HEADER, b"message", KEYS, bytes_min=200)
    for index in range(len(data)):
        changed = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        try:
            parsed = datagrams.parse(changed)
        except MalformedInput:
            continue
        holds = (
            datagrams.signature_holds(parsed)
            if parsed.header.form is Form.SIGNED_REQUEST
            else datagrams.mac_holds(parsed, THEIR_KEYS)
        )
        assert not holds, f"byte {index} may be changed"


def test_first_bytes_are_told_from_stun_dtls_and_turn() -> None:
    taken = {*range(4), *range(20, 64), *range(64, 80)}
    assert not taken & set(datagrams.FIRST_BYTES)
    assert {int(form) for form in Form} == set(datagrams.FIRST_BYTES)
    assert datagrams.is_dht(datagrams.seal(HEADER, b"", KEYS))
    assert not datagrams.is_dht(b"")
    assert not datagrams.is_dht(b"\x16\xfe\xff")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(HEADER_BYTES + MAC_BYTES - 1),
        bytes(DHT_DATAGRAM_BYTES_MAX + 1),
        b"\xd3" + datagrams.seal(HEADER, b"", KEYS)[1:],
        datagrams.seal(HEADER, b"message", KEYS)[:-8],  # longer message than datagram
        datagrams.seal(Header(Form.REQUEST, b"n" * 8, ONE.node_key, NO_DESTINATION, 1, b"r" * 8, NO_COOKIE), b"", KEYS),
        datagrams.seal(HEADER, b"", KEYS)[:HEADER_BYTES] + b"\x01" + bytes(30),  # padding that is not zero
    ],
)
def test_what_is_no_datagram_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        datagrams.parse(data)


def test_what_does_not_fit_is_not_sealed() -> None:
    datagrams.seal(HEADER, bytes(datagrams.MESSAGE_BYTES_MAX), KEYS)
    with pytest.raises(ValueError):
        datagrams.seal(HEADER, bytes(datagrams.MESSAGE_BYTES_MAX + 1), KEYS)
    with pytest.raises(ValueError):
        datagrams.seal_signed(HEADER, bytes(datagrams.MESSAGE_BYTES_MAX - SIGNATURE_BYTES + MAC_BYTES + 1), ONE)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_keys_of_small_order_and_what_is_no_key_are_refused(key: bytes) -> None:
    with pytest.raises(MalformedInput):
        NodeAgreement(ONE.signing_key)(NodeKey(key))


def test_secrets_are_not_shown() -> None:
    maker = CookieMaker(SeededEntropy(1).random_bytes, 0.0)
    shown = repr((KEYS, NodeAgreement(ONE.signing_key), maker))
    for secret in (KEYS.sending, KEYS.receiving, ONE.signing_key):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_few_session_keys_are_remembered_and_none_of_strangers() -> None:
    keyring = SessionKeyring(ONE.node_key, lambda peer: peer)
    keyring.keys_for(OTHER.node_key, remember=False)
    assert not keyring.knows(OTHER.node_key)
    for number in range(DHT_SESSION_KEYS_MAX + 10):
        keyring.keys_for(NodeKey(number.to_bytes(32, "big")))
    assert not keyring.knows(NodeKey(bytes(32)))
    assert keyring.knows(NodeKey((DHT_SESSION_KEYS_MAX + 9).to_bytes(32, "big")))


def test_a_cookie_is_for_one_key_at_one_address_and_for_a_while() -> None:
    maker = CookieMaker(SeededEntropy(1).random_bytes, 0.0)
    cookie = maker.make(b"contact", 0.0)
    assert maker.holds(cookie, b"contact", 1.0)
    assert not maker.holds(cookie, b"another", 1.0)
    assert not maker.holds(NO_COOKIE, b"contact", 1.0)
    assert maker.holds(cookie, b"contact", 1.5 * DHT_COOKIE_SECONDS)
    assert not maker.holds(cookie, b"contact", 2.6 * DHT_COOKIE_SECONDS)


def test_both_keys_go_after_a_long_rest() -> None:
    maker = CookieMaker(SeededEntropy(1).random_bytes, 0.0)
    cookie = maker.make(b"contact", 0.0)
    assert not maker.holds(cookie, b"contact", 2 * DHT_COOKIE_SECONDS)


def test_cookies_of_others_are_kept_while_they_hold_and_not_without_end() -> None:
    jar = CookieJar()
    jar.put(b"first", b"c" * 16, 0.0)
    assert jar.get(b"first", 1.0) == b"c" * 16
    assert jar.get(b"first", DHT_COOKIE_SECONDS) is None
    for number in range(DHT_COOKIES_MAX):
        jar.put(number.to_bytes(4, "big"), b"c" * 16, 0.0)
    assert jar.get(b"first", 1.0) is None
    jar.drop(bytes(4))
    assert jar.get(bytes(4), 1.0) is None
