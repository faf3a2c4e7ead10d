"""One seed, one trace; another under any change."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from railgun.core.effects import Notify
from railgun.sim.trace import TraceText
from railgun.sim.world import World
from tests.simulation.ping_world import ping_world
from tests.simulation.toys import Heard, Recorder, key_of

ROOT = Path(__file__).parents[2]


def _digest_in_a_process(hash_seed: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.ping_world", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_the_hash_seed_changes_nothing() -> None:
    digests = [_digest_in_a_process(hash_seed, "7", "20", "60", "0") for hash_seed in ("0", "1", "4242")]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1] == digests[2]


def test_another_seed_or_one_delay_longer_by_a_millisecond_is_another_trace() -> None:
    digests = []
    for seed, added_ms in ((7, 0), (7, 0), (8, 0), (7, 1)):
        world = ping_world(seed, 20, added_ms)
        world.run(60)
        digests.append(world.trace_digest())
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_how_often_run_is_called_changes_nothing() -> None:
    at_once, in_steps = ping_world(7, 5), ping_world(7, 5)
    at_once.run(30)
    for second in range(1, 31):
        in_steps.run(second)
    assert at_once.trace_digest() == in_steps.trace_digest()
    assert at_once.events == in_steps.events


def test_going_through_the_codecs_changes_nothing() -> None:
    plain, encoded = ping_world(7, 5), ping_world(7, 5)
    encoded.encode_frames = True
    for world in (plain, encoded):
        world.run(20)
    assert plain.trace_digest() == encoded.trace_digest()


def test_the_digest_may_be_read_at_any_time() -> None:
    watched, alone = ping_world(7, 5), ping_world(7, 5)
    for second in (10, 20):
        watched.run(second)
        watched.trace_digest()
    alone.run(20)
    assert watched.trace_digest() == alone.trace_digest()


def test_bytes_do_not_enter_the_trace_but_numbers_do() -> None:
    def digest(frame_bytes: int, number: int) -> str:
        world = World(1, notification_number=lambda notification: number)
        world.add_node("relay", key_of(1), True, lambda persisted: Recorder())
        world.add_node("client", key_of(frame_bytes), False, lambda persisted: Recorder())
        world.call("client", 1.0, "say", 5, lambda machine, now: [_notify(frame_bytes)])
        world.run(2)
        return world.trace_digest()

    assert digest(7, 1) == digest(8, 1)
    assert digest(7, 1) != digest(7, 2)


def _notify(number: int) -> Notify:
    return Notify(Heard(number))


def test_a_listener_gets_readable_lines() -> None:
    stream = io.StringIO()
    world = World(1, listener=TraceText(stream))
    world.add_node("relay", key_of(1), True, lambda persisted: Recorder())
    world.call("relay", 1.5, "say", 5, lambda machine, now: ())
    world.run(2)
    assert stream.getvalue().splitlines() == ["0.000000000 relay ClockRead 1", "1.500000000 relay say 5"]


def test_a_machine_that_raises_ends_the_run_and_says_where() -> None:
    class Broken:
        def handle(self, event: object, now: float) -> list[object]:
            raise KeyError("broken")

    world = World(1)
    world.add_node("relay", key_of(1), True, lambda persisted: Broken())  # type: ignore[arg-type, return-value]
    with pytest.raises(KeyError) as caught:
        world.run(1)
    assert "node relay, event ClockRead" in caught.value.__notes__[0]
