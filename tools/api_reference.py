"""Writes docs/reference/api.md from the public API's own docstrings; ``--check`` only compares.

Owns: the page's form. Must not know: what any of it does. The public API is what ``railgun.__all__`` names.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import railgun

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "api.md"
HEADER = """# Python API

Made from the docstrings by `.venv/bin/python tools/api_reference.py`; edit those, not this page. Everything here is
imported from `railgun`; nothing else is promised to stay. All of it is typed (`py.typed`). Start with
[how to write a bot](../how-to/write-a-bot.md).

Times are seconds, wall times Unix seconds, lengths bytes, unless a name ends in another unit. Identifiers and keys are
`bytes`. Every object belongs to the event loop that it was made on; nothing here is safe to call from other threads.
"""
FIRST = ("connect", "Peer", "Room", "Message", "MessageReader", "Receipt", "Typing", "MemberView", "PeerStatus")
INTERNAL = frozenset({"start", "apply", "member_room", "check_usable", "machine", "identity", "network"})
"""What of `Peer` its rooms and its opening need, and applications do not."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def names() -> list[str]:
    """The public names, what one meets first before the rest."""
    rest = sorted(set(railgun.__all__) - set(FIRST) - {"__version__"})
    return [*FIRST, *rest]


def signature_of(function: Any) -> str:
    """Its parameters and result, without the modules that types come from, and without ``self``."""
    found = inspect.signature(function)
    parameters = [parameter for parameter in found.parameters.values() if parameter.name != "self"]
    text = str(found.replace(parameters=parameters))
    return _ADDRESS.sub("", re.sub(r"'([^']*)'", r"\1", text))


def docstring_of(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def members_of(cls: type) -> Iterator[tuple[str, Any]]:
    """Its own and inherited public methods and properties, by the order of their definition."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("railgun"):
            continue
        for name, value in vars(base).items():
            is_part = isinstance(value, property | staticmethod | classmethod) or inspect.isfunction(value)
            if not name.startswith("_") and is_part and name not in seen | INTERNAL:
                seen.add(name)
                yield name, value


def member_lines(name: str, value: Any) -> list[str]:
    if isinstance(value, property):
        result = inspect.signature(value.fget).return_annotation if value.fget else ""
        return [f"### `{name}: {result}`", "", block(docstring_of(value.fget)), ""]
    function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    lead = "await " if inspect.iscoroutinefunction(function) else ""
    return [f"### `{lead}{name}{signature_of(function)}`", "", block(docstring_of(function)), ""]


def block(docstring: str) -> str:
    """A docstring as Markdown: its sections as lists."""
    lines: list[str] = []
    in_section = False
    for line in docstring.replace("::\n", ":\n").splitlines():
        if re.fullmatch(r"(Args|Raises|Attributes|Raises, .*):", line):
            lines += [f"**{line}**", ""]
            in_section = True
        elif in_section and re.match(r"    \S", line):
            lines.append(f"- {line.strip()}")
        elif in_section and line.startswith("        "):
            lines.append(f"  {line.strip()}")
        else:
            in_section = in_section and not line
            lines.append(line)
    return "\n".join(lines).replace("``", "`")


def section(name: str) -> str:
    """One public name."""
    thing = getattr(railgun, name)
    if not inspect.isclass(thing):
        return "\n".join([f"## `{name}{signature_of(thing)}`", "", block(docstring_of(thing)), ""])
    bases = [base.__name__ for base in thing.__bases__ if base.__name__ in railgun.__all__]
    lines = [f"## `{name}`", "", *([f"A `{bases[0]}`. "] if bases else []), block(docstring_of(thing)), ""]
    if dataclasses.is_dataclass(thing):
        lines += [f"- `{field.name}: {field.type}`" for field in dataclasses.fields(thing)] + [""]
    if issubclass(thing, enum.Enum):
        return "\n".join([*lines, *(f"- `{name}.{member.name}`" for member in thing), ""])
    if issubclass(thing, BaseException):
        return "\n".join(lines)
    for member, value in members_of(thing):
        lines += member_lines(member, value)
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    text = "\n".join([HEADER, *(section(name) for name in names())])
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def main() -> int:
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
        return 0
    if PAGE.read_text() == page():
        return 0
    print(f"{PAGE} is not what the docstrings say: run tools/api_reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
