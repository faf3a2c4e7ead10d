"""``railgun device ...`` and ``railgun verify``: a person's devices, and who another person is.

Owns: their options, questions and output. Must not know: how codes and numbers come about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from railgun.cli.arguments import add_command, add_group
from railgun.cli.failures import Exit
from railgun.cli.output import one_line, table
from railgun.cli.rooms import add_peer_options, add_room_argument, ask
from railgun.errors import MalformedInput, UsageError

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.cli.peers import Caller

AGREEING: Final = ("yes", "y")
NUMBERS_ON_A_LINE: Final = 4
NUMBER_DIGITS: Final = 5


def add(subparsers: Any) -> None:
    """Describe the commands to the parser."""
    group = add_group(subparsers, "device", "The devices that are yours: link one, list them, revoke one.")
    added = add_command(
        group,
        "add",
        run_add,
        "Link a new device to you. Prints a link, and waits for `railgun device join LINK` there; then both show the "
        "same three numbers, and it takes a yes on both. The new device is in all your rooms, and reads from then on; "
        "your root key stays here.",
    )
    add_peer_options(added)

    join = add_command(
        group,
        "join",
        run_join,
        "Make this device one of yours, by a link of `railgun device add`. The profile must be new, made by "
        "`railgun init`.",
    )
    join.add_argument("link", metavar="LINK", help="the link, in quotes")
    add_peer_options(join)

    listed = add_command(group, "list", run_list, "List your devices, as this one knows of them.")
    add_peer_options(listed)

    revoke = add_command(
        group,
        "revoke",
        run_revoke,
        "Put a device of yours out of all rooms for good, because it is lost or not yours any more. It reads nothing "
        "that is said later; exit status 1 if it is still in a room.",
    )
    revoke.add_argument("device", metavar="DEVICE", help="the device's name, or 8 digits or more of its key")
    add_peer_options(revoke)

    verify = add_command(
        subparsers,
        "verify",
        run_verify,
        "Show the safety number that you and another member have in common. Read it to each other, by telephone or "
        "face to face: if both see the same digits, nobody stands between you.",
    )
    add_room_argument(verify)
    verify.add_argument("member", metavar="MEMBER", help="a device of that person: 8 digits or more of its key")
    answers = verify.add_mutually_exclusive_group()
    answers.add_argument("--confirm", action="store_true", help="you have compared it: mark the person as verified")
    answers.add_argument("--undo", action="store_true", help="take the mark back")
    add_peer_options(verify)


def run_add(context: Context) -> int:
    """``device add``."""
    from railgun.cli.peers import with_peer

    async def work(caller: Caller) -> dict[str, Any]:
        made = await caller.call("device_add", {})
        _show_link(context, made["link"])
        return await _compare(context, caller, "The new device shows")

    linked = with_peer(context, work)
    name = one_line(linked["name"]) or linked["device"][:16]
    context.printer.result(linked, f"Linked {name}: it is in {_rooms(linked)}{_missing(linked)}")
    return Exit.BROKEN if linked["missing"] else Exit.KEPT


def run_join(context: Context) -> int:
    """``device join``."""
    from railgun.cli.peers import with_peer
    from railgun.wire.device_link import parse_device_link

    link = context.arguments.link
    try:
        parse_device_link(link)  # before anybody is asked for a passphrase
    except MalformedInput as error:
        raise UsageError(error.detail) from error

    async def work(caller: Caller) -> dict[str, Any]:
        await caller.call("device_join", {"link": link})
        return await _compare(context, caller, "Your other device shows")

    linked = with_peer(context, work)
    text = f"This device is yours now, and in {_rooms(linked)}{_missing(linked)}\nNext: railgun room list"
    context.printer.result(linked, text)
    return Exit.BROKEN if linked["missing"] else Exit.KEPT


def _show_link(context: Context, link: str) -> None:
    tell = context.printer.tell
    if context.printer.progress_stream.isatty() and not context.printer.as_json:
        from railgun.cli.chat.qr import qr_lines

        tell("\n".join(qr_lines(link)))
    tell(f"On the new device: railgun init, then within 15 minutes\n\nrailgun device join '{link}'\n")
    context.printer.note("Waiting for the new device ...")


async def _compare(context: Context, caller: Caller, who: str) -> dict[str, Any]:
    """Show the code, ask whether both devices show the same, and wait until the new one has its rooms."""
    from railgun.cli.questions import read_answer

    code = await caller.call("device_code", {})
    numbers = " ".join(f"{number:04}" for number in code["code"])
    name = f", which calls itself {one_line(code['name'])}" if code["name"] else ""
    context.printer.tell(f"This device shows: {numbers}{name}")
    answer = await read_answer(context, f"{who} the same three numbers? [yes/no] ")
    if answer not in AGREEING:
        await caller.call("device_refuse", {})
        raise UsageError(
            "nobody said yes: nothing was linked; if the numbers differ, somebody stands between the devices"
        )
    context.printer.note("Waiting for a yes on the other device, and for the rooms ...")
    return {**await caller.call("device_confirm", {}), "code": numbers}


def _rooms(linked: dict[str, Any]) -> str:
    names = ", ".join(one_line(room["name"]) for room in linked["rooms"])
    return names or "no room yet; rooms that you join follow by themselves"


def _missing(linked: dict[str, Any]) -> str:
    if not linked["missing"]:
        return ""
    ids = ", ".join(room[:8] for room in linked["missing"])
    return f"\nNot in time: {ids}; `railgun room invite` lets it into them"


def run_list(context: Context) -> int:
    """``device list``."""
    found = ask(context, "devices")
    rows = [
        [one["device"][:16], "this device" if one["is_self"] else "", one["rooms"], one["name"]]
        for one in found["devices"]
    ]
    where = "here" if found["holds_root"] else "on the device that you began with"
    text = f"{table(['device', '', 'rooms', 'name'], rows)}\nYour root key, {found['root'][:16]}, is {where}."
    context.printer.result(found, text)
    return Exit.KEPT


def run_revoke(context: Context) -> int:
    """``device revoke``."""
    done = ask(context, "device_revoke", device=context.arguments.device)
    out = [room for room in done["rooms"] if room["is_revoked"]]
    left = [room for room in done["rooms"] if not room["is_revoked"]]
    lines = [f"Revoked {done['device'][:16]} in {', '.join(one_line(room['name']) for room in out) or 'no room'}"]
    lines += [f"Still in {one_line(room['name'])}: {one_line(str(room['reason']))}" for room in left]
    if not done["is_told"]:
        lines.append("Not all relays have it yet: `railgun tail ROOM` for a moment, and it goes on by itself")
    context.printer.result(done, "\n".join(lines))
    return Exit.BROKEN if left or not done["is_told"] else Exit.KEPT


def run_verify(context: Context) -> int:
    """``verify``."""
    from railgun.cli.peers import with_peer
    from railgun.cli.questions import read_answer

    given = context.arguments
    about = {"room": given.room, "member": given.member}
    mark = "confirm" if given.confirm else "undo" if given.undo else None

    async def work(caller: Caller) -> dict[str, Any]:
        if mark is not None:
            return await caller.call("verify", {**about, "mark": mark})
        found = await caller.call("verify", about)
        if context.printer.as_json or found["is_verified"] or not context.stdin.isatty():
            return found
        context.printer.tell(_number(found))
        answer = await read_answer(context, "Does the other person see the same digits? [yes/no] ")
        return await caller.call("verify", {**about, "mark": "confirm"}) if answer in AGREEING else found

    found = with_peer(context, work)
    name = one_line(found["name"])
    said = (
        f"You have verified {name}."
        if found["is_verified"]
        else "Not verified yet. When you both see the same digits: "
        f"railgun verify {found['id'][:8]} {found['device'][:8]} --confirm"
    )
    context.printer.result(found, f"{_number(found)}\n{said}")
    return Exit.KEPT


def _number(found: dict[str, Any]) -> str:
    digits = found["safety_number"]
    groups = [digits[first : first + NUMBER_DIGITS] for first in range(0, len(digits), NUMBER_DIGITS)]
    lines = ["  ".join(groups[first : first + NUMBERS_ON_A_LINE]) for first in range(0, len(groups), NUMBERS_ON_A_LINE)]
    return "\n".join([f"Safety number of you and {one_line(found['name'])}:", *lines])
