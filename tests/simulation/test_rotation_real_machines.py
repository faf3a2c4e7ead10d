"""The rotation scenario with the real relay and client machines (rooms without people's keys)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from railgun.core.relay import RelayMachine
from railgun.network import NetworkKind, NetworkParameters
from railgun.sim.checkers import require, state_sizes
from railgun.sim.faults import Crash, Fault
from railgun.sim.network_model import NetworkModel
from railgun.sim.rotation import Rotation, RotationOptions, RotationResult
from railgun.sim.virtual_node import LinksAfterCrash
from tests.support.plain_rooms import plain_machines

QUICK_EPOCHS = NetworkParameters(name="quick", kind=NetworkKind.LAN, epoch_seconds=20, overlap_seconds=4)
MODEL = NetworkModel(loss=0.01, reorder=0.05, delay_min_seconds=0.005, delay_max_seconds=0.080)


def options(**changes: object) -> RotationOptions:
    values: dict[str, object] = {
        "peers": 12,
        "rooms": 2,
        "relays": 7,
        "hours": 90 / 3600,
        "messages_per_minute": 12,
        "network": QUICK_EPOCHS,
        "model": MODEL,
    }
    return RotationOptions(**(values | changes))  # type: ignore[arg-type]


def counted(rotation: Rotation, kind: type) -> Counter[str]:
    """The sums of all counters of one kind of machine."""
    total: Counter[str] = Counter()
    for _, machine in rotation.world.machines():
        if isinstance(machine, RelayMachine) is not (kind is RelayMachine):
            continue
        for name in machine.counters.__slots__:  # type: ignore[attr-defined]
            value = getattr(machine.counters, name)  # type: ignore[attr-defined]
            if isinstance(value, int):
                total[name] += value
    return total


def check_exactly_once(rotation: Rotation, result: RotationResult) -> None:
    require(rotation.ledger.check_nothing_is_delivered_twice())
    require(rotation.ledger.check_nothing_acknowledged_is_lost())
    assert (result.lost, result.duplicated) == (0, 0)
    assert rotation.ledger.acknowledged_count == rotation.ledger.sent_count


@pytest.fixture(scope="module")
def calm() -> tuple[Rotation, RotationResult]:
    """One run through the codecs, without faults but the network's."""
    rotation = Rotation(options(encode_frames=True), plain_machines())
    return rotation, rotation.run()


def test_every_message_arrives_exactly_once_over_many_rotations(calm: tuple[Rotation, RotationResult]) -> None:
    rotation, result = calm
    assert result.expected == 12 * 18 * 5
    assert result.rotations >= 8
    check_exactly_once(rotation, result)


def test_relays_that_no_committee_ranks_take_no_part_and_rooms_move_among_them() -> None:
    """A committee of five ranks twelve: of sixteen relays four are none of a tag's, others each epoch."""
    rotation = Rotation(options(relays=16, committee_size=5), plain_machines())
    result = rotation.run()
    check_exactly_once(rotation, result)
    opened = [
        machine.counters.tags_opened for _, machine in rotation.world.machines() if isinstance(machine, RelayMachine)
    ]
    assert 0 < min(opened) < max(opened), "each relay's turn comes, and none has them all"


def test_nothing_of_another_size_and_nothing_malformed_travels(calm: tuple[Rotation, RotationResult]) -> None:
    relays, clients = counted(calm[0], RelayMachine), counted(calm[0], object)
    assert relays["wrong_size_on_wire"] == 0
    assert relays["malformed_frames"] == clients["malformed_frames"] == 0
    assert clients["unopenable"] == 0
    assert clients["hidden_ids_found"] == 0
    assert all(not node.penalties for node in calm[0].world.nodes.values())


def test_a_body_crosses_between_seats_about_k_minus_two_times(calm: tuple[Rotation, RotationResult]) -> None:
    rotation, _ = calm
    relays, clients = counted(rotation, RelayMachine), counted(rotation, object)
    per_message = relays["pushes_to_seats"] / clients["published"]
    # A large envelope is pulled K - 1 times; some losses are made good twice.
    assert 3.0 <= per_message < 3.9
    assert relays["envelopes_stored"] == pytest.approx(5 * clients["published"], rel=0.1)


def test_few_envelopes_have_to_be_pulled(calm: tuple[Rotation, RotationResult]) -> None:
    clients = counted(calm[0], object)
    assert clients["pulled"] < 0.12 * clients["envelopes_received"]
    assert clients["audits"] > 0


def test_fan_out_is_spread_over_the_relays(calm: tuple[Rotation, RotationResult]) -> None:
    loads = [
        machine.counters.deliveries for _, machine in calm[0].world.machines() if isinstance(machine, RelayMachine)
    ]
    assert max(loads) < 3.0 * sum(loads) / len(loads)


def test_state_stays_bounded_however_many_epochs_pass(calm: tuple[Rotation, RotationResult]) -> None:
    """Of a dozen epochs only those not yet over are held."""
    for name, sizes in state_sizes(calm[0].world).items():
        if "seats" in sizes:
            assert sizes["seats"] <= 2 * 3, name
        else:
            assert sizes["tags"] <= 3, name
        assert sizes["agenda"] < 150, (name, sizes)


@pytest.mark.parametrize("committee_size", [3, 5])
def test_three_relays_are_enough(committee_size: int) -> None:
    rotation = Rotation(options(relays=3, committee_size=committee_size, hours=60 / 3600), plain_machines())
    check_exactly_once(rotation, rotation.run())


def test_a_relay_s_death_costs_a_few_seconds_and_no_message() -> None:
    faults: list[Fault] = [Crash(at_seconds=70.0, nodes=("relay-3",), links=LinksAfterCrash.SILENCE)]
    network = NetworkParameters(name="slow", kind=NetworkKind.LAN, epoch_seconds=600, overlap_seconds=120)
    rotation = Rotation(options(network=network, skew_seconds=2.0, hours=60 / 3600), plain_machines(), faults=faults)
    result = rotation.run()
    check_exactly_once(rotation, result)
    assert max(rotation.ledger.latencies_seconds) < 6.0


def test_losing_all_but_one_seat_loses_nothing() -> None:
    faults: list[Fault] = [
        Crash(at_seconds=55.0 + 5 * index, nodes=(f"relay-{index}",), links=LinksAfterCrash.SILENCE)
        for index in range(4)
    ]
    rotation = Rotation(options(relays=5, hours=60 / 3600), plain_machines(), faults=faults)
    result = rotation.run()
    require(rotation.ledger.check_nothing_is_delivered_twice())
    require(rotation.ledger.check_nothing_acknowledged_is_lost())
    assert result.lost == 0


DIGEST_SCRIPT = """
from tests.simulation.test_rotation_real_machines import options, plain_machines
from railgun.sim.rotation import run_rotation
for seed in (1, 1, 2):
    print(run_rotation(options(seed=seed, hours=20 / 3600, peers=6), plain_machines()).trace_digest)
"""


def test_one_seed_one_digest_under_any_hash_seed() -> None:
    root = Path(__file__).parents[2]
    runs = []
    for hash_seed in ("0", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
        run = subprocess.run(
            [sys.executable, "-c", DIGEST_SCRIPT], env=environment, capture_output=True, text=True, check=True, cwd=root
        )
        runs.append(run.stdout.split())
    assert runs[0] == runs[1]
    first, again, other = runs[0]
    assert first == again != other
