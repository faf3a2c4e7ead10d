"""Lines for people: messages, marks, members, the committee, the clock. Whatever others wrote is escaped here.

Owns: the wording. Must not know: which surface shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from railgun.cli.chat.model import Change, ChatModel, Delivery, Entry, Heard
from railgun.cli.output import one_line, paragraph
from railgun.cli.progress import bar, percent, size_text
from railgun.runtime.file_views import COMING, SENDING
from railgun.runtime.room_views import MemberView
from railgun.runtime.status import RoomStatusView
from railgun.types import ServiceMode

QUOTE_CHARACTERS: Final = 24
NAME_CHARACTERS: Final = 24
FILE_NAME_CHARACTERS: Final = 40
_FILE_STATES: Final = {
    "sent": "sent",
    "cancelled": "taken back",
    "failed": "taken back, since it changed while it was sent",
    "ready": "here, /save {} saves it",
    "saved": "saved",
    "withdrawn": "taken back",
    "declined": "not collected, /save {} does",
    "false": "not what was offered, and thrown away",
}
KEY_DIGITS: Final = 16


def clock_time(at: float) -> str:
    """Hours and minutes of this machine's time zone."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M")


def name_line(name: str) -> str:
    """A name, escaped and short."""
    return _short(one_line(name), NAME_CHARACTERS)


def entry_text(model: ChatModel, entry: Entry) -> str:
    """``[3] 12:30 Ada to 2 "hello": hi there`` with what happened to it since."""
    who = "you" if entry.is_own else name_line(entry.author_name)
    text = f"[{entry.number}] {clock_time(entry.at)} {who}{_about(model, entry)}: {_body(entry)}"
    if entry.is_after_gap:
        text = f"-- messages are missing here --\n{text}"
    marks = [*reaction_marks(entry), *([mark] if (mark := delivery_mark(entry)) else [])]
    return f"{text}  ({', '.join(marks)})" if marks else text


def _about(model: ChatModel, entry: Entry) -> str:
    if entry.target is None:
        return ""
    target = model.about(entry)
    if target is None:
        return " to an older message"
    return f' to {target.number} "{_short(one_line(target.text), QUOTE_CHARACTERS)}"'


def _body(entry: Entry) -> str:
    if entry.is_deleted:
        return "(deleted)"
    match entry.kind:
        case "text" | "reply":
            return paragraph(entry.text) + (" (edited)" if entry.is_edited else "")
        case "file":
            return _file(entry)
    return "something that this version cannot show"


def _file(entry: Entry) -> str:
    """``file plan.pdf, 1.4 MB: [#####...............] 25 %``, or what is to be done about it."""
    view = entry.file
    name = f"file {_short(one_line(entry.text), FILE_NAME_CHARACTERS)}"
    if view is None:
        return f"{name}, which is not known here any more"
    if view.state in (SENDING, COMING):
        return f"{name}: {bar(view.done_bytes, view.size_bytes)}"
    return f"{name}, {size_text(view.size_bytes)}: {_FILE_STATES[view.state].format(entry.number)}"


def file_step(entry: Entry) -> tuple[str, int]:
    """What changes when a line is worth printing: the state, and the quarter that it is in."""
    view = entry.file
    return ("", 0) if view is None else (view.state, percent(view.done_bytes, view.size_bytes) // 25)


def file_line(entry: Entry) -> str:
    """How far a file has come, as a line of its own."""
    return f"* [{entry.number}] {_file(entry)}"


def file_lines(entries: Sequence[Entry]) -> list[str]:
    """The files that this chat has shown."""
    return [f"[{entry.number}] {_file(entry)}" for entry in entries] or ["Nobody has offered a file in what is shown."]


def reaction_marks(entry: Entry) -> list[str]:
    """``👍 2`` for each emoji, most first."""
    counted = Counter(entry.reactions.values()).most_common()
    return [_short(one_line(emoji), 16) + (f" {count}" if count > 1 else "") for emoji, count in counted]


def delivery_mark(entry: Entry) -> str:
    """How far it has come; empty where there is nothing to tell."""
    match entry.delivery:
        case Delivery.UNDER_WAY:
            return "sending"
        case Delivery.SIGNED:
            return f"sent, {entry.receipts} of {entry.of} seats"
        case Delivery.KEPT:
            return "no majority yet, kept and going on"
        case Delivery.REFUSED:
            return f"not sent: {one_line(entry.reason)}"
    return ""


def heard_line(model: ChatModel, heard: Heard) -> str:
    """What happened, as a line of its own."""
    entry, name = heard.entry, name_line(heard.by_name)
    s = "" if name == "you" else "s"  # nobody else is shown by that word alone
    match heard.change:
        case Change.SAID:
            return entry_text(model, entry)
        case Change.REACTED:
            what = f"react{s} {one_line(heard.emoji)} to" if heard.emoji else f"take{s} a reaction back from"
            return f"* {name} {what} {entry.number}"
        case Change.EDITED:
            return f"* {name} edit{s} {entry.number}: {_body(entry)}"
    return f"* {name} delete{s} {entry.number}"


def delivery_line(entry: Entry) -> str:
    """The mark of something of this device's, as a line of its own."""
    return f"* [{entry.number}] {delivery_mark(entry)}"


def typing_line(names: Sequence[str]) -> str:
    """Who is typing; empty for nobody."""
    if not names:
        return ""
    if len(names) > 3:
        return f"{len(names)} people are typing"
    return f"{', '.join(name_line(name) for name in names)} {'is' if len(names) == 1 else 'are'} typing"


def member_lines(members: Sequence[MemberView]) -> list[str]:
    """Who is here."""
    lines = [f"{len(members)} {'device is' if len(members) == 1 else 'devices are'} in the room:"]
    for member in members:
        marks = [
            word
            for word, holds in (
                ("verified", member.is_verified),
                ("admin", member.is_admin),
                ("this device", member.is_self),
            )
            if holds
        ]
        shown = f"{member.device_key.hex()[:KEY_DIGITS]}  {name_line(member.name)}"
        lines.append(f"{shown}  ({', '.join(marks)})" if marks else shown)
    return lines


def epoch_clock(view: RoomStatusView) -> str:
    """How long the open epoch still has, minutes and seconds."""
    minutes, seconds = divmod(max(0, int(view.epoch_ends_in_seconds)), 60)
    return f"{minutes}:{seconds:02d}"


def committee_lines(view: RoomStatusView) -> list[str]:
    """Who serves the room, and until when."""
    if not view.seats:
        return ["No committee yet: no relay has answered, or this device has no key for this epoch yet."]
    lines = [f"{len(view.seats)} relays have a seat; they change in {epoch_clock(view)}:"]
    for rank, seat in enumerate(view.seats, 1):
        serves = "" if seat not in view.attached else "  serves you" + (", first" if seat == view.attached[0] else "")
        lines.append(f"{rank}  {seat.hex()[:KEY_DIGITS]}{serves}")
    return lines


def status_line(view: RoomStatusView | None, name: str) -> str:
    """The room, its members, its committee and its clock."""
    if view is None:
        return one_line(name)
    served = f"{len(view.seats)} seats, epoch ends in {epoch_clock(view)}" if view.attached else "offline: no relay yet"
    if view.mode in (ServiceMode.HYBRID, ServiceMode.DIRECT):
        served = f"{view.mode}, {served}" if view.attached else str(view.mode)
    people = f"{view.members} {'device' if view.members == 1 else 'devices'}"
    return f"{_short(one_line(name), 30)} | {people} | {served}"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
