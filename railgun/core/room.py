"""A room that this device is a member of: roster, secrets, messages, lobbies behind one `Room`.

Owns: putting the parts together, the deadlines of all of them, letting joiners in.
Must not know: seats, links, disks, the application. Parts: `room_telling` (what goes out), `room_hearing` (what comes
in), `room_files`, `room_prekeys`, `room_upkeep`, `roster`, `generations`, `conversation`, `lobby`.
Spec: docs/spec/rooms.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from railgun.core.answers import Answerer
from railgun.core.catch_up import CatchUp
from railgun.core.conversation import Conversation
from railgun.core.fragments import FragmentAssembly
from railgun.core.generations import Generations
from railgun.core.lobby import Admission, LobbyHost, MadeInvite, make_invite
from railgun.core.room_files import RoomFiles
from railgun.core.room_gaps import RoomGaps
from railgun.core.room_hearing import RoomHearing
from railgun.core.room_keys import cover_plan, member_plans
from railgun.core.room_port import CoverPlan, RoomOutcome, TagPlan
from railgun.core.room_prekeys import PrekeyTelling
from railgun.core.room_refusals import RoomRefusals
from railgun.core.room_telling import RoomTelling, RoomTools
from railgun.core.room_upkeep import GenerationUpkeep
from railgun.core.roster import Roster
from railgun.core.roster_doubts import RosterDoubts
from railgun.core.roster_state import RosterState
from railgun.core.send_keys import SendKeys
from railgun.crypto.epoch import EpochKeys
from railgun.errors import NotMember, UsageError
from railgun.limits import ROSTER_ASK_VOID_TIMES
from railgun.types import DeviceKey, RoomId, SizeClass
from railgun.wire.content import Content
from railgun.wire.envelope import Inner
from railgun.wire.roster import LaterEntry, LeaveEntry, NameEntry, PrekeyRecord, RemoveEntry

__all__ = ["MemberRoom", "RoomTools"]

FORGET_SECONDS = 600.0


class MemberRoom:
    """Implements `railgun.core.room_port.Room` for a member."""

    def __init__(
        self, tools: RoomTools, roster: Roster, generations: Generations, conversation: Conversation | None = None
    ) -> None:
        conversation = conversation or Conversation(roster.room, tools.me, tools.sessions, tools.pickle_key)
        self._telling = RoomTelling(tools, roster, generations, conversation)
        self.roster = roster
        self.generations = generations
        self.conversation = conversation
        self.prekeys = PrekeyTelling(self._telling)
        self._host = LobbyHost(tools.me, tools.sessions)
        self._upkeep = GenerationUpkeep(roster.room, generations, tools.me, tools.sessions, tools.entropy)
        self._catch_up = CatchUp(roster.room, tools.sessions)
        self.files = RoomFiles(self._telling)
        self._doubts = RosterDoubts(tools.me.device)
        self.gaps = RoomGaps(self._telling, self._doubts)
        conversation.archive = tools.archive
        self._void_asks = 0
        self._hearing = RoomHearing(
            self._telling, self.prekeys, self._host, self._upkeep, self._catch_up, self.files, self._doubts, self.gaps
        )
        self._forget_at = 0.0
        self._name_again_at = 0.0

    def use_tools(self, tools: RoomTools) -> None:
        """The same device with other prekeys: after a new one was made, and once an old one's secret is dropped.

        `next_deadlines` then asks for the room to be told, if it has to be.
        """
        self._telling.tools = tools
        self._name_again_at = 0.0
        self.conversation.use_device(tools.me)
        self.conversation.archive = tools.archive
        self._host.use_device(tools.me)
        self._upkeep.use_device(tools.me)

    # --- reading ------------------------------------------------------------------------------

    @property
    def room_id(self) -> RoomId:
        return self.roster.room

    @property
    def tools(self) -> RoomTools:
        return self._telling.tools

    @property
    def fragments(self) -> FragmentAssembly:
        return self._hearing.fragments

    def epoch_start(self, wall: float) -> int:
        """Unix second at which the open epoch started."""
        return self._telling.start(wall)

    def state(self, wall: float) -> RosterState:
        """What the roster says today."""
        return self._telling.state(wall)

    def has_device(self, device: DeviceKey, wall: float) -> bool:
        """See `HasDevices`."""
        return self.state(wall).member(device) is not None

    def tag_plans(self, start: int, wall: float) -> list[TagPlan]:
        """See `Room`."""
        state = self.state(wall)
        if state.member(self.tools.me.device) is None and not state.is_void(self.tools.me.device):
            return []
        return member_plans(state, self.generations, start, wall)

    def sending_keys(self, wall: float) -> EpochKeys | None:
        """See `Room`."""
        sending = self._telling.sending(self.state(wall), wall)
        return None if sending is None else sending[1]

    def cover_plan(self, wall: float) -> CoverPlan | None:
        """See `Room`."""
        return cover_plan(self.state(wall), self.tools.me.device, self._telling.start(wall))

    # --- what the application does ------------------------------------------------------------

    def resume(self, wall: float) -> RoomOutcome:
        """After a start: what had been prepared and not receipted goes out first."""
        return self._telling.resume(wall)

    def invite(self, uses: int, expires: int, wall: float) -> tuple[MadeInvite, RoomOutcome]:
        """Make an invite and tell the room. ``expires``: Unix seconds. Raises NotMember, UsageError."""
        made = make_invite(self.roster, self.tools.me, self.tools.entropy, uses=uses, expires=expires, wall=wall)
        outcome = RoomOutcome(list(made.writes), plan_changed=True)
        outcome.add(self._telling.spread((made.entry.data,), (), self.state(wall), wall))
        return made, outcome

    def remove(self, devices: Sequence[DeviceKey], wall: float) -> RoomOutcome:
        """Remove devices for good, with a new generation that they never get.

        Raises:
            NotMember: this device may not.
            UsageError: one of them is no member.
        """
        before = self.state(wall)
        if not set(devices) <= set(before.devices):
            raise UsageError("only members can be removed")
        made = self.generations.make(self.tools.entropy, before, self._telling.start(wall), devices)
        targets = tuple(self.roster.removal_of(device) for device in devices)

        def entry(number: int, previous: bytes) -> LaterEntry:
            return RemoveEntry(self.room_id, self.tools.me.device, number, previous, int(wall), targets, made.named)

        return self._telling.renew(entry, made, before, wall)

    def leave(self, wall: float) -> RoomOutcome:
        """Tell the room that this device is out. The caller erases what is here."""
        return self.file(
            lambda number, previous: LeaveEntry(self.room_id, self.tools.me.device, number, previous, int(wall)), wall
        )

    def send(
        self,
        content: Content,
        token: int,
        wall: float,
        size_class: SizeClass | None = None,
        key: bytes | None = None,
    ) -> RoomOutcome:
        """Say something (see `RoomTelling.send`). Raises NotMember, UsageError, ValueError."""
        return self._telling.send(content, token, wall, size_class, key)

    @property
    def send_keys(self) -> SendKeys:
        """Which sends an application can repeat."""
        return self._telling.send_keys

    def file(
        self, make_entry: Callable[[int, bytes], LaterEntry], wall: float, prekeys: tuple[PrekeyRecord, ...] = ()
    ) -> RoomOutcome:
        """File an entry of ours and tell the room (see `RoomTelling.file`). Raises NotMember, UsageError."""
        return self._telling.file(make_entry, wall, prekeys)

    # --- what seats bring ---------------------------------------------------------------------

    def envelope_opened(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        """See `Room`."""
        return self._hearing.envelope_opened(plan, inner, now, wall)

    @property
    def refused(self) -> RoomRefusals:
        """What was refused of the others since this machine was made."""
        return self._hearing.refused

    def served(self, keys: EpochKeys, now: float, wall: float) -> None:
        """See `Room`."""
        self.gaps.served(keys, now, wall)

    def receipts_grew(
        self, reference: bytes, receipts: int, of: int, *, majority: bool, complete: bool, now: float
    ) -> RoomOutcome:
        """See `Room`."""
        return self._telling.receipts_grew(reference, receipts, of, majority=majority, complete=complete)

    def seal_again(self, reference: bytes, wall: float) -> RoomOutcome:
        """See `Room`."""
        return self._telling.seal_again(reference, wall)

    # --- deadlines ----------------------------------------------------------------------------

    def next_deadlines(self, now: float, wall: float) -> dict[str, float]:
        """See `Room`."""
        state = self.state(wall)
        found = self._upkeep.deadlines(state, self._telling.start(wall), now)
        self._doubts.stragglers.named(len(state.generations), now)
        for name, at in (
            ("keys", self.conversation.next_key_request_at()),
            ("lobby", self._host.next_due()),
            ("files", self.files.next_due()),
            ("gaps", self.gaps.next_due(now, wall)),
            ("name", self._name_due_at(state, now, wall)),
            ("stragglers", self._doubts.stragglers.next_due()),
        ):
            if at is not None:
                found[name] = at
        found["forget"] = max(self._forget_at, now)
        if state.is_void(self.tools.me.device) and not self._void_asks:
            self._doubts.arose(now)
        found["roster-ask"] = self._doubts.next_at(now)
        answer_at = self._catch_up.next_due()
        if answer_at is not None:
            found["roster-answer"] = answer_at
        prekey_at = self.prekeys.due_at(state, now)
        if prekey_at is not None:
            found["prekey"] = prekey_at
        return found

    def due(self, name: str, now: float, wall: float) -> RoomOutcome:
        """See `Room`."""
        state, start = self.state(wall), self._telling.start(wall)
        match name:
            case "keys":
                writes, request, under = self.conversation.key_requests_due(now, wall, self.tools.prekey)
                asked = [] if request is None else self._telling.wherever(request, under, state, wall)
                return RoomOutcome(writes, asked)
            case "lobby":
                return self._admit(
                    self._host.due(self.roster, self.generations, start, self.tools.entropy, now, wall), wall
                )
            case "files" | "name":
                return self.files.due(now, wall) if name == "files" else self._tell_name(now, wall)
            case "gaps":
                return self.gaps.due(now, wall)
            case "forget":
                self._forget_at = now + FORGET_SECONDS
                oldest = start - self.tools.network.epoch_seconds
                writes = [*self.generations.forget(state, oldest), *self.conversation.sessions.forget(state, wall)]
                return RoomOutcome(writes)
            case "roster-ask":
                return self._ask_roster(state, start, now, wall)
            case "roster-answer":
                answerer = Answerer(self.tools.me, self.tools.sessions, self.tools.entropy)
                due = self._catch_up.due(self.roster, self.generations, answerer, start, now, wall)
                return RoomOutcome(requests=due)
            case "stragglers":
                return self._ask_stragglers(state, start, now, wall)
            case "prekey":
                return self.prekeys.tell(now, wall)
            case _:
                return self._generation_due(name, state, start, now, wall)

    def _name_due_at(self, state: RosterState, now: float, wall: float) -> float | None:
        """Now, where the others do not know our name and can be told."""
        own = self.tools.me.device
        if state.member(own) is None or state.name_of(own) == self.tools.name:
            return None
        return max(now, self._name_again_at) if self._telling.sending(state, wall) is not None else None

    def _tell_name(self, now: float, wall: float) -> RoomOutcome:
        self._name_again_at = now + FORGET_SECONDS  # it may not be taken: as many entries as may be
        own, name = self.tools.me.device, self.tools.name
        try:
            return self.file(
                lambda number, previous: NameEntry(self.room_id, own, number, previous, int(wall), name), wall
            )
        except (NotMember, UsageError):
            return RoomOutcome()

    def _generation_due(self, name: str, state: RosterState, start: int, now: float, wall: float) -> RoomOutcome:
        match name:
            case "generation-make":
                return self._make_generation(state, start, wall)
            case "generation-ask":
                return self._ask_generations(state, start, now)
            case "generation-answer":
                requests = self._upkeep.answers_due(state, start, self.roster.prekey, now)
                return RoomOutcome(requests=requests)
        return RoomOutcome()

    def _ask_roster(self, state: RosterState, start: int, now: float, wall: float) -> RoomOutcome:
        self._doubts.asked(now)
        me = self.tools.me
        outcome = RoomOutcome()
        if state.is_void(me.device):
            # The one who let us in was put out before that counted; whether somebody else has, others may know.
            self._void_asks += 1
            if self._void_asks < ROSTER_ASK_VOID_TIMES:
                self._doubts.arose(now)
            else:
                outcome.add(self._telling.out_of_the_room())
        elif state.member(me.device) is None:
            return outcome
        else:
            self._void_asks = 0
        # Under every generation that we know: the others may no longer listen to the one we would send under.
        listening = self.generations.listening(state, start)
        outcome.requests += [self._catch_up.request(self.roster, me, keys, wall) for keys in listening]
        return outcome

    def _ask_stragglers(self, state: RosterState, start: int, now: float, wall: float) -> RoomOutcome:
        due = self._doubts.stragglers.due(now, self.tools.network.epoch_seconds)
        if state.member(self.tools.me.device) is None or self._telling.sending(state, wall) is None:
            return RoomOutcome()
        listening = self.generations.listening(state, start)
        older = [keys for keys in listening if self._telling.is_behind(keys, state, wall)]
        if not due.all_older:
            heard = None if due.heard is None else self._telling.generation_of(due.heard, state)
            older = [keys for keys in older if heard is not None and keys == self.generations.keys(heard, start)]
        return RoomOutcome(requests=[self._catch_up.request(self.roster, self.tools.me, keys, wall) for keys in older])

    def _admit(self, admissions: list[Admission], wall: float) -> RoomOutcome:
        outcome = RoomOutcome()
        for admission in admissions:
            outcome.writes += admission.writes
            if admission.entry is not None:
                prekeys = () if admission.prekey is None else (admission.prekey,)
                state = self.state(wall)
                outcome.add(self._telling.spread((admission.entry.data,), prekeys, state, wall))
                outcome.add(self._telling.roster_changed(state, forked=False))
            outcome.requests += admission.requests
        return outcome

    def _make_generation(self, state: RosterState, start: int, wall: float) -> RoomOutcome:
        if not self._upkeep.may_make(state, start):
            return RoomOutcome()
        made = self.generations.make(self.tools.entropy, state, start)
        return self._telling.renew(self._upkeep.entry_for(made, int(wall)), made, state, wall)

    def _ask_generations(self, state: RosterState, start: int, now: float) -> RoomOutcome:
        request = self._upkeep.ask(state, start, now)
        listening = self.generations.listening(state, start)
        if request is None or not listening:
            return RoomOutcome()
        # The generation to send under may be the very one that is missing: ask under any that we hold.
        return RoomOutcome(requests=[replace(request, keys=listening[0])])
