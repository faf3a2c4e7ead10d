"""What must hold when a run of `crash_scenario` is over, and what is still to come before it is.

Owns: the promises. Must not know: where the subject died, how anything travels.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from railgun.core.conversation import read_message
from railgun.core.incoming_files import IncomingState, part_key
from railgun.core.room import MemberRoom
from railgun.types import MessageId, RoomId
from railgun.wire.content import TextContent
from railgun.wire.file_content import units_of

if TYPE_CHECKING:
    from tests.support.crash_scenario import CrashRun

LAST_WORDS = 1_000
"""Numbers from here on are said when all else is through: keys go on working."""


class Judge:
    """Looks at one run."""

    def __init__(self, run: CrashRun) -> None:
        self._run = run
        self.found: list[str] = []
        """What is broken."""

    def staying(self) -> list[str]:
        return [name for name in self._run.scenario.members if name not in self._run.scenario.removed]

    def _said(self) -> dict[int, str]:
        """Number to who said it, of those who stay."""
        said = {step.number: step.who for step in self._run.scenario.steps if step.what == "say"}
        said |= {LAST_WORDS + index: name for index, name in enumerate(self.staying())}
        return {number: who for number, who in said.items() if number in self._run.views}

    def lacking(self) -> list[str]:
        """What is still to come, in words."""
        found = [
            f"{app.name} is not through with {step.what} {step.number or ''}"
            for app in self._run.apps.values()
            for step in app.wants.values()
            if app.name not in self._run.scenario.removed
        ]
        if self._run.world.nodes[self._run.subject].machine is None:
            found.append("the subject is down")
        for name in self.staying():
            life = self._run.apps[name].life
            if life is not None and life.room is not None and len(life.room.conversation.outbox):
                found.append(f"{name} has something in its outbox")
        taken = self._run.apps
        found += [
            f"{name} lacks {number} of {who}"
            for number, who in self._said().items()
            for name in self._owed(number, who)
            if not taken[name].taken[f"{number} "]
        ]
        found += self._files_lacking()
        if not found and len(set(map(repr, self._rosters().values()))) > 1:
            found.append("rosters differ")  # who lacks an entry hears of it with the next heads
        return found

    def _rosters(self) -> dict[str, list[bytes]]:
        rooms = {name: None if (life := self._run.apps[name].life) is None else life.room for name in self.staying()}
        return {name: sorted(room.roster.export()) for name, room in rooms.items() if room is not None}

    def _owed(self, number: int, who: str) -> list[str]:
        if who in self._run.scenario.removed:
            return []
        return sorted(self._run.views[number] - self._run.scenario.removed - {who})

    def _files_lacking(self) -> list[str]:
        if not any(step.what == "offer" for step in self._run.scenario.steps):
            return []
        offerer = next(step.who for step in self._run.scenario.steps if step.what == "offer")
        found = []
        for name in self.staying():
            life = self._run.apps[name].life
            if name == offerer or life is None or life.room is None:
                continue
            files = life.room.files.incoming.all()
            if not any(file.state is IncomingState.WHOLE for file in files):
                found.append(f"{name} lacks the file")
        return found

    def all(self) -> None:
        rosters, said = {}, self._said()
        for name in self.staying():
            life = self._run.apps[name].life
            if life is None or life.room is None:
                self.found.append(f"{name} is in no room")
                continue
            state = life.room.state(self._run.wall(life))
            rosters[name] = (sorted(life.room.roster.export()), sorted(state.devices))
            if state.forks:
                self.found.append(f"{name} sees a roster forked by {len(state.forks)} authors")
            self._judge_store(name, life.room.room_id, said)
            self._judge_files(name, life.room)
        if any(roster != next(iter(rosters.values())) for roster in rosters.values()):
            self.found.append(f"rosters differ: { {name: len(found[1]) for name, found in rosters.items()} }")

    def _judge_store(self, name: str, room_id: RoomId, said: dict[int, str]) -> None:
        """Exactly once is counted in the member's store."""
        stored: Counter[str] = Counter()
        for key, value in self._run.store_of(name).load("messages", room_id):
            message = read_message(MessageId(key[len(room_id) :]), value)
            if isinstance(message.content, TextContent):
                stored[message.content.text.strip("x")] += 1
        for text, count in stored.items():
            if count > 1:
                self.found.append(f"{name} has {text!r} {count} times in its store")
        for text, count in self._run.apps[name].taken.items():
            if count > 1:
                self.found.append(f"{name} was told {text!r} {count} times")
        for number, who in said.items():
            if name in (who, *self._owed(number, who)) and not stored[f"{number} "]:
                self.found.append(f"{name} lacks {number} of {who} in its store")

    def _judge_files(self, name: str, room: MemberRoom) -> None:
        files = room.files.incoming.all()
        if len(files) > 1:
            self.found.append(f"{name} was offered one file {len(files)} times")
        for file in files:
            if file.state is not IncomingState.WHOLE:
                continue
            data, unit, store = b"", 0, self._run.store_of(name)
            while unit < file.held.count:
                piece = store.get("files", part_key(room.room_id, file.file, unit)) or b""
                data += piece
                unit += max(1, units_of(len(piece)))
            if data != self._run.file:
                self.found.append(f"{name} has another file than was offered")
