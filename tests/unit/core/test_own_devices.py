"""A person's several devices in a room: let in without an invite, revoked without an admin."""

from __future__ import annotations

import dataclasses

import pytest

from railgun.core.roster import Roster
from railgun.core.roster_entries import sign_entry
from railgun.core.roster_persons import OWN_DEVICES_PER_AUTHOR_MAX
from railgun.errors import NotMember, PeerError
from railgun.wire.roster import NO_HASH, AddEntry, JoinRequest, Removal, RevokeEntry, RoomSettings
from tests.support import rosters as r

ANNA, BERT, CARA = (r.Device(name) for name in ("anna", "bert", "cara"))
PHONE, TABLET = r.Device("bert's phone", person="bert"), r.Device("bert's tablet", person="bert")
SEED = b"i" * 32


def room_with_bert(*, closed: bool = False) -> Roster:
    roster = r.new_roster(ANNA, RoomSettings(closed=closed))
    r.invite(roster, ANNA, SEED, uses=5)
    r.add_by_invite(roster, ANNA, BERT, SEED)
    return roster


@pytest.mark.parametrize("closed", [False, True])
def test_a_member_lets_its_persons_other_device_in(closed: bool) -> None:
    roster = room_with_bert(closed=closed)
    r.add_own(roster, BERT, PHONE)
    state = roster.state(r.DAY)
    assert state.devices_of(BERT.root.root_key) == tuple(sorted((BERT.key, PHONE.key)))
    member = state.member(PHONE.key)
    assert member is not None
    assert not member.is_admin
    assert [invite.used for invite in state.invites] == [1]


def test_nobody_elses_device_gets_in_that_way() -> None:
    roster = room_with_bert()
    number, previous = roster.next_place(BERT.key)
    head = (roster.room, BERT.key, number, previous, r.NOON)
    stranger = AddEntry(*head, CARA.key, CARA.certificate, False, r.own_proof(roster, CARA))
    roster.insert(sign_entry(BERT.seed, stranger).data)
    assert roster.state(r.DAY).member(CARA.key) is None


def test_a_device_is_nobodys_unless_it_agrees() -> None:
    """Bert's root certifies anna's device: without her signature over that it means nothing."""
    roster = room_with_bert()
    stolen = r.Device("anna", person="bert")
    assert stolen.key == ANNA.key
    number, previous = roster.next_place(BERT.key)
    proof = r.own_proof(roster, stolen)
    forged = dataclasses.replace(proof, device_signature=proof.invite_signature)
    entry = AddEntry(roster.room, BERT.key, number, previous, r.NOON, ANNA.key, stolen.certificate, False, forged)
    with pytest.raises(PeerError, match="join request"):
        sign_entry(BERT.seed, entry)
    bare = dataclasses.replace(entry, request=None)
    roster.insert(sign_entry(BERT.seed, bare).data)
    state = roster.state(r.DAY)
    member = state.member(ANNA.key)
    assert member is not None
    assert member.root == ANNA.root.root_key
    # Nor can he revoke her with it.
    number, previous = roster.next_place(BERT.key)
    removal = Removal(ANNA.key, 0, NO_HASH)
    roster.insert(sign_entry(BERT.seed, RevokeEntry(roster.room, BERT.key, number, previous, r.NOON, (removal,))).data)
    assert roster.state(r.DAY).member(ANNA.key) is not None


def test_devices_that_were_let_in_so_let_none_in_themselves_and_their_number_is_bounded() -> None:
    roster = room_with_bert()
    r.add_own(roster, BERT, PHONE)
    number, previous = roster.next_place(PHONE.key)
    head = (roster.room, PHONE.key, number, previous, r.NOON)
    nested = AddEntry(*head, TABLET.key, TABLET.certificate, False, r.own_proof(roster, TABLET))
    roster.insert(sign_entry(PHONE.seed, nested).data)
    assert roster.state(r.DAY).member(TABLET.key) is None
    for index in range(OWN_DEVICES_PER_AUTHOR_MAX + 3):
        r.add_own(roster, BERT, r.Device(f"bert's {index}", person="bert"))
    assert len(roster.state(r.DAY).devices_of(BERT.root.root_key)) == 1 + OWN_DEVICES_PER_AUTHOR_MAX


def test_an_own_device_goes_with_the_add_that_let_it_in() -> None:
    roster = room_with_bert()
    before = r.copy_of(roster)
    r.add_own(roster, BERT, PHONE)
    r.remove(before, ANNA, BERT)  # anna has not seen the phone
    roster.insert_all(before.export())
    assert roster.state(r.DAY).devices == (ANNA.key,)


def test_a_revocation_takes_effect_without_an_admin() -> None:
    roster = room_with_bert()
    r.add_own(roster, BERT, PHONE)
    r.revoke(roster, BERT, PHONE)
    state = roster.state(r.DAY)
    assert state.member(PHONE.key) is None
    assert (state.revoked, state.removed, state.out) == ((PHONE.key,), (), (PHONE.key,))
    r.add_own(roster, BERT, PHONE)
    assert roster.state(r.DAY).member(PHONE.key) is None


def test_only_ones_own_devices_can_be_revoked_and_no_admins() -> None:
    roster = room_with_bert()
    r.add_by_invite(roster, ANNA, CARA, SEED)
    with pytest.raises(NotMember):
        r.revoke(roster, BERT, CARA)
    r.add_own(roster, BERT, PHONE)
    r.add(roster, ANNA, BERT, admin=True)
    number, previous = roster.next_place(PHONE.key)
    for target in (BERT, CARA):
        removals = (Removal(target.key, 0, NO_HASH),)
        entry = RevokeEntry(roster.room, PHONE.key, number, previous, r.NOON, removals)
        copied = r.copy_of(roster)
        copied.insert(sign_entry(PHONE.seed, entry).data)
        assert copied.state(r.DAY).member(target.key) is not None


def test_of_two_that_revoke_each_other_the_one_that_was_there_first_stays() -> None:
    roster = room_with_bert()
    r.add_own(roster, BERT, PHONE)
    other = r.copy_of(roster)
    r.revoke(roster, BERT, PHONE)
    r.revoke(other, PHONE, BERT)
    union, reverse = r.copy_of(roster), r.copy_of(other)
    union.insert_all(other.export())
    reverse.insert_all(roster.export())
    state = union.state(r.DAY)
    assert state == reverse.state(r.DAY)
    assert state.revoked == (PHONE.key,)


def test_a_lost_first_device_is_revoked_by_a_later_one() -> None:
    roster = room_with_bert()
    r.add_own(roster, BERT, PHONE)
    r.revoke(roster, PHONE, BERT)
    state = roster.state(r.DAY)
    assert state.devices_of(BERT.root.root_key) == (PHONE.key,)


def test_an_admin_without_a_proof_is_a_persons_all_the_same_but_not_to_be_revoked_by_it() -> None:
    """Added by an admin's word alone, the device never agreed to a root: another of the person cannot put it out."""
    roster = r.new_roster(ANNA)
    r.add(roster, ANNA, BERT)
    r.add_own(roster, BERT, PHONE)
    r.revoke(roster, PHONE, BERT)
    assert roster.state(r.DAY).member(BERT.key) is not None


def test_proofs_are_for_one_room() -> None:
    roster, other = room_with_bert(), r.new_roster(CARA)
    request = JoinRequest(other.room, PHONE.key, PHONE.certificate, bytes(BERT.root.root_key), r.NOON)
    assert request.room != roster.room
    number, previous = roster.next_place(BERT.key)
    proof = r.own_proof(other, PHONE)
    entry = AddEntry(roster.room, BERT.key, number, previous, r.NOON, PHONE.key, PHONE.certificate, False, proof)
    with pytest.raises(PeerError, match="join request"):
        sign_entry(BERT.seed, entry)
