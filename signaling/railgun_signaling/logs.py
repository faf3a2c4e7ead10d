"""Structured logging that cannot tell who was there.

Owns: text and JSON lines on standard error, which values a record may carry. Must not know: what is logged.

A record is a constant event and fields that are numbers, booleans, or words of this program (a refusal's code, the
state of NATS). Bytes and addresses are no such thing: no field's type could carry them, at any level.
"""

from __future__ import annotations

import enum
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import IO, Final, TypeAlias, Union

LOGGER: Final = "railgun_signaling"
LIBRARIES: Final = ("websockets", "nats", "asyncio")

Loggable: TypeAlias = Union[int, float, bool, enum.Enum, None]


class LogLevel(enum.StrEnum):
    """The least serious record that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """``text`` for people, ``json`` for machines: one object a line."""

    TEXT = "text"
    JSON = "json"


class Log:
    """``log.info("mailbox opened", open=3)``. Raises TypeError for a field that is no `Loggable`, written or not."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"{LOGGER}.{name}")

    def debug(self, event: str, **fields: Loggable) -> None:
        """For whoever hunts a fault."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Loggable) -> None:
        """What an operator wants to have seen afterwards."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Loggable) -> None:
        """Something is wrong, and the server copes."""
        self._write(logging.WARNING, event, fields)

    def fault(self, event: str, error: BaseException) -> None:
        """A bug of ours: where it happened and its kind, without its text, which may quote what a client sent."""
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
        self._logger.error(event, extra={"fields": {"kind": type(error).__name__, "where": where}})

    def _write(self, level: int, event: str, fields: dict[str, Loggable]) -> None:
        for name, value in fields.items():
            if not isinstance(value, (int, float, enum.Enum, type(None))):
                raise TypeError(f"{name}: {type(value).__name__} is not for logs")
        shown = {name: value.name.lower() if isinstance(value, enum.Enum) else value for name, value in fields.items()}
        self._logger.log(level, event, extra={"fields": shown})


class _Formatter(logging.Formatter):
    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = getattr(record, "fields", {})
        event = str(record.msg)  # never the arguments: a library's may be addresses
        if self._form is LogFormat.JSON:
            return json.dumps({"time": when, "level": record.levelname.lower(), "event": event, **fields})
        return " ".join([when, record.levelname.lower(), event, *(f"{name}={value}" for name, value in fields.items())])


def configure_logging(level: LogLevel, form: LogFormat, stream: IO[str] | None = None) -> None:
    """Write this program's records to ``stream`` (standard error); libraries are heard only when something is wrong."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(form))
    for name, least in [(LOGGER, level.name), *((library, "WARNING") for library in LIBRARIES)]:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(least)
        logger.propagate = False
