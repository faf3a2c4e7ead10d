"""Whatever order a roster's entries arrive in, peers that hold the same entries say the same."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from railgun.core.persistence import Write
from railgun.core.roster import Roster
from railgun.core.roster_entries import sign_entry
from railgun.core.roster_state import RosterState
from railgun.errors import NotMember
from railgun.wire.roster import NO_HASH, Removal, RevokeEntry, RoomSettings
from tests.support import rosters as r

PEOPLE = [
    *(r.Device(f"person {index}") for index in range(4)),
    r.Device("second of 1", person="person 1"),
    r.Device("second of 0", person="person 0"),
]
SEEDS = [bytes([index]) * 32 for index in range(2)]
ACTIONS = (
    "add",
    "add admin",
    "add by invite",
    "invite",
    "remove",
    "remove",
    "settings",
    "leave",
    "generation",
    "fork",
    "sync",
    "add own",
    "add own",
    "revoke",
    "revoke",
    "forged revocation",
)

steps = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5), st.integers(0, 5), st.integers(0, 2)),
    min_size=3,
    max_size=30,
)


def play(history: list[tuple[str, int, int, int]], *, closed: bool) -> list[Roster]:
    """Three replicas, each with its own view; people act at any of them, and replicas sometimes meet."""
    first = r.new_roster(PEOPLE[0], RoomSettings(closed=closed))
    replicas = [first, r.copy_of(first), r.copy_of(first)]
    for action, actor, target, place in history:
        roster, author, other = replicas[place], PEOPLE[actor], PEOPLE[target]
        try:
            act(action, roster, author, other, replicas[(place + 1) % 3])
        except NotMember:
            continue
    return replicas


def act(action: str, roster: Roster, author: r.Device, other: r.Device, next_roster: Roster) -> None:
    base = r.commitment_of("first")
    if action == "sync":
        roster.insert_all(next_roster.export())
    elif action in {"add", "add admin"}:
        r.add(roster, author, other, admin=action == "add admin")
    elif action == "add by invite":
        r.add_by_invite(roster, author, other, SEEDS[other.key[0] % 2])
    elif action == "invite":
        r.invite(roster, author, SEEDS[other.key[0] % 2], uses=other.key[1] % 3)
    elif action == "remove":
        r.remove(roster, author, other)
    elif action == "settings":
        r.change_settings(
            roster, author, RoomSettings(committee_size=3 + other.key[0] % 5), r.DAY + 1 + other.key[1] % 3
        )
    elif action == "leave":
        r.leave(roster, author)
    elif action == "add own":
        r.add_own(roster, author, other)
    elif action == "revoke":
        r.revoke(roster, author, other)
    elif action == "forged revocation":
        number, previous = roster.next_place(author.key)
        removals = (roster.removal_of(other.key), Removal(PEOPLE[1].key, 0, NO_HASH))
        entry = RevokeEntry(roster.room, author.key, number, previous, r.NOON, removals)
        roster.insert(sign_entry(author.seed, entry).data)
    elif action == "generation":
        r.new_generation(roster, author, 2, base, other)
    else:
        removal = roster.removal_of(author.key)
        if removal.last_number:
            roster.insert(r.forged_add(roster, author, removal.last_number, roster.room, other, time=r.NOON + 1))


@given(steps, st.booleans(), st.integers(0, 2**32))
@hypothesis_settings(max_examples=150)
def test_the_union_resolves_alike_in_any_order(
    history: list[tuple[str, int, int, int]], closed: bool, seed: int
) -> None:
    replicas = play(history, closed=closed)
    entries = sorted({data for roster in replicas for data in roster.export()})
    order = random.Random(seed)
    states = []
    for _ in range(3):
        order.shuffle(entries)
        union = Roster(replicas[0].room)
        for data in entries:
            union.insert(data)
            if union.is_known and order.random() < 0.2:
                union.state(r.DAY)  # what was resolved on the way must not matter
        assert union.pending_count == 0
        states.append([union.state(day) for day in range(r.DAY, r.DAY + 4)])
    assert states[0] == states[1] == states[2]
    check_sense(states[0][0])


def check_sense(state: RosterState) -> None:
    assert set(state.admins) <= set(state.devices)
    assert not set(state.devices) & set(state.out)
    assert len(set(state.out)) == len(state.out)
    assert not set(state.revoked) & set(state.admins)
    assert list(state.devices) == sorted(state.devices)
    assert len(state.devices) + len(state.out) >= 1


@given(steps, st.booleans())
@hypothesis_settings(max_examples=60)
def test_a_roster_rebuilt_from_its_writes_says_the_same(history: list[tuple[str, int, int, int]], closed: bool) -> None:
    replicas = play(history, closed=closed)
    union = Roster(replicas[0].room)
    kept: dict[bytes, bytes] = {}
    for roster in replicas:
        for data in reversed(roster.export()):
            apply(kept, union.insert(data).writes)
            rebuilt = Roster.load(union.room, kept.items())
            assert sorted(rebuilt.export()) == sorted(union.export())
            assert rebuilt.pending_count == union.pending_count
    assert Roster.load(union.room, kept.items()).state(r.DAY) == union.state(r.DAY)


def apply(kept: dict[bytes, bytes], writes: tuple[Write, ...]) -> None:
    for write in writes:
        if write.value is None:
            kept.pop(write.key, None)
        else:
            kept[write.key] = write.value
