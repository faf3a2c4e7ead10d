"""What is to be seen of a room: numbered messages with reactions and delivery marks, and who is typing.

Owns: which message has which number, what edits, deletions and reactions change, when typing is over.
Must not know: terminals, sockets, clocks (times are passed in).

Everything is bounded: of what was said the newest ENTRIES_MAX are kept, of who is typing TYPISTS_MAX.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from railgun.errors import UsageError
from railgun.runtime.file_views import FileView
from railgun.runtime.room_views import Message, Receipt, Typing
from railgun.types import DeviceKey, MessageId

ENTRIES_MAX: Final = 1_000
SEEN_MAX: Final = 4_000
"""Ids of messages that were shown already: the first of a reader repeat those of the history."""
REACTIONS_MAX: Final = 64
"""People whose reaction to one message is shown."""
TYPISTS_MAX: Final = 64
TYPING_SECONDS: Final = 8.0
"""How long somebody who said nothing more counts as typing: the word that they stopped may be lost."""


AT_REST: Final = ("cancelled", "failed", "saved", "withdrawn", "false")
"""States of files in which nothing more happens by itself."""


class Delivery(enum.Enum):
    """How far something of this device's has come."""

    UNKNOWN = "unknown"
    """From the history, or somebody else's."""
    UNDER_WAY = "under way"
    SIGNED = "signed"
    """A majority of seats has."""
    KEPT = "kept"
    """No majority in time; it goes out by itself."""
    REFUSED = "refused"
    """It was not taken."""


class Change(enum.Enum):
    """What a message from the room did."""

    SAID = "said"
    REACTED = "reacted"
    EDITED = "edited"
    DELETED = "deleted"


@dataclass(slots=True)
class Entry:
    """One message as it is shown. ``number``: how this chat names it, from 1 on; ``at``: Unix seconds.

    ``text``, ``author_name`` and the reactions come from others: not safe for a terminal as they are.
    """

    number: int
    author: DeviceKey
    author_name: str
    is_own: bool
    kind: str
    text: str
    at: float
    target: MessageId | None = None
    message_id: MessageId | None = None
    delivery: Delivery = Delivery.UNKNOWN
    receipts: int = 0
    of: int = 0
    reason: str = ""
    is_after_gap: bool = False
    is_edited: bool = False
    is_deleted: bool = False
    reactions: dict[DeviceKey, str] = field(default_factory=dict)
    file: FileView | None = None
    """Of a file: how far it has come, as of the last look."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A change, the entry that it is about, and who made it. ``emoji``: of a reaction, empty when taken back."""

    change: Change
    entry: Entry
    by_name: str
    emoji: str = ""


class ChatModel:
    """One room's. ``own``: this device's key."""

    def __init__(self, own: DeviceKey, own_name: str) -> None:
        self.own = own
        self.own_name = own_name
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._by_id: dict[MessageId, Entry] = {}
        self._seen: OrderedDict[MessageId, None] = OrderedDict()
        self._typing: OrderedDict[DeviceKey, tuple[str, float]] = OrderedDict()
        self._next = 1

    @property
    def entries(self) -> list[Entry]:
        """The newest ENTRIES_MAX, oldest first."""
        return list(self._entries.values())

    def entry(self, number: int) -> Entry:
        """By number. Raises UsageError where there is none, or nothing can be said about it (yet)."""
        found = self._entries.get(number)
        if found is None:
            raise UsageError(f"there is no message {number} here")
        if found.message_id is None:
            raise UsageError(f"message {number} is not sent yet")
        return found

    def correctable(self, number: int) -> Entry:
        """An own text or reply, by number. Raises UsageError where it is none, or deleted already, and as `entry`."""
        found = self.entry(number)
        if not found.is_own:
            raise UsageError(f"message {number} is somebody else's: only its author edits or deletes it")
        if found.kind not in ("text", "reply"):
            raise UsageError(f"message {number} is a file: /cancel {number} takes it back")
        if found.is_deleted:
            raise UsageError(f"message {number} is deleted already")
        return found

    def about(self, entry: Entry) -> Entry | None:
        """The entry that ``entry`` answers, if it is here."""
        return None if entry.target is None else self._by_id.get(entry.target)

    # --- what comes from the room ---------------------------------------------------------------

    def heard(self, message: Message) -> Heard | None:
        """Take in a message; None where it changes nothing that is shown."""
        if message.message_id in self._seen:
            return None
        self._remember(message.message_id)
        self._typing.pop(message.author, None)
        if message.is_own and self._is_of_this_chat(message):
            return None
        name = "you" if message.is_own else message.author_name
        target = None if message.target is None else self._by_id.get(message.target)
        match message.kind:
            case "reaction":
                return None if target is None else self.reacted(target, message.author, name, message.text)
            case "edit" | "delete":
                return self._corrected(message, target, name)
        entry = self._add(message.author, message.author_name, message.kind, message.text, message.received_at)
        entry.target = message.target
        entry.is_after_gap = message.is_after_gap
        self._name(entry, message.message_id)
        return Heard(Change.SAID, entry, name)

    def _is_of_this_chat(self, message: Message) -> bool:
        """Whether it is what this chat has under way, seen before its receipts; if so, it has its id from now on."""
        said = (message.kind, message.text, message.target)
        for entry in self._entries.values():
            if entry.is_own and entry.message_id is None and (entry.kind, entry.text, entry.target) == said:
                self._name(entry, message.message_id)
                return True
        return False

    def reacted(self, entry: Entry, author: DeviceKey, name: str, emoji: str) -> Heard | None:
        """Somebody's newest reaction takes the place of the one before; an empty one takes it away."""
        if entry.reactions.get(author, "") == emoji:
            return None
        if not emoji:
            del entry.reactions[author]
        elif author in entry.reactions or len(entry.reactions) < REACTIONS_MAX:
            entry.reactions[author] = emoji
        else:
            return None
        return Heard(Change.REACTED, entry, name, emoji)

    def _corrected(self, message: Message, target: Entry | None, name: str) -> Heard | None:
        # That the two authors are one is for us to check: whoever is in the room can name any message.
        if target is None or target.author != message.author or target.is_deleted:
            return None
        if message.kind == "delete":
            target.is_deleted, target.text = True, ""
            target.reactions.clear()
            return Heard(Change.DELETED, target, name)
        target.is_edited, target.text = True, message.text
        return Heard(Change.EDITED, target, name)

    # --- what this device says ------------------------------------------------------------------

    def saying(self, text: str, now: float, target: MessageId | None = None) -> Entry:
        """Something is under way from now on."""
        kind = "text" if target is None else "reply"
        entry = self._add(self.own, self.own_name, kind, text, now)
        entry.is_own, entry.target, entry.delivery = True, target, Delivery.UNDER_WAY
        return entry

    def offering(self, view: FileView, now: float) -> Entry:
        """A file of this device's is offered. Its message may have been heard of before."""
        known = self._by_id.get(view.message_id)
        if known is not None:
            known.file = view
            return known
        entry = self._add(self.own, self.own_name, "file", view.name, now)
        entry.is_own, entry.file = True, view
        self._remember(view.message_id)
        self._name(entry, view.message_id)
        return entry

    def moving_files(self) -> list[Entry]:
        """Files that may have come further since the last look."""
        return [
            entry
            for entry in self._entries.values()
            if entry.kind == "file" and not entry.is_deleted and (entry.file is None or entry.file.state not in AT_REST)
        ]

    def signed(self, entry: Entry, receipt: Receipt) -> None:
        """A majority of seats has signed for it."""
        entry.delivery, entry.receipts, entry.of = Delivery.SIGNED, receipt.receipts, receipt.of
        self._remember(receipt.message_id)
        other = self._by_id.get(receipt.message_id)
        if other is not None and other is not entry and entry.message_id is not None:
            # Another command said the same at the same time, and each has the other's id.
            self._name(other, entry.message_id)
        self._name(entry, receipt.message_id)

    def kept(self, entry: Entry) -> None:
        """No majority in time."""
        entry.delivery = Delivery.KEPT

    def refused(self, entry: Entry, reason: str) -> None:
        """It was not taken, and goes nowhere."""
        entry.delivery, entry.reason = Delivery.REFUSED, reason

    # --- who is typing --------------------------------------------------------------------------

    def typing(self, event: Typing, now: float) -> bool:
        """Take in who began or stopped at ``now`` (monotonic seconds); whether somebody began who was not at it."""
        if not event.is_active:
            self._typing.pop(event.device_key, None)
            return False
        self.typists(now)  # forgets those whose time is over
        began = event.device_key not in self._typing
        self._typing[event.device_key] = (event.name, now + TYPING_SECONDS)
        self._typing.move_to_end(event.device_key)
        while len(self._typing) > TYPISTS_MAX:
            self._typing.popitem(last=False)
        return began

    def typists(self, now: float) -> list[str]:
        """Names of those who are typing at ``now`` (monotonic seconds), who began last at the end."""
        for device in [device for device, (_, until) in self._typing.items() if until <= now]:
            del self._typing[device]
        return [name for name, _ in self._typing.values()]

    # --- inside ---------------------------------------------------------------------------------

    def _add(self, author: DeviceKey, name: str, kind: str, text: str, at: float) -> Entry:
        entry = Entry(self._next, author, name, author == self.own, kind, text, at)
        self._next += 1
        self._entries[entry.number] = entry
        while len(self._entries) > ENTRIES_MAX:
            _, oldest = self._entries.popitem(last=False)
            if oldest.message_id is not None:
                self._by_id.pop(oldest.message_id, None)
        return entry

    def _name(self, entry: Entry, message_id: MessageId) -> None:
        entry.message_id = message_id
        if entry.number in self._entries:
            self._by_id[message_id] = entry

    def _remember(self, message_id: MessageId) -> None:
        self._seen[message_id] = None
        while len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
