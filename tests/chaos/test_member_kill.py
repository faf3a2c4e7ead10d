"""SIGKILL of a member at 100 random moments, while it talks with two others through three relays.

Relays and the two others live in the test's process, on real sockets; the member is a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from railgun import Room
from railgun.core.conversation import MESSAGE_ROWS, read_message
from railgun.core.group_sessions import GroupSessions
from railgun.runtime.profile import open_profile
from railgun.runtime.system import SystemEntropy
from railgun.types import DeviceKey, RoomId
from railgun.wire.content import TextContent
from tests.support.api_lab import lab, network_of

KILLS = 100
EPOCH_SECONDS, OVERLAP_SECONDS = 600, 120
"""Longer than the test: seats hold all that is said until it is over, however slow the machine makes each life."""
LIFE_SECONDS = (0.0, 0.9)
EVERY_LIFE_LONGER, LONGER_LIFE_SECONDS = 8, (2.0, 3.0)
"""A new life pulls all that the seats hold of the epoch: some last until that is done."""
OTHERS_PAUSE_SECONDS = 0.25
DRAIN_SECONDS = 60.0


class Victim:
    """The member's processes, one life after another, and all that they wrote."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lives: list[list[str]] = []

    async def live(self, seconds: float | None, until: asyncio.Event | None = None) -> int:
        """One life, killed after so many seconds; or ended by request once ``until`` is set. Its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"start\n")
        pid = int((await self._line()).removeprefix("pid "))
        self.lives.append([])
        loop = asyncio.get_running_loop()
        killing = None if seconds is None else loop.call_later(seconds, os.kill, pid, signal.SIGKILL)
        asking: asyncio.Task[None] | None = None
        try:
            while not (line := await self._line()).startswith("gone "):
                self.lives[-1].append(line)
                if until is not None and asking is None:
                    asking = asyncio.create_task(ask_to_end(pid, until))
        finally:
            if killing is not None:
                killing.cancel()
            if asking is not None:
                asking.cancel()
        return int(line.removeprefix("gone "))

    async def _line(self) -> str:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the member's parent process ended"
        return line.decode().rstrip("\n")

    def told(self, kind: str) -> list[str]:
        return [text for life in self.lives for text in told_in(life, kind)]


def told_in(life: list[str], kind: str) -> list[str]:
    return [line.removeprefix(kind + " ") for line in life if line.startswith(kind + " ")]


async def ask_to_end(pid: int, until: asyncio.Event) -> None:
    await until.wait()
    os.kill(pid, signal.SIGTERM)


@asynccontextmanager
async def victim_of(profile: Path) -> AsyncIterator[Victim]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.kill_member",
        str(profile),
        "victim",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Victim(process)
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def megolm_index(message: bytes) -> int:
    """The index that a Megolm message names: version, field 1, a varint."""
    assert message[1] == 0x08
    index = shift = 0
    for byte in message[2:]:
        index |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return index
    raise AssertionError("no index")


@pytest.fixture
def ratchets(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[bytes, int], set[bytes]]:
    """All that anyone in this process was given to decrypt: (session, index) to messages."""
    found: dict[tuple[bytes, int], set[bytes]] = defaultdict(set)
    decrypt = GroupSessions.decrypt

    def watched(sessions: GroupSessions, hint: bytes, message: bytes) -> object:
        found[hint, megolm_index(message)].add(message)
        return decrypt(sessions, hint, message)

    monkeypatch.setattr(GroupSessions, "decrypt", watched)
    return found


async def talk(room: Room, name: str, said: list[str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        text = f"{name} {len(said)}"
        await room.send(text)
        said.append(text)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), OTHERS_PAUSE_SECONDS)


async def listen(room: Room, heard: Counter[str], news: asyncio.Event) -> None:
    async for message in room.messages():
        heard[message.text] += 1
        news.set()


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.timeout(400)
async def test_a_member_killed_a_hundred_times_goes_on_as_if_nothing_had_been(
    tmp_path: Path, ratchets: dict[tuple[bytes, int], set[bytes]]
) -> None:
    seed = secrets.randbits(32)
    print(f"moments' seed: {seed}")
    moments = random.Random(seed)
    async with lab(tmp_path, network=network_of(EPOCH_SECONDS, OVERLAP_SECONDS)) as net:
        anna, bert, cara = [await net.connect(name) for name in ("anna", "bert", "cara")]
        here, there, _ = await net.room_of(anna, bert, cara)
        device, room_id = cara.identity.device_key, here.room_id
        await cara.aclose()
        stop, news = asyncio.Event(), asyncio.Event()
        said: dict[str, list[str]] = {"anna": [], "bert": []}
        heard: dict[str, Counter[str]] = {"anna": Counter(), "bert": Counter()}
        async with asyncio.TaskGroup() as tasks, victim_of(net.profile("cara")) as victim:
            rooms = {"anna": here, "bert": there}
            talking = [tasks.create_task(talk(room, name, said[name], stop)) for name, room in rooms.items()]
            listening = [tasks.create_task(listen(room, heard[name], news)) for name, room in rooms.items()]
            for number in range(KILLS):
                bounds = LIFE_SECONDS if number % EVERY_LIFE_LONGER else LONGER_LIFE_SECONDS
                assert await victim.live(moments.uniform(*bounds)) == -signal.SIGKILL
            stop.set()
            await asyncio.gather(*talking)
            enough = asyncio.Event()
            last = tasks.create_task(victim.live(None, enough))
            others = {text for texts in said.values() for text in texts}
            kept = set(victim.told("kept"))

            def complete() -> bool:
                arrived = others <= set(victim.told("got"))
                return arrived and all(kept <= set(counter) for counter in heard.values())

            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    while not complete():
                        news.clear()
                        await news.wait()  # the victim goes on talking, so there is always news
            except TimeoutError:
                got = set(victim.told("got"))
                lost = [text for texts in said.values() for text in texts if text not in got]
                unheard = {name: sorted(kept - set(counter)) for name, counter in heard.items()}
                raise AssertionError(
                    f"the victim lacks {lost}, the others lack {unheard}; its last words: {victim.lives[-1][-5:]}"
                ) from None
            enough.set()
            assert await last == 0
            in_store = check_store(net.profile("cara"), room_id, device, others, kept)
            async with asyncio.timeout(DRAIN_SECONDS):
                while not all(in_store <= set(counter) for counter in heard.values()):
                    # What its last life had prepared and not published waits for a next one.
                    assert await victim.live(1.0) == -signal.SIGKILL
            for task in listening:
                task.cancel()
        check_heard(victim, heard, in_store, said)
        check_redelivery(victim.lives)
        reused = {place: len(messages) for place, messages in ratchets.items() if len(messages) > 1}
        assert not reused
        print(f"{len(in_store)} said by the victim, {len(others)} by others, {len(ratchets)} ratchet indexes")
        assert len(kept) > KILLS / 2  # it was at work when it was killed


def check_store(profile: Path, room_id: RoomId, device: DeviceKey, others: set[str], kept: set[str]) -> set[str]:
    """The victim's own store has each message once; the texts that are its own."""
    with open_profile(profile, SystemEntropy()) as opened:
        opened.store.verify()
        texts: Counter[tuple[bool, str]] = Counter()
        places: Counter[bytes] = Counter()
        for key, value in opened.store.load("messages", room_id):
            message = read_message(key[32:], value)  # type: ignore[arg-type]
            assert isinstance(message.content, TextContent)
            texts[message.author == device, message.content.text] += 1
            places.update(MESSAGE_ROWS.decode(value).megolm)
    assert set(texts.values()) == {1}
    assert set(places.values()) == {1}
    assert {text for is_own, text in texts if not is_own} == others
    own = {text for is_own, text in texts if is_own}
    assert kept <= own
    return own


def check_heard(
    victim: Victim, heard: dict[str, Counter[str]], in_store: set[str], said: dict[str, list[str]]
) -> None:
    """Each of the others heard each message once, and nothing that the victim never said."""
    tried = set(victim.told("say"))
    for name, counter in heard.items():
        assert set(counter.values()) == {1}
        of_victim = {text for text in counter if text.startswith("victim ")}
        assert in_store <= of_victim <= tried
        (other,) = set(said) - {name}
        assert {text for text in counter if text not in of_victim} == set(said[other])


def check_redelivery(lives: list[list[str]]) -> None:
    """A message comes again in a later life only if it was the last that an earlier one was given."""
    acknowledged: set[str] = set()
    for life in lives:
        got = told_in(life, "got")
        assert len(set(got)) == len(got)
        assert not acknowledged & set(got)
        acknowledged.update(got[:-1])
