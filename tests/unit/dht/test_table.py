"""The routing table: exact neighbours, limits a network, who gives way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from railgun.dht.contacts import Contact, ContactReader, can_be_asked, pack_address, target_node, unpack_address
from railgun.dht.table import Table
from railgun.errors import MalformedInput
from railgun.limits import DHT_BUCKET_CONTACTS
from railgun.types import Address, NodeKey
from tests.unit.dht.support import address_of

OWN = target_node(bytes(20))


def contact_of(number: int, address: Address | None = None) -> Contact:
    return Contact(NodeKey(number.to_bytes(32, "big")), address or address_of(number))


def filled(count: int, *, is_lan: bool = False, split_depth: int = 1, seed: int = 1) -> tuple[Table, list[Contact]]:
    table = Table(OWN, is_lan=is_lan, now=lambda: 0.0, split_depth=split_depth)
    contacts = [contact_of(number) for number in range(count)]
    random.Random(seed).shuffle(contacts)
    for contact in contacts:
        table.add_contact(contact)
    return table, contacts


@given(st.integers(0, 600), st.integers(0, 2**160 - 1), st.integers(1, 40), st.sampled_from([1, 3, 5]))
def test_neighbours_are_the_nearest_of_the_table(count: int, target: int, wanted: int, split_depth: int) -> None:
    table, _ = filled(count, split_depth=split_depth)
    node = target_node(target.to_bytes(20, "big"))
    everyone = sorted(table.contacts(), key=lambda contact: contact.long_id ^ target)
    assert table.find_neighbors(node, wanted) == everyone[:wanted]
    assert len(table) == len(everyone)


@given(st.integers(0, 400), st.sampled_from([1, 5]), st.lists(st.integers(0, 399), max_size=60))
def test_buckets_cover_every_id_once_and_count_rightly(count: int, split_depth: int, removed: list[int]) -> None:
    table, _ = filled(count, split_depth=split_depth)
    for number in removed:
        table.remove_contact(contact_of(number))
    assert table.buckets[0].range[0] == 0
    assert table.buckets[-1].range[1] == 2**160 - 1
    for left, right in zip(table.buckets, table.buckets[1:], strict=False):
        assert left.range[1] + 1 == right.range[0]
    for bucket in table.buckets:
        assert len(bucket) <= DHT_BUCKET_CONTACTS
        assert all(bucket.has_in_range(contact) for contact in bucket.contacts())
        assert all(table.get(contact.id) is contact for contact in bucket.contacts())
    assert len(table) == len(table.contacts()) == len({contact.id for contact in table.contacts()})


def test_every_near_neighbour_is_kept() -> None:
    table, contacts = filled(500)
    nearest = sorted(contacts, key=lambda contact: contact.long_id)[:DHT_BUCKET_CONTACTS]
    assert table.find_neighbors(OWN) == nearest


def test_a_network_gets_two_places_in_a_bucket_and_in_a_lan_all() -> None:
    flood = [contact_of(number, Address("20.1.1.7", 1_000 + number)) for number in range(2_000)]
    table = Table(OWN, is_lan=False, now=lambda: 0.0)
    honest = [contact_of(5_000 + number, address_of(number)) for number in range(10)]
    for contact in flood + honest:
        table.add_contact(contact)
    for bucket in table.buckets:
        near = [contact for contact in bucket.contacts() if contact.prefix == flood[0].prefix]
        assert len(near) <= 2
    assert all(table.get(contact.id) is contact for contact in honest)
    lan = Table(OWN, is_lan=True, now=lambda: 0.0)
    for contact in flood:
        lan.add_contact(contact)
    assert len(lan) > 100


def test_a_full_bucket_names_who_is_to_be_asked_and_a_replacement_follows() -> None:
    table = Table(OWN, is_lan=False, now=lambda: 0.0)
    far = [one for number in range(400) if (one := contact_of(number)).long_id >> 159][:20]
    near = [one for number in range(400, 900) if not (one := contact_of(number)).long_id >> 159][:20]
    results = [table.add_contact(contact) for contact in near + far[:17]]
    assert results[-1] is far[0]
    assert table.get(far[16].id) is None
    assert not table.wants(far[17])
    table.add_contact(far[0])  # it has just answered: now it is the last heard
    table.remove_contact(far[1])
    assert table.get(far[16].id) is far[16]


def test_a_replacement_of_a_crowded_network_does_not_follow() -> None:
    table = Table(OWN, is_lan=False, now=lambda: 0.0)
    far = [one for number in range(900) if (one := contact_of(number)).long_id >> 159]
    near = [one for number in range(900, 1_400) if not (one := contact_of(number)).long_id >> 159][:20]
    crowd = [contact_of(2_000 + number, Address("20.9.9.9", 1 + number)) for number in range(60)]
    crowd = [one for one in crowd if one.long_id >> 159][:3]
    for contact in [*near, *far[:14], *crowd[:2], far[14], crowd[2]]:
        table.add_contact(contact)
    table.remove_contact(far[0])
    assert table.get(far[14].id) is not None
    assert table.get(crowd[2].id) is None


def test_a_node_does_not_know_itself() -> None:
    own = contact_of(1)
    table = Table(own, is_lan=False, now=lambda: 0.0)
    assert not table.wants(own)
    assert table.add_contact(own) is None
    assert len(table) == 0


def test_stale_buckets_are_those_without_lookups() -> None:
    now = [0.0]
    table = Table(OWN, is_lan=False, now=lambda: now[0])
    for number in range(200):
        table.add_contact(contact_of(number))
    now[0] = 100.0
    table.touch(target_node(b"\xff" * 20))
    assert table.stale_buckets(50.0) == table.buckets[:-1]


def test_the_expected_distance_of_holders_follows_the_density() -> None:
    small, _ = filled(20)
    assert small.holder_distance(16) >= 2**159
    large, contacts = filled(4_000)
    target = 2**159 + 12_345
    reach = large.holder_distance(16)
    ranks = sorted(contact.long_id ^ target for contact in contacts)
    assert ranks[8] < reach < ranks[100]


@pytest.mark.parametrize("host", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::"])
def test_some_addresses_are_asked_nowhere(host: str) -> None:
    assert not can_be_asked(Address(host, 9), is_lan=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.1.1", "fe80::1", "fd00::1"])
def test_private_addresses_are_asked_in_a_lan_only(host: str) -> None:
    assert can_be_asked(Address(host, 9), is_lan=True)
    assert not can_be_asked(Address(host, 9), is_lan=False)


@pytest.mark.parametrize("address", [Address("20.1.2.3", 1), Address("2a00::1", 65_535)])
def test_contacts_are_read_as_written(address: Address) -> None:
    contact = contact_of(7, address)
    reader = ContactReader(is_lan=False, remembered_max=2)
    read = reader.read(contact.raw)
    assert (read.node_key, read.address, read.id) == (contact.node_key, address, contact.id)
    assert reader.read(contact.raw) is read
    for number in range(5):
        reader.read(contact_of(number).raw)
    assert reader.read(contact.raw) is not read
    assert unpack_address(pack_address(address)) == address


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(37),
        bytes(32) + b"\x14\x01\x01\x01" + bytes(2),  # port 0
        bytes(32) + b"\x0a\x00\x00\x01\x00\x09",  # a private address
        bytes(32) + bytes(10) + b"\xff\xff" + b"\x14\x01\x01\x01" + b"\x00\x09",  # a mapped address
    ],
)
def test_what_is_no_contact_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        ContactReader(is_lan=False, remembered_max=2).read(raw)
