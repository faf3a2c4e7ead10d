"""What a member keeps of how others can be reached: one contact a device, bounded, not for ever."""

from __future__ import annotations

from railgun.core.contact_book import TABLE, ContactBook
from railgun.core.persistence import Write
from railgun.limits import DIRECT_CONTACT_AGAIN_SECONDS, DIRECT_CONTACT_SECONDS_MAX, DIRECT_CONTACTS_MAX
from railgun.types import Address, DeviceKey, PeerKey, RoomId
from railgun.wire.direct_contacts import DirectContact

ROOM, OTHER = RoomId(bytes(32)), RoomId(bytes([1]) * 32)
WALL = 1_800_000_000.0


def device(number: int) -> DeviceKey:
    return DeviceKey(number.to_bytes(32, "big"))


def contact(number: int, signature: int = 0) -> DirectContact:
    address = Address("192.0.2.1", 1_000 + number)
    return DirectContact(PeerKey(number.to_bytes(32, "big")), bytes(32), (address,), bytes([signature]) * 64)


def everybody(_: DeviceKey) -> bool:
    return True


def rows_of(writes: list[Write]) -> list[tuple[bytes, bytes]]:
    return [(write.key, write.value) for write in writes if write.value is not None]


def test_what_was_learnt_is_there_after_a_restart() -> None:
    book = ContactBook()
    writes = [*book.learn(ROOM, device(1), contact(1), WALL, everybody)]
    writes += book.learn(OTHER, device(2), contact(2), WALL, everybody)
    assert {write.table for write in writes} == {TABLE}
    after = ContactBook()
    assert after.load(rows_of(writes), WALL + 60) == []
    assert after.of(ROOM) == {device(1): contact(1)}
    assert after.of(OTHER) == {device(2): contact(2)}


def test_a_contact_that_leads_to_the_same_place_is_written_once_a_day() -> None:
    book = ContactBook()
    assert book.learn(ROOM, device(1), contact(1), WALL, everybody)
    assert book.learn(ROOM, device(1), contact(1, signature=2), WALL + 600, everybody) == []
    assert book.learn(ROOM, device(1), contact(1), WALL + DIRECT_CONTACT_AGAIN_SECONDS, everybody)
    assert book.learn(ROOM, device(1), contact(5), WALL + DIRECT_CONTACT_AGAIN_SECONDS + 1, everybody)
    assert book.get(ROOM, device(1)) == contact(5)


def test_what_is_old_or_damaged_is_forgotten() -> None:
    book = ContactBook()
    old = rows_of(book.learn(ROOM, device(1), contact(1), WALL, everybody))
    new = rows_of(book.learn(ROOM, device(2), contact(2), WALL + 60, everybody))
    damaged = [(ROOM + device(3), b"\x00"), (b"short", new[0][1])]
    after = ContactBook()
    gone = after.load([*old, *new, *damaged], WALL + DIRECT_CONTACT_SECONDS_MAX + 1)
    assert after.of(ROOM) == {device(2): contact(2)}
    assert {(write.key, write.value) for write in gone} == {(key, None) for key, _ in (*old, *damaged)}


def test_a_full_room_takes_a_newcomer_in_place_of_who_is_out() -> None:
    book = ContactBook()
    for number in range(DIRECT_CONTACTS_MAX):
        book.learn(ROOM, device(number), contact(number), WALL, everybody)
    assert book.learn(ROOM, device(900), contact(900), WALL, everybody) == []
    writes = book.learn(ROOM, device(900), contact(900), WALL, lambda other: other != device(7))
    assert [(write.key, write.value is None) for write in writes] == [
        (ROOM + device(7), True),
        (ROOM + device(900), False),
    ]
    assert len(book.of(ROOM)) == DIRECT_CONTACTS_MAX


def test_who_is_known_may_move_though_the_room_is_full() -> None:
    book = ContactBook()
    for number in range(DIRECT_CONTACTS_MAX):
        book.learn(ROOM, device(number), contact(number), WALL, everybody)
    assert book.learn(ROOM, device(3), contact(300), WALL, everybody)
    assert book.get(ROOM, device(3)) == contact(300)


def test_a_room_that_was_left_is_forgotten() -> None:
    book = ContactBook()
    book.learn(ROOM, device(1), contact(1), WALL, everybody)
    book.forget_room(ROOM)
    assert book.of(ROOM) == {}
