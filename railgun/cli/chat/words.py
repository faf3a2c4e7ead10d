"""What a typed line asks for.

Owns: the slash commands and their help. Must not know: rooms, terminals, how any of it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, Union

from railgun.cli.arguments import nearest
from railgun.errors import UsageError
from railgun.limits import EMOJI_BYTES_MAX, INVITE_USES_MAX, TEXT_BYTES_MAX

NUMBER_DIGITS_MAX: Final = 9

HELP: Final = (
    "Type a text and Enter to say it. Messages are numbered:",
    "/reply 3 TEXT   answer message 3",
    "/react 3 EMOJI  put an emoji on message 3; without one, take yours back",
    "/edit 3 TEXT    say your message 3 anew",
    "/delete 3       take your message 3 back",
    "/send PATH      send a file",
    "/save 3 [DIR]   save a file, here or in DIR, as soon as all of it has come",
    "/cancel 3       take a file back, or collect no more of somebody else's",
    "/files          the files that this chat has shown, and how far each has come",
    "/who            the members' devices",
    "/committee      the relays that serve the room, and when they change",
    "/invite [USES]  an invite, as a QR code and a link; for one device, or USES",
    "/help           this",
    "/quit           leave the chat, not the room",
    "//TEXT          say a text that begins with a slash",
)


@dataclass(frozen=True, slots=True)
class Say:
    """Say ``text``."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the message with this number."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class React:
    """Put an emoji on the message with this number; an empty one takes it back."""

    number: int
    emoji: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Give the own message with this number another text."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Take the own message with this number back."""

    number: int


@dataclass(frozen=True, slots=True)
class SendFile:
    """Send the file at this path."""

    path: Path


@dataclass(frozen=True, slots=True)
class SaveFile:
    """Save the file that the message with this number offers, in this directory."""

    number: int
    directory: Path


@dataclass(frozen=True, slots=True)
class CancelFile:
    """Take back the own file of this message, or collect no more of another's."""

    number: int


@dataclass(frozen=True, slots=True)
class ShowFiles:
    """Show what files there are."""


@dataclass(frozen=True, slots=True)
class Invite:
    """Make an invite for so many devices."""

    uses: int


@dataclass(frozen=True, slots=True)
class Who:
    """Show the members."""


@dataclass(frozen=True, slots=True)
class ShowCommittee:
    """Show who serves the room."""


@dataclass(frozen=True, slots=True)
class Help:
    """Show what can be typed."""


@dataclass(frozen=True, slots=True)
class Quit:
    """End the chat."""


Words: TypeAlias = Union[
    Say, Reply, React, Edit, Delete, SendFile, SaveFile, CancelFile, ShowFiles, Invite, Who, ShowCommittee, Help, Quit
]

_BARE: Final[dict[str, Words]] = {
    "who": Who(),
    "committee": ShowCommittee(),
    "files": ShowFiles(),
    "help": Help(),
    "quit": Quit(),
}
_NAMES: Final = ("reply", "react", "edit", "delete", "send", "save", "cancel", "invite", *_BARE)


def parse_words(line: str) -> Words | None:
    """What ``line`` asks for; None where it is blank.

    Raises UsageError: an unknown command, a number or a text that does not fit.
    """
    if not line.strip():
        return None
    if not line.startswith("/") or line.startswith("//"):
        return Say(_text(line[1:] if line.startswith("//") else line))
    name, _, rest = line[1:].partition(" ")
    rest = rest.strip()
    if name in _BARE and not rest:
        return _BARE[name]
    match name:
        case "reply" | "edit":
            number, text = _numbered(rest)
            if not text:
                raise UsageError(f"what is the {'answer' if name == 'reply' else 'new text'}? /{name} 3 TEXT")
            return Reply(number, _text(text)) if name == "reply" else Edit(number, _text(text))
        case "delete":
            number, text = _numbered(rest)
            if text:
                raise UsageError("/delete takes the number of a message and nothing more")
            return Delete(number)
        case "react":
            number, emoji = _numbered(rest)
            if len(emoji.encode(errors="replace")) > EMOJI_BYTES_MAX:
                raise UsageError(f"a reaction has at most {EMOJI_BYTES_MAX} bytes")
            return React(number, emoji)
        case "send" | "save" | "cancel":
            return _about_file(name, rest)
        case "invite":
            return Invite(_whole(rest or "1", INVITE_USES_MAX, "an invite is for"))
    if name in _BARE:
        raise UsageError(f"/{name} takes nothing more")
    found = nearest(name, _NAMES)
    hint = f"did you mean /{found}?" if found else "/help shows what there is"
    raise UsageError(f"unknown command /{name}: {hint} (a text that begins with a slash: //{name})")


def _about_file(name: str, rest: str) -> Words:
    if name == "send":
        if not rest:
            raise UsageError("which file? /send PATH")
        return SendFile(Path(rest).expanduser())
    number, directory = _numbered(rest)
    if name == "cancel":
        if directory:
            raise UsageError("/cancel takes the number of a message and nothing more")
        return CancelFile(number)
    return SaveFile(number, Path(directory or ".").expanduser())


def _numbered(rest: str) -> tuple[int, str]:
    number, _, text = rest.partition(" ")
    return _whole(number, 10**NUMBER_DIGITS_MAX - 1, "name the message by its number:"), text.strip()


def _whole(text: str, most: int, about: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX and 1 <= int(text) <= most):
        raise UsageError(f"{about} a whole number from 1 to {most}")
    return int(text)


def _text(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:  # what the terminal gave was not in its own encoding
        raise UsageError("this is not UTF-8 text: set the terminal to UTF-8") from error
    if size > TEXT_BYTES_MAX:
        raise UsageError(f"the text is {size} bytes, at most {TEXT_BYTES_MAX} fit: send it in parts")
    return text
