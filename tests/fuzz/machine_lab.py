"""A relay's and a client's machine among hostile peers: a script of steps, each a number, drives one of them.

Owns: peers that hold real keys and mostly send what fits the moment, time, and what must hold at every step: `handle`
never raises, every frame that it sends encodes, what it holds stays within bounds and goes when the peers go.
Must not know: how the machines are built inside. The same script does the same, so that it can be shrunk and kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from railgun.core.assembly import build_client, build_relay
from railgun.core.client import ClientMachine
from railgun.core.effects import (
    Connect,
    Disconnect,
    Effects,
    PenalisePeer,
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
from railgun.core.relay import RelayMachine
from railgun.core.room_port import RoomOutcome, TagPlan
from railgun.crypto.direct import DirectSelf, seal_own_contact, sign_direct
from railgun.crypto.epoch import EpochKeys, day_of, derive_epoch_keys, epoch_start, first_day_secret
from railgun.crypto.receipts import sign_receipt, sign_subscription, sign_tag_descriptor
from railgun.crypto.records import sign_ad
from railgun.crypto.sealing import envelope_id, seal_envelope
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.limits import AD_CORE_BYTES_MAX, SEAT_BYTES_MAX
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import (
    Address,
    DeviceKey,
    EnvelopeId,
    EnvelopeKind,
    Handle,
    NodeKey,
    PeerKey,
    RelayContact,
    Role,
    RoomId,
    SizeClass,
)
from railgun.wire.directory_frames import AdsPush
from railgun.wire.envelope import Inner
from railgun.wire.frames import (
    FRAME_KINDS,
    FRAMES,
    PULSES,
    Deliver,
    Digest,
    DirectHold,
    DirectOpen,
    Frame,
    Publish,
    Pulse,
    Receipt,
    Refused,
    SeatDown,
    SeatPull,
    SeatPush,
    Subscribed,
    TagNumber,
    Unsubscribe,
)
from tests.fuzz.mutations import mutated
from tests.fuzz.samples import Sampler
from tests.support.plain_rooms import PlainRoom, SeededEntropy

NETWORK = NetworkParameters("fuzz", NetworkKind.LAN, epoch_seconds=20, overlap_seconds=4, ad_lifetime_seconds=3_600)
START_WALL = 1_700_000_000.0
COMMITTEE = 3
RELAYS = 6
CLIENTS = 4
ROOMS = tuple(RoomId(bytes([room]) * 32) for room in (1, 2))
SECRET = b"s" * 32
IDS_REMEMBERED = 200
AGENDA_MAX = 200
"""Deadlines of two rooms, three epochs and ten peers."""
AGENDA_LEFT_MAX = 24
"""Deadlines that a node without peers keeps: gossip, its dials, its rooms' plans."""
LEAVING_EPOCHS = 40
"""Until what was opened ends even where a clock was set back, or corrected, by minutes."""
OFFSETS = (0.0, 0.0, 0.0, 1.0, -3.0, 500.0, 9e12, -1.7e9)
"""Clock offsets that a peer can claim: its clock is any whole number of milliseconds up to 2^53."""
ALL_FRAMES = tuple(FRAME_KINDS.values())
FRAMES_FOR_CLIENTS = (Deliver, Digest, Subscribed, Subscribed, Receipt, Refused, SeatDown, AdsPush)
FRAMES_FOR_MEMBERS = (DirectOpen, DirectOpen, DirectHold, SeatPush, SeatPull, Unsubscribe)


def _seed(name: str, number: int) -> bytes:
    return f"{name} {number}".encode().ljust(32, b".")


RELAY_SEEDS = tuple(_seed("relay", number) for number in range(RELAYS))
OWN_SEED = _seed("relay", 99)
CLIENT_LINK_KEY = PeerKey(b"o" * 32)
CLIENT_KEYS = tuple(PeerKey(_seed("client", number)) for number in range(CLIENTS))
RELAY_KEYS = tuple(PeerKey(public_key_of(seed)) for seed in RELAY_SEEDS)
SEED_OF = dict(zip(RELAY_KEYS, RELAY_SEEDS, strict=True))


def contact_of(seed: bytes) -> RelayContact:
    """Any address: nothing is dialled."""
    return RelayContact(NodeKey(public_key_of(seed)), (Address("127.0.0.1", 9_000),), bytes(32))


class TolerantRoom(PlainRoom):
    """A room whose members may say anything, and in which everybody is."""

    def has_device(self, device: DeviceKey, wall: float) -> bool:
        return True

    def envelope_opened(self, plan: TagPlan, inner: Inner, now: float, wall: float) -> RoomOutcome:
        return super().envelope_opened(plan, inner, now, wall) if len(inner.body) == 8 else RoomOutcome()


class MachineLab:
    """One machine, its time, and its peers."""

    def __init__(self, *, relay: bool) -> None:
        self.now = 1_000.0
        self.is_relay = relay
        self.connected: dict[PeerKey, bool] = {}
        self.dialling: dict[PeerKey, None] = {}
        self.ids: list[EnvelopeId] = []
        self.said = 0
        self._timer: tuple[int, float] | None = None
        self._wall_offset = START_WALL - self.now
        self.machine: RelayMachine | ClientMachine = self._build()
        self.handle(ClockRead(self._wall_offset))

    def _build(self) -> RelayMachine | ClientMachine:
        bootstrap = [contact_of(RELAY_SEEDS[0])]
        entropy, chooser = SeededEntropy(b"fuzz"), Random(7)
        if self.is_relay:
            own = contact_of(OWN_SEED)
            return build_relay(
                seed=OWN_SEED, contact=own, network=NETWORK, bootstrap=bootstrap, entropy=entropy, chooser=chooser
            )
        client = build_client(network=NETWORK, bootstrap=bootstrap, entropy=entropy, chooser=chooser)
        device = DeviceKey(public_key_of(OWN_SEED))
        client.direct.use(DirectSelf(device, OWN_SEED, CLIENT_LINK_KEY, bytes(32), ()))
        for room in ROOMS:
            self._carry_out(client.add_room(TolerantRoom(room, SECRET, NETWORK, COMMITTEE), self.now))
        return client

    @property
    def wall(self) -> float:
        return self.now + self._wall_offset

    # --- the machine's way out ----------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Whatever raises here is a finding."""
        self._carry_out(self.machine.handle(event, self.now))

    def _carry_out(self, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case SetTimer(generation, at):
                    self._timer = (generation, at)
                case SendFrame(peers, frame):
                    if not peers:
                        raise AssertionError("a frame to nobody")
                    FRAMES.encode(frame)
                    if isinstance(frame, Publish):
                        self._remember(envelope_id(frame.envelope))
                case SendPulse(_, pulse):
                    PULSES.encode(pulse)
                case Connect(contact):
                    self.dialling[PeerKey(contact.node_key)] = None
                case Disconnect(peer, _, _):
                    self.connected.pop(peer, None)
                case PenalisePeer(_, _, _, points):
                    if points <= 0:
                        raise AssertionError("a penalty of nothing")
                case _:
                    pass

    def advance(self, seconds: float) -> None:
        """Let time pass, and fire what falls due."""
        until = self.now + seconds
        for _ in range(100_000):
            if self._timer is None or self._timer[1] > until:
                self.now = until
                return
            generation, at = self._timer
            self._timer = None
            self.now = max(self.now, at)
            self.handle(TimerFired(generation))
            self.handle(TurnEnded())
        raise AssertionError("timers that never end")

    # --- steps --------------------------------------------------------------------------------------

    def run(self, script: Iterable[int]) -> None:
        """Every number is a step; then all peers go."""
        for number in script:
            self.step(Random(number))
            self.check_bounds()
        self.leave()

    def step(self, random: Random) -> None:
        """One event."""
        peers = list(self.connected)
        action = random.choices(
            ("frame", "connect", "turn", "time", "disconnect", "pulse", "dial", "say", "odd"),
            (60, 12, 8, 8, 3, 4, 6, 4, 3),
        )[0]
        match action:
            case "frame" if peers:
                peer = random.choice(peers)
                for _ in range(random.choice((1, 1, 1, 5))):
                    self.handle(FrameReceived(peer, self.frame(random, peer)))
            case "connect" | "frame":
                wanted = list(self.dialling) if not self.is_relay or random.random() < 0.3 else []
                self._connect(random.choice(wanted or (*RELAY_KEYS, *CLIENT_KEYS)), random)
            case "time":
                self.advance(random.choice((0.01, 0.2, 1.0, 3.0, 10.0, 25.0)))
            case "disconnect" if peers:
                self._disconnect(random.choice(peers), random.choice((None, 0.0, 86_400.0)))
            case "pulse" if peers:
                tags = tuple(TagNumber(self.keys(random).tag, random.choice((0, 1, 9, 2**32 - 1))) for _ in range(3))
                pulse = Pulse(random.randrange(2**32), random.randrange(9), random.random() < 0.5, tags)
                self.handle(PulseReceived(random.choice(peers), pulse))
            case "dial" if self.dialling:
                peer = random.choice(list(self.dialling))
                if random.random() < 0.7:
                    self._connect(peer, random, inbound=False)
                else:
                    del self.dialling[peer]
                    self.handle(DialFailed(peer, "no", random.choice((None, 1e6))))
            case "say" if isinstance(self.machine, ClientMachine):
                self.said += 1
                room = self.machine.rooms[random.choice(ROOMS)]
                if isinstance(room, PlainRoom):
                    size = random.choice(list(SizeClass))
                    self._carry_out(self.machine.apply(room, room.say(self.said, size), self.now))
            case "odd":
                self._odd(random)
            case _:
                self.handle(TurnEnded())

    def _odd(self, random: Random) -> None:
        anyone = random.choice((*RELAY_KEYS, *CLIENT_KEYS))
        match random.randrange(6):
            case 0:
                self.handle(FrameMalformed(anyone, "malformed"))
            case 1:
                self.handle(SendBlocked(anyone, self.frame(random, anyone)))
            case 2:
                self.handle(FrameReceived(anyone, self.frame(random, anyone)))  # perhaps of one who left
            case 3:
                self.handle(PeerDisconnected(anyone, "lost"))
                self.connected.pop(anyone, None)
            case 4:
                self._wall_offset += random.choice((-30.0, -1.0, 0.5, 45.0))
                self.handle(ClockRead(self._wall_offset))
            case _:
                self.handle(PeerWritable(anyone))

    def _connect(self, peer: PeerKey, random: Random, *, inbound: bool | None = None) -> None:
        is_relay = peer in SEED_OF or peer in self.dialling
        if inbound is None:
            inbound = not (is_relay and peer in self.dialling)
        if not self.is_relay and inbound and is_relay:
            return  # only members dial a client
        self.dialling.pop(peer, None)
        self.connected[peer] = is_relay
        own = PeerKey(public_key_of(OWN_SEED)) if self.is_relay else CLIENT_LINK_KEY
        self.handle(PeerConnected(peer, own, is_relay, inbound, random.choice(OFFSETS), random.random()))

    def _disconnect(self, peer: PeerKey, retry: float | None) -> None:
        del self.connected[peer]
        self.handle(PeerDisconnected(peer, "lost", retry))

    # --- frames -------------------------------------------------------------------------------------

    def keys(self, random: Random) -> EpochKeys:
        """The keys of some room in this epoch, or one beside it."""
        room = random.choice(ROOMS)
        start = epoch_start(max(0.0, self.wall), room, NETWORK.epoch_seconds)
        start += NETWORK.epoch_seconds * random.choice((0, 0, 0, 0, 1, -1, 5))
        return derive_epoch_keys(first_day_secret(SECRET, 1, day_of(start)), 1, start)

    def _envelope(self, random: Random, keys: EpochKeys) -> bytes:
        size = random.choices(list(SizeClass), (8, 3, 1))[0]
        body = random.randbytes(random.choice((8, 8, 0, 100)))
        envelope = seal_envelope(keys, EnvelopeKind.SEALED, bytes(8), body, size, random.randbytes(12))
        self._remember(envelope_id(envelope))
        if random.random() < 0.15:
            return mutated(envelope, random, [])[:65_537] or b"x"
        return envelope

    def _remember(self, item: EnvelopeId) -> None:
        self.ids.append(item)
        del self.ids[:-IDS_REMEMBERED]

    def _some_ids(self, random: Random, ids: Sequence[EnvelopeId]) -> tuple[EnvelopeId, ...]:
        """As many as there were, most of them known ones."""
        if not self.ids:
            return tuple(ids)
        return tuple(random.choice(self.ids) if random.random() < 0.7 else item for item in ids)

    def _ad(self, random: Random) -> bytes:
        issued = int(self.wall) + random.choice((-600, -30, 0, 50, 4_000))
        ad = sign_ad(
            random.choice(RELAY_SEEDS) if random.random() < 0.8 else random.randbytes(32),
            address=Address("127.0.0.1", random.randint(1, 65_535)),
            certificate_hash=random.randbytes(32),
            roles=random.choice((Role.RELAY, Role.RELAY, Role.FALLBACK, Role(0))),
            issued=max(0, issued),
            expires=max(0, issued) + random.choice((0, 10, 3_000, 90_000)),
        )
        if random.random() < 0.2:
            return mutated(ad.encoded, random, [])[:AD_CORE_BYTES_MAX] or b"x"
        return ad.encoded

    def frame(self, random: Random, peer: PeerKey) -> Frame:
        """A frame that decodes, about things that exist, with signatures that mostly fit its sender."""
        keys = self.keys(random)
        usual = ALL_FRAMES if self.is_relay else FRAMES_FOR_CLIENTS if self.connected.get(peer) else FRAMES_FOR_MEMBERS
        cls = random.choice(usual if random.random() < 0.8 else ALL_FRAMES)
        frame = Sampler(random, 0.02).instance(cls)
        if random.random() < 0.1:
            return self._sent(frame)
        changes: dict[str, Any] = {}
        fields = {field.name for field in dataclasses.fields(frame)}
        if "tag" in fields:
            changes["tag"] = keys.tag
        if "descriptor" in fields:
            size = random.choice((COMMITTEE, COMMITTEE, COMMITTEE, 7))
            changes["descriptor"] = sign_tag_descriptor(keys, size, random.choice((0, 0, 0, 9)))
        if "envelope" in fields:
            changes["envelope"] = self._envelope(random, keys)
        if "ids" in fields and frame.ids is not None:
            changes["ids"] = self._some_ids(random, frame.ids)
        if "number" in fields:
            changes["number"] = random.choice((0, 1, 2, 3, 40, 2**32 - 1))
        if "numbers" in fields:
            changes["numbers"] = tuple(random.choice((0, 1, 2, 2**32 - 1)) for _ in frame.numbers)
        for name in ("seat", "entry", "other_entry"):
            if name in fields:
                changes[name] = NodeKey(random.choice(RELAY_KEYS))
        if "records" in fields:
            changes["records"] = tuple(self._ad(random) for _ in range(random.randint(1, 6)))
        if isinstance(frame, DirectOpen):
            seed = bytes([peer[0]]) * 32
            member = DirectSelf(DeviceKey(public_key_of(seed)), seed, peer, bytes(32), ())
            changes["proof"] = sign_direct(keys, peer, CLIENT_LINK_KEY)
            changes["contact"] = seal_own_contact(keys, member, bytes(12))
        elif "proof" in fields:
            own = NodeKey(public_key_of(OWN_SEED))
            changes["proof"] = sign_subscription(keys, own, peer, Handle(frame.handle))
        frame = dataclasses.replace(frame, **changes)
        if "seat" in fields and "signature" in fields and random.random() < 0.9:
            signer = signing_key_of(SEED_OF[PeerKey(frame.seat)])
            signature = sign_receipt(signer, keys.tag, frame.ids, frame.seat)
            frame = dataclasses.replace(frame, signature=signature)
        return self._sent(frame)

    @staticmethod
    def _sent(frame: Any) -> Frame:
        """As it comes out of a decoder: nothing reaches a machine that does not."""
        return FRAMES.decode(FRAMES.encode(frame))

    # --- what must hold -----------------------------------------------------------------------------

    def check_bounds(self) -> None:
        """What is held stays in proportion to peers and epochs, however much was sent."""
        sizes = self.machine.state_sizes()
        most = len(self.connected)
        bounds = {
            "peers": most,
            "linked": most,
            "watched": most,
            "held_bytes": SEAT_BYTES_MAX,
            "agenda": AGENDA_MAX,
        }
        over = {name: (sizes[name], most) for name, most in bounds.items() if sizes.get(name, 0) > most}
        if over:
            raise AssertionError(f"beyond bounds: {over}")
        heap = len(self.machine.agenda._heap)
        if heap > 50 * AGENDA_MAX:
            raise AssertionError(f"{heap} deadlines are kept that nobody waits for")

    def leave(self) -> None:
        """All peers go, nobody answers any more, and the epochs end: nothing of the peers may be left."""
        for peer in list(self.connected):
            self._disconnect(peer, None)
        for _ in range(LEAVING_EPOCHS):
            for peer in list(self.dialling):
                del self.dialling[peer]
                self.handle(DialFailed(peer, "no"))
            self.advance(NETWORK.epoch_seconds)
        sizes = self.machine.state_sizes()
        gone = ["peers", "seats", "held_bytes", "watched", "linked"]
        left = {name: sizes[name] for name in gone if sizes.get(name, 0) != 0}
        if sizes["agenda"] > AGENDA_LEFT_MAX + (0 if self.is_relay else AGENDA_MAX // 2):
            left["agenda"] = sizes["agenda"]
        if left:
            raise AssertionError(f"left behind: {left}")
