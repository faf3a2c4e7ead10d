"""``railgun send``, ``tail`` and ``search``: what is said in a room.

Owns: reading a text to send, showing messages. Must not know: how messages travel.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from railgun.cli import files
from railgun.cli.arguments import add_command, number, whole_number
from railgun.cli.failures import Exit
from railgun.cli.output import one_line, paragraph
from railgun.cli.rooms import add_peer_options, add_room_argument, ask
from railgun.errors import RailGunError, UsageError
from railgun.limits import HISTORY_PAGE_MAX, TEXT_BYTES_MAX

if TYPE_CHECKING:
    from railgun.cli.context import Context
    from railgun.cli.peers import Caller

STDIN = "-"
COUNT_MAX = 100_000
ACKNOWLEDGE_SECONDS = 0.1


def add(subparsers: Any) -> None:
    """Describe the commands to the parser."""
    send = add_command(
        subparsers,
        "send",
        run_send,
        "Send a text or a file to a room. Returns when a majority of the room's relays have signed for it.",
    )
    add_room_argument(send)
    send.add_argument("text", metavar="TEXT", nargs="?", help="what to say, in quotes; - reads it from standard input")
    send.add_argument(
        "--file",
        metavar="PATH",
        help="send a file instead of a text, 8 MiB at most unless files.bytes_max says otherwise; returns when all of "
        "it left. Ctrl-C takes it back; if this process dies, the next command on the profile goes on with it",
    )
    send.add_argument(
        "--key",
        help="a name of your own for this text, up to 64 bytes: run again with the same one, after a crash or without "
        "an answer, it says nothing twice. The newest 1,024 of a room are remembered",
    )
    send.add_argument(
        "--timeout-seconds",
        metavar="SECONDS",
        type=whole_number(1, 3_600),
        default=30,
        help="how long to wait for the majority; then the message is kept and goes on without this command, unless no "
        "relay answered at all",
    )
    add_peer_options(send)

    tail = add_command(
        subparsers,
        "tail",
        run_tail,
        "Show a room's messages as they come, until Ctrl-C, and keep this device online meanwhile. With --json the "
        "messages are gathered and printed at the end, so --count or --seconds must say when that is.",
    )
    add_room_argument(tail)
    tail.add_argument(
        "--history",
        metavar="COUNT",
        type=whole_number(0, HISTORY_PAGE_MAX),
        default=10,
        help="show so many of the messages that are here already",
    )
    tail.add_argument("--count", type=whole_number(1, COUNT_MAX), help="leave after so many messages, history included")
    tail.add_argument("--seconds", type=number(0.1, 10_000_000), help="leave after so many seconds")
    tail.add_argument("--lines", action="store_true", help="print each message as a JSON object on a line of its own")
    add_peer_options(tail)

    search = add_command(
        subparsers,
        "search",
        run_search,
        "Look for a text in what this device has of a room, newest first. Case does not matter. What was edited is "
        "found by its newest text, what was deleted not at all.",
    )
    add_room_argument(search)
    search.add_argument("text", metavar="TEXT", help="what to look for, in quotes")
    search.add_argument(
        "--limit",
        metavar="COUNT",
        type=whole_number(1, HISTORY_PAGE_MAX),
        default=20,
        help="show so many messages at most",
    )
    add_peer_options(search)


def run_send(context: Context) -> int:
    """``send``. Exit status 1 when no majority signed in time."""
    given = context.arguments
    if given.file is not None:
        if given.text is not None:
            raise UsageError("give a text or --file, not both")
        if given.key is not None:
            raise UsageError("--key names a text: a file that was cut off goes on by itself")
        return files.run_send(context, given.file)
    if given.text is None:
        raise UsageError("there is nothing to send: give a text, or --file PATH")
    text = _read_stdin(context) if given.text == STDIN else _checked(given.text)
    asked = {"room": given.room, "text": text, "timeout_seconds": given.timeout_seconds}
    sent = ask(context, "send", **asked, **({} if given.key is None else {"key": given.key}))
    if sent["message_id"] is None:
        context.printer.result(
            sent,
            f"Not sent yet: no majority of relays has signed within {given.timeout_seconds} s. The message is kept and "
            "goes out with the next command that runs; `railgun status` shows the relays.",
        )
        return Exit.BROKEN
    context.printer.result(
        sent,
        f"Sent to {one_line(sent['room'])}: {sent['receipts']} of {sent['of']} relays, {sent['latency_ms']:.0f} ms",
    )
    return Exit.KEPT


def run_tail(context: Context) -> int:
    """``tail``."""
    from railgun.cli.peers import with_peer

    given = context.arguments
    if context.printer.as_json and given.lines:
        raise UsageError("--json is one object at the end, --lines one for each message: give one of them")
    if context.printer.as_json and given.count is None and given.seconds is None:
        raise UsageError("tail --json prints one object at its end: say when that is with --count or --seconds")
    reader = _Reader(context)
    with_peer(context, reader.read)
    context.printer.result({"room": given.room, "messages": reader.gathered}, reader.ending)
    return Exit.KEPT


def run_search(context: Context) -> int:
    """``search``."""
    given = context.arguments
    found = ask(context, "search", room=given.room, text=given.text, limit=given.limit)
    lines = [message_line(item, has_date=True) for item in found["messages"]]
    if not lines:
        lines = [f"Not found in the {found['searched']} messages that are here."]
    elif not found["is_complete"]:
        lines.append("There are older ones: give a larger --limit or more words.")
    context.printer.result(found, "\n".join(lines))
    return Exit.KEPT


class _Reader:
    """Shows messages until enough have come; goes on where it was when it is begun again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._left: int | None = context.arguments.count
        self._history: int = context.arguments.history
        self.gathered: list[dict[str, Any]] = []
        self.ending = "That is all."

    async def read(self, caller: Caller) -> None:
        """Read from ``caller``. Raises as its ``tail``."""
        import asyncio

        seconds = self._context.arguments.seconds
        try:
            async with asyncio.timeout(seconds) as limit:
                await self._read(caller)
        except TimeoutError:
            if not limit.expired():
                raise

    async def _read(self, caller: Caller) -> None:
        history = self._history if self._left is None else min(self._history, self._left)
        items = caller.tail({"room": self._context.arguments.room, "history": history})
        self._history = 0
        try:
            async for item in items:
                self._show(item)
                if self._left is not None:
                    self._left -= 1
                    if self._left == 0:
                        await _acknowledge(items)
                        return
            self.ending = "This device is no longer a member of the room."
        finally:
            await items.aclose()  # type: ignore[attr-defined]  # both are generators

    def _show(self, item: dict[str, Any]) -> None:
        printer = self._context.printer
        if printer.as_json:
            self.gathered.append(item)
        elif self._context.arguments.lines:
            printer.line(item)
        else:
            printer.tell(message_line(item))


async def _acknowledge(items: AsyncIterator[dict[str, Any]]) -> None:
    """The last item counts as delivered only when the next is asked for; one that does not is told again next time."""
    import asyncio

    with contextlib.suppress(TimeoutError, StopAsyncIteration, RailGunError):
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            await anext(items)


GAP_LINE: Final = "-- messages are missing here; whoever has them will bring them --"


def message_line(item: dict[str, Any], *, has_date: bool = False) -> str:
    """One message for people: time, author, text. Whatever others wrote is escaped."""
    from datetime import UTC, datetime

    shape = "%Y-%m-%d %H:%M:%S" if has_date else "%H:%M:%S"
    time = datetime.fromtimestamp(item["received_at"], UTC).astimezone().strftime(shape)
    author = one_line(item["author_name"])
    if item["is_after_gap"]:
        time = f"{GAP_LINE}\n{time}"
    match item["kind"]:
        case "text":
            return f"{time} {author}: {paragraph(item['text'])}"
        case "unsupported":
            return f"{time} {author} sent something that this version cannot show"
        case kind:
            about = "" if item["target"] is None else f" to {item['target'][:8]}"
            return f"{time} {author} ({one_line(kind)}{about}): {paragraph(item['text'])}"


def _read_stdin(context: Context) -> str:
    stream = getattr(context.stdin, "buffer", context.stdin)
    data = stream.read(TEXT_BYTES_MAX + 2)
    if data.endswith(b"\n"):
        data = data[:-1]
    if len(data) > TEXT_BYTES_MAX:
        raise UsageError(f"the text on standard input is over {TEXT_BYTES_MAX} bytes: send it in parts")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"standard input is not UTF-8 text (byte {error.start + 1}): convert it first, for example with iconv"
        ) from error
    return _checked(text)


def _checked(text: str) -> str:
    if not text:
        raise UsageError("there is nothing to send: give a text")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:  # what the shell gave was not in the locale's encoding
        raise UsageError(f"the text is not {sys.getfilesystemencoding()} text: convert it first") from error
    if size > TEXT_BYTES_MAX:
        raise UsageError(f"the text is {size} bytes, at most {TEXT_BYTES_MAX} fit: send it in parts")
    return text
