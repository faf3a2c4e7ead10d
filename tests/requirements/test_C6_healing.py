"""C6: pairwise ratchets between real members heal by themselves when one side's state is lost, damaged or rolled back.

Each device's Megolm session ends after so many messages, and the next one's key goes over the pairwise Olm session: so
using one up is what makes a ratchet move.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from railgun import Peer, Room
from railgun.core.pairwise import ROW_KEY, TABLE
from railgun.limits import SESSION_MESSAGES_MAX
from railgun.ports import Write
from railgun.runtime.profile import open_profile
from railgun.types import RoomId
from tests.requirements.real import members_of, quiet_room
from tests.support.api_lab import Lab, hears, lab, settled

SENDS_AT_ONCE = 50

Rows = dict[bytes, bytes]


async def use_up(room: Room) -> None:
    """So many messages that the next one needs a new session."""
    for _ in range(SESSION_MESSAGES_MAX // SENDS_AT_ONCE):
        await asyncio.gather(*(room.send("one of many") for _ in range(SENDS_AT_ONCE)))


async def there_and_back(here: Room, there: Room, name: str) -> None:
    """Both bring the other a key over their pairwise session, and each new key needs the step before."""
    for speaker, listener, who in ((here, there, "anna"), (there, here, "bert")):
        await use_up(speaker)
        await speaker.send(f"{name}, by {who}")
        await hears(listener, f"{name}, by {who}")


def pairwise_rows(net: Lab, name: str, room: RoomId) -> Rows:
    with open_profile(net.profile(name), net.entropy) as profile:
        prefix = room + ROW_KEY
        return {key: value for key, value in profile.store.load(TABLE, room) if key.startswith(prefix)}


def put_back(net: Lab, name: str, room: RoomId, rows: Rows) -> None:
    """Only the ratchets: all else of the profile is as it was left."""
    now = pairwise_rows(net, name, room)
    with open_profile(net.profile(name), net.entropy) as profile:
        writes = [Write(TABLE, key, None) for key in now if key not in rows]
        profile.store.commit([*writes, *(Write(TABLE, key, value) for key, value in rows.items())])


def counting_broken(peer: Peer, room: RoomId) -> list[bytes]:
    """Whose messages do not open from now on."""
    pairwise, found = peer.member_room(room).conversation.sessions.pairwise, list[bytes]()
    note = pairwise._note_broken

    def noted(author: bytes, now: float) -> None:
        found.append(author)
        note(author, now)  # type: ignore[arg-type]

    pairwise._note_broken = noted  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize("what", ["rolled back", "gone"])
async def test_c6_pairwise_ratchets_between_real_members_heal(tmp_path: Path, what: str) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        room = here.room_id
        await there_and_back(here, there, "first")
        await bert.aclose()
        before = pairwise_rows(net, "bert", room)
        assert before

        bert = await net.connect("bert")
        there = bert.room(room)
        await settled(bert, there, 2)
        await there_and_back(here, there, "second")
        await there_and_back(here, there, "third")
        await bert.aclose()
        assert pairwise_rows(net, "bert", room) != before
        put_back(net, "bert", room, before if what == "rolled back" else {})

        bert = await net.connect("bert")
        there = bert.room(room)
        await settled(bert, there, 2)
        broken = counting_broken(bert, room)
        await use_up(here)
        await here.send("under a ratchet that bert does not have")
        await hears(there, "under a ratchet that bert does not have")
        assert set(broken) == {anna.identity.device_key}
        # Both ways again, and nothing breaks any more.
        broken.clear()
        await there_and_back(here, there, "healed")
        await there_and_back(here, there, "once more")
        assert not broken
