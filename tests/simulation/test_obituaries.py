"""Relays that die, come back, or are cut off: who counts for the epochs to come, with the real relays."""

from __future__ import annotations

import random

import pytest

from railgun.core.assembly import build_relay
from railgun.core.relay import RelayMachine
from railgun.crypto.records import compose_obituary, sign_testimony
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.network_model import NetworkModel
from railgun.sim.virtual_node import MachineFactory
from railgun.sim.world import WALL_BASE_SECONDS, World
from railgun.types import NodeKey, PeerKey, RelayContact
from railgun.wire.directory_frames import AdsPush
from tests.support.ads import seed_of, signed_ad
from tests.support.plain_rooms import SeededEntropy

EPOCH_SECONDS = 60
NETWORK = NetworkParameters(name="obituaries", kind=NetworkKind.LAN, epoch_seconds=EPOCH_SECONDS, overlap_seconds=12)
TOLD_WITHIN_SECONDS = 60.0
"""Relays that serve no tag hear of a death from their transport, after 30 s; then come the silence and two dials."""


class Relays:
    """Relays that know of the first one at the start."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self.world = World(seed, NetworkModel(loss=0.01), encode_frames=True)
        ads = [signed_ad(index, 0).ad for index in range(count)]
        contacts = [RelayContact(ad.node_key, (ad.address,), ad.certificate_hash) for ad in ads]
        self.keys = [contact.node_key for contact in contacts]
        for index, contact in enumerate(contacts):
            self.world.add_node(
                f"relay-{index}", PeerKey(contact.node_key), True, self._factory(index, contact, contacts[0])
            )

    @staticmethod
    def _factory(index: int, contact: RelayContact, first: RelayContact) -> MachineFactory:
        return lambda persisted: build_relay(
            seed=seed_of(index),
            contact=contact,
            network=NETWORK,
            bootstrap=(first,),
            entropy=SeededEntropy(seed_of(index)),
            chooser=random.Random(index),
        )

    def machine(self, index: int) -> RelayMachine:
        machine = self.world.machine(f"relay-{index}")
        assert isinstance(machine, RelayMachine)
        return machine

    @property
    def wall(self) -> float:
        return WALL_BASE_SECONDS + self.world.now

    def counted(self, index: int, epochs_ahead: int = 2) -> set[NodeKey]:
        """Who counts, in one relay's eyes, for an epoch to come."""
        start = int(self.wall) + epochs_ahead * EPOCH_SECONDS
        return {ad.node_key for ad in self.machine(index).directory.directory.counted(start, self.wall)}

    def up(self) -> list[int]:
        return [index for index in range(len(self.keys)) if self.world.nodes[f"relay-{index}"].is_up]


@pytest.mark.parametrize("count", [3, 4, 9])
def test_a_relay_that_died_wins_no_seat_in_epochs_to_come(count: int) -> None:
    relays = Relays(count)
    relays.world.run(60.0)
    assert all(relays.counted(index) == set(relays.keys) for index in range(count))
    relays.world.crash(f"relay-{count - 1}")
    relays.world.run(60.0 + TOLD_WITHIN_SECONDS)
    for index in relays.up():
        assert relays.counted(index) == set(relays.keys[:-1]), index
        assert relays.counted(index, 0) == set(relays.keys), "an epoch that is open keeps its relays"


def test_a_relay_that_comes_back_counts_again() -> None:
    relays = Relays(6)
    relays.world.run(60.0)
    relays.world.crash("relay-5")
    relays.world.run(120.0)
    assert relays.keys[5] not in relays.counted(0)
    relays.world.restart("relay-5")
    relays.world.run(140.0)
    assert all(relays.counted(index) == set(relays.keys) for index in range(6))
    assert all(not relays.machine(index).directory.suspects for index in range(6))


def test_a_short_absence_is_no_death() -> None:
    relays = Relays(6)
    relays.world.run(60.0)
    relays.world.crash("relay-5")
    relays.world.run(65.0)
    relays.world.restart("relay-5")
    relays.world.run(140.0)
    assert all(relays.counted(index) == set(relays.keys) for index in range(6))
    for index in range(6):
        assert relays.machine(index).directory.directory.latest_obituary_dated(relays.keys[5]) is None


def test_halves_that_are_cut_apart_bury_each_other_and_rise_again() -> None:
    relays = Relays(8)
    relays.world.run(60.0)
    names = [f"relay-{index}" for index in range(8)]
    relays.world.partition([names[:4], names[4:]])
    relays.world.run(180.0)
    assert relays.counted(0) == set(relays.keys[:4])
    assert relays.counted(7) == set(relays.keys[4:])
    relays.world.heal()
    relays.world.run(300.0)
    assert all(relays.counted(index) == set(relays.keys) for index in range(8))


def test_who_is_cut_off_alone_buries_nobody() -> None:
    relays = Relays(6)
    relays.world.run(60.0)
    names = [f"relay-{index}" for index in range(6)]
    relays.world.partition([names[:5], names[5:]])
    relays.world.run(180.0)
    assert relays.counted(5) == set(relays.keys)
    assert relays.keys[5] not in relays.counted(0)


def test_two_liars_cannot_bury_a_relay_and_cost_it_one_dial_each_witness() -> None:
    relays = Relays(8)
    relays.world.run(60.0)
    victim, told = relays.keys[7], relays.machine(0)
    dated = int(relays.wall)
    for liar in (5, 6):
        lie = compose_obituary(victim, (sign_testimony(seed_of(liar), victim, dated),))
        told.directory.frame_received(
            PeerKey(relays.keys[liar]), AdsPush((lie.encoded,)), relays.wall, relays.world.now, []
        )
    relays.world.run(120.0)
    assert all(relays.counted(index) == set(relays.keys) for index in range(8))
