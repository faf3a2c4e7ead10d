"""The rotation scenario's own bookkeeping, on toy machines."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from railgun.errors import ConfigurationError
from railgun.sim.checkers import CheckFailed, require
from railgun.sim.faults import Crash, Restart
from railgun.sim.rotation import Rotation, RotationOptions, RotationResult, run_rotation
from tests.simulation.toy_room import toy_machines

OPTIONS = RotationOptions(peers=12, rooms=3, hours=0.5, relays=4)


def test_every_message_is_expected_once_for_each_other_member() -> None:
    result = run_rotation(OPTIONS, toy_machines())
    assert result.expected == 12 * 30 * 3
    assert (result.delivered, result.lost, result.duplicated) == (result.expected, 0, 0)
    assert result.rotations == 3 * 3
    assert result.events > 0


def test_the_result_has_the_command_s_keys_in_order() -> None:
    keys = [field.name for field in fields(RotationResult)]
    first = ["expected", "delivered", "lost", "duplicated", "rotations", "events", "trace_digest", "seconds"]
    assert keys == [*first, "cover"]


def test_a_second_delivery_is_counted_as_doubled_and_found_by_the_checker() -> None:
    rotation = Rotation(OPTIONS, toy_machines(deliveries=2))
    result = rotation.run()
    assert result.delivered == result.expected
    assert result.duplicated == result.expected
    with pytest.raises(CheckFailed, match="2 times"):
        require(rotation.ledger.check_nothing_is_delivered_twice())


def test_what_a_dead_relay_swallowed_is_lost_but_was_never_acknowledged() -> None:
    faults = [Crash(at_seconds=300.0, nodes=("relay-1",)), Restart(at_seconds=400.0, nodes=("relay-1",))]
    rotation = Rotation(OPTIONS, toy_machines(), faults=faults)
    result = rotation.run()
    assert 0 < result.lost < result.expected / 3
    require(rotation.ledger.check_nothing_acknowledged_is_lost())


def test_one_seed_one_digest() -> None:
    options = replace(OPTIONS, hours=0.1)
    digests = [run_rotation(replace(options, seed=seed), toy_machines()).trace_digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    "wrong", [{"rooms": 0}, {"peers": 5}, {"committee_size": 8}, {"relays": 0}, {"hours": 0}, {"hours": 0.01}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        replace(OPTIONS, **wrong)  # type: ignore[arg-type]
