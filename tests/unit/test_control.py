"""The control socket: who may connect, what is bounded, what happens when either end goes away."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from railgun.errors import CryptoError, DiscoveryError, NotMember, RailGunError, UsageError
from railgun.limits import CONTROL_CONNECTIONS_MAX, CONTROL_LINE_BYTES_MAX
from railgun.runtime import control
from railgun.runtime.control import SOCKET_NAME, AnswerLost, ControlClient, ControlServer, ServerGone


class Echo:
    """A service that can be made to wait."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.tails_open = 0
        self.told = -1

    async def call(self, name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        match name:
            case "echo":
                return dict(arguments)
            case "wait":
                self.begun.set()
                try:
                    await self.go_on.wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
                return {"waited": True}
            case "fail":
                kinds = {cls.__name__: cls for cls in (NotMember, DiscoveryError, CryptoError)}
                raise kinds[str(arguments["kind"])](str(arguments["message"]))
        raise UsageError(f"no such call: {name}")

    async def tail(self, arguments: Mapping[str, object]) -> AsyncIterator[dict[str, Any]]:
        self.tails_open += 1
        try:
            for number in range(int(str(arguments["count"]))):
                self.told = number
                yield {"number": number} | ({"text": "x" * 65_536} if arguments.get("long") else {})
            if arguments.get("endless"):
                self.begun.set()
                await asyncio.Event().wait()
        finally:
            self.tails_open -= 1
            self.cancelled.set()


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    # deeper than a socket's name may be long
    path = tmp_path / ("d" * 100) / ("e" * 100)
    path.mkdir(parents=True, mode=0o700)
    return path


@asynccontextmanager
async def served(profile: Path, drain_seconds: float = 5.0) -> AsyncIterator[tuple[Echo, ControlClient]]:
    service = Echo()
    server = await ControlServer.start(profile, service)
    try:
        yield service, ControlClient(profile)
    finally:
        await server.aclose(drain_seconds)
    assert not (profile / SOCKET_NAME).exists()


async def raw(profile: Path, data: bytes) -> list[dict[str, Any]]:
    """What the server answers to these bytes."""
    with control._short_path(profile) as path:
        reader, writer = await asyncio.open_unix_connection(path, limit=CONTROL_LINE_BYTES_MAX)
    try:
        writer.write(data)
        writer.write_eof()
        return [json.loads(line) for line in (await reader.read()).splitlines()]
    except ConnectionError:
        return []
    finally:
        writer.close()


async def test_a_call_and_its_answer(profile: Path) -> None:
    async with served(profile) as (_, client):
        assert client.is_served()
        text = "Grüße \x1b \u202e \U0001f680" * 10_000
        assert await client.call("echo", {"text": text}) == {"text": text}
    assert not client.is_served()


async def test_the_socket_is_its_owners_alone(profile: Path) -> None:
    async with served(profile):
        status = (profile / SOCKET_NAME).lstat()
        assert stat.S_ISSOCK(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == 0o600


async def test_another_user_gets_no_answer(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(profile) as (_, client):
        monkeypatch.setattr(control, "_peer_user", lambda _: os.geteuid() + 1)
        with pytest.raises(AnswerLost):
            await client.call("echo", {})


@pytest.mark.parametrize("kind", [NotMember, DiscoveryError, CryptoError])
async def test_errors_arrive_as_what_they_are(profile: Path, kind: type[RailGunError]) -> None:
    async with served(profile) as (_, client):
        with pytest.raises(kind, match="what to do"):
            await client.call("fail", {"kind": kind.__name__, "message": "what to do"})
        with pytest.raises(UsageError, match="no such call: launch"):
            await client.call("launch", {})


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"not json\n",
        b"\xff\xfe\n",
        b'{"call": 1, "arguments": {}}\n',
        b'{"call": "echo", "arguments": []}\n',
        b'{"call": "echo", "arguments": {}, "more": 1}\n',
        b"[" * 200_000 + b"\n",
        b'{"call": "echo"',
        b"",
    ],
)
async def test_what_is_no_request_is_refused(profile: Path, data: bytes) -> None:
    async with served(profile) as (_, client):
        (answer,) = await raw(profile, data)
        assert answer["error"]["kind"] == "UsageError"
        assert await client.call("echo", {"still": "there"}) == {"still": "there"}


async def test_a_line_without_end_is_refused(profile: Path) -> None:
    async with served(profile) as (_, client):
        answers = await raw(profile, b"x" * (3 * CONTROL_LINE_BYTES_MAX))
        assert all("error" in answer for answer in answers)
        assert await client.call("echo", {}) == {}


async def test_who_asks_nothing_is_let_go(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CONTROL_REQUEST_SECONDS", 0.01)
    async with served(profile):
        with control._short_path(profile) as path:
            reader, writer = await asyncio.open_unix_connection(path)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_too_many_commands_at_once(profile: Path) -> None:
    async with served(profile) as (service, client):
        waiting = [asyncio.ensure_future(client.call("wait", {})) for _ in range(CONTROL_CONNECTIONS_MAX)]
        await service.begun.wait()

        async def ask_until_refused() -> None:
            while True:  # until all of those before have been accepted
                await client.call("echo", {})

        with pytest.raises(UsageError, match="try again in a moment"):
            await ask_until_refused()
        service.go_on.set()
        assert await asyncio.gather(*waiting) == [{"waited": True}] * CONTROL_CONNECTIONS_MAX


async def test_a_stream_of_items(profile: Path) -> None:
    async with served(profile) as (service, client):
        assert [item["number"] async for item in client.tail({"count": 3})] == [0, 1, 2]
        await service.cancelled.wait()
        assert service.tails_open == 0


async def test_a_command_that_goes_away_ends_its_stream_and_its_call(profile: Path) -> None:
    async with served(profile) as (service, client):
        stream = client.tail({"count": 1, "endless": True})
        assert await anext(stream) == {"number": 0}
        await service.begun.wait()
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(service.cancelled.wait(), 5)
        service.cancelled.clear()
        service.begun.clear()
        call = asyncio.ensure_future(client.call("wait", {}))
        await service.begun.wait()
        call.cancel()
        await asyncio.wait_for(service.cancelled.wait(), 5)


async def test_the_server_lets_calls_end_and_tells_readers(profile: Path) -> None:
    service = Echo()
    server = await ControlServer.start(profile, service)
    client = ControlClient(profile)
    stream = client.tail({"count": 1, "endless": True})
    assert await anext(stream) == {"number": 0}
    service.begun.clear()
    call = asyncio.ensure_future(client.call("wait", {}))
    await service.begun.wait()
    ending = asyncio.ensure_future(server.aclose())
    await asyncio.sleep(0)
    assert not client.is_served()
    with pytest.raises(ServerGone):
        await client.call("echo", {})
    service.go_on.set()
    assert await call == {"waited": True}
    with pytest.raises(ServerGone):
        await anext(stream)
    await ending


async def test_a_reader_that_reads_no_more_holds_nobody_up(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pager that stands still is such a one: the process that serves it must end all the same."""
    monkeypatch.setattr(control, "LAST_WORDS_SECONDS", 0.01)
    service = Echo()
    server = await ControlServer.start(profile, service)
    with control._short_path(profile) as path:
        reader, writer = await asyncio.open_unix_connection(path, limit=1)
    asked = {"call": "tail", "arguments": {"count": 1_000, "long": True}}
    writer.write(json.dumps(asked).encode() + b"\n")
    before = -2
    while service.told != before or before < 0:  # until the server waits for its reader
        before = service.told
        for _ in range(100):
            await asyncio.sleep(0)
    assert service.told < 999
    async with asyncio.timeout(5):
        await server.aclose(0.01)
    assert service.tails_open == 0
    assert not reader.at_eof()
    writer.close()


async def test_a_call_that_is_cut_off_is_not_taken_for_one_that_never_began(profile: Path) -> None:
    """Whoever repeated it could say a thing twice."""
    async with served(profile, drain_seconds=0.01) as (service, client):
        call = asyncio.ensure_future(client.call("wait", {}))
        await service.begun.wait()
    with pytest.raises(AnswerLost, match="may or may not have been done"):
        await call
    assert service.cancelled.is_set()


async def test_what_a_crash_left_is_replaced(profile: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    with control._short_path(profile) as path:
        left.bind(path)
    left.close()
    assert (profile / SOCKET_NAME).exists()
    assert not ControlClient(profile).is_served()
    async with served(profile) as (_, client):
        assert await client.call("echo", {}) == {}


async def test_nobody_serves(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent", tmp_path / ("d" * 200)):
        client = ControlClient(directory)
        assert not client.is_served()
        with pytest.raises(ServerGone):
            await client.call("echo", {})
