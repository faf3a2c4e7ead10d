"""The demo's network: its processes, from the first relay to a room in which all are.

Owns: starting, joining, knowing when everything is up, each process's account so far.
Must not know: what is said, how totals are made, how anything is shown.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from railgun.errors import RailGunError
from railgun.runtime.demo.evidence import SUFFIX, Record
from railgun.runtime.demo.halves import HOSTS, Halves
from railgun.runtime.demo.options import BOOTSTRAPS, DemoOptions
from railgun.runtime.workers import Message, Worker, WorkerFailed, WorkerGroup

PACKAGE: Final = "railgun.runtime.demo"
ROOM_NAME: Final = "demo"
READY_SECONDS: Final = 90.0
ANSWER_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 60.0
"""How long, beyond two epochs, the network may take to agree before the demo gives up."""
RELAY_MODULE: Final = "relay_worker"
MEMBER_MODULE: Final = "member_worker"
LOOPBACK: Final = "127.0.0.1"
HALVES: Final = len(HOSTS)


class DemoFailed(RailGunError):
    """The demo's network did not come up."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a process is started, and started again."""

    module: str
    index: int
    half: int
    bootstrap: tuple[str, ...]


class Process:
    """One process of the demo, through all its lives, and what it has told."""

    def __init__(self, name: str, start: Start, worker: Worker, ready: Message) -> None:
        self.name = name
        self.start = start
        self.worker = worker
        self.ready = ready
        self.account: list[Record] = []
        self.state: Message = {}
        self.is_up = True
        """False from when the demo ends it until it is up again: its end is then no failure."""
        self.begun_with: Message | None = None
        """The order to begin, to give it again in its next life."""
        self._answers: dict[str, asyncio.Queue[Message]] = {}

    @property
    def node(self) -> str | None:
        """A relay's node key, hexadecimal; None for members."""
        return self.ready.get("node")

    def live_again(self, worker: Worker, ready: Message) -> None:
        """A new process took the place of the one before."""
        self.worker, self.ready, self.state, self.is_up = worker, ready, {}, True

    def begin(self, **fields: Any) -> None:
        """Order it to begin, and remember how."""
        self.begun_with = fields
        self.worker.tell("begin", **fields)

    def kill(self) -> None:
        """SIGKILL."""
        self.is_up = False
        self.worker.kill()

    async def leave(self) -> None:
        """SIGTERM, and until it is gone."""
        self.is_up = False
        await self.worker.stop()

    async def listen(self, changed: Callable[[Process, Message], None]) -> None:
        """Take in messages until the worker ends, which raises WorkerFailed."""
        while True:
            message = await self.worker.receive()
            match message["kind"]:
                case "record":
                    self.account.append(message["record"])
                case "state":
                    self.state = message
                case kind:
                    self._queue(kind).put_nowait(message)
            changed(self, message)

    async def ask(self, order: str, answer: str, /, **fields: Any) -> Message:
        """Give an order and wait for its answer. Raises WorkerFailed when it takes too long."""
        self.worker.tell(order, **fields)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._queue(answer).get()
        except TimeoutError as error:
            raise WorkerFailed(f"{self.name} did not {order} in time; its log: {self.worker.log_path}") from error

    def _queue(self, kind: str) -> asyncio.Queue[Message]:
        return self._answers.setdefault(kind, asyncio.Queue())


class DemoNetwork:
    """Relays and members. `start` brings it up; the group that it was given ends it."""

    def __init__(
        self,
        group: WorkerGroup,
        options: DemoOptions,
        evidence: Path | None,
        changed: Callable[[Process, Message], None],
        halves: Halves | None = None,
    ) -> None:
        """``changed`` is told of every message of every process. With ``halves`` every second relay and member runs in
        the other one."""
        self.phase = "starting relays"
        """What it is doing while it comes up, for people."""
        self.relays: list[Process] = []
        self.members: list[Process] = []
        self._group = group
        self._options = options
        self._evidence = evidence
        self._changed = changed
        self._halves = halves
        self._listening: dict[asyncio.Task[None], tuple[Process, Worker]] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all_relays_at = 0.0
        self._last_index = options.relays
        self._news = asyncio.Event()

    @property
    def processes(self) -> list[Process]:
        """Relays in their start order, then members."""
        return [*self.relays, *self.members]

    @property
    def up(self) -> list[Process]:
        """Those that run, as far as the demo's own doing goes."""
        return [process for process in self.processes if process.is_up]

    async def until_failure(self) -> None:
        """Raises WorkerFailed as soon as a process ends unasked."""
        await asyncio.shield(self._failed)

    async def aclose(self) -> None:
        """Stop listening; what the processes do from now on is no failure."""
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        self._failed.cancel()

    # --- coming up ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything, let everyone join, and wait until all agree.

        Raises:
            WorkerFailed: a process did not start, or ended.
            DemoFailed: the network did not agree in time; the text says what was missing.
        """
        options = self._options
        first = await self._start_relay(1, [])
        self.relays = [first]
        bootstrap = [first.ready["contact"]]
        indices = range(2, options.relays + 1)
        self.relays += await asyncio.gather(*(self._start_relay(index, bootstrap) for index in indices))
        self._all_relays_at = time.time()
        self.phase = "starting members"
        contacts = [relay.ready["contact"] for relay in self.relays[:BOOTSTRAPS]]
        indices = range(1, options.members + 1)
        self.members = list(await asyncio.gather(*(self._start_member(index, contacts) for index in indices)))
        self.phase = "joining the room"
        creator, *others = self.members
        made = await creator.ask(
            "create",
            "invited",
            name=ROOM_NAME,
            committee=options.committee,
            cover=options.cover,
            uses=max(1, len(others)),
        )
        await asyncio.gather(*(member.ask("join", "joined", link=made["link"]) for member in others))
        self.phase = "settling"
        await self._agree()

    async def invite(self, uses: int) -> str:
        """A fresh link into the room."""
        answer = await self.members[0].ask("invite", "invited", uses=uses)
        return str(answer["link"])

    async def add_relay(self) -> Process:
        """One relay more, which knows those that run by the first of them."""
        known = [str(relay.ready["contact"]) for relay in self.relays if relay.is_up][:1]
        self._last_index += 1  # before the start, for others may be starting
        relay = await self._start_relay(self._last_index, known)
        self.relays.append(relay)
        relay.begin()
        return relay

    async def start_again(self, process: Process) -> None:
        """Bring back a process that the demo ended, with what it had kept. Raises WorkerFailed."""
        worker, ready = await self._launch(process.name, process.start, process.ready.get("port", 0))
        process.live_again(worker, ready)
        self._listen(process)
        if process.start.module == MEMBER_MODULE:
            await process.ask("enter", "joined")
        if process.begun_with is not None:
            process.begin(**_still_to_do(process))

    async def _start_relay(self, index: int, bootstrap: list[str]) -> Process:
        return await self._start(f"relay {index}", RELAY_MODULE, index, bootstrap)

    async def _start_member(self, index: int, bootstrap: list[str]) -> Process:
        return await self._start(f"member {index}", MEMBER_MODULE, index, bootstrap)

    async def _start(self, name: str, module: str, index: int, bootstrap: list[str]) -> Process:
        start = Start(module, index, index % HALVES, tuple(bootstrap))
        worker, ready = await self._launch(name, start, 0)
        process = Process(name, start, worker, ready)
        self._listen(process)
        return process

    async def _launch(self, name: str, start: Start, port: int) -> tuple[Worker, Message]:
        file_name = name.replace(" ", "-")
        evidence = None if self._evidence is None else str(self._evidence / f"{file_name}{SUFFIX}")
        return await self._group.start(
            name,
            f"{PACKAGE}.{start.module}",
            READY_SECONDS,
            inside=() if self._halves is None else self._halves.command(start.half),
            name=name,
            index=start.index,
            host=LOOPBACK if self._halves is None else HOSTS[start.half],
            port=port,
            profile=str(self._group.directory / f"profile-{file_name}"),
            bootstrap=start.bootstrap,
            evidence=evidence,
            samples=self._options.faults.churn_seconds is not None,
            network=dataclasses.asdict(self._options.network()),
        )

    def _listen(self, process: Process) -> None:
        task = asyncio.get_running_loop().create_task(process.listen(self._told))
        self._listening[task] = (process, process.worker)
        task.add_done_callback(self._ended)

    def _told(self, process: Process, message: Message) -> None:
        if message["kind"] == "state":
            self._news.set()
        self._changed(process, message)

    def _ended(self, task: asyncio.Task[None]) -> None:
        process, worker = self._listening.pop(task)
        if task.cancelled():
            return
        error = task.exception()
        was_ended = not process.is_up or process.worker is not worker
        if error is not None and not was_ended and not self._failed.done():
            self._failed.set_exception(error)

    # --- agreeing -------------------------------------------------------------------------------

    async def _agree(self) -> None:
        deadline = SETTLE_SECONDS + 2 * self._options.epoch_seconds
        try:
            async with asyncio.timeout(deadline):
                while self.missing() is not None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            raise DemoFailed(f"the network did not come up within {deadline:g} s: {self.missing()}") from error

    def missing(self) -> str | None:
        """What keeps the demo from beginning, for people; None when nothing does."""
        options = self._options
        for member in self.members:
            state = member.state
            if not state:
                return f"{member.name} is not in the room"
            if state["members"] < options.members:
                return f"{member.name} knows {state['members']} of {options.members} members"
            if state["relays_known"] < options.relays:
                return f"{member.name} knows {state['relays_known']} of {options.relays} relays"
            if len(state["seats"]) < options.seats:
                return f"{member.name} knows a committee of {len(state['seats'])}, not {options.seats}"
            if state["attached"] < min(2, options.seats):
                return f"{member.name} is attached to {state['attached']} seats"
            if state["seats"] != self.members[0].state["seats"]:
                return f"{member.name} knows other seats than {self.members[0].name}"
            if state["start"] < self._all_relays_at:
                # What counts for an epoch is known one epoch earlier: only from here on is every relay in it.
                return "the epoch from which on all relays count has not begun"
        return None


def _still_to_do(process: Process) -> Message:
    """The order to begin, without what the process has done in earlier lives."""
    order = dict(process.begun_with or {})
    if "plan" in order:
        done = {record["number"] for record in process.account if record["kind"] == "sent"}
        order["plan"] = [row for row in order["plan"] if row[0] not in done]
    return order
