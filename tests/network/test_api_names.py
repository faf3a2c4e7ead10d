"""What the people of a room see of each other's names."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun import Peer, Room, UsageError
from railgun.runtime.peer_service import PeerService
from tests.support.api_lab import WAIT_SECONDS, lab


async def sees(peer: Peer, room: Room, names: set[str]) -> None:
    assert await peer.wait_until(lambda: {m.name for m in room.members()} == names, WAIT_SECONDS), room.members()


async def test_members_see_each_others_names_also_after_a_restart(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        ada, bob = await here.connect("Ada"), await here.connect("Bob")
        ours, theirs = await here.room_of(ada, bob)
        await sees(ada, ours, {"Ada", "Bob"})
        await sees(bob, theirs, {"Ada", "Bob"})
        await theirs.send("hello")
        message = await anext(ours.messages())
        assert (message.text, message.author_name) == ("hello", "Bob")
        bob.people.set_own_name("Bobby\N{SNOWMAN}")
        await sees(ada, ours, {"Ada", "Bobby\N{SNOWMAN}"})
        with pytest.raises(UsageError, match="printable"):
            bob.people.set_own_name("Bob\x1b[31m")
        await ada.aclose()
        ada = await here.connect("Ada")
        again = ada.room(ours.room_id)
        assert {member.name for member in again.members()} == {"Ada", "Bobby\N{SNOWMAN}"}
        assert [message.author_name for message in again.history()] == ["Bobby\N{SNOWMAN}"]


async def test_a_key_or_an_id_stands_for_nobody_who_is_called_so(tmp_path: Path) -> None:
    """Names are anybody's choice: who names a key to remove or to verify means that key."""
    async with lab(tmp_path) as here:
        ada, bob = await here.connect("Ada"), await here.connect("Bob")
        ours, _ = await here.room_of(ada, bob)
        digits = ada.identity.device_key.hex()[:16]
        bob.people.set_own_name(digits)
        await sees(ada, ours, {"Ada", digits})
        service = PeerService(ada)
        assert service.find_device(ours, digits) == ada.identity.device_key
        bob.people.set_own_name("0123456789")
        await sees(ada, ours, {"Ada", "0123456789"})
        assert service.find_device(ours, "0123456789") == bob.identity.device_key
        assert service.find_device(ours, "Ada") == ada.identity.device_key
        other = await ada.create_room(ours.room_id.hex()[:8])
        assert ada.room(ours.room_id.hex()[:8]).room_id == ours.room_id
        assert ada.room(other.room_id.hex()[:8]).room_id == other.room_id
        with pytest.raises(UsageError, match="at most 128 bytes, this one 129"):
            await ada.create_room("\N{SNOWMAN}" * 43)
