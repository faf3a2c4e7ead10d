"""Two network namespaces, joined by a cable that can be cut.

Owns: making them, running programs inside, cutting and healing. Must not know: what runs there.

Each namespace is held by a process that ends when this one does, so that nothing is left behind however this
program dies: a namespace is gone with its last process. The cut is a rule of nftables in both.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from types import TracebackType
from typing import Final

from railgun.errors import UsageError

HOSTS: Final = ("10.77.0.1", "10.77.0.2")
"""The address of each half, on the cable."""
TOOLS: Final = ("unshare", "nsenter", "ip", "nft")
READY_SECONDS: Final = 10.0
_TABLE: Final = "railgun_cut"


class Halves:
    """Two halves of a network. An async context manager."""

    def __init__(self) -> None:
        self._holders: list[asyncio.subprocess.Process] = []
        self._is_cut = False

    @staticmethod
    def check() -> None:
        """Raises UsageError where namespaces cannot be made here; the text says what to do."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            raise UsageError(f"--partition needs {', '.join(missing)}: run `make setup`")
        if os.geteuid() != 0:
            raise UsageError("--partition cuts network namespaces by nftables, which takes root: run it with sudo")

    def command(self, half: int) -> tuple[str, ...]:
        """What to put before a program's command line so that it runs in ``half`` (0 or 1)."""
        return ("nsenter", f"--net=/proc/{self._holders[half].pid}/ns/net", "--")

    async def cut(self) -> None:
        """Let nothing pass from one half to the other any more."""
        for half, other in ((0, HOSTS[1]), (1, HOSTS[0])):
            rules = (
                f"table inet {_TABLE} {{\n"
                f"chain arriving {{\n type filter hook input priority 0\n ip saddr {other} drop\n}}\n"
                f"chain leaving {{\n type filter hook output priority 0\n ip daddr {other} drop\n}}\n"
                "}\n"
            )
            await self._run(half, "nft", rules)
        self._is_cut = True

    async def heal(self) -> None:
        """Join them again. Harmless when they are."""
        if self._is_cut:
            self._is_cut = False
            for half in (0, 1):
                await self._run(half, "nft", f"delete table inet {_TABLE}")

    async def __aenter__(self) -> Halves:
        self.check()
        try:
            for _ in HOSTS:
                self._holders.append(await _hold_namespace())
            far = str(self._holders[1].pid)
            await self._run(0, "ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", far)
            for half, host in enumerate(HOSTS):
                await self._run(half, "ip", "address", "add", f"{host}/24", "dev", "cable")
                await self._run(half, "ip", "link", "set", "cable", "up")
                await self._run(half, "ip", "link", "set", "lo", "up")
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        for holder in self._holders:
            if holder.stdin is not None:
                holder.stdin.close()
        await asyncio.gather(*(holder.wait() for holder in self._holders))

    async def _run(self, half: int, *command: str) -> None:
        program = await asyncio.create_subprocess_exec(
            *self.command(half), *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, told = await program.communicate()
        if program.returncode:
            reason = told.decode(errors="replace").strip() or f"status {program.returncode}"
            raise UsageError(f"cannot make or cut network namespaces here ({' '.join(command[:3])}: {reason})")


async def _hold_namespace() -> asyncio.subprocess.Process:
    """A process in a network namespace of its own, which ends when its input closes."""
    holder = await asyncio.create_subprocess_exec(
        "unshare",
        "--net",
        "sh",
        "-c",
        "echo ready; exec cat",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    if holder.stdout is None or holder.stderr is None:
        raise RuntimeError("the process was started with pipes")
    async with asyncio.timeout(READY_SECONDS):
        line = await holder.stdout.readline()
    if line != b"ready\n":
        told = (await holder.stderr.read()).decode(errors="replace").strip()
        raise UsageError(f"cannot make a network namespace here: {told}")
    return holder
