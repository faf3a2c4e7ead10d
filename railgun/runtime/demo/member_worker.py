"""A worker: one member of the demo, a program on the public API like any other.

Owns: the profile, the room, sending as planned, reading, its account. Must not know: relays, other members.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from railgun.errors import RailGunError
from railgun.limits import HISTORY_PAGE_MAX
from railgun.runtime.api import connect
from railgun.runtime.demo.evidence import MEMBER, Recorder
from railgun.runtime.demo.plan import Planned, number_in
from railgun.runtime.demo.relay_worker import network_of
from railgun.runtime.demo.resources import keep_sampling, take_sample
from railgun.runtime.identity import create_member_profile
from railgun.runtime.system import SystemClock, SystemEntropy
from railgun.runtime.tasks import Supervisor, first_ended, running
from railgun.runtime.worker_main import Orders, main
from railgun.types import SizeClass

if TYPE_CHECKING:
    from railgun.runtime.peer import Peer
    from railgun.runtime.room import Room
    from railgun.runtime.status import RoomStatusView
    from railgun.runtime.workers import Message

STATUS_SECONDS = 0.1
NUMBERS_A_RECORD = 5_000
JOIN_SECONDS = 90.0


class DemoMember:
    """Carries out the demo's orders."""

    def __init__(self, peer: Peer, orders: Orders, recorder: Recorder, tasks: Supervisor) -> None:
        self._peer = peer
        self._orders = orders
        self._recorder = recorder
        self._tasks = tasks
        self._room: Room | None = None
        self._sends = Supervisor()
        tasks.start("sends", self._sends.wait())
        self._state: Message = {}
        self._told_start: int | None = None
        self._attached: list[str] = []
        self._was_restarted = False
        self._samples = False

    def sample(self) -> None:
        """Note now and then what this process holds."""
        self._samples = True
        self._tasks.start("resources", keep_sampling(self._recorder, self._sockets))

    def _sockets(self) -> int:
        return self._peer.shared.links.dialled_count

    async def obey(self) -> None:
        """Until the orders end."""
        async for order in self._orders:
            match order["kind"]:
                case "create":
                    room = await self._peer.create_room(
                        order["name"], committee_size=order["committee"], cover=order["cover"]
                    )
                    self._enter(room)
                    self._orders.tell("invited", link=room.invite(uses=order["uses"]))
                case "enter":
                    self._was_restarted = True
                    self._enter(self._peer.rooms()[0])
                    self._orders.tell("joined")
                case "join":
                    self._enter(await self._peer.join(order["link"], timeout=JOIN_SECONDS))
                    self._orders.tell("joined")
                case "invite":
                    self._orders.tell("invited", link=self._entered.invite(uses=order["uses"]))
                case "begin":
                    self._begin(order)
                case "over":
                    self._look()
                    status = self._status()
                    self._recorder.record("over", epochs_seen=status.epochs_seen, mode=status.mode)
                    self._orders.tell("over")
                case "account":
                    self._take_stock()
                    self._orders.tell("accounted")
                case "end":
                    await self._end()

    @property
    def _entered(self) -> Room:
        if self._room is None:
            raise RuntimeError("in no room yet")
        return self._room

    def _enter(self, room: Room) -> None:
        self._room = room
        self._tasks.start("read", self._read(room))
        self._tasks.start("watch", self._watch())

    def _begin(self, order: Message) -> None:
        self._sends.start("beginning", self._note_beginning(order["at"]))
        planned = [Planned(number, at_seconds, SizeClass(size)) for number, at_seconds, size in order["plan"]]
        self._sends.start("plan", self._say_all(planned, order["at"]))

    async def _say_all(self, planned: list[Planned], begin_at: float) -> None:
        """Each at its time, whether the call before has returned or not."""
        for one in planned:
            await asyncio.sleep(max(0.0, begin_at + one.at_seconds - time.monotonic()))
            self._sends.start(one.number, self._say(one))

    async def _note_beginning(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        self._recorder.record("began", epochs_seen=self._view()["epochs_seen"])

    async def _say(self, planned: Planned) -> None:
        size = planned.size_class.envelope_bytes
        self._recorder.record("sending", number=planned.number, size=size, at=time.monotonic())
        try:
            # Under its number a call that a crash cut off is made again without being said twice.
            receipt = await self._entered.send(planned.text, size_class=planned.size_class, key=planned.number)
        except RailGunError as error:
            self._recorder.record("unsent", number=planned.number, reason=str(error))
            return
        self._recorder.record(
            "sent", number=planned.number, id=receipt.message_id.hex(), receipts=receipt.receipts, of=receipt.of
        )

    async def _read(self, room: Room) -> None:
        async for message in room.messages():
            at = time.monotonic()
            number = number_in(message.text) if message.kind == "text" else None
            if number is not None:
                self._recorder.record("received", number=number, id=message.message_id.hex(), at=at)

    async def _end(self) -> None:
        await self._sends.aclose()
        self._take_stock()
        if self._was_restarted:
            self._tell_stored()
        if self._samples:
            take_sample(self._recorder, self._sockets(), last=True)
        self._orders.tell("ended")

    def _take_stock(self) -> None:
        cover = self._status().cover
        self._recorder.record(
            "ended", cover=cover.mode, decoys_sent=cover.decoys_sent, wait_p95_seconds=cover.wait_p95_seconds
        )

    def _tell_stored(self) -> None:
        """What is in the store: who was killed before it acknowledged a message was handed it twice."""
        counts: Counter[str] = Counter()
        before = None
        while page := self._entered.history(limit=HISTORY_PAGE_MAX, before=before):
            before = page[0].message_id
            numbers = (number_in(message.text) for message in page if message.kind == "text" and not message.is_own)
            counts.update(number for number in numbers if number is not None)
        numbers_found = list(counts.items())
        for at in range(0, max(1, len(numbers_found)), NUMBERS_A_RECORD):
            self._recorder.record("stored", numbers=dict(numbers_found[at : at + NUMBERS_A_RECORD]))

    # --- what the demo waits for ----------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(STATUS_SECONDS)

    def _look(self) -> None:
        """Tell what changed."""
        attached = [seat.hex() for seat in self._status().attached]
        if attached != self._attached:
            self._attached = attached
            self._recorder.record("attached", at=time.monotonic(), nodes=attached)
        state = self._view()
        if state == self._state:
            return
        if state["start"] != self._told_start and state["seats"]:
            self._told_start = state["start"]
            self._recorder.record("epoch", start=state["start"], seats=state["seats"])
        self._state = state
        self._orders.tell("state", **state)

    def _status(self) -> RoomStatusView:
        return next(view for view in self._peer.status().rooms if view.room_id == self._entered.room_id)

    def _view(self) -> dict[str, Any]:
        room = self._status()
        return {
            "relays_known": self._peer.status().relays_known,
            "members": room.members,
            "start": room.epoch_start,
            "epochs_seen": room.epochs_seen,
            "seats": [seat.hex() for seat in room.seats],
            "attached": len(room.attached),
        }


def _profile(start: Message) -> Path:
    """The member's, made in its first life."""
    path = Path(start["profile"])
    if not path.exists():
        create_member_profile(path, SystemEntropy(), SystemClock(), name=start["name"])
    return path


async def work(orders: Orders, start: Message) -> None:
    """Make a profile, go online, and do as ordered."""
    profile = _profile(start)
    tasks = Supervisor()
    async with connect(profile, network=network_of(start), bootstrap=start["bootstrap"]) as peer:
        with Recorder(lambda record: orders.tell("record", record=record), start.get("evidence")) as recorder:
            orders.tell("ready")
            device = peer.status().device_key.hex()
            recorder.record(
                "process", role=MEMBER, index=start["index"], name=start["name"], pid=os.getpid(), device=device
            )
            member = DemoMember(peer, orders, recorder, tasks)
            if start["samples"]:
                member.sample()
            tasks.start("peer", peer.wait())
            try:
                async with running(failing=tasks.wait(), obeying=member.obey()) as both:
                    await first_ended(*both)
            finally:
                await tasks.aclose()


if __name__ == "__main__":
    sys.exit(main(work))
