"""The event loop's timers as sessions see them.

Owns: the seam, so that a session can contain what goes wrong in a callback. Must not know: sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Timers(Protocol):
    """The two calls of an event loop that a session needs."""

    def call_soon(self, callback: Callable[[], None]) -> asyncio.Handle:
        """Run ``callback`` at the end of the turn."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Run ``callback`` after ``delay`` seconds."""


class GuardedTimers:
    """The loop's timers, whose callbacks hand their errors to ``failed`` instead of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, failed: Callable[[Exception], None]) -> None:
        self._loop = loop
        self._failed = failed

    def call_soon(self, callback: Callable[[], None]) -> asyncio.Handle:
        """See `Timers`."""
        return self._loop.call_soon(self._run, callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """See `Timers`."""
        return self._loop.call_later(delay, self._run, callback)

    def stop(self) -> None:
        """The session is over: let go of it. What still fires is logged by the loop if it fails."""
        self._failed = _raise

    def _run(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - handed on: it ends this session, never the loop's turn
            self._failed(error)


def _raise(error: Exception) -> None:
    raise error
