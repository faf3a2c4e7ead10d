"""A6: whoever makes many nodes in few networks, or answers with lies, does not cut others off."""

from __future__ import annotations

import hashlib

import pytest

from railgun.dht.contacts import Contact, target_node
from railgun.dht.table import Table
from railgun.limits import DHT_CONTACTS_PER_PREFIX_MAX
from railgun.sim.dht_world import DhtWorldOptions, measure_lookups
from railgun.types import Address, NodeKey

FLOOD = 400


def key(number: int) -> NodeKey:
    return NodeKey(hashlib.blake2b(number.to_bytes(4, "big"), digest_size=32).digest())


@pytest.mark.slow
def test_a6_with_a_fifth_of_the_nodes_hostile_99_in_100_lookups_are_right() -> None:
    found = measure_lookups(DhtWorldOptions(nodes=100, lookups=400, records=20, dead=0.0, hostile=0.2))
    assert sum(sample.is_right for sample in found.samples) >= 0.99 * len(found.samples)


def test_a6_a_flood_from_one_network_gets_two_places_in_a_bucket_and_is_counted() -> None:
    table = Table(target_node(bytes(20)), is_lan=False, now=lambda: 0.0)
    for number in range(FLOOD):
        table.add_contact(Contact(key(number), Address(f"20.0.0.{number % 250 + 1}", 9_000)))
    assert len(table) <= DHT_CONTACTS_PER_PREFIX_MAX * len(table.buckets)
    assert table.crowded >= FLOOD - len(table)
    before = len(table)
    others = [Contact(key(FLOOD + number), Address(f"20.1.{number}.1", 9_000)) for number in range(100)]
    for contact in others:
        table.add_contact(contact)
    assert len(table) > before


def test_a6_an_id_is_worked_out_from_the_key_and_cannot_be_chosen() -> None:
    one = Contact(key(1), Address("20.0.0.1", 9_000))
    assert one.id == hashlib.blake2b(key(1), digest_size=20).digest()
