"""The guards of tests/conftest.py bite: a task or a process left behind fails the test that left it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 60

LEAVERS = '''
"""Tests of which two leave something behind, and two do not."""
import asyncio
import subprocess

kept = []


async def test_task():
    kept.append(asyncio.create_task(asyncio.Event().wait()))


async def test_task_that_ends():
    task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()


def test_process():
    kept.append(subprocess.Popen(["tail", "-f", "/dev/null"]))


def test_process_that_ends():
    kept.append(subprocess.Popen(["true"]))
'''


def test_what_is_left_behind_fails_its_test(tmp_path: Path) -> None:
    file = tmp_path / "test_leavers.py"
    file.write_text(LEAVERS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "tests.conftest",
         "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=7", file],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=SECONDS_MAX,
    )  # fmt: skip
    said = {line.split(" - ")[0].rpartition("::")[2] for line in done.stdout.splitlines() if line.startswith("ERROR ")}
    assert said == {"test_task", "test_process"}, done.stdout + done.stderr
    assert "tasks left behind" in done.stdout
    assert "child processes left behind" in done.stdout
    assert "--hypothesis-seed=7" in done.stdout
