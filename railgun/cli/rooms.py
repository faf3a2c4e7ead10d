"""``railgun room ...`` and ``railgun join``: rooms, invites, members.

Owns: their options and output. Must not know: how any of it is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, add_group, add_network_options, add_unlock_options, utc_day, whole_number
from railgun.cli.failures import Exit
from railgun.cli.output import one_line, table
from railgun.errors import MalformedInput, UsageError

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.cli.peers import Caller

DAY_SECONDS = 86_400
ROOM_HELP = "the room's name, or the first 8 digits or more of its id"


def add(subparsers: Any) -> None:
    """Describe the commands to the parser."""
    _add_room(subparsers)
    join = add_command(
        subparsers,
        "join",
        run_join,
        "Join a room by an invite link. Waits until a member who is online has let this device in; the profile "
        "remembers network and relays, so that later commands need neither.",
    )
    join.add_argument("link", metavar="LINK", help="the invite link, in quotes")
    join.add_argument(
        "--timeout-seconds",
        metavar="SECONDS",
        type=whole_number(1, DAY_SECONDS),
        default=60,
        help="how long to wait; the request stands, and the next command that runs goes on with it",
    )
    add_peer_options(join)


def add_peer_options(parser: Any) -> None:
    """What every command takes that goes online with a member's profile."""
    add_network_options(parser)
    add_unlock_options(parser)
    parser.add_argument(
        "--no-listen",
        dest="listen",
        action="store_false",
        default=None,
        help="link with relays alone, never with members when no relay is left (configuration: member.listen)",
    )


def add_room_argument(parser: Any) -> None:
    """The room that a command is about."""
    parser.add_argument("room", metavar="ROOM", help=ROOM_HELP)


def _add_room(subparsers: Any) -> None:
    group = add_group(subparsers, "room", "Rooms that this device is in.")
    create = add_command(group, "create", run_create, "Make a room, with this device as its only member.")
    create.add_argument("name", metavar="NAME", help="what the room is called, up to 128 bytes")
    create.add_argument("--committee", type=whole_number(3, 7), default=5, help="relays that serve the room, 3 to 7")
    create.add_argument(
        "--cover",
        choices=("off", "steady", "strict"),
        default="steady",
        help="how members hide when they speak; in strict all waits for random ticks",
    )
    create.add_argument("--closed", action="store_true", help="let only admins invite and let people in")
    add_peer_options(create)

    listed = add_command(group, "list", run_list, "List the rooms that this device is in or is about to join.")
    add_peer_options(listed)

    changed = add_command(
        group,
        "set",
        run_set,
        "Change what holds for all members of a room, as one of its admins. It holds from a UTC day on: tomorrow, or "
        "in a day's last hour the day after.",
    )
    add_room_argument(changed)
    changed.add_argument("--cover", choices=("off", "steady", "strict"), help="how members hide when they speak")
    changed.add_argument("--committee", type=whole_number(3, 7), help="relays that serve the room, 3 to 7")
    changed.add_argument("--from", dest="from_day", metavar="DATE", type=utc_day, help="a later day, as 2031-12-24")
    add_peer_options(changed)

    invite = add_command(
        group, "invite", run_invite, "Make an invite link. Whoever has it can ask to be let in until it is spent."
    )
    add_room_argument(invite)
    invite.add_argument(
        "--qr", action="store_true", help="show it as a QR code too, on standard error, about 75 columns wide"
    )
    invite.add_argument(
        "--qr-file", metavar="FILE", help="write it as a QR code too, into a new .svg or .png; whoever sees it has it"
    )
    invite.add_argument("--uses", type=whole_number(1, 10_000), default=1, help="how many devices it lets in")
    invite.add_argument(
        "--expires-in-seconds",
        metavar="SECONDS",
        type=whole_number(1, 3650 * DAY_SECONDS),
        default=7 * DAY_SECONDS,
        help="how long it is good for; by default a week",
    )
    add_peer_options(invite)

    members = add_command(group, "members", run_members, "List the members' devices of a room.")
    add_room_argument(members)
    add_peer_options(members)

    remove = add_command(
        group,
        "remove",
        run_remove,
        "Remove a member's device from a room for good: it reads nothing that is said later.",
    )
    add_room_argument(remove)
    remove.add_argument(
        "member", metavar="MEMBER", help="8 digits or more of the device's key, as `railgun room members` shows it"
    )
    add_peer_options(remove)

    leave = add_command(group, "leave", run_leave, "Leave a room and erase all that this device keeps of it.")
    add_room_argument(leave)
    add_peer_options(leave)


def ask(context: Context, call: str, /, **arguments: object) -> dict[str, Any]:
    """One call on the profile's peer."""
    from railgun.cli.peers import with_peer

    async def work(caller: Caller) -> dict[str, Any]:
        return await caller.call(call, arguments)

    return with_peer(context, work)


def run_create(context: Context) -> int:
    """``room create``."""
    given = context.arguments
    made = ask(
        context,
        "create_room",
        name=given.name,
        committee_size=given.committee,
        closed=given.closed,
        cover=given.cover,
    )
    context.printer.result(
        made,
        f"Made the room {one_line(made['room'])} (id {made['id'][:8]})\nNext: railgun room invite {made['id'][:8]}",
    )
    return Exit.KEPT


def run_set(context: Context) -> int:
    """``room set``."""
    given = context.arguments
    if given.cover is None and given.committee is None:
        raise UsageError("nothing to change: give --cover, --committee, or both")
    asked = {"cover": given.cover, "committee_size": given.committee, "from_day": given.from_day}
    made = ask(
        context, "set_room", room=given.room, **{name: value for name, value in asked.items() if value is not None}
    )
    coming = made["next_settings"]
    context.printer.result(
        made,
        f"From {coming['from']} (UTC) on, {one_line(made['room'])} has {settings_words(coming)}; "
        "until then nothing changes",
    )
    return Exit.KEPT


def settings_words(settings: dict[str, Any]) -> str:
    """What a room's admins have set, for people."""
    return f"cover {settings['cover']} and a committee of {settings['committee_size']}"


def changes_words(rooms: list[dict[str, Any]]) -> list[str]:
    """A line for each room whose settings are about to change."""
    return [
        f"From {room['next_settings']['from']} (UTC) on, {one_line(str(room['name']))} has "
        f"{settings_words(room['next_settings'])}"
        for room in rooms
        if room["next_settings"] is not None
    ]


def membership_word(room: dict[str, Any]) -> str:
    """What this device is in a room: a room that it is not in yet has no name here."""
    if room["is_member"]:
        return "member"
    return "joining" if room["name"] is None else "removed"


def removed_words(rooms: list[dict[str, Any]]) -> list[str]:
    """A line for each room that this device was put out of."""
    return [
        f"This device was removed from {one_line(str(room['name']))}: it sends and reads nothing there any more"
        for room in rooms
        if membership_word(room) == "removed"
    ]


def run_list(context: Context) -> int:
    """``room list``."""
    found = ask(context, "rooms")
    rows = [
        [
            room["id"][:8],
            membership_word(room),
            room["members"],
            room["mode"],
            None if room["settings"] is None else room["settings"]["committee_size"],
            None if room["settings"] is None else room["settings"]["cover"],
            room["name"],
        ]
        for room in found["rooms"]
    ]
    head = ["id", "as", "members", "mode", "committee", "cover", "name"]
    lines = [table(head, rows), *removed_words(found["rooms"]), *changes_words(found["rooms"])]
    text = "\n".join(lines) if rows else "No rooms yet: railgun room create, or railgun join"
    context.printer.result(found, text)
    return Exit.KEPT


def run_invite(context: Context) -> int:
    """``room invite``."""
    given = context.arguments
    asked = {"room": given.room, "uses": given.uses, "expires_in_seconds": given.expires_in_seconds}
    if given.qr_file is None:
        made = ask(context, "invite", **asked)
    else:
        from railgun.cli.chat.qr import new_picture, picture_kind, write_picture

        path = Path(given.qr_file)
        kind = picture_kind(path)
        with new_picture(path) as file:  # before the invite is made: it would be of no use without its picture
            made = ask(context, "invite", **asked)
            write_picture(file, made["link"], kind)
    context.printer.note(
        "Somebody of the room must be online when it is used: `railgun tail` keeps this device online."
    )
    if given.qr:
        from railgun.cli.chat.qr import invite_qr_lines

        context.printer.note("\n".join(invite_qr_lines(made["link"])))
    context.printer.result(made, made["link"])
    return Exit.KEPT


def run_members(context: Context) -> int:
    """``room members``."""
    found = ask(context, "members", room=context.arguments.room)
    rows = [
        [
            member["device"][:16],
            "admin" if member["is_admin"] else "member",
            "this device" if member["is_self"] else "verified" if member["is_verified"] else "",
            member["name"],
        ]
        for member in found["members"]
    ]
    context.printer.result(found, table(["device", "as", "", "name"], rows))
    return Exit.KEPT


def run_remove(context: Context) -> int:
    """``room remove``."""
    given = context.arguments
    done = ask(context, "remove", room=given.room, member=given.member)
    context.printer.result(done, f"Removed {done['removed'][:16]} from {one_line(done['room'])}")
    return Exit.KEPT


def run_leave(context: Context) -> int:
    """``room leave``."""
    done = ask(context, "leave", room=context.arguments.room)
    context.printer.result(done, f"Left {one_line(done['room'])}")
    return Exit.KEPT


def run_join(context: Context) -> int:
    """``join``."""
    from railgun.cli.peers import with_peer
    from railgun.wire.invites import parse_invite

    given = context.arguments
    try:
        invite = parse_invite(given.link)  # before anybody is asked for a passphrase
    except MalformedInput as error:
        raise UsageError(error.detail) from error

    async def work(caller: Caller) -> dict[str, Any]:
        status = await caller.call("status", {})
        if status["network_id"] == invite.network.hex():  # else nobody is waited for: the call says why
            context.printer.note("Waiting for a member who is online to let this device in ...")
        return await caller.call("join", {"link": given.link, "timeout_seconds": given.timeout_seconds})

    joined = with_peer(context, work)
    context.printer.result(
        joined,
        f"Joined {one_line(joined['room'])} (id {joined['id'][:8]}), {joined['members']} members\n"
        f"Next: railgun tail {joined['id'][:8]}",
    )
    return Exit.KEPT
