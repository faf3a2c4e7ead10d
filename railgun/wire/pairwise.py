"""Bodies of pairwise envelopes: what one device tells others, each under Olm, packed together.

Owns: their fields and bounds, what the signature covers, what stands under Olm. Must not know: sessions, who may say
what.
Spec: docs/spec/messages.md, "Pairwise bodies".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from railgun.limits import OLM_MESSAGE_BYTES_MAX, PAIRWISE_ITEMS_MAX, PAIRWISE_KEYS_MAX
from railgun.types import DeviceKey, RoomId
from railgun.wire import cbor
from railgun.wire.roster import DeviceField, HashField, SignatureField, TimeField
from railgun.wire.schema import Array, Bool, Bytes, Codec, Nested
from railgun.wire.sealed import HPKE_ADDED_BYTES, SEALED_BODY_BYTES_MAX

PAIRWISE_LABEL: Final = "railgun/pairwise/v1"
HINT_BYTES: Final = 8
SESSION_KEY_BYTES: Final = 229
"""A Megolm session key as its sender gives it out (spec: sessions)."""
ITEM_OVERHEAD_BYTES: Final = 16
BODY_OVERHEAD_BYTES: Final = 160
"""What an item and a body take beside the items' messages, at most."""


@dataclass(frozen=True, slots=True)
class PairwiseItem:
    """For the device whose hint it is: an Olm message; a ``first`` one is under HPKE to the device's prekey."""

    hint: Annotated[bytes, Bytes(HINT_BYTES)]
    first: Annotated[bool, Bool()]
    message: Annotated[bytes, Bytes(1, OLM_MESSAGE_BYTES_MAX + HPKE_ADDED_BYTES)]


@dataclass(frozen=True, slots=True)
class PairwiseBody:
    """The author's messages to some devices; ``made`` (Unix seconds) goes into their hints."""

    author: DeviceField
    made: TimeField
    items: Annotated[tuple[PairwiseItem, ...], Array(Nested(PairwiseItem), PAIRWISE_ITEMS_MAX, 1)]
    signature: SignatureField


PAIRWISE_BODIES: Final[Codec[PairwiseBody]] = Codec({1: PairwiseBody}, bytes_max=SEALED_BODY_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class SharedKeys:
    """What stands under Olm: Megolm session keys. ``context`` names room, author and recipient, ``made`` as outside."""

    context: HashField
    made: TimeField
    keys: Annotated[tuple[bytes, ...], Array(Bytes(SESSION_KEY_BYTES), PAIRWISE_KEYS_MAX, 1)] = field(repr=False)


SHARED_KEYS: Final[Codec[SharedKeys]] = Codec({1: SharedKeys}, bytes_max=PAIRWISE_KEYS_MAX * 256 + 64)


def pairwise_content(room: RoomId, author: DeviceKey, made: int, items: Sequence[PairwiseItem]) -> bytes:
    """What the signature of a `PairwiseBody` covers."""
    return cbor.encode([room, author, made, [[item.hint, item.first, item.message] for item in items]])


def pack_items(items: Sequence[PairwiseItem]) -> list[tuple[PairwiseItem, ...]]:
    """Items by body, in order, as many to one as fit."""
    bodies: list[list[PairwiseItem]] = []
    free = 0
    for item in items:
        size = len(item.message) + ITEM_OVERHEAD_BYTES
        if size > free or len(bodies[-1]) >= PAIRWISE_ITEMS_MAX:
            bodies.append([])
            free = SEALED_BODY_BYTES_MAX - BODY_OVERHEAD_BYTES
        bodies[-1].append(item)
        free -= size
    return [tuple(body) for body in bodies]
