"""People, devices and rosters for tests: deterministic keys, certificates that only tests read."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from railgun.core.generations import OwnDevice
from railgun.core.roster import InsertResult, Roster, create_roster
from railgun.core.roster_entries import sign_entry, sign_join_request, sign_prekey
from railgun.crypto.hashing import keyed_hash
from railgun.crypto.identity import DeviceIdentity, RootIdentity, issue_certificate, root_identity
from railgun.crypto.sessions import VodozemacSessions
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.ports import OlmAccount
from railgun.types import DeviceKey
from railgun.wire.certificates import CERTIFICATES
from railgun.wire.roster import (
    NO_HASH,
    AddEntry,
    CreateEntry,
    GenerationEntry,
    InviteEntry,
    JoinProof,
    JoinRequest,
    LeaveEntry,
    NamedGeneration,
    PrekeyRecord,
    RemoveEntry,
    RevokeEntry,
    RoomSettings,
    SettingsEntry,
)

DAY = 20_000
NOON = DAY * 86_400 + 43_200
ISSUED = NOON - 86_400
PICKLE_KEY = b"p" * 32
SESSIONS = VodozemacSessions()


@dataclass(frozen=True)
class Device:
    """A test person's device; the only one, unless ``person`` names another device whose root is the same."""

    name: str
    person: str = ""

    @property
    def seed(self) -> bytes:
        return keyed_hash(None, "test/device", self.name.encode())

    @property
    def key(self) -> DeviceKey:
        return DeviceKey(public_key_of(self.seed))

    @property
    def root(self) -> RootIdentity:
        return root_identity(keyed_hash(None, "test/root", (self.person or self.name).encode()))

    @property
    def prekey_secret(self) -> bytes:
        return keyed_hash(None, "test/prekey", self.name.encode())

    @property
    def account(self) -> OlmAccount:
        return _account_of(self)

    @property
    def certificate(self) -> bytes:
        return _certificate_of(self)

    @property
    def record(self) -> PrekeyRecord:
        return _record_of(self)

    @property
    def own(self) -> OwnDevice:
        return OwnDevice(self.key, self.seed, (self.prekey_secret,), self.account.pickle, ISSUED)


@functools.cache
def _account_of(device: Device) -> OlmAccount:
    return SESSIONS.olm_new_fallback(SESSIONS.olm_account_new(PICKLE_KEY).pickle, PICKLE_KEY)


@functools.cache
def _record_of(device: Device) -> PrekeyRecord:
    prekey = SESSIONS.hpke_public_key(device.prekey_secret)
    return sign_prekey(device.seed, device.key, ISSUED, prekey, device.account.fallback_key)


@functools.cache
def _certificate_of(device: Device) -> bytes:
    prekey = SESSIONS.hpke_public_key(device.prekey_secret)
    keys = (prekey, device.account.identity_key, signing_key_of(device.seed), device.prekey_secret)
    return CERTIFICATES.encode(issue_certificate(device.root, DeviceIdentity(device.key, *keys), ISSUED, NOON * 2 - 1))


def commitment_of(name: str) -> bytes:
    return keyed_hash(None, "test/commitment", name.encode())


def new_roster(creator: Device, settings: RoomSettings | None = None, name: str = "room") -> Roster:
    entry = CreateEntry(
        creator.key,
        NOON,
        creator.certificate,
        name,
        bytes(16),
        settings or RoomSettings(),
        NamedGeneration(1, commitment_of("first"), DAY, NO_HASH),
    )
    return create_roster(creator.seed, entry)[0]


def copy_of(roster: Roster) -> Roster:
    copied = Roster(roster.room)
    copied.insert_all(roster.export())
    for record in roster.export_prekeys():
        copied.insert_prekey(record)
    return copied


def add(roster: Roster, author: Device, device: Device, *, admin: bool = False, time: int = NOON) -> InsertResult:
    number, previous = roster.next_place(author.key)
    entry = AddEntry(roster.room, author.key, number, previous, time, device.key, device.certificate, admin, None)
    return roster.append(author.seed, entry)


def join_proof(roster: Roster, device: Device, invite_seed: bytes, time: int = NOON) -> JoinProof:
    key = public_key_of(invite_seed)
    return sign_join_request(
        device.seed, invite_seed, JoinRequest(roster.room, device.key, device.certificate, key, time)
    )


def own_proof(roster: Roster, device: Device, time: int = NOON) -> JoinProof:
    """What lets a device in beside another of its person: its own word and its root's."""
    root = device.root
    request = JoinRequest(roster.room, device.key, device.certificate, bytes(root.root_key), time)
    return sign_join_request(device.seed, root.signing_key[:32], request)


def add_own(roster: Roster, author: Device, device: Device, *, admin: bool = False) -> InsertResult:
    """Another device of the author's person."""
    number, previous = roster.next_place(author.key)
    proof = own_proof(roster, device)
    entry = AddEntry(roster.room, author.key, number, previous, NOON, device.key, device.certificate, admin, proof)
    return roster.append(author.seed, entry)


def revoke(roster: Roster, author: Device, *targets: Device) -> InsertResult:
    """The author's own other devices are out."""
    number, previous = roster.next_place(author.key)
    removals = tuple(roster.removal_of(target.key) for target in targets)
    return roster.append(author.seed, RevokeEntry(roster.room, author.key, number, previous, NOON, removals))


def add_by_invite(
    roster: Roster, author: Device, device: Device, invite_seed: bytes, *, time: int = NOON
) -> InsertResult:
    number, previous = roster.next_place(author.key)
    proof = join_proof(roster, device, invite_seed, time)
    entry = AddEntry(roster.room, author.key, number, previous, time, device.key, device.certificate, False, proof)
    return roster.append(author.seed, entry)


def invite(
    roster: Roster, author: Device, invite_seed: bytes, *, uses: int = 1, expires: int = NOON * 2
) -> InsertResult:
    number, previous = roster.next_place(author.key)
    key = public_key_of(invite_seed)
    entry = InviteEntry(roster.room, author.key, number, previous, NOON, key, invite_seed[::-1], uses, expires)
    return roster.append(author.seed, entry)


def remove(
    roster: Roster, author: Device, *targets: Device, generation: int = 2, base: bytes | None = None
) -> InsertResult:
    number, previous = roster.next_place(author.key)
    named = NamedGeneration(
        generation,
        commitment_of(author.name + str(number)),
        DAY,
        commitment_of("first") if base is None else base,
    )
    removals = tuple(roster.removal_of(target.key) for target in targets)
    return roster.append(author.seed, RemoveEntry(roster.room, author.key, number, previous, NOON, removals, named))


def new_generation(roster: Roster, author: Device, generation: int, base: bytes, *excluded: Device) -> InsertResult:
    number, previous = roster.next_place(author.key)
    named = NamedGeneration(
        generation,
        commitment_of(author.name + str(number)),
        DAY,
        base,
        tuple(sorted(device.key for device in excluded)),
    )
    return roster.append(author.seed, GenerationEntry(roster.room, author.key, number, previous, NOON, named))


def change_settings(roster: Roster, author: Device, settings: RoomSettings, from_day: int = DAY + 1) -> InsertResult:
    number, previous = roster.next_place(author.key)
    entry = SettingsEntry(roster.room, author.key, number, previous, NOON, settings, from_day)
    return roster.append(author.seed, entry)


def leave(roster: Roster, author: Device) -> InsertResult:
    number, previous = roster.next_place(author.key)
    return roster.append(author.seed, LeaveEntry(roster.room, author.key, number, previous, NOON))


def forged_add(
    roster: Roster,
    author: Device,
    number: int,
    previous: bytes,
    device: Device,
    *,
    admin: bool = True,
    time: int = NOON,
) -> bytes:
    """An entry signed without asking whether it may be."""
    entry = AddEntry(roster.room, author.key, number, previous, time, device.key, device.certificate, admin, None)
    return sign_entry(author.seed, entry).data
