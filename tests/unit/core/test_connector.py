"""Wants, dials, retries."""

from __future__ import annotations

from railgun.core.agenda import Agenda
from railgun.core.connector import Connector
from railgun.core.effects import Connect, Effects
from railgun.core.events import PeerConnected
from railgun.limits import FAILED_PEERS_MAX, LINKS_MAX
from railgun.types import Address, NodeKey, PeerKey, RelayContact


def contact(index: int) -> RelayContact:
    return RelayContact(NodeKey(index.to_bytes(32, "big")), (Address("20.0.0.1", 9000),), bytes(32))


def key(index: int) -> PeerKey:
    return PeerKey(contact(index).node_key)


def up(index: int, *, is_relay: bool = True) -> PeerConnected:
    return PeerConnected(key(index), PeerKey(bytes(32)), is_relay, False, 0.0, 0.05)


class Lab:
    def __init__(self) -> None:
        self.agenda = Agenda()
        self.connector = Connector(self.agenda)
        self.out: Effects = []

    def want(self, user: str, index: int, now: float) -> bool:
        return self.connector.want(user, contact(index), now, self.out)

    def dials(self) -> int:
        count = sum(isinstance(effect, Connect) for effect in self.out)
        self.out.clear()
        return count

    def run(self, now: float) -> None:
        for name in self.agenda.take_due(now):
            self.connector.dial_due(name[1], now, self.out)


def test_many_users_share_one_dial_and_the_last_to_leave_ends_it() -> None:
    lab = Lab()
    lab.want("a", 1, 0.0)
    lab.want("b", 1, 0.0)
    assert lab.dials() == 1
    lab.connector.release("a", key(1))
    assert lab.connector.is_wanted(key(1))
    lab.connector.release("b", key(1))
    lab.connector.release("b", key(1))
    assert not lab.connector.is_wanted(key(1))
    assert len(lab.agenda) == 0


def waits_of(lab: Lab, now: float, count: int) -> list[float]:
    """How long after each failure relay 1 is dialled again."""
    lab.dials()
    waits = []
    for _ in range(count):
        lab.connector.lost(key(1), None, now)
        failed_at = now
        while not lab.dials():
            now += 0.25
            lab.run(now)
        waits.append(now - failed_at)
    return waits


def test_failed_dials_are_repeated_ever_more_rarely() -> None:
    lab = Lab()
    lab.connector.connected(up(2), 0.0)
    lab.want("a", 1, 0.0)
    assert waits_of(lab, 0.0, 8) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert lab.connector.is_failing(key(1), 100.0)
    lab.connector.connected(up(1), 100.0)
    assert not lab.connector.is_failing(key(1), 100.0)


def test_who_has_no_relay_at_all_tries_more_often_but_not_for_ever() -> None:
    lab = Lab()
    lab.connector.connected(up(2, is_relay=False), 0.0)
    lab.want("a", 1, 0.0)
    assert waits_of(lab, 0.0, 5) == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert waits_of(lab, 599.75, 2) == [3.0, 30.0]


def test_the_first_relay_that_is_there_again_has_the_others_tried_at_once() -> None:
    lab = Lab()
    for index in range(4):
        lab.want("a", index, 0.0)
    for index in range(3):
        lab.connector.lost(key(index), None, 1.0)
    lab.connector.lost(key(3), 20.0, 1.0)
    lab.run(1.5)
    for index in range(3):
        lab.connector.lost(key(index), None, 1.6)
    lab.dials()
    lab.connector.connected(up(0), 1.7)
    lab.run(1.7)
    assert lab.dials() == 2  # who refused wants to be left alone
    lab.connector.lost(key(1), None, 1.8)
    lab.connector.connected(up(2), 1.9)
    lab.run(1.9)
    assert lab.dials() == 0


def test_a_remote_s_wish_to_be_tried_later_is_kept() -> None:
    lab = Lab()
    lab.want("a", 1, 0.0)
    lab.connector.lost(key(1), 20.0, 0.0)
    lab.dials()
    lab.run(19.9)
    lab.want("b", 1, 19.9)
    assert lab.dials() == 0
    lab.run(20.0)
    assert lab.dials() == 1


def test_a_failure_is_remembered_for_a_while_after_nobody_wants_the_relay_any_more() -> None:
    lab = Lab()
    lab.want("a", 1, 0.0)
    assert lab.connector.lost(key(1), None, 0.0)
    lab.connector.release("a", key(1))
    assert lab.connector.is_failing(key(1), 29.0)
    assert not lab.connector.is_failing(key(1), 31.0)


def test_a_link_that_idled_is_no_failure_and_is_made_again_if_wanted() -> None:
    lab = Lab()
    lab.want("a", 1, 0.0)
    lab.connector.connected(up(1), 0.1)
    lab.dials()
    assert lab.connector.lost(key(1), None, 60.0, idle=True)
    assert not lab.connector.is_failing(key(1), 60.0)
    lab.run(60.0)
    assert lab.dials() == 1


def test_only_the_first_of_many_failures_is_news() -> None:
    lab = Lab()
    lab.want("a", 1, 0.0)
    assert [lab.connector.lost(key(1), None, at) for at in (0.0, 1.0, 2.0)] == [True, False, False]
    lab.connector.connected(up(1), 3.0)
    assert lab.connector.lost(key(1), None, 4.0)


def test_wants_and_memories_are_bounded_and_clients_are_not_remembered() -> None:
    lab = Lab()
    assert all(lab.want("a", index, 0.0) for index in range(LINKS_MAX))
    assert not lab.want("a", LINKS_MAX, 0.0)
    assert lab.want("b", 0, 0.0)
    for index in range(10_000, 10_000 + 2 * FAILED_PEERS_MAX):
        lab.connector.lost(key(index), None, 0.0)
    assert len(lab.connector._failed) == FAILED_PEERS_MAX
    lab.connector.connected(up(5_000, is_relay=False), 0.0)
    lab.connector.lost(key(5_000), None, 1.0)
    assert not lab.connector.is_failing(key(5_000), 1.0)


def test_a_dial_whose_answer_never_came_is_repeated() -> None:
    lab = Lab()
    lab.want("a", 1, 0.0)
    lab.dials()
    lab.run(7.9)
    assert lab.dials() == 0
    lab.run(8.1)
    assert lab.dials() == 1
