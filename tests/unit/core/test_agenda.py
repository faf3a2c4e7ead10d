"""Many deadlines behind one timer."""

from __future__ import annotations

import math

from railgun.core.agenda import BEAT, Agenda
from railgun.core.effects import Effects, SetTimer


def armed(agenda: Agenda) -> list[float]:
    out: Effects = []
    agenda.arm(out)
    return [effect.at for effect in out if isinstance(effect, SetTimer)]


def test_one_timer_stands_for_the_earliest_deadline() -> None:
    agenda = Agenda()
    agenda.set(("a",), 5.0)
    agenda.set(("b",), 3.0)
    assert armed(agenda) == [3.0]
    assert armed(agenda) == []
    agenda.set(("c",), 4.0)
    assert armed(agenda) == []
    agenda.set(("d",), 2.0)
    assert armed(agenda) == [2.0]


def test_due_names_come_earliest_first_and_once() -> None:
    agenda = Agenda()
    agenda.set(("late",), 2.0)
    agenda.set(("early",), 1.0)
    agenda.set(("later",), 9.0)
    assert agenda.take_due(2.0) == [("early",), ("late",)]
    assert agenda.take_due(2.0) == []
    assert len(agenda) == 1


def test_setting_again_replaces_and_cancelling_forgets() -> None:
    agenda = Agenda()
    agenda.set(("a",), 1.0)
    agenda.set(("a",), 5.0)
    agenda.set(("b",), 2.0)
    agenda.cancel(("b",))
    agenda.cancel(("never",))
    assert agenda.take_due(4.0) == []
    assert agenda.take_due(5.0) == [("a",)]


def test_set_earlier_never_postpones() -> None:
    agenda = Agenda()
    agenda.set_earlier(("a",), 5.0)
    agenda.set_earlier(("a",), 7.0)
    assert agenda.take_due(5.0) == [("a",)]
    agenda.set_earlier(("a",), 7.0)
    agenda.set_earlier(("a",), 6.0)
    assert agenda.take_due(6.0) == [("a",)]


def test_only_the_last_timer_asked_for_counts() -> None:
    agenda = Agenda()
    agenda.set(("a",), 5.0)
    out: Effects = []
    agenda.arm(out)
    agenda.set(("b",), 1.0)
    agenda.arm(out)
    first, second = (effect.generation for effect in out if isinstance(effect, SetTimer))
    assert agenda.take_fired(first, 9.0) == []
    assert agenda.take_fired(second, 9.0) == [("b",), ("a",)]


def test_after_a_timer_fired_the_next_deadline_is_armed_even_if_nothing_was_set() -> None:
    agenda = Agenda()
    agenda.set(("a",), 1.0)
    agenda.set(("b",), 2.0)
    assert armed(agenda) == [1.0]
    agenda.fired()
    assert agenda.take_due(1.0) == [("a",)]
    assert armed(agenda) == [2.0]


def test_what_has_slack_is_met_with_whatever_wakes_the_node_and_at_its_end_by_itself() -> None:
    agenda = Agenda()
    agenda.set(("patient",), 5.0, 2.0)
    assert armed(agenda) == [7.0]
    agenda.set(("strict",), 4.0)
    assert agenda.take_due(4.0) == [("strict",)]
    agenda.set(("strict",), 6.0)
    assert agenda.take_due(6.0) == [("strict",), ("patient",)]
    assert agenda.take_due(7.0) == []
    agenda.set(("patient",), 8.0, 2.0)
    agenda.set_earlier(("patient",), 9.0, 2.0)
    assert agenda.take_due(10.0) == [("patient",)]
    agenda.set(("patient",), 11.0, 2.0)
    agenda.cancel(("patient",))
    assert agenda.take_due(13.0) == []


def test_a_beat_that_is_put_off_does_not_wake() -> None:
    agenda = Agenda()
    agenda.set(("a",), 9.0)
    agenda.set_beat(1.0)
    assert armed(agenda) == [1.0]
    agenda.set_beat(5.0)
    assert armed(agenda) == [5.0]  # later than the standing timer, which nobody needs any more
    assert agenda.take_due(4.9) == []
    agenda.fired()
    assert agenda.take_due(5.0) == [BEAT]
    assert armed(agenda) == [9.0]


def test_a_timer_that_serves_another_deadline_stands_when_the_beat_is_put_off() -> None:
    agenda = Agenda()
    agenda.set_beat(2.0)
    agenda.set(("a",), 2.0)
    assert armed(agenda) == [2.0]
    agenda.set_beat(3.0)
    assert armed(agenda) == []
    agenda.fired()
    assert agenda.take_due(2.0) == [("a",)]
    assert armed(agenda) == [3.0]
    assert len(agenda) == 1


def test_a_beat_set_to_never_is_no_deadline() -> None:
    agenda = Agenda()
    agenda.set_beat(1.0)
    agenda.set_beat(math.inf)
    assert len(agenda) == 0
    assert armed(agenda) == []
