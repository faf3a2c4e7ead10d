"""Worker processes: they answer, their ends are noticed, and none is ever left."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from railgun.runtime.workers import Worker, WorkerFailed, WorkerGroup

pytestmark = [pytest.mark.processes]
ROOT = Path(__file__).resolve().parents[2]
ODD = "tests.support.odd_worker"
READY_SECONDS = 20.0


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers find the odd ones, and all logs lie where pytest tidies up."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def read(path: str) -> str:
    return Path(path).read_text()


async def start(group: WorkerGroup, manner: str) -> Worker:
    worker, ready = await group.start(manner, ODD, READY_SECONDS, manner=manner)
    assert ready["manner"] == manner
    return worker


async def test_orders_and_answers_and_stray_prints_in_the_log() -> None:
    async with WorkerGroup("test") as group:
        worker = await start(group, "plain")
        worker.tell("echo", text="Grüße")
        assert (await worker.expect("echo", 5))["text"] == "Grüße"
        worker.tell("die")
        with pytest.raises(WorkerFailed, match=r"plain ended unexpectedly \(status 3\); its log: .*plain\.log"):
            await worker.expect("echo", 5)
        assert "a stray print" in read(str(worker.log_path))
        directory = group.directory
    assert not directory.exists()


async def test_logs_are_kept_when_something_failed() -> None:
    async def fail() -> None:
        async with WorkerGroup("test") as group:
            worker = await start(group, "plain")
            worker.tell("die")
            await worker.receive()

    with pytest.raises(WorkerFailed) as caught:
        await fail()
    assert "about to die" in read(str(caught.value).rpartition(" ")[2])


@pytest.mark.parametrize(
    ("manner", "text"), [("nonsense", "unintelligible"), ("mistaken", "the port is taken: choose another")]
)
async def test_a_worker_that_does_not_get_ready(manner: str, text: str) -> None:
    async with WorkerGroup("test") as group:
        with pytest.raises(WorkerFailed, match=text):
            await start(group, manner)


async def test_too_slow_an_answer_is_an_error() -> None:
    async with WorkerGroup("test") as group:
        worker = await start(group, "plain")
        with pytest.raises(WorkerFailed, match="did not answer within"):
            await worker.expect("echo", 0.05)


async def test_a_stubborn_worker_is_killed() -> None:
    async with WorkerGroup("test") as group:
        worker = await start(group, "stubborn")
        await worker.stop(seconds=0.1)
        assert not worker.is_running


async def test_cancelled_while_starting_leaves_none() -> None:
    async def begin() -> None:
        async with WorkerGroup("test") as group:
            started.set()
            await asyncio.gather(*(group.start(f"n{n}", ODD, READY_SECONDS, manner="plain") for n in range(4)))

    started = asyncio.Event()
    task = asyncio.create_task(begin())
    await started.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
async def test_workers_end_with_the_program_that_started_them(number: signal.Signals, status: int) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.interrupted", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert program.stdout is not None
    line = (await program.stdout.readline()).decode().split()
    descriptors = [os.pidfd_open(int(pid)) for pid in line[1:]]
    assert len(descriptors) == 2
    program.send_signal(number)
    assert await program.wait() == status
    try:
        for descriptor in descriptors:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(10_000), "a worker outlived its program"
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
