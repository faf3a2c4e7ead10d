"""Each process's own account of what it did, as NDJSON.

Owns: the records' kinds and fields, writing and reading them. Must not know: what follows from them (`totals`).

::

    process    role, index, name, pid; node and port of a relay, device of a member
    attached   a member's subscriptions changed: at, nodes that have acknowledged one, primary first
    began      the duration begins: deliveries of a relay so far, epochs_seen by a member so far
    over       the duration is over: epochs_seen of a member, and its mode (volunteers, hybrid, direct or null)
    epoch      a member's epoch changed: start, seats (node keys in order)
    sending    number, size, at: the call of send
    sent       number, id, receipts, of: send returned
    unsent     number, reason: send failed
    received   number, id, at: a message at the application
    stored     what a member that was restarted has in its store: numbers, an object of how often each
    resources  what the process holds, see `railgun.runtime.demo.resources`
    ended      the drain is over, or the process is about to be ended: deliveries and wrong_size_on_wire of a relay;
               cover, decoys_sent and wait_p95_seconds of a member

A process that was started again goes on with a second `process` record. What went wrong is in an account of its own
(role ``faults``; see `railgun.runtime.demo.injector`).

Times are in seconds of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, TypeAlias

from railgun.errors import ConfigurationError, UsageError

Record: TypeAlias = dict[str, Any]
RELAY: Final = "relay"
MEMBER: Final = "member"
FAULTS: Final = "faults"
SUFFIX: Final = ".ndjson"
LINE_BYTES_MAX: Final = 1 << 20
_ORDER: Final = (RELAY, MEMBER, FAULTS)


class Recorder:
    """Keeps one process's account: told to the demo at once, and written to a file if one is wanted."""

    def __init__(self, tell: Callable[[Record], None], path: str | None) -> None:
        self._tell = tell
        self._file: IO[str] | None = None if path is None else Path(path).open("a", encoding="utf-8")  # noqa: SIM115

    def record(self, kind: str, /, **fields: Any) -> None:
        """Something happened."""
        record = {"kind": kind, **fields}
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        self._tell(record)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def prepare_directory(path: Path) -> Path:
    """Make the directory for evidence, free of an earlier demo's.

    Raises:
        UsageError: it cannot be made or written, or holds other files.
    """
    path = path.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        entries = list(path.iterdir())
        if any(entry.suffix != SUFFIX for entry in entries):
            raise UsageError(f"--evidence {path}: holds other files; give an empty directory")
        for entry in entries:
            entry.unlink()
        probe = path / f"probe{SUFFIX}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--evidence {path}: {error.strerror}; give a directory that can be written") from error
    return path


def read_evidence(path: Path) -> list[list[Record]]:
    """The account of every process in a directory: relays, members, each in their start order, then the faults.

    Raises:
        ConfigurationError: a file is no account.
    """
    accounts = [_read_account(file) for file in sorted(path.glob(f"*{SUFFIX}"))]
    return sorted(accounts, key=lambda records: (_ORDER.index(records[0]["role"]), records[0]["index"]))


def _read_account(file: Path) -> list[Record]:
    try:
        records = [json.loads(line) for line in _lines(file)]
        first = records[0]
        if first["kind"] == "process" and first["role"] in _ORDER and isinstance(first["index"], int):
            return records
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(f"{file} is no account of a demo's process: {error}") from error
    raise ConfigurationError(f"{file} is no account of a demo's process")


def _lines(file: Path) -> Iterable[str]:
    with file.open(encoding="utf-8") as stream:
        while line := stream.readline(LINE_BYTES_MAX):
            yield line
