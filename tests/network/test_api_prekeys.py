"""New prekeys on the real thing: kept before they are told, told to every room, and an older copy is of no use."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from railgun import Peer, Room, StoreError, UsageError
from railgun.core.room import MemberRoom
from railgun.core.room_port import RoomOutcome
from railgun.limits import GENERATION_LIVE_DAYS
from railgun.runtime.identity import load_identity
from railgun.runtime.prekeys import (
    PREKEY_KEEP_SECONDS,
    PREKEY_SECONDS,
    PREKEYS_MAX,
    OwnPrekey,
    new_prekey_at,
    next_drop_at,
    prekeys_write,
    read_prekeys,
    with_new_prekey,
    without_old_prekeys,
)
from railgun.runtime.system import SystemClock
from tests.support.api_lab import WAIT_SECONDS, hears, lab, settled, texts, texts_of


def prekey_of(room: Room, of: Peer) -> bytes | None:
    return room._peer.member_room(room.room_id).roster.prekey(of.identity.device_key)


def own_prekey(peer: Peer) -> bytes:
    return peer.shared.tools.sessions.hpke_public_key(peer.identity.prekeys[0].secret)


async def known_to(room: Room, of: Peer) -> None:
    assert await room._peer.wait_until(lambda: prekey_of(room, of) == own_prekey(of), WAIT_SECONDS)


async def test_a_full_copy_reads_nothing_after_new_prekey_generation_and_sessions(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert, cara = [await net.connect(name) for name in ("anna", "bert", "cara")]
        here, there, _ = await net.room_of(anna, bert, cara)
        await here.send("before")
        await texts_of(there, 1)
        await bert.aclose()
        shutil.copytree(net.profile("bert"), tmp_path / "thief")
        shutil.copytree(net.profile("bert"), tmp_path / "early thief")
        bert = await net.connect("bert")
        there = bert.room("ops")
        await settled(bert, there, 3)
        # The copy works: what is said before the device heals, it reads.
        await here.send("still readable")
        await hears(there, "still readable")
        early = await net.connect("early thief")
        await hears(early.room("ops"), "still readable")
        await early.aclose()
        # 1. A new prekey, 2. a new generation, made by removing a third, 3. each sender's new session under it.
        await bert.rotate_prekey()
        await known_to(here, bert)
        await here.remove(cara.identity.device_key)
        assert await bert.wait_until(lambda: len(there.members()) == 2, WAIT_SECONDS)
        assert await bert.wait_until(lambda: _sends_under(there) == 2, WAIT_SECONDS)
        await here.send("healed, by anna")
        await there.send("healed, by bert")
        await hears(there, "healed, by anna")
        await hears(here, "healed, by bert")
        thief = await net.connect("thief")
        stolen = thief.room("ops")
        # It gets every envelope that the seats hold, roster entries too: the removal shows that it has caught up.
        assert await thief.wait_until(lambda: len(stolen.members()) == 2, WAIT_SECONDS)
        assert await thief.wait_until(lambda: "still readable" in texts(stolen.history()), WAIT_SECONDS)
        await here.send("healed, and the thief listens")
        await hears(there, "healed, and the thief listens")
        assert not any("healed" in text for text in texts(stolen.history(500)))
        generations = thief.member_room(stolen.room_id).generations
        assert [held.generation for held in generations._held.values()] == [1]


def _sends_under(room: Room) -> int | None:
    keys = room._peer.member_room(room.room_id).sending_keys(room._peer.wall())
    return None if keys is None else keys.generation


async def test_a_new_prekey_reaches_every_room_and_survives_restarts(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        second, _ = await net.room_of(bert, anna, name="second")
        certified = own_prekey(bert)
        assert prekey_of(here, bert) == certified
        await bert.rotate_prekey()
        await bert.rotate_prekey()
        assert own_prekey(bert) != certified
        assert len(bert.identity.prekeys) == 3
        for room in (here, anna.room("second"), there, second):
            await known_to(room, bert)
        # New sessions are sealed under it, and open; so does what was sealed under the old ones.
        await anna.aclose()
        anna = await net.connect("anna")
        here = anna.room("ops")
        assert prekey_of(here, bert) == own_prekey(bert)
        await here.send("a new session")
        assert await texts_of(there, 1) == ["a new session"]
        prekeys = bert.identity.prekeys
        await bert.aclose()
        bert = await net.connect("bert")
        assert bert.identity.prekeys == prekeys
        # Who joins later learns it from the roster, and who joins with a newer one says so.
        cara = await net.connect("cara")
        await cara.rotate_prekey()
        room = await cara.join(here.invite())
        await settled(cara, room, 3)
        await known_to(room, bert)
        await known_to(here, cara)
        await room.send("hello")
        await settled(anna, here, 3)
        await hears(here, "hello")


async def test_a_prekey_made_just_before_a_crash_is_told_at_the_next_start(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, _ = await net.room_of(anna, bert)
        fresh = with_new_prekey(bert.identity.prekeys, b"n" * 32, bert.wall())
        bert.shared.store.commit([prekeys_write(fresh)])  # as far as the crash let it come
        await bert.aclose()
        bert = await net.connect("bert")
        assert bert.identity.prekeys == fresh
        await known_to(here, bert)


async def test_what_cannot_be_kept_is_told_to_nobody(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        before = prekey_of(here, bert)
        bert.shared.store._database.query("PRAGMA query_only = 1")
        with pytest.raises(StoreError):
            await bert.rotate_prekey()
        with pytest.raises(StoreError):
            await bert.wait()
        assert prekey_of(there, bert) == before
        bert.shared.store._database.query("PRAGMA query_only = 0")
        await bert.aclose()
        bert = await net.connect("bert")
        assert own_prekey(bert) == before == prekey_of(here, bert)


async def test_who_knows_only_a_prekey_that_is_gone_is_told_anew(tmp_path: Path) -> None:
    """A member that was away for long seals under what it knows; it does not open, and the room is told again."""
    async with lab(tmp_path) as net:
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        await anna.aclose()
        tells_nobody(bert.member_room(there.room_id))
        await bert.rotate_prekey()
        bert._prekeys.use(bert.identity.prekeys[:1])
        roster = bert.member_room(there.room_id).roster
        assert await bert.wait_until(lambda: roster.prekey_record(bert.identity.device_key) is not None, WAIT_SECONDS)
        anna = await net.connect("anna")
        here = anna.room("ops")
        await settled(anna, here, 2)
        assert prekey_of(here, bert) != own_prekey(bert)
        await here.send("under the old prekey")
        await known_to(here, bert)
        await here.send("under the new one")
        await hears(there, "under the new one")


def tells_nobody(room: MemberRoom) -> None:
    """The next telling of a prekey is kept here and reaches nobody, as after a relay's loss; later ones go out."""
    telling = room.prekeys.tell

    def kept(now: float, wall: float) -> RoomOutcome:
        room.prekeys.tell = telling  # type: ignore[method-assign]
        record = room.tools.prekey
        assert record is not None
        room.prekeys._at, room.prekeys._told = None, record
        return RoomOutcome(list(room.roster.insert_prekey(record)))

    room.prekeys.tell = kept  # type: ignore[method-assign]


async def test_the_week_is_over(tmp_path: Path) -> None:
    """The task that looks after prekeys, an old profile, a clock that is right."""
    async with lab(tmp_path) as net:
        old = SystemClock(-PREKEY_SECONDS - 60.0)
        net.clock, clock = old, net.clock
        path = net.profile("anna")
        net.clock = clock
        assert path.exists()
        anna, bert = await net.connect("anna"), await net.connect("bert")
        here, there = await net.room_of(anna, bert)
        anna._tasks.start("look now", anna._prekeys.run())
        assert await anna.wait_until(lambda: len(anna.identity.prekeys) == 2, WAIT_SECONDS)
        await known_to(there, anna)
        kept = anna.identity.prekeys
        await anna.aclose()
        # Much later the old one's secret goes, from the disk too.
        anna = await net.connect("anna")
        replaced = int(anna.wall() - PREKEY_KEEP_SECONDS - 1)
        anna._prekeys.use((kept[0], dataclasses.replace(kept[1], replaced=replaced)))
        anna._tasks.start("look now", anna._prekeys.run())
        assert await anna.wait_until(lambda: len(anna.identity.prekeys) == 1, WAIT_SECONDS)
        assert load_identity(anna.shared.store).prekeys == kept[:1]
        await anna.aclose()
        needle = kept[1].secret
        assert all(needle not in file.read_bytes() for file in path.iterdir() if file.is_file())
        assert here.room_id == there.room_id


def test_the_rules_of_prekeys() -> None:
    day = 86_400
    first = (OwnPrekey(b"a" * 32, 1_000_000, 0),)
    assert new_prekey_at(first) == 1_000_000 + 7 * day
    assert next_drop_at(first) == float("inf")
    second = with_new_prekey(first, b"b" * 32, 2_000_000.5)
    assert second == (OwnPrekey(b"b" * 32, 2_000_000, 0), OwnPrekey(b"a" * 32, 1_000_000, 2_000_000))
    # Within one second, and with a clock that went back, the newer still counts as issued later.
    third = with_new_prekey(second, b"c" * 32, 1_500_000.0)
    assert [prekey.issued for prekey in third] == [2_000_001, 2_000_000, 1_000_000]
    drop = next_drop_at(third)
    assert drop == 1_500_000 + (GENERATION_LIVE_DAYS + 1) * day
    assert [prekey.secret for prekey in without_old_prekeys(third, drop)] == [b"c" * 32, b"a" * 32]
    assert without_old_prekeys(third, 9e9) == third[:1]
    many = third
    for number in range(PREKEYS_MAX - 3):
        many = with_new_prekey(many, bytes((number,)) * 32, 2_000_100.0 + number)
    with pytest.raises(UsageError, match="has to wait"):
        with_new_prekey(many, b"z" * 32, 2_000_200.0)
    value = prekeys_write(many).value
    assert value is not None
    assert read_prekeys(value) == many
    assert "aaaa" not in repr(many)
