"""SIGKILL at many moments: what a store or a profile promised is there afterwards, and nothing half.

A killed process leaves its writes with the kernel, so this shows nothing about a loss of power; for that the store asks
SQLite to flush each commit (tests/unit/storage checks the setting).
"""

from __future__ import annotations

import random
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from railgun.errors import UsageError
from railgun.runtime.profile import ProfileKind, create_profile, open_profile
from tests.unit.storage.children import commit_next, key_of, last_index, start
from tests.unit.storage.support import SystemEntropy, open_store

KILLS = 30
SEED = 20


def commit_until_killed(path: Path, size: int, after_reports: int, further_seconds: float) -> list[int]:
    """The indexes that a child reported as kept before it was killed."""
    with start("commit_forever", path, size) as child:
        assert child.stdout is not None
        reported = [int(child.stdout.readline()) for _ in range(after_reports)]
        with suppress(subprocess.TimeoutExpired):  # the moment within a commit is left to chance
            child.wait(further_seconds)
        child.kill()
        rest = child.stdout.read().split("\n")
    assert child.returncode == -9
    return reported + [int(line) for line in rest[:-1]]  # the last line may be cut


def check_whole(path: Path, promised: int) -> int:
    """All tables agree on the last commit, which is the one promised, or the one that was under way."""
    store = open_store(path, create=False)
    try:
        store.verify()
        last = last_index(store)
        assert promised <= last <= promised + 1
        keys = [key_of(index) for index in range(1, last + 1)]
        for table in ("outbox", "messages", "seen_indexes"):
            assert [key for key, _ in store.load(table)] == keys
        assert [int(value) for _, value in store.load("messages")] == list(range(1, last + 1))
        return last
    finally:
        store.close()


@pytest.mark.slow
@pytest.mark.processes
def test_every_reported_commit_survives_and_no_index_is_used_twice(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    moments = random.Random(SEED)
    used: list[int] = []
    under_way = 0
    for _ in range(KILLS):
        reported = commit_until_killed(
            path, moments.choice((10, 1500, 70_000)), moments.randrange(1, 30), moments.random() * 0.003
        )
        used += reported
        last = check_whole(path, used[-1])
        if last > used[-1]:
            under_way += 1
            used.append(last)
    assert used == list(range(1, len(used) + 1))
    store = open_store(path)
    assert commit_next(store, 1) == len(used) + 1
    store.close()


@pytest.mark.slow
@pytest.mark.processes
def test_a_store_killed_while_it_begins_opens_afterwards(tmp_path: Path) -> None:
    """The first milliseconds: the empty file, the log, the migrations, the proof of the key."""
    moments = random.Random(SEED)
    for number in range(10):
        path = tmp_path / str(number) / "store.sqlite"
        path.parent.mkdir()
        with start("commit_forever", path, 10) as child:
            while not path.exists():
                assert child.poll() is None
            with suppress(subprocess.TimeoutExpired):
                child.wait(moments.random() * 0.02)
            child.kill()
        store = open_store(path)
        store.verify()
        last = last_index(store)
        assert store.count("messages") == store.count("outbox") == last
        store.close()


@pytest.mark.slow
@pytest.mark.processes
def test_a_profile_killed_at_any_line_of_its_creation_is_whole_or_not_there(tmp_path: Path) -> None:
    with start("create_and_die_at_each_line", tmp_path) as child:
        assert child.stdout is not None
        outcomes = [line.split() for line in child.stdout.read().splitlines()]
    assert [outcome for _, outcome in outcomes] == ["killed"] * (len(outcomes) - 1) + ["whole"]
    assert len(outcomes) > 150
    paths = [tmp_path / number / "alice" for number, _ in outcomes]
    complete = [path for path in paths if path.exists()]
    for path in complete:
        with open_profile(path, SystemEntropy()) as profile:
            assert profile.store.load("rooms") == [(b"r", b"v")]
            profile.store.verify()
    assert 1 < len(complete) < len(paths) // 4  # killed after the one step that counts, and before
    for path in random.Random(SEED).sample(paths[: len(paths) - len(complete)], 20):
        with pytest.raises(UsageError, match="there is no profile"):
            open_profile(path, SystemEntropy())
        create_profile(path, ProfileKind.MEMBER, SystemEntropy())  # the next attempt is not hindered, and tidies up
        open_profile(path, SystemEntropy()).close()
        assert [found.name for found in path.parent.iterdir()] == ["alice"]
