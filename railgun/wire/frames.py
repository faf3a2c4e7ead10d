"""Every frame that links carry, and the codec that knows them all.

Owns: the frames' fields, bounds and kind numbers (spec: frames). Must not know: who may send which,
and what follows from it.

The reliable channel is unordered, so no frame may lean on another having arrived before it: what
must be known first travels in the same frame, or is waited for.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, Union

from railgun.errors import RefusalCode
from railgun.limits import (
    COMMITTEE_MAX,
    COMMITTEE_MIN,
    FRAME_BYTES_MAX,
    IDS_PER_FRAME_MAX,
    PULLS_PER_FRAME_MAX,
    PULSE_BYTES_MAX,
    PULSE_TAGS_MAX,
    RECEIPT_IDS_MAX,
)
from railgun.types import EnvelopeId, Handle, NodeKey, Tag
from railgun.wire.dht_frames import DhtDeclined, DhtFind, DhtFound, DhtHeld, DhtPut
from railgun.wire.directory_frames import AdsPush, AdsRequest, DirectoryIds, DirectoryRanges
from railgun.wire.quick import quick_value
from railgun.wire.schema import Array, Bool, Bytes, Codec, Nested, Optional, Uint

U32_MAX: Final = 2**32 - 1

TagField = Annotated[Tag, Bytes(32)]
IdsField = Annotated[tuple[EnvelopeId, ...], Array(Bytes(16), IDS_PER_FRAME_MAX)]
SeatsHashField = Annotated[bytes, Bytes(8)]
SignatureField = Annotated[bytes, Bytes(64)]
EnvelopeField = Annotated[bytes, Bytes(1, 65_537)]
"""Wider than any envelope on purpose: a relay counts wrong sizes before it refuses them."""
NumberField = Annotated[int, Uint(U32_MAX)]
SEALED_CONTACT_BYTES: Final = 730
"""A member's contact as `railgun.crypto.contact_sealing` seals it."""


class SubscriptionMode(enum.IntEnum):
    """What a seat owes a subscriber."""

    AUDIT = 0
    """All ids held, once; no subscription follows."""
    SECONDARY = 1
    """Numbered digests."""
    PRIMARY = 2
    """Every envelope at once, numbered."""


@dataclass(frozen=True, slots=True)
class TagDescriptor:
    """What a seat must know of a tag, signed by r_e (spec: committee)."""

    start: Annotated[int, Uint(U32_MAX)]
    tag: TagField
    committee_size: Annotated[int, Uint(COMMITTEE_MAX)]
    gate: Annotated[int, Uint(100)]
    signature: SignatureField

    def __post_init__(self) -> None:
        if not COMMITTEE_MIN <= self.committee_size <= COMMITTEE_MAX:
            raise ValueError("committee size out of range")


DescriptorField = Annotated[TagDescriptor, Nested(TagDescriptor)]


@dataclass(frozen=True)
class Subscribe:
    """Client to seat. ``proof`` is by r_e over R_e, the seat's key, the client's link key and the handle,
    so that nobody can replay another's. ``from_number`` is the first number that the client lacks, of the numbering
    that ``incarnation`` names (8 zero bytes: none yet)."""

    descriptor: DescriptorField
    handle: Annotated[Handle, Bytes(16)]
    mode: Annotated[SubscriptionMode, Uint(2, SubscriptionMode)]
    proof: SignatureField
    seats_hash: SeatsHashField
    incarnation: Annotated[bytes, Bytes(8)]
    from_number: NumberField


@dataclass(frozen=True)
class Subscribed:
    """Seat to client: the subscription holds. ``seats_hash`` is the seat's own view of the committee."""

    tag: TagField
    mode: Annotated[SubscriptionMode, Uint(2, SubscriptionMode)]
    seats_hash: SeatsHashField
    incarnation: Annotated[bytes, Bytes(8)]
    last_number: NumberField


@dataclass(frozen=True)
class Unsubscribe:
    """Client to seat."""

    tag: TagField


@dataclass(frozen=True)
class Publish:
    """Client to seat: store, forward, deliver. ``other_entry`` is the second seat that got it from the client."""

    envelope: EnvelopeField
    seats_hash: SeatsHashField
    other_entry: Annotated[NodeKey | None, Optional(Bytes(32))]


@dataclass(frozen=True)
class Offer:
    """Client to seat: these ids went whole to ``entry``; get them there, and send me your receipts."""

    tag: TagField
    ids: IdsField
    entry: Annotated[NodeKey, Bytes(32)]


@dataclass(frozen=True)
class Receipt:
    """A seat's signed word that it holds these envelopes (spec: delivery, receipts)."""

    tag: TagField
    ids: Annotated[tuple[EnvelopeId, ...], Array(Bytes(16), RECEIPT_IDS_MAX, 1)]
    seat: Annotated[NodeKey, Bytes(32)]
    signature: SignatureField


@dataclass(frozen=True)
class Deliver:
    """Seat to client: envelope ``number`` of this tag in this seat's numbering."""

    number: NumberField
    envelope: EnvelopeField


@dataclass(frozen=True)
class Digest:
    """Seat to client: the ids from ``first_number`` on."""

    tag: TagField
    first_number: NumberField
    ids: IdsField


@dataclass(frozen=True)
class Pull:
    """Client to seat: send these, by number (of the seat's numbering) or by id."""

    tag: TagField
    numbers: Annotated[tuple[int, ...], Array(Uint(U32_MAX), PULLS_PER_FRAME_MAX)]
    ids: Annotated[tuple[EnvelopeId, ...], Array(Bytes(16), PULLS_PER_FRAME_MAX)]


@dataclass(frozen=True)
class SeatOpen:
    """Seat to seat: a tag that I serve and you should serve."""

    descriptor: DescriptorField
    seats_hash: SeatsHashField
    reply: Annotated[bool, Bool()]


@dataclass(frozen=True)
class SeatPush:
    """Seat to seat: an envelope's body."""

    envelope: EnvelopeField


@dataclass(frozen=True)
class SeatExchange:
    """Seat to seat: ids that I hold and you may lack, with the count and the XOR of all that I hold.

    ``urgent``: pull at once instead of after the usual wait for a push."""

    tag: TagField
    ids: IdsField
    urgent: Annotated[bool, Bool()]
    held_count: NumberField
    held_fingerprint: Annotated[bytes, Bytes(16)]


@dataclass(frozen=True)
class SeatPull:
    """Seat to seat: send me these bodies."""

    tag: TagField
    ids: Annotated[tuple[EnvelopeId, ...], Array(Bytes(16), PULLS_PER_FRAME_MAX)]


@dataclass(frozen=True)
class SeatDown:
    """Seat to client: I find this seat dead, or doubt it; see for yourself. Of itself: I am about to leave."""

    tag: TagField
    seat: Annotated[NodeKey, Bytes(32)]
    is_dead: Annotated[bool, Bool()]


@dataclass(frozen=True)
class Refused:
    """Any peer: why something was refused, for which tag and ids, and when to try again."""

    code: Annotated[RefusalCode, Uint(255, RefusalCode)]
    tag: Annotated[Tag | None, Optional(Bytes(32))]
    ids: Annotated[tuple[EnvelopeId, ...] | None, Optional(Array(Bytes(16), IDS_PER_FRAME_MAX))]
    retry_after_ms: Annotated[int | None, Optional(Uint(86_400_000))]


@dataclass(frozen=True)
class DirectOpen:
    """Member to member: I am in the room whose tag this is (spec: delivery, direct links). ``proof`` is by r_e over R_e
    and the link keys of sender and receiver; ``contact`` is the sender's own, sealed under K_e."""

    tag: TagField
    proof: SignatureField
    contact: Annotated[bytes, Bytes(SEALED_CONTACT_BYTES)]


@dataclass(frozen=True)
class DirectHold:
    """Member to member: I have these envelopes. ``asks``: tell me which of them you have."""

    tag: TagField
    ids: IdsField
    asks: Annotated[bool, Bool()]


Frame: TypeAlias = Union[
    Subscribe,
    Subscribed,
    Unsubscribe,
    Publish,
    Offer,
    Receipt,
    Deliver,
    Digest,
    Pull,
    SeatOpen,
    SeatPush,
    SeatExchange,
    SeatPull,
    SeatDown,
    Refused,
    DirectoryRanges,
    DirectoryIds,
    AdsRequest,
    AdsPush,
    DhtFind,
    DhtPut,
    DhtFound,
    DhtHeld,
    DhtDeclined,
    DirectOpen,
    DirectHold,
]

FRAME_KINDS: Final[dict[int, type]] = {
    1: Subscribe,
    2: Subscribed,
    3: Unsubscribe,
    4: Publish,
    5: Offer,
    6: Receipt,
    7: Deliver,
    8: Digest,
    9: Pull,
    10: SeatOpen,
    11: SeatPush,
    12: SeatExchange,
    13: SeatPull,
    14: SeatDown,
    15: Refused,
    20: DirectoryRanges,
    21: DirectoryIds,
    22: AdsRequest,
    23: AdsPush,
    24: DhtFind,
    25: DhtPut,
    26: DhtFound,
    27: DhtHeld,
    28: DhtDeclined,
    29: DirectOpen,
    30: DirectHold,
}

FRAMES: Final[Codec[Frame]] = Codec(FRAME_KINDS, bytes_max=FRAME_BYTES_MAX)


@quick_value
class TagNumber:
    """The last number given out for a tag, repeated so that a lost frame is noticed."""

    tag: TagField
    last_number: NumberField


@quick_value
class Pulse:
    """Sign of life on the unreliable channel. ``echo`` answers the remote's sequence number (0: none);
    ``wants_echo`` asks for one."""

    sequence: NumberField
    echo: NumberField
    wants_echo: Annotated[bool, Bool()]
    numbers: Annotated[tuple[TagNumber, ...], Array(Nested(TagNumber), PULSE_TAGS_MAX)]


PULSES: Final[Codec[Pulse]] = Codec({1: Pulse}, bytes_max=PULSE_BYTES_MAX)
