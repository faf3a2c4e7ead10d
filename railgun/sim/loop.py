"""An asyncio loop in virtual time: what waits for a second waits for nothing.

Owns: the loop, its clocks, and a virtual network of datagrams over `network_model`.
Must not know: who runs on it.

Spec: design, simulation. Timers of one moment run in an order that their scheduling alone decides, so that one seed
gives one run. The loop has no sockets, signals or threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from railgun.sim.network_model import NetworkModel, NetworkSampler
from railgun.types import Address

Result = TypeVar("Result")

WALL_START_SECONDS = 1_700_000_000.0


class Standstill(RuntimeError):
    """Everything waits and nothing is due: on a real loop this would hang for ever."""


class _Waiting:
    """In place of a selector: waiting moves the clock on."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Standstill("nothing is due and nobody can wake the loop")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time passes only while it waits. `asyncio.BaseEventLoop` keeps its timers and tasks."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = _Waiting()
        self._selector = self._waiting
        self._clock_resolution = 1e-6  # coarser than a float of many years, or a timer would never be due

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._waiting.now

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, Result]]) -> Result:
    """Run ``main(loop)`` on a loop of its own to its end, and close the loop."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


class VirtualClock:
    """Implements `railgun.ports.Clock` on a virtual loop. ``wall_offset_seconds`` makes it wrong."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall_offset_seconds: float = 0.0) -> None:
        self._loop = loop
        self._wall_start = WALL_START_SECONDS + wall_offset_seconds

    def monotonic(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return self._wall_start + self._loop.time()


class SeededEntropy:
    """Implements `railgun.ports.Entropy` from a seed: for simulations only."""

    def __init__(self, seed: object) -> None:
        self._random = random.Random(f"railgun entropy {seed}")

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class VirtualSocket:
    """Implements `railgun.ports.DatagramCarrier` at one virtual address."""

    def __init__(self, network: VirtualDatagrams, address: Address) -> None:
        self._network = network
        self.address = address
        self.receive: Callable[[bytes, Address], None] | None = None

    def send_datagram(self, data: bytes, to: Address) -> None:
        """Send; it arrives later, or never."""
        self._network.carry(data, self.address, to)

    def on_datagram(self, receive: Callable[[bytes, Address], None]) -> None:
        """Whom to hand what arrives."""
        self.receive = receive


class VirtualDatagrams:
    """A network of datagrams: each may be delayed, lost, reordered or doubled, as the model says."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seed: int, model: NetworkModel) -> None:
        self._loop = loop
        self._model = model
        self._sampler = NetworkSampler(seed, model)
        self._sockets: dict[Address, VirtualSocket] = {}
        self._delays: dict[tuple[Address, Address], float] = {}
        self._cut: Callable[[Address, Address], bool] | None = None
        self._digest: Any = None
        self.carried = 0
        """Datagrams handed to the network."""
        self.carried_bytes = 0

    def open(self, address: Address) -> VirtualSocket:
        """A socket at ``address``; one that was there before is gone."""
        socket = VirtualSocket(self, address)
        self._sockets[address] = socket
        return socket

    def kill(self, address: Address) -> None:
        """From now on nothing leaves it and nothing reaches it; nobody is told."""
        self._sockets.pop(address, None)

    def partition(self, is_cut: Callable[[Address, Address], bool] | None) -> None:
        """Lose whatever goes from one address to another where ``is_cut`` says so; None heals."""
        self._cut = is_cut

    def record_trace(self) -> None:
        """Keep a digest of all that is sent from now on."""
        self._digest = hashlib.blake2b(digest_size=16)

    @property
    def trace(self) -> str:
        """The digest so far: equal runs have equal ones."""
        return "" if self._digest is None else str(self._digest.hexdigest())

    def carry(self, data: bytes, source: Address, to: Address) -> None:
        """Take one datagram from ``source``."""
        if source not in self._sockets:
            return
        self.carried += 1
        self.carried_bytes += len(data)
        sampler, model = self._sampler, self._model
        if self._digest is not None:
            self._digest.update(f"{self._loop.time():.9f} {source} {to} ".encode() + data)
        if self._cut is not None and self._cut(source, to):
            return
        if model.loss and sampler.random() < model.loss:
            return
        pair = (source, to) if source < to else (to, source)
        delay = self._delays.get(pair)
        if delay is None:
            delay = self._delays[pair] = sampler.pair_delay_seconds(str(source), str(to))
        for _ in range(2 if model.pulse_duplication and sampler.random() < model.pulse_duplication else 1):
            took = delay * (1 + sampler.jitter * sampler.random())
            if model.reorder:
                took += sampler.held_back_seconds()
            self._loop.call_later(took, self._arrive, data, source, to)

    def _arrive(self, data: bytes, source: Address, to: Address) -> None:
        socket = self._sockets.get(to)
        if socket is not None and socket.receive is not None:
            socket.receive(data, source)
