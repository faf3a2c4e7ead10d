"""The example bot of the documentation, as a process of its own against a real network."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from railgun import Room
from tests.support.api_lab import WAIT_SECONDS, hears, lab, settled

BOT = Path(__file__).resolve().parents[2] / "docs" / "examples" / "echo_bot.py"


async def start(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(BOT),
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=BOT.parents[2],
        env={"PYTHONPATH": str(BOT.parents[2])},
    )


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_SECONDS):
        line = (await process.stdout.readline()).decode().strip()
    if not line and process.stderr is not None:
        return (await process.stderr.read()).decode()
    return line


async def says_back(room: Room, text: str) -> None:
    await room.send(text)
    await hears(room, f"anna said: {text}")


@pytest.mark.processes
async def test_the_echo_bot_joins_answers_and_takes_up_again_what_it_was_told_meanwhile(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bot = await net.connect("anna"), await net.connect("bot")  # the bot's profile learns its network
        await bot.aclose()
        room = await anna.create_room("ops", committee_size=3)
        nowhere = await start(net.profile("bot"))
        assert "in no room yet" in (await nowhere.communicate())[1].decode()
        assert nowhere.returncode == 1
        process = await start(net.profile("bot"), room.invite())
        assert await line_of(process) == "ready"
        await settled(anna, room, 2)
        await says_back(room, "hello")
        process.kill()
        await process.communicate()
        await room.send("while you were away")
        process = await start(net.profile("bot"))
        assert await line_of(process) == "ready"
        await hears(room, "anna said: while you were away")
        await says_back(room, "welcome back")
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
        assert (process.returncode, errors.decode()) == (0, "")
        mistaken = await start(tmp_path / "nobody")
        assert "there is no profile" in (await mistaken.communicate())[1].decode()
        assert mistaken.returncode == 1
