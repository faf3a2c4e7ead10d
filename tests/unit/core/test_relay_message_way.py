"""A seat's half of a message's way (spec: message way): check, store, forward, deliver, receipt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from railgun.core.effects import Effect, SendPulse
from railgun.core.events import PulseReceived
from railgun.core.relay_limits import RelayLimits
from railgun.core.seat import UNRANKED_RECEIPTS_MAX
from railgun.crypto.receipts import sign_receipt, sign_subscription, sign_tag_descriptor, verify_receipt
from railgun.crypto.signing import public_key_of, signing_key_of
from railgun.errors import RefusalCode
from railgun.limits import PULSES_BURST, WORK_BURST
from railgun.types import Handle, NodeKey, SizeClass
from railgun.wire.frames import (
    Deliver,
    Digest,
    Offer,
    Publish,
    Pull,
    Pulse,
    Receipt,
    Refused,
    SeatExchange,
    SeatPull,
    SeatPush,
    Subscribe,
    Subscribed,
    SubscriptionMode,
    Unsubscribe,
)
from tests.support.relay_lab import RelayLab, frames_to, id_of, penalties, refusals, room_keys, seal


def test_an_envelope_reaches_primaries_whole_secondaries_by_id_and_its_sender_by_receipt() -> None:
    lab = RelayLab()
    sender, primary, secondary = (lab.connect_client(index) for index in range(3))
    lab.subscribe(sender)
    lab.open_with_all()
    lab.subscribe(primary)
    lab.subscribe(secondary, SubscriptionMode.SECONDARY)
    envelope = seal(lab.keys, 1)
    effects = lab.publish(sender, envelope)
    assert frames_to(effects, primary, Deliver) == [Deliver(1, envelope)]
    assert frames_to(effects, secondary, Digest) == [Digest(lab.keys.tag, 1, (id_of(envelope),))]
    assert frames_to(effects, secondary, Deliver) == []
    assert frames_to(effects, sender, Deliver) == []
    assert frames_to(effects, sender, Digest) == [Digest(lab.keys.tag, 1, (id_of(envelope),))]
    (receipt,) = frames_to(effects, sender, Receipt)
    assert receipt.ids == (id_of(envelope),)
    assert verify_receipt(receipt)
    assert lab.machine.counters.deliveries == 1


def test_the_two_entries_halve_the_other_seats_by_rank() -> None:
    pushed: list[NodeKey] = []
    for rank, other_rank in ((1, 3), (3, 1)):
        lab = RelayLab(rank=rank, committee_size=5)
        client = lab.connect_client(0)
        lab.subscribe(client)
        lab.open_with_all()
        effects = lab.publish(client, seal(lab.keys, 1), lab.ranking[other_rank])
        mine = [key for key in lab.others if frames_to(effects, key, SeatPush)]
        pushed += mine
        told = [key for key in lab.others if frames_to(effects, key, SeatExchange)]
        assert set(mine) | set(told) == set(lab.others)
        assert not set(mine) & set(told)
        assert lab.ranking[other_rank] in told
    assert sorted(pushed) == sorted(lab.ranking[rank] for rank in (0, 2, 4))


def test_the_only_entry_pushes_to_all_and_so_does_one_whose_other_entry_it_cannot_reach() -> None:
    for other_entry in (None, NodeKey(bytes(32))):
        lab = RelayLab(committee_size=5)
        client = lab.connect_client(0)
        lab.subscribe(client)
        lab.open_with_all()
        effects = lab.publish(client, seal(lab.keys, 1), other_entry)
        assert all(frames_to(effects, key, SeatPush) for key in lab.others)


def test_a_large_envelope_is_announced_at_once_and_never_pushed() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    envelope = seal(lab.keys, 1, SizeClass.LARGE)
    effects = lab.publish(client, envelope)
    for key in lab.others:
        assert frames_to(effects, key, SeatPush) == []
        (exchange,) = frames_to(effects, key, SeatExchange)
        assert exchange.urgent
        assert exchange.ids == (id_of(envelope),)


def test_an_urgent_announcement_is_pulled_at_once_and_another_after_150_ms() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    one, two = seal(lab.keys, 1), seal(lab.keys, 2)
    peer = lab.others[0]
    assert frames_to(lab.tell(peer, [id_of(one)], urgent=True), peer, SeatPull) == [
        SeatPull(lab.keys.tag, (id_of(one),))
    ]
    lab.frame(peer, SeatPush(one))
    assert frames_to(lab.tell(peer, [id_of(two)]), peer, SeatPull) == []
    assert frames_to(lab.until(lab.now + 0.149), peer, SeatPull) == []
    assert frames_to(lab.until(lab.now + 0.002), peer, SeatPull) == [SeatPull(lab.keys.tag, (id_of(two),))]


def test_what_is_pushed_meanwhile_is_not_pulled() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    envelope = seal(lab.keys, 1)
    lab.tell(lab.others[0], [id_of(envelope)])
    lab.frame(lab.others[1], SeatPush(envelope))
    assert frames_to(lab.until(lab.now + 0.5), lab.others[0], SeatPull) == []


def test_a_pushed_envelope_is_receipted_to_its_bringer_and_other_seats_receipts_travel_to_the_sender() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    pushed, published = seal(lab.keys, 1), seal(lab.keys, 2)
    (receipt,) = frames_to(lab.frame(lab.others[0], SeatPush(pushed)), lab.others[0], Receipt)
    assert receipt.seat == lab.own
    lab.publish(client, published)
    theirs = lab.receipt_of(lab.others[0], id_of(published))
    assert frames_to(lab.frame(lab.others[0], theirs), client, Receipt) == [theirs]
    assert frames_to(lab.frame(lab.others[0], theirs), client, Receipt) == []
    again = frames_to(lab.publish(client, published), client, Receipt)
    assert {item.seat for item in again} == {lab.own, lab.others[0]}


def test_a_receipt_that_another_seat_passes_on_has_to_prove_itself() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    envelope = seal(lab.keys, 1)
    lab.publish(client, envelope)
    good = lab.receipt_of(lab.others[1], id_of(envelope))
    forged = Receipt(good.tag, good.ids, good.seat, bytes(64))
    effects = lab.frame(lab.others[0], forged)
    assert frames_to(effects, client, Receipt) == []
    assert refusals(effects) == ["BAD_SIGNATURE"]
    assert frames_to(lab.frame(lab.others[0], good), client, Receipt) == [good]


def test_receipts_of_ever_more_keys_fill_no_memory() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    envelope = seal(lab.keys, 1)
    lab.frame(lab.others[0], SeatPush(envelope))
    (held,) = lab.machine.seats[lab.keys.tag].store.since(1)
    for number in range(50):
        seed = number.to_bytes(32, "big")
        key = NodeKey(public_key_of(seed))
        signature = sign_receipt(signing_key_of(seed), lab.keys.tag, (held.envelope_id,), key)
        lab.frame(lab.others[0], Receipt(lab.keys.tag, (held.envelope_id,), key, signature))
    assert len(held.receipts) <= UNRANKED_RECEIPTS_MAX
    assert len(held.holders) <= UNRANKED_RECEIPTS_MAX + 1


def test_receipts_do_not_run_in_circles() -> None:
    """Two restarted seats may each name the other as where they got an envelope from."""
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    envelope = seal(lab.keys, 1)
    lab.frame(lab.others[0], SeatPush(envelope))
    theirs = lab.receipt_of(lab.others[1], id_of(envelope))
    assert frames_to(lab.frame(lab.others[1], theirs), lab.others[0], Receipt) == [theirs]
    assert frames_to(lab.frame(lab.others[0], theirs), lab.others[0], Receipt) == []


def test_an_offer_is_receipted_once_the_entry_has_brought_the_envelope() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    envelope = seal(lab.keys, 1, SizeClass.LARGE)
    entry = lab.others[0]
    assert frames_to(lab.frame(client, Offer(lab.keys.tag, (id_of(envelope),), entry)), client, Receipt) == []
    assert frames_to(lab.until(lab.now + 0.2), entry, SeatPull)
    (receipt,) = frames_to(lab.frame(entry, SeatPush(envelope)), client, Receipt)
    assert receipt.ids == (id_of(envelope),)


def test_offers_of_junk_are_bounded_and_displace_no_seat_s_announcements() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    for batch in range(50):
        ids = tuple(id_of(seal(lab.keys, 1000 + batch)) for _ in range(1)) + tuple(
            bytes([batch, index]) * 8 for index in range(31)
        )
        lab.frame(client, Offer(lab.keys.tag, ids, lab.others[0]))  # type: ignore[arg-type]
    assert len(lab.seat.exchange.pulls) <= 32
    real = seal(lab.keys, 1)
    lab.tell(lab.others[1], [id_of(real)])
    assert frames_to(lab.until(lab.now + 0.2), lab.others[1], SeatPull)


def test_a_late_subscriber_is_told_all_ids_and_a_returning_one_what_it_lacks() -> None:
    lab = RelayLab()
    sender, late = lab.connect_client(0), lab.connect_client(1)
    lab.subscribe(sender)
    lab.open_with_all()
    envelopes = [seal(lab.keys, index) for index in range(1, 5)]
    for envelope in envelopes:
        lab.publish(sender, envelope)
    effects = lab.subscribe(late)
    (subscribed,) = frames_to(effects, late, Subscribed)
    assert subscribed.last_number == 4
    assert frames_to(effects, late, Digest) == [Digest(lab.keys.tag, 1, tuple(map(id_of, envelopes)))]
    effects = lab.subscribe(late, from_number=4, incarnation=subscribed.incarnation)
    assert frames_to(effects, late, Digest) == [Digest(lab.keys.tag, 4, (id_of(envelopes[3]),))]
    effects = lab.subscribe(late, from_number=4, incarnation=b"another!")
    assert [len(digest.ids) for digest in frames_to(effects, late, Digest)] == [4]


def test_an_audit_is_answered_and_leaves_no_subscription() -> None:
    lab = RelayLab()
    sender, auditor = lab.connect_client(0), lab.connect_client(1)
    lab.subscribe(sender)
    lab.open_with_all()
    lab.publish(sender, seal(lab.keys, 1))
    assert frames_to(lab.subscribe(auditor, SubscriptionMode.AUDIT), auditor, Digest)
    assert not lab.seat.subscribers.has(auditor)
    assert frames_to(lab.publish(sender, seal(lab.keys, 2)), auditor, Digest) == []


def test_an_audit_on_a_link_that_has_shown_the_tag_brings_what_is_new_and_is_checked_all_the_same() -> None:
    lab = RelayLab()
    sender, auditor = lab.connect_client(0), lab.connect_client(1)
    lab.subscribe(sender)
    lab.open_with_all()
    lab.publish(sender, seal(lab.keys, 1))
    (first,) = frames_to(lab.subscribe(auditor, SubscriptionMode.AUDIT), auditor, Subscribed)
    lab.publish(sender, seal(lab.keys, 2))

    def again() -> list[Effect]:
        return lab.subscribe(auditor, SubscriptionMode.AUDIT, from_number=2, incarnation=first.incarnation)

    effects = again()
    assert [item.last_number for item in frames_to(effects, auditor, Subscribed)] == [2]
    assert [(item.first_number, len(item.ids)) for item in frames_to(effects, auditor, Digest)] == [(2, 1)]
    forged = Subscribe(
        lab.descriptor, Handle(auditor[:16]), SubscriptionMode.AUDIT, bytes(64), lab.seats_hash, first.incarnation, 2
    )
    assert [item.code for item in frames_to(lab.frame(auditor, forged), auditor, Refused)] == [RefusalCode.BAD_PROOF]
    other = replace(lab.descriptor, signature=bytes(64))
    proof = sign_subscription(lab.keys, lab.own, auditor, Handle(auditor[:16]))
    spoilt = Subscribe(other, Handle(auditor[:16]), SubscriptionMode.AUDIT, proof, lab.seats_hash, first.incarnation, 2)
    assert [item.code for item in frames_to(lab.frame(auditor, spoilt), auditor, Refused)] == [
        RefusalCode.BAD_SIGNATURE
    ]
    for _ in range(int(WORK_BURST)):
        effects = again()
    assert [item.code for item in frames_to(effects, auditor, Refused)] == [RefusalCode.RATE_LIMITED]


def test_an_audit_while_a_seat_fills_takes_no_subscription_s_place() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.subscribe(client, SubscriptionMode.AUDIT)
    lab.open_with_all()
    assert lab.seat.subscribers.has(client)


def test_pulls_are_answered_by_number_and_id_and_what_is_not_held_is_named() -> None:
    lab = RelayLab()
    sender, other = lab.connect_client(0), lab.connect_client(1)
    lab.subscribe(sender)
    lab.open_with_all()
    one, two, absent = (seal(lab.keys, index) for index in (1, 2, 3))
    lab.publish(sender, one)
    lab.publish(sender, two)
    effects = lab.frame(other, Pull(lab.keys.tag, (1, 9), (id_of(two), id_of(one), id_of(absent))))
    assert frames_to(effects, other, Deliver) == [Deliver(1, one), Deliver(2, two)]
    assert [(item.code.name, item.ids) for item in frames_to(effects, other, Refused)] == [
        ("NOT_HELD", (id_of(absent),))
    ]


def test_whoever_pulls_all_again_and_again_is_slowed_down() -> None:
    lab = RelayLab(relay_limits=RelayLimits(pull_bytes_per_second=256, pull_bytes_burst=1024))
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    lab.publish(client, seal(lab.keys, 1))
    delivered, refused = 0, 0
    for _ in range(20):
        effects = lab.frame(client, Pull(lab.keys.tag, (1,), ()))
        delivered += len(frames_to(effects, client, Deliver))
        refused += refusals(effects).count("RATE_LIMITED")
    assert (delivered, refused) == (4, 16)


def test_pulses_repeat_the_last_number_of_each_subscription() -> None:
    lab = RelayLab()
    client, stranger = lab.connect_client(0), lab.connect_client(1)
    lab.subscribe(client)
    lab.open_with_all()
    lab.publish(client, seal(lab.keys, 1))
    pulses = {}
    for peer in (client, stranger):
        effects = lab.do(PulseReceived(peer, Pulse(7, 0, True, ())))
        (pulses[peer],) = [effect.pulse for effect in effects if isinstance(effect, SendPulse)]
    assert [(item.tag, item.last_number) for item in pulses[client].numbers] == [(lab.keys.tag, 1)]
    assert pulses[client].echo == 7
    assert pulses[stranger].numbers == ()
    assert [e for e in lab.do(PulseReceived(client, Pulse(0, 3, False, ()))) if isinstance(e, SendPulse)] == []


def test_a_flood_of_pulses_is_answered_no_more_often_than_any_watch_asks() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    answers = [effect for n in range(1_000) for effect in lab.do(PulseReceived(client, Pulse(n + 1, 0, True, ())))]
    assert len([effect for effect in answers if isinstance(effect, SendPulse)]) == PULSES_BURST
    lab.until(lab.now + 1.0)
    assert [e for e in lab.do(PulseReceived(client, Pulse(2_000, 0, True, ()))) if isinstance(e, SendPulse)]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda data: data[:-1], "WRONG_SIZE"),
        (lambda data: data + b"\0", "WRONG_SIZE"),
        (lambda data: b"\x02" + data[1:], "UNSUPPORTED_VERSION"),
        (lambda data: data[:1] + b"\x01" + data[2:], "WRONG_SIZE"),
        (lambda data: data[:1] + b"\x09" + data[2:], "MALFORMED"),
        (lambda data: data[:2] + bytes(4) + data[6:], "MALFORMED"),
        (lambda data: data[:6] + bytes(32) + data[38:], "UNKNOWN_TAG"),
        (lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:], "BAD_SIGNATURE"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "BAD_SIGNATURE"),
    ],
)
def test_each_bad_envelope_is_refused_with_its_code_and_counted(spoil, code) -> None:  # type: ignore[no-untyped-def]
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    spoilt = spoil(seal(lab.keys, 1))
    assert refusals(lab.publish(client, spoilt)) == [code]
    assert refusals(lab.frame(lab.others[0], SeatPush(spoilt))) == [code]
    assert {item.name: count for item, count in lab.machine.counters.refusals.items()} == {code: 2}
    assert lab.machine.counters.envelopes_stored == 0
    assert lab.machine.counters.wrong_size_on_wire == (2 if len(spoilt) != 256 else 0)


def test_a_replay_is_receipted_again_and_neither_stored_nor_delivered_twice() -> None:
    lab = RelayLab()
    client, other = lab.connect_client(0), lab.connect_client(1)
    lab.subscribe(other)
    lab.open_with_all()
    envelope = seal(lab.keys, 1)
    lab.publish(client, envelope)
    effects = lab.publish(client, envelope)
    assert frames_to(effects, other, Deliver) == []
    assert frames_to(effects, client, Receipt)
    assert lab.machine.counters.envelopes_stored == 1


def test_publishes_are_taken_within_the_window_only() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    lab.now = -60 + 600 + 180 - 0.1
    assert refusals(lab.publish(client, seal(lab.keys, 1))) == []
    lab.now += 0.2
    assert refusals(lab.publish(client, seal(lab.keys, 2))) == ["TOO_LATE"]


def test_a_client_that_publishes_too_much_is_told_when_to_go_on() -> None:
    lab = RelayLab(relay_limits=RelayLimits(publish_bytes_per_second=256, publish_bytes_burst=512))
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    for index in (1, 2):
        assert refusals(lab.publish(client, seal(lab.keys, index))) == []
    envelope = seal(lab.keys, 3)
    (refused,) = frames_to(lab.publish(client, envelope), client, Refused)
    assert (refused.code.name, refused.ids) == ("RATE_LIMITED", (id_of(envelope),))
    assert refused.retry_after_ms is not None
    lab.now += refused.retry_after_ms / 1000
    assert refusals(lab.publish(client, envelope)) == []


def test_a_full_tag_refuses_and_keeps_what_it_acknowledged() -> None:
    lab = RelayLab(relay_limits=RelayLimits(tag_bytes_max=512))
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    for index in (1, 2):
        lab.publish(client, seal(lab.keys, index))
    assert refusals(lab.publish(client, seal(lab.keys, 3))) == ["QUOTA_EXCEEDED"]
    assert len(lab.seat.store) == 2


def test_subscriptions_need_the_room_s_key_this_seat_and_this_link() -> None:
    lab = RelayLab()
    client, thief = lab.connect_client(0), lab.connect_client(1)
    effects = lab.subscribe(client)
    assert refusals(effects) == []
    stolen = Subscribe(
        lab.descriptor,
        client[:16],  # type: ignore[arg-type]
        SubscriptionMode.PRIMARY,
        bytes(64),
        lab.seats_hash,
        bytes(8),
        1,
    )
    effects = lab.frame(thief, stolen)
    assert refusals(effects) == ["BAD_PROOF"]
    assert penalties(effects)


def test_tags_outside_their_window_or_badly_signed_are_not_opened() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.keys = room_keys(start=1_800_000_000 + 100_000)
    assert refusals(lab.subscribe(client)) == ["OUTSIDE_WINDOW"]
    lab.keys = room_keys(start=1_800_000_000 - 100_000)
    assert refusals(lab.subscribe(client)) == ["OUTSIDE_WINDOW"]
    assert lab.machine.seats == {}


def test_of_conflicting_descriptors_the_smallest_wins_whatever_came_first() -> None:
    for sizes in ((5, 3), (3, 5)):
        lab = RelayLab(rank=0, committee_size=3)
        client = lab.connect_client(0)
        for size in sizes:
            lab.committee_size = size
            lab.subscribe(client)
        assert lab.seat.descriptor == sign_tag_descriptor(lab.keys, 3, 0)
        assert lab.seat.committee.committee_size == 3


def test_an_unsubscribed_or_vanished_client_gets_nothing_and_leaves_nothing() -> None:
    lab = RelayLab()
    sender = lab.connect_client(0)
    leaving, vanishing = lab.connect_client(1), lab.connect_client(2)
    lab.subscribe(sender)
    lab.open_with_all()
    before = lab.machine.state_sizes()["peers"]
    for peer in (leaving, vanishing):
        lab.subscribe(peer)
    lab.frame(leaving, Unsubscribe(lab.keys.tag))
    lab.lose(vanishing)
    effects = lab.publish(sender, seal(lab.keys, 1))
    assert frames_to(effects, leaving, Deliver) == []
    assert frames_to(effects, vanishing, Deliver) == []
    assert len(lab.seat.subscribers) == 1
    assert lab.machine.state_sizes()["peers"] == before - 1


def test_a_flood_of_forgeries_is_soon_made_to_wait() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    checked_before = lab.machine.counters.envelopes_checked
    for index in range(1000):
        good = seal(lab.keys, index)
        lab.frame(client, Publish(good[:-1] + bytes([good[-1] ^ 1]), lab.seats_hash, None))
    assert lab.machine.counters.envelopes_checked - checked_before <= 130
    lab.now += 30.0
    assert refusals(lab.publish(client, seal(lab.keys, 5000))) == []


def test_a_flood_of_new_tags_is_soon_made_to_wait() -> None:
    lab = RelayLab(relays=3)
    client = lab.connect_client(0)
    codes = []
    for index in range(120):
        lab.keys = room_keys(index)
        codes += refusals(lab.subscribe(client))
    assert "RATE_LIMITED" in codes
    assert len(lab.machine.seats) <= 70
