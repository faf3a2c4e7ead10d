"""The demo as it runs: real processes, real sockets, and no process left however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from railgun.runtime.demo.evidence import read_evidence
from railgun.runtime.demo.options import DemoOptions
from railgun.runtime.demo.result import DemoResult, promises_kept
from railgun.runtime.demo.run import Running, run_demo
from railgun.runtime.demo.totals import totals
from railgun.runtime.workers import WorkerGroup
from railgun.wire.invites import parse_invite
from tests.support.commands import check_schema

pytestmark = [pytest.mark.processes, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
MARK = "RAILGUN_TEST_MARK"
PHASES = ["starting relays", "starting members", "joining the room", "settling", "talking"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def marked(tmp_path: Path) -> dict[int, str]:
    """Processes that inherited this test's mark, with their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={tmp_path}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended, or is another user's
    return found


def left_directories(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("railgun-demo-*"))


def wait_gone(pids: list[int]) -> None:
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        gone = poll.poll(10_000)
        os.close(descriptor)
        assert gone, f"process {pid} outlived the demo"


async def test_three_relays_three_members_and_a_rotation(tmp_path: Path) -> None:
    seen: list[Running] = []

    def staying(result: DemoResult, running: Running) -> None:
        seen.append(running)
        for _, pid, _ in running.processes:
            os.kill(pid, 0)  # raises if it is gone
        os.kill(os.getpid(), signal.SIGINT)

    options = DemoOptions(
        relays=3,
        members=3,
        messages=10,
        committee=3,
        epoch_seconds=10,
        overlap_seconds=2,
        duration_seconds=12,
        evidence=tmp_path / "evidence",
        stay=True,
    )
    result = await run_demo(options, None, staying)
    check_schema("demo", result.as_json())
    assert promises_kept(result), result
    assert (result.sent, result.expected, result.delivered) == (30, 60, 60)
    assert result.rotations in (1, 2)
    assert result.seats_changed == 0  # three relays, three seats
    assert (result.receipts.needed, result.receipts.of, result.receipts.complete) == (2, 3, 30)
    assert all(latencies.p50 is not None for latencies in result.latency_ms_by_size.values())
    assert sum(count or 0 for count in result.per_relay_deliveries) >= 60

    accounts = read_evidence(tmp_path / "evidence")
    assert totals(options, accounts, result.seconds) == result
    (running,) = seen
    assert [account[0]["pid"] for account in accounts] == [pid for _, pid, _ in running.processes]
    assert [account[0].get("port") for account in accounts] == [port for _, _, port in running.processes]
    sent = {record["id"] for account in accounts for record in account if record["kind"] == "sent"}
    received = {record["id"] for account in accounts for record in account if record["kind"] == "received"}
    assert len(sent) == 30
    assert sent == received
    parse_invite(running.invite)


async def test_under_strict_cover_everything_waits_for_its_ticks_and_arrives(tmp_path: Path) -> None:
    options = DemoOptions(
        relays=3, members=2, messages=2, committee=3, epoch_seconds=10, duration_seconds=1, cover="strict"
    )
    result = await run_demo(options)
    check_schema("demo", result.as_json())
    assert promises_kept(result), result
    assert (result.sent, result.expected, result.delivered, result.receipts.complete) == (4, 4, 4, 4)
    assert (result.cover.mode, result.cover.wait_p95_seconds) == ("strict", 1.5)
    assert (result.cover.decoys_sent or 0) > 0
    # 64 KiB go in pieces, one at each of two ticks a second, on the mean: without cover they are there at once.
    assert (result.latency_ms_by_size["65536"].p50 or 0.0) > 1_000


@pytest.mark.parametrize("phase", ["starting relays", "joining the room", "talking"])
async def test_ctrl_c_leaves_no_process(phase: str, tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.interrupted_demo", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert program.stdout is not None
    # Phases are told every half second: one that is over sooner may never be told.
    awaited = {told.encode() + b"\n" for told in PHASES[PHASES.index(phase) :]}
    while (line := await program.stdout.readline()) not in awaited:
        assert line, "the demo ended by itself"
    before = marked(tmp_path)
    program.send_signal(signal.SIGINT)
    assert await program.wait() == 130
    wait_gone(list(before))
    assert marked(tmp_path).keys() <= {os.getpid()}
    assert not left_directories(tmp_path)


async def test_a_demo_that_is_killed_takes_its_processes_along_and_the_next_tidies_up(tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.interrupted_demo", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert program.stdout is not None
    workers: list[int] = []
    while len(workers) < 2:
        assert await program.stdout.readline(), "the demo ended by itself"
        workers = [pid for pid, command in marked(tmp_path).items() if "demo.relay_worker" in command]
    os.kill(workers[0], signal.SIGSTOP)  # it would never see its input close
    before = marked(tmp_path)
    program.send_signal(signal.SIGKILL)
    assert await program.wait() == -signal.SIGKILL
    wait_gone([pid for pid in before if pid != os.getpid()])
    assert marked(tmp_path).keys() <= {os.getpid()}
    assert len(left_directories(tmp_path)) == 1
    async with WorkerGroup("demo"):
        assert len(left_directories(tmp_path)) == 1  # its own
    assert not left_directories(tmp_path)


async def test_sigterm_ends_a_demo_as_ctrl_c_does(tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "railgun.cli.main", "demo", "--json", "--relays", "3", "--members", "2",
        "--messages", "5", "--committee", "3",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stderr is not None
    while b"starting members" not in (line := await program.stderr.readline()):
        assert line, "the demo ended by itself"
    before = marked(tmp_path)
    program.send_signal(signal.SIGTERM)
    output, _ = await program.communicate()
    assert program.returncode == 130
    assert json.loads(output)["error"]["message"] == "interrupted"
    wait_gone(list(before))
    assert marked(tmp_path).keys() <= {os.getpid()}
    assert not left_directories(tmp_path)


async def test_a_process_that_dies_ends_the_demo_and_its_log_is_named(tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.interrupted_demo", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert program.stdout is not None
    workers: list[int] = []
    while not workers:
        assert await program.stdout.readline(), "the demo ended by itself"
        workers = [pid for pid, command in marked(tmp_path).items() if "demo.member_worker" in command]
    os.kill(workers[0], signal.SIGKILL)
    output = (await program.stdout.read()).decode()
    assert await program.wait() == 2
    error = output.splitlines()[-1]
    assert error.startswith("error: member ")
    assert "ended unexpectedly (SIGKILL); its log: " in error
    assert Path(error.rpartition(" ")[2]).is_relative_to(tmp_path)
    assert marked(tmp_path).keys() <= {os.getpid()}
