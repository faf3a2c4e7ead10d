"""The network's half under hostile conditions: nothing lost, nothing doubled, nothing raised, nothing left behind.

Each failing case prints its seed, and runs again from it alone.
"""

from __future__ import annotations

import random

from hypothesis import given, note, settings
from hypothesis import strategies as st

from railgun.core.effects import Effect, SendFrame
from railgun.core.events import FrameReceived, PulseReceived, TurnEnded
from railgun.crypto.receipts import sign_tag_descriptor
from railgun.errors import RefusalCode
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.checkers import require
from railgun.sim.faults import Crash, Fault, Heal, Partition, Restart
from railgun.sim.network_model import NetworkModel
from railgun.sim.rotation import Rotation, RotationOptions
from railgun.sim.virtual_node import LinksAfterCrash
from railgun.types import EnvelopeId, Handle, NodeKey, PeerKey, SizeClass, Tag
from railgun.wire.frames import (
    Deliver,
    Digest,
    Frame,
    Offer,
    Publish,
    Pull,
    Pulse,
    Receipt,
    Refused,
    SeatDown,
    SeatExchange,
    SeatOpen,
    SeatPull,
    SeatPush,
    Subscribe,
    Subscribed,
    SubscriptionMode,
    TagNumber,
    Unsubscribe,
)
from tests.support.plain_rooms import plain_machines
from tests.support.relay_lab import RelayLab, id_of, seal

TALK_SECONDS = 60
PEERS, ROOMS = 6, 2


def small_world(seed: int, *, cuts: bool, crashes: bool) -> Rotation:
    """A few members and relays, short epochs, clocks off by up to half the overlap, a bad network, and faults."""
    dice = random.Random(f"message way {seed}")
    epoch_seconds = dice.choice([20, 30, 60])
    relays = dice.choice([4, 5, 7, 10])
    options = RotationOptions(
        peers=PEERS,
        rooms=ROOMS,
        hours=TALK_SECONDS / 3600,
        seed=seed,
        relays=relays,
        committee_size=dice.choice([3, 5, 7]),
        messages_per_minute=15,
        drain_seconds=90,
        network=NetworkParameters(
            name="w", kind=NetworkKind.LAN, epoch_seconds=epoch_seconds, overlap_seconds=epoch_seconds // 5
        ),
        model=NetworkModel(
            loss=0.03,
            reorder=0.2,
            reorder_seconds=0.3,
            frame_duplication=0.05,
            pulse_duplication=0.05,
            delay_max_seconds=0.08,
        ),
    )
    faults: list[Fault] = []
    if crashes:
        at = 45.0
        while at < 90:
            name = (f"relay-{dice.randrange(relays)}",)
            down = dice.uniform(0.5, 12)
            faults.append(Crash(at_seconds=at, nodes=name, links=dice.choice(list(LinksAfterCrash))))
            faults.append(Restart(at_seconds=at + down, nodes=name))
            at += down + dice.uniform(3, 15)
    if cuts:
        for index in range(8):
            one = f"relay-{dice.randrange(relays)}" if dice.random() < 0.3 else f"member-{dice.randrange(PEERS)}"
            other = f"relay-{dice.randrange(relays)}"
            at = dice.uniform(35, 95)
            if one != other:
                cut = Partition(at_seconds=at, groups=((one,), (other,)), name=str(index), one_way=dice.random() < 0.3)
                faults += [cut, Heal(at_seconds=at + dice.uniform(0.5, 8), name=str(index))]
    return Rotation(options, plain_machines(), faults=faults)


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_nothing_is_lost_or_doubled_whatever_the_network_does(seed: int, cuts: bool, crashes: bool) -> None:
    note(f"seed {seed}, cuts {cuts}, crashes {crashes}")
    rotation = small_world(seed, cuts=cuts, crashes=crashes)
    result = rotation.run()
    require(rotation.ledger.check_nothing_is_delivered_twice())
    require(rotation.ledger.check_nothing_acknowledged_is_lost())
    assert (result.expected, result.lost, result.duplicated) == (PEERS * 15 * 2, 0, 0)
    assert rotation.ledger.acknowledged_count == rotation.ledger.sent_count
    assert all(not node.penalties for node in rotation.world.nodes.values()), "the honest are not punished"


# --- hostile frames ---------------------------------------------------------------------------

LAB_KEYS = RelayLab().keys
KNOWN = [seal(LAB_KEYS, index) for index in range(3)]
LARGE = seal(LAB_KEYS, 9, SizeClass.LARGE)

tags = st.sampled_from([LAB_KEYS.tag, Tag(bytes(32))])
ids = st.one_of(st.sampled_from([id_of(item) for item in KNOWN]), st.binary(min_size=16, max_size=16).map(EnvelopeId))
many_ids = st.lists(ids, max_size=20).map(tuple)
keys = st.sampled_from([*RelayLab().ranking, NodeKey(bytes(32))])
numbers = st.one_of(st.integers(0, 6), st.sampled_from([2**32 - 1, 262_144, 262_145]))
hashes = st.sampled_from([bytes(8), RelayLab().seats_hash])
modes = st.sampled_from(SubscriptionMode)
signatures = st.just(bytes(64))
envelopes = st.one_of(
    st.sampled_from([*KNOWN, LARGE, KNOWN[0][:-1], b"\x01", KNOWN[0][:-1] + b"\0"]),
    st.binary(min_size=1, max_size=300),
    st.binary(min_size=256, max_size=256),
)
descriptors = st.builds(lambda size: sign_tag_descriptor(LAB_KEYS, size, 0), st.integers(3, 7))
codes = st.sampled_from(RefusalCode)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Publish, envelopes, hashes, st.none() | keys),
    st.builds(Deliver, numbers, envelopes),
    st.builds(SeatPush, envelopes),
    st.builds(Offer, tags, many_ids, keys),
    st.builds(Pull, tags, st.lists(numbers, max_size=10).map(tuple), many_ids),
    st.builds(Digest, tags, numbers, many_ids),
    st.builds(Receipt, tags, st.lists(ids, min_size=1, max_size=8).map(tuple), keys, signatures),
    st.builds(SeatExchange, tags, many_ids, st.booleans(), numbers, st.binary(min_size=16, max_size=16)),
    st.builds(SeatPull, tags, many_ids),
    st.builds(SeatOpen, descriptors, hashes, st.booleans()),
    st.builds(SeatDown, tags, keys, st.booleans()),
    st.builds(Unsubscribe, tags),
    st.builds(Subscribed, tags, modes, hashes, st.binary(min_size=8, max_size=8), numbers),
    st.builds(
        Subscribe, descriptors, st.just(Handle(bytes(16))), modes, signatures, hashes, st.just(bytes(8)), numbers
    ),
    st.builds(Refused, codes, st.none() | tags, st.none() | many_ids, st.none() | st.integers(0, 86_400_000)),
)
pulses = st.builds(
    Pulse,
    numbers,
    numbers,
    st.booleans(),
    st.lists(st.builds(TagNumber, tags, numbers), max_size=4).map(tuple),
)


def check_effects(effects: list[Effect]) -> None:
    for effect in effects:
        if isinstance(effect, SendFrame):
            assert effect.peers


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["seat", "client", "stranger"]), frames | pulses), max_size=40))
def test_no_frame_makes_a_relay_raise_or_hold_what_is_not_an_envelope(script: list[tuple[str, Frame | Pulse]]) -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    senders = {"seat": PeerKey(lab.others[0]), "client": client, "stranger": PeerKey(b"?" * 32)}
    for who, item in script:
        if isinstance(item, Pulse):
            check_effects(lab.do(PulseReceived(senders[who], item)))
        else:
            check_effects(lab.frame(senders[who], item))
        check_effects(lab.until(lab.now + 0.2))
    known = {*KNOWN, LARGE}
    for seat in lab.machine.seats.values():
        assert all(held.envelope in known for held in seat.store.since(1))
    lab.until(2_000.0)
    sizes = lab.machine.state_sizes()
    assert (sizes["seats"], sizes["held_bytes"], sizes["watched"]) == (0, 0, 0)


@settings(max_examples=10)
@given(st.data())
def test_no_frame_makes_a_client_raise_and_its_room_still_gets_every_message(data: st.DataObject) -> None:
    """A hostile relay is one of five; what it says between honest frames costs no member a message."""
    seed = data.draw(st.integers(0, 2**16), label="seed")
    options = RotationOptions(
        peers=4,
        rooms=1,
        relays=5,
        hours=20 / 3600,
        seed=seed,
        messages_per_minute=30,
        network=NetworkParameters(name="h", kind=NetworkKind.LAN, epoch_seconds=60, overlap_seconds=12),
    )
    rotation = Rotation(options, plain_machines())
    rotation.world.run(40.0)
    member = rotation.world.machine("member-0")
    own = next(iter(member.tags._open))
    hostile = PeerKey(rotation.world.machine("relay-0").node_key)
    script = data.draw(st.lists(frames | pulses, max_size=30), label="script")
    for item in script:
        spoken = _about(item, own)
        event = PulseReceived(hostile, spoken) if isinstance(spoken, Pulse) else FrameReceived(hostile, spoken)
        check_effects(member.handle(event, rotation.world.now))
        check_effects(member.handle(TurnEnded(), rotation.world.now))
    result = rotation.run()
    assert (result.lost, result.duplicated) == (0, 0)


def _about(item: Frame | Pulse, tag: Tag) -> Frame | Pulse:
    """The same about the member's own tag, so that it is not ignored."""
    if isinstance(item, Pulse):
        return Pulse(
            item.sequence, item.echo, item.wants_echo, tuple(TagNumber(tag, n.last_number) for n in item.numbers)
        )
    if getattr(item, "tag", None) is not None:
        values = {name: getattr(item, name) for name in item.__dataclass_fields__}
        return type(item)(**(values | {"tag": tag}))
    return item
