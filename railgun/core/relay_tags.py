"""All tags of one relay: opened, kept in touch with the other seats, closed.

Owns: which tags are open, who is to take part in each, tags' life times, the death and return of other seats.
Must not know: what frames clients send, budgets. Parts: `seat`, `connector`, `liveness`, `node_directory`.

A relay takes part in a tag if it is a seat by its own directory, or a standby that somebody uses: a client that is
subscribed or publishes, or a seat that has found another dead. A relay that nobody uses says so and takes its leave,
so that relays whose directories were not yet complete do not go on exchanging what is not theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from railgun.core.agenda import Agenda
from railgun.core.clock import EpochClock
from railgun.core.connector import Connector
from railgun.core.counters import RelayCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.epochs import EpochWindow
from railgun.core.liveness import Liveness
from railgun.core.node_directory import NodeDirectory
from railgun.core.seat import Seat, SeatContext
from railgun.core.tag_admission import Opener, TagAdmission
from railgun.crypto.epoch import is_epoch_start
from railgun.crypto.receipts import descriptor_content, verify_tag_descriptor
from railgun.errors import PeerError, RefusalCode
from railgun.limits import PULSE_SECONDARY_SECONDS, PULSE_SECONDS
from railgun.network import NetworkParameters
from railgun.types import NodeKey, PeerKey, Tag
from railgun.wire.frames import Refused, SeatDown, SeatOpen, TagDescriptor
from railgun.wire.records import Ad

WARM_STANDBYS = 2
WARM_PULSE_SECONDS = 20.0
"""Standbys' links are kept from idling, so that one can be included at once."""


class RelayTags:
    """The tags that a relay serves."""

    def __init__(
        self,
        context: SeatContext,
        network: NetworkParameters,
        directory: NodeDirectory,
        liveness: Liveness,
        clock: EpochClock,
        release_bytes: Callable[[int], None],
    ) -> None:
        """``release_bytes`` gives back what a closed tag had reserved."""
        self.seats: dict[Tag, Seat] = {}
        self.is_leaving = False
        self.flush_due: dict[Tag, None] = {}
        """Tags that gathered something in this turn. One object for good: whoever drives the relay may look at it."""
        self._context = context
        self.node_key = context.node_key
        self._agenda: Agenda = context.agenda
        self._counters: RelayCounters = context.counters
        self._network = network
        self._directory = directory
        self._connector: Connector = directory.connector
        self._liveness = liveness
        self._clock = clock
        self._release_bytes = release_bytes
        self._admission = TagAdmission(self.seats)

    def find(self, tag: Tag) -> Seat:
        """Raises PeerError: UNKNOWN_TAG."""
        seat = self.seats.get(tag)
        if seat is None:
            raise PeerError(RefusalCode.UNKNOWN_TAG, "open it first", penalty_points=0)
        return seat

    # --- opening and closing ------------------------------------------------------------------

    def check_cheaply(self, descriptor: TagDescriptor, opener: Opener, now: float) -> bool:
        """Whether the tag is open under this very descriptor.

        Raises PeerError where it could not be opened, whoever signed it: OUTSIDE_WINDOW, BUSY or QUOTA_EXCEEDED.
        """
        standing = self.seats.get(descriptor.tag)
        if standing is not None and standing.descriptor == descriptor:
            return True
        window = EpochWindow.of(descriptor.start, self._network)
        if not window.accept_from <= self._clock.wall(now) < window.keep_until:
            raise PeerError(RefusalCode.OUTSIDE_WINDOW, "the tag's epoch", penalty_points=0)
        if not is_epoch_start(descriptor.start, self._network.epoch_seconds):
            # Whoever could name any second would have every one of them worked out: which ads count for it.
            raise PeerError(RefusalCode.OUTSIDE_WINDOW, "no epoch starts then", penalty_points=5)
        if standing is None:
            self._admission.check(opener)
        return False

    def open(self, descriptor: TagDescriptor, opener: Opener, now: float, out: Effects) -> Seat:
        """The seat of a descriptor, opened if need be; `settle` is to follow. After `check_cheaply`.

        Raises PeerError: BAD_SIGNATURE, NOT_A_SEAT, or as `check_cheaply`.
        """
        standing = self.seats.get(descriptor.tag)
        if standing is not None and opener.proved:
            self._admission.prove(descriptor.tag, opener)
        if standing is not None and standing.descriptor == descriptor:
            return standing
        if not verify_tag_descriptor(descriptor):
            raise PeerError(RefusalCode.BAD_SIGNATURE, "tag descriptor", penalty_points=10)
        wall = self._clock.wall(now)
        committee = self._directory.committee(descriptor.tag, descriptor.start, descriptor.committee_size, wall)
        if standing is not None:
            if _precedence(descriptor) < _precedence(standing.descriptor):
                self._counters.refused(RefusalCode.CONFLICT)
                standing.descriptor = descriptor
                standing.use(committee)
            return standing
        if committee.rank_of(self.node_key) is None:
            raise PeerError(RefusalCode.NOT_A_SEAT, "not among the ranks kept", penalty_points=0)
        victim = self._admission.check(opener)
        if victim is not None:
            self._give_way(victim, out)
        self._admission.enter(descriptor.tag, opener)
        window = EpochWindow.of(descriptor.start, self._network)
        seat = self.seats[descriptor.tag] = Seat(self._context, descriptor, committee, window)
        self._counters.tags_opened += 1
        self._agenda.set(("tag-end", descriptor.tag), now + (window.keep_until - wall))
        self._plan_phase(seat, now)
        if len(committee.seats) - seat.is_own > 0:
            seat.exchange.start_filling(committee, now)
        return seat

    def _give_way(self, tag: Tag, out: Effects) -> None:
        """Close a tag that holds nothing before its time, and tell who used it: they may show it again."""
        self._counters.refused(RefusalCode.BUSY)
        seat = self.seats[tag]
        peers = (*seat.clients, *map(PeerKey, seat.exchange.others))
        if peers:
            out.append(SendFrame(peers, Refused(RefusalCode.UNKNOWN_TAG, tag, None, None)))
        self.close(tag)

    def _plan_phase(self, seat: Seat, now: float) -> None:
        wall = self._clock.wall(now)
        at = seat.window.next_phase(wall)
        if at is not None:
            self._agenda.set(("phase", seat.tag), now + (at - wall) + 0.001)

    def _pulse_seconds(self, seat: Seat, now: float) -> float:
        return PULSE_SECONDS if seat.window.is_busy(self._clock.wall(now)) else PULSE_SECONDARY_SECONDS

    def close(self, tag: Tag) -> None:
        """Forget a tag and all that it holds. Idempotent."""
        seat = self.seats.pop(tag, None)
        if seat is None:
            return
        self._admission.leave(tag)
        self._release_bytes(seat.store.held_bytes)
        self.flush_due.pop(tag, None)
        for word in ("exchange", "seat-pull", "filled", "phase", "tag-end"):
            self._agenda.cancel((word, tag))
        for node in dict.fromkeys((*seat.linked_for, *seat.exchange.others, *seat.watched)):
            self._let_go(seat, node)

    def _let_go(self, seat: Seat, node: NodeKey) -> None:
        peer = PeerKey(node)
        seat.linked_for.pop(node, None)
        seat.watched.pop(node, None)
        for word in ("seat", "warm"):
            self._connector.release((word, seat.tag), node)
            self._liveness.unwatch(peer, (word, seat.tag))
        seat.exchange.exclude(node)

    def _watch(self, seat: Seat, node: NodeKey, now: float) -> None:
        seat.watched[node] = None
        self._liveness.watch(PeerKey(node), ("seat", seat.tag), self._pulse_seconds(seat, now), now)

    def _unwatch_the_gone(self, seat: Seat, wanted: Iterable[NodeKey]) -> None:
        """Whoever takes part no more is no longer of this tag's concern, however it went."""
        for node in [node for node in seat.watched if node not in wanted and not seat.exchange.is_open_with(node)]:
            del seat.watched[node]
            self._liveness.unwatch(PeerKey(node), ("seat", seat.tag))

    # --- who takes part -----------------------------------------------------------------------

    def settle(self, seat: Seat, now: float, out: Effects) -> None:
        """Bring a tag's links to what they should be. Idempotent; call after any change."""
        if not seat.takes_part(now):
            self._retire(seat, out)
            return
        wanted, warm = self._wanted(seat, now)
        if self._clock.wall(now) >= seat.window.accept_until:
            warm = {}
            wanted = {node: ad for node, ad in wanted.items() if seat.exchange.is_open_with(node)}
        for node in list(seat.linked_for):
            if node not in wanted and node not in warm:
                if seat.exchange.is_open_with(node):
                    self._decline(seat, node, RefusalCode.IDLE, out)
                self._let_go(seat, node)
        for node in [node for node in {**seat.included, **seat.exchange.wanted} if node not in wanted]:
            # Also one that was a seat as we saw it before: asked on and on it would stay for our sake.
            seat.included.pop(node, None)
            seat.exchange.unwant(node)  # it goes if nobody else uses it, and says so
            self._decline(seat, node, RefusalCode.IDLE, out)
        seat.included = {node: None for node in wanted if node not in seat.seat_keys}
        seats_hash = seat.seats_hash
        for node, ad in warm.items():
            seat.linked_for[node] = None
            self._connector.want(("warm", seat.tag), ad.contact(), now, out)
            if self._connector.is_linked(node):
                self._liveness.watch(PeerKey(node), ("warm", seat.tag), WARM_PULSE_SECONDS, now)
        self._unwatch_the_gone(seat, wanted)
        for node in seat.exchange.others:
            self._watch(seat, node, now)
        for node, ad in wanted.items():
            seat.linked_for[node] = None
            self._connector.want(("seat", seat.tag), ad.contact(), now, out)
            if self._connector.is_linked(node):
                seat.exchange.include(node, seats_hash, now, out)
                self._watch(seat, node, now)

    def _wanted(self, seat: Seat, now: float) -> tuple[dict[NodeKey, Ad], dict[NodeKey, Ad]]:
        """Who is to take part (the other seats, a standby for each dead one), and which standbys to keep warm.

        Fallbacks stand behind the standbys."""
        committee = seat.committee
        wanted = {ad.node_key: ad for ad in committee.seats if ad.node_key != self.node_key}
        if not seat.is_own:
            return wanted, {}
        dead = sum(self._connector.is_failing(node, now) for node in wanted)
        behind = committee.standbys + committee.fallbacks
        live = [ad for ad in behind if not self._connector.is_failing(ad.node_key, now)]
        wanted.update((ad.node_key, ad) for ad in live[:dead])
        return wanted, {ad.node_key: ad for ad in live[dead : dead + WARM_STANDBYS]}

    def _retire(self, seat: Seat, out: Effects) -> None:
        """Nobody uses this relay for the tag. What it holds it keeps to the end, for who might ask."""
        for node in seat.exchange.others:
            self._decline(seat, node, RefusalCode.NOT_A_SEAT, out)
        for node in dict.fromkeys((*seat.linked_for, *seat.exchange.others, *seat.watched)):
            self._let_go(seat, node)
        if not len(seat.store):
            self.close(seat.tag)

    def _decline(self, seat: Seat, node: NodeKey, code: RefusalCode, out: Effects) -> None:
        out.append(SendFrame((PeerKey(node),), Refused(code, seat.tag, None, None)))

    # --- seats' words -------------------------------------------------------------------------

    def opened_by(self, node: NodeKey, frame: SeatOpen, now: float, out: Effects) -> None:
        """Another relay wants us to take part, after its descriptor was looked at.

        Raises PeerError: NOT_A_SEAT where we do not, BUSY where too many do, or as `open`.
        """
        seat = self.open(frame.descriptor, Opener(PeerKey(node), proved=False), now, out)
        agrees = frame.seats_hash == seat.seats_hash
        if frame.reply and agrees and not seat.is_own and node in seat.seat_keys:
            seat.included_by[node] = None
        if not agrees:
            self._directory.views_differ(PeerKey(node), self._clock.wall(now), now, out)
        if not seat.takes_part(now):
            self._retire(seat, out)
            raise PeerError(RefusalCode.NOT_A_SEAT, "a standby that nobody uses", penalty_points=0)
        if not seat.exchange.opened_by(node, seat.committee, now):
            raise PeerError(RefusalCode.BUSY, "relays in one tag", penalty_points=0)
        if frame.reply:
            out.append(SendFrame((PeerKey(node),), SeatOpen(seat.descriptor, seat.seats_hash, False)))
        self._watch(seat, node, now)
        self.flush_due[seat.tag] = None
        self.settle(seat, now, out)

    def declined_by(self, node: NodeKey, frame: Refused, now: float, out: Effects) -> None:
        """Another relay refused something of a tag."""
        seat = None if frame.tag is None else self.seats.get(frame.tag)
        if seat is None or frame.ids is not None:
            return
        if frame.code is RefusalCode.IDLE:
            seat.included_by.pop(node, None)
            self.settle(seat, now, out)
            return
        if frame.code not in (RefusalCode.NOT_A_SEAT, RefusalCode.UNKNOWN_TAG, RefusalCode.OUTSIDE_WINDOW):
            return
        if frame.code is RefusalCode.NOT_A_SEAT and node in seat.seat_keys:
            self._directory.views_differ(PeerKey(node), self._clock.wall(now), now, out)
        if self._clock.wall(now) >= seat.window.accept_until:  # it has closed the tag before us
            self._let_go(seat, node)
        else:
            seat.exchange.declined_by(node)
            self._unwatch_the_gone(seat, seat.exchange.wanted)

    # --- links --------------------------------------------------------------------------------

    def relay_connected(self, node: NodeKey, now: float, out: Effects) -> None:
        """A link to another relay is up: it may be wanted, or stand for one that was dead."""
        for seat in list(self.seats.values()):
            if node in seat.linked_for or node in seat.seat_keys:
                self.settle(seat, now, out)

    def relay_gone(self, node: NodeKey, now: float, out: Effects, *, newly: bool) -> None:
        """A link to another relay is gone, or could not be made. ``newly``: it was there, or is tried first."""
        for seat in list(self.seats.values()):
            is_seat = node in seat.seat_keys
            concerned = is_seat or node in seat.linked_for or seat.exchange.is_open_with(node)
            if not concerned:
                continue
            seat.drop_relay(node)
            subscribers = seat.subscribers.peers
            if is_seat and newly and subscribers:
                out.append(SendFrame(subscribers, SeatDown(seat.tag, node, True)))
            self.settle(seat, now, out)

    def relay_doubted(self, node: NodeKey, out: Effects) -> None:
        """Another relay leaves pulses unanswered: subscribers that it serves had better look for themselves."""
        for seat in self.seats.values():
            subscribers = seat.subscribers.peers
            if node in seat.seat_keys and subscribers:
                out.append(SendFrame(subscribers, SeatDown(seat.tag, node, False)))

    def leave(self, out: Effects) -> None:
        """This relay is about to go: have subscribers move on, and take none any more."""
        self.is_leaving = True
        for seat in self.seats.values():
            subscribers = seat.subscribers.peers
            if subscribers:
                out.append(SendFrame(subscribers, SeatDown(seat.tag, self.node_key, False)))

    @property
    def has_subscribers(self) -> bool:
        return any(len(seat.subscribers) for seat in self.seats.values())

    def client_left(self, peer: PeerKey, tag: Tag, now: float, out: Effects) -> None:
        """A client unsubscribed, or its link is gone."""
        seat = self.seats.get(tag)
        if seat is not None:
            seat.drop_client(peer)
            if not seat.is_own:
                self.settle(seat, now, out)

    def directory_changed(self, now: float, out: Effects) -> None:
        """Other relays may count than before."""
        wall = self._clock.wall(now)
        for seat in list(self.seats.values()):
            descriptor = seat.descriptor
            committee = self._directory.committee(descriptor.tag, descriptor.start, descriptor.committee_size, wall)
            if committee is not seat.committee:
                changed = committee.ranking != seat.committee.ranking
                seat.use(committee)
                if changed:
                    seat.included_by = {node: None for node in seat.included_by if node in committee.seat_keys}
                    self.settle(seat, now, out)

    # --- deadlines ----------------------------------------------------------------------------

    def due(self, word: str, tag: Tag, now: float, out: Effects) -> None:
        """One of the deadlines exchange, seat-pull, filled, phase, tag-end."""
        seat = self.seats.get(tag)
        if seat is None:
            return
        match word:
            case "exchange":
                if not seat.is_own:
                    self.settle(seat, now, out)
                seat.exchange.exchange_due(seat.seats_hash, now, out)
            case "seat-pull":
                seat.exchange.pulls.due(seat.exchange.others, now, out)
            case "phase":
                self._plan_phase(seat, now)
                self.settle(seat, now, out)
            case "filled":
                seat.fill_due(now, out)
            case "tag-end":
                left = seat.window.keep_until - self._clock.wall(now)
                if left > 0.01:  # the clock was corrected meanwhile
                    self._agenda.set(("tag-end", tag), now + left)
                else:
                    self.close(tag)

    def flush(self, now: float, out: Effects) -> None:
        """Send what this turn gathered."""
        due = list(self.flush_due)
        self.flush_due.clear()
        for tag in due:
            seat = self.seats.get(tag)
            if seat is not None:
                seat.flush(now, out)


def _precedence(descriptor: TagDescriptor) -> bytes:
    """Of conflicting descriptors, signed by one r_e, the bytewise smallest wins."""
    return descriptor_content(descriptor.start, descriptor.tag, descriptor.committee_size, descriptor.gate)
