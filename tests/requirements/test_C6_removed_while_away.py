"""C6: a device that was removed while it was away, for longer than relays keep anything, is told so when it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun import NotMember
from tests.requirements.real import members_of
from tests.support.api_lab import WAIT_SECONDS, lab, network_of, settled

EPOCHS_AWAY = 4
"""Of 10 s: relays keep an envelope until 4 s after the end of the epoch in which it was said."""
ASKS_SECONDS = 120
"""A member asks 10 s after its start, and 60 s later again: what it says before it is attached may be lost."""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_c6_who_was_removed_while_it_was_away_learns_it(tmp_path: Path) -> None:
    async with lab(tmp_path, network=network_of(epoch_seconds=10, overlap_seconds=2)) as net:
        anna, bert, cara = await members_of(net, "anna", "bert", "cara")
        here, _, hers = await net.room_of(anna, bert, cara)
        device, room = cara.identity.device_key, hers.room_id
        await cara.aclose()
        await here.remove(device)
        await settled(anna, here, 2)

        def epochs() -> int:
            return next(view.epochs_seen for view in anna.status().rooms if view.room_id == room)

        gone = epochs()
        assert await anna.wait_until(lambda: epochs() >= gone + EPOCHS_AWAY, 10 * EPOCHS_AWAY + WAIT_SECONDS)

        cara = await net.connect("cara")
        back = cara.room("ops")
        assert back.is_member  # as far as it knows
        assert await cara.wait_until(lambda: not back.is_member, ASKS_SECONDS)
        assert [view.is_member for view in cara.status().rooms] == [False]
        with pytest.raises(NotMember):
            await back.send("am I still here?")
        # Nothing of what came after: it knows that there is a newer generation, by its name alone.
        machine = cara.member_room(room)
        newest = machine.state(cara.wall()).generations[-1]
        assert newest.generation == 2
        assert not machine.generations.holds(newest)
