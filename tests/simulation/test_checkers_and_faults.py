"""The checkers find what is wrong, and scenario files say what they mean or are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from railgun.errors import ConfigurationError
from railgun.sim.checkers import (
    CheckFailed,
    CommitteeView,
    DeliveryLedger,
    check_committees_agree,
    check_state_is_back,
    require,
    state_sizes,
)
from railgun.sim.faults import (
    ClockJump,
    Crash,
    Heal,
    NetworkChange,
    Partition,
    Restart,
    Slow,
    load_fault_plan,
)
from railgun.sim.virtual_node import CrashPoint, LinksAfterCrash
from railgun.sim.world import World
from tests.simulation.ping_world import ping_world
from tests.simulation.toys import Recorder, key_of


def _ledger() -> DeliveryLedger:
    ledger = DeliveryLedger()
    ledger.sent(1, ["b", "a"], 10.0)
    ledger.sent(2, ["b"], 20.0)
    return ledger


def test_an_acknowledged_message_that_did_not_arrive_is_a_violation() -> None:
    ledger = _ledger()
    ledger.acknowledged(1)
    ledger.delivered(1, "a", 10.25)
    found = ledger.check_nothing_acknowledged_is_lost()
    assert found == ["message 1, sent at 10.000 s and acknowledged, never reached b"]
    assert ledger.missing(acknowledged_only=False) == [(1, "b"), (2, "b")]
    assert (ledger.expected, ledger.delivered_count, ledger.duplicated) == (3, 1, 0)
    assert ledger.latencies_seconds == [0.25]
    with pytest.raises(CheckFailed, match="never reached b"):
        require(found)


def test_a_second_delivery_and_a_strange_one_are_violations() -> None:
    ledger = _ledger()
    for _ in range(2):
        ledger.delivered(2, "b", 21.0)
    assert ledger.duplicated == 1
    ledger.delivered(2, "c", 21.0)
    ledger.delivered(3, "a", 21.0)
    assert ledger.check_nothing_is_delivered_twice() == [
        "b got message 2 2 times",
        "c got message 2, which nobody sent to it",
        "a got message 3, which nobody sent to it",
    ]
    assert ledger.expected == 3
    assert ledger.duplicated == 1


def test_a_clean_ledger_has_no_violations() -> None:
    ledger = _ledger()
    ledger.acknowledged(1)
    for name in ("a", "b"):
        ledger.delivered(1, name, 11.0)
    require(ledger.check_nothing_acknowledged_is_lost() + ledger.check_nothing_is_delivered_twice())
    with pytest.raises(ValueError, match="before"):
        ledger.sent(1, ["a"], 12.0)


def test_committees_must_agree_only_under_one_directory() -> None:
    views = [
        CommitteeView("a", b"one", b"tag", ["x", "y"]),
        CommitteeView("b", b"one", b"tag", ("x", "y")),
        CommitteeView("c", b"two", b"tag", ["y", "x"]),
        CommitteeView("a", b"one", b"other", ["z"]),
    ]
    assert check_committees_agree(views) == []
    assert len(check_committees_agree([*views, CommitteeView("d", b"one", b"tag", ["y", "x"])])) == 1


def test_state_must_come_back_to_where_it_was() -> None:
    before = {"a": {"links": 2}, "b": {"links": 3}}
    assert check_state_is_back(before, {"a": {"links": 2}, "new": {"links": 3}}) == []
    found = check_state_is_back(before, {"a": {"links": 3, "leaks": 1}, "new": {"links": 4}}, allowed={"leaks": 1})
    assert found == ["a: links holds 3, at most 2 expected", "new: links holds 4, at most 3 expected"]


def test_sizes_are_asked_of_machines_that_tell_them() -> None:
    world = World(1)
    world.add_node("teller", key_of(1), True, lambda persisted: Recorder())
    world.add_node("down", key_of(2), True, lambda persisted: Recorder())
    world.crash("down")
    world.run(1)
    assert state_sizes(world) == {"teller": {"seen": 1}}


SCENARIO = """
[network]
loss = 0.02
delays_seconds = { "relay-0|pinger-0" = 0.2 }

[[fault]]
at_seconds = 10
kind = "crash"
nodes = ["relay-0", "relay-9"]
links = "at_once"
point = "after_persist"

[[fault]]
at_seconds = 20.5
kind = "restart"
nodes = ["relay-?"]

[[fault]]
at_seconds = 30
kind = "partition"
name = "split"
groups = [["relay-*"], ["pinger-1", "pinger-2"]]
one_way = true

[[fault]]
at_seconds = 40
kind = "heal"
name = "split"

[[fault]]
at_seconds = 50
kind = "clock_jump"
nodes = ["pinger-*"]
seconds = -5

[[fault]]
at_seconds = 51
kind = "slow"
nodes = ["relay-1"]
service_seconds = 0.01

[[fault]]
at_seconds = 52
kind = "network"
loss = 0.3
"""


def test_a_scenario_file_becomes_a_model_and_faults() -> None:
    plan = load_fault_plan(SCENARIO)
    assert plan.network.loss == 0.02
    assert plan.network.delays_seconds == {("pinger-0", "relay-0"): 0.2}
    assert plan.faults == (
        Crash(
            at_seconds=10,
            nodes=("relay-0", "relay-9"),
            links=LinksAfterCrash.AT_ONCE,
            point=CrashPoint.AFTER_PERSIST,
        ),
        Restart(at_seconds=20.5, nodes=("relay-?",)),
        Partition(at_seconds=30, groups=(("relay-*",), ("pinger-1", "pinger-2")), name="split", one_way=True),
        Heal(at_seconds=40, name="split"),
        ClockJump(at_seconds=50, nodes=("pinger-*",), seconds=-5),
        Slow(at_seconds=51, nodes=("relay-1",), service_seconds=0.01),
        NetworkChange(at_seconds=52, change={"loss": 0.3}),
    )


def test_faults_happen_at_their_times() -> None:
    world = ping_world(1, 5)
    plan = load_fault_plan(SCENARIO.replace('point = "after_persist"', ""))
    plan.schedule(world)
    world.run(15)
    assert [name for name, node in world.nodes.items() if not node.is_up] == ["relay-0", "relay-9"]
    world.run(60)
    assert all(node.is_up for node in world.nodes.values())
    assert world.nodes["pinger-3"].wall_offset_seconds == -5
    assert world.nodes["relay-1"].service_seconds == 0.01
    assert world.sampler.loss == 0.3


def test_a_fault_of_nobody_is_a_mistake() -> None:
    world = ping_world(1, 1)
    load_fault_plan('[[fault]]\nat_seconds = 1\nkind = "crash"\nnodes = ["nobody"]').schedule(world)
    with pytest.raises(ConfigurationError, match="nobody"):
        world.run(2)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[", "scenario"),
        ("[nonsense]", "unknown key nonsense"),
        ("[network]\nloss = 2", "loss"),
        ("[network]\nlosses = 1", "unknown key losses"),
        ('[network]\nloss = "much"', "loss must be a number"),
        ("network = 1", "one table"),
        ("fault = [1]", "each fault"),
        ("[network]\ndelays_seconds = { a = 1 }", "one|other"),
        ('[network]\ndelays_seconds = { "a|b" = "x" }', "one|other"),
        ('[network]\ndelays_seconds = { "a|b" = 0 }', "above 0"),
        ("[[fault]]\nat_seconds = 1", "fault 1: kind"),
        ('[[fault]]\nat_seconds = 1\nkind = "explode"', "crash, restart"),
        ('[[fault]]\nat_seconds = 1\nkind = "crash"', "nodes"),
        ('[[fault]]\nat_seconds = 1\nkind = "crash"\nnodes = "relay-0"', "nodes must be a list"),
        ('[[fault]]\nat_seconds = 1\nkind = "crash"\nnodes = ["a"]\nlinks = "soon"', "silence, at_once"),
        ('[[fault]]\nkind = "restart"\nnodes = ["a"]', "at_seconds"),
        ('[[fault]]\nat_seconds = true\nkind = "heal"', "at_seconds must be a number"),
        ('[[fault]]\nat_seconds = 1\nkind = "network"\ndial_seconds = 1', "unknown key dial_seconds"),
        ('[[fault]]\nkind = "network"\nloss = 0.1', "at_seconds"),
    ],
)
def test_a_scenario_file_with_a_mistake_is_refused_by_name(text: str, names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        load_fault_plan(text)


def test_the_example_in_the_docs_is_a_scenario() -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/simulate.md").read_text()
    plan = load_fault_plan(text.split("```toml\n")[1].split("```")[0])
    assert [type(fault) for fault in plan.faults] == [Crash, Restart, Partition, Heal, ClockJump, Slow, NetworkChange]
