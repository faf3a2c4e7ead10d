"""The grammar's parts: a parser that answers a mistake with one line, options that many commands share.

Owns: suggestions, the global options, the values that options take. Must not know: what a command does.

argparse of the standard library, see docs/decisions/0004-argparse.md.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from railgun.cli.failures import Grammar

Subparsers = argparse._SubParsersAction  # it has no public name


class HelpAsked(Exception):
    """``--help`` was given. ``text``: the usage, of several lines."""

    def __init__(self, text: str) -> None:
        super().__init__("help was asked for")
        self.text = text


class Parser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` without abbreviations whose every mistake is one `Grammar` error."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options["allow_abbrev"] = False
        super().__init__(*arguments, **options)

    def error(self, message: str) -> NoReturn:
        """Raise Grammar instead of printing the usage and leaving."""
        raise Grammar(f"{message}; see `{self.prog} --help`")

    def print_help(self, file: Any = None) -> NoReturn:
        """Raise HelpAsked instead of printing: whoever asked for JSON gets that."""
        raise HelpAsked(self.format_help())

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments in ``words``. Raises HelpAsked, Grammar: an unknown option is told with the nearest one."""
        parsed, unknown = self.parse_known_args(words)
        if unknown:
            parser: Parser = getattr(parsed, "command_parser", None) or self
            parser.error(parser.explain_unknown(unknown[0]))
        return parsed

    def explain_unknown(self, argument: str) -> str:
        """What to say of an argument that no rule takes."""
        if not argument.startswith("-"):
            return f"one argument too many: {argument} (texts with spaces need quotes)"
        name = argument.partition("=")[0]
        found = nearest(name, self._option_string_actions)
        return f"unknown option {name}" + (f", did you mean {found}?" if found else "")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if action.choices is None or value in action.choices:
            return
        if isinstance(action, Subparsers):
            found = nearest(str(value), choices)
            hint = f"did you mean {found}?" if found else f"there are {', '.join(choices)}"
            self.error(f"unknown command {value}: {hint}")
        raise argparse.ArgumentError(action, f"expected one of {', '.join(choices)}, not {value}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, or None if none is much alike."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.65)), None)


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number within bounds."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, not {text}")
        return int(text)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """The type of an option that takes a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:  # not true of NaN either
            raise argparse.ArgumentTypeError(f"expected a number from {least:g} to {most:g}, not {text}")
        return value

    return parse


def utc_day(text: str) -> int:
    """The type of an option that takes a date: days since 1970."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a date as 2031-12-24, not {text}") from None
    days = (day - datetime(1970, 1, 1, tzinfo=UTC)).days
    if days < 0:
        raise argparse.ArgumentTypeError("expected a date to come")
    return days


def hexadecimal(byte_count: int) -> Callable[[str], bytes]:
    """The type of an option that takes a key or an identifier."""

    def parse(text: str) -> bytes:
        digits = 2 * byte_count
        try:
            value = bytes.fromhex(text) if len(text) == digits else b""
        except ValueError:
            value = b""
        if len(value) != byte_count:
            raise argparse.ArgumentTypeError(f"expected {digits} hexadecimal digits")
        return value

    return parse


# --- options that many commands share ---------------------------------------------------------


def add_global_options(parser: argparse.ArgumentParser, *, is_root: bool) -> None:
    """Before or after the command: a subcommand's parser sets only what it finds."""
    group = parser.add_argument_group("global options")

    def add(*names: str, flag: bool = False, **options: Any) -> None:
        default = (False if flag else None) if is_root else argparse.SUPPRESS
        if flag:
            options["action"] = "store_true"
        group.add_argument(*names, default=default, **options)

    add("--profile", metavar="DIR", help="where this device keeps its state (configuration: profile.directory)")
    add("--config", metavar="FILE", help="a configuration file; see the configuration reference")
    add("--log-level", choices=("debug", "info", "warning", "error"), help="the least serious record to be logged")
    add("--json", flag=True, help="print one JSON object on standard output, all else on standard error")
    add("--debug", flag=True, help="show the traceback of an error")


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """The network's file and the first relays."""
    parser.add_argument("--network", metavar="FILE", help="the network's parameter file (configuration: network.file)")
    parser.add_argument(
        "--bootstrap",
        metavar="CONTACT",
        action="append",
        help="a relay to try first, railgun-relay:...; may be repeated (configuration: network.bootstrap)",
    )
    parser.add_argument(
        "--rendezvous",
        metavar="URL",
        action="append",
        help="a rendezvous server, wss://..., that names relays while none can be dialled; a relay registers with it; "
        "may be repeated (configuration: rendezvous.servers)",
    )


def add_unlock_options(parser: argparse.ArgumentParser) -> None:
    """What opens a profile's secrets."""
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        help="read the profile's passphrase from the first line of FILE; else RAILGUN_PASSPHRASE, else a prompt",
    )
    parser.add_argument(
        "--key-file",
        metavar="FILE",
        help="the key file that opens the profile, instead of a passphrase (configuration: profile.key_file)",
    )


def add_command(
    subparsers: Any, name: str, run: Callable[[Any], int], description: str, **options: Any
) -> argparse.ArgumentParser:
    """A command's parser. ``description``'s first sentence is its help in the list of commands."""
    summary = description.partition(". ")[0].rstrip(".")
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=summary[0].lower() + summary[1:], description=description, **options
    )
    add_global_options(parser, is_root=False)
    parser.set_defaults(run=run, command_parser=parser)
    return parser


def add_group(subparsers: Any, name: str, description: str) -> Any:
    """A command that only has commands below it; returns where to add them."""
    summary = description[0].lower() + description[1:].rstrip(".")
    parser = subparsers.add_parser(name, help=summary, description=description)
    add_global_options(parser, is_root=False)
    return add_subparsers(parser)


def add_subparsers(parser: argparse.ArgumentParser) -> Any:
    """Where commands below ``parser`` are added; one of them has to be named."""
    return parser.add_subparsers(title="commands", metavar="COMMAND", dest=argparse.SUPPRESS, required=True)
