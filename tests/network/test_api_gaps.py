"""A member that was offline for epochs that no relay remembers any more, on real links and a real disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun import Peer, Room
from tests.support.api_lab import WAIT_SECONDS, lab, network_of, texts, texts_of, whole_history

EPOCH_SECONDS, OVERLAP_SECONDS = 10, 2
SAID = 12


def epochs_seen(peer: Peer, room: Room) -> int:
    return next(view.epochs_seen for view in peer.status().rooms if view.room_id == room.room_id)


@pytest.mark.slow
async def test_who_was_offline_for_three_epochs_has_all_of_it_afterwards(tmp_path: Path) -> None:
    async with lab(tmp_path, network=network_of(EPOCH_SECONDS, OVERLAP_SECONDS)) as net:
        anna, bert, carla = await net.connect("anna"), await net.connect("bert"), await net.connect("carla")
        here, there, away = await net.room_of(anna, bert, carla, cover="off")
        await here.send("hello")
        assert await texts_of(away, 1) == ["hello"]
        await carla.aclose()
        said = [f"meanwhile {number}" for number in range(SAID)]
        for number, text in enumerate(said):
            await (here, there)[number % 2].send(text)
        spoken = epochs_seen(anna, here)
        # Two epochs begin after the one in which the last was said may have ended: its seats have forgotten it by then.
        assert await anna.wait_until(lambda: epochs_seen(anna, here) >= spoken + 3, 4 * EPOCH_SECONDS + WAIT_SECONDS)
        carla = await net.connect("carla")
        again = carla.room("ops")
        assert await carla.wait_until(lambda: set(said) <= set(texts(whole_history(again))), 3 * WAIT_SECONDS)
        got = texts(whole_history(again))
        assert len(got) == len(set(got)) == SAID + 1
        assert again.missing == ()
