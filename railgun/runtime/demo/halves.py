"""Two network namespaces, joined by a cable that can be cut.

Owns: making them, running programs inside, cutting and healing. Must not know: what runs there.

Each namespace is held by a process that ends when this one does, so that nothing is left behind however this
program dies: a namespace is gone with its last process. The cut is a rule of nftables in both. Who is not root becomes
it in a user namespace around both, where the system lets people make those.
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
SEARCH_PATH: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
"""People's own paths often lack where the system's tools are."""
_TABLE: Final = "railgun_cut"


class Halves:
    """Two halves of a network. An async context manager."""

    def __init__(self) -> None:
        self._holders: list[asyncio.subprocess.Process] = []
        self._is_cut = False
        self._is_root = os.geteuid() == 0

    @staticmethod
    def check() -> None:
        """Raises UsageError where tools are missing that this takes; the text says what to do."""
        missing = [tool for tool in TOOLS if shutil.which(tool, path=SEARCH_PATH) is None]
        if missing:
            raise UsageError(f"--partition needs {', '.join(missing)}: run `make setup`")

    def command(self, half: int) -> tuple[str, ...]:
        """What to put before a program's command line so that it runs in ``half`` (0 or 1)."""
        holder = f"/proc/{self._holders[half].pid}/ns"
        net = f"--net={holder}/net"
        # Credentials stay as they are: in the user namespace they already mean root.
        as_root = () if self._is_root else ("--preserve-credentials", f"--user={holder}/user")
        return (_tool("nsenter"), *as_root, net, "--")

    def _unshare(self) -> tuple[str, ...]:
        """What begins the command line of a process in a network namespace of its own."""
        if self._is_root:
            return (_tool("unshare"), "--net")
        if not self._holders:
            return (_tool("unshare"), "--user", "--map-root-user", "--net")
        user = f"--user=/proc/{self._holders[0].pid}/ns/user"
        return (_tool("nsenter"), "--preserve-credentials", user, "--", _tool("unshare"), "--net")

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
                self._holders.append(await self._hold())
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

    async def _hold(self) -> asyncio.subprocess.Process:
        """A process in a network namespace of its own, which ends when its input closes."""
        holder = await asyncio.create_subprocess_exec(
            *self._unshare(),
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
            await holder.wait()
            advice = "" if self._is_root else "; as root it can: run it with sudo"
            raise UsageError(f"--partition cannot make a network namespace here ({told}){advice}")
        return holder

    async def _end(self) -> None:
        for holder in self._holders:
            if holder.stdin is not None:
                holder.stdin.close()
        await asyncio.gather(*(holder.wait() for holder in self._holders))

    async def _run(self, half: int, *command: str) -> None:
        program = await asyncio.create_subprocess_exec(
            *self.command(half),
            _tool(command[0]),
            *command[1:],
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await program.communicate()
        if program.returncode:
            reason = told.decode(errors="replace").strip() or f"status {program.returncode}"
            raise UsageError(f"cannot make or cut network namespaces here ({' '.join(command[:3])}: {reason})")


def _tool(name: str) -> str:
    return shutil.which(name, path=SEARCH_PATH) or name
