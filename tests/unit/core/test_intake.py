"""What a subscriber has and lacks: numberings, gaps, pulls, what seats hid (spec: message way, digests)."""

from __future__ import annotations

import pytest

from railgun.core.agenda import Agenda
from railgun.core.counters import ClientCounters
from railgun.core.effects import Effects, SendFrame
from railgun.core.intake import DENIED_TRIES, PULL_TRIES_MAX, Intake
from railgun.errors import MalformedInput
from railgun.limits import (
    BROKEN_WORDS_MAX,
    HIDDEN_GRACE_SECONDS,
    PULLS_IN_FLIGHT_PER_SEAT_MAX,
    TAG_IDS_MAX,
    UNSEEN_PER_SEAT_MAX,
)
from railgun.types import EnvelopeId, NodeKey, Tag
from railgun.wire.frames import Digest, Pull

TAG = Tag(b"t" * 32)
A, B, C = (NodeKey(bytes([value]) * 32) for value in (1, 2, 3))
FIRST = b"inc-one!"
SECOND = b"inc-two!"


def eid(index: int) -> EnvelopeId:
    return EnvelopeId(index.to_bytes(16, "big"))


class Lab:
    def __init__(self, *seats: NodeKey) -> None:
        self.agenda = Agenda()
        self.counters = ClientCounters()
        self.intake = Intake(TAG, self.agenda, self.counters)
        self.linked = list(seats)
        for seat in seats:
            self.intake.expect(seat)
            self.intake.subscribed(seat, FIRST, 0, 0.0)

    def digest(self, seat: NodeKey, first: int, *ids: int, now: float = 0.0, audited: bool = False) -> None:
        own = [item for item in self.linked if item != seat] if audited else None
        self.intake.digest(seat, Digest(TAG, first, tuple(map(eid, ids))), now, own_seats=own)

    def until(self, now: float) -> list[tuple[NodeKey, Pull]]:
        out: Effects = []
        for name in self.agenda.take_due(now):
            if name[0] == "gap":
                self.intake.pull_gaps(name[2], now, out)
            elif name[0] == "unseen":
                self.intake.pull_unseen(self.linked, now, out)
        return [
            (NodeKey(effect.peers[0]), effect.frame)
            for effect in out
            if isinstance(effect, SendFrame) and isinstance(effect.frame, Pull)
        ]


def test_an_envelope_is_new_once() -> None:
    lab = Lab(A, B)
    assert lab.intake.delivered(A, 1, eid(1), 0.0)
    assert not lab.intake.delivered(B, 1, eid(1), 0.0)
    assert not lab.intake.delivered(A, 1, eid(1), 0.0)
    assert lab.counters.duplicates_dropped == 2


def test_an_id_unseen_for_300_ms_is_pulled_and_one_that_arrives_is_not() -> None:
    lab = Lab(A, B)
    lab.digest(B, 1, 7, 8)
    assert lab.until(0.299) == []
    lab.intake.delivered(A, 1, eid(7), 0.0)
    assert lab.until(0.3) == [(B, Pull(TAG, (), (eid(8),)))]
    lab.intake.delivered(B, 2, eid(8), 0.0)
    assert lab.until(5.0) == []
    assert lab.intake.waiting_for == 0


def test_own_envelopes_are_never_pulled() -> None:
    lab = Lab(A)
    lab.intake.note_own(eid(1), 0.0)
    lab.digest(A, 1, 1)
    assert lab.until(1.0) == []


def test_each_try_asks_another_source_and_a_seat_without_it_is_not_asked_again() -> None:
    lab = Lab(A, B, C)
    lab.digest(A, 1, 1)
    lab.digest(B, 1, 1)
    asked = [lab.until(now)[0][0] for now in (0.3, 1.3)]
    assert sorted(asked) == [A, B]
    lab.intake.absent(A, (eid(1),), 1.4)
    assert {lab.until(now)[0][0] for now in (2.3, 4.3)} == {B}


def test_at_the_tag_s_end_everyone_who_names_an_id_is_asked_at_once() -> None:
    """All but one may lie, and the seats forget the tag before they could be asked one after the other."""
    lab = Lab(A, B, C)
    lab.digest(A, 1, 1, now=0.0)
    lab.intake.is_closing = True
    lab.digest(B, 1, 1, now=0.1)
    assert [(seat, pull.ids) for seat, pull in lab.until(0.1)] == [(A, (eid(1),)), (B, (eid(1),))]
    lab.digest(C, 1, 1, now=0.2)
    assert [(seat, pull.ids) for seat, pull in lab.until(0.2)] == [(C, (eid(1),))], "and nobody twice"
    assert lab.until(2.0) == []


def test_an_id_that_nobody_brings_is_given_up_until_it_is_named_again() -> None:
    lab = Lab(A)
    lab.digest(A, 1, 1)
    pulls = [pull for second in range(60) for pull in lab.until(0.3 + second)]
    assert len(pulls) == PULL_TRIES_MAX
    assert lab.intake.waiting_for == 0
    lab.digest(A, 1, 1, now=70.0)
    assert lab.until(70.3)


def name_ids(lab: Lab, seat: NodeKey, first: int, count: int, now: float = 0.0) -> None:
    for start in range(first, first + count, 512):
        lab.digest(seat, start, *range(start, min(start + 512, first + count)), now=now)


def asked_ids(pulls: list[tuple[NodeKey, Pull]]) -> list[int]:
    return [int.from_bytes(item, "big") for _, pull in pulls for item in pull.ids]


def test_of_many_ids_the_newest_come_first_and_only_so_many_are_under_way_at_a_time() -> None:
    """Who comes back in the middle of an epoch reads what is new at once, and takes in no more than it asked for."""
    lab = Lab(A)
    total = 5 * PULLS_IN_FLIGHT_PER_SEAT_MAX
    name_ids(lab, A, 1, total)
    order: list[int] = []
    now = 0.3
    waiting = asked_ids(lab.until(now))
    while waiting:
        assert len(waiting) <= PULLS_IN_FLIGHT_PER_SEAT_MAX
        order += waiting
        for number in waiting:
            lab.intake.delivered(A, number, eid(number), now)
        now += 0.01
        waiting = asked_ids(lab.until(now))
    assert sorted(order) == list(range(1, total + 1)), "each is asked for once"
    newest = 3 * PULLS_IN_FLIGHT_PER_SEAT_MAX // 4
    assert set(order[:PULLS_IN_FLIGHT_PER_SEAT_MAX]) >= set(range(total - newest + 1, total + 1))
    assert now < 0.5, "the next are asked for as soon as there is room, not a second later"


def test_of_two_seats_each_is_asked_for_a_part() -> None:
    lab = Lab(A, B)
    for seat in (A, B):
        name_ids(lab, seat, 1, 4 * PULLS_IN_FLIGHT_PER_SEAT_MAX)
    pulls = lab.until(0.3)
    for seat in (A, B):
        of_seat = [pull for asked, pull in pulls if asked == seat]
        assert sum(len(pull.ids) for pull in of_seat) == PULLS_IN_FLIGHT_PER_SEAT_MAX


def test_a_seat_at_the_end_of_our_budget_is_left_alone_and_loses_us_nothing() -> None:
    """Minutes of RATE_LIMITED are no tries: nothing is given up, nobody accused."""
    lab = Lab(A)
    name_ids(lab, A, 1, 200)
    now = 0.3
    for _ in range(100):
        asked = lab.until(now)
        assert sum(len(pull.ids) for _, pull in asked) <= PULLS_IN_FLIGHT_PER_SEAT_MAX
        lab.intake.limited(A, 1.0, now)
        assert lab.until(now + 0.9) == []
        now += 1.0
    assert lab.intake.waiting_for == 200
    for number in asked_ids(lab.until(now)):
        assert lab.intake.delivered(A, number, eid(number), now)
    assert lab.intake.take_unbelieved(now) == []


def test_a_slow_seat_that_brings_one_thing_after_the_other_is_waited_for() -> None:
    """Over a thin line the largest envelopes take minutes, and what a full link swallows has to be asked for again."""
    lab = Lab(A)
    name_ids(lab, A, 1, PULLS_IN_FLIGHT_PER_SEAT_MAX)
    asked: list[int] = []
    for second in range(3 * PULLS_IN_FLIGHT_PER_SEAT_MAX):
        now = 0.3 + second
        asked += asked_ids(lab.until(now))
        if second % 2 and asked:
            lab.intake.delivered(A, asked[0], eid(asked[0]), now)
            asked = [number for number in asked if number != asked[0]]
    assert lab.intake.waiting_for == 0
    assert lab.intake.seen_count == PULLS_IN_FLIGHT_PER_SEAT_MAX
    assert lab.intake.believes(A)


def test_a_seat_that_names_ids_without_end_and_brings_none_is_believed_no_more() -> None:
    lab = Lab(A, B)
    number, asked = 1, 0
    told: list[NodeKey] = []
    for second in range(60):
        now = 0.3 + second
        name_ids(lab, A, number, 256, now)
        number += 256
        pulls = lab.until(now)
        assert sum(len(pull.ids) for seat, pull in pulls if seat == A) <= 2 * PULLS_IN_FLIGHT_PER_SEAT_MAX
        asked += len(asked_ids(pulls))
        told += lab.intake.take_unbelieved(now)
    assert told == [A]
    assert not lab.intake.believes(A)
    assert lab.intake.believes(B)
    assert lab.intake.waiting_for == 0
    assert asked < 60 * PULLS_IN_FLIGHT_PER_SEAT_MAX, "and then it is asked no more"
    lab.linked = [B]
    lab.digest(B, 1, 10**9, now=1000.0)
    assert 10**9 in asked_ids(lab.until(1000.3)), "who is honest is asked as ever"


def test_a_seat_that_denies_what_it_named_breaks_its_word_and_one_that_restarted_does_not() -> None:
    lab = Lab(A, B)
    name_ids(lab, A, 1, BROKEN_WORDS_MAX)
    name_ids(lab, B, 1, BROKEN_WORDS_MAX)
    lab.intake.subscribed(B, b"inc-two!", 0, 0.1)
    ids = tuple(eid(number) for number in range(1, BROKEN_WORDS_MAX + 1))
    for seat in (A, B):
        lab.intake.absent(seat, ids, 0.2)
        lab.intake.absent(seat, ids, 0.2)
    assert lab.intake.take_unbelieved(0.3) == [A]
    # Nobody holds them: the rest of the tries, then no more.
    pulls = [pull for second in range(120) for pull in lab.until(0.3 + second)]
    assert len(asked_ids(pulls)) <= DENIED_TRIES * BROKEN_WORDS_MAX
    assert lab.intake.waiting_for == 0


def test_a_pulse_s_number_shows_a_gap_and_it_is_pulled_by_number() -> None:
    lab = Lab(A)
    lab.intake.delivered(A, 1, eid(1), 0.0)
    lab.intake.delivered(A, 3, eid(3), 0.0)
    lab.intake.pulse(A, 5, 10.0)
    assert lab.until(10.3) == [(A, Pull(TAG, (2, 4, 5), ()))]
    for number in (2, 4, 5):
        lab.intake.delivered(A, number, eid(number), 0.0)
    assert lab.until(20.0) == []
    assert lab.intake.position(A) == (FIRST, 6)


def test_a_seat_that_claims_numbers_it_never_brings_is_asked_ever_more_rarely() -> None:
    lab = Lab(A)
    pulls = 0
    for tick in range(1200):
        lab.intake.pulse(A, 100_000, tick * 0.25)
        pulls += len(lab.until(tick * 0.25))
    assert 5 < pulls < 25


def test_a_restarted_seat_numbers_afresh() -> None:
    lab = Lab(A)
    lab.intake.delivered(A, 1, eid(1), 0.0)
    assert lab.intake.position(A) == (FIRST, 2)
    lab.intake.subscribed(A, b"inc-two!", 3, 1.0)
    assert lab.intake.position(A) == (b"inc-two!", 1)
    assert lab.until(1.3) == [(A, Pull(TAG, (1, 2, 3), ()))]


def test_a_first_envelope_that_overtakes_the_answer_counts() -> None:
    lab = Lab()
    lab.intake.expect(A)
    lab.intake.delivered(A, 1, eid(1), 0.0)
    lab.intake.subscribed(A, FIRST, 1, 0.1)
    lab.linked = [A]
    assert lab.until(5.0) == []


def test_a_seat_that_named_what_none_of_ours_did_is_found() -> None:
    lab = Lab(A, B, C)
    lab.digest(C, 1, 1, 2, audited=True)
    for number in (1, 2):
        lab.intake.delivered(C, number, eid(number), 0.0)
    lab.digest(B, 1, 1)
    own = {A: 0.0, B: 0.0}
    assert lab.intake.named_elsewhere(own, HIDDEN_GRACE_SECONDS - 0.1) == []
    assert lab.intake.named_elsewhere(own, HIDDEN_GRACE_SECONDS) == [C]
    assert lab.intake.named_elsewhere(own, 99.0) == []
    assert lab.counters.hidden_ids_found == 1  # one of ours had named the other


def test_what_one_of_ours_has_named_is_no_reason_to_look_again() -> None:
    lab = Lab(A, B, C)
    lab.digest(B, 1, 1)
    lab.digest(C, 1, 1, audited=True)
    assert not lab.agenda.is_set(("hidden", TAG))
    lab.digest(C, 2, 2, audited=True)
    assert lab.agenda.is_set(("hidden", TAG))


def test_seats_that_all_came_later_show_nothing() -> None:
    lab = Lab(A, B, C)
    lab.digest(C, 1, 1, audited=True)
    lab.intake.delivered(C, 1, eid(1), 0.0)
    assert lab.intake.named_elsewhere({A: 0.1, B: 0.1}, 12.0) == []


def test_a_seat_whose_numbers_never_come_does_not_hide_what_it_hides() -> None:
    lab = Lab(A, C)
    lab.digest(C, 1, 1, audited=True)
    lab.intake.delivered(C, 1, eid(1), 0.0)
    lab.intake.pulse(A, 5, 1.0)
    assert lab.intake.named_elsewhere({A: 0.0}, 12.0) == [C]


def test_an_id_under_which_no_envelope_came_shows_nothing() -> None:
    lab = Lab(A, C)
    lab.digest(C, 1, 1, audited=True)
    assert lab.intake.named_elsewhere({A: 0.0}, 12.0) == []


def test_a_number_given_to_two_envelopes_shows_and_one_repeated_does_not() -> None:
    lab = Lab(A, B, C)
    for seat in (A, B, C):
        lab.intake.subscribed(seat, FIRST, 0, 0.0)
    lab.digest(A, 1, 1, 2)
    lab.digest(A, 1, 1, 2)
    lab.intake.delivered(A, 2, eid(2), 0.0)
    assert not lab.intake.logs[A].has_equivocated
    lab.digest(B, 1, 1)
    lab.digest(B, 1, 2)
    assert lab.intake.logs[B].has_equivocated
    lab.digest(C, 1, 1, 1)
    assert lab.intake.logs[C].has_equivocated


def test_what_may_be_of_another_incarnation_is_no_equivocation() -> None:
    """A restarted seat's first frames may overtake its answer."""
    lab = Lab(A)
    lab.intake.subscribed(A, FIRST, 0, 0.0)
    lab.digest(A, 1, 1, 2)
    lab.intake.expect(A)
    lab.intake.delivered(A, 1, eid(7), 1.0)
    lab.intake.subscribed(A, SECOND, 1, 1.1)
    lab.intake.delivered(A, 1, eid(7), 1.2)
    assert not lab.intake.logs[A].has_equivocated


def test_numbers_beyond_what_a_tag_can_hold_are_malformed() -> None:
    lab = Lab(A)
    with pytest.raises(MalformedInput):
        lab.intake.delivered(A, TAG_IDS_MAX + 1, eid(1), 0.0)
    with pytest.raises(MalformedInput):
        lab.digest(A, TAG_IDS_MAX, 1, 2)
    lab.intake.pulse(A, 2**32 - 1, 0.0)
    assert lab.intake.logs[A].last_number == 0


def test_a_seat_cannot_fill_memory_by_renaming_its_numbers_or_by_restarting() -> None:
    lab = Lab(A)
    for index in range(0, 4 * UNSEEN_PER_SEAT_MAX, 512):
        lab.digest(A, 1, *range(index, index + 512))
    assert len(lab.intake.logs[A].ids) <= 512
    assert lab.intake.waiting_for <= UNSEEN_PER_SEAT_MAX
    for restart in range(3):
        lab.intake.subscribed(A, restart.to_bytes(8, "big"), 0, 0.0)
        for index in range(10**6, 10**6 + 4096, 512):
            lab.digest(A, 1, *range(index + restart * 10**6, index + restart * 10**6 + 512))
    assert lab.intake.waiting_for <= UNSEEN_PER_SEAT_MAX


def test_ids_beyond_the_bound_come_back_as_gaps() -> None:
    lab = Lab(A)
    total = UNSEEN_PER_SEAT_MAX + 512
    for first in range(0, total, 512):
        lab.digest(A, first + 1, *range(first, first + 512))
    for number in range(UNSEEN_PER_SEAT_MAX):
        lab.intake.delivered(A, number + 1, eid(number), 0.0)
    pulls = [pull for tick in range(20) for _, pull in lab.until(0.3 + tick)]
    assert {number for pull in pulls for number in pull.numbers} >= set(
        range(UNSEEN_PER_SEAT_MAX + 1, UNSEEN_PER_SEAT_MAX + 200)
    )


def test_what_was_no_good_may_come_again_from_another_seat() -> None:
    lab = Lab(A, B)
    assert lab.intake.delivered(A, 1, eid(1), 0.0)
    lab.intake.forget(eid(1))
    assert lab.intake.delivered(B, 1, eid(1), 0.0)


def test_frames_of_seats_never_asked_are_ignored() -> None:
    lab = Lab(A)
    lab.digest(B, 1, 1)
    lab.intake.pulse(B, 10, 0.0)
    assert lab.until(5.0) == []
