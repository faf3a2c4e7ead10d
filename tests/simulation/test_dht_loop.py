"""The virtual loop: time passes only while it waits, one seed gives one run."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from typing import Any

import pytest

from railgun.sim.loop import Standstill, VirtualClock, VirtualDatagrams, VirtualLoop, run_virtual
from railgun.sim.network_model import NetworkModel
from railgun.types import Address

ONE, OTHER = Address("20.0.0.1", 1), Address("20.0.1.1", 1)


async def pause(seconds: float) -> None:
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, over.set_result, None)
    await over


def test_a_year_passes_at_once() -> None:
    async def main(loop: VirtualLoop) -> tuple[float, float]:
        clock = VirtualClock(loop, wall_offset_seconds=5)
        wall = clock.wall()
        await pause(31_536_000)
        return clock.monotonic(), clock.wall() - wall

    started = time.monotonic()
    assert run_virtual(main) == pytest.approx((31_536_000, 31_536_000))
    assert time.monotonic() - started < 20


def test_timers_run_in_order_of_time_and_time_stands_while_work_is_done() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[float, int]]:
        ran: list[tuple[float, int]] = []

        def note(number: int) -> None:
            ran.append((loop.time(), number))

        for number, delay in enumerate((3.0, 1.0, 2.0, 1.0)):
            loop.call_later(delay, note, number)
        await asyncio.wait_for(pause(10), timeout=20)
        return ran

    ran = run_virtual(main)
    assert ran == sorted(ran, key=lambda pair: pair[0])
    assert [at for at, _ in ran] == [1.0, 1.0, 2.0, 3.0]


def test_a_timeout_is_virtual_too() -> None:
    async def main(loop: VirtualLoop) -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_future(), timeout=3_600)
        return loop.time()

    assert run_virtual(main) == 3_600


def test_waiting_for_nothing_is_said() -> None:
    async def main(loop: VirtualLoop) -> None:
        await loop.create_future()

    loop = VirtualLoop()
    waiting = main(loop)
    task = loop.create_task(waiting)
    with pytest.raises(Standstill):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    gc.collect()


def deliveries(seed: int, **model: Any) -> list[tuple[float, bytes]]:
    async def main(loop: VirtualLoop) -> list[tuple[float, bytes]]:
        network = VirtualDatagrams(loop, seed, NetworkModel(**model))
        arrived: list[tuple[float, bytes]] = []
        network.open(OTHER).on_datagram(lambda data, _: arrived.append((loop.time(), data)))
        sender = network.open(ONE)
        dice = random.Random(seed)
        for number in range(200):
            sender.send_datagram(number.to_bytes(2, "big"), OTHER)
            await pause(dice.random() / 100)
        await pause(10)
        return arrived

    return run_virtual(main)


def test_the_network_delays_loses_doubles_and_reorders_by_its_seed() -> None:
    assert len(deliveries(1)) == 200
    assert deliveries(1, loss=0.2) == deliveries(1, loss=0.2)
    assert deliveries(1, loss=0.2) != deliveries(2, loss=0.2)
    assert 120 < len(deliveries(1, loss=0.2)) < 190
    assert 210 < len(deliveries(1, pulse_duplication=0.2)) < 280
    numbers = [data for _, data in deliveries(1, reorder=0.5)]
    assert numbers != sorted(numbers)


def test_the_dead_and_the_cut_off_hear_nothing() -> None:
    async def main(loop: VirtualLoop) -> list[bytes]:
        network = VirtualDatagrams(loop, 1, NetworkModel())
        network.record_trace()
        arrived: list[bytes] = []
        receiver, sender = network.open(OTHER), network.open(ONE)
        receiver.on_datagram(lambda data, _: arrived.append(data))
        network.partition(lambda source, _: source == ONE)
        sender.send_datagram(b"cut", OTHER)
        network.partition(None)
        sender.send_datagram(b"heals", OTHER)
        await pause(1)
        sender.send_datagram(b"on its way", OTHER)
        network.kill(OTHER)
        receiver.send_datagram(b"from the dead", ONE)
        await pause(1)
        assert network.carried == 3
        assert network.trace
        return arrived

    assert run_virtual(main) == [b"heals"]
