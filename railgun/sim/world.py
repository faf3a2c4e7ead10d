"""A virtual world that drives thousands of machines on one heap of events.

Owns: virtual time, the order of events, turns, persistence, what passes over links, crashes and clocks.
Must not know: what any machine decides, or the wall clock of the computer that it runs on.
Spec: design, simulation. One seed, one trace.

An entry of the heap is (virtual second, sequence, node, event, guard, kind). The sequence is unique: it breaks
ties, and it is the logical number of what it stands for in the trace. Entries without a node are the world's own
actions. The inner loop is written for speed: records are packed in place, and one `FrameReceived` serves all
receivers of a frame.

A turn is all that happens to a node at one instant, then `TurnEnded` (which a machine whose ``turn_work`` is empty
is spared); its effects are carried out at its end, and what it persists first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from railgun.core.effects import (
    Connect,
    Disconnect,
    Effect,
    Notification,
    Notify,
    PenalisePeer,
    Persist,
    SendFrame,
    SendPulse,
    SetTimer,
)
from railgun.core.events import (
    ClockRead,
    Event,
    FrameReceived,
    PulseReceived,
    SendBlocked,
    TimerFired,
    TurnEnded,
)
from railgun.errors import InvariantViolated
from railgun.ports import Trace
from railgun.sim.network_model import NetworkModel, NetworkSampler
from railgun.sim.trace import FLUSH_BYTES, RECEIVED, RECORD, TraceDigest
from railgun.sim.virtual_links import VirtualLinks
from railgun.sim.virtual_node import CrashPoint, Guard, Leg, LinksAfterCrash, Machine, MachineFactory, Node
from railgun.types import PeerKey
from railgun.wire.frames import FRAMES, PULSES, Frame

WALL_BASE_SECONDS: Final = 1_800_000_000.0
"""What an exact clock shows at virtual second 0."""
INSTANT_EVENTS_MAX: Final = 1_000_000
"""Events in a row at one instant; more is a machine that answers itself for ever."""
TURN_ENDED: Final = TurnEnded()

Entry: TypeAlias = tuple[float, int, Node | None, Any, Guard, int]
MachineCall: TypeAlias = Callable[[Any, float], Sequence[Effect]]


class World:
    """Machines, links and faults in virtual time.

    Attributes:
        now: the virtual second; also every machine's monotonic clock.
        events: how many events machines have handled, `TurnEnded` and scenario calls included.
    """

    def __init__(
        self,
        seed: int,
        network_model: NetworkModel | None = None,
        *,
        encode_frames: bool = False,
        on_notification: Callable[[str, float, Notification], None] | None = None,
        notification_number: Callable[[Notification], int | None] | None = None,
        listener: Trace | None = None,
        wall_base_seconds: float = WALL_BASE_SECONDS,
    ) -> None:
        """``encode_frames`` sends everything through the codecs, to prove that it is encodable.
        ``notification_number`` names the message of a notification for the trace. ``listener`` hears every record."""
        self.now = 0.0
        self.events = 0
        self.nodes: dict[str, Node] = {}
        self.nodes_by_key: dict[PeerKey, Node] = {}
        self.sampler = NetworkSampler(seed, network_model or NetworkModel())
        self.encode_frames = encode_frames
        self.keep_notifications = True
        self._on_notification = on_notification
        self._notification_number = notification_number
        self._wall_base_seconds = wall_base_seconds
        self._trace = TraceDigest(listener)
        self._heap: list[Entry] = []
        self._sequence = 0
        self._always = Guard()
        self._links = VirtualLinks(self)

    # --- building -------------------------------------------------------------------------------

    def add_node(
        self,
        name: str,
        key: PeerKey,
        is_relay: bool,
        machine_factory: MachineFactory,
        wall_offset_seconds: float = 0.0,
    ) -> Node:
        """Start a node now. ``key`` is what its links prove: a relay's node key, a client's link key.
        ``wall_offset_seconds`` is by how much its clock is ahead. Names and keys are unique: else ValueError."""
        if name in self.nodes or key in self.nodes_by_key:
            raise ValueError(f"{name}: this name or key is taken")
        node = Node(len(self.nodes), name, key, is_relay, machine_factory, wall_offset_seconds)
        self.nodes[name] = self.nodes_by_key[key] = node
        self._start(node)
        return node

    def machine(self, name: str) -> Any:
        """The node's machine, or None while it is down."""
        return self.nodes[name].machine

    def machines(self) -> Iterator[tuple[str, Machine]]:
        """Names and machines of the nodes that are up."""
        for name, node in self.nodes.items():
            if node.machine is not None:
                yield name, node.machine

    def trace_digest(self) -> str:
        """Over every event and effect so far; 64 hexadecimal digits."""
        return self._trace.hexdigest()

    # --- scheduling -----------------------------------------------------------------------------

    def post(self, node: Node, event: Event, at: float, guard: Guard) -> None:
        """Let ``event`` happen to ``node`` unless ``guard`` closes first."""
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, node, event, guard, self._trace.kinds[type(event)]))

    def post_frame(self, leg: Leg, frame: Frame, kind: int, at: float) -> None:
        """Let a frame sent by ``leg`` arrive at its far end."""
        self._sequence += 1
        event = FrameReceived(leg.near.key, frame)
        heapq.heappush(self._heap, (at, self._sequence, leg.far, event, leg.reverse, kind | RECEIVED))

    def act(self, at: float, action: Callable[[], None], guard: Guard | None = None) -> None:
        """Call ``action`` at virtual second ``at`` (a fault, a step of a scenario)."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(at, self.now), self._sequence, None, action, guard or self._always, 0))

    def call(self, name: str, at: float, label: str, number: int, function: MachineCall) -> None:
        """At ``at`` let the application of a node call ``function(machine, now)`` and carry out the effects.

        ``label`` and ``number`` (from 0) stand in the trace. Nothing happens if the node is down then.
        """

        def run() -> None:
            node = self.nodes[name]
            if node.machine is None:
                return
            self.events += 1
            self._trace.record(self.now, node.index, name, self._trace.kinds[label], number)
            node.turn += function(node.machine, self.now)
            self._end_turn(node)

        self.act(at, run)

    # --- faults ---------------------------------------------------------------------------------

    def crash(
        self, name: str, *, links: LinksAfterCrash = LinksAfterCrash.SILENCE, at: CrashPoint = CrashPoint.NOW
    ) -> None:
        """The node loses its memory and keeps its disk. Harmless on a node that is down."""
        node = self.nodes[name]
        if not node.is_up:
            return
        if at is not CrashPoint.NOW:
            node.crash_point, node.crash_links = at, links
            return
        self._trace.record(self.now, node.index, name, self._trace.kinds["crash"], 0)
        node.life.open = False
        node.timer.open = False
        self._links.crashed(node, links)
        node.reset()

    def restart(self, name: str) -> None:
        """Start the node again with what it persisted; one that is up crashes first."""
        self.crash(name)
        self._start(self.nodes[name])

    def partition(self, groups: Sequence[Sequence[str]], *, name: str = "partition", one_way: bool = False) -> None:
        """Nothing passes between groups of node names (`*` and `?` match); one way: from the first to the others."""
        self._links.cut(name, groups, one_way)

    def heal(self, name: str | None = None) -> None:
        """End one partition, or all. Raises KeyError when there is none of that name."""
        self._links.heal(name)

    def jump_clock(self, name: str, seconds: float) -> None:
        """The node's wall clock jumps, and its shell notices."""
        node = self.nodes[name]
        node.wall_offset_seconds += seconds
        if node.is_up:
            self.post(node, self._clock_read(node), self.now, node.life)

    def slow_down(self, name: str, service_seconds: float) -> None:
        """From now on the node takes so long for each event; others wait in its queue. 0: as fast as light."""
        self.nodes[name].service_seconds = service_seconds

    def use_network(self, model: NetworkModel) -> None:
        """Go on with another network model; links that stand keep their delays."""
        self.sampler.use(model)

    def _clock_read(self, node: Node) -> ClockRead:
        return ClockRead(self._wall_base_seconds + node.wall_offset_seconds)

    def _start(self, node: Node) -> None:
        node.life = Guard()
        disk = {table: dict(rows) for table, rows in node.persisted.items()}
        node.machine = node.factory(disk)
        node.handle = node.machine.handle
        node.turn_work = _turn_work_of(node.machine)
        self.post(node, self._clock_read(node), self.now, node.life)

    # --- running --------------------------------------------------------------------------------

    def run(self, until: float) -> None:
        """Let everything happen up to and at virtual second ``until``; then it is that second.

        Raises what a machine raised, with the node and time noted, and `InvariantViolated` on a livelock.
        """
        heap = self._heap
        trace = self._trace
        buffer, listener = trace.buffer, trace.listener
        ended = trace.kinds[TurnEnded]
        pack, pop = RECORD.pack, heapq.heappop
        events = in_a_row = 0
        node: Node | None = None
        event: Any = None
        try:
            while heap and heap[0][0] <= until:
                at, number, node, event, guard, kind = pop(heap)
                if at != self.now:
                    self.now = at
                    in_a_row = 0
                in_a_row += 1
                if in_a_row > INSTANT_EVENTS_MAX:
                    raise InvariantViolated(f"livelock at virtual second {at}")
                if not guard.open:
                    continue
                if node is None:
                    event()
                    continue
                if node.service_seconds or node.backlog:
                    self._queue(node, event, guard, kind, number)
                    continue
                buffer += pack(at, node.index, kind, number)
                if listener is not None:
                    listener.record(at, node.name, trace.kinds.names[kind], number)
                events += 1
                if heap and heap[0][0] == at:
                    node.turn += node.handle(event, at)
                    events += self._rest_of_instant(node, at)
                    continue
                effects = node.handle(event, at)
                if node.turn_work:
                    buffer += pack(at, node.index, ended, number)
                    events += 1
                    effects = [*effects, *node.handle(TURN_ENDED, at)]
                if effects:
                    self._carry_out(node, effects)
                if len(buffer) > FLUSH_BYTES:
                    trace.flush()
        except Exception as error:
            error.add_note(f"virtual second {self.now!r}, node {node.name if node else '-'}, event {event!r:.300}")
            raise
        finally:
            self.events += events
        self.now = max(self.now, until)

    def _rest_of_instant(self, first: Node, at: float) -> int:
        """Gather all else that happens at this instant, then end the turns; returns how many events it was."""
        heap = self._heap
        trace = self._trace
        events = 0
        first.turn_is_open = True
        turns: list[tuple[Node, Guard]] = [(first, first.life)]
        while heap and heap[0][0] == at:
            _, number, node, event, guard, kind = heapq.heappop(heap)
            if not guard.open:
                continue
            if node is None:
                event()
            elif node.service_seconds or node.backlog:
                self._queue(node, event, guard, kind, number)
            else:
                trace.record(at, node.index, node.name, kind, number)
                if not node.turn_is_open:
                    turns.append((node, node.life))
                    node.turn_is_open = True
                node.turn += node.handle(event, at)
                events += 1
        for node, life in turns:
            if life.open:
                node.turn_is_open = False
                self._end_turn(node)
        return events

    def _end_turn(self, node: Node) -> None:
        effects, node.turn = node.turn, []
        if node.turn_work:
            self._trace.buffer += RECORD.pack(self.now, node.index, self._trace.kinds[TurnEnded], 0)
            self.events += 1
            effects += node.handle(TURN_ENDED, self.now)
        self._carry_out(node, effects)
        if len(self._trace.buffer) > FLUSH_BYTES:
            self._trace.flush()

    def _queue(self, node: Node, event: Event, guard: Guard, kind: int, number: int) -> None:
        """A slow node: one event after the other, and its turn ends when none waits."""
        node.backlog.append((event, guard, kind, number))
        if len(node.backlog) == 1:
            self.act(self.now + node.service_seconds, lambda: self._serve(node), node.life)

    def _serve(self, node: Node) -> None:
        event, guard, kind, number = node.backlog[0]
        if guard.open:
            self.events += 1
            self._trace.record(self.now, node.index, node.name, kind, number)
            node.turn += node.handle(event, self.now)
        node.backlog.popleft()
        if node.backlog:
            self.act(self.now + node.service_seconds, lambda: self._serve(node), node.life)
            return
        self._end_turn(node)

    # --- effects --------------------------------------------------------------------------------

    def _carry_out(self, node: Node, effects: Sequence[Effect]) -> None:
        """Commit what the turn persists, then do the rest in order."""
        for effect in effects:
            if type(effect) is Persist:
                if self._commit(node, effects):
                    return
                break
        trace = self._trace
        kinds = trace.kinds
        for effect in effects:
            cls = type(effect)
            if cls is SendFrame:
                self._send_frame(node, effect)  # type: ignore[arg-type]
            elif cls is SendPulse:
                self._send_pulse(node, effect)  # type: ignore[arg-type]
            elif cls is SetTimer:
                self._set_timer(node, effect)  # type: ignore[arg-type]
            elif isinstance(effect, Notify):
                self._notify(node, effect.notification)
            elif not isinstance(effect, Persist):
                trace.record(self.now, node.index, node.name, kinds[cls], 0)
                if isinstance(effect, Connect):
                    self._links.connect(node, effect)
                elif isinstance(effect, Disconnect):
                    self._links.disconnect(node, effect)
                elif isinstance(effect, PenalisePeer):
                    node.penalties.append((self.now, effect))
                else:
                    raise TypeError(f"{node.name}: {cls.__name__} is no effect")

    def _commit(self, node: Node, effects: Sequence[Effect]) -> bool:
        """Write to the node's disk; True when the node dies of it (a fault that was asked for)."""
        if node.crash_point is CrashPoint.BEFORE_PERSIST:
            self.crash(node.name, links=node.crash_links)
            return True
        trace = self._trace
        for effect in effects:
            if isinstance(effect, Persist):
                trace.record(self.now, node.index, node.name, trace.kinds[Persist], len(effect.writes))
                for write in effect.writes:
                    table = node.persisted.setdefault(write.table, {})
                    if write.value is None:
                        table.pop(write.key, None)
                    else:
                        table[write.key] = write.value
        if node.crash_point is CrashPoint.AFTER_PERSIST:
            self.crash(node.name, links=node.crash_links)
            return True
        return False

    def _send_frame(self, node: Node, effect: SendFrame) -> None:
        trace = self._trace
        frame = effect.frame
        now = self.now
        kind = trace.kinds[type(frame)]
        number = self._sequence
        trace.buffer += RECORD.pack(now, node.index, kind, number)
        if trace.listener is not None:
            trace.listener.record(now, node.name, trace.kinds.names[kind], number)
        if self.encode_frames:
            frame = FRAMES.decode(FRAMES.encode(frame))
        event = FrameReceived(node.key, frame)
        sampler = self.sampler
        legs = node.legs
        kind |= RECEIVED
        for peer in effect.peers:
            leg = legs.get(peer)
            if leg is None or leg.blocked:
                if leg is None or not self._links.hold(leg, frame, kind & ~RECEIVED):
                    self.post(node, SendBlocked(peer, frame), now, node.life)
                continue
            delay = leg.delay
            draw = sampler.random()
            if draw < sampler.loss:
                at = now + sampler.retransmitted_seconds(delay)
            else:
                at = now + delay + delay * sampler.jitter * draw
            if sampler.is_odd:
                at += sampler.held_back_seconds()
                if sampler.random() < sampler.model.frame_duplication:
                    self.post_frame(leg, frame, kind, at + delay * sampler.random())
            self._sequence = number = self._sequence + 1
            heapq.heappush(self._heap, (at, number, leg.far, event, leg.reverse, kind))

    def _send_pulse(self, node: Node, effect: SendPulse) -> None:
        trace = self._trace
        pulse = effect.pulse
        kind = trace.kinds[type(pulse)]
        self._sequence = number = self._sequence + 1
        trace.buffer += RECORD.pack(self.now, node.index, kind, number)
        if trace.listener is not None:
            trace.listener.record(self.now, node.name, trace.kinds.names[kind], number)
        if self.encode_frames:
            pulse = PULSES.decode(PULSES.encode(pulse))
        leg = node.legs.get(effect.peer)
        sampler = self.sampler
        draw = sampler.random()
        if leg is None or leg.blocked or draw < sampler.loss:
            return
        entry = (
            self.now + leg.delay + leg.delay * sampler.jitter * draw,
            number,
            leg.far,
            PulseReceived(node.key, pulse),
            leg.reverse,
            kind | RECEIVED,
        )
        heapq.heappush(self._heap, entry)
        if sampler.model.pulse_duplication and sampler.random() < sampler.model.pulse_duplication:
            self._sequence += 1
            heapq.heappush(self._heap, (entry[0] + leg.delay, self._sequence, *entry[2:]))

    def _set_timer(self, node: Node, effect: SetTimer) -> None:
        trace = self._trace
        kind = trace.kinds[SetTimer]
        trace.buffer += RECORD.pack(self.now, node.index, kind, effect.generation)
        if trace.listener is not None:
            trace.listener.record(self.now, node.name, trace.kinds.names[kind], effect.generation)
        node.timer.open = False
        node.timer = guard = Guard()
        self._sequence += 1
        at = max(effect.at, self.now)
        fired = TimerFired(effect.generation)
        heapq.heappush(self._heap, (at, self._sequence, node, fired, guard, trace.kinds[TimerFired]))

    def _notify(self, node: Node, notification: Notification) -> None:
        number = self._notification_number(notification) if self._notification_number is not None else None
        kind = self._trace.kinds[type(notification)]
        self._trace.record(self.now, node.index, node.name, kind, 0 if number is None else number)
        if self.keep_notifications:
            node.notifications.append((self.now, notification))
        if self._on_notification is not None:
            self._on_notification(node.name, self.now, notification)


def _turn_work_of(machine: Machine) -> object:
    """What is true while a machine wants `TurnEnded`; one that does not tell always does."""
    work: object = getattr(machine, "turn_work", None)
    return True if work is None else work
