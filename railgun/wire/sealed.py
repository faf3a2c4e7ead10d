"""Bodies of sealed envelopes: keys on their way to devices, requests for them, and what is said in a lobby.

Owns: their fields and bounds, what signatures and HPKE contexts cover. Must not know: who deserves what.
Spec: docs/spec/rooms.md, "Sealed bodies".

All are read by every holder of the epoch's header key; what only one device may read in them is under HPKE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from railgun.limits import (
    CERTIFICATE_BYTES_MAX,
    DELIVERY_ITEMS_MAX,
    FRAGMENTS_MAX,
    GENERATIONS_LIVE_MAX,
    KEY_REQUEST_ITEMS_MAX,
    KEY_REQUEST_SENDERS_MAX,
    LOBBY_CHUNKS_MAX,
    ROOM_DEVICES_MAX,
    ROSTER_ENTRIES_MAX,
    ROSTER_ENTRY_BYTES_MAX,
)
from railgun.types import DeviceKey, EnvelopeKind, RoomId, SizeClass
from railgun.wire import cbor
from railgun.wire.envelope import HINT_BYTES, body_bytes_max
from railgun.wire.roster import (
    DayField,
    DeviceField,
    HashField,
    JoinProof,
    PrekeyRecord,
    RoomField,
    SignatureField,
    TimeField,
)
from railgun.wire.schema import Array, Bytes, Codec, Nested, Optional, Uint

SEALED_BODY_BYTES_MAX: Final = body_bytes_max(SizeClass.LARGE)
HPKE_ADDED_BYTES: Final = 1_136
CHUNK_BYTES: Final = 60_000
"""Plaintext of one chunk of an answer; with HPKE and fields it fits the largest envelope."""
ANSWER_BYTES_MAX: Final = CHUNK_BYTES * LOBBY_CHUNKS_MAX
ANSWER_ID_BYTES: Final = 8

FRAGMENT_BYTES: Final = 3_600
"""Data of one fragment; with its fields, and the hashes of 19 of them, it fits an envelope of 4096 bytes."""
FRAGMENT_HASH_BYTES: Final = 16

GENERATION_LABEL: Final = "railgun/generation-delivery/v1"
KEY_REQUEST_LABEL: Final = "railgun/key-request/v1"
GENERATION_REQUEST_LABEL: Final = "railgun/generation-request/v1"
DAYS_LABEL: Final = "railgun/day-delivery/v1"
ANSWER_LABEL: Final = "railgun/answer/v1"
ROSTER_REQUEST_LABEL: Final = "railgun/roster-request/v1"

GenerationNumber = Annotated[int, Uint(2**32 - 1)]
ItemBytes = Annotated[bytes, Bytes(HPKE_ADDED_BYTES + 1, HPKE_ADDED_BYTES + 256)]


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A generation's secret under HPKE for one device, signed by the admin's."""

    recipient: DeviceField
    sealed: ItemBytes
    signature: SignatureField


@dataclass(frozen=True, slots=True)
class GenerationDelivery:
    """Secret S of generation (g, c) for some devices."""

    author: DeviceField
    generation: GenerationNumber
    commitment: HashField
    first_day: DayField
    items: Annotated[tuple[SealedSecret, ...], Array(Nested(SealedSecret), DELIVERY_ITEMS_MAX, 1)]


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A device has envelopes of these sessions (hints, 8 bytes each) and cannot read them, and cannot open what these
    ``senders`` told it alone. ``prekey``: its newest bundle, to answer under."""

    author: DeviceField
    time: TimeField
    hints: Annotated[tuple[bytes, ...], Array(Bytes(8), KEY_REQUEST_ITEMS_MAX)]
    senders: Annotated[tuple[DeviceKey, ...], Array(Bytes(32), KEY_REQUEST_SENDERS_MAX)]
    prekey: Annotated[PrekeyRecord | None, Optional(Nested(PrekeyRecord))]
    signature: SignatureField

    def __post_init__(self) -> None:
        if not self.hints and not self.senders:
            raise ValueError("a request for nothing")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A device lacks these live generations, by commitment."""

    author: DeviceField
    commitments: Annotated[tuple[bytes, ...], Array(Bytes(32), GENERATIONS_LIVE_MAX, 1)]
    signature: SignatureField


@dataclass(frozen=True, slots=True)
class DaySecret:
    """D_d of generation (g, c), whose first day is ``first_day``."""

    generation: GenerationNumber
    commitment: HashField
    first_day: DayField
    day: DayField
    secret: Annotated[bytes, Bytes(32)] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DayDelivery:
    """`DaySecrets` under HPKE for one device, from any holder."""

    author: DeviceField
    recipient: DeviceField
    sealed: Annotated[bytes, Bytes(HPKE_ADDED_BYTES + 1, HPKE_ADDED_BYTES + 2_048)]
    signature: SignatureField


@dataclass(frozen=True, slots=True)
class JoinPost:
    """To a lobby: let me in. The certificate's prekey, or the newer record's, is what to answer under."""

    room: RoomField
    device: DeviceField
    certificate: Annotated[bytes, Bytes(1, CERTIFICATE_BYTES_MAX)]
    proof: Annotated[JoinProof, Nested(JoinProof)]
    prekey: Annotated[PrekeyRecord | None, Optional(Nested(PrekeyRecord))] = None


@dataclass(frozen=True, slots=True)
class AnswerChunk:
    """One chunk of a `SignedAnswer` under HPKE for a joiner, or for a member who was away."""

    recipient: DeviceField
    answer_id: Annotated[bytes, Bytes(ANSWER_ID_BYTES)]
    index: Annotated[int, Uint(LOBBY_CHUNKS_MAX - 1)]
    count: Annotated[int, Uint(LOBBY_CHUNKS_MAX)]
    sealed: Annotated[bytes, Bytes(HPKE_ADDED_BYTES + 1, HPKE_ADDED_BYTES + CHUNK_BYTES)]

    def __post_init__(self) -> None:
        if self.index >= self.count:
            raise ValueError("chunk beyond the last")


@dataclass(frozen=True, slots=True)
class RosterRequest:
    """To the room: this is the digest of my roster; whoever has another one, answer as to a joiner."""

    author: DeviceField
    time: TimeField
    digest: HashField
    signature: SignatureField


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of the body of an envelope of ``kind`` with ``hint``, for rooms in which one size alone is sent.

    ``hashes`` are those of all pieces in order, so that whoever has one can tell a false other one (spec: cover).
    """

    kind: Annotated[EnvelopeKind, Uint(3, EnvelopeKind)]
    hint: Annotated[bytes, Bytes(HINT_BYTES)]
    hashes: Annotated[tuple[bytes, ...], Array(Bytes(FRAGMENT_HASH_BYTES), FRAGMENTS_MAX, 2)]
    index: Annotated[int, Uint(FRAGMENTS_MAX - 1)]
    data: Annotated[bytes, Bytes(1, FRAGMENT_BYTES)]

    def __post_init__(self) -> None:
        if self.index >= len(self.hashes):
            raise ValueError("fragment beyond the last")


SealedBody: TypeAlias = (
    GenerationDelivery
    | KeyRequest
    | GenerationRequest
    | DayDelivery
    | JoinPost
    | AnswerChunk
    | RosterRequest
    | Fragment
)
SEALED_BODIES: Final[Codec[SealedBody]] = Codec(
    {
        2: GenerationDelivery,
        3: KeyRequest,
        4: GenerationRequest,
        5: DayDelivery,
        6: JoinPost,
        7: AnswerChunk,
        8: RosterRequest,
        9: Fragment,
    },
    bytes_max=SEALED_BODY_BYTES_MAX,
)


@dataclass(frozen=True, slots=True)
class DaySecrets:
    """What a holder gives: the secrets of one day of every live generation that it has."""

    secrets: Annotated[tuple[DaySecret, ...], Array(Nested(DaySecret), GENERATIONS_LIVE_MAX, 1)]


DAY_SECRETS: Final[Codec[DaySecrets]] = Codec({1: DaySecrets}, bytes_max=2_048)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a joiner is told: the whole roster, the newest prekeys, and the keys from this day on."""

    room: RoomField
    author: DeviceField
    recipient: DeviceField
    time: TimeField
    entries: Annotated[tuple[bytes, ...], Array(Bytes(1, ROSTER_ENTRY_BYTES_MAX), 2 * ROSTER_ENTRIES_MAX, 1)]
    prekeys: Annotated[tuple[PrekeyRecord, ...], Array(Nested(PrekeyRecord), ROOM_DEVICES_MAX)]
    secrets: Annotated[tuple[DaySecret, ...], Array(Nested(DaySecret), GENERATIONS_LIVE_MAX, 1)]


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """``body`` is an encoded `Answer`, signed by its author's device."""

    body: Annotated[bytes, Bytes(1, ANSWER_BYTES_MAX - 128)] = field(repr=False)
    signature: SignatureField


@dataclass(frozen=True, slots=True)
class RemovalNotice:
    """To a device that is out and asks: the entries that say so. They prove themselves, so nobody signs for them."""

    entries: Annotated[tuple[bytes, ...], Array(Bytes(1, ROSTER_ENTRY_BYTES_MAX), ROSTER_ENTRIES_MAX, 1)]


ANSWERS: Final[Codec[Answer]] = Codec({1: Answer}, bytes_max=ANSWER_BYTES_MAX - 128)
SIGNED_ANSWERS: Final[Codec[SignedAnswer | RemovalNotice]] = Codec(
    {1: SignedAnswer, 2: RemovalNotice}, bytes_max=ANSWER_BYTES_MAX
)


def context(label: str, *parts: bytes | int) -> bytes:
    """HPKE's ``info``, and what a signature covers: label and parts as one canonical array, so that no two agree."""
    return cbor.encode([label, *parts])


def key_request_content(
    room: RoomId, author: DeviceKey, time: int, hints: tuple[bytes, ...], senders: tuple[DeviceKey, ...]
) -> bytes:
    """What the signature of a `KeyRequest` covers."""
    return cbor.encode([room, author, time, list(hints), list(senders)])


def generation_request_content(room: RoomId, author: DeviceKey, commitments: tuple[bytes, ...]) -> bytes:
    """What the signature of a `GenerationRequest` covers."""
    return cbor.encode([room, author, list(commitments)])
