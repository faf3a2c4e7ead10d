"""One relay's part in an obituary, without links."""

from __future__ import annotations

import pytest

from railgun.core.agenda import Agenda
from railgun.core.connector import Connector
from railgun.core.directory import Directory
from railgun.core.effects import Effects
from railgun.core.events import PeerConnected
from railgun.core.obituaries import DEADLINE, Obituaries
from railgun.core.own_ad import OwnAd
from railgun.crypto.records import SignedObituary, compose_obituary, sign_testimony
from railgun.errors import MalformedInput, RefusalCode
from railgun.limits import OBITUARY_SUSPECTS_MAX
from railgun.types import Address, NodeKey, PeerKey
from tests.support.ads import LAN, seed_of, signed_ad

WALL = 1_800_000_000.0
RELAYS = 8
KEYS = [signed_ad(index, 0).node_key for index in range(RELAYS)]
DEAD = KEYS[7]


class Bench:
    """Relay 0 of eight; time is an argument, dials fail by hand."""

    def __init__(self, relays: int = RELAYS) -> None:
        self.directory = Directory(LAN)
        for index in range(relays):
            assert self.directory.insert(signed_ad(index, int(WALL) - 1_000).encoded, WALL) is not None
        self.agenda = Agenda()
        self.connector = Connector(self.agenda)
        own = OwnAd(seed_of(0), address=Address("20.0.0.1", 9000), certificate_hash=bytes(32))
        self.obituaries = Obituaries(self.directory, self.connector, self.agenda, own)
        self.out: Effects = []

    def link(self, key: NodeKey, now: float = 0.0) -> None:
        self.connector.connected(PeerConnected(PeerKey(key), PeerKey(KEYS[0]), True, False, 0.0, 0.01), now)

    def want_and_fail(self, key: NodeKey, now: float, times: int = 1, retry: float | None = None) -> None:
        contact = self.directory.contact(key)
        assert contact is not None
        self.connector.want("test", contact, now, self.out)
        for _ in range(times):
            self.connector.lost(PeerKey(key), retry, now)

    def due(self, now: float) -> tuple[list[SignedObituary], list[SignedObituary]]:
        outcome = self.obituaries.due(WALL + now, now, self.out)
        return outcome.pass_on, outcome.announce

    def look(self, now: float) -> None:
        self.obituaries.look(WALL + now, now, self.out)


def word(signer: int, dated: float = WALL, of: NodeKey = DEAD) -> SignedObituary:
    return compose_obituary(of, (sign_testimony(seed_of(signer), of, int(dated)),))


def test_silence_and_unanswered_dials_make_a_testimony_once() -> None:
    bench = Bench()
    bench.link(KEYS[1])
    bench.want_and_fail(DEAD, 0.0, times=2)
    bench.look(0.0)
    assert bench.due(29.0) == ([], [])
    (mine,), announced = bench.due(31.0)
    assert [item.signer for item in mine.obituary.testimonies] == [KEYS[0]]
    assert announced == []
    assert bench.due(60.0) == ([], [])
    assert bench.agenda.is_set(DEADLINE)


def test_one_unanswered_dial_is_not_enough() -> None:
    bench = Bench()
    bench.link(KEYS[1])
    bench.want_and_fail(DEAD, 0.0, times=1)
    bench.look(0.0)
    assert bench.due(40.0) == ([], [])


def test_who_refuses_is_not_dead() -> None:
    bench = Bench()
    bench.link(KEYS[1])
    bench.want_and_fail(DEAD, 0.0, times=5, retry=1.0)
    bench.look(0.0)
    assert bench.obituaries.suspects == ()


def test_who_reaches_nobody_accuses_nobody() -> None:
    bench = Bench()
    bench.want_and_fail(DEAD, 0.0, times=5)
    bench.look(0.0)
    assert bench.due(40.0) == ([], [])


def test_who_answers_is_let_go() -> None:
    bench = Bench()
    bench.link(KEYS[1])
    bench.want_and_fail(DEAD, 0.0, times=2)
    bench.look(0.0)
    bench.link(DEAD)
    assert bench.due(31.0) == ([], [])
    assert bench.obituaries.suspects == ()


def test_three_words_make_an_obituary_and_end_the_matter() -> None:
    bench = Bench()
    first = bench.obituaries.received(word(1).encoded, WALL, 0.0, bench.out)
    again = bench.obituaries.received(word(1).encoded, WALL, 0.0, bench.out)
    second = bench.obituaries.received(word(2, WALL + 3).encoded, WALL, 0.0, bench.out)
    third = bench.obituaries.received(word(3, WALL + 9).encoded, WALL, 0.0, bench.out)
    assert [len(outcome.pass_on) for outcome in (first, again, second, third)] == [1, 0, 1, 0]
    (made,) = third.announce
    assert made.obituary.dated == WALL + 3
    assert bench.directory.insert(made.encoded, WALL) is not None
    assert not bench.obituaries.received(word(4).encoded, WALL, 1.0, bench.out).pass_on


def test_a_word_that_a_corrected_clock_puts_into_the_future_spoils_no_obituary() -> None:
    bench = Bench()
    for early in (word(1, WALL + 60), word(2), word(3, WALL - 5)):
        wall = WALL if early.obituary.dated >= WALL else WALL - 5
        outcome = bench.obituaries.received(early.encoded, wall, 0.0, bench.out)
        assert not outcome.announce
    (made,) = bench.obituaries.received(word(4, WALL - 5).encoded, WALL - 5, 0.0, bench.out).announce
    assert [item.signer for item in made.obituary.testimonies] == sorted(KEYS[2:5])
    assert bench.directory.insert(made.encoded, WALL - 5) is not None


@pytest.mark.parametrize(
    ("signer", "dated"),
    [(RELAYS + 5, WALL), (1, WALL - 121), (1, WALL - 1_001), (1, WALL + 61)],
    ids=["a stranger's", "too old", "before the ad", "from the future"],
)
def test_words_that_do_not_count_are_passed_over(signer: int, dated: float) -> None:
    bench = Bench()
    outcome = bench.obituaries.received(word(signer, dated).encoded, WALL, 0.0, bench.out)
    assert (outcome.pass_on, outcome.announce) == ([], [])


def test_a_forged_word_is_refused() -> None:
    bench = Bench()
    forged = bytearray(word(1).encoded)
    forged[-1] ^= 1
    with pytest.raises(MalformedInput) as caught:
        bench.obituaries.received(bytes(forged), WALL, 0.0, bench.out)
    assert caught.value.code is RefusalCode.BAD_SIGNATURE


def test_words_on_oneself_are_not_carried() -> None:
    bench = Bench()
    outcome = bench.obituaries.received(word(1, of=KEYS[0]).encoded, WALL, 0.0, bench.out)
    assert (outcome.pass_on, outcome.announce) == ([], [])


def test_a_witness_looks_for_itself_and_not_again_at_once() -> None:
    bench = Bench(relays=5)  # all others are witnesses then
    dead = KEYS[4]
    bench.link(KEYS[1])
    bench.obituaries.received(word(1, of=dead).encoded, WALL, 0.0, bench.out)
    assert bench.obituaries.suspects == (dead,)
    bench.link(dead)
    bench.due(1.0)
    bench.connector.lost(PeerKey(dead), None, 2.0)
    bench.obituaries.received(word(2, of=dead).encoded, WALL, 30.0, bench.out)
    assert bench.obituaries.suspects == ()


def test_suspects_are_bounded() -> None:
    relays = OBITUARY_SUSPECTS_MAX + 10
    bench = Bench(relays=relays)
    for index in range(1, relays):
        bench.want_and_fail(signed_ad(index, 0).node_key, 0.0)
    bench.look(0.0)
    assert len(bench.obituaries.suspects) <= OBITUARY_SUSPECTS_MAX
