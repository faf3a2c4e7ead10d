"""The roster: entries of all authors resolve alike in any order, within bounds."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.core.roster import InsertOutcome, Roster
from railgun.core.roster_entries import sign_entry, sign_prekey
from railgun.core.roster_state import RosterState
from railgun.crypto.signing import public_key_of
from railgun.errors import MalformedInput, NotMember, PeerError, UsageError
from railgun.limits import ROSTER_FORKS_PER_NUMBER_MAX, ROSTER_PENDING_MAX
from railgun.types import RoomId
from railgun.wire.roster import (
    ENTRIES,
    SIGNED_ENTRIES,
    AddEntry,
    Cover,
    GenerationEntry,
    InviteEntry,
    JoinProof,
    NamedGeneration,
    RemoveEntry,
    RoomSettings,
    SettingsEntry,
    SignedEntry,
)
from tests.support import rosters as r

ANNA, BERT, CARA, DORA, EMIL = (r.Device(name) for name in ("anna", "bert", "cara", "dora", "emil"))
SEED = b"i" * 32


def names(state: RosterState) -> set[str]:
    by_key = {device.key: device.name for device in (ANNA, BERT, CARA, DORA, EMIL)}
    return {by_key.get(key, key.hex()) for key in state.devices}


def merged(*rosters: Roster) -> RosterState:
    union = Roster(rosters[0].room)
    for roster in rosters:
        union.insert_all(roster.export())
    backwards = Roster(rosters[0].room)
    for roster in reversed(rosters):
        backwards.insert_all(reversed(roster.export()))
    assert union.state(r.DAY) == backwards.state(r.DAY)
    return union.state(r.DAY)


def test_the_room_is_named_by_its_first_entry_and_starts_with_its_creator() -> None:
    roster = r.new_roster(ANNA, RoomSettings(committee_size=3, cover=Cover.STRICT))
    state = roster.state(r.DAY)
    assert names(state) == {"anna"}
    assert state.admins == (ANNA.key,)
    assert state.settings == RoomSettings(committee_size=3, cover=Cover.STRICT)
    assert state.generations[0].generation == 1
    assert roster.room != r.new_roster(ANNA, name="another").room


def test_an_admin_adds_and_only_admins_make_admins() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT)
    r.add(roster, ANNA, CARA, admin=True)
    r.add(roster, CARA, DORA)
    with pytest.raises(NotMember):
        r.add(roster, BERT, EMIL, admin=True)
    number, previous = roster.next_place(BERT.key)
    assert roster.insert(r.forged_add(roster, BERT, number, previous, EMIL)).outcome is InsertOutcome.ADDED
    state = roster.state(r.DAY)
    assert names(state) == {"anna", "bert", "cara", "dora"}
    assert set(state.admins) == {ANNA.key, CARA.key}
    assert {member.device: member.distance for member in state.members}[DORA.key] == 2


def test_entries_wait_for_their_authors_add_and_are_bounded() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, BERT, CARA, admin=True)
    r.add(roster, CARA, DORA)
    late = Roster(roster.room)
    outcomes = [result.outcome for result in late.insert_all(reversed(roster.export()))]
    assert outcomes == [InsertOutcome.PENDING] * 3 + [InsertOutcome.ADDED]
    assert names(late.state(r.DAY)) == {"anna", "bert", "cara", "dora"}
    for index in range(ROSTER_PENDING_MAX + 5):
        stranger = r.Device(f"stranger {index}")
        late.insert(r.forged_add(late, stranger, 1, late.room, EMIL))
    assert late.pending_count == ROSTER_PENDING_MAX


def test_a_removal_names_the_last_entry_that_counts() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, BERT, CARA)
    behind = r.copy_of(roster)
    r.add(behind, BERT, DORA)
    r.remove(roster, ANNA, BERT)
    state = merged(roster, behind)
    assert names(state) == {"anna", "cara"}
    assert state.removed == (BERT.key,)
    with pytest.raises(NotMember):
        roster.next_place(BERT.key)


def test_a_removed_device_cannot_rewrite_what_it_had_said() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, BERT, CARA)
    genuine = roster.removal_of(BERT.key).last_hash
    r.remove(roster, ANNA, BERT)
    for time in range(r.NOON, r.NOON + 40):
        forged = r.forged_add(roster, BERT, 1, roster.room, EMIL, time=time)
        roster.insert(forged)
    state = roster.state(r.DAY)
    assert names(state) == {"anna", "cara"}
    assert roster.counts(genuine)
    assert len(state.forks[0].hashes) <= ROSTER_FORKS_PER_NUMBER_MAX + 1


def test_of_two_mutual_removals_the_author_nearer_the_creator_wins() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, BERT, CARA, admin=True)
    one, two = r.copy_of(roster), r.copy_of(roster)
    r.remove(one, BERT, CARA)
    r.remove(two, CARA, BERT)
    assert names(merged(one, two)) == {"anna", "bert"}


def test_of_two_mutual_removals_at_one_distance_the_smaller_key_wins() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, ANNA, CARA, admin=True)
    one, two = r.copy_of(roster), r.copy_of(roster)
    r.remove(one, BERT, CARA)
    r.remove(two, CARA, BERT)
    winner = min(BERT, CARA, key=lambda device: device.key)
    assert names(merged(one, two)) == {"anna", winner.name}


def test_a_removal_that_the_other_had_accepted_before_its_own_stands() -> None:
    """Cara removes Bert; Bert, who had seen it and named it as counting, cannot remove Cara any more."""
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, BERT, CARA, admin=True)
    r.remove(roster, CARA, BERT)
    assert names(roster.state(r.DAY)) == {"anna", "cara"}
    entry = RemoveEntry(
        roster.room,
        BERT.key,
        2,
        roster.removal_of(BERT.key).last_hash,
        r.NOON,
        (roster.removal_of(CARA.key),),
        NamedGeneration(2, r.commitment_of("late"), r.DAY, r.commitment_of("first")),
    )
    roster.insert(sign_entry(BERT.seed, entry).data)
    assert names(roster.state(r.DAY)) == {"anna", "cara"}


def test_three_who_remove_each_other_in_a_circle_leave_the_nearest_standing() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, BERT, CARA, admin=True)
    r.add(roster, CARA, DORA, admin=True)
    one, two, three = (r.copy_of(roster) for _ in range(3))
    r.remove(one, BERT, CARA)
    r.remove(two, CARA, DORA)
    r.remove(three, DORA, BERT)
    assert names(merged(one, two, three)) == {"anna", "bert", "dora"}


def test_who_threatens_a_circle_from_outside_is_not_silenced_by_it() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, ANNA, CARA, admin=True)
    one, two, three = (r.copy_of(roster) for _ in range(3))
    r.remove(one, BERT, CARA)
    r.remove(two, CARA, BERT)
    r.remove(three, ANNA, BERT, CARA)
    assert names(merged(one, two, three)) == {"anna"}


def test_the_smaller_of_two_entries_with_one_number_counts_and_the_fork_is_shown() -> None:
    roster = r.new_roster(ANNA)
    one, two = r.copy_of(roster), r.copy_of(roster)
    first = r.add(one, ANNA, BERT).added[0]
    second = r.add(two, ANNA, CARA).added[0]
    state = merged(one, two)
    winner = BERT if first.hash < second.hash else CARA
    assert names(state) == {"anna", winner.name}
    assert state.forks[0].author == ANNA.key
    assert state.forks[0].hashes == tuple(sorted((first.hash, second.hash)))
    assert one.insert(second.data).forked


def test_settings_hold_from_a_day_to_come() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.change_settings(roster, ANNA, RoomSettings(committee_size=7), r.DAY + 2)
    r.change_settings(roster, BERT, RoomSettings(committee_size=3), r.DAY + 2)
    assert roster.state(r.DAY + 1).settings.committee_size == 5
    assert roster.state(r.DAY + 2).settings.committee_size == 7
    assert roster.state(r.DAY).settings_on(r.DAY + 9).committee_size == 7
    with pytest.raises(ValueError, match="next day"):
        r.change_settings(roster, ANNA, RoomSettings(), r.DAY)


def test_an_early_settings_entry_is_malformed() -> None:
    roster = r.new_roster(ANNA)
    number, previous = roster.next_place(ANNA.key)
    entry = SettingsEntry(roster.room, ANNA.key, number, previous, r.NOON, RoomSettings(), r.DAY + 1)
    object.__setattr__(entry, "from_day", r.DAY)
    body = ENTRIES.encode(entry)
    with pytest.raises(MalformedInput):
        roster.insert(SIGNED_ENTRIES.encode(SignedEntry(body, bytes(64))))


def test_members_of_open_rooms_let_holders_of_an_invite_in() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT)
    r.invite(roster, ANNA, SEED, uses=1)
    r.add_by_invite(roster, BERT, CARA, SEED)
    state = roster.state(r.DAY)
    assert names(state) == {"anna", "bert", "cara"}
    assert (state.invites[0].used, state.invites[0].is_live(r.NOON)) == (1, False)
    assert state.live_invites(r.NOON) == ()
    with pytest.raises(NotMember):
        r.add(roster, BERT, DORA)


def test_an_add_by_an_invite_that_nobody_named_counts_for_nothing() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT)
    r.add_by_invite(roster, BERT, CARA, SEED)
    assert names(roster.state(r.DAY)) == {"anna", "bert"}
    r.invite(roster, ANNA, SEED)
    assert names(roster.state(r.DAY)) == {"anna", "bert", "cara"}


def test_in_closed_rooms_only_admins_let_people_in() -> None:
    roster = r.new_roster(ANNA, RoomSettings(closed=True))
    r.add(roster, ANNA, BERT)
    r.invite(roster, ANNA, SEED)
    with pytest.raises(NotMember):
        r.add_by_invite(roster, BERT, CARA, SEED)
    with pytest.raises(NotMember):
        r.invite(roster, BERT, b"j" * 32)
    r.add_by_invite(roster, ANNA, CARA, SEED)
    assert names(roster.state(r.DAY)) == {"anna", "bert", "cara"}


def test_uses_that_race_across_a_partition_are_kept_and_shown() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT)
    r.invite(roster, ANNA, SEED, uses=1)
    one, two = r.copy_of(roster), r.copy_of(roster)
    r.add_by_invite(one, ANNA, CARA, SEED)
    r.add_by_invite(two, BERT, DORA, SEED)
    state = merged(one, two)
    assert names(state) == {"anna", "bert", "cara", "dora"}
    assert (state.invites[0].uses, state.invites[0].used) == (1, 2)


def test_two_members_may_add_the_same_joiner() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT)
    r.invite(roster, ANNA, SEED, uses=1)
    one, two = r.copy_of(roster), r.copy_of(roster)
    r.add_by_invite(one, ANNA, CARA, SEED)
    r.add_by_invite(two, BERT, CARA, SEED)
    state = merged(one, two)
    assert names(state) == {"anna", "bert", "cara"}
    assert state.invites[0].used == 1


def test_an_invite_can_be_revoked() -> None:
    roster = r.new_roster(ANNA)
    r.invite(roster, ANNA, SEED, uses=5)
    r.invite(roster, ANNA, SEED, uses=0)
    assert roster.state(r.DAY).invites == ()


def test_who_leaves_is_out_and_says_nothing_more() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.leave(roster, BERT)
    state = roster.state(r.DAY)
    assert names(state) == {"anna"}
    assert (state.left, state.removed) == ((BERT.key,), ())


def test_generations_inherit_what_their_base_excludes() -> None:
    roster = r.new_roster(ANNA)
    for device in (BERT, CARA, DORA):
        r.add(roster, ANNA, device)
    r.remove(roster, ANNA, BERT)
    second = roster.state(r.DAY).generations[1]
    r.remove(roster, ANNA, CARA, generation=3, base=second.commitment)
    r.new_generation(roster, ANNA, 4, roster.state(r.DAY).generations[2].commitment, DORA)
    generations = roster.state(r.DAY).generations
    assert [generation.generation for generation in generations] == [1, 2, 3, 4]
    assert generations[1].excluded == (BERT.key,)
    assert set(generations[2].excluded) == {BERT.key, CARA.key}
    assert set(generations[3].excluded) == {BERT.key, CARA.key, DORA.key}


def test_two_entries_for_one_secret_exclude_only_what_both_do() -> None:
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    first = roster.state(r.DAY).generations[0]
    number, previous = roster.next_place(BERT.key)
    named = NamedGeneration(2, r.commitment_of("x"), r.DAY, first.commitment, (CARA.key,))
    roster.append(BERT.seed, GenerationEntry(roster.room, BERT.key, number, previous, r.NOON, named))
    number, previous = roster.next_place(ANNA.key)
    named = NamedGeneration(2, r.commitment_of("x"), r.DAY, first.commitment, (CARA.key, DORA.key))
    roster.append(ANNA.seed, GenerationEntry(roster.room, ANNA.key, number, previous, r.NOON, named))
    assert roster.state(r.DAY).generations[1].excluded == (CARA.key,)


def test_forged_and_foreign_entries_are_refused() -> None:
    roster, other = r.new_roster(ANNA), r.new_roster(ANNA, name="other")
    foreign = r.add(other, ANNA, BERT).added[0]
    assert roster.insert(foreign.data).outcome is InsertOutcome.REFUSED
    signed = SIGNED_ENTRIES.decode(foreign.data)
    with pytest.raises(PeerError, match="bad_signature"):
        roster.insert(SIGNED_ENTRIES.encode(SignedEntry(signed.body, bytes(64))))
    with pytest.raises(MalformedInput):
        roster.insert(b"\xa0")
    added = r.add(roster, ANNA, BERT).added[0]
    assert roster.insert(added.data).outcome is InsertOutcome.DUPLICATE


def test_a_certificate_must_be_the_devices_own() -> None:
    roster = r.new_roster(ANNA)
    number, previous = roster.next_place(ANNA.key)
    entry = AddEntry(roster.room, ANNA.key, number, previous, r.NOON, BERT.key, CARA.certificate, False, None)
    with pytest.raises(MalformedInput):
        roster.append(ANNA.seed, entry)


def test_a_join_proof_must_be_signed_by_device_and_invite() -> None:
    roster = r.new_roster(ANNA)
    r.invite(roster, ANNA, SEED)
    number, previous = roster.next_place(ANNA.key)
    for proof in (r.join_proof(roster, DORA, SEED), r.join_proof(roster, CARA, b"x" * 32)):
        wrong = JoinProof(public_key_of(SEED), proof.time, proof.device_signature, proof.invite_signature)
        entry = AddEntry(roster.room, ANNA.key, number, previous, r.NOON, CARA.key, CARA.certificate, False, wrong)
        with pytest.raises(PeerError, match="bad_signature"):
            roster.append(ANNA.seed, entry)


def test_an_own_entry_must_continue_the_chain() -> None:
    roster = r.new_roster(ANNA)
    entry = InviteEntry(roster.room, ANNA.key, 2, roster.room, r.NOON, bytes(32), bytes(32), 1, r.NOON)
    with pytest.raises(UsageError):
        roster.append(ANNA.seed, entry)


def test_a_roster_without_its_first_entry_says_so() -> None:
    with pytest.raises(UsageError, match="first entry"):
        Roster(RoomId(bytes(32))).state(r.DAY)


def test_prekeys_are_signed_and_the_newest_counts() -> None:
    roster = r.new_roster(ANNA)
    assert roster.prekey(ANNA.key) == r.SESSIONS.hpke_public_key(ANNA.prekey_secret)
    first = sign_prekey(ANNA.seed, ANNA.key, r.NOON, b"a" * 1216, bytes(32))
    second = sign_prekey(ANNA.seed, ANNA.key, r.NOON + 1, b"b" * 1216, b"f" * 32)
    assert roster.insert_prekey(second)
    assert not roster.insert_prekey(first)
    assert roster.prekey(ANNA.key) == second.prekey
    bundle = roster.bundle(ANNA.key)
    assert bundle is not None
    assert (bundle.prekey, bundle.fallback, bundle.issued) == (second.prekey, second.fallback, second.issued)
    assert bundle.account_key == ANNA.account.identity_key
    with pytest.raises(PeerError, match="bad_signature"):
        roster.insert_prekey(dataclasses.replace(second, issued=r.NOON + 2))
    assert not roster.insert_prekey(sign_prekey(EMIL.seed, EMIL.key, 10, b"a" * 1216, bytes(32)))
    assert roster.export_prekeys() == (second,)
    assert roster.prekey(EMIL.key) is None


def test_a_member_who_floods_the_roster_cannot_keep_its_own_removal_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.core.roster.ROSTER_ENTRIES_MAX", 20)
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT)
    for _ in range(8):
        r.invite(roster, BERT, SEED)
    with pytest.raises(UsageError, match="full but for admins"):
        r.invite(roster, BERT, SEED)
    r.remove(roster, ANNA, BERT)
    assert names(roster.state(r.DAY)) == {"anna"}
    for _ in range(9):
        r.invite(roster, ANNA, SEED)
    with pytest.raises(UsageError, match="roster is full"):
        r.invite(roster, ANNA, SEED)


def test_one_author_cannot_write_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.core.roster.ROSTER_ENTRIES_PER_AUTHOR_MAX", 3)
    roster = r.new_roster(ANNA)
    for _ in range(3):
        r.invite(roster, ANNA, SEED)
    with pytest.raises(UsageError, match="too much"):
        r.invite(roster, ANNA, SEED)


def test_at_most_so_many_devices_and_admins_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.core.roster_state.ROOM_DEVICES_MAX", 3)
    monkeypatch.setattr("railgun.core.roster_removals.ROOM_ADMINS_MAX", 2)
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, admin=True)
    r.add(roster, ANNA, CARA)
    r.add(roster, BERT, DORA, admin=True)
    state = roster.state(r.DAY)
    assert names(state) == {"anna", "bert", "cara"}
    assert set(state.admins) == {ANNA.key, BERT.key}


def test_a_latecomer_with_small_keys_pushes_nobody_out_of_a_full_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.core.roster_state.ROOM_DEVICES_MAX", 4)
    sybils = sorted((r.Device(f"sybil {index}") for index in range(12)), key=lambda device: device.key)
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, time=r.NOON + 10)
    r.invite(roster, BERT, SEED, uses=100)
    r.add_by_invite(roster, BERT, CARA, SEED, time=r.NOON + 20)  # farther from the creator than the latecomer
    r.add(roster, ANNA, DORA, time=r.NOON + 30)
    # Dora is the last who has a place, and claims to have let in others before everyone else was there.
    for device in sybils:
        r.add_by_invite(roster, DORA, device, SEED, time=r.NOON - 1)
    assert names(roster.state(r.DAY)) == {"anna", "bert", "cara", "dora"}
    assert merged(roster) == roster.state(r.DAY)


def test_places_go_by_who_was_first_and_those_of_the_gone_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.core.roster_state.ROOM_DEVICES_MAX", 3)
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT, time=r.NOON + 10)
    r.add(roster, ANNA, CARA, time=r.NOON + 20)
    r.add(roster, ANNA, DORA, time=r.NOON + 5)  # her clock went back: what she says later is not earlier
    r.add(roster, ANNA, EMIL, time=r.NOON + 40)
    assert names(roster.state(r.DAY)) == {"anna", "bert", "cara"}
    r.leave(roster, BERT)
    assert names(roster.state(r.DAY)) == {"anna", "cara", "dora"}
    r.remove(roster, ANNA, CARA)
    assert names(roster.state(r.DAY)) == {"anna", "dora", "emil"}
    assert merged(roster) == roster.state(r.DAY)


def test_secrets_stay_out_of_repr() -> None:
    roster = r.new_roster(ANNA)
    stored = r.invite(roster, ANNA, SEED).added[0]
    assert repr(SEED[::-1]) not in repr(stored)
    assert "lobby_secret" not in repr(roster.state(r.DAY))
