"""What holds for every test: a printed seed, and nothing left running.

Owns: hypothesis profiles, the seed of a run, the check for leftovers, grouping of process tests.
Must not know: any module under test.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
import select
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

LEFTOVER_GRACE_SECONDS = 1.0
"""A closed thing may take a few turns of the loop, or of the kernel, to be gone."""

settings.register_profile("ci", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", parent=settings.get_profile("ci"), max_examples=20_000)
settings.load_profile(os.environ.get("RAILGUN_HYPOTHESIS_PROFILE", "ci"))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Draw the run's hypothesis seed here, so that it can be printed and given back on the command line."""
    if config.getoption("--hypothesis-seed", None) is None:
        config.option.hypothesis_seed = str(secrets.randbits(32))
    # A shell that runs us in the background has SIGINT ignored, and all that we start would inherit that: tests that
    # end a program by Ctrl-C would wait in vain.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    return f"hypothesis seed: {config.option.hypothesis_seed}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"to repeat this run: pytest --hypothesis-seed={config.option.hypothesis_seed}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start processes run one after another, on one worker: they need the machine to themselves."""
    for item in items:
        if item.get_closest_marker("processes") is not None:
            item.add_marker(pytest.mark.xdist_group("processes"))


def _children() -> set[int]:
    """Process ids of this process's children, whichever thread started them."""
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(word) for word in listing.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread ended meanwhile
    return found


def _still_runs(pid: int) -> bool:
    """Whether the child runs on after a moment's grace; waits on the process itself, not on the clock."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return not poll.poll(LEFTOVER_GRACE_SECONDS * 1000)
    finally:
        os.close(descriptor)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture(autouse=True)
def no_leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a child process, or (on its own loop) an asyncio task, behind.

    Set up before the test's own fixtures, and so torn down after them.
    """
    function = getattr(request, "function", None)
    if function is not None and inspect.iscoroutinefunction(inspect.unwrap(function)):
        request.getfixturevalue("no_task_left")
    before = _children()
    yield
    # multiprocessing keeps one tracker for the life of the interpreter
    left = {pid: _command(pid) for pid in sorted(_children() - before)}
    left = {pid: command for pid, command in left.items() if "resource_tracker" not in command and _still_runs(pid)}
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if left:
        pytest.fail(f"child processes left behind: {left}", pytrace=False)


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fail an asynchronous test that leaves a task behind on its loop; the task is cancelled."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=LEFTOVER_GRACE_SECONDS)
    for task in left:
        task.cancel()
    if left:
        pytest.fail("tasks left behind: " + ", ".join(sorted(repr(task) for task in left)), pytrace=False)
