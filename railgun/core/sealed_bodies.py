"""Sealed bodies on their way out: packed into the smallest envelope that holds them.

Owns: encoding a sealed body as a request to seal. Must not know: what any of them is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from railgun.core.room_port import SealRequest
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import content_hash
from railgun.types import EnvelopeKind
from railgun.wire.envelope import NO_HINT, smallest_class_for
from railgun.wire.sealed import SEALED_BODIES, SealedBody

REFERENCE_BYTES = 16
ITEMS_PER_ENVELOPE_MAX = 44
"""Items of a delivery, at about 1,440 bytes each, that fit the largest envelope."""
Item = TypeVar("Item")


def seal_request(body: SealedBody, keys: EpochKeys | None = None, *, reported: bool = False) -> SealRequest:
    """A sealed envelope for ``body``, under ``keys`` or the room's own; ``reported`` gives it a reference.

    Raises:
        ValueError: a field does not fit.
    """
    data = SEALED_BODIES.encode(body)
    reference = content_hash(data)[:REFERENCE_BYTES] if reported else None
    return SealRequest(EnvelopeKind.SEALED, NO_HINT, data, smallest_class_for(len(data)), reference, keys)


def packed(
    items: Sequence[Item],
    make: Callable[[tuple[Item, ...]], SealedBody],
    keys: EpochKeys | None = None,
    *,
    reported: bool = True,
) -> list[SealRequest]:
    """Items of a delivery, as many to an envelope as fit."""
    return [
        seal_request(make(tuple(items[first : first + ITEMS_PER_ENVELOPE_MAX])), keys, reported=reported)
        for first in range(0, len(items), ITEMS_PER_ENVELOPE_MAX)
    ]
