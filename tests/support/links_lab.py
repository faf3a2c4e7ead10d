"""Real link layers on 127.0.0.1 for tests: an observer that records and can be awaited, and makers.

Must not know: any machine above links.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache

from railgun.errors import LinkError
from railgun.links.certificate import LinkCertificate
from railgun.links.pool import ListenAt, WebRtcLinks
from railgun.links.settings import LinkIdentity, LinkSettings
from railgun.network import NetworkKind, NetworkParameters
from railgun.ports import LinkUp
from railgun.types import NetworkId, PeerKey

NETWORK = NetworkId(hashlib.sha256(b"links lab").digest())
LAN = dataclasses.replace(LinkSettings.for_network(NetworkParameters("lab", kind=NetworkKind.LAN)), close_seconds=0.4)


class SystemClock:
    """The machine's clocks; ``skew_seconds`` sets the wall clock wrong."""

    def __init__(self, skew_seconds: float = 0.0) -> None:
        self.skew_seconds = skew_seconds

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time() + self.skew_seconds


class SystemEntropy:
    """The machine's randomness."""

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


@cache
def certificate(name: str = "relay") -> LinkCertificate:
    """One certificate a name and run: making them costs time."""
    return LinkCertificate.generate(time.time())


class Recorder:
    """A `LinkObserver` that keeps everything and wakes whoever waits."""

    def __init__(self) -> None:
        self.ups: list[LinkUp] = []
        self.downs: list[tuple[PeerKey, LinkError]] = []
        self.failures: list[tuple[PeerKey, LinkError]] = []
        self.frames: list[bytes] = []
        self.frame_bytes = 0
        self.pulses: list[bytes] = []
        self.writable: list[PeerKey] = []
        self.on_frame: Callable[[PeerKey, bytes], None] | None = None
        self.keeps_frames = True
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def link_up(self, up: LinkUp) -> None:
        self.ups.append(up)
        self._wake()

    def link_down(self, peer: PeerKey, error: LinkError) -> None:
        self.downs.append((peer, error))
        self._wake()

    def dial_failed(self, peer: PeerKey, error: LinkError) -> None:
        self.failures.append((peer, error))
        self._wake()

    def frame_received(self, peer: PeerKey, frame: bytes) -> None:
        self.frame_bytes += len(frame)
        if self.keeps_frames:
            self.frames.append(frame)
        if self.on_frame is not None:
            self.on_frame(peer, frame)
        self._wake()

    def pulse_received(self, peer: PeerKey, pulse: bytes) -> None:
        self.pulses.append(pulse)
        self._wake()

    def link_writable(self, peer: PeerKey) -> None:
        self.writable.append(peer)
        self._wake()

    async def until(self, condition: Callable[[], bool], seconds: float = 8.0) -> None:
        """Wait for ``condition``, looked at after each event. Raises TimeoutError."""
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, future))
        await asyncio.wait_for(future, seconds)

    def _wake(self) -> None:
        waiting, self._waiters = self._waiters, []
        for condition, future in waiting:
            if future.done():
                continue
            if condition():
                future.set_result(None)
            else:
                self._waiters.append((condition, future))


class Node:
    """A link layer with its recorder."""

    def __init__(self, links: WebRtcLinks, seen: Recorder) -> None:
        self.links = links
        self.seen = seen

    async def up_with(self, other: Node) -> LinkUp:
        """Dial ``other`` and wait until both ends are up; this end's `LinkUp`."""
        count, theirs = len(self.seen.ups), len(other.seen.ups)
        self.links.dial(other.links.local_contact())
        await self.seen.until(lambda: len(self.seen.ups) > count)
        await other.seen.until(lambda: len(other.seen.ups) > theirs)
        return self.seen.ups[-1]


@asynccontextmanager
async def relay(
    seed: bytes | None = None,
    *,
    settings: LinkSettings = LAN,
    network: NetworkId = NETWORK,
    skew_seconds: float = 0.0,
    certificate_name: str = "relay",
    port: int = 0,
) -> AsyncIterator[Node]:
    """A listening relay on 127.0.0.1."""
    seen = Recorder()
    links = WebRtcLinks(
        seen,
        LinkIdentity(seed or os.urandom(32), is_relay=True),
        network,
        SystemClock(skew_seconds),
        SystemEntropy(),
        certificate(certificate_name),
        ListenAt("127.0.0.1", port),
        settings,
    )
    await links.start()
    try:
        yield Node(links, seen)
    finally:
        await links.aclose()


@asynccontextmanager
async def client(
    *, settings: LinkSettings = LAN, network: NetworkId = NETWORK, skew_seconds: float = 0.0
) -> AsyncIterator[Node]:
    """A client that only dials, with a fresh key a connection."""
    seen = Recorder()
    identity = LinkIdentity(None, is_relay=False)
    links = WebRtcLinks(seen, identity, network, SystemClock(skew_seconds), SystemEntropy(), None, None, settings)
    await links.start()
    try:
        yield Node(links, seen)
    finally:
        await links.aclose()
