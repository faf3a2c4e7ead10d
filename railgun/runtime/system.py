"""The machine underneath: its clocks, its entropy, its limits.

Owns: the implementations of `Clock` and `Entropy` for real processes, raising the descriptor limit, the event loop.
Must not know: anything of Rail Gun's own.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import resource
import signal
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from railgun.ports import Entropy

DESCRIPTORS_WANTED = 4_096
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Result = TypeVar("Result")


class SystemClock:
    """Implements `railgun.ports.Clock`. ``wall_offset_seconds`` shifts the wall clock, to test skewed peers."""

    def __init__(self, wall_offset_seconds: float = 0.0) -> None:
        self._wall_offset_seconds = wall_offset_seconds

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time() + self._wall_offset_seconds


class SystemEntropy:
    """Implements `railgun.ports.Entropy`."""

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


def protocol_dice(entropy: Entropy) -> random.Random:
    """The generator for protocol choices of one node (`railgun.ports.Chooser`): never for keys or nonces."""
    return random.Random(entropy.random_bytes(32))  # noqa: S311


def raise_descriptor_limit() -> int:
    """Ask for DESCRIPTORS_WANTED open files, as far as the hard limit allows; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however that ends (Linux only)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a program's main coroutine on uvloop, which carries three to four times what plain asyncio does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
