"""Temporary directories: one that is in use or kept stays, one whose maker was killed goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from railgun.runtime.scratch import ScratchDirectory, remove_abandoned

PREFIX = "railgun-lab-"
MAKER = """
import sys, time
from railgun.runtime.scratch import ScratchDirectory
made = ScratchDirectory("railgun-lab-")
(made.path / "log").write_text("x")
print(made.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_it_is_private_and_goes_when_told_to(tmp_path: Path) -> None:
    made = ScratchDirectory(PREFIX)
    assert made.path.parent == tmp_path
    assert made.path.stat().st_mode & 0o777 == 0o700
    (made.path / "file").write_text("x")
    made.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_use_kept_or_not_ours_is_left_alone(tmp_path: Path) -> None:
    used, kept = ScratchDirectory(PREFIX), ScratchDirectory(PREFIX)
    kept.keep()
    unmarked = tmp_path / f"{PREFIX}unmarked"
    unmarked.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".in-use").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}file").write_text("x")
    before = set(tmp_path.iterdir())
    remove_abandoned(PREFIX)
    assert set(tmp_path.iterdir()) == before
    used.remove()


def test_one_whose_maker_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdout is not None
        left = Path(maker.stdout.readline().strip())
        remove_abandoned(PREFIX)
        assert (left / "log").exists()
        os.kill(maker.pid, signal.SIGKILL)
    assert left.exists()
    remove_abandoned("railgun-other-")
    assert left.exists()
    following = ScratchDirectory(PREFIX)
    assert list(tmp_path.iterdir()) == [following.path]
    following.remove()
