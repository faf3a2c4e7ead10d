"""A rendezvous server in this process or in one of its own, NATS servers, and clients that keep to no rules.

Must not know: what the server does inside.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from railgun.crypto.rendezvous import MailboxKey
from railgun.runtime.system import SystemEntropy
from railgun.wire.rendezvous import (
    RENDEZVOUS_FRAMES,
    Challenge,
    Opened,
    OpenMailbox,
    RendezvousFrame,
    RendezvousRefused,
)
from railgun_signaling.configuration import (
    Configuration,
    LimitsConfiguration,
    NatsConfiguration,
    RelaysConfiguration,
    ServerConfiguration,
)
from railgun_signaling.server import Server

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 30
LOCAL = ServerConfiguration(hosts=("127.0.0.1",), port=0, drain_seconds=5.0)
ROOMY = LimitsConfiguration(
    connections_per_source=10_000,
    arrivals_per_second=10_000,
    arrivals_burst=100_000,
    frames_per_second=10_000,
    frames_burst=100_000,
)
"""All clients of a test come from one address."""


def configuration(
    server: ServerConfiguration = LOCAL,
    limits: LimitsConfiguration = ROOMY,
    relays: RelaysConfiguration | None = None,
    nats: str | None = None,
) -> Configuration:
    """A server on a free port of the loopback."""
    return Configuration(
        server=server,
        limits=limits,
        relays=relays or RelaysConfiguration(),
        nats=NatsConfiguration(url=nats),
    )


@asynccontextmanager
async def running(wanted: Configuration | None = None) -> AsyncIterator[Server]:
    """A server for as long as the block."""
    server = await Server.start(wanted or configuration())
    try:
        yield server
    finally:
        await server.aclose()


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}"


async def until(condition: Callable[[], object], seconds: float = SECONDS_MAX) -> None:
    """Let everything else run until ``condition()`` holds; fails after so many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # conditions are inside the server, which tells nobody
            await asyncio.sleep(0)


class RawClient:
    """A client that says what it is told to say."""

    def __init__(self, connection: ClientConnection, challenge: Challenge | None) -> None:
        self.connection = connection
        self.challenge = challenge

    async def say(self, frame: RendezvousFrame | bytes | str) -> None:
        data = frame if isinstance(frame, (bytes, str)) else RENDEZVOUS_FRAMES.encode(frame)
        await self.connection.send(data)

    async def hear(self) -> RendezvousFrame:
        async with asyncio.timeout(SECONDS_MAX):
            message = await self.connection.recv()
        assert isinstance(message, bytes)
        return RENDEZVOUS_FRAMES.decode(message)

    async def refusal(self) -> RendezvousRefused:
        """The refusal that ends the connection; its close code says the same."""
        frame = await self.hear()
        assert isinstance(frame, RendezvousRefused), frame
        async with asyncio.timeout(SECONDS_MAX):
            await self.connection.wait_closed()
        assert self.connection.close_code == 4_000 + frame.code
        return frame

    async def open(self, key: MailboxKey | None = None) -> MailboxKey:
        """Open a mailbox."""
        assert self.challenge is not None
        key = key or MailboxKey.of(SystemEntropy().random_bytes(32))
        await self.say(OpenMailbox(key.public, key.proof(self.challenge.nonce, self.challenge.key)))
        assert isinstance(await self.hear(), Opened)
        return key


@asynccontextmanager
async def raw_client(url: str, path: str = "/v1", **options: Any) -> AsyncIterator[RawClient]:
    """A connection, and the challenge if one comes first."""
    connection = await connect(url + path, compression=None, proxy=None, **options)
    try:
        first = RENDEZVOUS_FRAMES.decode(await connection.recv(decode=False))
        client = RawClient(connection, first if isinstance(first, Challenge) else None)
        if client.challenge is None:  # refused at once: let the test hear it
            heard = iter((first,))

            async def hear() -> RendezvousFrame:
                return next(heard)

            client.hear = hear  # type: ignore[method-assign]
        yield client
    finally:
        await connection.close()


def get(port: int, path: str) -> tuple[int, str]:
    """Status and text of an HTTP request; to be called in a thread."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SECONDS_MAX) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def poll(ask: Callable[[], Awaitable[object]], wanted: object, seconds: float = SECONDS_MAX) -> None:
    """Ask again and again until the answer is the one wanted; fails after so many seconds."""
    async with asyncio.timeout(seconds):
        while await ask() != wanted:  # noqa: ASYNC110  # each question waits for its answer
            await asyncio.sleep(0)


async def health(port: int) -> dict[str, Any]:
    """What /health says."""
    _, text = await asyncio.to_thread(get, port, "/health")
    found: dict[str, Any] = json.loads(text)
    return found


class ServerProcess:
    """``railgun-signaling serve`` as a process of its own."""

    def __init__(
        self,
        home: Path,
        *words: str,
        environ: dict[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "railgun_signaling"),
    ) -> None:
        self.log = home / f"signaling-{os.urandom(4).hex()}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAILGUN_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "serve", "--host", "127.0.0.1", "--json", *words],
                cwd=home,
                env=kept | {"PYTHONPATH": str(ROOT / "signaling"), "PYTHONUNBUFFERED": "1"} | (environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.port: int = json.loads(line)["port"]
        self.url = f"ws://127.0.0.1:{self.port}"

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=SECONDS_MAX)
        return self.process.returncode


class NatsServer:
    """A real nats-server on a port of the loopback."""

    def __init__(self, home: Path, port: int = -1) -> None:
        """``port`` -1: any free one."""
        found = [directory for directory in os.environ["PATH"].split(os.pathsep) if directory]
        places = [Path(directory) / "nats-server" for directory in [*found, "/usr/sbin", "/usr/local/bin"]]
        program = next(place for place in places if place.exists())
        self.port = port
        self.process = subprocess.Popen(
            [program, "--addr", "127.0.0.1", "--port", str(port)],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "Listening for client connections on" in line:
                self.port = int(line.rpartition(":")[2])
            if "Server is ready" in line:
                break
        self.url = f"nats://127.0.0.1:{self.port}"

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=SECONDS_MAX)


def changed(wanted: Configuration, **limits: Any) -> Configuration:
    """The same with other limits."""
    return dataclasses.replace(wanted, limits=dataclasses.replace(wanted.limits, **limits))
