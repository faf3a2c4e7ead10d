"""The stateless parts of the listener: hellos, cookies, buckets, quotas, STUN."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.limits import TOKEN_BUCKET_CELLS
from railgun.links import dtls_cookie
from railgun.links.admission import HalfOpenTable, TokenBuckets, prefix_of
from railgun.links.dtls_cookie import KEY_SECONDS, CookieJar, hello_verify_request, parse_hello
from railgun.links.stun import LISTENER_UFRAG, answer, check, is_answer, is_stun
from tests.support.raw_dialler import first_hello

SOURCE = ("203.0.113.9", 4_000)
RANDOM = bytes(range(32))


def jar() -> CookieJar:
    return CookieJar(random.Random(5).randbytes)


def test_a_cookie_is_good_once_for_its_address_port_and_random() -> None:
    cookies = jar()
    cookie = cookies.bake(SOURCE, RANDOM, 0.0)
    assert not cookies.spend(("203.0.113.8", 4_000), RANDOM, cookie, 1.0)
    assert not cookies.spend(("203.0.113.9", 4_001), RANDOM, cookie, 1.0)
    assert not cookies.spend(SOURCE, bytes(32), cookie, 1.0)
    assert not cookies.spend(SOURCE, RANDOM, cookie[:-1], 1.0)
    assert cookies.spend(SOURCE, RANDOM, cookie, 1.0)
    assert not cookies.spend(SOURCE, RANDOM, cookie, 1.0)
    assert not cookies.spend(SOURCE, RANDOM, cookie, KEY_SECONDS + 1)


@pytest.mark.parametrize(("age", "good"), [(0.0, True), (14.9, True), (29.0, True), (31.0, False), (1e6, False)])
def test_a_cookie_lives_for_two_keys(age: float, good: bool) -> None:
    cookies = jar()
    cookie = cookies.bake(SOURCE, RANDOM, 100.0)
    assert cookies.spend(SOURCE, RANDOM, cookie, 100.0 + age) is good


def test_spent_cookies_are_bounded_and_stay_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtls_cookie, "COOKIES_SPENT_MAX", 8)
    cookies = jar()
    for n in range(100):
        cookie = cookies.bake(SOURCE, bytes([n]) * 32, 0.0)
        assert cookies.spend(SOURCE, bytes([n]) * 32, cookie, 0.0)
        assert not cookies.spend(SOURCE, bytes([n]) * 32, cookie, 0.0)
        assert sum(len(spent) for spent in cookies._spent) <= 16


def test_a_real_hello_parses_and_its_answer_is_shorter() -> None:
    _, datagram = first_hello()
    hello = parse_hello(datagram)
    assert hello is not None
    assert (hello.message_sequence, hello.cookie) == (0, b"")
    assert len(hello_verify_request(hello, bytes(16))) < len(datagram)


@given(st.binary(max_size=120))
def test_any_bytes_parse_as_hello_or_not(data: bytes) -> None:
    parse_hello(data)
    parse_hello(b"\x16\xfe\xfd\0\0" + data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_damaged_hellos_never_break_the_parser(position: int, value: int) -> None:
    _, datagram = first_hello()
    damaged = bytearray(datagram)
    damaged[position % len(damaged)] = value
    hello = parse_hello(bytes(damaged))
    assert hello is None or len(hello.client_random) == 32


def test_prefixes() -> None:
    assert prefix_of("192.0.2.7") == prefix_of("192.0.2.200") != prefix_of("192.0.3.7")
    assert prefix_of("2001:db8:1::1") == prefix_of("2001:db8:1:ffff::2") != prefix_of("2001:db8:2::1")


def test_buckets_refill_and_do_not_grow() -> None:
    buckets = TokenBuckets(per_second=2.0, burst=3.0, salt=bytes(16))
    assert [buckets.take("192.0.2.1", 10.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.take("198.51.100.1", 10.0)
    assert buckets.take("192.0.2.99", 10.5)
    assert not buckets.take("192.0.2.1", 10.5)
    rng = random.Random(1)
    for _ in range(2_000):
        buckets.take(f"10.{rng.randrange(256)}.{rng.randrange(256)}.1", 11.0)
    assert len(buckets._levels) == TOKEN_BUCKET_CELLS


def test_half_open_quotas_evict_the_oldest_and_admit_the_newest() -> None:
    table: HalfOpenTable[int] = HalfOpenTable(total_max=6, per_address_max=2, per_prefix_max=4)
    assert [table.add(n, "192.0.2.1", 0.0) for n in range(3)] == [[], [], [0]]
    assert table.add(3, "192.0.2.2", 0.0) == []
    assert table.add(4, "192.0.2.3", 0.0) == []
    assert table.add(5, "192.0.2.4", 0.0) == [1]
    assert table.add(6, "198.51.100.1", 0.0) == []
    assert table.add(7, "198.51.101.1", 0.0) == []
    assert table.add(8, "198.51.102.1", 0.0) == [2]
    assert len(table) == 6


def test_half_open_handshakes_expire_in_order_and_leave_nothing() -> None:
    table: HalfOpenTable[int] = HalfOpenTable(10, 10, 10)
    for n in range(5):
        table.add(n, f"192.0.2.{n}", float(n))
    table.remove(3)
    table.remove(3)
    assert table.expire(6.0, 5.0) == [0, 1]
    assert table.expire(100.0, 5.0) == [2, 4]
    assert (len(table), table._by_address, table._by_prefix) == (0, {}, {})


@pytest.mark.parametrize("host", ["203.0.113.9", "2001:db8::9"])
def test_stun_answers_its_own_kind_and_no_longer(host: str) -> None:
    question = check("abcd", bytes(12), 77)
    response = answer(question, host, 4_000)
    assert is_stun(question)
    assert response is not None
    assert len(response) <= len(question)
    assert is_answer(response, bytes(12))
    assert not is_answer(response, bytes(11) + b"x")
    damaged = response[:-12] + bytes([response[-12] ^ 1]) + response[-11:]
    assert not is_answer(damaged, bytes(12))


def test_stun_answers_nobody_elses_question() -> None:
    question = check("abcd", bytes(12), 77)
    assert answer(question.replace(LISTENER_UFRAG.encode(), b"somebody"), *SOURCE) is None
    assert answer(question[:-1], *SOURCE) is None
    assert answer(b"\x01\x01" + question[2:], *SOURCE) is None


@given(st.binary(max_size=200))
def test_stun_survives_any_bytes(data: bytes) -> None:
    framed = b"\0\x01" + len(data).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + data
    for datagram in (data, framed):
        response = answer(datagram, *SOURCE)
        assert response is None or len(response) <= len(datagram)
        is_answer(datagram, bytes(12))
