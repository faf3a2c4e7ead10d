"""Who takes part in a tag: seats, standbys for dead ones, and nobody else (spec: committee, message way)."""

from __future__ import annotations

from railgun.core.effects import Effect, SendPulse
from railgun.core.liveness import PULSES
from railgun.errors import RefusalCode
from railgun.limits import FILL_SECONDS
from railgun.types import PeerKey
from railgun.wire.frames import (
    Deliver,
    Digest,
    Publish,
    Refused,
    SeatDown,
    SeatExchange,
    SeatOpen,
    SeatPull,
    SeatPush,
    Subscribed,
    SubscriptionMode,
    Unsubscribe,
)
from tests.support.ads import signed_ad
from tests.support.relay_lab import START, WALL, RelayLab, frames_to, id_of, refusals, room_keys, seal


def test_a_seat_links_to_the_other_seats_and_tells_them_of_the_tag() -> None:
    lab = RelayLab(committee_size=3)
    lab.subscribe(lab.connect_client(0))
    assert set(lab.others) <= set(lab.seat.linked_for)
    assert all(lab.machine.connector.is_wanted(PeerKey(key)) for key in lab.others)
    opened = lab.connect_relay(lab.others[0])
    assert frames_to(opened, lab.others[0], SeatOpen) == [SeatOpen(lab.descriptor, lab.seats_hash, True)]


def test_a_seat_that_does_not_answer_is_told_again_ever_more_rarely() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    lab.connect_relay(lab.others[0])
    counts = [len(frames_to(lab.until(lab.now + 10.0), lab.others[0], SeatOpen)) for _ in range(3)]
    assert counts[0] > counts[1] >= counts[2] >= 1


def test_a_restarted_seat_fills_up_before_it_serves() -> None:
    lab = RelayLab(committee_size=3)
    envelopes = [seal(lab.keys, index) for index in range(3)]
    client = lab.connect_client(0)
    assert frames_to(lab.subscribe(client), client, Subscribed) == []
    effects = lab.open_with_all([id_of(envelope) for envelope in envelopes])
    assert frames_to(effects, client, Subscribed) == []
    effects = lab.until(lab.now + 0.2)
    pulled = [item for key in lab.others for frame in frames_to(effects, key, SeatPull) for item in frame.ids]
    assert sorted(pulled) == sorted(map(id_of, envelopes))
    for envelope in envelopes[:2]:
        assert frames_to(lab.frame(lab.others[0], SeatPush(envelope)), client, Subscribed) == []
    effects = lab.frame(lab.others[0], SeatPush(envelopes[2]))
    (subscribed,) = frames_to(effects, client, Subscribed)
    assert subscribed.last_number == 3
    assert [len(digest.ids) for digest in frames_to(effects, client, Digest)] == [3]
    assert frames_to(effects, client, Deliver) == []


def test_a_seat_whose_peers_stay_silent_serves_after_a_second() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    assert frames_to(lab.until(FILL_SECONDS - 0.01), client, Subscribed) == []
    assert frames_to(lab.until(FILL_SECONDS + 0.01), client, Subscribed)


def test_a_peer_that_claims_to_hold_what_it_never_brings_delays_a_seat_by_little() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    for key in lab.others:
        lab.connect_relay(key)
        lab.frame(key, SeatOpen(lab.descriptor, lab.seats_hash, True))
        lab.frame(key, SeatExchange(lab.keys.tag, (), False, 1_000_000, bytes(16)))
    assert frames_to(lab.until(FILL_SECONDS - 0.01), client, Subscribed) == []
    assert frames_to(lab.until(FILL_SECONDS + 0.01), client, Subscribed)


def test_publishes_are_taken_while_a_seat_fills_up() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    assert refusals(lab.publish(client, seal(lab.keys, 1))) == []
    assert len(lab.seat.store) == 1


def test_a_dead_seat_is_told_to_subscribers_and_the_next_standby_takes_part() -> None:
    lab = RelayLab(committee_size=3, relays=7)
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    standbys = lab.ranking[3:]
    assert set(standbys[:2]) <= set(lab.seat.linked_for), "the first two are kept warm"
    lab.connect_relay(standbys[0])
    dead = lab.others[0]
    effects = lab.lose(dead)
    assert frames_to(effects, client, SeatDown) == [SeatDown(lab.keys.tag, dead, True)]
    assert frames_to(effects, standbys[0], SeatOpen) == [SeatOpen(lab.descriptor, lab.seats_hash, True)]
    lab.frame(standbys[0], SeatOpen(lab.descriptor, lab.seats_hash, False))
    assert frames_to(lab.publish(client, seal(lab.keys, 1)), standbys[0], SeatPush)


def test_silence_is_told_to_subscribers_as_a_doubt_and_as_death() -> None:
    lab = RelayLab(committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    told: list[SeatDown] = []

    def until_told(count: int) -> None:
        while lab.now < 12.0 and len(told) < count:
            for name in lab.machine.agenda.take_due(lab.now):
                if name == PULSES or name[0] == "silence":
                    out: list[Effect] = []
                    lab.machine._due(name, lab.now, out)
                    told.extend(frames_to(out, client, SeatDown))
                    for effect in out:
                        if isinstance(effect, SendPulse) and effect.peer != lab.others[0]:
                            lab.machine.liveness.heard(effect.peer, lab.now, answer=True)
            lab.now += 0.05

    until_told(1)
    assert told == [SeatDown(lab.keys.tag, lab.others[0], False)]
    assert lab.now < 2.1
    until_told(2)
    assert told[1:] == [SeatDown(lab.keys.tag, lab.others[0], True)]
    assert lab.now < 5.0


def test_a_seat_that_returns_makes_its_stand_in_superfluous() -> None:
    lab = RelayLab(committee_size=3)
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    standby, dead = lab.ranking[3], lab.others[0]
    lab.connect_relay(standby)
    lab.lose(dead)
    lab.frame(standby, SeatOpen(lab.descriptor, lab.seats_hash, False))
    effects = lab.connect_relay(dead)
    assert [item.code for item in frames_to(effects, standby, Refused)] == [RefusalCode.IDLE]


def test_a_standby_that_a_seat_asks_in_takes_part_and_goes_when_it_is_told_so() -> None:
    lab = RelayLab(rank=4, committee_size=3)
    seat = lab.ranking[0]
    lab.connect_relay(seat)
    effects = lab.frame(seat, SeatOpen(lab.descriptor, lab.seats_hash, True))
    assert frames_to(effects, seat, SeatOpen)
    envelope = seal(lab.keys, 1)
    lab.frame(seat, SeatPush(envelope))
    effects = lab.frame(seat, Refused(RefusalCode.IDLE, lab.keys.tag, None, None))
    assert [item.code for item in frames_to(effects, seat, Refused)] == [RefusalCode.NOT_A_SEAT]
    assert lab.seat.exchange.others == ()
    assert len(lab.seat.store) == 1, "what it has receipted it keeps"


def test_a_relay_whose_directory_names_others_does_not_let_itself_be_made_a_seat() -> None:
    lab = RelayLab(rank=4, committee_size=3)
    seat = lab.ranking[0]
    lab.connect_relay(seat)
    effects = lab.frame(seat, SeatOpen(lab.descriptor, b"anotherv", True))
    assert refusals(effects) == ["NOT_A_SEAT"]
    assert lab.machine.seats == {}


def test_a_relay_of_no_rank_refuses() -> None:
    lab = RelayLab(relays=20, committee_size=3)
    unranked = next(key for key in lab.seeds if key not in lab.ranking)
    lab.own = lab.machine.node_key = lab.machine.tags.node_key = unranked
    client = lab.connect_client(0)
    assert refusals(lab.subscribe(client)) == ["NOT_A_SEAT"]


def test_a_standby_serves_a_client_and_forwards_to_the_seats_it_sees() -> None:
    lab = RelayLab(rank=4, committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client)
    assert set(lab.seat.linked_for) == set(lab.ranking[:3])
    lab.open_with_all(asked_in=False)
    effects = lab.publish(client, seal(lab.keys, 1))
    assert all(frames_to(effects, key, SeatPush) for key in lab.ranking[:3])


def test_a_standby_that_nobody_uses_any_more_says_so_and_closes_the_tag() -> None:
    lab = RelayLab(rank=4, committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all(asked_in=False)
    effects = lab.lose(client)
    for key in lab.ranking[:3]:
        assert [item.code for item in frames_to(effects, key, Refused)] == [RefusalCode.NOT_A_SEAT]
    assert lab.machine.seats == {}
    assert lab.machine.state_sizes()["wanted"] <= 4, "home links alone"
    assert lab.machine.state_sizes()["watched"] == 0


def test_an_audited_standby_keeps_no_tag_open() -> None:
    lab = RelayLab(rank=4, committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client, SubscriptionMode.AUDIT)
    lab.open_with_all(asked_in=False)
    lab.until(lab.now + 20.0)
    assert lab.machine.seats == {}


def test_whoever_leaves_is_announced_nothing_until_it_opens_again() -> None:
    lab = RelayLab(committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    other = lab.others[0]
    lab.frame(other, Refused(RefusalCode.NOT_A_SEAT, lab.keys.tag, None, None))
    effects = lab.publish(client, seal(lab.keys, 1))
    assert frames_to(effects, other, SeatPush) == []
    effects = lab.until(lab.now + 0.9)
    assert frames_to(effects, other, SeatExchange) == []
    lab.frame(other, SeatOpen(lab.descriptor, lab.seats_hash, True))
    assert [item.ids for item in frames_to(lab.until(lab.now + 0.1), other, SeatExchange)] == [
        (id_of(seal(lab.keys, 1)),)
    ]


def test_news_are_exchanged_within_a_second_and_silence_is_compared_rarely() -> None:
    lab = RelayLab(committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    lab.until(15.0)
    frames = frames_to(lab.until(35.0), lab.others[0], SeatExchange)
    assert 1 <= len(frames) <= 3
    lab.frame(lab.others[1], SeatPush(seal(lab.keys, 1)))
    (news,) = frames_to(lab.until(lab.now + 1.01), lab.others[0], SeatExchange)
    assert news.ids == (id_of(seal(lab.keys, 1)),)


def test_a_difference_that_nothing_explains_is_announced_again() -> None:
    lab = RelayLab(committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    lab.publish(client, seal(lab.keys, 1))
    lab.until(2.0)
    ids = []
    for _ in range(2):
        lab.tell(lab.others[0], [])
        ids += [
            item for frame in frames_to(lab.until(lab.now + 1.5), lab.others[0], SeatExchange) for item in frame.ids
        ]
    assert ids == [id_of(seal(lab.keys, 1))]


def test_clients_are_no_seats() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.subscribe(client)
    for frame in (SeatOpen(lab.descriptor, lab.seats_hash, True), SeatPush(seal(lab.keys, 1))):
        assert refusals(lab.frame(client, frame)) == ["NOT_A_SEAT"]


def test_a_flood_of_exchanges_is_made_to_wait() -> None:
    lab = RelayLab()
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    codes = []
    ids = tuple(id_of(seal(lab.keys, index)) for index in range(512))
    for _ in range(20_000):
        codes += refusals(lab.frame(lab.others[0], SeatExchange(lab.keys.tag, ids, False, 512, bytes(16))))
        if codes:
            break
    assert codes == ["RATE_LIMITED"]
    assert len(lab.seat.exchange.pulls) <= 2_048


def test_a_tag_is_forgotten_when_its_time_is_over_and_everything_with_it() -> None:
    lab = RelayLab(committee_size=3)
    client = lab.connect_client(0)
    before = lab.machine.state_sizes()
    lab.subscribe(client)
    lab.open_with_all()
    lab.publish(client, seal(lab.keys, 1))
    keep_until = START + 600 + 240 - WALL
    lab.until(keep_until - 1.0)
    assert lab.machine.state_sizes()["held_bytes"] == 256
    lab.until(keep_until + 1.0)
    after = lab.machine.state_sizes()
    assert (after["seats"], after["held_bytes"], after["watched"]) == (0, 0, 0)
    assert after["wanted"] <= before["wanted"]


def test_frames_for_unknown_tags_and_from_unknown_peers_do_nothing() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    assert refusals(lab.publish(client, seal(lab.keys, 1))) == ["UNKNOWN_TAG"]
    lab.lose(client)
    assert lab.frame(client, Publish(seal(lab.keys, 1), bytes(8), None)) == []


def test_a_seat_that_lost_its_memory_is_told_again_what_it_once_held() -> None:
    lab = RelayLab(committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    other, envelope = lab.others[0], seal(lab.keys, 1)
    lab.publish(client, envelope)
    lab.frame(other, lab.receipt_of(other, id_of(envelope)))
    lab.lose(other)
    lab.connect_relay(other)
    effects = lab.frame(other, SeatOpen(lab.descriptor, lab.seats_hash, True))
    effects += lab.until(lab.now + 0.01)
    assert [item.ids for item in frames_to(effects, other, SeatExchange)] == [(id_of(envelope),)]


def test_a_start_at_which_no_room_s_epoch_begins_is_refused_before_any_work() -> None:
    lab = RelayLab()
    client = lab.connect_client(0)
    lab.keys = room_keys(0, START + 1)
    effects = lab.subscribe(client)
    assert refusals(effects) == ["OUTSIDE_WINDOW"]
    assert not lab.machine.seats


def test_a_relay_that_leaves_has_its_subscribers_move_and_takes_none_any_more() -> None:
    lab = RelayLab(committee_size=3)
    client, late = lab.connect_client(0), lab.connect_client(1)
    lab.subscribe(client)
    lab.open_with_all()
    out: list[Effect] = []
    lab.machine.tags.leave(out)
    assert frames_to(out, client, SeatDown) == [SeatDown(lab.keys.tag, lab.machine.node_key, False)]
    assert lab.machine.tags.has_subscribers
    assert refusals(lab.subscribe(late)) == ["BUSY"]
    # Until they have moved they are served.
    assert frames_to(lab.publish(late, seal(lab.keys, 1)), client, Deliver)
    lab.frame(client, Unsubscribe(lab.keys.tag))
    assert not lab.machine.tags.has_subscribers


def test_whoever_opened_the_tag_and_left_is_watched_no_more() -> None:
    lab = RelayLab(committee_size=3)
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    watched = lab.machine.state_sizes()["watched"]
    stranger = lab.ranking[6]
    lab.connect_relay(stranger)
    lab.frame(stranger, SeatOpen(lab.descriptor, lab.seats_hash, True))
    assert lab.machine.state_sizes()["watched"] == watched + 1
    lab.frame(stranger, Refused(RefusalCode.NOT_A_SEAT, lab.keys.tag, None, None))
    assert lab.machine.state_sizes()["watched"] == watched


def test_a_former_seat_that_is_a_warm_standby_now_is_let_go_and_not_asked_in_again() -> None:
    lab = RelayLab(committee_size=3)
    lab.subscribe(lab.connect_client(0))
    lab.open_with_all()
    former = lab.ranking[2]
    index = 7
    effects: list[Effect] = []
    while former in lab.seat.seat_keys:
        lab.machine.directory.directory.insert(signed_ad(index, int(WALL) - 7200).encoded, WALL)
        effects = []
        lab.machine.tags.directory_changed(lab.now, effects)
        index += 1
    assert lab.seat.is_own
    assert former in [ad.node_key for ad in lab.seat.committee.standbys[:2]]
    assert [item.code for item in frames_to(effects, former, Refused)] == [RefusalCode.IDLE]
    lab.frame(former, Refused(RefusalCode.NOT_A_SEAT, lab.keys.tag, None, None))
    assert frames_to(lab.until(lab.now + 20.0), former, SeatOpen) == []


def test_of_two_seats_that_hold_the_same_one_tells_the_other_so() -> None:
    lab = RelayLab(committee_size=3)
    client = lab.connect_client(0)
    lab.subscribe(client)
    lab.open_with_all()
    envelope = seal(lab.keys, 1)
    lab.frame(lab.others[1], SeatPush(envelope))
    lab.tell(lab.others[0], [id_of(envelope)])
    told: list[Effect] = []
    for _ in range(4):
        told += lab.until(lab.now + 8.0)
        lab.tell(lab.others[0], [id_of(envelope)])
    assert frames_to(told, lab.others[0], SeatExchange) == []
    assert frames_to(told, lab.others[1], SeatExchange) != []
