"""The gaps in one room's history: what this device lacks comes from other members, and what they lack from it.

Owns: when the newest ids are told, what an answer is made of, what a joiner may have. Must not know: disks, seats.
Parts: `gaps` (what is lacking here), `gap_answers` (what others lack). Spec: docs/spec/messages.md, "Gaps".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from railgun.core.conversation import MESSAGE_ROWS, Message, MessageRow, Received, ReceiveOutcome
from railgun.core.gap_answers import GapAnswers
from railgun.core.gaps import Gaps
from railgun.core.room_notifications import MessagesMissing
from railgun.core.room_port import RoomOutcome, SealRequest
from railgun.core.room_telling import RoomTelling
from railgun.core.roster_doubts import RosterDoubts
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.hashing import keyed_hash, u32
from railgun.errors import MalformedInput, NotMember, UsageError
from railgun.limits import (
    GAPS_HEADS_WAITING_MAX,
    GAPS_TRAIL_IDS,
    HEADS_AGAIN_SECONDS,
    HEADS_FIRST_SECONDS,
    HEADS_SETTLED_SECONDS,
    HEADS_TURN_SECONDS,
    HEADS_TURNS_MAX,
)
from railgun.types import DeviceKey, EnvelopeKind, MessageId, Tag
from railgun.wire.content import (
    ROSTER_DIGEST_START_BYTES,
    BeforeContent,
    Content,
    HeadsContent,
    TrailContent,
    WantContent,
)
from railgun.wire.envelope import smallest_class_for

HEADS_LABEL = "railgun/heads-turn/v1"
JOINED_SECONDS = 10.0
"""So long a device that has just come waits to be told what was before it."""
SERVED_MAX = 32
"""Tags of late by which a return is told from a rotation."""
IDLE_SECONDS = 30.0
"""Between two looks whether there is somebody to speak to, and a way."""
TRAIL_SECONDS = 60.0
"""After something was lacking, what others are told of came before is of interest."""
SPEAKERS_TURNS = 4
"""The first turns are those of devices that spoke in the epoch: others would have to hand out session keys first."""
_EPSILON = 1e-6


@dataclass(slots=True)
class _Heard:
    """What somebody's newest messages were, what must be here before ours are held against them, and when it was."""

    ids: frozenset[MessageId]
    needs: tuple[MessageId, ...]
    at_wall: float


class RoomGaps:
    """Part of a `railgun.core.room.MemberRoom`. ``now``: monotonic seconds, ``wall``: corrected Unix seconds."""

    def __init__(self, telling: RoomTelling, doubts: RosterDoubts) -> None:
        self._telling = telling
        self._own = telling.tools.me.device
        self._doubts = doubts
        self.gaps = Gaps(telling.roster.room, self._own)
        self.answers = GapAnswers(self._own)
        self._tell_at: float | None = None
        self._not_before = 0.0
        self._began = False
        self._noted = telling.conversation.noted
        self._news: int | None = None
        """The first epoch with news that nobody's newest ids have told of yet."""
        self._last_news = 0
        self._served: OrderedDict[Tag, int] = OrderedDict()
        self._lacked_at = -TRAIL_SECONDS
        self._spoken = telling.conversation.said
        self._spoke: int | None = None
        self._ranked: tuple[int, tuple[DeviceKey, ...], int] | None = None
        """The last answer of `_epoch_rank`, and to what."""
        self._devices: frozenset[DeviceKey] | None = None
        self._heard: OrderedDict[DeviceKey, _Heard] = OrderedDict()
        self._told_in_spite: tuple[int, frozenset[MessageId]] | None = None
        """The epoch in which, and the newest ids that, were last told to somebody whose own cannot all be had here."""

    # --- what comes in ------------------------------------------------------------------------

    def received(self, received: Received, now: float, wall: float) -> RoomOutcome:
        """A group envelope was read, or known already."""
        name, message = received.message_id, received.message
        outcome = RoomOutcome()
        if name is not None and received.outcome is not ReceiveOutcome.PARTIAL:
            self.answers.heard(name, now)
            changed = self.gaps.came(name)
            lacking = self._unknown(received.missing)
            if changed or lacking:
                self._lacked_at = now
            if message is not None and lacking and not changed:
                # Whoever knows what we do not may itself lack what we have.
                self._hear(message.author, _Heard(frozenset((name,)), lacking, wall))
            self.gaps.lacks(lacking, now, is_far=changed, at_once=changed)
            if changed or lacking:
                outcome.writes.append(self.gaps.row())
                self._judge(now, wall)
        if message is not None and received.outcome is ReceiveOutcome.NEW:
            outcome.add(self._said(message, now, wall))
        return outcome

    def _said(self, message: Message, now: float, wall: float) -> RoomOutcome:
        author, content, outcome = message.author, message.content, RoomOutcome()
        if self._telling.state(wall).member(author) is None:
            return outcome  # who has left is brought nothing, and tells nothing
        match content:
            case HeadsContent():
                self._heads(author, content, now, wall)
                outcome.writes.append(self.gaps.row())
            case WantContent():
                devices = self._telling.state(wall).devices
                self.gaps.others_want(content.ids, now)
                self.answers.wanted(content.ids, author, devices, min(content.trail, GAPS_TRAIL_IDS), now)
            case TrailContent():
                self.answers.heard_trail(content.after)
                if now - self._lacked_at <= TRAIL_SECONDS:  # else it is for somebody else
                    self.gaps.lacks(reversed(self._unknown(content.ids)), now, at_once=True)
                    outcome.writes.append(self.gaps.row())
            case BeforeContent():
                self.answers.heard_before(content.device, content.ids)
                if content.device == self._own:
                    self.gaps.from_before(self._unknown(content.ids))
                    self.gaps.go_on(now)
                    self._judge(now, wall)
                    outcome.writes.append(self.gaps.row())
            case _:
                pass
        return outcome

    def _heads(self, author: DeviceKey, content: HeadsContent, now: float, wall: float) -> None:
        start = self._telling.start(wall)
        self.gaps.hope(now)
        lacking = self._unknown((*content.ids, *content.leaves))
        self.gaps.lacks(lacking, now, is_far=True)
        self._lacked_at = now if lacking else self._lacked_at
        if self._news is not None and self._news < start:
            self._news = start if self._last_news >= start else None  # this was that epoch's word
        self._hear(author, _Heard(frozenset(content.ids), content.ids, wall))
        if content.roster != self._roster_digest():
            # After entries that are under way, and not all at once: what the first one learns it tells the others.
            self._doubts.arose(now + HEADS_FIRST_SECONDS + self._turn(author, frozenset(content.ids)))
        if (
            self._tell_at is not None
            and self._began
            and frozenset(self._telling.conversation.heads) <= frozenset(content.ids)
        ):
            self._tell_at = None  # it was told
        self._judge(now, wall)

    def _hear(self, author: DeviceKey, heard: _Heard) -> None:
        self._heard[author] = heard
        self._heard.move_to_end(author)
        while len(self._heard) > GAPS_HEADS_WAITING_MAX:
            self._heard.popitem(last=False)

    def _judge(self, now: float, wall: float) -> None:
        """Where somebody's newest ids are here or not to be had, and lack what has been here for a while, tell ours."""
        conversation = self._telling.conversation
        mine = frozenset(conversation.heads)
        for device, heard in list(self._heard.items()):
            lacking = self._unknown(heard.needs)
            if not all(self.gaps.is_given_up(item) for item in lacking):
                continue
            del self._heard[device]
            extra = mine - heard.ids
            if not any(conversation.arrived_at(item) <= heard.at_wall - HEADS_SETTLED_SECONDS for item in extra):
                continue
            if lacking:  # who may not have ours either would answer for ever
                told = self._telling.start(wall), mine
                if told == self._told_in_spite:
                    continue
                self._told_in_spite = told
            self._tell_by(now + self._turn(device, mine))

    def _unknown(self, ids: Sequence[MessageId]) -> tuple[MessageId, ...]:
        return tuple(item for item in dict.fromkeys(ids) if not self._telling.conversation.knows(item))

    def _turn(self, salt: bytes, ids: frozenset[MessageId]) -> float:
        """Those who know the same tell it one after another, if at all."""
        drawn = keyed_hash(None, HEADS_LABEL, salt + b"".join(sorted(ids)) + self._own)
        return HEADS_TURN_SECONDS * (0.25 + drawn[0] / 64)

    def _tell_by(self, at: float) -> None:
        at = max(at, self._not_before)
        self._tell_at = at if self._tell_at is None else min(self._tell_at, at)

    def served(self, keys: EpochKeys, now: float, wall: float) -> None:
        """A seat takes this device on under a tag that had none."""
        network, start = self._telling.tools.network, keys.start
        if keys.tag in self._served:
            returned = True  # all seats were gone meanwhile
        elif any(start == other for other in self._served.values()):
            returned = False  # another generation's
        else:
            last = max(self._served.values(), default=start)
            returned = start > last + network.epoch_seconds or wall > start + 1.5 * network.overlap_seconds
        if returned and self._began and self._telling.conversation.heads:
            turn = self._turn(bytes(keys.tag), frozenset(self._telling.conversation.heads))
            self._tell_by(now + HEADS_FIRST_SECONDS + turn)
        self._served[keys.tag] = start
        while len(self._served) > SERVED_MAX:
            self._served.popitem(last=False)

    # --- deadlines ----------------------------------------------------------------------------

    def next_due(self, now: float, wall: float) -> float | None:
        """Monotonic second at which `due` has something to do."""
        conversation, state = self._telling.conversation, self._telling.state(wall)
        if state.member(self._own) is None:
            return None
        if not self._began:
            self._began = True
            if conversation.heads:
                self._tell_at = now + HEADS_FIRST_SECONDS
            else:
                self.gaps.wait_until(now + JOINED_SECONDS)
        self._notice(state.device_set, now, wall)
        found = [at for at in (self.gaps.next_at(now), self.answers.next_at(), self._tell_at) if at is not None]
        if self._news is not None:
            found.append(now + self._epoch_word_at(self._news, wall) - wall)
        return min(found, default=None)

    def _notice(self, devices: frozenset[DeviceKey], now: float, wall: float) -> None:
        """Who has come, and what was said, since the last look."""
        conversation, start = self._telling.conversation, self._telling.start(wall)
        if self._devices is not None and devices != self._devices:
            for device in sorted(devices - self._devices):
                self.answers.joined(device, sorted(devices), now)
        self._devices = devices
        if conversation.noted != self._noted:
            self._noted = conversation.noted
            self._last_news = start
            self._news = start if self._news is None else self._news
        if conversation.said != self._spoken:
            self._spoken, self._spoke = conversation.said, start

    def _epoch_word_at(self, start: int, wall: float) -> float:
        """Unix second at which this device tells of the news of the epoch that started at ``start``, unless another
        has: after its tail, in an order that differs by epoch."""
        network = self._telling.tools.network
        rank = self._epoch_rank(start, self._telling.state(wall).devices)
        if self._spoke is None or self._spoke < start:
            rank += SPEAKERS_TURNS
        else:
            rank %= SPEAKERS_TURNS
        turn = min(HEADS_TURN_SECONDS, network.epoch_seconds / 30)
        return start + network.epoch_seconds + network.overlap_seconds + turn * min(rank, HEADS_TURNS_MAX)

    def _epoch_rank(self, start: int, devices: tuple[DeviceKey, ...]) -> int:
        """This device's place, from 0, in an order of ``devices`` that differs by epoch. Asked for at each look."""
        if self._ranked is None or self._ranked[:2] != (start, devices):

            def place(device: DeviceKey) -> bytes:
                return keyed_hash(None, HEADS_LABEL, u32(start) + device)

            mine = place(self._own)
            self._ranked = start, devices, sum(1 for device in devices if place(device) < mine)
        return self._ranked[2]

    def due(self, now: float, wall: float) -> RoomOutcome:
        """Ask, answer, tell."""
        outcome, state = RoomOutcome(), self._telling.state(wall)
        if state.member(self._own) is None:
            return outcome
        if self._telling.sending(state, wall) is None:  # nothing can be said just now
            self._news, later = None, now + IDLE_SECONDS
            self._tell_at = None if self._tell_at is None else max(self._tell_at, later)
            self.gaps.wait_until(later)
            self.answers.postpone(later)
        elif len(state.devices) > 1:
            self._tell(outcome, now, wall)
            self._ask(outcome, now, wall)
            self._answer(outcome, now, wall)
        else:
            self._tell_at = self._news = None
            self.gaps.wait_until(now + IDLE_SECONDS)
            self.answers.clear()
        return outcome

    def _tell(self, outcome: RoomOutcome, now: float, wall: float) -> None:
        conversation, start = self._telling.conversation, self._telling.start(wall)
        is_word = self._news is not None and self._epoch_word_at(self._news, wall) <= wall + _EPSILON
        if not is_word and (self._tell_at is None or self._tell_at > now + _EPSILON):
            return
        if is_word:
            self._news = start if self._last_news >= start else None
        self._tell_at = None
        self._not_before = now + HEADS_AGAIN_SECONDS
        if conversation.heads:
            self._say(outcome, HeadsContent(conversation.heads, conversation.leaves, self._roster_digest()), wall)

    def _roster_digest(self) -> bytes:
        return self._telling.roster.digest()[:ROSTER_DIGEST_START_BYTES]

    def _ask(self, outcome: RoomOutcome, now: float, wall: float) -> None:
        at = self.gaps.next_at(now)
        if at is None or at > now + _EPSILON:
            return
        want, given_up = self.gaps.due(now)
        if want is not None:
            self._say(outcome, want, wall)
        if given_up:
            outcome.notifications.append(MessagesMissing(self._telling.roster.room, given_up))
            outcome.writes.append(self.gaps.row())
            self._judge(now, wall)

    def _say(self, outcome: RoomOutcome, content: Content, wall: float) -> None:
        try:
            said = self._telling.send(content, 0, wall)
        except (NotMember, UsageError):
            return
        said.notifications.clear()  # the application asked for none of this
        outcome.add(said)

    # --- answering ----------------------------------------------------------------------------

    def _answer(self, outcome: RoomOutcome, now: float, wall: float) -> None:
        before: dict[DeviceKey, list[MessageId]] = {}
        added: dict[DeviceKey, int | None] = {}
        for item, asker in self.answers.due(now):
            if not self.answers.is_free(now):
                break
            self.answers.take(item)
            row = self._row(item)
            if row is None or row.hint is None or self.answers.has_cost_too_much(asker, now):
                continue
            if asker not in added:
                added[asker] = self._telling.roster.added_at(asker)
            if self._was_before(row, added[asker]):
                before.setdefault(asker, []).append(item)
                continue
            self.answers.spend(asker, sum(map(len, row.megolm)), now)
            self.answers.heard(item, now)
            outcome.requests += [
                SealRequest(EnvelopeKind.GROUP, row.hint, body, smallest_class_for(len(body))) for body in row.megolm
            ]
        for joiner in self.answers.joiners_due(now):
            before.setdefault(joiner, []).extend(self._newest_before(self._telling.roster.added_at(joiner)))
        for asker, ids in before.items():
            if ids:
                self._say(outcome, BeforeContent(asker, tuple(ids[:GAPS_TRAIL_IDS])), wall)
        for asker, wanted, count in self.answers.trails_due(now):
            self._trail(outcome, asker, wanted[0], count, wall)

    def _row(self, item: MessageId) -> MessageRow | None:
        archive = self._telling.tools.archive
        data = None if archive is None else archive.find(self._telling.roster.room, item)
        try:
            return None if data is None else MESSAGE_ROWS.decode(data)
        except MalformedInput:
            return None

    @staticmethod
    def _was_before(row: MessageRow, added: int | None) -> bool:
        return added is None or row.received < added

    def _newest_before(self, added: int | None) -> list[MessageId]:
        archive = self._telling.tools.archive
        if archive is None or added is None:
            return []
        ids = archive.newest(self._telling.roster.room, 2 * GAPS_TRAIL_IDS)
        rows = ((item, self._row(item)) for item in ids)
        return [item for item, row in rows if row is not None and self._was_before(row, added)][:GAPS_TRAIL_IDS]

    def _trail(self, outcome: RoomOutcome, asker: DeviceKey, after: MessageId, count: int, wall: float) -> None:
        archive, added = self._telling.tools.archive, self._telling.roster.added_at(asker)
        if archive is None or added is None:
            return
        ids = archive.newest(self._telling.roster.room, count, after)
        while ids and ((row := self._row(ids[-1])) is None or self._was_before(row, added)):
            ids = ids[: len(ids) // 2]  # they came in the order of their times: halve until none is too old
        if ids:
            self._say(outcome, TrailContent(after, tuple(ids)), wall)
