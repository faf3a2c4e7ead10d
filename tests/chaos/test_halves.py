"""Two halves of a network: made by root and by anybody else, cut, healed, and gone without a trace."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from railgun.errors import UsageError
from railgun.runtime.demo.halves import HOSTS, SEARCH_PATH, Halves

pytestmark = [pytest.mark.processes]
ROOT = Path(__file__).resolve().parents[2]
KNOCK = f"""
import socket, sys
try:
    socket.create_connection(({HOSTS[0]!r}, 9), timeout=float(sys.argv[1])).close()
except ConnectionRefusedError:
    print("heard")  # nobody listens there, which its host says
except TimeoutError:
    print("silence")
"""


@pytest.fixture(params=["root", "somebody"])
def who(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the halves: root has its way as anybody else too."""
    assert os.geteuid() == 0, "network namespaces take root, as CI has it"
    if request.param == "somebody":
        monkeypatch.setattr(os, "geteuid", lambda: 1000)


def namespaces() -> set[str]:
    """Of all processes, as the kernel names them."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue  # the process ended meanwhile
    return found


def children(pid: int) -> list[int]:
    """Its children's process ids."""
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


async def knock(halves: Halves, seconds: float) -> str:
    """What comes back from the first half to a program in the second."""
    program = await asyncio.create_subprocess_exec(
        *halves.command(1), sys.executable, "-c", KNOCK, str(seconds), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await program.communicate()
    return told.decode().strip()


@pytest.mark.usefixtures("who")
async def test_halves_hear_each_other_unless_cut_and_leave_nothing_behind() -> None:
    before = namespaces()
    async with Halves() as halves:
        assert len(namespaces() - before) >= 2
        assert await knock(halves, 10) == "heard"
        await halves.cut()
        assert await knock(halves, 0.3) == "silence"
        await halves.heal()
        await halves.heal()
        assert await knock(halves, 10) == "heard"
    assert not namespaces() - before


CUT_AND_WAIT = """
import asyncio
from railgun.runtime.demo.halves import Halves

async def main():
    async with Halves() as halves:
        await halves.cut()
        print("cut", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_a_cut_network_is_gone_however_the_program_ends_that_made_it(number: signal.Signals) -> None:
    before = namespaces()
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CUT_AND_WAIT, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert program.stdout is not None
    assert await program.stdout.readline() == b"cut\n"
    assert len(namespaces() - before) >= 2
    holders = [os.pidfd_open(pid) for pid in children(program.pid)]
    program.send_signal(number)
    await program.wait()
    for holder in holders:
        poll = select.poll()
        poll.register(holder, select.POLLIN)
        assert await asyncio.to_thread(poll.poll, 10_000)
        os.close(holder)
    assert not namespaces() - before


async def test_halves_that_cannot_be_made_say_why_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where people may make no user namespaces, root is what helps."""
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr("railgun.runtime.demo.halves.SEARCH_PATH", f"{tmp_path}{os.pathsep}{SEARCH_PATH}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match=r"unshare failed: Operation not permitted.*sudo"):
        async with Halves():
            pytest.fail("there are none")


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.runtime.demo.halves.SEARCH_PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"--partition needs unshare, nsenter, ip, nft: run `make setup`"):
        Halves.check()
