"""A relay: its peers, its tags, its directory.

Owns: dispatch of events to the parts, peers' coming and going, pulses.
Must not know: rooms, sockets, disks. Parts: `relay_frames` (what frames ask for), `relay_peers` (budgets),
`relay_tags`, `seat`, `node_directory`, `connector`, `liveness`.

Peer input never raises out of `handle`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized

from railgun.core.agenda import Agenda, DeadlineName
from railgun.core.clock import EpochClock
from railgun.core.connector import Connector
from railgun.core.counters import RelayCounters
from railgun.core.effects import Disconnect, Effects, Notify, SendPulse
from railgun.core.events import (
    ClockRead,
    DialFailed,
    Event,
    FrameMalformed,
    FrameReceived,
    PeerConnected,
    PeerDisconnected,
    PulseReceived,
    SendBlocked,
    TimerFired,
    TurnEnded,
    ended_idle,
)
from railgun.core.liveness import PULSES, Liveness
from railgun.core.node_directory import NodeDirectory
from railgun.core.notifications import ClockCorrected
from railgun.core.relay_frames import RelayFrames
from railgun.core.relay_limits import RelayLimits
from railgun.core.relay_peers import RelayPeer, RelayPeers
from railgun.core.relay_tags import RelayTags
from railgun.core.seat import Seat, SeatContext
from railgun.errors import PeerError, RefusalCode
from railgun.limits import (
    PULSE_TAGS_MAX,
    SEAT_BYTES_MAX,
)
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import NodeKey, PeerKey, Tag
from railgun.wire.frames import (
    Frame,
    Pulse,
    TagNumber,
)

SWEEP_SECONDS = 10.0
TAG_DEADLINES = frozenset({"exchange", "seat-pull", "filled", "phase", "tag-end"})


class RelayMachine:
    """One relay. `handle` is its whole life; `counters` and `seats` may be read at any time."""

    def __init__(
        self,
        *,
        node_key: NodeKey,
        signing_key: bytes,
        incarnation: bytes,
        network: NetworkParameters,
        directory: NodeDirectory,
        relay_limits: RelayLimits | None = None,
    ) -> None:
        """``signing_key``: seed || public key, 64 bytes. ``incarnation``: 8 random bytes, fresh at each start.

        ``directory`` shares this machine's ``agenda`` (see `NodeDirectory`).
        """
        limits = relay_limits or RelayLimits()
        self.node_key = node_key
        self.network = network
        self.agenda: Agenda = directory.agenda
        self.connector: Connector = directory.connector
        self.clock = EpochClock(corrects=True)
        self.counters = RelayCounters()
        self.directory = directory
        self.liveness = Liveness(self.agenda, PeerKey(node_key))
        self._peers = RelayPeers(directory.directory, limits, shares_prefixes=network.kind is not NetworkKind.LAN)
        self._held_bytes = 0
        self._clock_told = 0.0
        context = SeatContext(
            node_key,
            signing_key,
            incarnation,
            self.agenda,
            self.counters,
            self._reserve_bytes,
            limits.tag_bytes_max,
        )
        self.tags = RelayTags(context, network, directory, self.liveness, self.clock, self._release_bytes)
        self._frames = RelayFrames(self.tags, directory, self.clock, self.counters, self._peers.find_ad)

    @property
    def seats(self) -> dict[Tag, Seat]:
        """The tags that are open here."""
        return self.tags.seats

    # --- events -------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> Effects:
        """Take one event; return what is to be done."""
        out: Effects = []
        kind = type(event)  # the frequent ones first, and without matching
        if kind is FrameReceived:
            self._frame_received(event.peer, event.frame, now, out)  # type: ignore[union-attr]
        elif kind is PulseReceived:
            self._pulse_received(event.peer, event.pulse, now, out)  # type: ignore[union-attr]
        elif kind is TimerFired:
            for name in self.agenda.take_fired(event.generation, now):  # type: ignore[union-attr]
                self._due(name, now, out)
        elif kind is TurnEnded:
            self.tags.flush(now, out)
        else:
            self._rare(event, now, out)
        if self.agenda.to_arm:
            self.agenda.arm(out)
        return out

    def _rare(self, event: Event, now: float, out: Effects) -> None:
        match event:
            case PeerConnected():
                self._peer_connected(event, now, out)
            case PeerDisconnected(peer, reason, retry):
                if self._peers.get(peer) is not None:
                    self._peer_gone(peer, retry, now, out, idle=ended_idle(reason))
            case DialFailed(peer, _, retry):
                newly = self.connector.lost(peer, retry, now)
                self.tags.relay_gone(NodeKey(peer), now, out, newly=newly)
            case FrameMalformed(peer, detail):
                self.counters.malformed_frames += 1
                state = self._peers.get(peer)
                if state is not None:
                    self._frames.penalise(state, PeerError(RefusalCode.MALFORMED, detail, 10), out)
            case SendBlocked():
                self.counters.frames_blocked += 1
            case ClockRead(offset):
                self.clock.read(offset)
                self.directory.started(self.clock.wall(now), now, out)
            case _:
                pass

    @property
    def turn_work(self) -> Sized:
        """What `TurnEnded` would do something about: one collection for good, empty while there is nothing."""
        return self.tags.flush_due

    @property
    def turn_due(self) -> bool:
        """Whether `TurnEnded` would do anything; the shell may spare itself the event."""
        return bool(self.tags.flush_due)

    def state_sizes(self) -> dict[str, int]:
        """How much is held, for checks that it returns to its baseline."""
        return {
            "peers": len(self._peers),
            "seats": len(self.seats),
            "held_bytes": self._held_bytes,
            "agenda": len(self.agenda),
            "watched": len(self.liveness),
            "wanted": self.connector.wanted_count,
        }

    def _reserve_bytes(self, count: int) -> bool:
        if self._held_bytes + count > SEAT_BYTES_MAX:
            return False
        self._held_bytes += count
        return True

    def _release_bytes(self, count: int) -> None:
        self._held_bytes -= count

    # --- peers --------------------------------------------------------------------------------

    def _peer_connected(self, event: PeerConnected, now: float, out: Effects) -> None:
        self._peers.add(event.peer, now, says_relay=event.is_relay, prefix=event.prefix)
        self.connector.connected(event, now)
        self.directory.peer_connected(event.peer, now, out, is_relay=event.is_relay)
        if self._peers.has_clients():
            self.agenda.set_earlier(("sweep",), now + SWEEP_SECONDS)
        if not event.is_relay:
            return
        if not event.inbound:  # whoever dials us must not choose our time
            self.clock.sample(event.peer, event.clock_offset_seconds)
            self._tell_clock(out)
        self.tags.relay_connected(NodeKey(event.peer), now, out)

    def _tell_clock(self, out: Effects) -> None:
        """Say so when the clock is off, and again when that has changed."""
        correction, half_overlap = self.clock.correction_seconds, self.network.overlap_seconds / 2
        if abs(correction - self._clock_told) > half_overlap / 4:
            self._clock_told = correction
            out.append(Notify(ClockCorrected(correction, abs(correction) > half_overlap)))

    def _peer_gone(
        self, peer_key: PeerKey, retry_after_seconds: float | None, now: float, out: Effects, *, idle: bool = False
    ) -> None:
        peer = self._peers.remove(peer_key)
        self.liveness.forget(peer_key)
        newly = self.connector.lost(peer_key, retry_after_seconds, now, idle=idle)
        self.directory.peer_gone(peer_key)
        if peer is None:
            return
        if peer.says_relay:
            self.tags.relay_gone(NodeKey(peer_key), now, out, newly=newly and not idle)
        for tag in peer.tags:
            self.tags.client_left(peer_key, tag, now, out)

    # --- deadlines ----------------------------------------------------------------------------

    def _due(self, name: DeadlineName, now: float, out: Effects) -> None:
        if name == PULSES:
            self.liveness.pulses_due(now, out)
            return
        match name:
            case ("silence", peer):
                if self.liveness.silence_due(peer, now):
                    out.append(Disconnect(peer, RefusalCode.REPLACED))
                    self._peer_gone(peer, None, now, out)
                elif self.liveness.is_doubted(peer):
                    self.tags.relay_doubted(NodeKey(peer), out)
            case ("sweep",):
                self._sweep(now, out)
            case ("dial", peer):
                self.connector.dial_due(peer, now, out)
            case (str(word), tag) if word in TAG_DEADLINES:
                self.tags.due(word, tag, now, out)
            case _:
                self.directory.due(name, self.clock.wall(now), now, out)
                self.directory.take_changed()
                # Not only after changes: while a network is young, ads begin to count by the clock.
                self.tags.directory_changed(now, out)

    def _sweep(self, now: float, out: Effects) -> None:
        """Let go of clients that have not been heard for long."""
        for key in self._peers.silent(now):
            out.append(Disconnect(key, RefusalCode.IDLE))
            self._peer_gone(key, None, now, out)
        if self._peers.has_clients():
            self.agenda.set(("sweep",), now + SWEEP_SECONDS)

    # --- frames -------------------------------------------------------------------------------

    def _frame_received(self, peer_key: PeerKey, frame: Frame, now: float, out: Effects) -> None:
        peer = self._peers.get(peer_key)
        if peer is None:
            return
        peer.heard_at = now
        if peer.says_relay:
            self.liveness.heard(peer_key, now)
        self._frames.received(peer, frame, now, out)

    def _pulse_received(self, peer_key: PeerKey, pulse: Pulse, now: float, out: Effects) -> None:
        peer = self._peers.get(peer_key)
        if peer is None:
            return
        peer.heard_at = now
        if peer.says_relay:
            self.liveness.heard(peer_key, now, answer=not pulse.wants_echo)
        if not pulse.wants_echo:
            return
        if not peer.pulses.take(1.0, now):
            self.counters.refused(RefusalCode.RATE_LIMITED)
            return
        numbers = self._numbers(peer) if peer.tags else ()
        out.append(SendPulse(peer_key, Pulse(0, pulse.sequence, False, numbers)))

    def _numbers(self, peer: RelayPeer) -> tuple[TagNumber, ...]:
        """The last numbers of the tags that a client is subscribed to; busy links take turns."""
        seats = self.tags.seats
        tags: Iterable[Tag] = peer.tags
        if len(peer.tags) > PULSE_TAGS_MAX:
            every = list(peer.tags)
            start = peer.tags_told % len(every)
            tags = (every[start:] + every[:start])[:PULSE_TAGS_MAX]
            peer.tags_told += PULSE_TAGS_MAX
        numbers = []
        for tag in tags:
            seat = seats.get(tag)
            number = None if seat is None else seat.subscribers.number_for(peer.key)
            if number is not None:
                numbers.append(number)
        return tuple(numbers)
