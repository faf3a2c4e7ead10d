"""The entry point: parse, run, and turn whatever happens into output and an exit status.

Owns: the last word on errors, on Ctrl-C and on a closed pipe. Must not know: any command.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from railgun.cli.arguments import HelpAsked
from railgun.cli.context import Context
from railgun.cli.failures import Exit, explain, kind_of
from railgun.cli.output import Printer
from railgun.cli.parser import VersionAsked, build_parser
from railgun.errors import InvariantViolated, UsageError

__all__ = ["build_parser", "main"]

STDOUT = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. ``argv`` without the program's name; None for the process's own."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = words[: words.index("--")] if "--" in words else words
    closed = _open_what_is_closed()
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        _never_fail_to_encode(stream)
    printer = Printer(as_json="--json" in options, stdout=sys.stdout, stderr=sys.stderr)
    try:
        if printer.as_json and STDOUT in closed:
            raise UsageError("standard output is closed, and --json prints there: open it, or leave --json out")
        status = _run(words, printer)
        printer.flush()
    except KeyboardInterrupt as error:
        status = _fail(printer, error, "interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:  # whoever read has had enough
        status = Exit.FAILED
    except (Exception, InvariantViolated) as error:  # noqa: BLE001  # the last place: shown, never swallowed
        if "--debug" in options:
            traceback.print_exc(file=sys.stderr)
        status = _fail(printer, error, explain(error), Exit.FAILED)
    for stream in streams:
        _drop_unwritable(stream)
    return int(status)


def _run(words: Sequence[str], printer: Printer) -> int:
    try:
        arguments = build_parser().parse(words)
    except VersionAsked:
        return _version(printer)
    except HelpAsked as asked:
        printer.result({"help": asked.text}, asked.text.rstrip("\n"))
        return Exit.KEPT
    context = Context(arguments, os.environ, printer, sys.stdin)
    status: int = arguments.run(context)
    if printer.as_json and not printer.has_result:
        raise RuntimeError("the command printed no object")
    return status


def _version(printer: Printer) -> int:
    import platform
    from importlib.metadata import version

    number = version("railgun")
    printer.result({"version": number, "python": platform.python_version()}, f"railgun {number}")
    return Exit.KEPT


def _fail(printer: Printer, error: BaseException, text: str, status: Exit) -> Exit:
    """Tell of ``error``; with ``--json`` the one object that was promised says so as well."""
    try:
        printer.note(f"railgun: {text}")
        if printer.as_json and not printer.has_result:
            printer.result({"error": {"kind": kind_of(error), "message": text}})
        printer.flush()
    except OSError:
        return Exit.FAILED  # no stream is left to say it on
    return status


def _open_what_is_closed() -> set[int]:
    """A standard stream that this process was started without: a file opened later must not become it. Which ones."""
    closed = set()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    nowhere = Path(os.devnull)
    sys.stdin = sys.stdin or nowhere.open(encoding="utf-8")
    sys.stdout = sys.stdout or nowhere.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nowhere.open("w", encoding="utf-8")
    return closed


def _drop_unwritable(stream: IO[str]) -> None:
    """The interpreter must not trip over what could not be written when it ends."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _never_fail_to_encode(stream: IO[str]) -> None:
    """A terminal that cannot show a character gets it spelt out."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
