"""What passes over virtual links, and when nothing does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from railgun.core.effects import Connect, Disconnect, Effect, PenalisePeer, SendFrame, SendPulse
from railgun.core.events import (
    DialFailed,
    FrameReceived,
    PeerConnected,
    PeerDisconnected,
    PeerWritable,
    PulseReceived,
    SendBlocked,
)
from railgun.errors import ConfigurationError, RefusalCode
from railgun.sim.network_model import NetworkModel
from railgun.sim.virtual_links import CLOSED_LOCALLY, LINK_LOST
from railgun.sim.world import World
from railgun.wire.frames import Pulse
from tests.simulation.toys import Recorder, contact_of, frame_of, key_of

RELAY, CLIENT = key_of(1), key_of(2)
DELAY = 0.05
EVEN = NetworkModel(delay_min_seconds=DELAY, delay_max_seconds=DELAY, jitter_ratio=0.0)
COUNT = 2000


def _pair(model: NetworkModel = EVEN, *, encode_frames: bool = False) -> tuple[World, Recorder, Recorder]:
    world = World(1, model, encode_frames=encode_frames)
    relay, client = Recorder(), Recorder([contact_of(RELAY)])
    world.add_node("relay", RELAY, True, lambda persisted: relay, wall_offset_seconds=1.0)
    world.add_node("client", CLIENT, False, lambda persisted: client, wall_offset_seconds=-2.0)
    return world, relay, client


def _do(world: World, name: str, at: float, *effects: Effect) -> None:
    world.call(name, at, "do", 0, lambda machine, now: effects)


def _frames(count: int) -> list[Effect]:
    return [SendFrame((RELAY,), frame_of(number)) for number in range(count)]


def test_both_ends_are_up_after_one_and_a_half_round_trips() -> None:
    world, relay, client = _pair()
    world.run(1)
    [(client_at, client_event)], [(relay_at, relay_event)] = client.of(PeerConnected), relay.of(PeerConnected)
    assert client_at == relay_at == pytest.approx(3 * DELAY)
    assert client_event == PeerConnected(RELAY, CLIENT, True, False, 3.0, 2 * DELAY)
    assert relay_event == PeerConnected(CLIENT, RELAY, False, True, -3.0, 2 * DELAY)


def test_two_that_dial_each_other_get_one_link() -> None:
    world = World(1, EVEN)
    ends = [Recorder([contact_of(key_of(2 - number))]) for number in (0, 1)]
    for number, end in enumerate(ends):
        world.add_node(f"relay-{number}", key_of(number + 1), True, lambda persisted, end=end: end)  # type: ignore[misc]
    world.run(10)
    for end in ends:
        assert len(end.of(PeerConnected)) == 1
        assert end.of(DialFailed) == []


def test_dialling_a_peer_that_is_linked_changes_nothing() -> None:
    world, relay, client = _pair()
    _do(world, "client", 1.0, Connect(contact_of(RELAY)))
    world.run(10)
    assert len(client.of(PeerConnected)) == len(relay.of(PeerConnected)) == 1


def test_a_frame_arrives_after_the_link_s_delay_at_each_that_it_is_sent_to() -> None:
    world, relay, _ = _pair()
    other = Recorder()
    world.add_node("other", key_of(3), True, lambda persisted: other)
    _do(world, "client", 1.0, Connect(contact_of(key_of(3))))
    frame = frame_of(5)
    _do(world, "client", 2.0, SendFrame((RELAY, key_of(3)), frame))
    world.run(3)
    for end in (relay, other):
        assert end.of(FrameReceived) == [(2.0 + DELAY, FrameReceived(CLIENT, frame))]
        assert end.of(FrameReceived)[0][1].frame is frame  # type: ignore[union-attr]


def test_frames_can_be_made_to_go_through_the_codec() -> None:
    world, relay, _ = _pair(encode_frames=True)
    frame, pulse = frame_of(5), Pulse(1, 0, True, ())
    _do(world, "client", 1.0, SendFrame((RELAY,), frame), SendPulse(RELAY, pulse))
    world.run(2)
    got = relay.of(FrameReceived)[0][1].frame  # type: ignore[union-attr]
    assert got == frame
    assert got is not frame
    assert relay.of(PulseReceived)[0][1].pulse == pulse  # type: ignore[union-attr]


def test_what_cannot_be_encoded_is_found() -> None:
    world, _, _ = _pair(encode_frames=True)
    _do(world, "client", 1.0, SendFrame((RELAY,), replace(frame_of(5), tag=b"short")))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Bytes"):
        world.run(2)


def test_a_loss_delays_a_frame_and_swallows_a_pulse() -> None:
    world, relay, _ = _pair(replace(EVEN, loss=0.1, fast_retransmit=0.5))
    world.run(10)
    pulses = [SendPulse(RELAY, Pulse(number, 0, False, ())) for number in range(1, COUNT + 1)]
    _do(world, "client", 10.0, *_frames(COUNT), *pulses)
    world.run(100)
    assert sorted(relay.numbers()) == list(range(COUNT))
    took = sorted(at - 10.0 for at, _ in relay.of(FrameReceived))
    late = [seconds for seconds in took if seconds > DELAY + 1e-6]
    assert 0.07 < len(late) / COUNT < 0.13
    fast = [seconds for seconds in late if seconds < 1.0]
    assert 0.3 < len(fast) / len(late) < 0.65
    assert fast[0] == pytest.approx(3 * DELAY)
    assert took[-1] > 1.0 + DELAY
    assert 0.87 < len(relay.of(PulseReceived)) / COUNT < 0.93


def test_jitter_and_reordering_change_the_order_and_lose_nothing() -> None:
    for model in (replace(EVEN, jitter_ratio=0.2), replace(EVEN, reorder=0.1)):
        world, relay, _ = _pair(model)
        world.run(1)
        _do(world, "client", 1.0, *_frames(100))
        world.run(10)
        assert relay.numbers() != list(range(100))
        assert sorted(relay.numbers()) == list(range(100))


def test_duplication_delivers_some_twice() -> None:
    world, relay, _ = _pair(replace(EVEN, frame_duplication=0.2, pulse_duplication=0.2))
    world.run(1)
    pulses = [SendPulse(RELAY, Pulse(number, 0, False, ())) for number in range(1, 101)]
    _do(world, "client", 1.0, *_frames(100), *pulses)
    world.run(10)
    assert set(relay.numbers()) == set(range(100))
    assert 105 < len(relay.numbers()) < 140
    assert 105 < len(relay.of(PulseReceived)) < 140


def test_sending_without_a_link_is_told() -> None:
    world, _, client = _pair()
    frame = frame_of(1)
    _do(world, "client", 1.0, SendFrame((key_of(9),), frame), SendPulse(key_of(9), Pulse(1, 0, False, ())))
    world.run(2)
    assert client.of(SendBlocked) == [(1.0, SendBlocked(key_of(9), frame))]


def test_disconnect_ends_both_ends_with_their_reasons() -> None:
    world, relay, client = _pair()
    _do(world, "relay", 1.0, Disconnect(CLIENT, RefusalCode.BUSY, 1500))
    _do(world, "client", 1.01, *_frames(1))
    world.run(10)
    assert relay.of(PeerDisconnected) == [(1.0, PeerDisconnected(CLIENT, CLOSED_LOCALLY))]
    assert client.of(PeerDisconnected) == [(1.05, PeerDisconnected(RELAY, "ClosedByPeer: busy", 1.5))]
    assert relay.numbers() == []


def test_disconnect_ends_a_dial() -> None:
    world, relay, client = _pair()
    _do(world, "client", 0.1, Disconnect(RELAY, RefusalCode.SHUTTING_DOWN))
    world.run(10)
    assert client.of(DialFailed) == [(0.1, DialFailed(RELAY, CLOSED_LOCALLY))]
    assert relay.of(PeerConnected) == []


def test_penalties_are_kept_for_the_test_to_see() -> None:
    world, _, _ = _pair()
    penalty = PenalisePeer(CLIENT, RefusalCode.BAD_SIGNATURE, "forged", 10)
    _do(world, "relay", 1.0, penalty)
    world.run(2)
    assert world.nodes["relay"].penalties == [(1.0, penalty)]


def test_a_short_partition_delays_frames_and_swallows_pulses() -> None:
    world, relay, client = _pair()
    world.act(1.0, lambda: world.partition([["relay"], ["client"]]))
    _do(world, "client", 2.0, *_frames(3), SendPulse(RELAY, Pulse(1, 0, False, ())))
    _do(world, "relay", 2.0, SendFrame((CLIENT,), frame_of(9)))
    world.run(10)
    assert relay.numbers() == client.numbers() == []
    world.heal()
    world.run(12)
    assert sorted(relay.numbers()) == [0, 1, 2]
    assert client.numbers() == [9]
    assert relay.of(PulseReceived) == []
    assert client.of(PeerDisconnected) == []


def test_a_long_partition_ends_the_link_at_both_ends_and_prevents_dials() -> None:
    world, relay, client = _pair()
    world.act(1.0, lambda: world.partition([["relay*"], ["cli*"]], name="split"))
    world.run(1.0 + EVEN.silence_seconds)
    at = 1.0 + EVEN.silence_seconds
    assert client.of(PeerDisconnected) == [(at, PeerDisconnected(RELAY, LINK_LOST))]
    assert relay.of(PeerDisconnected) == [(at, PeerDisconnected(CLIENT, LINK_LOST))]
    _do(world, "client", 40.0, Connect(contact_of(RELAY)))
    world.run(50)
    assert client.of(DialFailed) == [(40.0 + EVEN.dial_seconds, DialFailed(RELAY, LINK_LOST))]
    world.heal("split")
    _do(world, "client", 50.0, Connect(contact_of(RELAY)))
    world.run(51)
    assert len(client.of(PeerConnected)) == 2


def test_a_one_way_partition_cuts_one_way() -> None:
    world, relay, client = _pair()
    world.act(1.0, lambda: world.partition([["client"], ["relay"]], one_way=True))
    _do(world, "client", 2.0, *_frames(1))
    _do(world, "relay", 2.0, SendFrame((CLIENT,), frame_of(9)))
    world.run(10)
    assert (relay.numbers(), client.numbers()) == ([], [9])


def test_a_partition_leaves_everybody_else_alone() -> None:
    world, relay, _ = _pair()
    world.act(1.0, lambda: world.partition([["relay"], ["somebody"]]))
    _do(world, "client", 2.0, *_frames(1))
    world.run(10)
    assert relay.numbers() == [0]


def test_a_link_over_which_nothing_passes_fills_up_and_says_when_it_has_room() -> None:
    world, relay, client = _pair(replace(EVEN, held_frames_max=2))
    world.act(1.0, lambda: world.partition([["relay"], ["client"]]))
    _do(world, "client", 2.0, *_frames(3))
    world.run(5)
    assert client.of(SendBlocked) == [(2.0, SendBlocked(RELAY, frame_of(2)))]
    world.heal()
    world.run(10)
    assert sorted(relay.numbers()) == [0, 1]
    assert client.of(PeerWritable) == [(5.0, PeerWritable(RELAY))]


def test_overlapping_partitions_heal_one_by_one() -> None:
    world, relay, _ = _pair()
    world.run(1)
    world.partition([["relay"], ["client"]], name="one")
    world.partition([["relay"], ["c*"]], name="two")
    world.heal("one")
    _do(world, "client", 2.0, *_frames(1))
    world.run(5)
    assert relay.numbers() == []
    world.heal("two")
    world.run(10)
    assert relay.numbers() == [0]
    with pytest.raises(KeyError):
        world.heal("two")


def test_delays_are_the_pair_s_own_and_within_the_range() -> None:
    model = NetworkModel(delay_min_seconds=0.01, delay_max_seconds=0.02, delays_seconds={("a", "b"): 0.5})
    sampler = World(1, model).sampler
    assert sampler.pair_delay_seconds("b", "a") == 0.5
    delays = {sampler.pair_delay_seconds("a", f"node-{number}") for number in range(100)}
    assert len(delays) == 100
    assert all(0.01 <= delay <= 0.02 for delay in delays)


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay_min_seconds": 0.0},
        {"delay_max_seconds": 0.001},
        {"loss": 1.0},
        {"loss": float("nan")},
        {"reorder": -0.1},
        {"silence_seconds": -1.0},
        {"delays_seconds": {("b", "a"): 1.0}},
    ],
)
def test_a_model_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        NetworkModel(**wrong)  # type: ignore[arg-type]
