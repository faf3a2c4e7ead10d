"""Links between virtual nodes: how they come up, go down, fall silent and are cut.

Owns: dials, both ends of each link, partitions, what waits on a link over which nothing passes.
Must not know: machines, persistence, the trace.

What passes over a link that is up is the world's own business (`World`), for speed; here is all that is rare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from railgun.core.effects import Connect, Disconnect
from railgun.core.events import DialFailed, Event, PeerConnected, PeerDisconnected, PeerWritable
from railgun.errors import ClosedByPeer, ClosedLocally, LinkLost
from railgun.sim.network_model import NetworkSampler
from railgun.sim.virtual_node import Guard, Leg, LinksAfterCrash, Node
from railgun.types import PeerKey
from railgun.wire.frames import Frame

CLOSED_LOCALLY = ClosedLocally.__name__
CLOSED_BY_PEER = ClosedByPeer.__name__
LINK_LOST = LinkLost.__name__


class Schedule(Protocol):
    """What the world lends to its links."""

    now: float
    nodes_by_key: dict[PeerKey, Node]
    sampler: NetworkSampler

    def post(self, node: Node, event: Event, at: float, guard: Guard) -> None:
        """Let ``event`` happen to ``node`` unless ``guard`` closes first."""

    def post_frame(self, leg: Leg, frame: Frame, kind: int, at: float) -> None:
        """Let a frame sent by ``leg`` arrive at its far end."""

    def act(self, at: float, action: Callable[[], None], guard: Guard | None = None) -> None:
        """Call ``action`` then, unless ``guard`` closes first."""


@dataclass(frozen=True, slots=True)
class _Partition:
    groups: tuple[tuple[str, ...], ...]
    one_way: bool

    def _group(self, name: str) -> int | None:
        for index, patterns in enumerate(self.groups):
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                return index
        return None

    def cuts(self, source: str, target: str) -> bool:
        sends, receives = self._group(source), self._group(target)
        if sends is None or receives is None or sends == receives:
            return False
        return sends == 0 if self.one_way else True


class VirtualLinks:
    """The links of all nodes of one world."""

    def __init__(self, schedule: Schedule) -> None:
        self._world = schedule
        self._partitions: dict[str, _Partition] = {}

    # --- coming up ------------------------------------------------------------------------------

    def connect(self, node: Node, effect: Connect) -> None:
        """Dial; nothing happens where a link or a dial stands already."""
        key = PeerKey(effect.contact.node_key)
        if key in node.legs or key in node.dials or key == node.key:
            return
        world = self._world
        dial = node.dials[key] = Guard()
        target = world.nodes_by_key.get(key)
        if target is None:
            self._fail_dial_later(node, key, dial)
            return
        delay = world.sampler.pair_delay_seconds(node.name, target.name)
        took = world.sampler.handshake_seconds(delay)
        world.act(world.now + took, lambda: self._finish_dial(node, target, dial, delay, took), dial)

    def _finish_dial(self, node: Node, target: Node, dial: Guard, delay: float, took: float) -> None:
        if not node.is_up:
            return
        if not target.is_up or self._is_cut(node, target) or self._is_cut(target, node):
            self._fail_dial_later(node, target.key, dial, self._world.sampler.model.dial_seconds - took)
            return
        self._end_dial(node, target.key)
        standing = node.legs.get(target.key)
        if standing is not None and standing.reverse.open:
            return  # both dialled, and the other's dial was faster
        for end, other in ((node, target), (target, node)):
            stale = end.legs.get(other.key)
            if stale is not None:
                self._close(stale, LINK_LOST)
        self._open(node, target, delay)

    def _open(self, node: Node, target: Node, delay: float) -> None:
        world = self._world
        leg, reverse = Leg(node, target, delay), Leg(target, node, delay)
        leg.reverse, reverse.reverse = reverse, leg
        node.legs[target.key], target.legs[node.key] = leg, reverse
        for end, inbound in ((leg, False), (reverse, True)):
            offset = end.far.wall_offset_seconds - end.near.wall_offset_seconds
            up = PeerConnected(end.far.key, end.near.key, end.far.is_relay, inbound, offset, 2 * delay)
            world.post(end.near, up, world.now, end)

    def _fail_dial_later(self, node: Node, key: PeerKey, dial: Guard, after: float | None = None) -> None:
        world = self._world
        wait = world.sampler.model.dial_seconds if after is None else max(0.0, after)
        world.act(world.now + wait, lambda: self._fail_dial(node, key, LINK_LOST), dial)

    def _fail_dial(self, node: Node, key: PeerKey, reason: str) -> None:
        self._end_dial(node, key)
        self._world.post(node, DialFailed(key, reason), self._world.now, node.life)

    @staticmethod
    def _end_dial(node: Node, key: PeerKey) -> None:
        dial = node.dials.pop(key, None)
        if dial is not None:
            dial.open = False

    # --- going down -----------------------------------------------------------------------------

    def disconnect(self, node: Node, effect: Disconnect) -> None:
        """Close from this end; the other end hears of it after a delay, or by silence where nothing passes."""
        if effect.peer in node.dials:
            self._fail_dial(node, effect.peer, CLOSED_LOCALLY)
        leg = node.legs.get(effect.peer)
        if leg is None:
            return
        self._close(leg, CLOSED_LOCALLY)
        if leg.blocked:
            self._silence(leg.reverse)
            return
        wait = None if effect.retry_after_ms is None else effect.retry_after_ms / 1000
        reason = f"{CLOSED_BY_PEER}: {effect.code.name.lower()}"
        self._world.act(self._world.now + leg.delay, lambda: self._close(leg.reverse, reason, wait))

    def crashed(self, node: Node, how: LinksAfterCrash) -> None:
        """The node is gone from its end of every link; its dials and links are forgotten by the caller."""
        for dial in node.dials.values():
            dial.open = False
        for leg in node.legs.values():
            leg.open = False
            if how is LinksAfterCrash.AT_ONCE and not leg.blocked:
                self._world.act(self._world.now + leg.delay, self._closer(leg.reverse))
            else:
                self._silence(leg.reverse)

    def _closer(self, leg: Leg) -> Callable[[], None]:
        return lambda: self._close(leg, LINK_LOST)

    def _close(self, leg: Leg, reason: str, retry_after_seconds: float | None = None) -> None:
        """End one end of a link, if it has not ended, and tell its node."""
        if not leg.open:
            return
        leg.open = False
        leg.held.clear()
        node = leg.near
        if node.legs.get(leg.far.key) is leg:
            del node.legs[leg.far.key]
        world = self._world
        world.post(node, PeerDisconnected(leg.far.key, reason, retry_after_seconds), world.now, node.life)

    # --- silence --------------------------------------------------------------------------------

    def cut(self, name: str, groups: Sequence[Sequence[str]], one_way: bool) -> None:
        """Nothing passes between groups (one way: from the first to the others); nodes in none see all."""
        self._partitions[name] = _Partition(tuple(tuple(group) for group in groups), one_way)
        self._refresh()

    def heal(self, name: str | None) -> None:
        """End one partition, or all. Unknown names are the scenario's mistake: KeyError."""
        if name is None:
            self._partitions.clear()
        else:
            del self._partitions[name]
        self._refresh()

    def _is_cut(self, source: Node, target: Node) -> bool:
        return any(partition.cuts(source.name, target.name) for partition in self._partitions.values())

    def _refresh(self) -> None:
        for node in self._world.nodes_by_key.values():
            for leg in list(node.legs.values()):
                leg.is_partitioned = self._is_cut(leg.near, leg.far)
                if leg.is_partitioned:
                    self._silence(leg)
                elif leg.blocked and leg.reverse.open:
                    self._release(leg)

    def _silence(self, leg: Leg) -> None:
        """From now on nothing that this end sends arrives; the transport gives the link up after a while."""
        if leg.blocked or not leg.open:
            return
        world = self._world
        leg.blocked = True
        since = leg.blocked_since = world.now
        world.act(since + world.sampler.model.silence_seconds, lambda: self._give_up(leg, since))

    def _give_up(self, leg: Leg, since: float) -> None:
        """Consent needs both ways, so both ends give up."""
        if leg.blocked and leg.blocked_since == since:
            self._close(leg, LINK_LOST)
            self._close(leg.reverse, LINK_LOST)

    def hold(self, leg: Leg, frame: Frame, kind: int) -> bool:
        """Keep a frame for when the link passes again; False when it is full."""
        if len(leg.held) >= self._world.sampler.model.held_frames_max:
            leg.was_full = True
            return False
        leg.held.append((frame, kind))
        return True

    def _release(self, leg: Leg) -> None:
        """What waited is retransmitted, each frame when its backed-off timer next fires."""
        world = self._world
        leg.blocked = False
        timeout = world.sampler.model.retransmit_timeout_seconds
        for frame, kind in leg.held:
            world.post_frame(leg, frame, kind, world.now + leg.delay + timeout * world.sampler.random())
        leg.held.clear()
        if leg.was_full:
            leg.was_full = False
            world.post(leg.near, PeerWritable(leg.far.key), world.now, leg)
