"""A client at one tag: attached to its seats from warm-up to last digests.

Owns: which seats are primary and secondary, subscriptions, the death of seats (spec: message way).
Must not know: what envelopes hold, rooms. Parts: `intake` (receiving), `publisher` (sending), `tag_visits` (audits,
last digests, seats that are published to directly), `hedges` (seats in doubt).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from railgun.core.agenda import Agenda
from railgun.core.clock import EpochClock
from railgun.core.committee import Committee, rank_for_handle
from railgun.core.connector import Connector
from railgun.core.counters import ClientCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.epochs import EpochWindow
from railgun.core.hedges import Hedges
from railgun.core.intake import Intake
from railgun.core.liveness import Liveness
from railgun.core.promises import Promises
from railgun.core.publisher import Outgoing, Progress, Publisher
from railgun.core.reputation import Reputation
from railgun.core.tag_visits import TagVisits
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.receipts import sign_subscription
from railgun.errors import RefusalCode
from railgun.limits import PULSE_SECONDARY_SECONDS, PULSE_SECONDS
from railgun.ports import Chooser
from railgun.types import EnvelopeId, Handle, NodeKey, PeerKey, Tag
from railgun.wire.frames import (
    Deliver,
    Digest,
    Publish,
    Receipt,
    Refused,
    SeatDown,
    Subscribe,
    Subscribed,
    SubscriptionMode,
    TagDescriptor,
    Unsubscribe,
)
from railgun.wire.records import Ad

SUBSCRIBE_RETRY_SECONDS = 1.0
SUBSCRIBE_RETRY_SECONDS_MAX = 8.0
AVOID_SECONDS = 5.0
"""A seat that refuses us is passed over for so long, unless it says otherwise."""
EMPTY_WORD_PENALTY_POINTS = 20
ATTACHED = 2
LEAVING_SECONDS = 30.0
"""A seat that is about to leave is passed over for so long, or until it is linked anew."""
BROKEN_PROMISE_PENALTY_POINTS = 20
EQUIVOCATION_PENALTY_POINTS = 20
OWING_PENALTY_POINTS = 10
LAST_DIGEST_SECONDS = 2.0
"""How long the last digests and what they show to be missing may take before the tag is closed."""


@dataclass(slots=True)
class ClientContext:
    """What all tags of one client share."""

    agenda: Agenda
    connector: Connector
    liveness: Liveness
    clock: EpochClock
    counters: ClientCounters
    chooser: Chooser
    reputation: Reputation
    views_differ: Callable[[PeerKey, float, Effects], None]
    """Told when a seat names other seats than we do."""


@dataclass(slots=True)
class _Attachment:
    wanted: SubscriptionMode
    acknowledged: SubscriptionMode | None = None
    since: float = 0.0
    """When it was acknowledged first; a change of mode does not count."""
    asked_at: float = -1e9
    asks: int = 0

    @property
    def next_ask_at(self) -> float:
        wait = SUBSCRIBE_RETRY_SECONDS * 2.0 ** max(0, min(self.asks, 8) - 1)
        return self.asked_at + min(SUBSCRIBE_RETRY_SECONDS_MAX, wait)


class TagClient:
    """One tag's client side. The owner feeds it frames and deadlines, and reads `attached`."""

    def __init__(
        self,
        context: ClientContext,
        keys: EpochKeys,
        descriptor: TagDescriptor,
        committee: Committee,
        window: EpochWindow,
        handle: Handle,
    ) -> None:
        """``handle``: 16 fresh random bytes, so that seats cannot tell one member from another over epochs."""
        self._context = context
        self.keys = keys
        self.descriptor = descriptor
        self.committee = committee
        self._seats_hash = committee.seats_hash
        self.window = window
        self.handle = handle
        self.intake = Intake(keys.tag, context.agenda, context.counters)
        self.promises = Promises(keys.tag, context.agenda)
        self.publisher = Publisher(keys.tag, context.agenda, context.counters)
        self.visits = TagVisits(keys.tag, context.agenda, context.connector, context.chooser, self._subscribe)
        self._attachments: dict[NodeKey, _Attachment] = {}
        self._linked_for: dict[NodeKey, None] = {}
        self._guards: dict[NodeKey, None] = {}
        """Seats that had more than ours would name: they serve us as well, to the end of the tag."""
        self.hedges = Hedges(context.connector, context.liveness)
        self._avoided: dict[NodeKey, float] = {}
        self._entries_before: list[NodeKey] = []
        self._proofs: dict[NodeKey, tuple[PeerKey, bytes]] = {}
        self.is_closing = False

    @property
    def tag(self) -> Tag:
        return self.keys.tag

    @property
    def attached(self) -> list[NodeKey]:
        """Seats that hold an acknowledged subscription of ours: the primary first, then who guards against it; those
        in doubt last."""
        held = [
            (self.hedges.is_doubted(seat), -attachment.acknowledged, seat not in self._guards, seat)
            for seat, attachment in self._attachments.items()
            if attachment.acknowledged is not None and self._context.connector.is_linked(seat)
        ]
        held.sort()
        return [seat for *_, seat in held]

    @property
    def is_answered(self) -> bool:
        """Whether a seat serves us that is not in doubt."""
        return any(not self.hedges.is_doubted(seat) for seat in self.attached)

    def is_stranded(self, now: float) -> bool:
        """Whether no relay of the whole ranking can be reached."""
        return all(self._is_dead(ad.node_key, now) for ad in self.committee.ranking)

    # --- choosing and keeping seats -----------------------------------------------------------

    def settle(self, now: float, out: Effects) -> None:
        """Bring links and subscriptions to what they should be. Idempotent; call after any change."""
        self._avoided = {seat: until for seat, until in self._avoided.items() if now + 1e-6 < until}
        ranked = self._ranked(now)
        desired = self._desired(ranked, now)
        wanted = self._want_links(ranked, desired, now, out)
        primaries = self.hedges.primaries([ad.node_key for ad in desired])
        for ad in desired:
            mode = SubscriptionMode.PRIMARY if ad.node_key in primaries else SubscriptionMode.SECONDARY
            attachment = self._attachments.setdefault(ad.node_key, _Attachment(mode))
            if attachment.wanted is not mode:
                attachment.wanted, attachment.asked_at, attachment.asks = mode, -1e9, 0
            self._ask(ad.node_key, attachment, now, out)
        keep = {ad.node_key for ad in desired}
        if all(self._attachments[seat].acknowledged is self._attachments[seat].wanted for seat in keep):
            # New links stand before old ones go.
            for seat in [seat for seat in self._attachments if seat not in keep]:
                self._detach(seat, out)
        for seat in [seat for seat in self._linked_for if seat not in wanted and seat not in self._attachments]:
            del self._linked_for[seat]
            self._context.connector.release(("tag", self.tag), seat)
        self._watch(now)
        for until in (*self._avoided.values(), *self.hedges.ends):
            self._context.agenda.set_earlier(("settle", self.tag), until)
        self._entries(now, out)

    def _ranked(self, now: float) -> list[Ad]:
        """The seats in this subscriber's own order, then standbys and fallbacks as the committee ranks them; but those
        that we hold nothing against come before the others."""
        seats = {ad.node_key: ad for ad in self.committee.seats}
        ordered = [seats[seat] for seat in rank_for_handle(self.handle, seats)]
        ranked = [*ordered, *self.committee.standbys, *self.committee.fallbacks]
        if len(self._context.reputation):
            wall = self._context.clock.wall(now)
            ranked.sort(key=lambda ad: self._context.reputation.standing(ad.node_key, wall))
        return ranked

    def _desired(self, ranked: list[Ad], now: float) -> list[Ad]:
        """Primary and secondary: the first two that neither fail nor refuse. If all do, the first two of all. Whoever
        guards against them. And so many more that two are beyond doubt."""
        live = [ad for ad in ranked if not self._is_dead(ad.node_key, now) and ad.node_key not in self._avoided]
        chosen, others = (live or ranked)[:ATTACHED], live[ATTACHED:]
        serving = [seat for seat, attachment in self._attachments.items() if attachment.acknowledged is not None]
        beside = [ad.node_key for ad in others if ad.node_key not in self._guards]
        self.hedges.choose([ad.node_key for ad in chosen], beside, serving, now)
        return [*chosen, *(ad for ad in others if ad.node_key in self._guards or ad.node_key in self.hedges)]

    def _is_dead(self, seat: NodeKey, now: float) -> bool:
        return self._context.connector.is_failing(seat, now)

    def _want_links(self, ranked: list[Ad], desired: list[Ad], now: float, out: Effects) -> dict[NodeKey, Ad]:
        """Links to those that serve us, and to those before the two that are tried again. Returns them."""
        last = max((rank for rank, ad in enumerate(ranked) if ad in desired[:ATTACHED]), default=-1)
        wanted = {ad.node_key: ad for ad in (*ranked[: last + 1], *desired[ATTACHED:])}
        for seat, ad in wanted.items():
            self._linked_for[seat] = None
            self._context.connector.want(("tag", self.tag), ad.contact(), now, out)
        for ad in desired:
            doubted_at = self.hedges.dial_doubted_at(ad.node_key)
            if doubted_at is not None and doubted_at > now + 1e-6:
                self._context.agenda.set_earlier(("settle", self.tag), doubted_at)
        return wanted

    def _ask(self, seat: NodeKey, attachment: _Attachment, now: float, out: Effects) -> None:
        """Subscribe in the wanted mode, unless that is acknowledged or was asked for just now."""
        if attachment.acknowledged is attachment.wanted or not self._context.connector.is_linked(seat):
            return
        steps_down = attachment.acknowledged is SubscriptionMode.PRIMARY
        if steps_down and not any(
            other.acknowledged is SubscriptionMode.PRIMARY for name, other in self._attachments.items() if name != seat
        ):
            return  # never without a primary: it steps down once its successor stands
        if now + 1e-6 >= attachment.next_ask_at:
            attachment.asked_at = now
            attachment.asks += 1
            self._subscribe(seat, attachment.wanted, out)
        self._context.agenda.set_earlier(("settle", self.tag), attachment.next_ask_at)

    def _watch(self, now: float) -> None:
        """Watch the seats that serve us, closely only while this epoch is the one that is sent in.

        One that is asked to is watched at once: on a link that stood idle it may have died unseen.
        """
        wall = self._context.clock.wall(now)
        busy = self.window.is_busy(wall)
        for seat, attachment in self._attachments.items():
            if self._context.connector.is_linked(seat):
                is_asked = attachment.acknowledged is None
                is_primary = attachment.acknowledged is SubscriptionMode.PRIMARY
                interval = PULSE_SECONDS if is_asked or (is_primary and busy) else PULSE_SECONDARY_SECONDS
                self._context.liveness.watch(PeerKey(seat), ("tag", self.tag), interval, now)
                if is_asked and seat in self.hedges:
                    self._context.liveness.hint(PeerKey(seat), now)
        next_phase = self.window.next_phase(wall)
        if next_phase is not None and self._attachments:
            self._context.agenda.set_earlier(("settle", self.tag), now + (next_phase - wall) + 0.001)

    def _entries(self, now: float, out: Effects) -> None:
        entries = self.attached
        before, self._entries_before = self._entries_before, entries
        added = [seat for seat in entries if seat not in before]
        if added:
            self.hedges.counts_dials = True
            self.publisher.entries_changed(added, entries, self.committee, now, out)
            starts_at = self._context.clock.monotonic(self.window.start)
            self.visits.plan_audit(now, len(self.committee.seats) - len(entries), starts_at)

    def _subscribe(self, seat: NodeKey, mode: SubscriptionMode, out: Effects) -> None:
        linked = self._context.connector.linked[PeerKey(seat)]
        incarnation, from_number = self.intake.position(seat)
        self.intake.expect(seat)
        link_key, proof = self._proofs.get(seat, (None, b""))
        if link_key != linked.local_key:
            proof = sign_subscription(self.keys, seat, linked.local_key, self.handle)
            self._proofs[seat] = (linked.local_key, proof)
        frame = Subscribe(self.descriptor, self.handle, mode, proof, self._seats_hash, incarnation, from_number)
        out.append(SendFrame((PeerKey(seat),), frame))

    def _detach(self, seat: NodeKey, out: Effects) -> None:
        del self._attachments[seat]
        if self._context.connector.is_linked(seat):
            out.append(SendFrame((PeerKey(seat),), Unsubscribe(self.tag)))
        self._context.liveness.unwatch(PeerKey(seat), ("tag", self.tag))

    # --- links and views ----------------------------------------------------------------------

    def committee_changed(self, committee: Committee, now: float, out: Effects) -> None:
        """The directory may name other relays than before."""
        if committee is self.committee:
            return
        changed = committee.ranking != self.committee.ranking
        self.committee = committee
        self._seats_hash = committee.seats_hash
        if changed and not self.is_closing:
            self.settle(now, out)

    def peer_connected(self, peer: PeerKey, now: float, out: Effects) -> None:
        seat = NodeKey(peer)
        self._avoided.pop(seat, None)
        if seat in self._linked_for:
            self.settle(now, out)
        self.visits.peer_connected(seat, out)

    def peer_gone(self, peer: PeerKey, now: float, out: Effects) -> None:
        seat = NodeKey(peer)
        self.publisher.excuse(seat)
        attachment = self._attachments.get(seat)
        if attachment is not None:
            attachment.acknowledged = None
            attachment.asked_at, attachment.asks = -1e9, 0
        if seat in self._linked_for:
            self.settle(now, out)

    def peer_doubted(self, peer: PeerKey, now: float, out: Effects) -> None:
        """A relay has not answered for a while: have another one beside it, and see whether the others live."""
        if NodeKey(peer) not in self._attachments:
            return
        for seat in self._attachments:
            self._context.liveness.hint(PeerKey(seat), now)
        self.settle(now, out)

    def seat_down(self, peer: PeerKey, frame: SeatDown, now: float, out: Effects) -> None:
        """A relay of this tag finds another dead, or doubts it: ask that one at once, if it serves us. Nobody leaves on
        hearsay; but whoever says it of itself is about to leave, and another is to serve us before it does."""
        if frame.seat not in self._attachments or self.committee.rank_of(NodeKey(peer)) is None:
            return
        if PeerKey(frame.seat) == peer:
            self._avoided[frame.seat] = now + LEAVING_SECONDS
            self.settle(now, out)
        elif frame.is_dead:
            self._context.liveness.probe(PeerKey(frame.seat), now)
        else:
            self._context.liveness.hint(PeerKey(frame.seat), now)

    # --- frames -------------------------------------------------------------------------------

    def subscribed(self, peer: PeerKey, frame: Subscribed, now: float, out: Effects) -> None:
        seat = NodeKey(peer)
        self.intake.subscribed(seat, frame.incarnation, frame.last_number, now)
        attachment = self._attachments.get(seat)
        if attachment is not None and attachment.wanted is frame.mode:
            if attachment.acknowledged is None:
                attachment.since = now
            attachment.acknowledged = frame.mode
            attachment.asked_at, attachment.asks = -1e9, 0
            self._avoided.pop(seat, None)
            self.settle(now, out)
        if self.visits.take_direct(seat):
            self.publisher.publish_directly(seat, self.committee, now, out)
        if frame.seats_hash != self._seats_hash:
            self._context.views_differ(peer, now, out)

    def deliver(self, peer: PeerKey, frame: Deliver, envelope_id: EnvelopeId, now: float) -> bool:
        """An envelope of this tag arrived. True when it is new."""
        fresh = self.intake.delivered(NodeKey(peer), frame.number, envelope_id, now)
        self._check_numbers(NodeKey(peer))
        if fresh:
            self._context.counters.envelopes_received += 1
        return fresh

    def digest(self, peer: PeerKey, frame: Digest, now: float) -> None:
        seat = NodeKey(peer)
        audited = self.visits.is_visited(seat) and seat not in self._attachments
        self.intake.digest(seat, frame, now, own_seats=self._attachments if audited else None)
        self._check_numbers(seat)

    def receipt(self, frame: Receipt, now: float) -> list[Progress]:
        """See `Publisher.receipt_received`."""
        progress = self.publisher.receipt_received(frame, self.committee, lambda seat: self._is_dead(seat, now))
        log = self.intake.logs.get(frame.seat)
        if progress and log is not None and frame.seat in self._attachments:
            self.promises.made(frame.seat, log, (item.outgoing.envelope_id for item in progress), now)
        return progress

    def _check_numbers(self, seat: NodeKey) -> None:
        """A seat that gives one number to two envelopes tells some subscribers other things than others."""
        log = self.intake.logs.get(seat)
        if log is not None and log.has_equivocated:
            log.has_equivocated = False
            self._context.reputation.report(
                seat, RefusalCode.CONFLICT, "named two envelopes under one number", EQUIVOCATION_PENALTY_POINTS
            )

    def refused(self, peer: PeerKey, frame: Refused, now: float, out: Effects) -> list[Outgoing]:
        """A seat refused something of this tag. Returns envelopes that came too late for it, to be sealed again."""
        seat = NodeKey(peer)
        self.publisher.excuse(seat)
        if frame.code is RefusalCode.NOT_HELD:
            self.intake.absent(seat, frame.ids or (), now)
            self._report_unbelieved(now)
            return []
        wait = AVOID_SECONDS if frame.retry_after_ms is None else frame.retry_after_ms / 1000
        if frame.code is RefusalCode.RATE_LIMITED and frame.ids is None:
            self.intake.limited(seat, wait, now)
        attachment = self._attachments.get(seat)
        if attachment is not None:
            if frame.code is RefusalCode.UNKNOWN_TAG:
                attachment.acknowledged = None  # it restarted, or closed the tag: show it again
            elif frame.ids is None and attachment.acknowledged is None and frame.code is not RefusalCode.OUTSIDE_WINDOW:
                self._avoided[seat] = now + wait
            self.settle(now, out)
        if frame.code is RefusalCode.NOT_A_SEAT:
            self._context.views_differ(peer, now, out)
        if frame.ids is None:
            return []
        if frame.code is RefusalCode.TOO_LATE and self._context.clock.wall(now) >= self.window.end:
            # Not before: sealed again it would go to the same seats, and one that lies could keep us at it for ever.
            return self.publisher.too_late(frame.ids)
        self.publisher.refused(frame.ids, 1.0 if frame.retry_after_ms is None else wait, now)
        return []

    def _report_unbelieved(self, now: float) -> None:
        for seat in self.intake.take_unbelieved(now):
            self._context.reputation.report(
                seat, RefusalCode.CONFLICT, "named envelopes that it does not bring", EMPTY_WORD_PENALTY_POINTS
            )

    # --- sending ------------------------------------------------------------------------------

    def publish(self, envelope_id: EnvelopeId, envelope: bytes, reference: object, now: float, out: Effects) -> None:
        """Publish our own envelope. ``reference`` comes back in `Progress`."""
        self.intake.note_own(envelope_id, now)
        outgoing = Outgoing(envelope_id, envelope, reference, now)
        self.publisher.publish(outgoing, self.attached, self.committee, now, out)

    def came_directly(self, envelope_id: EnvelopeId, now: float) -> None:
        """A member brought an envelope that is new."""
        self.intake.note_own(envelope_id, now)
        self._context.counters.envelopes_received += 1

    def pass_on(self, envelope: bytes, out: Effects) -> None:
        """Bring another member's envelope, which came past the seats, to those that serve us."""
        for seat in self.attached[:ATTACHED]:
            out.append(SendFrame((PeerKey(seat),), Publish(envelope, self._seats_hash, None)))

    def _publish_again(self, now: float, out: Effects) -> None:
        attached = self.attached
        lacking = self.publisher.due(attached, self.committee, lambda seat: self._is_dead(seat, now), now, out)
        for seat, envelope_id in self.publisher.owing(now):
            detail = f"took envelope {envelope_id.hex()} and neither receipted nor refused it"
            self._context.reputation.report(seat, RefusalCode.CONFLICT, detail, OWING_PENALTY_POINTS)
        contacts = {ad.node_key: ad.contact() for ad in self.committee.seats}
        for seat in lacking:
            if seat in attached:
                self.publisher.publish_directly(seat, self.committee, now, out)
            else:
                # A seat takes publishes only on a tag that it was shown: visit it first.
                self.visits.begin(contacts[seat], now, out, direct=True)

    # --- deadlines ----------------------------------------------------------------------------

    def due(self, what: str, seat: NodeKey | None, now: float, out: Effects) -> None:
        """A deadline that this tag set in the agenda, by its first word."""
        match what:
            case "settle":
                self.settle(now, out)
            case "gap" if seat is not None:
                if self._context.connector.is_linked(seat):
                    self.intake.pull_gaps(seat, now, out)
            case "unseen":
                linked = [item for item in self.intake.logs if self._context.connector.is_linked(item)]
                self.intake.pull_unseen(linked, now, out)
                self._report_unbelieved(now)
            case "hidden":
                self._find_guards(now, out)
            case "promises":
                self._find_broken(now)
            case "publish":
                self._publish_again(now, out)
            case "audit":
                self._audit(now, out)
            case "visit-end":
                self.visits.end_due(now)
            case _:
                pass

    def _find_guards(self, now: float, out: Effects) -> None:
        """A third seat has what none of ours names: let it serve us as well. Who is at fault cannot be told."""
        found = self.intake.named_elsewhere(self._serving_since(), now)
        fresh = [seat for seat in found if seat not in self._guards and seat in self.committee.seat_keys]
        if fresh and not self.is_closing:
            self._guards.update(dict.fromkeys(fresh))
            self.settle(now, out)

    def _find_broken(self, now: float) -> None:
        for seat, envelope_id in self.promises.broken(self.intake.logs, self._serving_since(), now):
            detail = f"receipted envelope {envelope_id.hex()} and never named it"
            self._context.reputation.report(seat, RefusalCode.CONFLICT, detail, BROKEN_PROMISE_PENALTY_POINTS)

    def _serving_since(self) -> dict[NodeKey, float]:
        return {seat: self._attachments[seat].since for seat in self.attached}

    def _audit(self, now: float, out: Effects) -> None:
        """Ask one seat that is not ours what it holds."""
        if self.is_closing:
            return
        others = [ad for ad in self.committee.seats if ad.node_key not in self._attachments]
        wall = self._context.clock.wall(now)
        # Before the epoch nothing is published, and after it the last digests ask every seat.
        if others and self.window.start <= wall < self.window.busy_until:
            self._context.counters.audits += 1
            self.visits.audit_one(others, now, out)
        self.visits.plan_audit(now, len(others), self._context.clock.monotonic(self.window.start))

    def last_digests(self, now: float, out: Effects) -> float:
        """The overlap is over: ask every seat once more. Returns when the tag may be closed."""
        self.is_closing = self.intake.is_closing = True
        for ad in self.committee.seats:
            self.visits.begin(ad.contact(), now, out, anew=True)
        return now + LAST_DIGEST_SECONDS

    def close(self, out: Effects) -> None:
        """Leave all seats and forget all deadlines. Idempotent."""
        for seat in list(self._attachments):
            self._detach(seat, out)
        for seat in self._linked_for:
            self._context.connector.release(("tag", self.tag), seat)
        self._linked_for.clear()
        self.visits.close()
        for what in ("settle", "unseen", "hidden", "promises", "publish", "audit"):
            self._context.agenda.cancel((what, self.tag))
        for seat in self.intake.logs:
            self._context.agenda.cancel(("gap", self.tag, seat))
