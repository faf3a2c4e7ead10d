"""Tasks of a block: none outlives it, and the first error ends it as it is."""

from __future__ import annotations

import asyncio

import pytest

from railgun.cli.chat.owned_tasks import owned_tasks
from railgun.errors import StoreError


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        ended.append("ended")


async def test_the_block_ends_with_its_tasks() -> None:
    ended: list[str] = []
    async with owned_tasks() as tasks:
        tasks.start(forever(ended))
        tasks.start(asyncio.sleep(0), ends_all=True)
        await tasks.wait()
        assert ended == []
    assert ended == ["ended"]


async def test_the_first_error_ends_the_block_and_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def fail() -> None:
        raise StoreError("the disk is full")

    async def block() -> None:
        async with owned_tasks() as tasks:
            tasks.start(forever(ended))
            tasks.start(fail())
            await tasks.wait()

    with pytest.raises(StoreError, match="disk is full"):
        await block()
    assert ended == ["ended"]


async def test_whoever_is_cancelled_takes_its_tasks_along() -> None:
    ended: list[str] = []

    async def block() -> None:
        async with owned_tasks() as tasks:
            tasks.start(forever(ended))
            await tasks.wait()

    running = asyncio.create_task(block())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["ended"]
