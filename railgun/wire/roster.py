"""Roster entries: what a room's members say about the room.

Owns: the entries' fields and bounds, the signed wrapper, join requests, prekey records. Must not know: hashes, keys,
who is right. Spec: docs/spec/rooms.md.

An author's entries are a chain: each names its number, counted from 1 (the creation entry has number 0), and the
hash of the one before (the room id for number 1). Times are Unix seconds by the author's clock, shown, never trusted.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from railgun.limits import (
    CERTIFICATE_BYTES_MAX,
    COMMITTEE_DEFAULT,
    COMMITTEE_MAX,
    COMMITTEE_MIN,
    DEVICE_NAME_BYTES_MAX,
    INVITE_USES_MAX,
    ROOM_DEVICES_MAX,
    ROOM_NAME_BYTES_MAX,
    ROSTER_ENTRIES_PER_AUTHOR_MAX,
    ROSTER_ENTRY_BYTES_MAX,
    ROSTER_REMOVALS_PER_ENTRY_MAX,
)
from railgun.types import DeviceKey, RoomId
from railgun.wire.schema import Array, Bool, Bytes, Codec, Nested, Optional, Text, Uint

U32_MAX: Final = 2**32 - 1
HASH_BYTES: Final = 32
NO_HASH: Final = bytes(HASH_BYTES)
PREKEY_BYTES: Final = 1_216
"""An X-Wing public key."""
SECONDS_PER_DAY: Final = 86_400

RoomField = Annotated[RoomId, Bytes(32)]
DeviceField = Annotated[DeviceKey, Bytes(32)]
HashField = Annotated[bytes, Bytes(HASH_BYTES)]
SignatureField = Annotated[bytes, Bytes(64)]
TimeField = Annotated[int, Uint(U32_MAX)]
DayField = Annotated[int, Uint(U32_MAX)]
NumberField = Annotated[int, Uint(ROSTER_ENTRIES_PER_AUTHOR_MAX)]
CertificateField = Annotated[bytes, Bytes(1, CERTIFICATE_BYTES_MAX)]


class Cover(enum.IntEnum):
    """How a room hides when its members speak (spec: rooms, settings)."""

    OFF = 0
    STEADY = 1
    STRICT = 2


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What every member applies alike.

    Attributes:
        committee_size: K, 3 to 7.
        gate: least reputation of a seat, 0 to 100; 0 for none.
        cover: how much decoy traffic members add.
        closed: only admins let people in.
    """

    committee_size: Annotated[int, Uint(COMMITTEE_MAX)] = COMMITTEE_DEFAULT
    gate: Annotated[int, Uint(100)] = 0
    cover: Annotated[Cover, Uint(2, Cover)] = Cover.STEADY
    closed: Annotated[bool, Bool()] = False

    def __post_init__(self) -> None:
        if not COMMITTEE_MIN <= self.committee_size <= COMMITTEE_MAX:
            raise ValueError(f"committee size {self.committee_size}: must be from {COMMITTEE_MIN} to {COMMITTEE_MAX}")


@dataclass(frozen=True, slots=True)
class NamedGeneration:
    """A new secret, named by its hash.

    Attributes:
        generation: g, one more than the base's; 1 in the creation entry.
        commitment: c, 32 bytes.
        first_day: day of the epoch that was open when it was made.
        base: the commitment of the generation that it follows; zeros in the creation entry.
        excluded: devices that did not get it, beyond those that the base excludes and the entry itself removes.
    """

    generation: Annotated[int, Uint(U32_MAX)]
    commitment: HashField
    first_day: DayField
    base: HashField
    excluded: Annotated[tuple[DeviceKey, ...], Array(Bytes(32), ROOM_DEVICES_MAX)] = ()

    def __post_init__(self) -> None:
        if self.generation < 1:
            raise ValueError("generations count from 1")


GenerationField = Annotated[NamedGeneration, Nested(NamedGeneration)]
SettingsField = Annotated[RoomSettings, Nested(RoomSettings)]


@dataclass(frozen=True, slots=True)
class Removal:
    """One removed device, and its last entry that still counts (number 0 and zeros: none does)."""

    device: DeviceField
    last_number: NumberField
    last_hash: HashField


@dataclass(frozen=True)
class CreateEntry:
    """The room's first entry; its hash is the room id. Settings hold at once."""

    author: DeviceField
    time: TimeField
    certificate: CertificateField
    name: Annotated[str, Text(ROOM_NAME_BYTES_MAX)]
    nonce: Annotated[bytes, Bytes(16)]
    settings: SettingsField
    generation: GenerationField

    def __post_init__(self) -> None:
        if self.generation.generation != 1 or self.generation.base != NO_HASH or self.generation.excluded:
            raise ValueError("a room starts with generation 1, which follows none")

    @property
    def number(self) -> int:
        return 0

    @property
    def previous(self) -> bytes:
        return NO_HASH


@dataclass(frozen=True)
class _Chained:
    """What all later entries start with."""

    room: RoomField
    author: DeviceField
    number: NumberField
    previous: HashField
    time: TimeField

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError("entries after the first count from 1")


@dataclass(frozen=True)
class JoinRequest:
    """What a joiner signs twice: as the device (label ``railgun/join/v1``), and with the invite's key (label
    ``railgun/invite-use/v1``), so that only holders of the link can ask."""

    room: RoomField
    device: DeviceField
    certificate: CertificateField
    invite_key: Annotated[bytes, Bytes(32)]
    time: TimeField


@dataclass(frozen=True)
class JoinProof:
    """What is left of a join request once the entry around it names room, device and certificate."""

    invite_key: Annotated[bytes, Bytes(32)]
    time: TimeField
    device_signature: SignatureField
    invite_signature: SignatureField


JOIN_REQUESTS: Final[Codec[JoinRequest]] = Codec({1: JoinRequest}, bytes_max=CERTIFICATE_BYTES_MAX + 256)


def join_request_body(room: RoomId, device: DeviceKey, certificate: bytes, proof: JoinProof) -> bytes:
    """The bytes that both signatures of ``proof`` cover. Raises ValueError where a field does not fit."""
    return JOIN_REQUESTS.encode(JoinRequest(room, device, certificate, proof.invite_key, proof.time))


@dataclass(frozen=True)
class AddEntry(_Chained):
    """A device is in. ``request`` proves that it asked with an invite; admins may add without one.

    ``admin`` makes the device an admin, also when it was in already.
    """

    device: DeviceField
    certificate: CertificateField
    admin: Annotated[bool, Bool()]
    request: Annotated[JoinProof | None, Optional(Nested(JoinProof))]


@dataclass(frozen=True)
class RemoveEntry(_Chained):
    """Devices are out for good, and a generation follows that they never get."""

    targets: Annotated[tuple[Removal, ...], Array(Nested(Removal), ROSTER_REMOVALS_PER_ENTRY_MAX, 1)]
    generation: GenerationField


@dataclass(frozen=True)
class InviteEntry(_Chained):
    """An invite's key, how often and until when it lets people in. ``uses`` = 0 revokes it.

    ``lobby_secret`` lets members listen where joiners post; the link's seed, and so the right to ask, stays out of it.
    """

    invite_key: Annotated[bytes, Bytes(32)]
    lobby_secret: Annotated[bytes, Bytes(32)] = field(repr=False)
    uses: Annotated[int, Uint(INVITE_USES_MAX)]
    expires: TimeField


@dataclass(frozen=True)
class SettingsEntry(_Chained):
    """New settings from ``from_day`` on, a UTC day after the entry's own."""

    settings: SettingsField
    from_day: DayField

    def __post_init__(self) -> None:
        _Chained.__post_init__(self)
        if self.from_day <= self.time // SECONDS_PER_DAY:
            raise ValueError("settings hold from the next day at the earliest")


@dataclass(frozen=True)
class LeaveEntry(_Chained):
    """The author's device is out; nothing of it counts after this."""


@dataclass(frozen=True)
class GenerationEntry(_Chained):
    """A generation without a removal: its week is over, or concurrent removals left none that excludes all."""

    generation: GenerationField


@dataclass(frozen=True)
class RevokeEntry(_Chained):
    """Other devices of the author's own person are out for good. It takes no admin, and names no generation."""

    targets: Annotated[tuple[Removal, ...], Array(Nested(Removal), ROSTER_REMOVALS_PER_ENTRY_MAX, 1)]


@dataclass(frozen=True)
class NameEntry(_Chained):
    """How the author's device wants to be shown; empty for no name. Of several the last counts. It proves nothing."""

    name: Annotated[str, Text(DEVICE_NAME_BYTES_MAX)]


LaterEntry: TypeAlias = (
    AddEntry | RemoveEntry | InviteEntry | SettingsEntry | LeaveEntry | GenerationEntry | RevokeEntry | NameEntry
)
Entry: TypeAlias = CreateEntry | LaterEntry

ENTRIES: Final[Codec[Entry]] = Codec(
    {
        1: CreateEntry,
        2: AddEntry,
        3: RemoveEntry,
        4: InviteEntry,
        5: SettingsEntry,
        6: LeaveEntry,
        7: GenerationEntry,
        8: RevokeEntry,
        9: NameEntry,
    },
    bytes_max=ROSTER_ENTRY_BYTES_MAX - 128,
)


@dataclass(frozen=True)
class SignedEntry:
    """An entry as it travels: ``body`` is its canonical encoding, ``signature`` the author device's over it."""

    body: Annotated[bytes, Bytes(1, ROSTER_ENTRY_BYTES_MAX - 128)]
    signature: SignatureField


SIGNED_ENTRIES: Final[Codec[SignedEntry]] = Codec({1: SignedEntry}, bytes_max=ROSTER_ENTRY_BYTES_MAX)


@dataclass(frozen=True)
class PrekeyRecord:
    """A device's bundle: its X-Wing prekey and the fallback key (Curve25519) of its Olm account, signed by the device;
    the greatest (issued, prekey, fallback) counts."""

    device: DeviceField
    issued: TimeField
    prekey: Annotated[bytes, Bytes(PREKEY_BYTES)]
    fallback: Annotated[bytes, Bytes(32)]
    signature: SignatureField


PREKEYS: Final[Codec[PrekeyRecord]] = Codec({1: PrekeyRecord}, bytes_max=1_400)
