"""The demo's network: its processes, from the first relay to a room in which all are.

Owns: starting, joining, knowing when everything is up, each process's account so far.
Must not know: what is said, how totals are made, how anything is shown.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from railgun.errors import RailGunError
from railgun.runtime.demo.evidence import SUFFIX, Record
from railgun.runtime.demo.options import DemoOptions
from railgun.runtime.workers import Message, Worker, WorkerFailed, WorkerGroup

PACKAGE: Final = "railgun.runtime.demo"
ROOM_NAME: Final = "demo"
READY_SECONDS: Final = 90.0
ANSWER_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 60.0
"""How long, beyond two epochs, the network may take to agree before the demo gives up."""
BOOTSTRAPS: Final = 2
"""Relays that members start from; all others they find."""


class DemoFailed(RailGunError):
    """The demo's network did not come up."""


class Process:
    """One process of the demo, and what it has told."""

    def __init__(self, name: str, worker: Worker, ready: Message) -> None:
        self.name = name
        self.worker = worker
        self.ready = ready
        self.account: list[Record] = []
        self.state: Message = {}
        self._answers: dict[str, asyncio.Queue[Message]] = {}

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
    ) -> None:
        """``changed`` is told of every message of every process."""
        self.phase = "starting relays"
        """What it is doing while it comes up, for people."""
        self.relays: list[Process] = []
        self.members: list[Process] = []
        self._group = group
        self._options = options
        self._evidence = evidence
        self._changed = changed
        self._listening: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all_relays_at = 0.0
        self._news = asyncio.Event()

    @property
    def processes(self) -> list[Process]:
        """Relays in their start order, then members."""
        return [*self.relays, *self.members]

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

    async def _start_relay(self, index: int, bootstrap: list[str]) -> Process:
        return await self._start(f"relay {index}", "relay_worker", index, bootstrap)

    async def _start_member(self, index: int, bootstrap: list[str]) -> Process:
        profile = str(self._group.directory / f"profile-{index}")
        return await self._start(f"member {index}", "member_worker", index, bootstrap, profile=profile)

    async def _start(self, name: str, module: str, index: int, bootstrap: list[str], /, **fields: Any) -> Process:
        network = self._options.network()
        evidence = None if self._evidence is None else str(self._evidence / f"{name.replace(' ', '-')}{SUFFIX}")
        worker, ready = await self._group.start(
            name,
            f"{PACKAGE}.{module}",
            READY_SECONDS,
            name=name,
            index=index,
            bootstrap=bootstrap,
            evidence=evidence,
            network=dataclasses.asdict(network),
            **fields,
        )
        process = Process(name, worker, ready)
        task = asyncio.get_running_loop().create_task(process.listen(self._told))
        self._listening.add(task)
        task.add_done_callback(self._ended)
        return process

    def _told(self, process: Process, message: Message) -> None:
        if message["kind"] == "state":
            self._news.set()
        self._changed(process, message)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._listening.discard(task)
        if not task.cancelled() and not self._failed.done():
            error = task.exception()
            if error is not None:
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
