"""Seats in doubt: others serve beside them, long before anyone is found dead (spec: delivery, doubts)."""

from __future__ import annotations

from railgun.core.effects import Disconnect, Effect, SendFrame
from railgun.errors import RefusalCode
from railgun.types import NodeKey, PeerKey
from railgun.wire.frames import Publish, Refused, SeatDown, Subscribe, SubscriptionMode, Unsubscribe
from tests.support.client_lab import ClientLab, sent
from tests.support.relay_lab import frames_to

PRIMARY, SECONDARY = SubscriptionMode.PRIMARY, SubscriptionMode.SECONDARY
SETTLED_AT = 10.0
"""The next pulse to the primary leaves a second later."""


def attached_lab(linked: int = 5, **changes: int) -> ClientLab:
    """Attached, with links to the first ``linked`` ranks."""
    lab = ClientLab(**({"relays": 8, "committee_size": 5} | changes))
    lab.attach()
    for key in lab.ranked[2:linked]:
        lab.connect(key)
    lab.until(SETTLED_AT)
    return lab


def run(lab: ClientLab, until: float, silent: list[NodeKey]) -> list[Effect]:
    """In small steps; every seat that is not silent acknowledges."""
    effects: list[Effect] = []
    while lab.now < until:
        fresh = lab.until(min(until, lab.now + 0.05), silent=silent)
        effects += fresh
        for key in lab.ranked:
            if key not in silent:
                effects += lab.accept(key, fresh)
    return effects


def asked(effects: list[Effect]) -> list[tuple[NodeKey, SubscriptionMode]]:
    return [
        (NodeKey(peer), effect.frame.mode)
        for effect in effects
        if isinstance(effect, SendFrame) and isinstance(effect.frame, Subscribe)
        for peer in effect.peers
        if effect.frame.mode is not SubscriptionMode.AUDIT
    ]


def test_a_silent_primary_has_another_seat_beside_it_and_the_living_one_delivers_at_once() -> None:
    lab = attached_lab()
    primary, secondary, third, fourth = lab.ranked[:4]
    effects = run(lab, SETTLED_AT + 1.8, [primary])
    assert set(asked(effects)) == {(secondary, PRIMARY), (third, SECONDARY), (fourth, SECONDARY)}
    assert lab.tag.attached[0] == secondary
    assert set(lab.tag.attached[1:3]) == {third, fourth}
    assert lab.tag.attached[3] == primary
    assert not [effect for effect in effects if isinstance(effect, Disconnect)]


def test_with_both_seats_silent_two_others_serve_a_second_after_the_next_pulse() -> None:
    lab = attached_lab()
    primary, secondary, *others = lab.ranked[:5]
    run(lab, SETTLED_AT + 2.1, [primary, secondary])
    assert set(lab.tag.attached[:3]) == set(others)
    assert set(lab.tag.attached[3:]) == {primary, secondary}


def test_a_hedge_that_is_silent_too_is_passed_over() -> None:
    lab = attached_lab()
    silent = lab.ranked[:3]
    run(lab, SETTLED_AT + 2.6, silent)
    assert set(lab.tag.attached[:2]) == set(lab.ranked[3:5])


def test_standbys_hedge_where_no_other_seat_lives() -> None:
    lab = attached_lab(linked=7, committee_size=3)
    run(lab, SETTLED_AT + 2.6, lab.ranked[:3])
    assert set(lab.tag.attached[:2]) == set(lab.ranked[3:5])


def test_hedges_go_when_the_doubt_is_over_and_all_is_as_before() -> None:
    lab = attached_lab()
    primary, secondary, third = lab.ranked[:3]
    run(lab, SETTLED_AT + 1.8, [primary])
    lab.machine.liveness.heard(PeerKey(primary), lab.now)
    effects = run(lab, lab.now + 12.0, [])
    assert third in sent(effects, Unsubscribe)
    assert lab.tag.attached == [primary, secondary]
    assert asked(effects) == [(secondary, SECONDARY)]
    assert run(lab, lab.now + 60.0, []) is not None
    assert lab.tag.attached == [primary, secondary]


def test_what_is_said_in_doubt_goes_to_the_seats_beyond_it() -> None:
    lab = attached_lab()
    primary, secondary, *others = lab.ranked[:5]
    run(lab, SETTLED_AT + 1.8, [primary])
    first, second = sent(lab.say(1), Publish)
    assert first == secondary
    assert second in others


def test_what_only_silent_seats_were_given_goes_to_the_hedges_as_soon_as_they_stand() -> None:
    lab = attached_lab()
    primary, secondary, *others = lab.ranked[:5]
    assert sent(lab.say(1), Publish) == [primary, secondary]
    effects = run(lab, SETTLED_AT + 2.1, [primary, secondary])
    assert len(set(sent(effects, Publish)) & set(others)) >= 2


def test_a_word_of_doubt_makes_a_client_look_and_take_another_seat_but_leave_none() -> None:
    lab = attached_lab()
    primary, secondary, third, fourth = lab.ranked[:4]
    lab.frame(primary, SeatDown(lab.tag.tag, secondary, False))
    effects = run(lab, SETTLED_AT + 0.6, [secondary])
    assert asked(effects) == [(third, SECONDARY), (fourth, SECONDARY)]
    assert set(lab.tag.attached) == {primary, secondary, third, fourth}
    effects = run(lab, SETTLED_AT + 2.5, [secondary])
    assert not [effect for effect in effects if isinstance(effect, Disconnect)]


def test_a_false_word_of_doubt_changes_nothing() -> None:
    lab = attached_lab()
    primary, secondary = lab.ranked[:2]
    for _ in range(20):
        lab.frame(primary, SeatDown(lab.tag.tag, secondary, False))
        assert asked(run(lab, lab.now + 0.5, [])) == []
    assert lab.tag.attached == [primary, secondary]


def test_a_seat_that_is_not_linked_in_time_has_another_taken_beside_it() -> None:
    lab = attached_lab(linked=2)
    primary, secondary, third, *others = lab.ranked
    lab.lose(primary)
    run(lab, SETTLED_AT + 1.2, [])  # the dial to the third goes on and on
    for other in others:
        lab.accept(other, lab.connect(other))
    assert len(lab.tag.attached) >= 2
    assert lab.tag.attached[0] == secondary
    assert third not in lab.tag.attached


def test_a_seat_that_says_it_leaves_is_left_once_another_stands() -> None:
    lab = attached_lab(linked=3)
    primary, secondary, third = lab.ranked[:3]
    effects = lab.frame(primary, SeatDown(lab.tag.tag, primary, False))
    assert sent(effects, Unsubscribe) == []
    assert primary in lab.tag.attached
    assert set(asked(effects)) == {(secondary, PRIMARY), (third, SECONDARY)}
    effects = lab.accept(secondary, effects) + lab.accept(third, effects)
    assert sent(effects, Unsubscribe) == [primary]
    assert lab.tag.attached == [secondary, third]
    # Started again, it serves as before.
    lab.lose(primary)
    again = lab.connect(primary)
    assert [mode for key, mode in asked(again) if key == primary] == [PRIMARY]


def test_a_seat_that_refuses_because_it_leaves_is_passed_over() -> None:
    lab = ClientLab(relays=8, committee_size=5)
    primary, secondary, third = lab.ranked[:3]
    lab.connect(third)
    lab.accept(secondary, lab.connect(secondary))
    lab.connect(primary)
    effects = lab.frame(primary, Refused(RefusalCode.BUSY, lab.tag.tag, None, 10_000))
    assert frames_to(effects, third, Subscribe)
