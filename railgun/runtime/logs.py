"""Structured logging on the standard library, with a guard against telling too much.

Owns: text and JSON lines on standard error, how values are shown, what is hidden. Must not know: what is logged.

Rules (docs/operations/logging.md): bytes are shown only as a `ShortId`, never whole; another's address only when
the level is debug; whatever looks like a key, an invite or an address inside a text is hidden, whoever wrote it.
A message's text is never passed to a log call: no rule could tell it from ours.
"""

from __future__ import annotations

import enum
import ipaddress
import json
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import IO, Final, TypeAlias, Union

from railgun.runtime.config import LogConfiguration, LogFormat
from railgun.types import Address

ROOT_LOGGER: Final = "railgun"
ADDRESS_HIDDEN: Final = "<address>"
HIDDEN: Final = "<hidden>"
SHORT_ID_BYTES: Final = 4
VALUE_LENGTH_MAX: Final = 500
"""Longer texts are cut: a peer can make an error message long."""
TRACE_LENGTH_MAX: Final = 20_000

_BYTES_LITERAL = re.compile(r"""\bb'(?:\\.|[^'\\])*'|\bb"(?:\\.|[^"\\])*\"""", re.DOTALL)
_KEY_TEXT = re.compile(r"[A-Za-z0-9_-]{43,}|[0-9A-Fa-f]{40,}")
"""32 bytes or more in base64url, 20 or more in hexadecimal."""
_WORDS = re.compile(r"(?:[A-Za-z]+[_-]+)+[A-Za-z]*[0-9]{0,3}|[_-]+")
"""What is that long and yet no key: a file's or a test's name."""
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?")
_IPV6 = re.compile(r"\[?(?P<host>[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:]*)(?:%\w+)?(?:\]:\d{1,5}|\])?")
_PLAIN = re.compile(r"[^\s\"=\\]+")

Loggable: TypeAlias = Union[str, int, float, bool, "ShortId", Address, enum.Enum, PurePath, BaseException, None]
Plain: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class ShortId:
    """A public identifier (node key, tag, envelope id) of which a log shows the first 4 bytes. Never wrap a secret."""

    value: bytes

    def __str__(self) -> str:
        return self.value[:SHORT_ID_BYTES].hex()

    __repr__ = __str__


_LOGGABLE: Final = (str, int, float, ShortId, Address, enum.Enum, PurePath, BaseException, type(None))


def address_for_log(address: Address, *, debug: bool) -> str:
    """``address`` when debugging, else a placeholder: who talks to whom is not for a log that is kept."""
    return str(address) if debug else ADDRESS_HIDDEN


def scrub(text: str, *, debug: bool = False) -> str:
    """``text`` without bytes literals and long keys; without IP addresses too, unless debugging."""
    text = _BYTES_LITERAL.sub(HIDDEN, text)
    text = _KEY_TEXT.sub(lambda found: found[0] if _WORDS.fullmatch(found[0]) else HIDDEN, text)
    if debug:
        return text
    return _IPV6.sub(_hide_ipv6, _IPV4.sub(ADDRESS_HIDDEN, text))


def _hide_ipv6(found: re.Match[str]) -> str:
    host = found["host"]
    if host == "::":
        return found[0]  # nobody's address, and a mark between names
    for candidate in (host, host.rstrip(":"), host.rpartition(":")[0]):
        try:
            ipaddress.IPv6Address(candidate)
        except ValueError:
            continue  # a time of day, or a name with colons
        return ADDRESS_HIDDEN
    return found[0]


class Log:
    """A named logger whose calls carry an event and fields: ``log.info("link up", peer=ShortId(key))``.

    The event is a constant text without values. Every call checks its fields, written or not, so that a test
    which merely passes a call finds a forbidden one.

    Raises:
        TypeError: a field is no `Loggable`; bytes in particular are refused (from every call).
    """

    def __init__(self, name: str) -> None:
        """``name``: the part of Rail Gun that speaks, such as ``links`` or ``runtime.driver``."""
        self._logger = logging.getLogger(f"{ROOT_LOGGER}.{name}")

    @property
    def is_debug(self) -> bool:
        """Whether debug records are written: guard for fields that cost something to make."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def debug(self, event: str, **fields: Loggable) -> None:
        """For whoever hunts a fault; the only level that may show addresses."""
        self._write(logging.DEBUG, event, fields, None)

    def info(self, event: str, **fields: Loggable) -> None:
        """What an operator wants to have seen afterwards."""
        self._write(logging.INFO, event, fields, None)

    def warning(self, event: str, **fields: Loggable) -> None:
        """Something is wrong, and the node copes."""
        self._write(logging.WARNING, event, fields, None)

    def error(self, event: str, *, cause: BaseException | None = None, **fields: Loggable) -> None:
        """Something is wrong, and somebody has to act; ``cause`` adds its scrubbed traceback."""
        self._write(logging.ERROR, event, fields, cause)

    def _write(self, level: int, event: str, fields: Mapping[str, Loggable], cause: BaseException | None) -> None:
        for name, value in fields.items():
            if not isinstance(value, _LOGGABLE):
                raise TypeError(f"log field {name} is {type(value).__name__}; wrap public identifiers in ShortId")
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, exc_info=cause, extra={"railgun_fields": dict(fields)})


class _RedactingFormatter(logging.Formatter):
    """Shared part of both formats: turns a record into scrubbed, plain values."""

    def __init__(self, *, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def _parts(self, record: logging.LogRecord) -> tuple[str, str, str, str, dict[str, Plain]]:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name = record.name.removeprefix(f"{ROOT_LOGGER}.")
        event = self._text(record.getMessage())
        fields: Mapping[str, Loggable] = getattr(record, "railgun_fields", {})
        shown = {key: self._show(value) for key, value in fields.items()}
        if record.exc_info is not None and record.exc_info[0] is not None:
            shown["trace"] = scrub(self.formatException(record.exc_info), debug=self._debug)[-TRACE_LENGTH_MAX:]
        return time, record.levelname.lower(), name, event, shown

    def _show(self, value: Loggable) -> Plain:
        match value:
            case enum.Enum():
                return value.name.lower()
            case None | bool() | int() | float():
                return value
            case Address():
                return address_for_log(value, debug=self._debug)
            case BaseException():
                return self._text(f"{type(value).__name__}: {value}")
            case _:
                return self._text(str(value))

    def _text(self, text: str) -> str:
        # Cut after hiding: a key cut short would no longer look like one.
        hidden = scrub(text, debug=self._debug)
        return hidden if len(hidden) <= VALUE_LENGTH_MAX else hidden[:VALUE_LENGTH_MAX] + "..."


class TextFormatter(_RedactingFormatter):
    """``2026-01-31T12:00:00.000Z info links: link up peer=0badcafe``; control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own, indented."""
        time, level, name, event, fields = self._parts(record)
        trace = fields.pop("trace", None)
        pairs = "".join(f" {key}={self._quoted(value)}" for key, value in fields.items())
        line = f"{time} {level} {name}: {self._one_line(event)}{pairs}"
        if trace is None:
            return line
        return "\n".join([line, *(f"    {self._one_line(part)}" for part in str(trace).splitlines())])

    @staticmethod
    def _quoted(value: Plain) -> str:
        if isinstance(value, str) and not (value.isprintable() and _PLAIN.fullmatch(value)):
            return json.dumps(value)
        return str(value)

    @staticmethod
    def _one_line(text: str) -> str:
        return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class JsonFormatter(_RedactingFormatter):
    """One JSON object a line: ``time, level, logger, event``, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII; a traceback is the field ``trace``."""
        time, level, name, event, fields = self._parts(record)
        head: dict[str, Plain] = {"time": time, "level": level, "logger": name, "event": event}
        # An object with one key twice, or a field that hides the level, would mislead whoever reads it.
        return json.dumps(head | {key if key not in head else f"field_{key}": fields[key] for key in fields})


class _RedactingHandler(logging.StreamHandler[IO[str]]):
    """Ours, so that configuring again replaces it and nobody else's handler."""


def configure_logging(configuration: LogConfiguration, stream: IO[str] | None = None) -> logging.Handler:
    """Send all logging of this process to ``stream`` (standard error by default). Calling again replaces it.

    Libraries are heard from WARNING on, from INFO on when debugging: their debug output is a flood.
    """
    level = logging.getLevelNamesMapping()[configuration.level.upper()]
    debug = level <= logging.DEBUG
    formatter = (JsonFormatter if configuration.format is LogFormat.JSON else TextFormatter)(debug=debug)
    handler = _RedactingHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    handler.setLevel(level)
    libraries_level = logging.INFO if debug else logging.WARNING
    handler.addFilter(lambda record: _is_ours(record.name) or record.levelno >= libraries_level)
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, _RedactingHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(libraries_level)
    logging.getLogger(ROOT_LOGGER).setLevel(level)
    return handler


def _is_ours(name: str) -> bool:
    return name == ROOT_LOGGER or name.startswith(f"{ROOT_LOGGER}.")
