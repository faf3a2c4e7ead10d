"""Whom a node dials while it has no link: many of those that it remembers, and not one after the other."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from railgun.core.assembly import build_client
from railgun.core.client import ClientMachine
from railgun.core.effects import Connect, Effect, SetTimer
from railgun.core.events import ClockRead, DialFailed, PeerConnected, PeerDisconnected, TimerFired
from railgun.core.node_directory import FIRST_CHOICES, FIRST_DIALS_MAX
from railgun.crypto.signing import public_key_of
from railgun.limits import BOOTSTRAP_MAX
from railgun.network import NetworkKind, NetworkParameters
from railgun.types import Address, NodeKey, PeerKey, RelayContact
from tests.support.plain_rooms import SeededEntropy

NETWORK = NetworkParameters(name="first dials", kind=NetworkKind.LAN, epoch_seconds=600, overlap_seconds=120)


def contact(number: int) -> RelayContact:
    key = NodeKey(public_key_of(number.to_bytes(2, "big") * 16))
    return RelayContact(key, (Address("127.0.0.1", 9_000 + number),), bytes(32))


class Client:
    """A client that starts at 0 and notes whom it dials."""

    def __init__(self, known: Sequence[RelayContact], seed: int = 1) -> None:
        self.now = 0.0
        self.dialled: list[NodeKey] = []
        self._timer: SetTimer | None = None
        self.machine: ClientMachine = build_client(
            network=NETWORK, bootstrap=known, entropy=SeededEntropy(b"dials"), chooser=random.Random(seed)
        )
        self.take(self.machine.handle(ClockRead(1_800_000_000.0), 0.0))

    def take(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Connect):
                self.dialled.append(effect.contact.node_key)
            elif isinstance(effect, SetTimer):
                self._timer = effect

    def until(self, end: float) -> None:
        while self._timer is not None and self._timer.at <= end:
            timer, self._timer = self._timer, None
            self.now = max(self.now, timer.at)
            self.take(self.machine.handle(TimerFired(timer.generation), self.now))
        self.now = end

    def up(self, key: NodeKey) -> None:
        self.take(
            self.machine.handle(PeerConnected(PeerKey(key), PeerKey(bytes(32)), True, False, 0.0, 0.01), self.now)
        )


@pytest.mark.parametrize("seed", range(5))
def test_within_three_seconds_a_client_reaches_the_one_relay_that_lives(seed: int) -> None:
    known = [contact(number) for number in range(FIRST_DIALS_MAX)]
    client = Client(known, seed)
    client.until(3.0)
    assert sorted(client.dialled) == sorted(one.node_key for one in known)


def test_never_more_than_so_many_are_dialled_at_a_time() -> None:
    client = Client([contact(number) for number in range(BOOTSTRAP_MAX)])
    assert len(client.dialled) == 3
    client.until(4.9)
    assert len(client.dialled) == len(set(client.dialled)) == FIRST_DIALS_MAX


def test_those_seen_last_are_dialled_first() -> None:
    known = [contact(number) for number in range(BOOTSTRAP_MAX)]
    client = Client(known)
    assert set(client.dialled) <= {one.node_key for one in known[:FIRST_CHOICES]}


def test_once_a_link_stands_no_more_are_dialled_than_are_kept() -> None:
    client = Client([contact(number) for number in range(BOOTSTRAP_MAX)])
    client.until(2.0)
    dialled = len(client.dialled)
    client.up(client.dialled[-1])
    client.until(4.0)
    assert len(client.dialled) == dialled
    assert client.machine.connector.wanted_count == 3


def test_who_fails_makes_room_for_the_next() -> None:
    client = Client([contact(number) for number in range(40)])
    for _ in range(20):
        client.until(client.now + 0.5)
        for key in [PeerKey(key) for key in client.dialled if client.machine.connector.is_wanted(PeerKey(key))]:
            client.take(client.machine.handle(DialFailed(key, "LinkLost"), client.now))
    assert len(set(client.dialled)) == 40


def test_after_the_last_link_is_lost_it_begins_anew() -> None:
    client = Client([contact(number) for number in range(20)])
    client.up(client.dialled[0])
    client.until(2.0)
    dialled = len(client.dialled)
    client.take(client.machine.handle(PeerDisconnected(PeerKey(client.dialled[0]), "LinkLost"), client.now))
    client.until(4.0)
    assert len(client.dialled) >= dialled + 6
