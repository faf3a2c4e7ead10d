"""Turns, timers, persistence, crashes, clocks and slow nodes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from railgun.core.effects import Connect, Effect, Notify, Persist, SendFrame, SetTimer
from railgun.core.events import (
    ClockRead,
    DialFailed,
    Event,
    FrameReceived,
    PeerConnected,
    PeerDisconnected,
    TimerFired,
    TurnEnded,
)
from railgun.core.persistence import Write
from railgun.errors import InvariantViolated
from railgun.sim import world as world_module
from railgun.sim.network_model import NetworkModel
from railgun.sim.virtual_links import LINK_LOST
from railgun.sim.virtual_node import CrashPoint, LinksAfterCrash, Persisted
from railgun.sim.world import WALL_BASE_SECONDS, World
from tests.simulation.toys import Heard, Recorder, contact_of, frame_of, key_of

RELAY, CLIENT = key_of(1), key_of(2)
DELAY = 0.05
EVEN = NetworkModel(delay_min_seconds=DELAY, delay_max_seconds=DELAY, jitter_ratio=0.0)


def _pair(model: NetworkModel = EVEN) -> tuple[World, Recorder, Recorder]:
    """A relay and a client that is linked to it from 0.15 s on."""
    world = World(1, model)
    relay, client = Recorder(), Recorder([contact_of(RELAY)])
    world.add_node("relay", RELAY, True, lambda persisted: relay)
    world.add_node("client", CLIENT, False, lambda persisted: client, wall_offset_seconds=2.5)
    return world, relay, client


def _do(world: World, name: str, at: float, *effects: Effect) -> None:
    world.call(name, at, "do", 0, lambda machine, now: effects)


def test_a_node_starts_with_its_clock_read() -> None:
    world, relay, client = _pair()
    world.run(0)
    assert relay.seen == [(0.0, ClockRead(WALL_BASE_SECONDS))]
    assert client.seen == [(0.0, ClockRead(WALL_BASE_SECONDS + 2.5))]


def test_a_clock_that_jumps_is_read_again() -> None:
    world, _, client = _pair()
    world.run(1)
    world.jump_clock("client", -10)
    world.run(2)
    assert client.of(ClockRead)[-1] == (1.0, ClockRead(WALL_BASE_SECONDS - 7.5))


def test_names_and_keys_are_unique() -> None:
    world, _, _ = _pair()
    for name, key in (("relay", key_of(9)), ("other", RELAY)):
        with pytest.raises(ValueError, match="taken"):
            world.add_node(name, key, True, lambda persisted: Recorder())


def test_a_timer_replaces_the_one_before() -> None:
    world, _, client = _pair()
    _do(world, "client", 1.0, SetTimer(1, 5.0))
    _do(world, "client", 2.0, SetTimer(2, 4.0))
    _do(world, "client", 6.0, SetTimer(3, 5.5))
    world.run(10)
    assert client.of(TimerFired) == [(4.0, TimerFired(2)), (6.0, TimerFired(3))]


def test_a_turn_ends_once_for_all_that_happened_at_one_instant() -> None:
    world, relay, _ = _pair()
    world.run(1)
    before = relay.turns
    frames = [SendFrame((RELAY,), frame_of(number)) for number in range(3)]
    _do(world, "client", 1.0, *frames)
    world.run(2)
    assert relay.numbers() == [0, 1, 2]
    assert relay.turns == before + 1


def test_a_machine_that_answers_itself_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "INSTANT_EVENTS_MAX", 1000)

    class Restless(Recorder):
        def handle(self, event: Event, now: float) -> Sequence[Effect]:
            return () if isinstance(event, TurnEnded) else [SetTimer(1, now)]

    world = World(1)
    world.add_node("relay", RELAY, True, lambda persisted: Restless())
    with pytest.raises(InvariantViolated, match="livelock"):
        world.run(1)


class Keeper(Recorder):
    """Persists a number in the turn in which it sends and tells it, last of the turn's effects."""

    def say(self, number: int) -> list[Effect]:
        write = Write("said", b"number", number.to_bytes(4, "big"))
        return [SendFrame((RELAY,), frame_of(number)), Notify(Heard(number)), Persist((write,))]


def _keeper_world() -> tuple[World, Recorder, list[Persisted]]:
    starts: list[Persisted] = []
    world = World(1, EVEN)
    relay = Recorder()

    def keeper(persisted: Persisted) -> Keeper:
        starts.append(persisted)
        return Keeper([contact_of(RELAY)])

    world.add_node("relay", RELAY, True, lambda persisted: relay)
    world.add_node("client", CLIENT, False, keeper)
    return world, relay, starts


def _say(world: World, at: float, number: int) -> None:
    world.call("client", at, "say", number, lambda machine, now: machine.say(number))


def test_what_was_persisted_survives_and_memory_does_not() -> None:
    world, _, starts = _keeper_world()
    _say(world, 1.0, 7)
    world.run(2)
    first = world.machine("client")
    world.crash("client")
    assert world.machine("client") is None
    world.restart("client")
    assert world.machine("client") is not first
    assert starts == [{}, {"said": {b"number": (7).to_bytes(4, "big")}}]


def test_a_deletion_is_persisted_too() -> None:
    world, _, starts = _keeper_world()
    _say(world, 1.0, 7)
    _do(world, "client", 2.0, Persist((Write("said", b"number", None),)))
    world.run(3)
    world.restart("client")
    assert starts[1] == {"said": {}}


def test_a_machine_cannot_write_to_its_disk_behind_the_world_s_back() -> None:
    world, _, starts = _keeper_world()
    _say(world, 1.0, 7)
    world.run(2)
    world.restart("client")
    starts[1]["said"][b"number"] = b"changed"
    world.restart("client")
    assert starts[2]["said"][b"number"] == (7).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("point", "stored", "left"),
    [
        (CrashPoint.AFTER_PERSIST, True, False),
        (CrashPoint.BEFORE_PERSIST, False, False),
        (CrashPoint.NOW, False, False),
    ],
)
def test_nothing_leaves_before_it_is_persisted(point: CrashPoint, stored: bool, left: bool) -> None:
    """The effects stand in the wrong order on purpose: the world commits first, and a crash between shows it."""
    world, relay, starts = _keeper_world()
    world.run(1)
    world.crash("client", at=point)
    _say(world, 1.5, 7)
    world.run(2)
    world.restart("client")
    assert bool(starts[1]) is stored
    assert bool(relay.numbers()) is left
    assert bool(world.nodes["client"].notifications) is left


def test_without_a_crash_all_of_it_leaves() -> None:
    world, relay, _ = _keeper_world()
    _say(world, 1.0, 7)
    world.run(2)
    assert relay.numbers() == [7]
    assert world.nodes["client"].notifications == [(1.0, Heard(7))]


def test_a_crashed_node_hears_nothing_and_its_timer_is_gone() -> None:
    world, relay, client = _pair()
    _do(world, "relay", 1.0, SendFrame((CLIENT,), frame_of(1)))
    _do(world, "client", 1.0, SetTimer(1, 3.0))
    world.act(1.01, lambda: world.crash("client"))
    world.call("client", 2.0, "never", 0, lambda machine, now: pytest.fail("it is down"))
    world.run(5)
    assert client.numbers() == []
    assert client.of(TimerFired) == []
    assert relay.of(PeerDisconnected) == []


def test_a_power_cut_shows_only_as_silence() -> None:
    world, relay, _ = _pair()
    world.act(10.0, lambda: world.crash("client"))
    world.run(100)
    assert relay.of(PeerDisconnected) == [(10.0 + EVEN.silence_seconds, PeerDisconnected(CLIENT, LINK_LOST))]


def test_a_killed_process_closes_its_links_at_once() -> None:
    world, relay, _ = _pair()
    world.act(10.0, lambda: world.crash("client", links=LinksAfterCrash.AT_ONCE))
    world.run(100)
    assert relay.of(PeerDisconnected) == [(10.0 + DELAY, PeerDisconnected(CLIENT, LINK_LOST))]


def test_who_returns_replaces_its_old_link() -> None:
    world, relay = World(1, EVEN), Recorder()
    world.add_node("relay", RELAY, True, lambda persisted: relay)
    world.add_node("client", CLIENT, False, lambda persisted: Recorder([contact_of(RELAY)]))
    world.act(10.0, lambda: world.restart("client"))
    world.run(100)
    kinds = [type(event) for _, event in relay.seen]
    assert kinds == [ClockRead, PeerConnected, PeerDisconnected, PeerConnected]
    _do(world, "relay", 100.0, SendFrame((CLIENT,), frame_of(1)))
    world.run(101)
    assert world.machine("client").numbers() == [1]


def test_a_crash_and_restart_within_one_instant_leaves_a_node_that_works() -> None:
    world, _, _ = _pair()
    starts: list[Recorder] = []

    def make(persisted: Persisted) -> Recorder:
        starts.append(Recorder())
        return starts[-1]

    world.add_node("third", key_of(3), False, make)
    _do(world, "third", 1.0, SetTimer(1, 2.0))
    world.act(2.0, lambda: world.restart("third"))
    world.run(3)
    assert [type(event) for _, event in starts[1].seen] == [ClockRead]
    assert starts[1].turns == 1


def test_a_slow_node_takes_its_time_and_ends_its_turn_when_nothing_waits() -> None:
    world, relay, _ = _pair()
    world.run(1)
    before = relay.turns
    world.slow_down("relay", 0.5)
    _do(world, "client", 1.0, *(SendFrame((RELAY,), frame_of(number)) for number in range(3)))
    world.run(5)
    arrived = [at for at, _ in relay.of(FrameReceived)]
    assert arrived == pytest.approx([1.55, 2.05, 2.55])
    assert relay.turns == before + 1
    world.slow_down("relay", 0)
    _do(world, "client", 5.0, SendFrame((RELAY,), frame_of(3)))
    world.run(6)
    assert relay.of(FrameReceived)[-1][0] == pytest.approx(5.05)


def test_a_slow_node_that_crashes_forgets_what_waited() -> None:
    world, relay, _ = _pair()
    world.run(1)
    world.slow_down("relay", 0.5)
    _do(world, "client", 1.0, *(SendFrame((RELAY,), frame_of(number)) for number in range(3)))
    world.act(1.7, lambda: world.crash("relay"))
    world.run(5)
    assert relay.numbers() == [0]


def test_a_dial_of_somebody_who_is_down_fails_at_its_deadline() -> None:
    world, _, client = _pair()
    world.crash("relay")
    world.run(20)
    assert client.of(DialFailed) == [(EVEN.dial_seconds, DialFailed(RELAY, LINK_LOST))]
    _do(world, "client", 20.0, Connect(contact_of(key_of(99))))
    world.run(40)
    assert client.of(DialFailed)[-1] == (20.0 + EVEN.dial_seconds, DialFailed(key_of(99), LINK_LOST))
