"""A member that starts again in the middle of an epoch takes in what is new, and not the epoch."""

from __future__ import annotations

import random
from collections.abc import Sequence

from railgun.core.assembly import build_client
from railgun.core.effects import Effect, Persist
from railgun.core.events import ClockRead
from railgun.core.room_port import TagPlan, TagPurpose
from railgun.core.seen_envelopes import TABLE, SeenEnvelopes, seen_write
from railgun.core.tag_set import SEEN_KEPT_SECONDS
from railgun.limits import SEEN_KEPT_IDS_MAX
from railgun.types import EnvelopeId
from railgun.wire.frames import Deliver, Digest, Pull
from tests.support.ads import signed_ad
from tests.support.client_lab import ROOM, WALL, ClientLab, told
from tests.support.plain_rooms import PlainDelivered, PlainRoom, SeededEntropy
from tests.support.relay_lab import NETWORK, frames_to, id_of, seal


class Disk:
    """The rows of the one table."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.commits = 0

    def carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            writes = [write for write in effect.writes if write.table == TABLE] if isinstance(effect, Persist) else []
            self.commits += bool(writes)
            for write in writes:
                if write.value is None:
                    self.rows.pop(write.key, None)
                else:
                    self.rows[write.key] = write.value


class LobbyRoom(PlainRoom):
    def tag_plans(self, start: int, wall: float) -> list[TagPlan]:
        return [TagPlan(plan.keys, 3, 0, TagPurpose.LOBBY) for plan in super().tag_plans(start, wall)]


def restarted(lab: ClientLab, disk: Disk, room: PlainRoom | None = None) -> ClientLab:
    """Another life of the same member, which remembers nothing but what is on the disk."""
    again = ClientLab()
    again.machine = build_client(
        network=NETWORK,
        bootstrap=(),
        entropy=SeededEntropy(b"another life"),
        chooser=random.Random(2),
        seen=SeenEnvelopes(disk.rows.items()),
    )
    for index in range(8):
        again.machine.directory.directory.insert(signed_ad(index, int(WALL) - 7200).encoded, WALL)
    again.room = room or PlainRoom(ROOM, bytes(32), NETWORK, 3)
    again.machine.add_room(again.room, 0.0)
    again.now = lab.now
    again.started = again.do(ClockRead(WALL))
    return again


def brought(lab: ClientLab, disk: Disk, count: int) -> list[bytes]:
    """So many envelopes come, and the time to keep what came."""
    primary, _ = lab.attach()
    envelopes = [seal(lab.tag.keys, number) for number in range(count)]
    for number, data in enumerate(envelopes):
        disk.carry_out(lab.frame(primary, Deliver(number + 1, data)))
    disk.carry_out(lab.until(lab.now + SEEN_KEPT_SECONDS + 1))
    return envelopes


def test_who_starts_again_asks_for_what_is_new_alone() -> None:
    lab, disk = ClientLab(), Disk()
    old = brought(lab, disk, 100)
    assert disk.commits == 1
    again = restarted(lab, disk)
    primary, _ = again.attach()
    new = seal(again.tag.keys, 100)
    again.frame(primary, Digest(again.tag.tag, 1, tuple(id_of(data) for data in [*old, new])))
    pulls = frames_to(again.until(again.now + 0.31), primary, Pull)
    assert [pull.ids for pull in pulls] == [(id_of(new),)]
    assert told(again.frame(primary, Deliver(101, new))) == [PlainDelivered(100)]
    assert told(again.frame(primary, Deliver(1, old[0]))) == [], "what is brought anyway is dropped"


def test_it_is_kept_only_where_something_came_and_erased_with_the_tag() -> None:
    lab, disk = ClientLab(), Disk()
    brought(lab, disk, 3)
    assert (disk.commits, len(disk.rows)) == (1, 1)
    disk.carry_out(lab.until(lab.now + 3 * SEEN_KEPT_SECONDS))
    assert disk.commits == 1
    disk.carry_out(lab.until(lab.tag.window.stay_until - WALL + 10))
    assert disk.rows == {}


def test_what_was_kept_for_epochs_that_are_over_is_erased_and_so_is_what_is_damaged() -> None:
    lab, disk = ClientLab(), Disk()
    old = lab.room._keys(lab.tag.keys.start - 3 * NETWORK.epoch_seconds)
    write = seen_write(ROOM, old, [EnvelopeId(bytes(16))])
    assert write.value is not None
    disk.rows = {write.key: write.value, bytes(48): b"\xff"}
    disk.carry_out(restarted(lab, disk).started)
    assert disk.rows == {}


def test_of_a_lobby_nothing_is_kept() -> None:
    lab, disk = ClientLab(), Disk()
    again = restarted(lab, disk, LobbyRoom(ROOM, bytes(32), NETWORK, 3))
    brought(again, disk, 3)
    assert disk.commits == 0


def test_the_newest_are_kept_up_to_the_bound() -> None:
    keys = ClientLab().tag.keys
    ids = [EnvelopeId(number.to_bytes(16, "big")) for number in range(SEEN_KEPT_IDS_MAX + 7)]
    write = seen_write(ROOM, keys, ids)
    assert write.value is not None
    assert keys.tag not in write.key, "a key stands in the clear"
    seen = SeenEnvelopes([(write.key, write.value)])
    assert seen.take(ROOM, keys) == tuple(ids[7:])
    assert seen.take(ROOM, keys) == ()
