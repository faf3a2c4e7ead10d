"""One relay machine on a bench: its directory knows some relays, peers come and go by hand, time is an argument.

Owns: building it, rooms' keys, what clients and seats would send. Must not know: what is asserted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from railgun.core.assembly import build_relay
from railgun.core.effects import Connect, Effect, PenalisePeer, SendFrame, SendPulse, SetTimer
from railgun.core.events import ClockRead, Event, FrameReceived, PeerConnected, PeerDisconnected, TimerFired, TurnEnded
from railgun.core.relay import RelayMachine
from railgun.core.relay_limits import RelayLimits
from railgun.core.seat import Seat
from railgun.crypto.epoch import EpochKeys, derive_epoch_keys
from railgun.crypto.receipts import sign_receipt, sign_subscription, sign_tag_descriptor
from railgun.crypto.sealing import envelope_id, seal_envelope
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import EnvelopeId, EnvelopeKind, Handle, NodeKey, PeerKey, RelayContact, SizeClass
from railgun.wire.envelope import NO_HINT
from railgun.wire.frames import (
    Frame,
    Publish,
    Receipt,
    Refused,
    SeatExchange,
    SeatOpen,
    Subscribe,
    SubscriptionMode,
    TagDescriptor,
)
from tests.support.ads import seed_of, signed_ad
from tests.support.plain_rooms import SeededEntropy

NETWORK = NetworkParameters(name="bench", kind=NetworkKind.LAN, epoch_seconds=600, overlap_seconds=120)
WALL = 1_800_000_000.0
"""What the relay's clock shows at monotonic 0; the epoch under test starts 60 s before."""
START = int(WALL) - 60

FrameT = TypeVar("FrameT")


def room_keys(index: int = 0, start: int = START) -> EpochKeys:
    """The keys of test room ``index`` for the epoch at ``start``."""
    return derive_epoch_keys(bytes([index]) * 32, 1, start)


def seal(keys: EpochKeys, number: int, size_class: SizeClass = SizeClass.SMALL) -> bytes:
    """A valid envelope; equal arguments, equal bytes."""
    body = number.to_bytes(8, "big")
    return seal_envelope(keys, EnvelopeKind.SEALED, NO_HINT, body, size_class, number.to_bytes(12, "big"))


def client_key(index: int) -> PeerKey:
    return PeerKey(public_key_of(bytes([200, index]) * 16))


def frames_to(effects: Sequence[Effect], peer: PeerKey | NodeKey, kind: type[FrameT]) -> list[FrameT]:
    """The frames of one kind that a peer is sent."""
    return [
        effect.frame
        for effect in effects
        if isinstance(effect, SendFrame) and peer in effect.peers and isinstance(effect.frame, kind)
    ]


def refusals(effects: Sequence[Effect]) -> list[str]:
    """The codes of all refusals, by name."""
    return [
        effect.frame.code.name
        for effect in effects
        if isinstance(effect, SendFrame) and isinstance(effect.frame, Refused)
    ]


def penalties(effects: Sequence[Effect]) -> list[PenalisePeer]:
    return [effect for effect in effects if isinstance(effect, PenalisePeer)]


class RelayLab:
    """A relay among ``relays``; ``rank`` picks which: the seat of that rank for the room under test."""

    def __init__(
        self, *, relays: int = 7, rank: int = 0, committee_size: int = 3, relay_limits: RelayLimits | None = None
    ) -> None:
        self.keys = room_keys()
        self.committee_size = committee_size
        self.now = 0.0
        ads = [signed_ad(index, int(WALL) - 7200) for index in range(relays)]
        order = self._machine(0, None)
        for ad in ads:
            order.directory.directory.insert(ad.encoded, WALL)
        committee = order.directory.committee(self.keys.tag, START, committee_size, WALL)
        self.ranking = [ad.node_key for ad in committee.ranking]
        self.seeds = {NodeKey(public_key_of(seed_of(index))): seed_of(index) for index in range(relays)}
        indices = {public_key_of(seed_of(index)): index for index in range(relays)}
        self.machine = self._machine(indices[self.ranking[rank]], relay_limits)
        for ad in ads:
            self.machine.directory.directory.insert(ad.encoded, WALL)
        self.do(ClockRead(WALL))
        self.own = self.machine.node_key
        self.others = [key for key in self.ranking[:committee_size] if key != self.own]

    @staticmethod
    def _machine(index: int, relay_limits: RelayLimits | None) -> RelayMachine:
        ad = signed_ad(index, int(WALL) - 7200).ad
        return build_relay(
            seed=seed_of(index),
            contact=RelayContact(ad.node_key, (ad.address,), ad.certificate_hash),
            network=NETWORK,
            bootstrap=(),
            entropy=SeededEntropy(seed_of(index)),
            chooser=random.Random(index),
            relay_limits=relay_limits,
        )

    # --- driving ------------------------------------------------------------------------------

    def do(self, event: Event) -> list[Effect]:
        """One event and the end of its turn."""
        effects = list(self.machine.handle(event, self.now))
        if self.machine.turn_due:
            effects += self.machine.handle(TurnEnded(), self.now)
        for effect in effects:
            if isinstance(effect, SetTimer):
                self._timer = effect
        return effects

    def frame(self, peer: PeerKey | NodeKey, frame: Frame) -> list[Effect]:
        return self.do(FrameReceived(PeerKey(peer), frame))

    def until(self, end: float) -> list[Effect]:
        """Let timers fire up to ``end``; other relays answer every pulse, clients need not."""
        effects: list[Effect] = []
        while self._timer.at <= end:
            self.now = max(self.now, self._timer.at)
            timer, self._timer = self._timer, SetTimer(-1, 1e18)
            fired = self.do(TimerFired(timer.generation))
            effects += fired
            for effect in fired:
                if isinstance(effect, SendPulse):
                    self.machine.liveness.heard(effect.peer, self.now, answer=True)
        self.now = end
        return effects

    def connect_client(self, index: int) -> PeerKey:
        peer = client_key(index)
        self.do(PeerConnected(peer, PeerKey(self.own), False, True, 0.0, 0.01))
        return peer

    def connect_relay(self, key: NodeKey) -> list[Effect]:
        return self.do(PeerConnected(PeerKey(key), PeerKey(self.own), True, False, 0.0, 0.01))

    def lose(self, key: PeerKey | NodeKey) -> list[Effect]:
        return self.do(PeerDisconnected(PeerKey(key), "LinkLost"))

    # --- what peers would send ------------------------------------------------------------------

    @property
    def descriptor(self) -> TagDescriptor:
        return sign_tag_descriptor(self.keys, self.committee_size, 0)

    @property
    def seats_hash(self) -> bytes:
        return self.machine.directory.committee(self.keys.tag, START, self.committee_size, WALL).seats_hash

    @property
    def seat(self) -> Seat:
        return self.machine.seats[self.keys.tag]

    def subscribe(
        self,
        peer: PeerKey,
        mode: SubscriptionMode = SubscriptionMode.PRIMARY,
        *,
        from_number: int = 1,
        incarnation: bytes = bytes(8),
    ) -> list[Effect]:
        handle = Handle(peer[:16])
        proof = sign_subscription(self.keys, self.own, peer, handle)
        return self.frame(
            peer, Subscribe(self.descriptor, handle, mode, proof, self.seats_hash, incarnation, from_number)
        )

    def publish(self, peer: PeerKey, envelope: bytes, other_entry: NodeKey | None = None) -> list[Effect]:
        return self.frame(peer, Publish(envelope, self.seats_hash, other_entry))

    def open_with_all(self, held: Sequence[EnvelopeId] = (), *, asked_in: bool = True) -> list[Effect]:
        """The other seats are linked, open the tag, and tell what they hold: the same for all.

        ``asked_in``: they want us to take part, rather than answer us."""
        effects: list[Effect] = []
        for key in self.others:
            effects += self.connect_relay(key)
        for key in self.others:
            effects += self.frame(key, SeatOpen(self.descriptor, self.seats_hash, asked_in))
            effects += self.tell(key, held)
        return effects

    def tell(self, key: NodeKey, held: Sequence[EnvelopeId], *, urgent: bool = False) -> list[Effect]:
        fingerprint = 0
        for item in held:
            fingerprint ^= int.from_bytes(item, "big")
        return self.frame(
            key, SeatExchange(self.keys.tag, tuple(held), urgent, len(held), fingerprint.to_bytes(16, "big"))
        )

    def receipt_of(self, key: NodeKey, *ids: EnvelopeId) -> Receipt:
        signature = sign_receipt(signing_key_of(self.seeds[key]), self.keys.tag, ids, key)
        return Receipt(self.keys.tag, ids, key, signature)


def id_of(envelope: bytes) -> EnvelopeId:
    return envelope_id(envelope)


def dials(effects: Sequence[Effect]) -> list[NodeKey]:
    return [effect.contact.node_key for effect in effects if isinstance(effect, Connect)]
