"""A file that remembers which seeds ran, with what code, and what they came to: long ranges can stop and go on.

Owns: the file's lines, telling which seeds are still to run. Must not know: how seeds run.

One JSON object a line and part of a range, appended when the part is through. A line that was torn by a crash has no
end and does not count. Only lines of the same flags and the same code stand for seeds that need not run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from railgun.errors import ConfigurationError

PART_SEEDS: Final = 50
"""Seeds that a line stands for, at most: about a minute's work."""
LINE_BYTES_MAX: Final = 1 << 20
CODE_HEX: Final = 16
PARTS_OF_A_RUN: Final = ("core", "crypto", "limits", "sim/swarm", "wire")
"""Folders of the package that a seed's run depends on, beside the modules directly in the package and in `sim`."""
BEGINNING: Final = b'{"first": '
"""Of every line, also of one that was torn."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One part of a range.

    Attributes:
        first, last: seeds, both included.
        flags: as on a command line, a plan's and a planted bug's.
        code: of `code_digest`, 16 hexadecimal digits.
        date: UTC, when it was through, to the second.
        violations: pairs of a seed and a checker; ``found`` tells each in a line.
        faults: kind to seeds. ``latencies_ms``: pairs of a latency and how many deliveries took it.
        seconds: of real time.
    """

    first: int
    last: int
    flags: str
    code: str
    date: str
    violations: int
    found: tuple[str, ...]
    faults: dict[str, int]
    latencies_ms: tuple[tuple[int, int], ...]
    seconds: float

    @property
    def seeds(self) -> int:
        return self.last - self.first + 1


def code_digest() -> str:
    """Names the code that a seed's run depends on: the same digest, the same runs."""
    package = Path(__file__).parents[2]
    files = [*package.glob("*.py"), *package.glob("sim/*.py")]
    files += [file for part in PARTS_OF_A_RUN for file in (package / part).rglob("*.py")]
    digest = hashlib.blake2b(digest_size=CODE_HEX // 2)
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


class SwarmLog:
    """The file at ``path``; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: LogLine) -> None:
        """Add a line, after ending one that a crash tore. Raises OSError where the file cannot be written."""
        with self.path.open("ab+") as stream:
            end = stream.seek(0, 2)
            stream.seek(max(0, end - 1))
            torn = stream.read(1) not in {b"", b"\n"}
            stream.write((b"\n" if torn else b"") + json.dumps(asdict(line)).encode() + b"\n")

    def prepare(self) -> None:
        """Make the file, unless it is there. Raises OSError, and not after an hour, where it cannot be written."""
        with self.path.open("ab"):
            pass

    def lines(self) -> list[LogLine]:
        """All whole lines; none where there is no file.

        Raises:
            ConfigurationError: the file is no such log, or cannot be read.
        """
        found: list[LogLine] = []
        try:
            with self.path.open("rb") as stream:
                for number, raw in enumerate(iter(lambda: stream.readline(LINE_BYTES_MAX + 1), b""), 1):
                    if len(raw) > LINE_BYTES_MAX:
                        raise ConfigurationError(f"{self.path}: line {number} is too long for a swarm's log")
                    line = _read(raw)
                    if line is not None:
                        found.append(line)
                    elif raw.endswith(b"}\n") or not _may_be_torn(raw):
                        raise ConfigurationError(f"{self.path}: line {number} is none of a swarm's log")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigurationError(f"{self.path}: {error.strerror}") from error
        return found

    def of_the_same(self, flags: str, code: str) -> list[LogLine]:
        """Lines whose seeds need not run again, first seeds first; no seed is in two of them."""
        taken: list[LogLine] = []
        for line in sorted(self.lines(), key=lambda line: (line.first, -line.last)):
            is_beyond = not taken or line.first > taken[-1].last
            if is_beyond and line.flags == flags and line.code == code:
                taken.append(line)
        return taken


def within(lines: Iterable[LogLine], first: int, last: int) -> list[LogLine]:
    """Those that lie in a range as a whole: the others' seeds run again, since sums cannot be cut."""
    return [line for line in lines if first <= line.first and line.last <= last]


def parts_left(lines: Sequence[LogLine], first: int, last: int) -> Iterator[range]:
    """What is between ``lines`` (ascending), in parts of at most PART_SEEDS seeds."""
    at = first
    for start, end in [*((line.first, line.last) for line in lines), (last + 1, last)]:
        while at < start:
            stop = min(start, at + PART_SEEDS)
            yield range(at, stop)
            at = stop
        at = max(at, end + 1)


def _may_be_torn(raw: bytes) -> bool:
    """Whether it begins as our lines do."""
    return BEGINNING.startswith(raw.rstrip(b"\n")) or raw.startswith(BEGINNING)


def _read(raw: bytes) -> LogLine | None:
    """None for what is none of the log's lines."""
    try:
        value: Any = json.loads(raw) if raw.endswith(b"\n") else None
        line = LogLine(
            first=_count(value["first"]),
            last=_count(value["last"]),
            flags=str(value["flags"]),
            code=str(value["code"]),
            date=str(value["date"]),
            violations=_count(value["violations"]),
            found=tuple(map(str, value["found"])),
            faults={str(kind): _count(seeds) for kind, seeds in value["faults"].items()},
            latencies_ms=tuple((_count(ms), _count(count)) for ms, count in value["latencies_ms"]),
            seconds=float(value["seconds"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return line if line.first <= line.last else None


def _count(value: object) -> int:
    """A whole number from 0 on; else ValueError."""
    if type(value) is not int or value < 0:
        raise ValueError("no count")
    return value
