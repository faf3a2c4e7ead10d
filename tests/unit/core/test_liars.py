"""Seats that lie, and what a client holds against them (spec: delivery, liars): its own eyes' evidence and no other."""

from __future__ import annotations

import random

import pytest

from railgun.core import promises
from railgun.core.assembly import build_client
from railgun.core.effects import Effects, PenalisePeer, Persist, SetTimer
from railgun.core.events import ClockRead, FrameMalformed
from railgun.core.reputation import (
    BLACKLIST_POINTS,
    BLACKLIST_SECONDS,
    KEY_PREFIX,
    POINTS_FORGIVEN_PER_HOUR,
    POINTS_MAX,
    BlacklistedRelay,
    Reputation,
    Standing,
)
from railgun.crypto.signing import public_key_of
from railgun.errors import RefusalCode
from railgun.types import EnvelopeId, NodeKey, PeerKey
from railgun.wire.frames import Deliver, Digest, Publish, Refused, Subscribe, Subscribed, SubscriptionMode, Unsubscribe
from tests.support.ads import seed_of, signed_ad
from tests.support.client_lab import ClientLab, sent, told
from tests.support.plain_rooms import PlainDelivered, SeededEntropy
from tests.support.relay_lab import NETWORK, frames_to, id_of, penalties, seal

PRIMARY, SECONDARY, AUDIT = SubscriptionMode.PRIMARY, SubscriptionMode.SECONDARY, SubscriptionMode.AUDIT
NODE = NodeKey(b"n" * 32)
WALL = 1_800_000_000.0


def envelope(lab: ClientLab, number: int) -> bytes:
    return seal(lab.tag.keys, number)


def modes(effects: Effects, key: NodeKey) -> list[SubscriptionMode]:
    return [frame.mode for frame in frames_to(effects, key, Subscribe)]


def pending(lab: ClientLab) -> EnvelopeId:
    """Say something; returns its envelope's id."""
    (frame,) = frames_to(lab.say(1), lab.tag.attached[0], Publish)
    return id_of(frame.envelope)


# --- what a client sees -----------------------------------------------------------------------


def _audited(lab: ClientLab, seat: NodeKey, data: bytes) -> None:
    """A third seat that is being audited names and brings an envelope."""
    lab.connect(seat)
    while not lab.tag.visits.is_visited(seat):
        lab.until(lab.now + 0.5)
    lab.acknowledge(seat, AUDIT, last_number=1)
    lab.frame(seat, Digest(lab.tag.tag, 1, (id_of(data),)))
    assert told(lab.frame(seat, Deliver(1, data))) == [PlainDelivered(7)]


def test_a_seat_that_has_what_own_seats_do_not_name_serves_as_well_and_nobody_is_accused() -> None:
    """A member and one seat could keep an envelope from an honest seat, and show it to whoever audits that one."""
    lab = ClientLab()
    primary, secondary = lab.attach()
    third = lab.ranked[2]
    _audited(lab, third, envelope(lab, 7))
    effects = lab.until(lab.now + 4.0)
    assert modes(effects, third)[0] is SECONDARY
    assert penalties(effects) == []
    assert penalties(lab.until(lab.now + 20.0)) == []
    lab.acknowledge(third, SECONDARY, last_number=1)
    assert lab.tag.attached == [primary, third, secondary]
    # What is sent goes to the primary and to the seat that guards against it.
    assert sent(lab.say(1), Publish) == [primary, third]


def test_what_one_own_seat_names_in_time_brings_no_third() -> None:
    lab = ClientLab()
    _, secondary = lab.attach()
    third = lab.ranked[2]
    data = envelope(lab, 7)
    _audited(lab, third, data)
    lab.frame(secondary, Digest(lab.tag.tag, 1, (id_of(data),)))
    assert set(modes(lab.until(lab.now + 20.0), third)) <= {AUDIT}
    assert penalties(lab.until(lab.now + 20.0)) == []


def test_every_other_seat_is_audited_within_fifteen_seconds() -> None:
    lab = ClientLab(relays=16, committee_size=7)
    lab.attach()
    others = lab.ranked[2:7]
    for seat in others:
        lab.connect(seat)
    lab.until(20.0)
    for _ in range(4):
        effects = lab.until(lab.now + 15.5)
        assert all(AUDIT in modes(effects, seat) for seat in others)


def test_a_seat_that_receipted_what_it_never_names_broke_its_word() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    item = pending(lab)
    for seat in (primary, secondary):
        lab.receipt(seat, item)
    lab.frame(primary, Digest(lab.tag.tag, 1, (item,)))
    (penalty,) = penalties(lab.until(lab.now + 13.0))
    assert penalty.peer == secondary
    assert "receipted" in penalty.detail
    assert lab.machine.reputation.points(secondary, lab.machine.wall(lab.now)) == penalty.points
    assert lab.machine.reputation.points(primary, lab.machine.wall(lab.now)) == 0


def test_who_restarted_or_came_later_or_whose_numbers_are_missing_broke_no_word() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    item = pending(lab)
    for seat in (primary, secondary):
        lab.receipt(seat, item)
    lab.frame(primary, Subscribed(lab.tag.tag, PRIMARY, lab.committee.seats_hash, b"restart!", 0))
    lab.frame(secondary, Digest(lab.tag.tag, 3, (EnvelopeId(bytes(16)),)))
    assert penalties(lab.until(lab.now + 13.0)) == []


def test_a_seat_that_gives_one_number_to_two_envelopes_is_found_out() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    lab.frame(secondary, Digest(lab.tag.tag, 1, (id_of(envelope(lab, 1)),)))
    (penalty,) = penalties(lab.frame(secondary, Digest(lab.tag.tag, 1, (id_of(envelope(lab, 2)),))))
    assert (penalty.peer, penalty.code) == (secondary, RefusalCode.CONFLICT)
    assert primary in lab.tag.attached


def test_a_penalised_seat_serves_no_more_while_better_ones_are_there_and_the_committee_stays() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    third = lab.ranked[2]
    seats = lab.committee.seat_keys
    lab.connect(third)
    good = envelope(lab, 7)
    effects = lab.frame(primary, Deliver(1, good[:100] + bytes([good[100] ^ 1]) + good[101:]))
    assert penalties(effects)
    assert modes(effects, third) == [SECONDARY]
    assert modes(effects, secondary) == [PRIMARY]
    effects = lab.accept(third, effects) + lab.acknowledge(secondary, PRIMARY)
    assert lab.tag.attached == [secondary, third]
    assert primary in sent(effects, Unsubscribe)
    assert lab.committee.seat_keys == seats


def test_where_all_are_penalised_the_least_is_better_than_none() -> None:
    lab = ClientLab(relays=3)
    attached = lab.attach()
    for key in lab.ranked:
        lab.machine.reputation.report(key, RefusalCode.CONFLICT, "lied", 100)
    lab.until(lab.now + 1.0)
    lab.frame(attached[0], Digest(lab.tag.tag, 1, ()))
    assert len(lab.machine.reputation.blacklist(lab.machine.wall(lab.now))) == 3
    assert len(lab.tag.attached) == 2


def test_what_is_held_against_a_relay_outlives_the_client() -> None:
    lab = ClientLab()
    primary, _ = lab.attach()
    effects = []
    for number in range(2):
        lab.machine.reputation.report(primary, RefusalCode.BAD_SIGNATURE, f"forged {number}", 20)
        effects += lab.frame(primary, Digest(lab.tag.tag, 1, ()))
    writes = {write.key: write.value for item in effects if isinstance(item, Persist) for write in item.writes}
    again = Reputation([(key, value) for key, value in writes.items() if value is not None])
    wall = lab.machine.wall(lab.now)
    assert again.blacklist(wall) == lab.machine.reputation.blacklist(wall)
    assert [item.node_key for item in again.blacklist(wall)] == [primary]


def test_a_seat_that_takes_envelopes_and_never_answers_is_found_out_and_one_that_refuses_is_not() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    third = lab.ranked[2]
    lab.connect(third)
    item = pending(lab)
    lab.receipt(primary, item)
    lab.frame(primary, Digest(lab.tag.tag, 1, (item,)))
    found: list[PenalisePeer] = []
    refused = 0.0
    while lab.now < 40.0:
        effects = lab.until(lab.now + 0.5)
        if AUDIT in modes(effects, third):
            effects += lab.acknowledge(third, AUDIT)
        if lab.now - refused > 5.0:
            refused = lab.now
            effects += lab.frame(third, Refused(RefusalCode.QUOTA_EXCEEDED, lab.tag.tag, (item,), 1000))
        found += penalties(effects)
    assert {penalty.peer for penalty in found} == {secondary}
    assert "neither receipted nor refused" in found[0].detail


# --- the account ------------------------------------------------------------------------------


def report(reputation: Reputation, points: int, wall: float = WALL, node: NodeKey = NODE) -> Effects:
    out: Effects = []
    reputation.report(node, RefusalCode.BAD_SIGNATURE, "forged", points)
    reputation.settle(lambda _: True, wall, out)
    return out


def test_points_add_up_fade_and_are_bounded() -> None:
    reputation = Reputation(())
    assert reputation.standing(NODE, WALL) is Standing.GOOD
    report(reputation, 5)
    assert (reputation.points(NODE, WALL), reputation.standing(NODE, WALL)) == (5, Standing.GOOD)
    report(reputation, 10)
    assert (reputation.points(NODE, WALL), reputation.standing(NODE, WALL)) == (15, Standing.PENALISED)
    assert reputation.points(NODE, WALL + 3600) == 15 - POINTS_FORGIVEN_PER_HOUR
    assert reputation.standing(NODE, WALL + 3600) is Standing.GOOD
    report(reputation, 100_000)
    assert reputation.points(NODE, WALL) == POINTS_MAX


def test_a_blacklist_names_reason_since_and_until_and_ends() -> None:
    reputation = Reputation(())
    report(reputation, BLACKLIST_POINTS - 1)
    assert reputation.blacklist(WALL) == ()
    report(reputation, 1, WALL)
    (listed,) = reputation.blacklist(WALL)
    until = int(WALL) + BLACKLIST_SECONDS
    assert listed == BlacklistedRelay(NODE, "bad_signature", "forged", int(WALL), until, BLACKLIST_POINTS)
    report(reputation, 5, WALL + 7200)  # faults go on: it stays longer, since when does not change
    (listed,) = reputation.blacklist(WALL + 7200)
    assert (listed.since, listed.until) == (int(WALL), until + 7200)
    assert reputation.blacklist(WALL + 7200 + BLACKLIST_SECONDS) == ()


def test_it_is_kept_before_anyone_is_told_and_comes_back() -> None:
    reputation = Reputation(())
    out = report(reputation, 50)
    assert [type(effect) for effect in out] == [Persist, PenalisePeer]
    (write,) = next(effect.writes for effect in out if isinstance(effect, Persist))
    assert write.key == KEY_PREFIX + NODE
    assert write.value is not None
    assert Reputation([(write.key, write.value)]).blacklist(WALL) == reputation.blacklist(WALL)
    with pytest.raises(ValueError, match="damaged"):
        Reputation([(write.key, b"nonsense")])


def test_a_client_that_keeps_nothing_is_not_asked_to_keep_what_it_holds_against_a_relay() -> None:
    """`railgun committee` without a profile has no store: a lying relay must not end it."""
    client = build_client(network=NETWORK, bootstrap=(), entropy=SeededEntropy(b"nobody"), chooser=random.Random(1))
    client.directory.directory.insert(signed_ad(0, int(WALL) - 60).encoded, WALL)
    client.handle(ClockRead(WALL), 0.0)
    effects = client.handle(FrameMalformed(PeerKey(public_key_of(seed_of(0))), "nonsense"), 0.0)
    assert [type(effect) for effect in effects if not isinstance(effect, SetTimer)] == [PenalisePeer]
    assert len(client.reputation) == 1


def test_nothing_is_remembered_of_keys_that_are_no_relays() -> None:
    reputation, out = Reputation(()), []  # type: ignore[var-annotated]
    reputation.report(PeerKey(NODE), RefusalCode.MALFORMED, "odd", 50)
    assert not reputation.settle(lambda _: False, WALL, out)
    assert len(reputation) == 0
    assert [type(effect) for effect in out] == [PenalisePeer]


def test_the_account_is_bounded_and_forgets_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railgun.core.reputation.REPUTATION_RELAYS_MAX", 3)
    reputation = Reputation(())
    for index, points in enumerate((50, 5, 20, 30)):
        out = report(reputation, points, node=NodeKey(bytes([index]) * 32))
    assert len(reputation) == 3
    assert reputation.points(NodeKey(bytes([1]) * 32), WALL) == 0
    writes = [write for effect in out if isinstance(effect, Persist) for write in effect.writes]
    assert (KEY_PREFIX + bytes([1]) * 32, None) in [(write.key, write.value) for write in writes]


def test_long_details_are_cut_where_a_character_ends() -> None:
    reputation = Reputation(())
    reputation.report(NODE, RefusalCode.CONFLICT, "\u00e4" * 500, 50)
    reputation.settle(lambda _: True, WALL, [])
    (listed,) = reputation.blacklist(WALL)
    assert set(listed.detail) == {"\u00e4"}
    assert 60 <= len(listed.detail) <= 64


def test_promises_under_watch_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "PROMISES_MAX", 2)
    lab = ClientLab()
    primary, _ = lab.attach()
    for number in range(5):
        lab.say(number)
    ids = tuple(lab.tag.publisher._outgoing)
    lab.receipt(primary, *ids)
    assert len(lab.tag.promises) == 2
