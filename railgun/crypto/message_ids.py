"""Names of messages and sessions.

Owns: message ids and hints. Must not know: what a message says, or which session is whose. Spec: docs/spec/messages.md.
"""

from __future__ import annotations

from typing import Final

from railgun.crypto.hashing import keyed_hash, u32
from railgun.types import DeviceKey, MessageId
from railgun.wire.envelope import HINT_BYTES

MESSAGE_ID_BYTES: Final = 16
KEY_BYTES: Final = 32
_HINT_LABEL: Final = "railgun/hint/v1"


def message_id(author: DeviceKey, megolm_message: bytes) -> MessageId:
    """16 bytes that stay the same when the message is sealed again in another epoch.

    Raises ValueError unless the author's key has 32 bytes: with another length two pairs could share an id.
    """
    if len(author) != KEY_BYTES:
        raise ValueError("a device key has 32 bytes")
    return MessageId(keyed_hash(None, "railgun/message/v1", author + megolm_message)[:MESSAGE_ID_BYTES])


def group_hint(session_id: bytes) -> bytes:
    """8 bytes by which a member finds the Megolm session (id: 32 bytes) that opens a group envelope."""
    return keyed_hash(None, _HINT_LABEL, session_id)[:HINT_BYTES]


def pairwise_hint(recipient: DeviceKey, epoch_start: int) -> bytes:
    """8 bytes by which a device finds the pairwise envelopes of one epoch that are meant for it."""
    return keyed_hash(None, _HINT_LABEL, recipient + u32(epoch_start))[:HINT_BYTES]
