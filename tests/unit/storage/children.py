"""Processes that the store's tests start, kill and starve: ``python -m tests.unit.storage.children NAME PATH ...``."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from railgun.errors import RailGunError
from railgun.ports import Write
from railgun.runtime.profile import ProfileKind, create_profile, open_profile
from railgun.storage.sqlite_store import SqliteStore
from tests.unit.storage.support import ROOM, SystemEntropy, open_store

if TYPE_CHECKING:
    from _typeshed import TraceFunction

REPOSITORY: Final = Path(__file__).parents[3]
NOBODY: Final = 65_534
TABLES_OF_ONE_COMMIT: Final = ("outbound_sessions", "outbox", "messages", "seen_indexes")


def start(name: str, *arguments: object) -> subprocess.Popen[str]:
    """The child, its standard output and input as pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.storage.children", name, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def key_of(index: int) -> bytes:
    return ROOM + index.to_bytes(16, "big")


def last_index(store: SqliteStore) -> int:
    return int(store.get("outbound_sessions", ROOM) or b"0")


def commit_next(store: SqliteStore, size: int) -> int:
    """What sending one message keeps: the ratchet's next index, and the message in three places."""
    index = last_index(store) + 1
    store.commit(
        [
            Write("outbound_sessions", ROOM, b"%d" % index),
            Write("outbox", key_of(index), bytes((index % 251,)) * size),
            Write("messages", key_of(index), b"%d" % index),
            Write("seen_indexes", key_of(index), b""),
        ]
    )
    return index


def hold(path: str) -> None:
    """Open a profile and keep it until standard input ends."""
    with open_profile(Path(path), SystemEntropy()):
        report("open")
        sys.stdin.read()


def commit_forever(path: str, size: str) -> None:
    """Commit, then report the index: what was reported is promised."""
    store = open_store(Path(path))
    while True:
        report(commit_next(store, int(size)))


def fill(path: str, limit_bytes: str) -> None:
    """Commit until files may grow no more; then one more try; then say what is there after the limit is lifted."""
    store = open_store(Path(path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit_bytes), hard))
    kept = 0
    for _ in range(2):
        try:
            while True:
                kept = commit_next(store, 5000)
        except RailGunError as error:
            report(f"{type(error).__name__} {error}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    report(kept)
    report(commit_next(store, 5000))
    store.close()


def open_as_nobody(path: str) -> None:
    """As an ordinary user: permissions do not bind root."""
    if os.geteuid() == 0:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    try:
        store = open_store(Path(path))
        commit_next(store, 10)
        report("opened")
    except RailGunError as error:
        report(f"{type(error).__name__} {error}")


def create_and_die_at_each_line(directory: str) -> None:
    """Create profile after profile, each in a directory of its own; the n-th is killed before the n-th line it runs."""
    traced = tuple(str(REPOSITORY / "railgun" / part) for part in ("runtime", "storage"))
    line = 0
    while True:
        line += 1
        child = os.fork()
        if child == 0:
            sys.settrace(_killer_at(line, traced))
            path = Path(directory, str(line), "alice")
            create_profile(path, ProfileKind.MEMBER, SystemEntropy(), initial_writes=[Write("rooms", b"r", b"v")])
            os._exit(0)
        _, status = os.waitpid(child, 0)
        report(line, "whole" if status == 0 else "killed" if os.WTERMSIG(status) == signal.SIGKILL else "failed")
        if status == 0 or not os.WIFSIGNALED(status):
            return


def _killer_at(line: int, traced: tuple[str, ...]) -> TraceFunction:
    remaining = line

    def trace(frame: FrameType, event: str, _: object) -> TraceFunction | None:
        nonlocal remaining
        if not frame.f_code.co_filename.startswith(traced):
            return None
        if event == "line":
            remaining -= 1
            if remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def report(*words: object) -> None:
    print(*words, flush=True)


if __name__ == "__main__":
    _CHILDREN: Final = (hold, commit_forever, fill, open_as_nobody, create_and_die_at_each_line)
    {child.__name__: child for child in _CHILDREN}[sys.argv[1]](*sys.argv[2:])
