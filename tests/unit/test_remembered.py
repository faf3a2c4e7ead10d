"""Which relays a profile remembers, and in which order it starts from them."""

from __future__ import annotations

from railgun.limits import BOOTSTRAP_MAX
from railgun.ports import Write
from railgun.runtime.remembered import RememberedRelay, load_remembered, remember_writes, start_from
from railgun.types import Address, NodeKey, RelayContact
from railgun.wire.contacts import format_contact
from tests.support.virtual_rooms import MemoryStore


def contact(number: int, port: int = 9_000) -> RelayContact:
    return RelayContact(NodeKey(number.to_bytes(32, "big")), (Address("192.0.2.1", port),), bytes(32))


def remembered(store: MemoryStore) -> list[tuple[int, int]]:
    return [(int.from_bytes(one.contact.node_key, "big"), one.seen) for one in load_remembered(store)]


def test_the_last_seen_come_first_and_the_oldest_go() -> None:
    store = MemoryStore()
    store.commit(remember_writes(store, [RememberedRelay(contact(number), 100 + number) for number in range(70)]))
    assert remembered(store) == [(number, 100 + number) for number in range(69, 69 - BOOTSTRAP_MAX, -1)]
    store.commit(remember_writes(store, [RememberedRelay(contact(500), 90)]))
    assert (500, 90) not in remembered(store)
    store.commit(remember_writes(store, [RememberedRelay(contact(501), 900)]))
    assert remembered(store)[0] == (501, 900)
    assert len(remembered(store)) == BOOTSTRAP_MAX


def test_an_ad_does_not_make_a_relay_older_than_it_was_seen() -> None:
    store = MemoryStore()
    store.commit(remember_writes(store, [RememberedRelay(contact(1), 1_000)]))
    store.commit(remember_writes(store, [RememberedRelay(contact(1, port=9_001), 500)]))
    (one,) = load_remembered(store)
    assert (one.seen, one.contact.addresses[0].port) == (1_000, 9_001)
    assert remember_writes(store, [one]) == []
    assert remember_writes(store, []) == []


def test_rows_of_before_and_damaged_ones() -> None:
    store = MemoryStore()
    rows = [
        format_contact(contact(1)).encode(),
        b"\xff",
        b"railgun-relay:x 1",
        format_contact(contact(2)).encode() + b" x",
    ]
    store.commit([Write("contacts", bytes([index]), row) for index, row in enumerate(rows)])
    assert remembered(store) == [(1, 0)]


def test_whom_one_is_given_comes_first_and_once() -> None:
    given = [contact(2, port=1), contact(3)]
    known = [RememberedRelay(contact(number), 9) for number in range(100, 200)]
    found = start_from(given, [RememberedRelay(contact(2), 5), *known])
    assert found[:3] == (*given, contact(100))
    assert len(found) == BOOTSTRAP_MAX
