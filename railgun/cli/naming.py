"""``railgun name``: how the people in one's rooms see this device.

Owns: its options and output. Must not know: how rooms are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command
from railgun.cli.failures import Exit
from railgun.cli.output import one_line
from railgun.cli.rooms import add_peer_options, ask

if TYPE_CHECKING:
    from railgun.cli.context import Context


def add(subparsers: Any) -> None:
    """Describe the command to the parser."""
    name = add_command(
        subparsers,
        "name",
        run,
        "Show or change how the people in your rooms see this device. They hear of a change while a command has the "
        "profile open: `railgun tail` or `railgun chat`, for example.",
    )
    name.add_argument(
        "name", metavar="NAME", nargs="?", help="the new name, up to 64 characters; '' for none: they see a key"
    )
    add_peer_options(name)


def run(context: Context) -> int:
    """``name``."""
    given = context.arguments
    found = ask(context, "name") if given.name is None else ask(context, "name", name=given.name)
    nameless = "You have no name: others see the start of this device's key."
    text = f"You are {one_line(found['name'])}." if found["name"] else nameless
    context.printer.result(found, text)
    return Exit.KEPT
