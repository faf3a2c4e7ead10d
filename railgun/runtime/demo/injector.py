"""Plants a demo's faults in its running processes.

Owns: who is hit, signals, what comes back and when, the account of it. Must not know: what follows from them, how
they are scheduled, how anything is shown.

The account's records, besides the first (role ``faults``)::

    fault      fault, number, at, processes, nodes: it begins
    (a partition's has `halves` too: the names and nodes on either side)
    mended     fault, number, at, processes, nodes: the same processes run, or hear each other, again

``processes`` are names; ``nodes`` the node keys of the relays among them, as the members' accounts name seats.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, Final

from railgun.runtime.demo.evidence import FAULTS, Recorder
from railgun.runtime.demo.faults import (
    PAUSE_SECONDS,
    RESTART_AFTER_SECONDS,
    ROLLING_GAP_SECONDS,
    FaultKind,
    FaultOptions,
    PlannedFault,
)
from railgun.runtime.demo.halves import Halves
from railgun.runtime.demo.network import HALVES, DemoNetwork, Process

RELAYS_STAY: Final = 3
"""The first relays stay through all churn: as in real networks a few live long while many come and go, those that
start again know somebody, and what grows slowly can be seen in them."""


class Injector:
    """Carries out a schedule; `run` ends when the last fault is over."""

    def __init__(self, network: DemoNetwork, options: FaultOptions, halves: Halves | None, recorder: Recorder) -> None:
        self._network = network
        self._options = options
        self._halves = halves
        self._recorder = recorder
        self._relays_at_first = len(network.relays)
        recorder.record("process", role=FAULTS, index=0, name="faults", pid=os.getpid())

    async def run(self, begin_at: float, duration_seconds: float) -> None:
        """Plant every fault at its time; ``begin_at`` is the monotonic second of the beginning."""
        try:
            async with asyncio.TaskGroup() as group:
                for planned in self._options.schedule(duration_seconds):
                    await asyncio.sleep(max(0.0, begin_at + planned.at_seconds - time.monotonic()))
                    group.create_task(self._act(planned))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _act(self, planned: PlannedFault) -> None:
        match planned.kind:
            case FaultKind.KILL:
                await self._kill(planned, self._seated()[:1])
            case FaultKind.KILL_COMMITTEE:
                await self._kill(planned, self._seated())
            case FaultKind.RESTART:
                await self._restart(planned)
            case FaultKind.PAUSE:
                await self._pause(planned)
            case FaultKind.PARTITION:
                await self._partition(planned)
            case FaultKind.ROLLING_RESTART:
                await self._rolling_restart(planned)
            case FaultKind.CHURN:
                await self._churn(planned)

    # --- who ------------------------------------------------------------------------------------

    def _seated(self) -> list[Process]:
        """The relays that run and hold a seat, as the members see it, in the order of the seats."""
        by_node = {relay.node: relay for relay in self._network.relays if relay.is_up}
        views = (member.state for member in self._network.members if member.is_up and member.state)
        seats: list[str] = next((view["seats"] for view in views), [])
        found = [by_node[seat] for seat in seats if seat in by_node]
        return found or [relay for relay in self._network.relays if relay.is_up]

    def _in_turn(self, number: int) -> Process:
        """Relays that hold a seat, and members, by turns."""
        if number % 2:
            members = [member for member in self._network.members if member.is_up]
            return members[number // 2 % len(members)]
        seated = self._seated()
        return seated[number // 2 % len(seated)]

    # --- what -----------------------------------------------------------------------------------

    async def _kill(self, planned: PlannedFault, victims: Sequence[Process]) -> None:
        await self._take_stock(victims)
        self._note("fault", planned, victims)
        for victim in victims:
            victim.kill()

    async def _restart(self, planned: PlannedFault) -> None:
        victim = self._in_turn(planned.number)
        await self._kill(planned, [victim])
        await asyncio.sleep(RESTART_AFTER_SECONDS)
        await self._network.start_again(victim)
        self._note("mended", planned, [victim])

    async def _pause(self, planned: PlannedFault) -> None:
        victim = self._in_turn(planned.number)
        self._note("fault", planned, [victim])
        victim.worker.pause()
        try:
            await asyncio.sleep(PAUSE_SECONDS)
        finally:
            victim.worker.resume()
        self._note("mended", planned, [victim])

    async def _partition(self, planned: PlannedFault) -> None:
        if self._halves is None:
            raise RuntimeError("a partition was planned without halves")
        everyone = self._network.processes
        sides = [[process for process in everyone if process.start.half == half] for half in range(HALVES)]
        halves = [
            [process.name for process in side] + [process.node for process in side if process.node] for side in sides
        ]
        await self._halves.cut()
        self._note("fault", planned, everyone, halves=halves)
        try:
            await asyncio.sleep(self._options.partition_seconds)
        finally:
            await self._halves.heal()
        self._note("mended", planned, everyone)

    async def _rolling_restart(self, planned: PlannedFault) -> None:
        for relay in [relay for relay in self._network.relays if relay.is_up]:
            await self._take_stock([relay])
            self._note("fault", planned, [relay])
            await relay.leave()
            await self._network.start_again(relay)
            self._note("mended", planned, [relay])
            await asyncio.sleep(ROLLING_GAP_SECONDS)

    async def _churn(self, planned: PlannedFault) -> None:
        # One comes, then one goes, as long as there are more than in the beginning: whatever else went wrong, and
        # however long a start takes, churn alone never makes the network smaller than it was.
        up = [relay for relay in self._network.relays if relay.is_up]
        if planned.number % 2 and len(up) > self._relays_at_first:
            leaver = next((relay for relay in up if relay.start.index > RELAYS_STAY), None)
            if leaver is not None:
                leaver.is_up = False  # from here on nobody else picks it, and its end is no failure
                await self._take_stock([leaver])
                self._note("fault", planned, [leaver])
                await leaver.leave()
                return
        if planned.number % 2 == 0:
            self._note("fault", planned, [])
            joined = await self._network.add_relay()
            self._note("mended", planned, [joined])

    async def _take_stock(self, victims: Sequence[Process]) -> None:
        """A relay's counts go with it: have it write them down first."""
        await asyncio.gather(*(victim.ask("account", "accounted") for victim in victims if victim.node is not None))

    def _note(self, kind: str, planned: PlannedFault, processes: Sequence[Process], **more: Any) -> None:
        self._recorder.record(
            kind,
            fault=planned.kind.value,
            number=planned.number,
            at=time.monotonic(),
            processes=[process.name for process in processes],
            nodes=[process.node for process in processes if process.node is not None],
            **more,
        )
