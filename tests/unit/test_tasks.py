"""Tasks of one block: all are over when it ends, and no error is lost."""

from __future__ import annotations

import asyncio
import logging

import pytest

from railgun.runtime.tasks import first_ended, running


async def _fails(text: str) -> None:
    raise ValueError(text)


async def _done() -> str:
    return "done"


class Endless:
    def __init__(self) -> None:
        self.was_cancelled = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.was_cancelled = True


class FailsAtItsEnd(Endless):
    async def run(self) -> None:
        try:
            await super().run()
        except asyncio.CancelledError:
            raise ValueError("while ending") from None


async def test_the_first_to_end_ends_the_wait_and_the_others_with_the_block() -> None:
    endless = Endless()
    async with running(quick=_done(), endless=endless.run()) as (quick, other):
        await first_ended(quick, other)
        assert quick.result() == "done"
        assert not other.done()
    assert other.cancelled()
    assert endless.was_cancelled


async def test_an_error_is_raised_once_and_the_others_are_over(caplog: pytest.LogCaptureFixture) -> None:
    endless = Endless()
    with pytest.raises(ValueError, match="broken"):
        async with running(endless=endless.run(), failing=_fails("broken")) as both:
            await first_ended(*both)
    assert endless.was_cancelled
    assert "broken" not in caplog.text


async def test_an_error_that_the_block_does_not_raise_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with running(quick=_done(), at_its_end=FailsAtItsEnd().run()) as both:
            await first_ended(*both)
    assert [record.getMessage() for record in caplog.records] != []
    assert "at_its_end" in caplog.text or any("at_its_end" in str(vars(record)) for record in caplog.records)


async def test_a_block_that_is_cancelled_ends_its_tasks() -> None:
    endless = Endless()

    async def block() -> None:
        async with running(endless=endless.run()) as both:
            await first_ended(*both)

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert endless.was_cancelled
