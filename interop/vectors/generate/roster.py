"""Vectors of rosters: entries and their hashes, and what the union of chains says, whatever order it came in."""

from __future__ import annotations

from typing import Any

from railgun.core.roster import Roster, create_roster
from railgun.core.roster_entries import ROSTER_LABEL, StoredEntry, sign_entry, sign_join_request
from railgun.core.roster_state import RosterState
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import DeviceIdentity, issue_certificate, root_identity
from railgun.crypto.signing import public_key_of, sign, signing_key_of
from railgun.limits import DEVICE_NAME_BYTES_MAX, ROSTER_ENTRY_BYTES_MAX
from railgun.types import DeviceKey, RoomId
from railgun.wire import cbor
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.roster import (
    ENTRIES,
    NO_HASH,
    SIGNED_ENTRIES,
    AddEntry,
    Cover,
    CreateEntry,
    GenerationEntry,
    InviteEntry,
    JoinRequest,
    LaterEntry,
    LeaveEntry,
    NamedGeneration,
    NameEntry,
    Removal,
    RemoveEntry,
    RevokeEntry,
    RoomSettings,
    SettingsEntry,
    SignedEntry,
)

DAY = 20_000
NOON = DAY * 86_400 + 43_200
INVITE_SEED = b"\x33" * 32
FIRST = b"\xc1" * 32


class Device:
    """A device by number; its prekey is no point of any curve, and no matter here."""

    def __init__(self, number: int, person: int | None = None) -> None:
        self.seed = keyed_hash(None, "vectors/device", bytes([number]))
        self.key = DeviceKey(public_key_of(self.seed))
        self.root_seed = keyed_hash(None, "vectors/root", bytes([number if person is None else person]))
        root = root_identity(self.root_seed)
        identity = DeviceIdentity(self.key, bytes([number]) * 1_216, bytes(32), signing_key_of(self.seed), bytes(32))
        self.certificate = CERTIFICATES.encode(issue_certificate(root, identity, NOON - 86_400, NOON + 86_400))


ANNA, BERT, CARA, DORA = (Device(number) for number in range(1, 5))
PHONE = Device(5, person=2)
"""Another device of Bert's."""


class Room:
    """A roster that is written from one place."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster

    def copy(self) -> Room:
        other = Roster(self.roster.room)
        other.insert_all(self.roster.export())
        return Room(other)

    def _place(self, author: Device) -> tuple[RoomId, DeviceKey, int, bytes, int]:
        return (self.roster.room, author.key, *self.roster.next_place(author.key), NOON)

    def _file(self, author: Device, entry: LaterEntry) -> StoredEntry:
        return self.roster.append(author.seed, entry).added[0]

    def add(self, author: Device, device: Device, *, admin: bool = False) -> StoredEntry:
        return self._file(author, AddEntry(*self._place(author), device.key, device.certificate, admin, None))

    def add_by_invite(self, author: Device, device: Device) -> StoredEntry:
        request = JoinRequest(self.roster.room, device.key, device.certificate, public_key_of(INVITE_SEED), NOON)
        proof = sign_join_request(device.seed, INVITE_SEED, request)
        return self._file(author, AddEntry(*self._place(author), device.key, device.certificate, False, proof))

    def add_own(self, author: Device, device: Device) -> StoredEntry:
        root_key = public_key_of(device.root_seed)
        request = JoinRequest(self.roster.room, device.key, device.certificate, root_key, NOON)
        proof = sign_join_request(device.seed, device.root_seed, request)
        return self._file(author, AddEntry(*self._place(author), device.key, device.certificate, False, proof))

    def revoke(self, author: Device, *targets: Device) -> StoredEntry:
        removals = tuple(self.roster.removal_of(target.key) for target in targets)
        return self._file(author, RevokeEntry(*self._place(author), removals))

    def remove(self, author: Device, *targets: Device) -> StoredEntry:
        named = NamedGeneration(2, keyed_hash(None, "vectors/c", author.key), DAY, FIRST)
        removals = tuple(self.roster.removal_of(target.key) for target in targets)
        return self._file(author, RemoveEntry(*self._place(author), removals, named))

    def invite(self, author: Device, uses: int) -> StoredEntry:
        entry = InviteEntry(*self._place(author), public_key_of(INVITE_SEED), b"\x44" * 32, uses, NOON + 86_400)
        return self._file(author, entry)

    def settings(self, author: Device, settings: RoomSettings, from_day: int) -> StoredEntry:
        return self._file(author, SettingsEntry(*self._place(author), settings, from_day))

    def generation(self, author: Device, *excluded: Device) -> StoredEntry:
        named = NamedGeneration(2, b"\xc2" * 32, DAY, FIRST, tuple(sorted(device.key for device in excluded)))
        return self._file(author, GenerationEntry(*self._place(author), named))

    def leave(self, author: Device) -> StoredEntry:
        return self._file(author, LeaveEntry(*self._place(author)))

    def name(self, author: Device, name: str) -> StoredEntry:
        return self._file(author, NameEntry(*self._place(author), name))


def _new(settings: RoomSettings | None = None) -> Room:
    entry = CreateEntry(
        ANNA.key,
        NOON,
        ANNA.certificate,
        "ops",
        bytes(16),
        settings or RoomSettings(),
        NamedGeneration(1, FIRST, DAY, NO_HASH),
    )
    return Room(create_roster(ANNA.seed, entry)[0])


def summary(state: RosterState) -> dict[str, Any]:
    """A state as vectors show it."""
    settings = state.settings
    return {
        "members": [device.hex() for device in state.devices],
        "admins": [device.hex() for device in state.admins],
        "removed": [device.hex() for device in state.removed],
        "left": [device.hex() for device in state.left],
        "revoked": [device.hex() for device in state.revoked],
        "settings": [settings.committee_size, settings.gate, int(settings.cover), settings.closed],
        "invites": [[invite.invite_key.hex(), invite.uses, invite.used, invite.expires] for invite in state.invites],
        "generations": [
            [g.generation, g.commitment.hex(), g.first_day, [device.hex() for device in g.excluded]]
            for g in state.generations
        ],
        "names": [[device.hex(), name] for device, name in state.names],
        "forks": [[fork.author.hex(), fork.number, [digest.hex() for digest in fork.hashes]] for fork in state.forks],
    }


def _resolved(name: str, *rooms: Room, day: int = DAY) -> dict[str, Any]:
    union = Roster(rooms[0].roster.room)
    for room in rooms:
        union.insert_all(room.roster.export())
    return {
        "name": name,
        "operation": "resolve",
        "room": union.room.hex(),
        "entries": [data.hex() for data in union.export()],
        "day": day,
        "expected": summary(union.state(day)),
    }


def _opened(name: str, stored: StoredEntry) -> dict[str, Any]:
    expected = {"author": stored.author.hex(), "number": stored.number, "hash": stored.hash.hex()}
    return {"name": name, "operation": "open_entry", "bytes": stored.data.hex(), "expected": expected}


def _refused(name: str, data: bytes, code: str = "malformed") -> dict[str, Any]:
    return {"name": name, "operation": "open_entry", "bytes": data.hex(), "code": code}


def _entries() -> list[dict[str, Any]]:
    room = _new()
    found = [
        ("add an admin", room.add(ANNA, BERT, admin=True)),
        ("invite", room.invite(ANNA, 2)),
        ("add by invite", room.add_by_invite(BERT, CARA)),
        ("settings", room.settings(ANNA, RoomSettings(7, 50, Cover.STRICT, closed=True), DAY + 1)),
        ("generation", room.generation(BERT)),
        ("remove", room.remove(ANNA, BERT)),
        ("leave", room.leave(CARA)),
        ("name", room.name(ANNA, "Anna \U0001f33f")),
        ("name taken back", room.name(ANNA, "")),
    ]
    return [_opened(name, stored) for name, stored in found]


def _conflicts() -> list[dict[str, Any]]:
    base = _new()
    base.add(ANNA, BERT, admin=True)
    base.add(BERT, CARA, admin=True)
    base.add(ANNA, DORA, admin=True)
    one, two, three = base.copy(), base.copy(), base.copy()
    one.remove(BERT, CARA)
    two.remove(CARA, BERT)
    three.remove(DORA, BERT)
    same_one, same_two = base.copy(), base.copy()
    same_one.remove(BERT, DORA)
    same_two.remove(DORA, BERT)
    late = base.copy()
    late.add(CARA, Device(9))
    removed = base.copy()
    removed.remove(ANNA, CARA)
    fork_one, fork_two = base.copy(), base.copy()
    fork_one.add(DORA, Device(7))
    fork_two.add(DORA, Device(8))
    return [
        _resolved("mutual removal: nearer the creator wins", one, two),
        _resolved("mutual removal at one distance: the smaller key wins", same_one, same_two),
        _resolved("a removal from outside ends a mutual one", one, two, three),
        _resolved("what a removed device wrote after its last number is void", late, removed),
        _resolved("a fork: the smaller hash counts", fork_one, fork_two),
    ]


def _states() -> list[dict[str, Any]]:
    changed = _new()
    changed.settings(ANNA, RoomSettings(committee_size=7), DAY + 2)
    open_room, closed = _new(), _new(RoomSettings(closed=True))
    open_room.add(ANNA, BERT)
    open_room.invite(ANNA, 1)
    closed.add(ANNA, BERT)
    closed.invite(ANNA, 1)
    race_one, race_two = open_room.copy(), open_room.copy()
    race_one.add_by_invite(ANNA, CARA)
    race_two.add_by_invite(BERT, DORA)
    left = open_room.copy()
    left.leave(BERT)
    left.generation(ANNA, BERT)
    closed_add = closed.copy()
    number, previous = closed.roster.next_place(BERT.key)
    entry = AddEntry(closed.roster.room, BERT.key, number, previous, NOON, CARA.key, CARA.certificate, True, None)
    closed_add.roster.insert(sign_entry(BERT.seed, entry).data)
    named = open_room.copy()
    named.name(ANNA, "Ann")
    named.name(BERT, "Bert")
    named.name(ANNA, "Anna")
    nameless, gone = named.copy(), named.copy()
    nameless.name(BERT, "")
    gone.remove(ANNA, BERT)
    own = _new(RoomSettings(closed=True))
    own.invite(ANNA, 1)
    own.add_by_invite(ANNA, BERT)
    own.add_own(BERT, PHONE)
    one, two = own.copy(), own.copy()
    one.revoke(BERT, PHONE)
    two.revoke(PHONE, BERT)
    nested = own.copy()
    deeper = Device(6, person=2)
    request = JoinRequest(own.roster.room, deeper.key, deeper.certificate, public_key_of(deeper.root_seed), NOON)
    proof = sign_join_request(deeper.seed, deeper.root_seed, request)
    place = (own.roster.room, PHONE.key, *nested.roster.next_place(PHONE.key), NOON)
    unlet = AddEntry(*place, deeper.key, deeper.certificate, False, proof)
    nested.roster.insert(sign_entry(PHONE.seed, unlet).data)
    return [
        _resolved("a person's other device, in a closed room", own),
        _resolved("a device that was let in so lets none in", nested),
        _resolved("a person's later device revokes the first", two),
        _resolved("of two that revoke each other the first stays", one, two),
        _resolved("names: the last of each device", named),
        _resolved("names: an empty one is none", nameless),
        _resolved("names: of a device that was put out", gone),
        _resolved("a new room", _new()),
        _resolved("settings the day before they hold", changed, day=DAY + 1),
        _resolved("settings on the day from which they hold", changed, day=DAY + 2),
        _resolved("uses that race are kept and shown", race_one, race_two),
        _resolved("left, and a generation without", left),
        _resolved("in a closed room a member lets nobody in", closed_add),
    ]


def vectors() -> dict[str, Any]:
    """The file."""
    room = _new()
    stored = room.add(ANNA, BERT)
    signed = SIGNED_ENTRIES.decode(stored.data)
    wrong = ENTRIES.encode(
        AddEntry(room.roster.room, ANNA.key, 1, room.roster.room, NOON, CARA.key, BERT.certificate, False, None)
    )
    early = SettingsEntry(room.roster.room, ANNA.key, 1, room.roster.room, NOON, RoomSettings(), DAY + 1)
    object.__setattr__(early, "from_day", DAY)
    removal = RemoveEntry(
        room.roster.room,
        ANNA.key,
        1,
        room.roster.room,
        NOON,
        (Removal(BERT.key, 0, NO_HASH),),
        NamedGeneration(2, FIRST, DAY, FIRST),
    )
    object.__setattr__(removal, "number", 0)
    return {
        "description": "Roster entries and their resolution (docs/spec/rooms.md).",
        "accepted": [*_entries(), *_states(), *_conflicts()],
        "refused": [
            _refused("not CBOR", b"\xff"),
            _refused("empty", b""),
            _refused("a byte too many", stored.data + b"\0"),
            _refused(
                "signature altered",
                SIGNED_ENTRIES.encode(SignedEntry(signed.body, signed.signature[:-1] + b"\0")),
                "bad_signature",
            ),
            _refused("another device's certificate", _signed(wrong)),
            _refused("settings from the same day", _signed(ENTRIES.encode(early))),
            _refused("a number below 1", _signed(ENTRIES.encode(removal))),
            _refused("a name too long", _named("n" * (DEVICE_NAME_BYTES_MAX + 1))),
            _refused("a name in bytes", _named(b"Anna")),
            _refused("no name", _named(None)),
        ],
    }


def _signed(body: bytes) -> bytes:
    return SIGNED_ENTRIES.encode(SignedEntry(body, sign(ANNA.seed, ROSTER_LABEL, body)))


def _named(name: cbor.Value) -> bytes:
    """An entry of type 9 with whatever stands for the name; without it for None."""
    stored = _new().name(ANNA, "Anna")
    fields = cbor.decode(SIGNED_ENTRIES.decode(stored.data).body, bytes_max=ROSTER_ENTRY_BYTES_MAX)
    if not isinstance(fields, dict):
        raise TypeError("an entry is a map")
    last = max(fields)
    changed = {key: value for key, value in fields.items() if key != last}
    return _signed(cbor.encode(changed if name is None else {**changed, last: name}))
