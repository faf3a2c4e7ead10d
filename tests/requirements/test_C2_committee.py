"""C2: for each room and epoch every peer computes the same committee of 3 to 7 relays; the tag is enough to verify."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun.core.committee import RelayPool
from railgun.runtime.directory_client import directory_client
from railgun.types import Tag
from tests.requirements.real import members_of, quiet_room, relays_agree, tag_of
from tests.support.api_lab import lab

RELAYS = 8
SIZES = (3, 5, 7)


@pytest.mark.slow
async def test_c2_every_member_every_relay_and_anyone_with_the_tag_names_the_same_seats(tmp_path: Path) -> None:
    async with lab(tmp_path, relays=RELAYS) as net:
        members = await members_of(net, "anna", "bert", "cara")
        await relays_agree(net, members[0])
        rooms = [await quiet_room(*members, committee_size=size, name=f"of {size}") for size in SIZES]
        ads = members[0].machine.directory.directory.newest_ads()
        async with directory_client(net.network, net.bootstrap, net.clock, net.entropy) as outsider:
            await outsider.sync()
            for size, (room, *_) in zip(SIZES, rooms, strict=True):
                tags = [tag_of(member, room) for member in members]
                assert len({tag.tag for tag in tags}) == 1
                tag, start, named = tags[0].tag, tags[0].keys.start, tags[0].committee.seat_keys
                assert len(named) == len(set(named)) == size
                assert [one.committee.ranking for one in tags] == [tags[0].committee.ranking] * len(tags)
                # The relays, asked whether they have a seat or not, and those that serve the tag.
                wall = net.clock.wall()
                views = [relay.machine.directory.committee(tag, start, size, wall) for relay in net.relays]
                assert [view.seat_keys for view in views] == [named] * RELAYS
                serving = [relay.machine.seats[tag] for relay in net.relays if tag in relay.machine.seats]
                assert serving
                assert all(seat.committee.seat_keys == named for seat in serving)
                # Somebody who was told the tag, and is in no room.
                assert (await outsider.committee(tag, start, size)).seat_keys == named
                # It follows from the tag and the ads alone, in whatever order these are; another tag says otherwise.
                for order in (ads, ads[::-1], ads[3:] + ads[:3]):
                    assert RelayPool(order, net.network).order(tag, size).seat_keys == named
                assert RelayPool(ads, net.network).order(Tag(named[0]), size).seat_keys != named
