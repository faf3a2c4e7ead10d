"""Writes docs/reference/cli.md from the command line's own parser; ``--check`` only compares.

Owns: the page's form. Must not know: any command. The parser is ``railgun.cli.main.build_parser()``.
The help texts are laid out here and not by argparse, whose layout differs between Python versions.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Set
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"
HEADER = """# Command line

Made from the parser by `make reference`; edit the help texts in `railgun/cli/`, not this page.
With `--json`, standard output holds exactly one object and all else goes to standard error; the object of
`railgun network show` is described by [network-show.json](schemas/network-show.json), and so on for every command.
Exit status: 0, promises kept; 1, a promise broken (the object is still printed); 2, usage or machine (the object is
[error.json](schemas/error.json)); 130, interrupted. Unmeasured is null.
The options of `railgun` itself may stand before or after the command's name.
"""


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser and all below it, in the order of their definition."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            seen: set[int] = set()
            for child in action.choices.values():
                if id(child) not in seen:  # an alias names the same parser again
                    seen.add(id(child))
                    yield from commands(child)


def spelling(action: argparse.Action) -> str:
    """How the argument is typed: ``--relays RELAYS``, ``ROOM``."""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None:
        value = "{" + ",".join(str(choice) for choice in action.choices) + "}"
    if not action.option_strings:
        return value
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


def default_of(action: argparse.Action) -> str:
    """The default as it would be typed; empty where there is none to speak of."""
    if action.required or action.default in (None, False, argparse.SUPPRESS) or action.nargs == 0:
        return ""
    return f"`{action.default}`"


def section(parser: argparse.ArgumentParser, known: Set[str] = frozenset()) -> str:
    """One command's part of the page, without the options in ``known``, which are told elsewhere."""
    lines = [f"## `{parser.prog}`", ""]
    if parser.description:
        lines += [parser.description, ""]
    shown = [
        action
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        and known.isdisjoint(action.option_strings)
        and not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
    ]
    if shown:
        lines += ["| argument | default | meaning |", "|---|---|---|"]
        for action in shown:
            meaning = " ".join((action.help or "").replace("%%", "%").split()).replace("|", "\\|")
            lines.append(f"| `{spelling(action)}` | {default_of(action)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def reference(parser: argparse.ArgumentParser) -> str:
    """The whole page. What every command takes, before or after its name, is told once."""
    everywhere = {name for action in parser._actions for name in action.option_strings}
    below = (section(one, everywhere) for one in commands(parser) if one is not parser)
    return "\n".join([HEADER, section(parser), *below])


def main() -> int:
    if importlib.util.find_spec("railgun.cli.main") is None:
        print("cli reference: there is no command line yet")
        return 0
    page = reference(importlib.import_module("railgun.cli.main").build_parser())
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(page)
        return 0
    if not PAGE.exists() or PAGE.read_text() != page:
        print("docs/reference/cli.md is not what the parser says: run `make reference`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
