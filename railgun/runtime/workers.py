"""Other processes of ours: started, spoken to in JSON lines, and surely ended.

Owns: starting, messages, logs, the end of worker processes. Must not know: what any of them does.
Their side is `railgun.runtime.worker_main`.

A worker has a process group of its own, so that Ctrl-C reaches only the program that the person started; it ends when
told to, and by itself when its standard input closes; and the kernel kills it when that program dies, so that none
outlives it, not even one that is stopped.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

from railgun.errors import RailGunError
from railgun.runtime.scratch import ScratchDirectory

MESSAGE_BYTES_MAX: Final = 1 << 20
STOP_SECONDS: Final = 5.0
"""From asking a worker to end until it is killed."""

Message: TypeAlias = dict[str, Any]


class WorkerFailed(RailGunError):
    """A worker process ended, or said something else than it should; the text names it and its log."""


class Worker:
    """One worker process. Made by `WorkerGroup.start`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    def tell(self, kind: str, /, **fields: Any) -> None:
        """Send a message; lost if the worker is gone, which `receive` reports."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(json.dumps({"kind": kind, **fields}).encode() + b"\n")

    async def receive(self) -> Message:
        """The next message. Raises WorkerFailed when the worker is gone or talks nonsense."""
        stdout = self._process.stdout
        try:
            line = await stdout.readline() if stdout is not None else b""
            message = json.loads(line) if line else None
        except ValueError as error:
            raise WorkerFailed(f"{self.name} said something unintelligible; its log: {self.log_path}") from error
        if message is None:
            status = await self._process.wait()
            raise WorkerFailed(f"{self.name} ended unexpectedly ({_ending(status)}); its log: {self.log_path}")
        if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
            raise WorkerFailed(f"{self.name} said something unintelligible; its log: {self.log_path}")
        if message["kind"] == "failed":
            raise WorkerFailed(f"{self.name}: {message.get('reason')}")
        return message

    async def expect(self, kind: str, timeout_seconds: float) -> Message:
        """The next message, which has to be of this kind. Raises WorkerFailed, also when it takes too long."""
        try:
            async with asyncio.timeout(timeout_seconds):
                message = await self.receive()
        except TimeoutError as error:
            text = f"{self.name} did not answer within {timeout_seconds:g} s; its log: {self.log_path}"
            raise WorkerFailed(text) from error
        if message["kind"] != kind:
            raise WorkerFailed(f"{self.name} said {message['kind']!r} instead of {kind!r}; its log: {self.log_path}")
        return message

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end, and kill it if it does not. Idempotent."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def pause(self) -> None:
        """Stop it where it is (SIGSTOP), until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            try:
                self._process.send_signal(number)
            except ProcessLookupError:
                return  # it ended this moment


class WorkerGroup:
    """Workers that end together: leave the ``async with`` block, in whatever way, and none is left.

    Their logs lie in `directory`, which is deleted unless the block was left by a failure; if this program is killed,
    the next group of the same purpose deletes it.
    """

    def __init__(self, purpose: str, *, at_once: int | None = None) -> None:
        """``at_once``: how many may be starting at a time; by default two a processor."""
        self.directory = Path()
        self.workers: list[Worker] = []
        self._purpose = purpose
        self._starting: set[asyncio.Task[Worker]] = set()
        self._slots = asyncio.Semaphore(at_once or 2 * (os.cpu_count() or 1))

    async def __aenter__(self) -> WorkerGroup:
        self._scratch = ScratchDirectory(f"railgun-{self._purpose}-")
        self.directory = self._scratch.path
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await asyncio.gather(*self._starting, return_exceptions=True)
            await asyncio.gather(*(worker.stop() for worker in self.workers))
        finally:
            for worker in self.workers:
                worker.kill()
        if error is None or isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
            self._scratch.remove()
        else:
            self._scratch.keep()

    async def start(
        self, name: str, module: str, ready_seconds: float, /, *, inside: Sequence[str] = (), **fields: Any
    ) -> tuple[Worker, Message]:
        """Start ``python -m module``, hand it ``fields``, and wait for its first message, of kind ``ready``.

        ``inside`` is a command that runs the command line which follows it, and becomes it (``nsenter ... --``). A name
        that was used before goes on in the same log.

        Raises:
            WorkerFailed: it did not get ready.
        """
        async with self._slots:
            # A start that is cancelled half-way would leave a process that nobody knows.
            task = asyncio.get_running_loop().create_task(self._spawn(name, module, inside))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
            worker = await asyncio.shield(task)
            worker.tell("start", **fields)
            return worker, await worker.expect("ready", ready_seconds)

    async def _spawn(self, name: str, module: str, inside: Sequence[str]) -> Worker:
        log_path = self.directory / f"{name.replace(' ', '-')}.log"
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *inside,
                sys.executable,
                "-m",
                module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=MESSAGE_BYTES_MAX,
                start_new_session=True,
            )
        worker = Worker(name, process, log_path)
        self.workers.append(worker)
        return worker


def _ending(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
