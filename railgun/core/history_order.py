"""An order of a room's messages that is the same for all who hold the same ones, whenever each came to them.

Owns: the order. Must not know: stores, clocks. Spec: docs/spec/messages.md, "Gaps".
"""

from __future__ import annotations

from collections.abc import Iterable

from railgun.core.conversation import Message
from railgun.types import MessageId
from railgun.wire.content import PARENTED, ReactionContent


def in_order(messages: Iterable[Message]) -> list[Message]:
    """By depth, then by id: each message after all that its author had seen, as far as they are among ``messages``."""
    held = {message.message_id: message for message in messages}
    depths: dict[MessageId, int] = {}
    for first in held:
        stack = [first]
        while stack:
            item = stack[-1]
            before = [other for other in _before(held[item]) if other in held]
            unknown = [other for other in before if other not in depths]
            if item in depths or not unknown:
                stack.pop()
                depths.setdefault(item, 1 + max((depths[other] for other in before), default=0))
            else:
                stack += unknown  # ends: an id is a hash of what it names
    return sorted(held.values(), key=lambda message: (depths[message.message_id], message.message_id))


def _before(message: Message) -> tuple[MessageId, ...]:
    content = message.content
    if isinstance(content, ReactionContent):
        return (content.target,)
    return content.parents if isinstance(content, PARENTED) else ()
