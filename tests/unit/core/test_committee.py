"""The committee's order against the rule written out plainly."""

from __future__ import annotations

import hashlib

import pytest

from railgun.core.committee import RelayPool, address_prefix, order_relays, rank_for_handle, seats_hash
from railgun.network import NetworkParameters
from railgun.types import Address, Handle, NodeKey, Role, ServiceMode, Tag
from railgun.wire.records import Ad
from tests.support.ads import LAN, PUBLIC, plain_ad

TAG = Tag(b"t" * 32)


def _h(label: str, data: bytes) -> bytes:
    return hashlib.blake2b(label.encode() + b"\0" + data, digest_size=32).digest()


def _written_out(tag: bytes, ads: list[Ad], network: NetworkParameters) -> list[Ad]:
    """The whole order, with nothing left out and nothing clever."""
    groups: dict[bytes, list[Ad]] = {}
    for ad in ads:
        prefix = b"\0" + ad.node_key if network.is_lan else b"\x04" + ad.address.packed[:3]
        groups.setdefault(prefix, []).append(ad)
    prefixes = sorted(groups, key=lambda prefix: _h("railgun/net/v1", tag + prefix))
    for members in groups.values():
        members.sort(key=lambda ad: _h("railgun/seat/v1", tag + ad.node_key))
    order: list[Ad] = []
    while any(groups.values()):
        order += [groups[prefix].pop(0) for prefix in prefixes if groups[prefix]]
    return order


@pytest.mark.parametrize("network", [LAN, PUBLIC])
@pytest.mark.parametrize("committee_size", [3, 5, 7])
def test_the_order_is_the_rule_written_out(network: NetworkParameters, committee_size: int) -> None:
    for count in (0, 1, 4, 15, 40):
        ads = [plain_ad(index, crowded=index % 3 == 0) for index in range(count)]
        committee = order_relays(TAG, ads, network, committee_size)
        assert list(committee.ranking) == _written_out(TAG, ads, network)[: 2 * committee_size + 2]
        assert committee.n == len(committee.seats) == min(committee_size, count)
        assert committee.majority == committee.n // 2 + 1


def test_many_keys_in_one_prefix_buy_one_seat() -> None:
    ads = [plain_ad(index) for index in range(20)] + [plain_ad(index, crowded=True) for index in range(20, 220)]
    for number in range(50):
        seats = order_relays(Tag(number.to_bytes(32, "big")), ads, PUBLIC, 5).seats
        assert sum(ad.address.host.startswith("93.184.216.") for ad in seats) <= 1


def test_fallbacks_come_after_the_standbys_and_fill_what_is_missing() -> None:
    relays = [plain_ad(index) for index in range(30)]
    fallbacks = [plain_ad(index, roles=Role.FALLBACK) for index in range(30, 32)]
    many = order_relays(TAG, relays + fallbacks, PUBLIC, 5)
    assert {ad.node_key for ad in many.fallbacks} == {ad.node_key for ad in fallbacks}
    few = order_relays(TAG, relays[:2] + fallbacks, PUBLIC, 5)
    assert few.n == 4
    assert few.seats[2:] == many.fallbacks
    both = order_relays(TAG, [plain_ad(index, roles=Role.RELAY | Role.FALLBACK) for index in range(30)], PUBLIC, 3)
    assert len({ad.node_key for ad in both.ranking}) == len(both.ranking) == 16


def test_the_mode_says_whether_fallbacks_serve() -> None:
    relays = [plain_ad(index) for index in range(20)]
    fallbacks = [plain_ad(index, roles=Role.FALLBACK) for index in range(30, 32)]
    enough = order_relays(TAG, relays + fallbacks, PUBLIC, 3)
    assert enough.mode([]) is None
    assert enough.mode(enough.seat_keys[:2]) is ServiceMode.VOLUNTEERS
    # All who rank before them are dead: a fallback serves this peer, seat or not.
    assert enough.mode([enough.fallbacks[0].node_key]) is ServiceMode.HYBRID
    assert enough.serves(enough.fallbacks[0].node_key)
    # A fallback holds a seat, though this peer is served by volunteers.
    few = order_relays(TAG, relays[:2] + fallbacks, PUBLIC, 3)
    assert few.mode([few.seats[0].node_key]) is ServiceMode.HYBRID
    assert few.standbys[0].roles is Role.FALLBACK
    # Standby fallbacks make no difference, nor do relays that would serve either way.
    three = order_relays(TAG, relays[:3] + fallbacks, PUBLIC, 3)
    assert three.mode(three.seat_keys) is ServiceMode.VOLUNTEERS
    both = order_relays(TAG, [plain_ad(index, roles=Role.RELAY | Role.FALLBACK) for index in range(3)], PUBLIC, 3)
    assert both.mode(both.seat_keys) is ServiceMode.VOLUNTEERS


def test_relays_without_a_role_or_a_global_address_have_no_seat() -> None:
    ads = [plain_ad(0, roles=Role(0)), plain_ad(1, host="10.1.2.3"), plain_ad(2, host="fe80::1"), plain_ad(3)]
    assert order_relays(TAG, ads, PUBLIC, 3).seats == (ads[3],)
    assert order_relays(TAG, ads, LAN, 3).n == 3


def test_two_ads_of_one_node_are_refused() -> None:
    with pytest.raises(ValueError, match="two ads"):
        RelayPool([plain_ad(1), plain_ad(1, issued=5)], LAN)


@pytest.mark.parametrize("committee_size", [0, 2, 8])
def test_a_committee_size_out_of_range_is_refused(committee_size: int) -> None:
    with pytest.raises(ValueError, match="3 to 7"):
        order_relays(TAG, [], LAN, committee_size)


@pytest.mark.parametrize(
    ("host", "prefix"),
    [
        ("8.8.4.4", b"\x04\x08\x08\x04"),
        ("::ffff:8.8.4.4", b"\x04\x08\x08\x04"),
        ("2a00:1450:4001:81b::200e", bytes.fromhex("062a0014504001")),
        ("127.0.0.1", None),
        ("100.64.0.1", None),
        ("192.0.0.8", None),
        ("198.19.255.255", None),
        ("224.0.0.1", None),
        ("255.255.255.255", None),
        ("::1", None),
        ("fc00::1", None),
        ("fe80::1", None),
        ("ff02::1", None),
        ("2001::1", None),
        ("2001:db8::1", None),
        ("2002:0808:0404::1", None),
        ("64:ff9b::808:404", None),
    ],
)
def test_prefixes_are_those_of_global_addresses(host: str, prefix: bytes | None) -> None:
    assert address_prefix(Address(host, 9000)) == prefix


def test_seats_hash_depends_on_the_order() -> None:
    keys = [NodeKey(bytes([index]) * 32) for index in range(3)]
    assert seats_hash(keys) == _h("railgun/seats/v1", b"".join(keys))[:8]
    assert seats_hash(keys) != seats_hash(keys[::-1])
    committee = order_relays(TAG, [plain_ad(index) for index in range(9)], LAN, 5)
    assert committee.seats_hash == seats_hash(committee.seat_keys)


def test_ranks_by_handle_spread_the_subscribers() -> None:
    seats = [NodeKey(bytes([index]) * 32) for index in range(5)]
    first = [rank_for_handle(Handle(number.to_bytes(16, "big")), seats)[0] for number in range(500)]
    assert all(60 <= first.count(seat) <= 140 for seat in seats)
    handle = Handle(b"h" * 16)
    assert rank_for_handle(handle, seats) == rank_for_handle(handle, seats[::-1])
    assert rank_for_handle(handle, seats)[0] == min(seats, key=lambda seat: _h("railgun/rank/v1", handle + seat))


def test_rank_and_service_follow_the_ranking() -> None:
    committee = order_relays(TAG, [plain_ad(index) for index in range(30)], LAN, 3)
    assert [committee.rank_of(ad.node_key) for ad in committee.ranking] == list(range(8))
    assert committee.serves(committee.standbys[-1].node_key)
    assert committee.rank_of(NodeKey(bytes(32))) is None
    assert not committee.serves(NodeKey(bytes(32)))
