"""An admin changes a room's cover and committee on real links: everyone is told, and it holds from midnight (UTC)."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun import NotMember, Peer, Room, SettingsView, UsageError
from railgun.runtime.system import SystemClock
from tests.support.api_lab import WAIT_SECONDS, lab, network_of, texts_of

EPOCH_SECONDS, OVERLAP_SECONDS = 10, 2
DAY_SECONDS = 86_400
BEFORE_MIDNIGHT_SECONDS = 25.0
"""Time to meet and to change the settings, with an epoch to spare."""


async def until(peer: Peer, room: Room, wanted: tuple[int, str]) -> SettingsView:
    """Until the room's next settings are these."""

    def is_told() -> bool:
        view = room.next_settings
        return view is not None and (view.committee_size, view.cover) == wanted

    assert await peer.wait_until(is_told, WAIT_SECONDS), room.next_settings
    assert room.next_settings is not None
    return room.next_settings


@pytest.mark.slow
async def test_cover_and_committee_change_at_midnight_and_nothing_is_lost(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=0, network=network_of(EPOCH_SECONDS, OVERLAP_SECONDS)) as net:
        offset = DAY_SECONDS - SystemClock().wall() % DAY_SECONDS - BEFORE_MIDNIGHT_SECONDS
        net.clock = SystemClock(offset)
        for _ in range(4):
            await net.add_relay()
        anna, bert = await net.connect("anna", net.clock), await net.connect("bert", net.clock)
        here, there = await net.room_of(anna, bert, cover="off", committee_size=3)
        tomorrow = int(anna.wall()) // DAY_SECONDS + 1
        with pytest.raises(NotMember, match="admin"):
            await there.change_settings(cover="strict")
        with pytest.raises(UsageError, match="name what"):
            await here.change_settings()
        assert (await here.change_settings(cover="steady", from_day=tomorrow + 30)).from_day == tomorrow + 30
        made = await here.change_settings(cover="strict", committee_size=4, from_day=tomorrow)
        for peer, room in ((anna, here), (bert, there)):
            assert await until(peer, room, (4, "strict")) == made
            assert (room.settings.cover, room.settings.committee_size) == ("off", 3)
            view = peer.status().rooms[0]
            assert (view.cover.mode, len(view.seats), view.next_settings) == ("off", 3, made)
        assert await bert.wait_until(lambda: int(bert.wall()) // DAY_SECONDS == tomorrow, 2 * BEFORE_MIDNIGHT_SECONDS)
        assert there.settings == made

        def changed(peer: Peer) -> bool:
            view = peer.status().rooms[0]
            return view.cover.mode == "strict" and len(view.seats) == 4 and len(view.attached) == 2

        for peer in (anna, bert):
            assert await peer.wait_until(lambda peer=peer: changed(peer), 2 * EPOCH_SECONDS), peer.status()  # type: ignore[misc]
        assert (await there.send("under other settings")).of == 4
        assert await texts_of(here, 1) == ["under other settings"]
