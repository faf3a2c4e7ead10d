"""S6, as far as it is built: no account to make, nobody to ask, and leaving takes everything along."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from railgun import NotMember
from railgun.runtime.identity import create_member_profile
from railgun.runtime.member_store import ROOM_TABLES
from railgun.runtime.system import SystemClock, SystemEntropy
from tests.requirements.real import Ear, members_of, quiet_room
from tests.support.api_lab import WAIT_SECONDS, lab


def test_s6_an_identity_is_made_without_asking_anyone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> socket.socket:
        raise AssertionError("making a profile opened a socket")

    monkeypatch.setattr(socket, "socket", no_network)
    create_member_profile(tmp_path / "anna", SystemEntropy(), SystemClock(), name="anna")
    assert (tmp_path / "anna").is_dir()


async def test_s6_leaving_a_room_erases_all_that_the_device_kept_of_it(tmp_path: Path) -> None:
    async with lab(tmp_path) as net:
        anna, bert = await members_of(net, "anna", "bert")
        here, there = await quiet_room(anna, bert)
        await here.send("soon forgotten")
        await Ear(there).hears("soon forgotten")
        # Relays keep nothing on a disk and look at nothing: their drivers have no store, and so no analytics.
        assert [relay._driver._store for relay in net.relays] == [None] * len(net.relays)
        room_id = there.room_id
        kept = {table: len(list(bert.shared.store.load(table, room_id))) for table in ROOM_TABLES}
        assert kept["messages"] > 0
        assert kept["roster_entries"] > 0
        await there.leave()
        assert not [row for table in ROOM_TABLES for row in bert.shared.store.load(table, room_id)]
        with pytest.raises(NotMember):
            bert.room(room_id)
        assert await anna.wait_until(lambda: len(here.members()) == 1, WAIT_SECONDS)
