"""Bugs to plant, so that the checkers can be seen to find them.

Owns: each bug's name and how a machine is altered to have it. Must not know: seeds, what finds it.

The product has no switch for any of them: they are planted into single objects from outside, which is why this module
reaches into parts that are nobody else's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from railgun.core.client import ClientMachine
from railgun.core.conversation import ReceiveOutcome
from railgun.core.effects import Disconnect, Effect, Effects, Persist
from railgun.core.events import Event, FrameReceived, PeerDisconnected
from railgun.core.group_sessions import OUTBOUND
from railgun.core.persistence import Write
from railgun.core.relay import RelayMachine
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome, TagPlan
from railgun.core.roster import Roster
from railgun.core.tag_client import TagClient
from railgun.errors import RefusalCode
from railgun.types import PeerKey
from railgun.wire.frames import SeatDown

Outgoing = Callable[[Sequence[Effect]], Sequence[Effect]]
"""What becomes of a member's effects, one life long."""


class Break:
    """One bug; this one is none."""

    is_healed_by_members = False
    """Members bring each other what it loses: they are kept from it, or nobody would notice."""

    def plant_in_member(self, client: ClientMachine, room: MemberRoom) -> None:
        """Plant it into a member's new machine, and take away what would heal it."""
        self.alter_member(client, room)
        if self.is_healed_by_members:
            _plant(room.gaps, "received", lambda received, now, wall: RoomOutcome())
            _plant(room.gaps, "next_due", _nothing)

    def alter_relay(self, relay: RelayMachine) -> None:
        """Plant it into an honest relay's new machine."""

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        """Plant it into a member's new machine."""

    def outgoing(self) -> Outgoing | None:
        """Plant it between a member's machine and its shell."""
        return None


def _plant(where: object, method: str, bug: Callable[..., Any]) -> None:
    """Let one object do something else by that name."""
    setattr(where, method, bug)


def _nothing(*arguments: Any, **named: Any) -> None:
    """In place of something that should be done."""


def _empty_list(*arguments: Any, **named: Any) -> list[Any]:
    """In place of something that should be found."""
    return []


class _TagBreak(Break):
    """A bug of what a member does at one tag."""

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        plan = client.tags.plan
        seen: set[bytes] = set()

        def plan_broken(*arguments: Any) -> None:
            plan(*arguments)
            for tag in client.tags.of_room(room.room_id):
                if tag.tag not in seen:
                    seen.add(tag.tag)
                    self.alter_tag(client, tag)

        _plant(client.tags, "plan", plan_broken)

    def alter_tag(self, client: ClientMachine, tag: TagClient) -> None:
        """Plant it into a tag that was opened just now."""


class _NoDedupe(_TagBreak):
    def alter_tag(self, client: ClientMachine, tag: TagClient) -> None:
        delivered = tag.intake.delivered

        def always_new(*arguments: Any) -> bool:
            delivered(*arguments)
            return True

        _plant(tag.intake, "delivered", always_new)

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        super().alter_member(client, room)
        receive = room.conversation.receive_group
        before: dict[bytes, Any] = {}

        def receive_again(hint: bytes, body: bytes, *rest: Any) -> Any:
            received = receive(hint, body, *rest)
            if received.outcome is ReceiveOutcome.NEW:
                before[body] = received
            return before.get(body, received) if received.outcome is ReceiveOutcome.DUPLICATE else received

        _plant(room.conversation, "receive_group", receive_again)


class _EffectBeforePersist(Break):
    def outgoing(self) -> Outgoing:
        late: list[Effect] = []

        def reorder(effects: Sequence[Effect]) -> Sequence[Effect]:
            if not effects:
                return effects
            told = [*late, *(effect for effect in effects if not isinstance(effect, Persist))]
            late[:] = [effect for effect in effects if isinstance(effect, Persist)]
            return told

        return reorder


class _Unwritten(Break):
    """Some rows are never written, so that the next life does not have them."""

    def __init__(self, is_written: Callable[[Write, set[bytes]], bool]) -> None:
        self._is_written = is_written

    def outgoing(self) -> Outgoing:
        before: set[bytes] = set()

        def strip(effects: Sequence[Effect]) -> Sequence[Effect]:
            return [self._stripped(effect, before) if isinstance(effect, Persist) else effect for effect in effects]

        return strip

    def _stripped(self, effect: Persist, before: set[bytes]) -> Persist:
        return replace(effect, writes=tuple(write for write in effect.writes if self._is_written(write, before)))


def _only_the_first(write: Write, before: set[bytes]) -> bool:
    """A ratchet's first state is kept, and none after it."""
    if write.table != OUTBOUND or write.value is None:
        return True
    is_first = write.key not in before
    before.add(write.key)
    return is_first


class _OutboxNotResumed(Break):
    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        _plant(room, "resume", lambda wall: RoomOutcome(plan_changed=True))


class _ForgedReceiptAccepted(_TagBreak):
    is_healed_by_members = True

    def alter_tag(self, client: ClientMachine, tag: TagClient) -> None:
        publisher = tag.publisher

        def believe(receipt: Any, committee: Any, is_dead: Any) -> list[Any]:
            concerned = [publisher._outgoing[item] for item in receipt.ids if item in publisher._outgoing]
            fresh = [outgoing for outgoing in concerned if receipt.seat not in outgoing.receipts]
            return [publisher._note(outgoing, receipt.seat, committee, is_dead) for outgoing in fresh]

        _plant(publisher, "receipt_received", believe)


class _DigestGapIgnored(_TagBreak):
    is_healed_by_members = True

    def alter_tag(self, client: ClientMachine, tag: TagClient) -> None:
        _plant(tag.intake, "pull_gaps", _nothing)
        _plant(tag.intake, "pull_unseen", _nothing)


class _RetransmissionStoppedEarly(_TagBreak):
    """What has left once is never published again, neither here nor in the next epoch."""

    is_healed_by_members = True

    def alter_tag(self, client: ClientMachine, tag: TagClient) -> None:
        _plant(tag.publisher, "due", _empty_list)
        _plant(tag.publisher, "publish_directly", _nothing)
        _plant(tag.publisher, "take_unsettled", _empty_list)


class _UnsettledForgotten(Break):
    is_healed_by_members = True

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        _plant(client.tags, "take_unsettled", _empty_list)
        _plant(room, "seal_again", lambda reference, wall: RoomOutcome())


class _WrongOverlap(Break):
    """The overlap is taken before the boundary instead of after it: members leave while others still speak."""

    is_healed_by_members = True

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        plans, length, overlap = room.tag_plans, client.network.epoch_seconds, client.network.overlap_seconds

        def too_early(start: int, wall: float) -> list[TagPlan]:
            return plans(start, wall) if start - overlap <= wall < start + length - overlap else []

        _plant(room, "tag_plans", too_early)


class _StaleDirectory(Break):
    KNOWN = 4
    """Records after which nothing more is taken."""

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        received = client.directory.frame_received

        def deaf(*arguments: Any) -> None:
            if len(client.directory.directory.hashes) < self.KNOWN:
                received(*arguments)

        _plant(client.directory, "frame_received", deaf)


class _NoticeTrusted(Break):
    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        handle = client.handle

        def handle_gullibly(event: Event, now: float) -> Effects:
            out = handle(event, now)
            if isinstance(event, FrameReceived) and isinstance(event.frame, SeatDown) and event.frame.is_dead:
                dead = PeerKey(event.frame.seat)
                if client.connector.is_linked(dead):
                    out.append(Disconnect(dead, RefusalCode.REPLACED))
                    out += handle(PeerDisconnected(dead, "LinkLost", None), now)
            return out

        _plant(client, "handle", handle_gullibly)


class _BoundaryOffByOne(Break):
    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        keys = room.sending_keys
        length = client.network.epoch_seconds
        _plant(room, "sending_keys", lambda wall: keys(wall - length))


class _RemovedKeepsKey(Break):
    """Who is put out stays in for everything that keys are made for, and so does its own machine think."""

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        first: list[Any] = []
        roster, state = room.roster, room.roster.state

        def as_it_was(day: int) -> Any:
            if not first:
                first.append(state(day))
            return first[0]

        for name in ("send", "tag_plans", "sending_keys", "envelope_opened", "receipts_grew", "seal_again"):
            _plant(room, name, partial(_under, roster, as_it_was, getattr(room, name)))


def _under(roster: Roster, state: Callable[[int], Any], call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call with another idea of who is in the room."""
    _plant(roster, "state", state)
    try:
        return call(*arguments, **named)
    finally:
        del roster.state


class _SayForgets(Break):
    """One message in twenty-five is taken, and nothing is done about it."""

    def alter_member(self, client: ClientMachine, room: MemberRoom) -> None:
        send = room.send

        def send_most(content: Any, token: int, *rest: Any) -> RoomOutcome:
            return send(content, token, *rest) if token % 25 else RoomOutcome()

        _plant(room, "send", send_most)


class _TagsNeverClosed(Break):
    def alter_relay(self, relay: RelayMachine) -> None:
        _plant(relay.tags, "close", _nothing)


NO_BREAK: Final = Break()
BREAKS: Final[dict[str, Break]] = {
    "no-dedupe": _NoDedupe(),
    "effect-before-persist": _EffectBeforePersist(),
    "key-reuse-after-crash": _Unwritten(_only_the_first),
    "outbox-not-resumed": _OutboxNotResumed(),
    "forged-receipt-accepted": _ForgedReceiptAccepted(),
    "digest-gap-ignored": _DigestGapIgnored(),
    "retransmission-stopped-early": _RetransmissionStoppedEarly(),
    "unsettled-forgotten": _UnsettledForgotten(),
    "wrong-overlap": _WrongOverlap(),
    "stale-directory": _StaleDirectory(),
    "notice-trusted": _NoticeTrusted(),
    "boundary-off-by-one": _BoundaryOffByOne(),
    "removed-keeps-key": _RemovedKeepsKey(),
    "say-forgets": _SayForgets(),
    "tags-never-closed": _TagsNeverClosed(),
}
"""By the names that `--break` takes."""
