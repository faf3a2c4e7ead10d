"""How the other members of this device's rooms can be reached when no relay is left, over restarts too.

Owns: one contact a device, how many and for how long, their rows. Must not know: who checked a contact, links, disks.
Spec: docs/spec/contacts.md, members' contacts; docs/spec/storage.md.

A row's key is the room's id and the device's key, its value the contact as its device signed it and the Unix second at
which it was learnt. A device signs anew in each epoch: a row is written where the way in is another, or once a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from railgun.core.persistence import Write
from railgun.errors import MalformedInput
from railgun.limits import DIRECT_CONTACT_AGAIN_SECONDS, DIRECT_CONTACT_SECONDS_MAX, DIRECT_CONTACTS_MAX
from railgun.types import DeviceKey, RoomId
from railgun.wire.direct_contacts import DIRECT_CONTACT_BYTES_MAX, DIRECT_CONTACTS, DirectContact
from railgun.wire.roster import TimeField
from railgun.wire.schema import Bytes, Codec

TABLE: Final = "room_contacts"
ROOM_ID_BYTES: Final = 32
DEVICE_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class _Row:
    learnt: TimeField
    contact: Annotated[bytes, Bytes(1, DIRECT_CONTACT_BYTES_MAX)]


_ROWS: Final[Codec[_Row]] = Codec({1: _Row}, bytes_max=DIRECT_CONTACT_BYTES_MAX + 32)


@dataclass(slots=True)
class _Known:
    contact: DirectContact
    written: int
    """Unix seconds; when it was learnt, as its row has it."""


class ContactBook:
    """All rooms' contacts of one device."""

    def __init__(self) -> None:
        self._rooms: dict[RoomId, dict[DeviceKey, _Known]] = {}

    def load(self, rows: Iterable[tuple[bytes, bytes]], wall: float) -> list[Write]:
        """Take what the last run of this device knew. What is too old to be tried is forgotten; so is what cannot be
        read, which is no reason to go without the others."""
        writes = []
        for key, value in rows:
            known = self._rooms.setdefault(RoomId(key[:ROOM_ID_BYTES]), {})
            row = _read(key, value)
            if row is None or row.written <= wall - DIRECT_CONTACT_SECONDS_MAX or len(known) >= DIRECT_CONTACTS_MAX:
                writes.append(Write(TABLE, key, None))
            else:
                known[DeviceKey(key[ROOM_ID_BYTES:])] = row
        return writes

    def learn(
        self,
        room_id: RoomId,
        device: DeviceKey,
        contact: DirectContact,
        wall: float,
        is_member: Callable[[DeviceKey], bool],
    ) -> list[Write]:
        """A contact that ``device`` has signed takes the place of its last one. In a full room who is a member no more
        gives way, and else the newcomer is not taken."""
        known = self._rooms.setdefault(room_id, {})
        writes: list[Write] = []
        if device not in known and len(known) >= DIRECT_CONTACTS_MAX:
            for gone in [other for other in known if not is_member(other)]:
                del known[gone]
                writes.append(Write(TABLE, room_id + gone, None))
            if len(known) >= DIRECT_CONTACTS_MAX:
                return writes
        before = known.get(device)
        if (
            before is not None
            and _is_same(before.contact, contact)
            and 0 <= wall - before.written < DIRECT_CONTACT_AGAIN_SECONDS
        ):
            return writes
        known[device] = _Known(contact, int(wall))
        row = _Row(int(wall), DIRECT_CONTACTS.encode(contact))
        return [*writes, Write(TABLE, room_id + device, _ROWS.encode(row))]

    def get(self, room_id: RoomId, device: DeviceKey) -> DirectContact | None:
        """What is known of one device."""
        found = self._rooms.get(room_id, {}).get(device)
        return None if found is None else found.contact

    def of(self, room_id: RoomId) -> Mapping[DeviceKey, DirectContact]:
        """What is known of a room's other members."""
        return {device: known.contact for device, known in self._rooms.get(room_id, {}).items()}

    def forget_room(self, room_id: RoomId) -> None:
        """The room was left; its rows go with its others."""
        self._rooms.pop(room_id, None)


def _read(key: bytes, value: bytes) -> _Known | None:
    try:
        row = _ROWS.decode(value)
        contact = DIRECT_CONTACTS.decode(row.contact)
    except MalformedInput:
        return None
    return _Known(contact, row.learnt) if len(key) == ROOM_ID_BYTES + DEVICE_KEY_BYTES else None


def _is_same(one: DirectContact, other: DirectContact) -> bool:
    """Whether both lead to the same place."""
    return (one.link_key, one.certificate_hash, one.addresses) == (
        other.link_key,
        other.certificate_hash,
        other.addresses,
    )
