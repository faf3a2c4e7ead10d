"""The driver: one task owns a node's machine; all else posts into its bounded queues.

Owns: the order persist -> send -> notify, the node's timer, decoding what links bring, encoding what they take.
Must not know: what the machine decides, which links or which store stand behind the ports.

What this node itself causes waits in one queue, what peers cause in an inbox for each of them (`inboxes`): a peer that
floods delays and loses its own frames and nobody else's. A turn takes what waits (up to a bound), commits all that they
want kept in one transaction, and only then lets frames leave. A store that fails ends the node: going on would break
promises.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

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
    DialFailed,
    Event,
    FrameMalformed,
    FrameReceived,
    PeerConnected,
    PeerDisconnected,
    PeerWritable,
    PulseReceived,
    SendBlocked,
    TimerFired,
    TurnEnded,
)
from railgun.errors import ClosedByPeer, ClosedLocally, LinkError, MalformedInput
from railgun.ports import Clock, Links, LinkUp, Store, Write
from railgun.runtime.inboxes import Inboxes
from railgun.runtime.logs import Log, ShortId
from railgun.types import PeerKey
from railgun.wire.frames import FRAMES, PULSES, Frame, Pulse

EVENTS_PER_TURN_MAX = 256
CLOCK_READ_SECONDS = 5.0
CLOCK_JUMP_SECONDS = 0.2
TURN_ENDED = TurnEnded()

Result = TypeVar("Result")
log = Log("driver")


class Kind(enum.Enum):
    """What waits undecoded."""

    FRAME = "frame"
    PULSE = "pulse"


class Machine(Protocol):
    """What the driver drives."""

    @property
    def turn_due(self) -> bool: ...

    def handle(self, event: Event, now: float) -> list[Effect]: ...


class FrameSide(Protocol):
    """Takes frames of some kinds past the machine: what is no decision of the protocol's. Called on the loop; must not
    block, must not raise, and bounds itself what peers may cause. `peer_gone` comes after all frames of that link."""

    @property
    def kinds(self) -> frozenset[type]: ...

    def frame_received(self, peer: PeerKey, frame: Frame) -> None: ...

    def peer_gone(self, peer: PeerKey) -> None: ...


class Driver:
    """Runs one machine. Implements `railgun.ports.LinkObserver`."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: Store | None,
        notify: Callable[[Notification], None],
        penalise: Callable[[PenalisePeer], None] | None = None,
    ) -> None:
        """Posts wait until `run`. ``store`` None: what the machine wants kept is an error (relays keep nothing)."""
        self._machine: Machine | None = None
        self._clock = clock
        self._store = store
        self._notify = notify
        self._penalise = penalise
        self._links: Links | None = None
        self._queue: deque[Event | Callable[[], None]] = deque()
        self._inboxes: Inboxes[Event | tuple[Kind, PeerKey, bytes]] = Inboxes()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._clock_handle: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._failure: BaseException | None = None
        self._calls: dict[asyncio.Future[Any], None] = {}
        self._wall_minus_monotonic: float | None = None
        self._side: FrameSide | None = None
        self._side_kinds: frozenset[type] = frozenset()
        self.events_dropped = 0

    def attach(self, side: FrameSide) -> None:
        """Hand frames of the side's kinds to it from now on."""
        self._side, self._side_kinds = side, side.kinds

    # --- life -----------------------------------------------------------------------------------

    async def run(self, machine: Machine, links: Links) -> None:
        """Drive until `stop`. Raises whatever the machine or the store raise: a node cannot go on without them."""
        self._machine = machine
        self._links = links
        self._pulse_sent: tuple[Pulse | None, bytes] = (None, b"")
        self._read_clock()
        try:
            while not self._stopping:
                await self._wake.wait()
                self._wake.clear()
                while (self._queue or self._inboxes) and not self._stopping:
                    self._turn(machine)
                    await asyncio.sleep(0)  # lets links flush and other tasks in between turns
            if self._failure is not None:
                raise self._failure
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._stopping = True
            self._queue.clear()
            self._inboxes.clear()
            for handle in (self._clock_handle, self._timer):
                if handle is not None:
                    handle.cancel()
            for future in tuple(self._calls):
                if not future.done():
                    future.set_exception(self._failure or ClosedLocally("the node has stopped"))

    def stop(self) -> None:
        """Let `run` return after the turn under way. Idempotent."""
        self._stopping = True
        self._wake.set()

    def act(self, function: Callable[[float], tuple[Result, Sequence[Effect]]]) -> Result:
        """Let ``function(now)`` act on the machine now, and carry out its effects. Only between turns, which is always
        so for code on the loop that no machine or notification calls.

        Raises what the function or the store raise, and then the node ends by it: the machine has moved on, and what it
        wanted done is not done. Raises that again, or ClosedLocally, once the node has ended.
        """
        self._check_running()
        try:
            result, effects = function(self._clock.monotonic())
            self._carry_out(effects)
        except BaseException as error:
            self._failure = error
            self.stop()
            raise
        return result

    async def call(self, function: Callable[[float], tuple[Result, Sequence[Effect]]]) -> Result:
        """Let ``function(now)`` act on the machine between events; its effects are carried out before this returns.

        Raises what the function raises; ClosedLocally, or what ended the node, when the driver stops first.
        """
        self._check_running()
        future: asyncio.Future[Result] = self._loop.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                result, effects = function(self._clock.monotonic())
            except Exception as error:  # noqa: BLE001  # it is the caller's, and goes to the caller
                future.set_exception(error)
                return
            self._carry_out(effects)
            if not future.done():
                future.set_result(result)

        self._calls[future] = None
        self._queue.append(run)
        self._wake.set()
        try:
            return await future
        finally:
            self._calls.pop(future, None)

    def _check_running(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._stopping:
            raise ClosedLocally("the node has stopped")

    # --- one turn -------------------------------------------------------------------------------

    def _turn(self, machine: Machine) -> None:
        queue = self._queue
        effects: list[Effect] = []
        now = self._clock.monotonic()
        for _ in range(min(len(queue), EVENTS_PER_TURN_MAX)):
            event = queue.popleft()
            if callable(event):
                self._carry_out(effects)
                effects = []
                event()
            else:
                effects += machine.handle(event, now)
        for item in self._inboxes.take(EVENTS_PER_TURN_MAX):
            # Decoded only now: a flood costs its reading no sooner than its turn comes.
            event = _decoded(*item) if isinstance(item, tuple) else item
            if isinstance(event, FrameReceived) and type(event.frame) in self._side_kinds and self._side is not None:
                self._side.frame_received(event.peer, event.frame)
                continue
            if isinstance(event, PeerDisconnected) and self._side is not None:
                self._side.peer_gone(event.peer)  # after the frames that it had sent, or they would bring it back
            effects += machine.handle(event, now)
        if machine.turn_due:
            effects += machine.handle(TURN_ENDED, now)
        self._carry_out(effects)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        writes: list[Write] = []
        survives_power_loss = False
        for effect in effects:
            if isinstance(effect, Persist):
                writes += effect.writes
                survives_power_loss = survives_power_loss or effect.survives_power_loss
        if writes:
            if self._store is None:
                raise RuntimeError("this node has no store")
            self._store.commit(writes, survives_power_loss=survives_power_loss)
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case SendFrame(peers, frame):
                self._send(peers, frame)
            case SendPulse(peer, pulse):
                if self._links is not None:
                    if pulse is not self._pulse_sent[0]:  # a relay sends many peers one and the same
                        self._pulse_sent = (pulse, PULSES.encode(pulse))
                    self._links.send_pulse(peer, self._pulse_sent[1])
            case SetTimer(generation, at):
                self._set_timer(generation, at)
            case Notify(notification):
                self._notify(notification)
            case Connect(contact):
                if self._links is not None:
                    self._links.dial(contact)
            case Disconnect(peer, code, retry_after_ms):
                if self._links is not None:
                    self._links.close_link(peer, code, retry_after_ms)
            case PenalisePeer():
                self._penalised(effect)
            case _:
                pass

    def _send(self, peers: tuple[PeerKey, ...], frame: Frame) -> None:
        if self._links is None:
            return
        encoded = FRAMES.encode(frame)
        for peer in peers:
            if not self._links.send_frame(peer, encoded):
                self._post(SendBlocked(peer, frame))

    def _penalised(self, effect: PenalisePeer) -> None:
        log.info(
            "peer penalised",
            peer=ShortId(effect.peer),
            code=effect.code.name.lower(),
            detail=effect.detail,
            points=effect.points,
        )
        if self._penalise is not None:
            self._penalise(effect)

    def _set_timer(self, generation: int, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, at - self._clock.monotonic())
        self._timer = self._loop.call_later(delay, self._post, TimerFired(generation))

    def _read_clock(self) -> None:
        self._clock_handle = self._loop.call_later(CLOCK_READ_SECONDS, self._read_clock)
        offset = self._clock.wall() - self._clock.monotonic()
        if self._wall_minus_monotonic is None or abs(offset - self._wall_minus_monotonic) > CLOCK_JUMP_SECONDS:
            self._wall_minus_monotonic = offset
            self._post(ClockRead(offset))

    def _post(self, event: Event) -> None:
        if self._stopping:
            return
        self._queue.append(event)
        self._wake.set()

    def _post_of_peer(self, peer: PeerKey, event: Event) -> None:
        """What this node found out of a peer's link, in its place among the peer's frames."""
        if not self._stopping:
            self._inboxes.put(peer, event)
            self._wake.set()

    def _post_from_peer(self, kind: Kind, peer: PeerKey, data: bytes) -> None:
        """What peers cause is bounded: beyond a peer's bound it is dropped, and heals as a lost frame would."""
        if self._stopping:
            return
        if not self._inboxes.offer(peer, (kind, peer, data), len(data)):
            self.events_dropped += 1
            return
        self._wake.set()

    # --- LinkObserver ---------------------------------------------------------------------------

    def link_up(self, up: LinkUp) -> None:
        self._post_of_peer(
            up.peer,
            PeerConnected(
                up.peer,
                up.local_key,
                up.is_relay,
                up.inbound,
                up.clock_offset_seconds,
                up.round_trip_seconds,
                up.prefix,
            ),
        )

    def link_down(self, peer: PeerKey, error: LinkError) -> None:
        self._post_of_peer(peer, PeerDisconnected(peer, _reason(error), _retry_after(error)))

    def dial_failed(self, peer: PeerKey, error: LinkError) -> None:
        self._post_of_peer(peer, DialFailed(peer, _reason(error), _retry_after(error)))

    def frame_received(self, peer: PeerKey, frame: bytes) -> None:
        self._post_from_peer(Kind.FRAME, peer, frame)

    def pulse_received(self, peer: PeerKey, pulse: bytes) -> None:
        self._post_from_peer(Kind.PULSE, peer, pulse)

    def link_writable(self, peer: PeerKey) -> None:
        self._post_of_peer(peer, PeerWritable(peer))


def _decoded(kind: Kind, peer: PeerKey, data: bytes) -> Event:
    try:
        if kind is Kind.FRAME:
            return FrameReceived(peer, FRAMES.decode(data))
        return PulseReceived(peer, PULSES.decode(data))
    except MalformedInput as error:
        return FrameMalformed(peer, error.detail)


def _reason(error: LinkError) -> str:
    """The error's name, and the code that a peer gave: a link closed for idleness is no failure of the peer's."""
    name = type(error).__name__
    return f"ClosedByPeer: {error.code.name.lower()}" if isinstance(error, ClosedByPeer) else name


def _retry_after(error: LinkError) -> float | None:
    if isinstance(error, ClosedByPeer) and error.retry_after_ms is not None:
        return error.retry_after_ms / 1000
    return None
