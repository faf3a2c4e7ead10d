"""The control socket: a second command is served by the process that has the profile open.

Owns: the socket in the profile's directory, its JSON lines, who may connect, how much. Must not know: any call.
Reference: docs/reference/control-socket.md.

One request a connection, one line: ``{"call": NAME, "arguments": {...}}``. The answer is any number of lines
``{"item": {...}}`` and one ``{"result": {...}}`` or ``{"error": {"kind": ..., "message": ...}}``. The socket is its
owner's alone (mode 0600 in a directory of mode 0700, and the kernel is asked who connects): whoever runs as that user
while the profile is open can do what its owner can, as with any agent that holds keys.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from railgun.errors import (
    ConfigurationError,
    CryptoError,
    DiscoveryError,
    NotMember,
    RailGunError,
    StoreError,
    UsageError,
)
from railgun.limits import CONTROL_CONNECTIONS_MAX, CONTROL_LINE_BYTES_MAX, CONTROL_REQUEST_SECONDS
from railgun.runtime.logs import Log
from railgun.runtime.tasks import Supervisor, first_ended, running

SOCKET_NAME: Final = "control"
SOCKET_MODE: Final = 0o600
STREAMS: Final = ("tail",)
"""Calls that answer with items until they are stopped."""
CLOSING: Final = "Closing"
"""Nothing was done: ask again, or open the profile."""
LOST: Final = "Lost"
"""A call was under way: it may or may not have been carried out."""
ENDING: Final = "the process that has the profile open is ending"
ENDED: Final = (
    "the process that had the profile open ended before it answered: what was asked may or may not have been done, so "
    "look (railgun tail ROOM, railgun room list) before you repeat it"
)
DRAIN_SECONDS: Final = 35.0
"""What a call may still take when the process that serves it would like to end: a send waits 30 s for receipts."""
LAST_WORDS_SECONDS: Final = 1.0
"""How long a reader is waited for that reads no more (a pager at its end): ending must not depend on it."""

_KNOWN_ERRORS: Final[Mapping[str, type[RailGunError]]] = {
    cls.__name__: cls for cls in (ConfigurationError, UsageError, NotMember, DiscoveryError, StoreError, CryptoError)
}
"""Errors that say all in one text; others arrive as their root."""

log = Log("control")


class Service(Protocol):
    """What is served: `railgun.runtime.peer_service.PeerService`."""

    async def call(self, name: str, arguments: Mapping[str, object]) -> dict[str, Any]: ...

    def tail(self, arguments: Mapping[str, object]) -> AsyncIterator[dict[str, Any]]: ...


class ServerGone(RailGunError):
    """Nobody serves the profile, or who did is ending. Nothing was done: try again, or open the profile."""


class AnswerLost(RailGunError):
    """Who served the profile ended while the call was under way. Repeating it could do it twice."""


# --- serving ------------------------------------------------------------------------------------


class ControlServer:
    """Serves one profile, which this process has open. Made by `start`; ends with `aclose`."""

    def __init__(self, directory: Path, service: Service) -> None:
        self._directory = directory
        self._service = service
        self._tasks = Supervisor()
        self._server: asyncio.AbstractServer | None = None
        self._open = 0
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._working: set[asyncio.StreamWriter] = set()

    @classmethod
    async def start(cls, directory: Path, service: Service) -> ControlServer:
        """Listen. What a crash left of an older socket is replaced: the caller holds the profile's lock.

        Raises:
            StoreError: the directory refuses.
        """
        server = cls(directory, service)
        with _short_path(directory) as path:
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                (directory / SOCKET_NAME).unlink(missing_ok=True)
                os.fchmod(listening.fileno(), SOCKET_MODE)  # before it has a name
                listening.bind(path)
                os.chmod(path, SOCKET_MODE)  # noqa: PTH101 - a moment's work, done before anything runs
                listening.setblocking(False)
            except OSError as error:
                listening.close()
                raise StoreError(
                    f"{directory / SOCKET_NAME}: {error.strerror}: check that the disk has room and is writable"
                ) from error
        server._server = await asyncio.start_unix_server(
            server._connected, sock=listening, limit=CONTROL_LINE_BYTES_MAX
        )
        return server

    async def aclose(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Let calls under way end, tell readers, and take the socket away. Idempotent."""
        if self._closing:
            return
        self._closing = True
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_seconds):  # wait_for may swallow a cancellation
                await self._idle.wait()
        await self._tasks.aclose()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.start("control connection", self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            await self._answer(reader, writer)
        except (ConnectionError, TimeoutError):
            log.debug("a command went away before its answer")
        except asyncio.CancelledError:
            lost = writer in self._working
            await _last_words(writer, LOST if lost else CLOSING, ENDED if lost else ENDING)
            raise
        finally:
            self._working.discard(writer)
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _peer_user(writer) != os.geteuid():
            return
        if self._closing:
            await _write_error(writer, CLOSING, ENDING)
            return
        if self._open > CONTROL_CONNECTIONS_MAX:
            await _write_error(writer, "UsageError", "too many commands at once on this profile: try again in a moment")
            return
        try:
            async with asyncio.timeout(CONTROL_REQUEST_SECONDS):
                name, arguments = _read_request(await reader.readuntil(b"\n"))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            await _write_error(writer, "UsageError", f"not a request: {type(error).__name__}")
            return
        # A command that is interrupted closes its end.
        async with running(work=self._work(name, arguments, writer), left=_until_left(reader)) as both:
            await first_ended(*both)

    async def _work(self, name: str, arguments: Mapping[str, object], writer: asyncio.StreamWriter) -> None:
        try:
            if name in STREAMS:
                await self._stream(arguments, writer)
                return
            self._working.add(writer)
            self._calls += 1
            self._idle.clear()
            try:
                result = await self._service.call(name, arguments)
                await _write_line(writer, {"result": result})
            finally:
                self._calls -= 1
                if not self._calls:
                    self._idle.set()
        except RailGunError as error:
            await _write_error(writer, type(error).__name__, str(error))

    async def _stream(self, arguments: Mapping[str, object], writer: asyncio.StreamWriter) -> None:
        items = self._service.tail(arguments)
        try:
            async for item in items:
                await _write_line(writer, {"item": item})
            await _write_line(writer, {"result": {}})
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()


def _read_request(line: bytes) -> tuple[str, Mapping[str, object]]:
    try:
        request = json.loads(line)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(request, dict) or request.keys() != {"call", "arguments"}:
        raise ValueError("a request has a call and its arguments")
    name, arguments = request["call"], request["arguments"]
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError("a call is a name, arguments are an object")
    return name, arguments


def _peer_user(writer: asyncio.StreamWriter) -> int:
    connected = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(user)


async def _until_left(reader: asyncio.StreamReader) -> None:
    """Until the other end says more, which it never does, or is gone, in whatever way."""
    with suppress(ConnectionError):
        await reader.read(1)


async def _write_error(writer: asyncio.StreamWriter, kind: str, message: str) -> None:
    await _write_line(writer, {"error": {"kind": kind, "message": message}})


async def _last_words(writer: asyncio.StreamWriter, kind: str, message: str) -> None:
    try:
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            await _write_error(writer, kind, message)
    except TimeoutError:
        writer.transport.abort()
    except ConnectionError:
        log.debug("a command went away before its end was told")


async def _write_line(writer: asyncio.StreamWriter, value: Mapping[str, Any]) -> None:
    writer.write(json.dumps(value).encode("ascii") + b"\n")
    await writer.drain()


# --- asking -------------------------------------------------------------------------------------


class ControlClient:
    """Asks whoever has the profile open. Every request has a connection of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def is_served(self) -> bool:
        """Whether somebody listens at this moment."""
        with _short_path(self._directory) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except OSError:
                return False
            return True

    async def call(self, name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        """One call.

        Raises:
            ServerGone: nobody serves the profile (any more); nothing was done.
            AnswerLost: the connection broke while the call was under way.
            RailGunError: what the call raised there, of the same class where it is one that callers know.
        """
        async for is_item, value in self._ask(name, arguments):
            if not is_item:
                return value
        raise AnswerLost(ENDED)

    async def tail(self, arguments: Mapping[str, object]) -> AsyncIterator[dict[str, Any]]:
        """The items of a stream. Raises as `call`, but ServerGone for AnswerLost: reading again does no harm."""
        try:
            async for is_item, value in self._ask("tail", arguments):
                if not is_item:
                    return
                yield value
        except AnswerLost as error:
            raise ServerGone(ENDING) from error
        raise ServerGone(ENDING)

    async def _ask(self, name: str, arguments: Mapping[str, object]) -> AsyncIterator[tuple[bool, dict[str, Any]]]:
        """Pairs of whether it is an item, and the value; none follows a result."""
        with _short_path(self._directory) as path:
            try:
                reader, writer = await asyncio.open_unix_connection(path, limit=CONTROL_LINE_BYTES_MAX)
            except OSError as error:
                raise ServerGone("nobody serves this profile") from error
        try:
            await _write_line(writer, {"call": name, "arguments": arguments})
            while line := await reader.readline():
                yield _read_answer(line)
        except (ConnectionError, ValueError) as error:
            raise AnswerLost(ENDED) from error
        finally:
            writer.close()


def _read_answer(line: bytes) -> tuple[bool, dict[str, Any]]:
    answer = json.loads(line)
    if not isinstance(answer, dict) or len(answer) != 1:
        raise ValueError("not an answer")
    ((kind, value),) = answer.items()
    if not isinstance(value, dict):
        raise ValueError("not an answer")
    if kind == "error":
        raise _error_of(str(value.get("kind")), str(value.get("message")))
    return kind == "item", value


def _error_of(kind: str, message: str) -> RailGunError:
    if kind == CLOSING:
        return ServerGone(message)
    if kind == LOST:
        return AnswerLost(message)
    return _KNOWN_ERRORS.get(kind, RailGunError)(message)


@contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """The socket's path by way of a descriptor: the kernel takes 107 bytes, and profiles may lie deeper than that."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield str(directory / SOCKET_NAME)  # whoever uses it is told that it is not there
        return
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
