"""A client at one tag: attached to its seats from warm-up to last digests.

Owns: which seats are primary and secondary, subscriptions, audits, the tag's phases (spec: delivery).
Must not know: what envelopes hold, rooms. Parts: `intake` (receiving), `publisher` (sending).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee, rank_for_handle
from railgun.core.connector import Connector
from railgun.core.counters import ClientCounters
from railgun.core.effects import Effects, PenalisePeer, SendFrame
from railgun.core.epochs import EpochWindow
from railgun.core.intake import Intake
from railgun.core.liveness import Liveness
from railgun.core.publisher import Outgoing, Progress, Publisher
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.receipts import sign_subscription
from railgun.errors import PeerError, RefusalCode
from railgun.limits import AUDIT_SECONDS, PULSE_SECONDARY_SECONDS, PULSE_SECONDS, UNSEEN_PULL_DELAY_SECONDS
from railgun.ports import Chooser
from railgun.types import EnvelopeId, Handle, NodeKey, PeerKey, Tag
from railgun.wire.frames import (
    Deliver,
    Digest,
    Receipt,
    Refused,
    Subscribe,
    Subscribed,
    SubscriptionMode,
    TagDescriptor,
    Unsubscribe,
)
from railgun.wire.records import Ad

SUBSCRIBE_RETRY_SECONDS = 1.0
AUDIT_RELEASE_SECONDS = 2.0
LAST_DIGEST_SECONDS = 2.0
"""How long the last digests and what they show to be missing may take before the tag is closed."""


@dataclass(slots=True)
class ClientContext:
    """What all tags of one client share."""

    agenda: Agenda
    connector: Connector
    liveness: Liveness
    counters: ClientCounters
    chooser: Chooser
    views_differ: Callable[[PeerKey, float, Effects], None]
    """Told when a seat names other seats than we do."""


@dataclass(slots=True)
class _Attachment:
    mode: SubscriptionMode
    subscribed: bool = False
    asked_at: float = -1e9


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
        self.window = window
        self.handle = handle
        self.intake = Intake(keys.tag, context.agenda, context.counters)
        self.publisher = Publisher(keys.tag, context.agenda, context.counters)
        self._attachments: dict[NodeKey, _Attachment] = {}
        self._visits: dict[NodeKey, float] = {}
        self._direct: dict[NodeKey, None] = {}
        self._entries_before: list[NodeKey] = []
        self._next_audit_at: float | None = None
        self.is_closing = False

    @property
    def tag(self) -> Tag:
        return self.keys.tag

    @property
    def attached(self) -> list[NodeKey]:
        """Seats that hold an acknowledged subscription of ours, primary first."""
        held = [
            (-attachment.mode, seat)
            for seat, attachment in self._attachments.items()
            if attachment.subscribed and self._context.connector.is_linked(seat)
        ]
        held.sort()
        return [seat for _, seat in held]

    # --- choosing and keeping seats -----------------------------------------------------------

    def settle(self, now: float, out: Effects) -> None:
        """Bring links and subscriptions to what they should be. Idempotent; call after any change."""
        desired = self._desired(now)
        connector = self._context.connector
        for rank, ad in enumerate(desired):
            mode = SubscriptionMode.PRIMARY if rank == 0 else SubscriptionMode.SECONDARY
            seat = ad.node_key
            connector.want(("tag", self.tag), ad.contact(), now, out)
            attachment = self._attachments.get(seat)
            if attachment is None or attachment.mode is not mode:
                attachment = self._attachments[seat] = _Attachment(mode)
            if connector.is_linked(seat) and not attachment.subscribed:
                self._ask(seat, attachment, now, out)
        keep = {ad.node_key for ad in desired}
        if all(self._attachments[seat].subscribed for seat in keep):
            # New links stand before old ones go.
            for seat in [seat for seat in self._attachments if seat not in keep]:
                self._detach(seat, out)
        entries = self.attached
        if entries != self._entries_before:
            gained = len(entries) > 0
            self._entries_before = entries
            if gained:
                self.publisher.entries_changed(entries, self.committee, now, out)
        if self._next_audit_at is None and entries:
            self._plan_audit(now)

    def committee_changed(self, committee: Committee, now: float, out: Effects) -> None:
        """The directory names other relays than before."""
        if committee.ranking != self.committee.ranking:
            self.committee = committee
            self.settle(now, out)

    def peer_connected(self, peer: PeerKey, now: float, out: Effects) -> None:
        seat = NodeKey(peer)
        if seat in self._attachments:
            self.settle(now, out)
        if seat in self._visits:
            self._visit(seat, now, out)
        if seat in self._direct:
            del self._direct[seat]
            self.publisher.publish_directly(seat, self.committee, out)

    def peer_gone(self, peer: PeerKey, now: float, out: Effects) -> None:
        seat = NodeKey(peer)
        attachment = self._attachments.get(seat)
        if attachment is not None:
            attachment.subscribed = False
            self.settle(now, out)

    def _desired(self, now: float) -> list[Ad]:
        """Primary and secondary: the first two in our own order that are not known to fail."""
        connector = self._context.connector
        seats = {ad.node_key: ad for ad in self.committee.seats}
        ordered = [seats[seat] for seat in rank_for_handle(self.handle, seats)]
        live = [ad for ad in ordered if not connector.is_failing(ad.node_key, now)]
        live += [ad for ad in self.committee.standbys if not connector.is_failing(ad.node_key, now)][: max(0, 2 - len(live))]
        return live[:2]

    def _ask(self, seat: NodeKey, attachment: _Attachment, now: float, out: Effects) -> None:
        if now - attachment.asked_at < SUBSCRIBE_RETRY_SECONDS:
            return
        attachment.asked_at = now
        self._subscribe(seat, attachment.mode, out)
        self._context.agenda.set_earlier(("settle", self.tag), now + SUBSCRIBE_RETRY_SECONDS)

    def _subscribe(self, seat: NodeKey, mode: SubscriptionMode, out: Effects) -> None:
        linked = self._context.connector.linked[PeerKey(seat)]
        incarnation, from_number = self.intake.position(seat)
        self.intake.expect(seat)
        proof = sign_subscription(self.keys, seat, linked.local_key, self.handle)
        out.append(
            SendFrame(
                (PeerKey(seat),),
                Subscribe(
                    self.descriptor,
                    self.handle,
                    mode,
                    proof,
                    self.committee.seats_hash,
                    incarnation,
                    from_number,
                ),
            )
        )

    def _detach(self, seat: NodeKey, out: Effects) -> None:
        del self._attachments[seat]
        if self._context.connector.is_linked(seat):
            out.append(SendFrame((PeerKey(seat),), Unsubscribe(self.tag)))
        self._context.connector.release(("tag", self.tag), seat)
        self._context.liveness.unwatch(PeerKey(seat), ("tag", self.tag))

    # --- frames -------------------------------------------------------------------------------

    def subscribed(self, peer: PeerKey, frame: Subscribed, now: float, out: Effects) -> None:
        seat = NodeKey(peer)
        self.intake.subscribed(seat, frame.incarnation, frame.last_number, now)
        attachment = self._attachments.get(seat)
        if attachment is not None and attachment.mode is frame.mode:
            attachment.subscribed = True
            primary = attachment.mode is SubscriptionMode.PRIMARY
            interval = PULSE_SECONDS if primary else PULSE_SECONDARY_SECONDS
            self._context.liveness.watch(peer, ("tag", self.tag), interval, now)
            self.settle(now, out)
        if frame.seats_hash != self.committee.seats_hash:
            self._context.views_differ(peer, now, out)

    def deliver(self, peer: PeerKey, frame: Deliver, envelope_id: EnvelopeId) -> bool:
        """An envelope of this tag arrived. True when it is new."""
        fresh = self.intake.delivered(NodeKey(peer), frame.number, envelope_id)
        if fresh:
            self._context.counters.envelopes_received += 1
        return fresh

    def digest(self, peer: PeerKey, frame: Digest, now: float) -> None:
        seat = NodeKey(peer)
        self.intake.digest(seat, frame, now, audited=seat in self._visits and not self.is_closing)

    def receipt(self, frame: Receipt) -> list[Progress]:
        return self.publisher.receipt_received(frame, self.committee)

    def refused(self, peer: PeerKey, frame: Refused, now: float, out: Effects) -> list[Outgoing]:
        """A seat refused something of this tag. Returns envelopes that came too late for it."""
        seat = NodeKey(peer)
        if frame.code is RefusalCode.NOT_HELD and frame.ids is not None:
            self.intake.absent(seat, frame.ids)
            return []
        attachment = self._attachments.get(seat)
        if frame.code in (RefusalCode.UNKNOWN_TAG, RefusalCode.NOT_A_SEAT) and attachment is not None:
            attachment.subscribed = False
            self.settle(now, out)
        if frame.code is RefusalCode.NOT_A_SEAT:
            self._context.views_differ(peer, now, out)
        if frame.ids is None:
            return []
        concerned = self.publisher.refused(frame.ids, (frame.retry_after_ms or 1000) / 1000, now)
        return concerned if frame.code is RefusalCode.TOO_LATE else []

    def pulse(self, peer: PeerKey, last_number: int, now: float) -> None:
        self.intake.pulse(NodeKey(peer), last_number, now)

    # --- sending ------------------------------------------------------------------------------

    def publish(self, envelope_id: EnvelopeId, envelope: bytes, reference: object, now: float, out: Effects) -> None:
        """Publish our own envelope. ``reference`` comes back in `Progress`."""
        self.intake.note_own(envelope_id)
        outgoing = Outgoing(envelope_id, envelope, reference, now)
        self.publisher.publish(outgoing, self.attached, self.committee, now, out)

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
            case "hidden":
                for hider, envelope_id in self.intake.hidden_by(self.attached, now):
                    detail = f"hid envelope {envelope_id.hex()}"
                    out.append(PenalisePeer(PeerKey(hider), RefusalCode.CONFLICT, detail, 5))
            case "publish":
                lacking = self.publisher.due(self.attached, self.committee, now, out)
                self._publish_directly(lacking, now, out)
            case "audit":
                self._audit(now, out)
            case "visit-end" if seat is not None:
                self._end_visit(seat)
            case _:
                pass

    def _publish_directly(self, lacking: list[NodeKey], now: float, out: Effects) -> None:
        for ad in self.committee.seats:
            if ad.node_key not in lacking or ad.node_key in self.attached:
                continue
            if self._context.connector.is_linked(ad.node_key) and ad.node_key in self.intake.logs:
                self.publisher.publish_directly(ad.node_key, self.committee, out)
            else:
                # A seat takes publishes only on a tag that it was shown: visit it first.
                self._direct[ad.node_key] = None
                self._begin_visit(ad.node_key, now, out)

    # --- audits and last digests --------------------------------------------------------------

    def _plan_audit(self, now: float) -> None:
        self._next_audit_at = now + AUDIT_SECONDS * (0.5 + self._context.chooser.random())
        self._context.agenda.set(("audit", self.tag), self._next_audit_at)

    def _audit(self, now: float, out: Effects) -> None:
        """Ask one seat that is not ours what it holds."""
        others = [ad.node_key for ad in self.committee.seats if ad.node_key not in self._attachments]
        if others:
            self._context.counters.audits += 1
            self._begin_visit(others[int(self._context.chooser.random() * len(others))], now, out)
        self._plan_audit(now)

    def last_digests(self, now: float, out: Effects) -> float:
        """The overlap is over: ask every seat once more. Returns when the tag may be closed."""
        self.is_closing = True
        for ad in self.committee.seats:
            self._begin_visit(ad.node_key, now, out)
        return now + LAST_DIGEST_SECONDS

    def _begin_visit(self, seat: NodeKey, now: float, out: Effects) -> None:
        contact = next((ad.contact() for ad in self.committee.ranking if ad.node_key == seat), None)
        if contact is None:
            return
        self._visits[seat] = now
        self._context.connector.want(("visit", self.tag), contact, now, out)
        self._context.agenda.set(("visit-end", self.tag, seat), now + AUDIT_RELEASE_SECONDS)
        if self._context.connector.is_linked(seat):
            self._visit(seat, now, out)

    def _visit(self, seat: NodeKey, now: float, out: Effects) -> None:
        self._subscribe(seat, SubscriptionMode.AUDIT, out)
        self._context.agenda.set_earlier(("gap", self.tag, seat), now + UNSEEN_PULL_DELAY_SECONDS)

    def _end_visit(self, seat: NodeKey) -> None:
        self._visits.pop(seat, None)
        self._direct.pop(seat, None)
        self._context.connector.release(("visit", self.tag), seat)

    def close(self, out: Effects) -> None:
        """Leave all seats and forget all deadlines. Idempotent."""
        for seat in list(self._attachments):
            self._detach(seat, out)
        for seat in list(self._visits):
            self._end_visit(seat)
            self._context.agenda.cancel(("visit-end", self.tag, seat))
        for what in ("settle", "unseen", "hidden", "publish", "audit"):
            self._context.agenda.cancel((what, self.tag))
        for seat in self.intake.logs:
            self._context.agenda.cancel(("gap", self.tag, seat))


def forged(detail: str) -> PeerError:
    """A seat delivered what no member sealed."""
    return PeerError(RefusalCode.BAD_SIGNATURE, detail, penalty_points=20)
