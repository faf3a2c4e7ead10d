"""Getting envelopes receipted: entries, offers, majorities, publishing again (spec: message way, sender)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from railgun.core.agenda import Agenda
from railgun.core.committee import Committee, order_relays
from railgun.core.counters import ClientCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.publisher import Outgoing, Progress, Publisher
from railgun.crypto.receipts import sign_receipt
from railgun.crypto.signing import signing_key_of
from railgun.errors import PeerError, RefusalCode
from railgun.limits import PENDING_SENDS_MAX
from railgun.types import EnvelopeId, NodeKey, SizeClass
from railgun.wire.frames import Offer, Publish, Receipt
from tests.support.ads import LAN, seed_of, signed_ad
from tests.support.relay_lab import id_of, room_keys, seal

KEYS = room_keys()
ADS = [signed_ad(index, 1000).ad for index in range(8)]
SEEDS = {ad.node_key: seed_of(index) for index, ad in enumerate(ADS)}
COMMITTEE: Committee = order_relays(KEYS.tag, ADS, LAN, 3)
SEATS = list(COMMITTEE.seat_keys)
STANDBY = COMMITTEE.standbys[0].node_key


class Lab:
    def __init__(self) -> None:
        self.agenda = Agenda()
        self.counters = ClientCounters()
        self.publisher = Publisher(KEYS.tag, self.agenda, self.counters)
        self.entries = SEATS[:2]
        self.dead: set[NodeKey] = set()
        self.out: Effects = []

    def publish(self, number: int, now: float, size_class: SizeClass = SizeClass.SMALL) -> EnvelopeId:
        envelope = seal(KEYS, number, size_class)
        outgoing = Outgoing(id_of(envelope), envelope, number, now)
        self.publisher.publish(outgoing, self.entries, COMMITTEE, now, self.out)
        return outgoing.envelope_id

    def sent(self) -> list[tuple[NodeKey, str]]:
        sent = [
            (NodeKey(peer), type(effect.frame).__name__)
            for effect in self.out
            if isinstance(effect, SendFrame)
            for peer in effect.peers
        ]
        self.out.clear()
        return sent

    def due(self, now: float) -> list[NodeKey]:
        if ("publish", KEYS.tag) not in self.agenda.take_due(now):
            return []
        return self.publisher.due(self.entries, COMMITTEE, self.dead.__contains__, now, self.out)

    def receipt(self, seat: NodeKey, *ids: EnvelopeId) -> list[Progress]:
        signature = sign_receipt(signing_key_of(SEEDS[seat]), KEYS.tag, ids, seat)
        return self.publisher.receipt_received(
            Receipt(KEYS.tag, ids, seat, signature), COMMITTEE, self.dead.__contains__
        )


def test_a_small_envelope_goes_whole_to_both_entries_each_told_of_the_other() -> None:
    lab = Lab()
    lab.publish(1, 0.0)
    frames = [effect.frame for effect in lab.out if isinstance(effect, SendFrame)]
    assert [type(frame) for frame in frames] == [Publish, Publish]
    assert [frame.other_entry for frame in frames if isinstance(frame, Publish)] == [SEATS[1], SEATS[0]]


def test_a_large_envelope_goes_whole_to_one_and_by_id_to_the_other() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0, SizeClass.LARGE)
    assert [effect.frame for effect in lab.out if isinstance(effect, SendFrame)][1] == Offer(
        KEYS.tag, (item,), SEATS[0]
    )
    assert lab.sent() == [(SEATS[0], "Publish"), (SEATS[1], "Offer")]
    lab.due(0.49)
    assert lab.sent() == []
    lab.due(0.5)
    assert (SEATS[1], "Publish") in lab.sent()


def test_progress_keeps_a_large_envelope_from_being_sent_twice() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0, SizeClass.LARGE)
    lab.sent()
    lab.receipt(SEATS[0], item)
    lab.due(0.5)
    assert lab.sent() == []


def test_a_send_resolves_at_a_majority_once_and_is_complete_when_all_have_receipted() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0)
    seen = [lab.receipt(seat, item)[0] for seat in SEATS]
    assert [progress.receipts for progress in seen] == [1, 2, 3]
    assert [progress.majority_reached for progress in seen] == [False, True, False]
    assert [progress.complete for progress in seen] == [False, False, True]
    assert len(lab.publisher) == 0
    assert lab.receipt(SEATS[0], item) == []


def test_one_receipt_may_name_many_and_a_repeated_one_counts_once() -> None:
    lab = Lab()
    items = [lab.publish(number, 0.0) for number in range(3)]
    assert len(lab.receipt(SEATS[0], *items)) == 3
    assert lab.receipt(SEATS[0], *items) == []
    assert lab.counters.receipts_verified == 1


def test_standbys_count_for_dead_seats_and_for_no_others() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0)
    assert lab.receipt(SEATS[0], item)[0].receipts == 1
    assert lab.receipt(STANDBY, item)[0].receipts == 1
    other = lab.publish(2, 0.0)
    lab.dead.add(SEATS[2])
    lab.receipt(SEATS[0], other)
    progress = lab.receipt(STANDBY, other)[0]
    assert (progress.receipts, progress.of, progress.majority_reached) == (2, 3, True)
    assert lab.receipt(COMMITTEE.standbys[1].node_key, other)[0].receipts == 2


def test_forged_receipts_and_strangers_are_refused() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0)
    good = sign_receipt(signing_key_of(SEEDS[SEATS[0]]), KEYS.tag, (item,), SEATS[0])
    with pytest.raises(PeerError) as forged:
        lab.publisher.receipt_received(Receipt(KEYS.tag, (item,), SEATS[1], good), COMMITTEE, lab.dead.__contains__)
    assert forged.value.code is RefusalCode.BAD_SIGNATURE
    stranger = NodeKey(bytes(32))
    with pytest.raises(PeerError) as unranked:
        lab.publisher.receipt_received(Receipt(KEYS.tag, (item,), stranger, good), COMMITTEE, lab.dead.__contains__)
    assert (unranked.value.code, unranked.value.penalty_points) == (RefusalCode.NOT_A_SEAT, 0)
    assert lab.counters.receipts_refused == 2


def test_what_is_short_of_a_majority_goes_again_to_entries_that_have_not_receipted_it_then_to_all_seats() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0)
    lab.sent()
    lab.receipt(SEATS[0], item)
    assert lab.due(1.0) == []
    assert lab.sent() == [(SEATS[1], "Publish")]
    assert lab.due(3.0) == SEATS[1:]
    assert lab.sent() == [(SEATS[1], "Publish")]
    lab.publisher.publish_directly(SEATS[2], COMMITTEE, 3.0, lab.out)
    assert lab.sent() == [(SEATS[2], "Publish")]


def test_after_a_majority_live_seats_alone_are_still_brought_it_and_dead_ones_are_not_waited_for() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0)
    for seat in SEATS[:2]:
        lab.receipt(seat, item)
    lab.sent()
    assert lab.due(1.0) == [SEATS[2]]
    assert lab.sent() == []
    lab.dead.add(SEATS[2])
    lab.due(10.0)
    assert len(lab.publisher) == 0


def test_repetitions_grow_rarer() -> None:
    lab = Lab()
    lab.publish(1, 0.0)
    lab.sent()
    times, now = [], 0.0
    while now < 40.0:
        now += 0.25
        lab.due(now)
        if lab.sent():
            times.append(now)
    assert times[:4] == [1.0, 3.0, 7.0, 15.0]
    assert times[4] - times[3] == 8.0


def test_without_a_seat_envelopes_wait_and_leave_with_the_first() -> None:
    lab = Lab()
    lab.entries = []
    lab.publish(1, 0.0)
    assert lab.sent() == []
    lab.publisher.entries_changed([SEATS[2]], [SEATS[2]], COMMITTEE, 0.3, lab.out)
    assert lab.sent() == [(SEATS[2], "Publish")]
    lab.publisher.entries_changed([SEATS[0]], [SEATS[2], SEATS[0]], COMMITTEE, 0.4, lab.out)
    assert lab.sent() == [(SEATS[0], "Publish")]


def test_what_came_too_late_is_given_back_once_unless_it_had_its_majority() -> None:
    lab = Lab()
    one, two = lab.publish(1, 0.0), lab.publish(2, 0.0)
    for seat in SEATS[:2]:
        lab.receipt(seat, two)
    assert [outgoing.reference for outgoing in lab.publisher.too_late((one, two))] == [1]
    assert lab.publisher.too_late((one, two)) == []
    assert len(lab.publisher) == 0


def test_the_end_of_an_epoch_takes_all_that_is_short_of_a_majority() -> None:
    lab = Lab()
    settled = lab.publish(1, 0.0)
    lab.publish(2, 0.0)
    for seat in SEATS[:2]:
        lab.receipt(seat, settled)
    assert [outgoing.reference for outgoing in lab.publisher.take_unsettled()] == [2]
    assert lab.publisher.is_pending(settled)


def test_a_refusal_delays_the_next_try() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0)
    lab.sent()
    lab.publisher.refused((item,), 5.0, 0.0)
    lab.due(4.9)
    assert lab.sent() == []
    lab.due(5.0)
    assert lab.sent()


def test_one_seat_s_refusals_keep_nothing_from_the_others() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0)
    lab.sent()
    for now in range(20):
        lab.publisher.refused((item,), 86_400.0, float(now))
        lab.due(float(now))
    assert len(lab.sent()) >= 2


def test_settled_envelopes_make_room_and_unsettled_ones_are_never_dropped() -> None:
    lab = Lab()
    envelope = seal(KEYS, 1)
    template = Outgoing(id_of(envelope), envelope, None, 0.0)
    for number in range(PENDING_SENDS_MAX):
        item = replace(template, envelope_id=EnvelopeId(number.to_bytes(16, "big")), receipts={})
        lab.publisher.publish(item, [], COMMITTEE, 0.0, lab.out)
    before = lab.publisher.is_full
    lab.publisher._outgoing[EnvelopeId((7).to_bytes(16, "big"))].settled = True
    assert (before, lab.publisher.is_full) == (True, False)
    lab.publish(9999, 0.0)
    assert len(lab.publisher) == PENDING_SENDS_MAX
    assert not lab.publisher.is_pending(EnvelopeId((7).to_bytes(16, "big")))


def test_a_receipt_that_names_an_envelope_twice_counts_once_and_raises_nothing() -> None:
    lab = Lab()
    item = lab.publish(1, 0.0)
    for seat in SEATS[:-1]:
        lab.receipt(seat, item)
    (last,) = lab.receipt(SEATS[-1], item, item)
    assert last.complete
