"""People in a room, of whom one dies at a chosen point and comes back with what its disk has: real relays, clients and
rooms in virtual time, the subject's disk a real SQLite file, its application a real reader of the store.

Owns: who does what when, what an application does again after a crash, what must hold in the end. Must not know: where
the subject dies (`railgun.sim.crash_points`).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from railgun.core.assembly import build_relay
from railgun.core.effects import Effect, Notification, Persist, SendFrame
from railgun.core.generations import Generations, first_generation
from railgun.core.joining import JoiningRoom
from railgun.core.outgoing_files import OutgoingState
from railgun.core.room import MemberRoom
from railgun.core.room_notifications import FileChanged, MessagePrepared, MessageReceipted, MessageReceived
from railgun.core.room_port import RoomOutcome
from railgun.core.room_rows import RoomRow, RoomStatus, room_write
from railgun.core.roster import create_roster
from railgun.core.roster_state import RosterState
from railgun.crypto.network_ids import network_id
from railgun.crypto.sealing import open_parsed
from railgun.crypto.signing import PUBLIC_KEY_BYTES, signing_key_of
from railgun.errors import NotMember, UsageError
from railgun.ports import Store
from railgun.runtime.display_names import RoomNames
from railgun.runtime.room_mail import MessageReader, RoomMail
from railgun.sim.crash_points import Crashed, CrashingWorld, CrashPlan
from railgun.sim.network_model import NetworkModel
from railgun.sim.virtual_node import Node, Persisted
from railgun.types import Address, EnvelopeKind, MessageId, NodeKey, PeerKey, RelayContact
from railgun.wire.content import FileOfferContent, TextContent
from railgun.wire.envelope import parse_envelope
from railgun.wire.file_content import FILE_UNIT_BYTES, FilePartContent
from railgun.wire.frames import Publish
from railgun.wire.invites import Invite, format_invite
from railgun.wire.pairwise import PAIRWISE_BODIES
from railgun.wire.roster import CreateEntry, RoomSettings
from tests.support.crash_devices import DeviceStory
from tests.support.crash_judging import LAST_WORDS, Judge
from tests.support.crash_members import (
    AGAIN_SECONDS,
    DOWN_SECONDS,
    FILE_BYTES,
    FILE_NAME,
    INVITE_SECONDS,
    LIMIT_SECONDS,
    RELAYS,
    SOON_SECONDS,
    UNITS_A_PIECE,
    App,
    Disk,
    Life,
    RecordingSessions,
    Scenario,
    Step,
)
from tests.support.joining_world import Person, make_person, root_of
from tests.support.plain_rooms import SeededEntropy
from tests.support.virtual_rooms import MemoryStore


class CrashRun:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, subject: str, plan: CrashPlan, directory: Path | None = None) -> None:
        self.scenario = scenario
        self.subject = subject
        self.plan = plan
        self._judge = Judge(self)
        self.violations = self._judge.found
        self.link: Invite | None = None
        self.views: dict[int, frozenset[str]] = {}
        self.ids: dict[int, MessageId] = {}
        self.lives: dict[str, list[Life]] = defaultdict(list)
        self.apps = {name: App(self, name) for name in scenario.members}
        self.left: dict[bytes, bytes] = {}
        self.file = random.Random("file").randbytes(FILE_BYTES)
        self.world = _CrashWorld(
            self,
            scenario.seed,
            subject,
            plan,
            self._died,
            NetworkModel(delay_min_seconds=0.005, delay_max_seconds=0.030),
            on_notification=self._notified,
        )
        self.world.keep_notifications = False
        self.contacts = tuple(_contact(scenario.seed, index) for index in range(RELAYS))
        self.people: dict[str, Person] = {}
        for name in scenario.members:
            person = make_person(name, scenario.seed, scenario.network)
            sessions = RecordingSessions(_seed_of("sessions", scenario.seed, name))
            tools = replace(person.tools, sessions=sessions, name=name)
            self.people[name] = replace(person, tools=tools)
        linked = next((step for step in scenario.steps if step.what == "link" and step.whom), None)
        root = None if linked is None else root_of(linked.who, scenario.seed)
        self.devices = None if linked is None or root is None else DeviceStory(self, linked.who, linked.whom, root)
        self.device_names = {person.tools.me.device: name for name, person in self.people.items()}
        self.disk = None if directory is None else Disk(directory, SeededEntropy(b"nonces of the disk"))
        self._runner = asyncio.Runner()

    # --- who is there ---------------------------------------------------------------------------

    def _start(self) -> None:
        for index, contact in enumerate(self.contacts):
            seed = _seed_of("relay", self.scenario.seed, index)
            entropy = SeededEntropy(seed)
            self.world.add_node(
                f"relay-{index}",
                PeerKey(contact.node_key),
                True,
                lambda _, seed=seed, contact=contact, entropy=entropy: build_relay(  # type: ignore[misc]
                    seed=seed,
                    contact=contact,
                    network=self.scenario.network,
                    bootstrap=self.contacts[:2],
                    entropy=entropy,
                    chooser=random.Random(seed),
                ),
            )
        for name in self.scenario.members:
            key = signing_key_of(_seed_of("link", self.scenario.seed, name))[-PUBLIC_KEY_BYTES:]
            self.world.add_node(name, PeerKey(key), False, self._factory(name))
        for number, step in enumerate(self.scenario.steps):
            self.world.act(step.at, lambda number=number, step=step: self._begin(number, step))  # type: ignore[misc]
        for absence in self.scenario.away:
            self.world.act(absence.at, lambda name=absence.who: self._leaves(name))  # type: ignore[misc]
            if absence.until is not None:
                self.world.act(absence.until, lambda name=absence.who: self._back(name))  # type: ignore[misc]
        for fault in self.scenario.faults:
            self.world.act(fault.at_seconds, lambda fault=fault: fault.apply(self.world))  # type: ignore[misc]

    def _factory(self, name: str) -> Callable[[Persisted], Life]:
        def make(persisted: Persisted) -> Life:
            life = Life(self, self.people[name], self.store_of(name))
            self.lives[name].append(life)
            return life

        return make

    def store_of(self, name: str) -> Store:
        """Its disk, as of now."""
        if name == self.subject and self.disk is not None:
            return self.disk.store
        store = MemoryStore()
        if name in self.world.nodes:
            store.tables.update({table: dict(rows) for table, rows in self.world.nodes[name].persisted.items()})
        return store

    def _died(self) -> None:
        if self.disk is not None and self.subject in self.apps:
            self.disk.killed()
        self.world.act(self.world.now + DOWN_SECONDS, lambda: self._back(self.subject))

    def _leaves(self, name: str) -> None:
        self.world.crash(name)
        if self.disk is not None and name == self.subject:
            self.disk.killed()

    def _back(self, name: str) -> None:
        self.world.restart(name)
        if name in self.apps:
            app = self.apps[name]
            app.died()
            self._offer_again(app)
            self.world.act(self.world.now + SOON_SECONDS, lambda: self.world.application(lambda: self._read(app)))
            for number in list(app.wants):
                self.later(number, app, SOON_SECONDS)

    # --- what its application does --------------------------------------------------------------

    def _begin(self, number: int, step: Step) -> None:
        app = self.apps[step.who]
        app.wants[number] = step
        self._try(number, app)

    def later(self, number: int, app: App, seconds: float = AGAIN_SECONDS) -> None:
        life = len(self.lives[app.name])

        def again() -> None:
            if number in app.wants and life == len(self.lives[app.name]):
                self._try(number, app)

        self.world.act(self.world.now + seconds, again)

    def _try(self, number: int, app: App) -> None:
        life = app.life
        if life is None:
            return  # its next life takes it up
        step = app.wants[number]
        self.world.application(lambda: getattr(self, f"_{step.what}")(number, step, app, life))

    def do(self, app: App, act: Callable[[float], Sequence[Effect]]) -> None:
        """A call of the application that ends once its effects are carried out. Raises Crashed."""
        self.world.carry_out(app.name, act(self.world.now))

    def apply(self, app: App, life: Life, room: Any, outcome: RoomOutcome) -> None:
        self.do(app, lambda now: life.client.apply(room, outcome, now))

    def sure(self, number: int, app: App) -> None:
        app.wants.pop(number, None)

    def wall(self, life: Life) -> float:
        return life.client.wall(self.world.now)

    def _create(self, number: int, step: Step, app: App, life: Life) -> None:
        if life.room is None:
            tools, me = life.tools, life.tools.me
            wall = int(self.wall(life))
            made = first_generation(tools.entropy, wall)
            settings = RoomSettings(committee_size=RELAYS, cover=self.scenario.cover)
            certificate = self.people[app.name].certificate
            nonce = tools.entropy.random_bytes(16)
            creation = CreateEntry(me.device, wall, certificate, "room", nonce, settings, made.named)
            roster, writes = create_roster(me.seed, creation)
            generations = Generations(roster.room)
            row = room_write(roster.room, RoomRow(RoomStatus.MEMBER, wall, ""))
            outcome = RoomOutcome([*writes, *generations.adopt(made), row])
            room = MemberRoom(tools, roster, generations)
            self.do(app, lambda now: [*life.client.add_room(room, now), *life.client.apply(room, outcome, now)])
        self.sure(number, app)

    def _invite(self, number: int, step: Step, app: App, life: Life) -> None:
        room = life.room
        if room is None:
            self.later(number, app)
            return
        wall = self.wall(life)
        made, outcome = room.invite(len(self.scenario.members), int(wall) + INVITE_SECONDS, wall)
        self.apply(app, life, room, outcome)
        self.link = Invite(network_id(self.scenario.network), room.room_id, made.seed, self.contacts[:1])
        self.sure(number, app)

    def _join(self, number: int, step: Step, app: App, life: Life) -> None:
        if life.room is not None:
            self.sure(number, app)
            return
        if self.link is not None and not life.client.rooms:
            link = self.link
            room = JoiningRoom(life.tools, link, self.people[app.name].certificate)
            row = room_write(link.room, RoomRow(RoomStatus.JOINING, int(self.wall(life)), format_invite(link)))
            self.do(
                app,
                lambda now: [
                    *life.client.add_room(room, now),
                    *life.client.apply(room, RoomOutcome([row]), now),
                ],
            )
        self.later(number, app)

    def _link(self, number: int, step: Step, app: App, life: Life) -> None:
        if self.devices is not None:
            self.devices.step(number, app, life)

    def _say(self, number: int, step: Step, app: App, life: Life) -> None:
        room = life.room
        if room is None or (step.number < LAST_WORDS and not self._are_all_in(room, life)):
            self.later(number, app)
            return
        text = f"{step.number} ".ljust(step.text_bytes, "x")
        app.owes.pop(step.number, None)
        try:
            outcome = room.send(TextContent(text), step.number, self.wall(life), step.size, str(step.number).encode())
        except (NotMember, UsageError):
            if app.name in self.scenario.removed:
                self.sure(number, app)
            return
        self.apply(app, life, room, outcome)

    def _are_all_in(self, room: MemberRoom, life: Life) -> bool:
        """Everybody has come, or was here and is out."""
        state = room.state(self.wall(life))
        return len(set(state.devices) | set(state.removed)) >= len(self.scenario.members)

    def _remove(self, number: int, step: Step, app: App, life: Life) -> None:
        room = life.room
        if room is None or not self._are_all_in(room, life):
            self.later(number, app)
            return
        device = self.people[step.whom].tools.me.device
        if device in room.state(self.wall(life)).devices:
            self.apply(app, life, room, room.remove([device], self.wall(life)))
        self.sure(number, app)

    def _offer(self, number: int, step: Step, app: App, life: Life) -> None:
        """As `railgun.runtime.peer_files`: offered, then piece after piece; what the disk says goes on."""
        room = life.room
        if room is None or not self._are_all_in(room, life):
            self.later(number, app)
            return
        if not any(file.name == FILE_NAME for file in room.files.outgoing.all()):
            content = FileOfferContent(
                FILE_NAME, "image/png", FILE_BYTES, hashlib.blake2b(self.file, digest_size=32).digest()
            )
            _, outcome = room.files.offer(content, b"/picture.png", 1, 0, self.wall(life))
            self.apply(app, life, room, outcome)
        outgoing = room.files.outgoing.all()[0]
        if app.piece is None and outgoing.state is OutgoingState.LEAVING:
            piece = room.files.outgoing.next_piece(outgoing, UNITS_A_PIECE)
            if piece is not None:
                first = piece.first * FILE_UNIT_BYTES
                data = self.file[first : first + piece.count * FILE_UNIT_BYTES]
                token = LAST_WORDS * LAST_WORDS + piece.first
                app.piece = (outgoing.file, piece)
                part = FilePartContent(outgoing.file, piece.first, data)
                self.apply(app, life, room, room.send(part, token, self.wall(life)))
        if outgoing.state is OutgoingState.SENT:
            self.sure(number, app)
        else:
            self.later(number, app, 0.1)

    def _offer_again(self, app: App) -> None:
        """Whoever lacks pieces has asked for them, or a life ended before they had all left."""
        for number, step in enumerate(self.scenario.steps):
            if step.what == "offer" and step.who == app.name and number not in app.wants and step.at < self.world.now:
                app.wants[number] = step
                self.later(number, app, SOON_SECONDS)

    def _piece_went(self, app: App) -> None:
        life = app.life
        if life is None or life.room is None or app.piece is None:
            return
        file, piece = app.piece
        outgoing = life.room.files.outgoing.get(MessageId(file))
        app.piece = None
        if outgoing is not None and outgoing.state is OutgoingState.LEAVING:
            writes = life.room.files.outgoing.piece_left(outgoing, piece)
            self.apply(app, life, life.room, RoomOutcome(writes))

    # --- what machines tell ---------------------------------------------------------------------

    def _notified(self, name: str, now: float, notification: Notification) -> None:
        app, life = self.apps.get(name), len(self.lives[name])
        if app is None:
            return
        if self.devices is not None:
            self.devices.notified(app, notification, lambda act: self._soon(app, life, act))
        match notification:
            case MessageReceived(_, message) if isinstance(message.content, TextContent):
                if name == self.subject and self.disk is not None:
                    self._soon(app, life, lambda: self._read(app))
                else:
                    app.taken[message.content.text.strip("x")] += 1
            case MessagePrepared(_, token, message_id, parts):
                self.ids[token] = message_id
                app.owes[token] = set(parts)
                if app.life is not None and app.life.room is not None:
                    devices = app.life.room.state(self.wall(app.life)).devices
                    view = frozenset(self.device_names[device] for device in devices)
                    self.views[token] = self.views.get(token, view) & view
            case FileChanged():
                self._offer_again(app)
            case MessageReceipted(_, part, _, _, majority, _) if majority:
                self._receipted(app, life, part)

    def _soon(self, app: App, life: int, act: Callable[[], None]) -> None:
        """The application hears of it in a turn of its own, if it is still the same."""

        def then() -> None:
            if life == len(self.lives[app.name]) and app.life is not None:
                self.world.application(act)

        self.world.act(self.world.now, then)

    def _receipted(self, app: App, life: int, part: MessageId) -> None:
        for token, parts in list(app.owes.items()):
            if part in parts:
                parts.discard(part)
                if parts:
                    continue
                del app.owes[token]
                if token >= LAST_WORDS * LAST_WORDS:
                    self._soon(app, life, lambda: self._piece_went(app))
                for number, step in list(app.wants.items()):
                    if step.what == "say" and step.number == token:
                        self.sure(number, app)

    def _read(self, app: App) -> None:
        """The application's own loop: `async for message in room.messages()`, as far as there is anything."""
        life = app.life
        if life is None or life.room is None or self.disk is None or app.name != self.subject:
            return
        if app.reader is None:
            app.mail = self._mail(life)
            app.reader = MessageReader(app.mail)
        while True:
            message = self._runner.run(_next(app.reader))
            if message is None:
                return
            text = message.text.strip("x")
            if app.taken[text]:
                self.violations.append(f"{app.name} was given {text!r} again, which it had acknowledged")
            app.shown[text] += 1
            app.last_shown.append(text)
            self.world.pass_point(f"after the application was given {text!r}")

    def _mail(self, life: Life) -> RoomMail:
        assert self.disk is not None
        assert life.room is not None
        app, room, log = self.apps[self.subject], life.room, self.disk.store.message_log

        def state() -> RosterState | None:
            return room.state(self.wall(life))

        names = RoomNames(state, life.tools.me.device, lambda: "")
        mail = RoomMail(room.room_id, log, life.tools.me.device, names)
        acknowledge = mail.acknowledge

        def counted(message_ids: list[MessageId]) -> None:
            self.world.pass_point("before acknowledging")
            acknowledge(message_ids)
            app.taken.update(app.last_shown)
            app.last_shown = []
            self.world.pass_point("after acknowledging")

        mail.acknowledge = counted  # type: ignore[method-assign]
        return mail

    # --- the run --------------------------------------------------------------------------------

    def go(self) -> list[str]:
        """Carry the scenario out; returns what was broken, as text."""
        with closing(self):
            self._start()
            self._run_until_rest(self.scenario.ends_at)
            if not self.violations:
                self._last_words()
            self._judge.all()
        return self.violations

    def live_until(self, second: float) -> None:
        """Carry the scenario out up to this virtual second, in place of `go`; `close` afterwards."""
        self._start()
        self.world.run(second)

    def close(self) -> None:
        """Release the disk and the reader's loop."""
        self._runner.close()
        if self.disk is not None:
            self.disk.close()

    def _run_until_rest(self, at_least: float) -> None:
        self.world.run(max(at_least, self.world.now))
        end = self.world.now + LIMIT_SECONDS
        while (lacking := self._judge.lacking()) and self.world.now < end:
            self.world.run(self.world.now + 0.25)
        if lacking:
            self.violations.append(f"not at rest at {self.world.now:.0f} s: {'; '.join(lacking[:6])}")

    def _last_words(self) -> None:
        for index, name in enumerate(self._judge.staying()):
            step = Step(self.world.now, name, "say", LAST_WORDS + index)
            self._begin(LAST_WORDS + index, step)
        self._run_until_rest(self.world.now + 0.25)

    def check_leaving(self, life: Life, sessions: RecordingSessions, envelope: bytes) -> None:
        """No state of a ratchet makes two things that leave."""
        parsed = parse_envelope(envelope)
        client = life.client.tags.get(parsed.tag)
        if client is None:
            return
        inner = open_parsed(client.keys, parsed)
        leaving: list[bytes] = []
        if inner.kind is EnvelopeKind.GROUP:
            leaving = [inner.body]
        elif inner.kind is EnvelopeKind.PAIRWISE:
            items = PAIRWISE_BODIES.decode(inner.body).items
            leaving = [sessions.wrapped[item.message] if item.first else item.message for item in items]
        for message in leaving:
            state = sessions.state_of.get(message)
            if state is not None and self.left.setdefault(state, message) != message:
                self.violations.append("a ratchet's index was used for two things that left")


class _CrashWorld(CrashingWorld):
    """Commits of the subject go to its SQLite file; what leaves is looked at."""

    def __init__(self, run: CrashRun, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._run = run

    def carry_out(self, name: str, effects: Sequence[Effect]) -> None:
        """What an application's call wants. Raises Crashed."""
        node = self.nodes[name]
        node.turn += effects
        life = node.life
        self._end_turn(node)
        if not life.open:
            raise Crashed

    def _commit(self, node: Node, effects: Sequence[Effect]) -> bool:
        disk = self._run.disk
        if node.name == self.subject and disk is not None and not node.is_relay:
            writes = [write for effect in effects if isinstance(effect, Persist) for write in effect.writes]
            disk.store.commit(writes)
        return super()._commit(node, effects)

    def _send_frame(self, node: Node, effect: SendFrame) -> None:
        if isinstance(node.machine, Life) and isinstance(effect.frame, Publish):
            sessions = self._run.people[node.name].tools.sessions
            if isinstance(sessions, RecordingSessions):
                self._run.check_leaving(node.machine, sessions, effect.frame.envelope)
        super()._send_frame(node, effect)


def _seed_of(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()


def _contact(seed: int, index: int) -> RelayContact:
    secret = _seed_of("relay", seed, index)
    key = NodeKey(signing_key_of(secret)[-PUBLIC_KEY_BYTES:])
    return RelayContact(key, (Address(f"10.0.{index}.1", 9000),), hashlib.sha256(secret).digest())


async def _next(reader: MessageReader) -> Any:
    """The next message, or None where none is there."""
    try:
        async with asyncio.timeout(0):
            return await anext(reader)
    except TimeoutError:
        return None
    except StopAsyncIteration:
        return None


def scratch_directory() -> tempfile.TemporaryDirectory[str]:
    """Where flushing costs nothing, if there is such a place."""
    memory = Path("/dev/shm")  # a directory of one's own is made in it
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
