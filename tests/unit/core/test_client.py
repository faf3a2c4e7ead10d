"""A client's half of a message's way: attaching, failing over, rotating, receiving (spec: message way)."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from railgun.core.effects import Disconnect, Effect
from railgun.core.notifications import ClockCorrected, CommitteeJoined, EpochOpened, NoCommittee, NotSent
from railgun.core.room_port import RoomOutcome
from railgun.crypto.epoch import EpochKeys
from railgun.crypto.sealing import open_parsed, seal_envelope
from railgun.errors import RefusalCode
from railgun.limits import BROKEN_WORDS_MAX, PENDING_SENDS_MAX
from railgun.types import EnvelopeId, EnvelopeKind, NodeKey, SizeClass
from railgun.wire.envelope import NO_HINT, parse_envelope
from railgun.wire.frames import (
    Deliver,
    Digest,
    Publish,
    Pull,
    Refused,
    SeatDown,
    Subscribe,
    SubscriptionMode,
    Unsubscribe,
)
from tests.support.client_lab import WALL, ClientLab, sent, told
from tests.support.plain_rooms import PlainDelivered, PlainSent
from tests.support.relay_lab import NETWORK, frames_to, id_of, penalties, seal

PRIMARY, SECONDARY, AUDIT = SubscriptionMode.PRIMARY, SubscriptionMode.SECONDARY, SubscriptionMode.AUDIT


def envelope(lab: ClientLab, number: int) -> bytes:
    return seal(lab.tag.keys, number)


def modes(effects: list, key: NodeKey) -> list[SubscriptionMode]:
    return [frame.mode for frame in frames_to(effects, key, Subscribe)]


def test_a_client_attaches_to_the_first_two_seats_of_its_own_ranking() -> None:
    lab = ClientLab()
    primary, secondary, third = lab.ranked[:3]
    assert modes(lab.connect(secondary), secondary) == [SECONDARY]
    assert modes(lab.connect(primary), primary) == [PRIMARY]
    assert modes(lab.connect(third), third) == []
    lab.acknowledge(secondary, SECONDARY)
    effects = lab.acknowledge(primary, PRIMARY)
    assert lab.tag.attached == [primary, secondary]
    assert [item.seats for item in told(effects) if isinstance(item, CommitteeJoined)] == [(primary, secondary)]


def test_a_subscription_that_is_not_answered_is_repeated_ever_more_rarely() -> None:
    lab = ClientLab()
    primary = lab.ranked[0]
    lab.connect(primary)
    assert len(modes(lab.until(1.1), primary)) == 1
    assert len(modes(lab.until(20.0), primary)) <= 4


def test_what_a_primary_delivers_is_opened_once() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    data = envelope(lab, 7)
    assert told(lab.frame(primary, Deliver(1, data))) == [PlainDelivered(7)]
    assert told(lab.frame(primary, Deliver(1, data))) == []
    assert told(lab.frame(secondary, Deliver(1, data))) == []


def test_what_only_the_secondary_names_is_pulled_from_it() -> None:
    lab = ClientLab()
    _, secondary = lab.attach()
    data = envelope(lab, 7)
    lab.frame(secondary, Digest(lab.tag.tag, 1, (id_of(data),)))
    effects = lab.until(lab.now + 0.31)
    assert frames_to(effects, secondary, Pull) == [Pull(lab.tag.tag, (), (id_of(data),))]
    assert told(lab.frame(secondary, Deliver(1, data))) == [PlainDelivered(7)]


def test_a_seat_that_does_not_hold_an_id_is_not_asked_for_it_again() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    item = id_of(envelope(lab, 7))
    for seat in (primary, secondary):
        lab.frame(seat, Digest(lab.tag.tag, 1, (item,)))
    lab.frame(primary, Refused(RefusalCode.NOT_HELD, lab.tag.tag, (item,), None))
    assert set(sent(lab.until(lab.now + 3.0), Pull)) == {secondary}


def test_a_primary_whose_ids_never_come_is_penalised_and_its_place_is_taken() -> None:
    lab = ClientLab(committee_size=5)
    primary, secondary = lab.attach()
    third = lab.ranked[2]
    ids = tuple(EnvelopeId(number.to_bytes(16, "big")) for number in range(BROKEN_WORDS_MAX))
    lab.frame(primary, Digest(lab.tag.tag, 1, ids))
    effects = lab.until(60.0)
    assert [effect.peer for effect in penalties(effects)] == [primary]
    lab.accept(secondary, effects)
    lab.accept(third, lab.connect(third))
    lab.accept(secondary, lab.until(70.0))
    assert lab.tag.attached == [secondary, third]
    lab.acknowledge(primary, PRIMARY)
    lab.until(120.0)
    assert lab.tag.attached == [secondary, third], "an answer nobody asked for does not bring it back"


def test_a_send_goes_to_both_entries_and_resolves_at_a_majority() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    effects = lab.say(5)
    assert sent(effects, Publish) == [primary, secondary]
    (frame,) = frames_to(effects, primary, Publish)
    item = id_of(frame.envelope)
    assert told(lab.receipt(primary, item)) == []
    assert told(lab.receipt(secondary, item)) == [PlainSent(5, 2, 3)]
    assert told(lab.receipt(lab.ranked[2], item)) == []


def test_what_is_said_before_a_seat_is_attached_leaves_with_the_first() -> None:
    lab = ClientLab()
    assert sent(lab.say(5), Publish) == []
    primary = lab.ranked[0]
    lab.connect(primary)
    assert sent(lab.acknowledge(primary, PRIMARY), Publish) == [primary]


def test_a_dead_primary_s_place_is_taken_by_the_next_in_rank_and_given_back_when_it_returns() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    third = lab.ranked[2]
    effects = lab.lose(primary)
    assert modes(effects, secondary) == [PRIMARY]
    assert lab.tag.attached == [secondary], "it serves on while it changes"
    lab.acknowledge(secondary, PRIMARY)
    assert modes(lab.connect(third), third) == [SECONDARY]
    lab.acknowledge(third, SECONDARY)
    assert lab.tag.attached == [secondary, third]
    assert lab.machine.connector.is_wanted(primary), "it is tried again"  # type: ignore[arg-type]
    effects = lab.connect(primary)
    assert modes(effects, primary) == [PRIMARY]
    assert modes(effects, secondary) == [], "never without a primary"
    effects = lab.acknowledge(primary, PRIMARY)
    assert modes(effects, secondary) == [SECONDARY]
    assert sent(effects, Unsubscribe) == []
    effects = lab.acknowledge(secondary, SECONDARY)
    assert sent(effects, Unsubscribe) == [third]
    assert lab.tag.attached == [primary, secondary]


def test_silence_of_three_seconds_is_death_and_the_next_is_at_hand_before() -> None:
    lab = ClientLab()
    primary, _ = lab.attach()
    third = lab.ranked[2]
    lab.until(10.0)
    effects = lab.until(13.9, silent=[primary])
    assert [effect.peer for effect in effects if isinstance(effect, Disconnect)] in ([], [primary])
    assert lab.machine.connector.is_wanted(third)  # type: ignore[arg-type]
    effects += lab.until(14.3, silent=[primary])
    assert [effect.peer for effect in effects if isinstance(effect, Disconnect)] == [primary]


def test_a_notice_of_death_makes_a_client_ask_and_it_leaves_nobody_that_answers() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    lab.until(10.0)
    lab.frame(secondary, SeatDown(lab.tag.tag, primary, True))
    effects = lab.until(12.0)
    assert [effect for effect in effects if isinstance(effect, Disconnect)] == []
    lab.frame(secondary, SeatDown(lab.tag.tag, primary, True))
    effects = lab.until(12.7, silent=[primary])
    assert [effect.peer for effect in effects if isinstance(effect, Disconnect)] == [primary]


def test_with_all_seats_dead_standbys_serve_and_with_all_relays_dead_the_application_hears_so() -> None:
    lab = ClientLab(relays=5)
    for key in lab.ranked[:3]:
        lab.fail(key)
    standby = lab.ranked[3]
    assert modes(lab.connect(standby), standby) == [PRIMARY]
    lab.acknowledge(standby, PRIMARY)
    assert lab.tag.attached == [standby]
    effects = [*lab.fail(lab.ranked[4]), *lab.lose(standby)]
    assert [type(item) for item in told(effects)].count(NoCommittee) == 1


@pytest.mark.parametrize("code", [RefusalCode.NOT_A_SEAT, RefusalCode.BUSY, RefusalCode.QUOTA_EXCEEDED])
def test_a_seat_that_refuses_is_passed_over_for_a_while(code: RefusalCode) -> None:
    lab = ClientLab()
    primary, secondary = lab.ranked[:2]
    lab.connect(primary)
    lab.accept(secondary, lab.connect(secondary))
    effects = lab.frame(primary, Refused(code, lab.tag.tag, None, 20_000))
    assert modes(effects, secondary) == [PRIMARY]
    lab.acknowledge(secondary, PRIMARY)
    assert modes(lab.until(19.0), primary) == []
    assert modes(lab.until(21.0), primary) == [PRIMARY]


def test_a_refusing_seat_that_dies_meanwhile_keeps_nobody_busy() -> None:
    lab = ClientLab()
    primary = lab.ranked[0]
    lab.connect(primary)
    lab.frame(primary, Refused(RefusalCode.BUSY, lab.tag.tag, None, 2_000))
    lab.lose(primary)
    fired = 0
    while lab.now < 5.0 and fired < 200:
        fired += 1
        lab.until(min(5.0, max(lab.now, lab._timer.at) + 1e-4))
    assert fired < 100


def test_a_seat_that_forgot_the_tag_is_shown_it_again_at_once() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    (frame,) = frames_to(lab.say(1), primary, Publish)
    effects = lab.frame(primary, Refused(RefusalCode.UNKNOWN_TAG, lab.tag.tag, (id_of(frame.envelope),), None))
    assert modes(effects, primary) == [PRIMARY]
    assert sent(lab.acknowledge(primary, PRIMARY), Publish) == [primary]
    assert lab.tag.attached == [primary, secondary]


def test_what_came_too_late_is_sealed_again_in_the_open_epoch() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    lab.until(399.0)
    over = lab.tag
    (frame,) = frames_to(lab.say(1), primary, Publish)
    lab.until(400.5)
    assert lab.tag is not over
    refused = Refused(RefusalCode.TOO_LATE, over.tag, (id_of(frame.envelope),), None)
    lab.frame(primary, refused)
    assert lab.machine.counters.resealed == 1
    assert (len(over.publisher), len(lab.tag.publisher)) == (0, 1)
    lab.frame(secondary, refused)
    assert lab.machine.counters.resealed == 1


def test_a_seat_that_calls_an_open_epoch_over_does_not_set_its_client_going() -> None:
    lab = ClientLab()
    primary, secondary = lab.attach()
    (frame,) = frames_to(lab.say(1), primary, Publish)
    effects = lab.frame(primary, Refused(RefusalCode.TOO_LATE, lab.tag.tag, (id_of(frame.envelope),), None))
    assert sent(effects, Publish) == []
    assert lab.machine.counters.resealed == 0
    again = lab.until(1.5)
    assert [item.envelope for item in frames_to(again, secondary, Publish)] == [frame.envelope]


def test_garbage_of_a_seat_is_penalised_and_a_member_s_garbage_is_not() -> None:
    lab = ClientLab()
    primary, _ = lab.attach()
    good = envelope(lab, 7)
    altered = good[:100] + bytes([good[100] ^ 1]) + good[101:]
    (penalty,) = penalties(lab.frame(primary, Deliver(1, altered)))
    assert penalty.peer == primary
    keys = lab.tag.keys
    wrong = EpochKeys(keys.start, keys.generation, keys.tag, bytes(32), keys.signing_key)
    by_member = seal_envelope(wrong, EnvelopeKind.SEALED, NO_HINT, b"x", SizeClass.SMALL, bytes(12))
    assert penalties(lab.frame(primary, Deliver(2, by_member))) == []
    assert lab.machine.counters.unopenable == 2
    assert told(lab.frame(primary, Deliver(3, good))) == [PlainDelivered(7)]


def test_the_next_epoch_is_warmed_up_and_opened_and_the_last_one_closed() -> None:
    lab = ClientLab()
    lab.attach()
    first = lab.tag.tag
    boundary = 400.0
    lab.until(boundary - 121.0)
    assert len(lab.machine.tags) == 1
    lab.until(boundary - 59.0)
    assert len(lab.machine.tags) == 2
    assert lab.tag.tag == first
    effects = lab.until(boundary + 0.1)
    assert [type(item) for item in told(effects)].count(EpochOpened) == 1
    assert lab.tag.tag != first
    effects = lab.until(boundary + 180.1)
    assert set(sent(effects, Subscribe)), "last digests"
    lab.until(boundary + 183.0)
    assert lab.machine.tags.get(first) is None
    assert len(lab.machine.tags) == 1


def test_what_lacks_a_majority_when_the_epoch_is_over_is_sealed_again() -> None:
    lab = ClientLab()
    primary, _ = lab.attach()
    lab.until(395.0)
    (frame,) = frames_to(lab.say(3), primary, Publish)
    lab.until(459.0)
    assert lab.machine.counters.resealed == 0
    lab.until(461.0)
    assert lab.machine.counters.resealed == 1
    assert lab.tag.publisher._outgoing
    assert frame.envelope not in [item.envelope for item in lab.tag.publisher._outgoing.values()]


def test_what_was_to_leave_under_an_epoch_that_no_tag_serves_leaves_under_todays() -> None:
    """A member that starts with a wrong clock names keys of another epoch; what only asks is not sent late."""
    lab = ClientLab()
    primary, _ = lab.attach()
    past = lab.room._keys(lab.tag.keys.start - 3 * NETWORK.epoch_seconds)
    outcome = lab.room.say(7)
    outcome.requests = [replace(request, keys=past) for request in outcome.requests]
    question = replace(outcome.requests[0], body=struct.pack(">Q", 8), reference=None)
    outcome.requests.append(question)
    effects = lab.note(lab.machine.apply(lab.room, outcome, lab.now))
    assert not frames_to(effects, primary, Publish)
    said = frames_to(lab.note(lab.machine.apply(lab.room, RoomOutcome(plan_changed=True), lab.now)), primary, Publish)
    assert len(said) == 1
    assert open_parsed(lab.tag.keys, parse_envelope(said[0].envelope)).body == struct.pack(">Q", 7)
    assert not frames_to(lab.note(lab.machine.apply(lab.room, RoomOutcome(plan_changed=True), 0.0)), primary, Publish)


def test_a_clock_off_by_more_than_half_the_overlap_is_corrected_and_said() -> None:
    lab = ClientLab(wall=WALL + 100)
    effects = []
    for key in list(lab.seeds)[:3]:
        effects += lab.connect(key, offset=-100.0)
    corrected = [item for item in told(effects) if isinstance(item, ClockCorrected)]
    assert corrected == [ClockCorrected(-100.0, harmful=True)]
    assert lab.machine.wall(0.0) == WALL


def test_a_clock_off_by_little_is_corrected_in_silence() -> None:
    lab = ClientLab(wall=WALL + 10)
    effects = []
    for key in list(lab.seeds)[:3]:
        effects += lab.connect(key, offset=-10.0)
    assert [item for item in told(effects) if isinstance(item, ClockCorrected)] == []
    assert lab.machine.wall(0.0) == WALL
    assert NETWORK.overlap_seconds / 8 > 10


def test_sends_beyond_what_may_wait_are_refused_aloud() -> None:
    lab = ClientLab()
    effects = []
    for number in range(2 * PENDING_SENDS_MAX + 5):
        effects += lab.say(number)
    dropped = [item for item in told(effects) if isinstance(item, NotSent)]
    assert len(dropped) == 5


def test_leaving_a_room_leaves_nothing_behind() -> None:
    lab = ClientLab()
    baseline_wants = 3
    lab.attach()
    lab.say(1)
    lab.until(20.0)
    effects = lab.note(lab.machine.remove_room(lab.room.room_id))
    assert len(sent(effects, Unsubscribe)) == 2
    sizes = lab.machine.state_sizes()
    assert sizes["tags"] == 0
    assert lab.machine.connector.wanted_count <= baseline_wants
    assert len(lab.machine.liveness) == 0


def test_frames_for_relays_are_a_fault_and_unknown_tags_are_nothing() -> None:
    lab = ClientLab()
    primary, _ = lab.attach()
    assert penalties(lab.frame(primary, Publish(envelope(lab, 1), bytes(8), None)))
    assert lab.frame(primary, Digest(bytes(32), 1, ())) == []  # type: ignore[arg-type]


def test_the_last_digests_are_asked_of_every_seat_also_of_one_asked_just_now() -> None:
    lab = ClientLab()
    lab.attach()
    for seat in lab.ranked[2:3]:
        lab.connect(seat)
    tag, third = lab.tag, lab.ranked[2]
    contact = next(ad.contact() for ad in lab.committee.seats if ad.node_key == third)
    out: list[Effect] = []
    tag.visits.begin(contact, lab.now, out)
    assert modes(out, third) == [AUDIT]
    tag.visits.begin(contact, lab.now + 1.0, out)
    assert modes(out, third) == [AUDIT], "it has not had time to answer"
    tag.last_digests(lab.now + 1.1, out)
    assert {seat: modes(out, seat)[-1:] for seat in lab.ranked[:3]} == {key: [AUDIT] for key in lab.ranked[:3]}
    assert modes(out, third) == [AUDIT, AUDIT]


def test_visits_end_and_links_that_nobody_else_wants_are_let_go() -> None:
    lab = ClientLab()
    lab.attach()
    third = lab.ranked[2]
    lab.connect(third)
    contact = next(ad.contact() for ad in lab.committee.seats if ad.node_key == third)
    visits, lab.tag.is_closing = lab.tag.visits, True  # so that no audit begins another
    out: list[Effect] = []
    visits.begin(contact, lab.now, out)
    visits.begin(contact, lab.now + 1.5, out, direct=True)
    visits.end_due(lab.now + 2.1)
    assert visits.is_visited(third), "it was begun anew"
    lab.machine.agenda.arm(out)
    lab.note(out)
    lab.until(lab.now + 8.0)
    assert not visits.is_visited(third)
    assert not visits.take_direct(third)
