"""Rooms with quarrels, for both languages to resolve: removals of removers, forks, copied keys, people's own devices.

Owns: the Python half of the machine `roster`, and how its rooms come to be. Must not know: how the other half is run.
"""

from __future__ import annotations

import functools
from random import Random
from typing import Any

from interop.vectors.generate.roster import summary
from railgun.core.roster import Roster
from railgun.errors import NotMember, PeerError, UsageError
from railgun.types import RoomId
from railgun.wire.roster import RoomSettings
from tests.fuzz.mutations import mutated
from tests.interop.differential_decoders import Json, code_of
from tests.support import rosters
from tests.support.rosters import DAY, NOON, Device

ROOMS = 40
STEPS = 10
INVITE_SEEDS = (b"i" * 32, b"j" * 32)


def roster_run(script: Any) -> Json:
    """What becomes of each entry, what the roster says on each day, and what is held at the end."""
    held = Roster(RoomId(bytes.fromhex(script["room"])))
    outcomes: list[Json] = []
    for data in script["entries"]:
        try:
            result = held.insert(bytes.fromhex(data))
        except PeerError as error:
            outcomes.append(code_of(error))
            continue
        outcomes.append([result.outcome.value, [stored.hash.hex() for stored in result.added], result.forked])
    days = [summary(held.state(day)) if held.is_known else None for day in script["days"]]
    sizes = [len(data) for data in held.export()]
    return [outcomes, days, len(held), held.pending_count, held.digest().hex(), sizes]


def roster_script(random: Random) -> Json:
    """Most of a room's entries in any order, some of another one's, some spoilt, some twice."""
    room, entries = random.choice(_rooms())
    chosen = [data for data in entries if random.random() < random.choice((0.9, 1.0))]
    if random.random() < 0.3:
        random.shuffle(chosen)
    if random.random() < 0.3:
        chosen.insert(random.randrange(len(chosen) + 1), mutated(random.choice(entries), random, entries))
    if random.random() < 0.2:
        chosen += random.sample(random.choice(_rooms())[1], 2)
    chosen += random.sample(chosen, min(len(chosen), random.randrange(3)))
    days = [DAY, DAY + random.randrange(4)]
    return {"room": room.hex(), "entries": [data.hex() for data in chosen], "days": days}


def was_anything_filed(answer: Json) -> bool:
    """Whether the room is known and more than its first entry was filed."""
    return answer[1][0] is not None and answer[2] > 1


@functools.cache
def _rooms() -> tuple[tuple[bytes, list[bytes]], ...]:
    return tuple(_room(Random(seed)) for seed in range(ROOMS))


def _room(random: Random) -> tuple[bytes, list[bytes]]:
    """A room of a few people whose devices each go on from what they had seen when they were apart."""
    people = [Device(name) for name in ("ann", "bob", "cas", "dan", "eve")]
    others = [Device(f"{name}'s other", name) for name in ("ann", "bob", "cas")]
    common = rosters.new_roster(people[0], RoomSettings(closed=random.random() < 0.3))
    for person in people[1 : random.randint(2, 5)]:
        rosters.add(common, people[0], person, admin=random.random() < 0.6)
    rosters.invite(common, people[0], INVITE_SEEDS[0], uses=random.randint(1, 3))
    apart = [rosters.copy_of(common) for _ in range(3)]
    for view in apart:
        for _ in range(random.randint(1, STEPS)):
            _step(random, view, people, others)
    union: dict[bytes, None] = {}
    for view in [common, *apart]:
        union |= dict.fromkeys(view.export())
    return bytes(common.room), list(union)


def _step(random: Random, view: Roster, people: list[Device], others: list[Device]) -> None:
    """Something that a device of the room may or may not be let do; what the roster forbids is left undone."""
    everyone = people + others
    inside = view.state(DAY).devices
    author = random.choice([device for device in everyone if device.key in inside] or people)
    target = random.choice(everyone)
    seed = random.choice(INVITE_SEEDS)
    try:
        match random.choice((0, 0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 7, 7, 7, 8, 8)):
            case 0:
                rosters.add(view, author, target, admin=random.random() < 0.4, time=NOON + random.randrange(999))
            case 1 | 2:
                rosters.remove(view, author, target, base=rosters.commitment_of(random.choice(("first", "none"))))
            case 3:
                rosters.invite(view, author, seed, uses=random.randrange(3))
            case 4:
                rosters.add_by_invite(view, author, target, seed, time=NOON + random.randrange(999))
            case 5:
                settings = RoomSettings(random.randint(3, 7), closed=random.random() < 0.5)
                rosters.change_settings(view, author, settings, DAY + random.randint(1, 3))
            case 6:
                rosters.leave(view, author)
            case 7:
                other = random.choice(others)
                rosters.add_own(view, next(one for one in people if one.name == other.person), other)
            case _:
                other = random.choice(others)
                own = next(one for one in people if one.name == other.person)
                rosters.revoke(view, *random.choice(((own, other), (other, own))))
    except (NotMember, UsageError):
        return
