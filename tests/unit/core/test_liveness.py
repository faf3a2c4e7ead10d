"""Pulses out, silence counted (spec: links, liveness)."""

from __future__ import annotations

import pytest

from railgun.core.agenda import Agenda
from railgun.core.effects import Effect, Effects, SendPulse
from railgun.core.liveness import PULSES, Liveness
from railgun.types import PeerKey

SMALL, GREAT = PeerKey(bytes(32)), PeerKey(b"\xff" * 32)
USER = ("seat", b"tag")


class Run:
    """Runs one `Liveness` against a peer that answers until it dies; notes pulses and deaths."""

    def __init__(self, own_key: PeerKey | None, peer: PeerKey, interval_seconds: float = 1.0) -> None:
        self.agenda = Agenda()
        self.liveness = Liveness(self.agenda, own_key)
        self.peer = peer
        self.now = 0.1
        self.pulses: list[float] = []
        self.dead_at: float | None = None
        self.answers_until = 1e9
        self.drop_next_pulses = 0
        self.answer_due = False
        self.liveness.watch(peer, USER, interval_seconds, self.now)

    def until(self, end: float) -> None:
        """In steps of 10 ms; an answer takes one."""
        while self.now < end:
            if self.answer_due:
                self.liveness.heard(self.peer, self.now, answer=True)
                self.answer_due = False
            for name in self.agenda.take_due(self.now):
                if name == PULSES:
                    sent: Effects = []
                    self.liveness.pulses_due(self.now, sent)
                    for _ in sent:
                        self.pulses.append(self.now)
                        if self.drop_next_pulses:
                            self.drop_next_pulses -= 1
                        else:
                            self.answer_due = self.now < self.answers_until
                elif name[0] == "silence" and self.liveness.silence_due(self.peer, self.now):
                    self.dead_at = self.dead_at or self.now
            self.now += 0.01


def test_a_client_asks_every_second_and_an_answering_peer_lives() -> None:
    run = Run(None, SMALL)
    run.until(10.05)
    assert len(run.pulses) == 10
    assert run.dead_at is None


@pytest.mark.parametrize("interval", [1.0, 5.0])
def test_silence_counts_from_the_oldest_unanswered_pulse(interval: float) -> None:
    run = Run(None, SMALL, interval)
    run.answers_until = 2.0
    run.until(20.0)
    first_unanswered = next(at for at in run.pulses if at >= 2.0)
    assert run.dead_at == pytest.approx(first_unanswered + 3.0, abs=0.03)


def test_a_rarely_asked_peer_is_asked_again_before_a_lost_pulse_kills_it() -> None:
    run = Run(None, SMALL, 5.0)
    run.until(3.0)
    run.drop_next_pulses = 2
    run.until(30.0)
    assert run.dead_at is None


def test_a_rarely_asked_peer_is_asked_rarely() -> None:
    run = Run(None, SMALL, 5.0)
    run.until(50.05)
    assert len(run.pulses) <= 11


def test_of_two_relays_the_one_with_the_greater_key_asks_only_if_the_other_does_not() -> None:
    patient = Run(GREAT, SMALL)
    for second in range(20):
        patient.until(0.1 + second)
        patient.liveness.heard(SMALL, patient.now)
    assert len(patient.pulses) == 1
    patient.answers_until = 0.0
    patient.until(40.0)
    assert patient.dead_at is not None
    assert patient.dead_at < 19.2 + 1.5 + 3.1


def test_a_notice_makes_a_probe_and_half_a_second_of_silence_is_death() -> None:
    run = Run(None, SMALL, 5.0)
    run.until(2.0)
    run.answers_until = 0.0
    assert run.liveness.probe(SMALL, run.now)
    assert not run.liveness.probe(SMALL, run.now)
    run.until(4.0)
    assert run.dead_at == pytest.approx(2.5, abs=0.04)


def test_a_probed_peer_that_answers_lives_even_if_one_pulse_is_lost() -> None:
    run = Run(None, SMALL, 5.0)
    run.until(2.0)
    run.drop_next_pulses = 1
    assert run.liveness.probe(SMALL, run.now)
    run.until(20.0)
    assert run.dead_at is None


def test_notices_again_and_again_do_not_keep_a_dead_peer_alive() -> None:
    run = Run(None, SMALL, 1.0)
    run.answers_until = 2.0
    while run.now < 8.0:
        run.liveness.probe(SMALL, run.now)
        run.until(run.now + 0.1)
    assert run.dead_at is not None
    assert run.dead_at < 3.2


@pytest.mark.parametrize("interval", [1.0, 5.0])
def test_doubt_comes_long_before_death_and_ends_with_a_word(interval: float) -> None:
    run = Run(None, SMALL, interval)
    run.until(11.0)
    run.answers_until = run.now
    asked_at = run.pulses[-1] + interval
    run.until(asked_at + 0.55)
    assert not run.liveness.is_doubted(SMALL)
    run.until(asked_at + 0.7)
    assert run.liveness.is_doubted(SMALL)
    assert run.dead_at is None
    run.liveness.heard(SMALL, run.now)
    assert not run.liveness.is_doubted(SMALL)


def test_three_lost_pulses_in_a_row_make_no_doubt_and_are_asked_for_again_at_once() -> None:
    run = Run(None, SMALL)
    run.until(4.9)
    before = len(run.pulses)
    run.drop_next_pulses = 3
    while run.now < 7.0:
        run.until(run.now + 0.02)
        assert not run.liveness.is_doubted(SMALL)
    # The lost one, two early ones that are lost too, one that is answered; then the usual pace.
    assert [round(at - run.pulses[before], 1) for at in run.pulses[before : before + 5]] == [0.0, 0.2, 0.4, 0.5, 1.5]


def test_a_peer_that_answers_is_asked_no_more_often_for_the_looks_at_it() -> None:
    run = Run(None, SMALL)
    run.until(60.05)
    assert len(run.pulses) == 60


def test_a_slow_peer_is_in_doubt_only_after_four_of_its_own_round_trips() -> None:
    agenda = Agenda()
    liveness, now, owed = Liveness(agenda, None), 0.0, list[float]()
    liveness.watch(SMALL, USER, 1.0, now)
    doubted: list[float] = []
    while now < 60.0:
        while owed and owed[0] <= now:
            owed.pop(0)
            liveness.heard(SMALL, now, answer=True)
        for name in agenda.take_due(now):
            sent: Effects = []
            if name == PULSES:
                liveness.pulses_due(now, sent)
                owed += [now + 0.7] * len(sent)
            else:
                assert not liveness.silence_due(SMALL, now)
        if liveness.is_doubted(SMALL):
            doubted.append(now)
        now += 0.01
    assert all(at < 5.0 for at in doubted)  # until it is known


def test_a_hint_makes_doubt_come_sooner_and_no_death() -> None:
    run = Run(None, SMALL, 5.0)
    run.until(3.0)
    run.answers_until = 0.0
    run.liveness.hint(SMALL, run.now)
    run.until(3.35)
    assert not run.liveness.is_doubted(SMALL)
    run.until(3.5)
    assert run.liveness.is_doubted(SMALL)
    run.until(10.0)
    assert run.dead_at == pytest.approx(6.0, abs=0.05)


def test_a_machine_that_was_held_up_looks_once_more_before_it_doubts() -> None:
    run = Run(None, SMALL)
    run.until(4.9)
    run.drop_next_pulses = 1
    while run.drop_next_pulses:
        run.until(run.now + 0.02)
    run.now += 0.9  # its answers wait unread
    run.until(run.now + 0.05)
    assert not run.liveness.is_doubted(SMALL)
    run.until(run.now + 3.0)
    assert not run.liveness.is_doubted(SMALL)


def test_the_shortest_of_all_users_intervals_holds_and_nothing_is_left_behind() -> None:
    run = Run(None, SMALL, 5.0)
    run.liveness.watch(SMALL, ("tag", b"other"), 1.0, run.now)
    run.until(5.05)
    assert len(run.pulses) >= 5
    run.liveness.unwatch(SMALL, ("tag", b"other"))
    run.liveness.unwatch(SMALL, ("tag", b"other"))
    run.liveness.unwatch(SMALL, USER)
    assert (len(run.liveness), len(run.agenda)) == (0, 0)


@pytest.mark.parametrize("interval", [1.0, 5.0])
def test_a_machine_that_slept_accuses_nobody(interval: float) -> None:
    run = Run(None, SMALL, interval)
    run.until(10.0)
    run.drop_next_pulses = 1
    while run.drop_next_pulses:
        run.until(run.now + 0.02)
    run.now += 500.0
    run.until(run.now + 20.0)
    assert run.dead_at is None
    run.answers_until = run.now
    run.until(run.now + 20.0)
    assert run.dead_at is not None


def _pulses_of(own_key: PeerKey | None, peers: list[PeerKey], now: float) -> list[SendPulse]:
    liveness = Liveness(Agenda(), own_key)
    for peer in peers:
        liveness.watch(peer, USER, 1.0, now)
    out: Effects = []
    liveness.pulses_due(now, out)
    return [effect for effect in out if isinstance(effect, SendPulse)]


def test_a_relay_sends_all_its_peers_of_one_moment_one_pulse() -> None:
    sent = _pulses_of(SMALL, [PeerKey(bytes([number]) * 32) for number in (1, 2, 3)], 5.0)
    assert len(sent) == 3
    assert len({id(effect.pulse) for effect in sent}) == 1


def test_relays_that_compare_a_clients_pulses_find_no_common_number() -> None:
    liveness, out = Liveness(Agenda(), None), list[Effect]()
    first, second = PeerKey(b"1" * 32), PeerKey(b"2" * 32)
    liveness.watch(first, USER, 1.0, 0.0)
    for moment in range(5):
        liveness.pulses_due(float(moment), out)
    liveness.watch(second, USER, 1.0, 5.0)
    out.clear()
    liveness.pulses_due(5.0, out)
    numbers = {effect.peer: effect.pulse.sequence for effect in out if isinstance(effect, SendPulse)}
    assert numbers == {first: 6, second: 1}


def test_one_that_answers_spares_nobody_else_the_look() -> None:
    """Both are asked at one moment; the look at who has not answered is spared once all have, and not before."""
    agenda = Agenda()
    out: Effects = []
    liveness = Liveness(agenda, None)
    for peer in (SMALL, GREAT):
        liveness.watch(peer, USER, 5.0, 0.0)
    assert agenda.take_due(0.0) == [PULSES]
    liveness.pulses_due(0.0, out)
    assert [effect.peer for effect in out if isinstance(effect, SendPulse)] == [SMALL, GREAT]
    look_at = agenda.beat_at
    assert look_at == pytest.approx(0.25)
    liveness.heard(SMALL, 0.05, answer=True)
    assert agenda.beat_at == look_at
    out.clear()
    assert agenda.take_due(look_at) == [PULSES]
    liveness.pulses_due(look_at, out)
    assert [effect.peer for effect in out if isinstance(effect, SendPulse)] == [GREAT]
    liveness.heard(GREAT, 0.3, answer=True)
    out.clear()
    while agenda.beat_at < 4.5:
        now = agenda.beat_at
        agenda.take_due(now)
        liveness.pulses_due(now, out)
    assert out == []


def test_a_look_at_whoever_was_forgotten_takes_nothing_from_who_came_in_its_place() -> None:
    agenda = Agenda()
    out: Effects = []
    liveness = Liveness(agenda, None)
    for peer in (SMALL, GREAT):
        liveness.watch(peer, USER, 5.0, 0.0)
    agenda.take_due(0.0)
    liveness.pulses_due(0.0, out)
    liveness.forget(SMALL)
    liveness.watch(SMALL, USER, 5.0, 0.1)
    out.clear()
    while agenda.beat_at < 0.7:
        now = agenda.beat_at
        agenda.take_due(now)
        liveness.pulses_due(now, out)
    asked = [effect.peer for effect in out if isinstance(effect, SendPulse)]
    assert asked.count(SMALL) >= 2, "asked as anybody new is, and again when it did not answer"
