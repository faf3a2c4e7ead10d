"""One client machine on a bench: its directory knows some relays, which are played by hand; time is an argument.

Owns: building it with one plain room, playing its seats. Must not know: what is asserted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from railgun.core.assembly import build_client
from railgun.core.client import ClientMachine
from railgun.core.committee import Committee, rank_for_handle
from railgun.core.effects import Effect, Notify, SendFrame, SendPulse, SetTimer
from railgun.core.events import ClockRead, DialFailed, Event, FrameReceived, PeerConnected, PeerDisconnected, TimerFired
from railgun.core.reputation import Reputation
from railgun.core.tag_client import TagClient
from railgun.crypto.epoch import epoch_start
from railgun.crypto.receipts import sign_receipt
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.types import EnvelopeId, NodeKey, PeerKey, RoomId
from railgun.wire.frames import Frame, Receipt, Subscribe, Subscribed, SubscriptionMode
from tests.support.ads import seed_of, signed_ad
from tests.support.plain_rooms import PlainRoom, SeededEntropy
from tests.support.relay_lab import NETWORK, frames_to

ROOM = RoomId(bytes(32))
WALL = float(epoch_start(1_800_000_000.0, ROOM, NETWORK.epoch_seconds) + 200)
"""200 s into an epoch: the previous one is over and the next far away."""
LINK_KEY = PeerKey(public_key_of(b"link" * 8))
INCARNATION = b"seat-one"


class ClientLab:
    """A client of one room among ``relays`` relays. Seats answer subscriptions only where told to."""

    def __init__(self, *, relays: int = 8, committee_size: int = 3, wall: float = WALL) -> None:
        self.now = 0.0
        self._timer = SetTimer(-1, 1e18)
        self.machine: ClientMachine = build_client(
            network=NETWORK,
            bootstrap=(),
            entropy=SeededEntropy(b"client"),
            chooser=random.Random(1),
            reputation=Reputation(()),
        )
        self.seeds = {NodeKey(public_key_of(seed_of(index))): seed_of(index) for index in range(relays)}
        for index in range(relays):
            self.machine.directory.directory.insert(signed_ad(index, int(WALL) - 7200).encoded, WALL)
        self.room = PlainRoom(ROOM, bytes(32), NETWORK, committee_size)
        self.machine.add_room(self.room, 0.0)
        self.started = self.do(ClockRead(wall))

    # --- driving ------------------------------------------------------------------------------

    def do(self, event: Event) -> list[Effect]:
        return self.note(self.machine.handle(event, self.now))

    def note(self, effects: Sequence[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, SetTimer):
                self._timer = effect
        return list(effects)

    def frame(self, peer: NodeKey, frame: Frame) -> list[Effect]:
        return self.do(FrameReceived(PeerKey(peer), frame))

    def until(self, end: float, *, silent: Sequence[NodeKey] = ()) -> list[Effect]:
        """Let timers fire up to ``end``; linked relays answer pulses, but for ``silent`` ones."""
        effects: list[Effect] = []
        while self._timer.at <= end:
            self.now = max(self.now, self._timer.at)
            timer, self._timer = self._timer, SetTimer(-1, 1e18)
            fired = self.do(TimerFired(timer.generation))
            effects += fired
            for effect in fired:
                if isinstance(effect, SendPulse) and effect.peer not in silent:
                    self.machine.liveness.heard(effect.peer, self.now, answer=True)
        self.now = end
        return effects

    def connect(self, key: NodeKey, *, offset: float = 0.0) -> list[Effect]:
        return self.do(PeerConnected(PeerKey(key), LINK_KEY, True, False, offset, 0.02))

    def lose(self, key: NodeKey) -> list[Effect]:
        return self.do(PeerDisconnected(PeerKey(key), "LinkLost"))

    def fail(self, key: NodeKey) -> list[Effect]:
        return self.do(DialFailed(PeerKey(key), "LinkLost"))

    # --- seats --------------------------------------------------------------------------------

    @property
    def tag(self) -> TagClient:
        """The open epoch's."""
        clients = self.machine.tags.of_room(ROOM)
        wall = self.machine.wall(self.now)
        return next(client for client in clients if client.window.start <= wall < client.window.end)

    @property
    def committee(self) -> Committee:
        return self.tag.committee

    @property
    def ranked(self) -> list[NodeKey]:
        """The seats as this client ranks them, then the standbys."""
        seats = rank_for_handle(self.tag.handle, self.committee.seat_keys)
        return [*seats, *(ad.node_key for ad in self.committee.standbys)]

    def accept(self, key: NodeKey, effects: Sequence[Effect], *, last_number: int = 0) -> list[Effect]:
        """The seat acknowledges every subscription among the effects."""
        answers: list[Effect] = []
        for frame in frames_to(effects, key, Subscribe):
            answers += self.acknowledge(key, frame.mode, last_number=last_number)
        return answers

    def acknowledge(self, key: NodeKey, mode: SubscriptionMode, *, last_number: int = 0) -> list[Effect]:
        return self.frame(key, Subscribed(self.tag.tag, mode, self.committee.seats_hash, INCARNATION, last_number))

    def attach(self) -> tuple[NodeKey, NodeKey]:
        """Primary and secondary are linked and have acknowledged."""
        primary, secondary = self.ranked[:2]
        for key in (primary, secondary):
            self.accept(key, self.connect(key))
        return primary, secondary

    def say(self, number: int) -> list[Effect]:
        return self.note(self.machine.apply(self.room, self.room.say(number), self.now))

    def receipt(self, key: NodeKey, *ids: EnvelopeId) -> list[Effect]:
        signature = sign_receipt(signing_key_of(self.seeds[key]), self.tag.tag, ids, key)
        return self.frame(key, Receipt(self.tag.tag, ids, key, signature))


def told(effects: Sequence[Effect]) -> list[object]:
    """What the application is told."""
    return [effect.notification for effect in effects if isinstance(effect, Notify)]


def sent(effects: Sequence[Effect], kind: type) -> list[NodeKey]:
    """Who is sent a frame of this kind, in order."""
    return [
        NodeKey(peer)
        for effect in effects
        if isinstance(effect, SendFrame) and isinstance(effect.frame, kind)
        for peer in effect.peers
    ]
