"""``railgun file ...`` and what ``send --file`` does: files that travel in a room.

Owns: their options and output, waiting with progress. Must not know: how files travel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from railgun.cli.arguments import add_command, add_group, whole_number
from railgun.cli.failures import Exit
from railgun.cli.output import one_line, table
from railgun.cli.progress import ProgressLine, size_text
from railgun.cli.rooms import add_peer_options, add_room_argument, ask
from railgun.errors import UsageError

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.cli.peers import Caller

LOOK_SECONDS: Final = 0.2
FILE_HELP: Final = "the file: the first 8 digits or more of its message, or its name"
CANCEL_SECONDS: Final = 5.0


def add(subparsers: Any) -> None:
    """Describe the commands to the parser. ``send --file`` is described with ``send``."""
    group = add_group(subparsers, "file", "Files that travel in a room; `railgun send ROOM --file PATH` sends one.")
    listed = add_command(
        group, "list", run_list, "List the files of a room: those of others that are here or coming, then own ones."
    )
    add_room_argument(listed)
    add_peer_options(listed)

    save = add_command(
        group,
        "save",
        run_save,
        "Save a file of somebody else's. Waits until all of it is here, checks that it is what was offered, and never "
        "overwrites: where its name is taken, it gets a number.",
    )
    add_room_argument(save)
    save.add_argument("file", metavar="FILE", help=FILE_HELP)
    save.add_argument("--to", metavar="DIRECTORY", default=".", help="where to save it")
    save.add_argument(
        "--timeout-seconds",
        metavar="SECONDS",
        type=whole_number(1, 86_400),
        default=600,
        help="how long to wait for what is missing",
    )
    add_peer_options(save)

    cancel = add_command(
        group,
        "cancel",
        run_cancel,
        "Take an own file back, from the others too; or collect no more of another's.",
    )
    add_room_argument(cancel)
    cancel.add_argument("file", metavar="FILE", help=FILE_HELP)
    add_peer_options(cancel)


def run_send(context: Context, path: str) -> int:
    """``send --file``. Exit status 1 when it did not all leave."""
    from railgun.cli.peers import with_peer

    sending = _Sending(context, str(Path(path).absolute()))
    with_peer(context, sending.work)
    sent = sending.last
    if sent["state"] != "sent":
        context.printer.result(sent, f"Not sent: {one_line(sent['name'])} is {sent['state']}.")
        return Exit.BROKEN
    context.printer.result(
        sent, f"Sent to {one_line(sent['room'])}: {one_line(sent['name'])}, {size_text(sent['size_bytes'])}"
    )
    return Exit.KEPT


class _Sending:
    """Offers once, then watches; goes on watching when another process takes over."""

    def __init__(self, context: Context, path: str) -> None:
        self._context = context
        self._path = path
        self._id: str | None = None
        self.last: dict[str, Any] = {}

    async def work(self, caller: Caller) -> None:
        """Until it has left. Interrupted, it is taken back."""
        import asyncio

        room = self._context.arguments.room
        offering: asyncio.Task[Any] | None = None
        try:
            if self._id is None:
                # The others may see the offer before its call has returned: an interruption must not lose its id.
                offering = asyncio.create_task(caller.call("file_offer", {"room": room, "path": self._path}))
                self._id = (await asyncio.shield(offering))["message_id"]
            self.last = await _watch(self._context, caller, self._id, "sending", None)
        except asyncio.CancelledError:
            self._context.printer.note("Interrupted: taking the file back.")
            async with asyncio.timeout(CANCEL_SECONDS):
                if self._id is None and offering is not None:
                    self._id = (await offering)["message_id"]
                await caller.call("file_cancel", {"room": room, "file": self._id})
            raise


async def _watch(context: Context, caller: Caller, file: str, while_in: str, seconds: float | None) -> dict[str, Any]:
    """Show progress as long as the file is in this state, at most ``seconds``."""
    import asyncio

    line = ProgressLine(context.printer.progress_stream)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        while True:
            found = await caller.call("file", {"room": context.arguments.room, "file": file})
            line.show(found["done_bytes"], found["size_bytes"])
            if found["state"] != while_in or (seconds is not None and loop.time() - began > seconds):
                return found
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        line.end()


def run_list(context: Context) -> int:
    """``file list``."""
    found = ask(context, "files", room=context.arguments.room)
    rows = [
        [
            item["message_id"][:8],
            item["name"],
            size_text(item["size_bytes"]),
            f"{item['state']}{' (yours)' if item['is_own'] else ''}",
            f"{100 * item['done_bytes'] // max(1, item['size_bytes'])} %" if item["size_bytes"] else "100 %",
        ]
        for item in found["files"]
    ]
    text = table(["file", "name", "size", "state", "here or sent"], rows) if rows else "No files are known here."
    context.printer.result(found, text)
    return Exit.KEPT


def run_save(context: Context) -> int:
    """``file save``."""
    from railgun.cli.peers import with_peer

    given = context.arguments
    directory = str(Path(given.to).absolute())

    async def work(caller: Caller) -> dict[str, Any]:
        asked = {"room": given.room, "file": given.file}
        found = await caller.call("file", asked)
        if found["is_own"]:
            raise UsageError("this file is your own: it is where you sent it from")
        if found["state"] in ("declined", "coming"):
            found = await caller.call("file_collect", asked)
        if found["state"] == "coming":
            found = await _watch(context, caller, found["message_id"], "coming", given.timeout_seconds)
        return await caller.call("file_save", {"room": given.room, "file": found["message_id"], "directory": directory})

    saved = with_peer(context, work)
    context.printer.result(saved, f"Saved {one_line(saved['path'])}, {size_text(saved['size_bytes'])}")
    return Exit.KEPT


def run_cancel(context: Context) -> int:
    """``file cancel``."""
    found = ask(context, "file_cancel", room=context.arguments.room, file=context.arguments.file)
    context.printer.result(found, f"{one_line(found['name'])} is {found['state']}.")
    return Exit.KEPT
