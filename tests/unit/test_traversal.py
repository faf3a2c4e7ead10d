"""STUN and TURN servers: what is heeded of what members name, and what is not."""

from __future__ import annotations

import pytest

from railgun.dht.contacts import pack_address
from railgun.errors import MalformedInput, UsageError
from railgun.limits import ROOMS_MAX, TRAVERSAL_SERVERS_HELD_MAX, TRAVERSAL_SERVERS_MAX
from railgun.runtime.traversal import TraversalBook, TraversalServers, given_servers
from railgun.types import Address, RoomId
from railgun.wire.tag_payloads import TRAVERSAL_HINTS, TraversalHints

ROOM = RoomId(b"r" * 32)
OWN = Address("9.9.9.9", 3478)


def stun(*hosts: str) -> TraversalHints:
    return TraversalHints(tuple(pack_address(Address(host, 3478)) for host in hosts), ())


def book(*, is_lan: bool = False) -> TraversalBook:
    return TraversalBook(TraversalServers((OWN,), ()), is_lan=is_lan)


def test_own_servers_come_first_and_none_comes_twice() -> None:
    it = book()
    turn = TraversalHints((pack_address(OWN),), (pack_address(Address("2606:4700::1", 5349)),))
    it.heed(ROOM, [stun("1.1.1.1", "8.8.8.8"), turn], until=10.0)
    found = it.servers(9.0)
    assert found.stun == (OWN, Address("1.1.1.1", 3478), Address("8.8.8.8", 3478))
    assert found.turn == (Address("2606:4700::1", 5349),)
    assert it.own.hints == stun("9.9.9.9")


def test_what_is_named_counts_until_its_time_or_until_something_else_is_named_or_the_room_left() -> None:
    it = book()
    it.heed(ROOM, [stun("1.1.1.1")], until=10.0)
    assert len(it.servers(9.9).stun) == 2
    assert it.servers(10.0).stun == (OWN,)
    it.heed(ROOM, [stun("1.1.1.1")], until=20.0)
    it.heed(ROOM, [stun("8.8.8.8")], until=20.0)
    assert it.servers(11.0).stun == (OWN, Address("8.8.8.8", 3478))
    it.forget(ROOM)
    assert it.servers(11.0).stun == (OWN,)


@pytest.mark.parametrize("host", ["192.168.0.1", "10.0.0.1", "127.0.0.1", "169.254.1.1", "fe80::1", "fd00::1"])
def test_in_a_public_network_nobody_is_made_to_probe_a_private_address(host: str) -> None:
    public, lan = book(), book(is_lan=True)
    for it in (public, lan):
        it.heed(ROOM, [stun(host, "1.1.1.1")], until=10.0)
    assert public.servers(0.0).stun == (OWN, Address("1.1.1.1", 3478))
    assert public.refused == 1
    assert lan.servers(0.0).stun == (OWN, Address(host, 3478), Address("1.1.1.1", 3478))
    assert lan.refused == 0


@pytest.mark.parametrize(
    "raw", [bytes(6), b"\x01\x01\x01\x01\x00\x00", b"\xe0\x00\x00\x01\x0d\x96", b"\xff" * 6, bytes(18)]
)
def test_what_is_nobodys_address_is_refused_everywhere(raw: bytes) -> None:
    it = book(is_lan=True)
    it.heed(ROOM, [TraversalHints((raw,), (raw,))], until=10.0)
    assert it.servers(0.0) == TraversalServers((OWN,), ())
    assert it.refused == 2


def test_what_one_room_names_is_bounded_and_so_is_what_all_name() -> None:
    it = book()
    many = [stun(*(f"1.0.{page}.{number}" for number in range(1, 9))) for page in range(8)]
    it.heed(ROOM, many, until=10.0)
    assert len(it.servers(0.0).stun) == 1 + TRAVERSAL_SERVERS_MAX
    assert it.servers(0.0).stun[1] == Address("1.0.0.1", 3478)  # of the newest
    assert len({address.host.split(".")[2] for address in it.servers(0.0).stun[1:]}) == TRAVERSAL_SERVERS_MAX
    for number in range(ROOMS_MAX + 10):
        hosts = (f"2.{number % 256}.{number // 256}.{host}" for host in range(1, 9))
        it.heed(RoomId(number.to_bytes(32, "big")), [stun(*hosts)], until=10.0)
    assert len(it._named) == ROOMS_MAX
    assert len(it.servers(0.0).stun) == TRAVERSAL_SERVERS_HELD_MAX
    assert it.servers(0.0).stun[0] == OWN


def test_the_newest_record_takes_no_more_places_than_others_leave_it() -> None:
    it = book()
    greedy = stun(*(f"1.0.0.{number}" for number in range(1, 9)))
    it.heed(ROOM, [greedy, stun("8.8.8.8", "8.8.4.4"), stun("1.0.0.1", "4.4.4.4")], until=10.0)
    found = [address.host for address in it.servers(0.0).stun[1:]]
    assert found == ["1.0.0.1", "8.8.8.8", "1.0.0.2", "8.8.4.4", "4.4.4.4", "1.0.0.3", "1.0.0.4", "1.0.0.5"]


def test_hints_that_are_too_many_or_no_addresses_do_not_decode() -> None:
    fit = TRAVERSAL_HINTS.encode(stun(*(f"1.0.0.{number}" for number in range(1, 9))))
    assert len(TRAVERSAL_HINTS.decode(fit).stun) == TRAVERSAL_SERVERS_MAX
    for value in (b"", fit[:-1], fit + b"\x00", fit.replace(b"\x46", b"\x47", 1)):
        with pytest.raises(MalformedInput):
            TRAVERSAL_HINTS.decode(value)
    with pytest.raises(MalformedInput):
        TRAVERSAL_HINTS.decode(TRAVERSAL_HINTS.encode(stun("1.1.1.1"))[:-8] + b"\x99" + b"\x41\x01" * 9 + b"\x02\x80")


def test_an_owner_names_few_servers_that_can_be_asked() -> None:
    public = Address("1.1.1.1", 3478)
    private = Address("192.168.0.1", 3478)
    assert given_servers([public, public], [], is_lan=False).stun == (public,)
    assert given_servers([], [private], is_lan=True).turn == (private,)
    assert not given_servers([], [], is_lan=False)
    with pytest.raises(UsageError, match=r"network.turn: 192\.168\.0\.1:3478 cannot be asked in a public network"):
        given_servers([], [private], is_lan=False)
    with pytest.raises(UsageError, match=r"network.stun: 224\.0\.0\.1:1 cannot be asked in this network"):
        given_servers([Address("224.0.0.1", 1)], [], is_lan=True)
    with pytest.raises(UsageError, match="at most 8"):
        given_servers([Address("1.1.1.1", port) for port in range(1, 10)], [], is_lan=False)
