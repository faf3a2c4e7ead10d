"""``railgun chat``: its options, the profile opened for it, and which surface shows it.

Owns: these. Must not know: what is typed and shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from railgun.cli.arguments import add_command, whole_number
from railgun.cli.failures import Exit
from railgun.cli.rooms import add_peer_options, add_room_argument
from railgun.errors import UsageError
from railgun.limits import HISTORY_PAGE_MAX

DRAIN_SECONDS = 1.0
"""What another command may still take when the chat ends: whoever leaves wants the terminal back."""

if TYPE_CHECKING:
    from railgun.cli.chat.session import Session, Surface
    from railgun.cli.context import Context
    from railgun.cli.output import Json


def add(subparsers: Any) -> None:
    """Describe the command to the parser."""
    parser = add_command(
        subparsers,
        "chat",
        run,
        "Chat in a room, over the whole terminal or, with --plain, line by line. The profile must be free at the "
        "start; other commands on it are served meanwhile. With --json a chat in lines goes to standard error, and "
        "what it came to follows.",
    )
    add_room_argument(parser)
    parser.add_argument(
        "--plain",
        action="store_true",
        help="line by line, without moving the cursor: for screen readers and pipes; ends with the input",
    )
    parser.add_argument(
        "--history",
        metavar="COUNT",
        type=whole_number(0, HISTORY_PAGE_MAX),
        default=50,
        help="show so many of the messages that are here already",
    )
    add_peer_options(parser)


def run(context: Context) -> int:
    """``chat``."""
    import asyncio

    from railgun.runtime.system import run as run_loop

    given = context.arguments
    if context.printer.as_json and not given.plain:
        raise UsageError("chat --json needs --plain: the whole terminal cannot be shown on standard error")
    surface = _surface(context)
    try:
        with surface.taking_notes():
            session = run_loop(_chat(context, surface))
    except asyncio.CancelledError as error:  # SIGTERM ends a command as Ctrl-C does: links closed, files in order
        raise KeyboardInterrupt from error
    fields: dict[str, Json] = {"room": session.room_name, "sent": session.sent, "received": session.received}
    context.printer.result(fields, f"{session.ending} {session.sent} sent, {session.received} received.".strip())
    return Exit.KEPT


def _surface(context: Context) -> Surface:
    if not context.arguments.plain:
        import os

        if not (context.stdin.isatty() and os.isatty(1)) or context.environ.get("TERM", "dumb") == "dumb":
            raise UsageError("this is no terminal that a chat can be drawn on: use --plain")
        from railgun.cli.chat.screen import ScreenSurface

        return ScreenSurface()
    from railgun.cli.chat.plain import PlainSurface

    return PlainSurface(context.printer, context.stdin.fileno())


async def _chat(context: Context, surface: Surface) -> Session:
    import asyncio
    import signal

    from railgun.cli.chat.session import Session
    from railgun.cli.context import network_of
    from railgun.cli.unlock import credentials
    from railgun.runtime.api import connect
    from railgun.runtime.control import ControlServer
    from railgun.runtime.peer_service import PeerService

    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    configuration = context.configuration()
    profile = configuration.profile
    found = credentials(context, profile.directory, profile.key_file)
    async with connect(
        profile.directory.absolute(),
        passphrase=found.passphrase,
        key_file=found.key_file,
        network=None if configuration.network.file is None else network_of(configuration),
        bootstrap=configuration.network.bootstrap,
        file_bytes_max=configuration.files.bytes_max,
        listen=configuration.member.listen,
        stun=configuration.network.stun,
        turn=configuration.network.turn,
    ) as peer:
        room = peer.room(context.arguments.room)
        session = Session(peer, room, surface)
        # Other commands on this profile are served meanwhile; what they ask ends with the chat.
        server = await ControlServer.start(profile.directory.absolute(), PeerService(peer, [room.room_id]))
        try:
            await session.run(context.arguments.history)
        finally:
            await server.aclose(DRAIN_SECONDS)
        return session
