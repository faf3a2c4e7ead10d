"""A peer at its end, and rows that are damaged: everyone who waits is told, and nothing hangs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from railgun import NotMember, Peer, RailGunError, Room, StoreError
from railgun.core.effects import Notify, Persist
from railgun.core.events import ClockRead
from railgun.errors import ClosedLocally
from railgun.ports import Write
from railgun.runtime.driver import EVENTS_PER_TURN_MAX, Driver
from railgun.runtime.system import SystemClock
from railgun.runtime.tasks import Supervisor
from tests.support.api_lab import WAIT_SECONDS, lab, settled, texts, texts_of


def fill_disk(peer: Peer) -> None:
    """From now on the store finds no room for anything new."""
    peer.shared.store.commit([Write("settings", b"test/ballast", bytes(50_000))])
    pages = peer.shared.store._database.query("PRAGMA page_count")[0][0]
    peer.shared.store._database.query(f"PRAGMA max_page_count = {pages}")


def make_room(peer: Peer) -> None:
    peer.shared.store._database.query("PRAGMA max_page_count = 1000000")


async def talk_for_ever(room: Room) -> None:
    while True:
        await room.send("x" * 60_000)


async def test_a_full_disk_ends_the_peer_and_everyone_is_told(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert, cara = [await net.connect(name) for name in ("anna", "bert", "cara")]
        here, there, _ = await net.room_of(anna, bert, cara)
        link = (await cara.create_room("hers", committee_size=3)).invite()
        await cara.aclose()
        asking = asyncio.create_task(bert.join(link, timeout=None))
        waiting = asyncio.create_task(bert.wait())
        typing = asyncio.create_task(there.typing())
        reading = asyncio.create_task(there.messages().__anext__())
        until = asyncio.create_task(bert.wait_until(lambda: False, 60))
        await asyncio.sleep(0)
        fill_disk(bert)
        with pytest.raises(StoreError, match="disk is full"):
            await talk_for_ever(there)
        async with asyncio.timeout(WAIT_SECONDS):
            results = await asyncio.gather(asking, waiting, typing, reading, until, return_exceptions=True)
        assert [type(result) for result in results] == [StoreError] * 5, results
        assert all("disk is full" in str(result) for result in results)
        for action in (lambda: there.send("y"), lambda: bert.create_room("z"), there.leave, bert.rotate_prekey):
            with pytest.raises(StoreError, match="disk is full"):
                await action()
        make_room(bert)
        await bert.aclose()
        assert "x" * 60_000 not in texts(here.history()) or len(set(texts(here.history()))) == 1
        # With room again it goes on where the disk left it.
        bert = await net.connect("bert")
        again = bert.room(here.room_id)
        await settled(bert, again, 3)
        kept = len(again.history(500))
        await again.send("after")
        heard = await texts_of(here, kept + 1)
        assert heard[-1] == "after"
        assert len(heard) == kept + 1


async def test_a_full_disk_while_only_listening_is_learnt_from_wait(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        await here.send("the session's key is there")
        await texts_of(there, 1)
        fill_disk(bert)

        talking = asyncio.create_task(talk_for_ever(here))
        with pytest.raises(StoreError, match="disk is full"):
            async with asyncio.timeout(WAIT_SECONDS):
                await bert.wait()
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        assert not bert.is_closed
        make_room(bert)
        await bert.aclose()
        bert = await net.connect("bert")
        again = bert.room("ops")
        expected = len(here.history(500))
        heard = await texts_of(again, expected)  # the seats still held what the disk had no room for
        assert len(heard) == expected


async def test_a_bug_ends_the_peer_with_a_name_and_not_with_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab(tmp_path, relays=1) as net:
        anna = await net.connect("anna")
        room = await anna.create_room("ops")
        reading = asyncio.create_task(room.messages().__anext__())

        def broken(*_: object) -> None:
            raise KeyError("secret-ish")

        monkeypatch.setattr(anna.machine, "handle", broken)
        anna.shared.driver.link_writable(next(iter(anna.machine.connector.linked)))
        with pytest.raises(KeyError):
            await anna.wait()
        with pytest.raises(RailGunError, match="this peer has failed \\(KeyError\\)"):
            await reading
        with pytest.raises(RailGunError, match="failed"):
            await room.send("x")


async def test_a_room_whose_rows_are_damaged_is_left_out_and_others_are_served(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        other = await bert.create_room("other", committee_size=3)
        third = await bert.create_room("third", committee_size=3)
        store = bert.shared.store
        store.commit(
            [
                *(Write("roster_entries", key, None) for key, _ in store.load("roster_entries", there.room_id)),
                Write("rooms", third.room_id, b"\xff nonsense"),
            ]
        )
        await bert.aclose()
        bert = await net.connect("bert")
        assert bert.rooms() == [other]
        assert await bert.wait_until(lambda: bert.status().mode == "volunteers", WAIT_SECONDS)
        await bert.room("other").send("served")
        with pytest.raises(NotMember):
            bert.room(there.room_id)
        await here.send("nobody minds")


async def test_a_damaged_message_is_named_and_not_skipped_in_silence(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=1) as net:
        anna = await net.connect("anna")
        room = await anna.create_room("ops")
        anna.shared.store.commit([Write("messages", room.room_id + bytes(16), b"\x00 no message")])
        with pytest.raises(StoreError, match="a message is damaged"):
            await anext(room.messages())
        with pytest.raises(StoreError, match="a message is damaged"):
            room.history()


async def test_calls_on_a_driver_that_stops_or_fails_are_answered() -> None:
    class Broken:
        turn_due = False

        def handle(self, event: object, now: float) -> list[object]:
            return [] if isinstance(event, ClockRead) else [Notify("boom")]

    def fail(_: object) -> None:
        raise ZeroDivisionError

    for stop in (True, False):
        driver = Driver(clock=SystemClock(), store=None, notify=fail)
        tasks = Supervisor()
        calls = [asyncio.create_task(driver.call(lambda _: (1, []))) for _ in range(3)]
        await asyncio.sleep(0)
        if stop:
            driver.stop()
        else:
            driver.link_writable(b"peer")  # type: ignore[arg-type]
            # Calls go before what peers bring, but only so many a turn: the last one still waits when that fails.
            more = EVENTS_PER_TURN_MAX + 1 - len(calls)
            calls += [asyncio.create_task(driver.call(lambda _: (1, []))) for _ in range(more)]
        await asyncio.sleep(0)
        tasks.start("driver", driver.run(Broken(), None))  # type: ignore[arg-type]
        results = await asyncio.gather(*calls, return_exceptions=True)
        expected = ClosedLocally if stop else ZeroDivisionError
        assert isinstance(results[-1], expected)
        assert all(result == 1 or isinstance(result, expected) for result in results)
        with pytest.raises(expected):
            driver.act(lambda _: (None, []))
        with pytest.raises(expected):
            await driver.call(lambda _: (None, []))
        if not stop:
            with pytest.raises(ZeroDivisionError):
                await tasks.wait()
        await tasks.aclose()


async def test_what_cannot_be_kept_ends_the_node_before_anything_leaves() -> None:
    class Quiet:
        turn_due = False

        def handle(self, event: object, now: float) -> list[object]:
            return []

    told: list[object] = []
    driver = Driver(clock=SystemClock(), store=None, notify=told.append)
    tasks = Supervisor()
    tasks.start("driver", driver.run(Quiet(), None))  # type: ignore[arg-type]
    write = Persist((Write("settings", b"k", b"v"),))
    with pytest.raises(RuntimeError, match="no store"):
        driver.act(lambda _: (None, [Notify("left first"), write]))
    with pytest.raises(RuntimeError, match="no store"):
        await tasks.wait()
    assert told == []
    await tasks.aclose()


async def test_closing_with_a_full_disk_still_frees_the_profile(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna = await net.connect("anna")
        await anna.create_room("ops")
        fill_disk(anna)
        try:
            await anna.aclose()
        except StoreError as error:
            assert "disk is full" in str(error)  # noqa: PT017
        anna = await net.connect("anna")
        assert [room.name for room in anna.rooms()] == ["ops"]
