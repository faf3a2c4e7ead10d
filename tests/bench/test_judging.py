"""How `make bench` judges: limits, aims, what was not measured, what did not run. No benchmark runs here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from railgun.cli.main import build_parser
from tools import bench

LIMITS = """
[[benchmark]]
name = "one"
command = ["demo"]
numbers = [
  { key = "lost", at_most = 0 },
  { key = "latency_ms.p95", below = 50, aim_below = 15 },
  { key = "load", over = "load_random", at_most = 1.5 },
  { key = "ratio", aim_at_least = 3 },
  { key = "rotations", at_least = 4 },
  { key = "seconds" },
]
"""
GOOD: dict[str, Any] = {
    "lost": 0, "latency_ms": {"p95": 12.5}, "load": 3.0, "load_random": 2.0, "ratio": 3, "rotations": 4, "seconds": 9.5,
}  # fmt: skip


def one() -> bench.Benchmark:
    (found,) = bench.read_benchmarks(LIMITS)
    return found


def verdicts(**changes: Any) -> list[str]:
    return [judgement.verdict for judgement in bench.judge(one(), GOOD | changes, {})]


def test_all_is_kept_at_the_bounds() -> None:
    assert verdicts() == ["kept", "kept", "aim met", "kept", "aim met", "kept", "reported"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"lost": 1}, 0),
        ({"lost": None}, 0),
        ({"latency_ms": {"p95": 50}}, 1),
        ({"latency_ms": None}, 1),
        ({"load": 3.01}, 3),
        ({"load_random": None}, 3),
        ({"load_random": 0}, 3),
        ({"rotations": 3}, 5),
    ],
)
def test_a_limit_is_broken_by_the_least_excess_and_by_what_was_not_measured(
    changes: dict[str, Any], place: int
) -> None:
    found = verdicts(**changes)
    assert found[place] == "BROKEN"
    assert found.count("BROKEN") == 1
    assert bench.run_all([one()], lambda _: GOOD | changes, lambda _: None)[0] == 1


@pytest.mark.parametrize("changes", [{"ratio": 2.9}, {"latency_ms": {"p95": 15}}, {"ratio": None}])
def test_a_missed_aim_is_told_and_fails_nothing(changes: dict[str, Any]) -> None:
    told: list[str] = []
    status, accounts = bench.run_all([one()], lambda _: GOOD | changes, told.append)
    assert status == 0
    assert sum("aim missed" in line for line in told) == 1
    assert [item["verdict"] for item in accounts[0]["judgements"]].count("aim missed") == 1


def test_what_does_not_run_or_lacks_a_number_is_status_2_and_the_others_run_all_the_same() -> None:
    results: list[dict[str, Any] | None] = [None, {"lost": 0}, GOOD | {"lost": "many"}, GOOD, GOOD | {"lost": 2}]
    told: list[str] = []
    status, accounts = bench.run_all([one()] * 5, lambda _: results.pop(0), told.append)
    assert status == 2
    assert [account["result"] is None for account in accounts] == [True, True, True, False, False]
    assert sum("kept" in line for line in told) > 4


def test_a_misspelt_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown at_mots"):
        bench.read_benchmarks(LIMITS.replace("lost\", at_most", "lost\", at_mots"))


def test_with_json_there_is_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def measured(benchmark: bench.Benchmark) -> dict[str, Any]:
        seen.append(benchmark.name)
        return {"rooms_without_common_seat": 0, "worst_seat_overlap": 1, "mean_seat_overlap": 4.9, "seconds": 1}

    monkeypatch.setattr(bench, "measure", measured)
    assert bench.main(["--only", "sim-committee", "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert seen == ["sim-committee"]
    assert found["status"] == 1
    judgements = found["benchmarks"][0]["judgements"]
    assert [item["verdict"] for item in judgements] == ["kept", "BROKEN", "reported", "reported"]
    assert "BROKEN" in printed.err
    with pytest.raises(SystemExit) as left:
        bench.main(["--only", "nonsense"])
    assert left.value.code == 2


def test_the_recorded_limits_are_commands_that_exist_and_numbers_that_they_print() -> None:
    schemas = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"
    benchmarks = bench.read_benchmarks(bench.LIMITS.read_text())
    assert len({benchmark.name for benchmark in benchmarks}) == len(benchmarks)
    for benchmark in benchmarks:
        given = build_parser().parse_args([*benchmark.command, "--json"])
        assert given is not None
        words = [word for word in benchmark.command[:2] if not word.startswith("-")]
        schema = json.loads((schemas / f"{'-'.join(words)}.json").read_text())
        for number in benchmark.numbers:
            own = [number.key, *([number.over] if number.over and not number.over_benchmark else [])]
            for key in own:
                assert re.split(r"\.", key)[0] in schema["properties"], f"{benchmark.name}: {key}"


COMPARED = """
[[benchmark]]
name = "small"
command = ["bench", "dht", "--nodes", "200"]
numbers = [{ key = "hops" }]

[[benchmark]]
name = "large"
command = ["bench", "dht", "--nodes", "2000"]
numbers = [{ key = "hops", over = "hops", over_benchmark = "small", at_most = 1.5 }]
"""


@pytest.mark.parametrize(
    ("small", "large", "status", "verdict"),
    [
        ({"hops": 2.0}, {"hops": 3.0}, 0, "kept"),
        ({"hops": 2.0}, {"hops": 3.01}, 1, "BROKEN"),
        ({"hops": None}, {"hops": 1.0}, 1, "BROKEN"),
        (None, {"hops": 1.0}, 2, "BROKEN"),
        ({"jumps": 2.0}, {"hops": 1.0}, 2, "BROKEN"),
    ],
)
def test_a_ratio_to_another_benchmark_is_of_the_same_run(
    small: dict[str, Any] | None, large: dict[str, Any], status: int, verdict: str
) -> None:
    results = {"small": small, "large": large}
    told: list[str] = []
    found, accounts = bench.run_all(bench.read_benchmarks(COMPARED), lambda one: results[one.name], told.append)
    assert found == status
    (judgement,) = accounts[1]["judgements"]
    assert (judgement["number"], judgement["verdict"]) == ("hops / hops of small", verdict)


def test_what_a_benchmark_is_compared_with_runs_too() -> None:
    benchmarks = bench.read_benchmarks(COMPARED)
    assert [one.name for one in bench.choose(benchmarks, ["large"])] == ["small", "large"]
    assert [one.name for one in bench.choose(benchmarks, ["small"])] == ["small"]
    assert bench.choose(benchmarks, None) == list(benchmarks)


def test_hops_at_2000_nodes_are_held_to_those_at_200_of_the_same_run() -> None:
    benchmarks = {one.name: one for one in bench.read_benchmarks(bench.LIMITS.read_text())}
    (number,) = [one for one in benchmarks["dht-2000"].numbers if one.over_benchmark]
    assert (number.key, number.over, number.over_benchmark) == ("hops", "hops", "dht")
    assert [(limit.word, limit.bound) for limit in number.limits] == [("at_most", 1.5)]
    for name, nodes in (("dht", "200"), ("dht-2000", "2000")):
        command = benchmarks[name].command
        assert command[command.index("--nodes") + 1] == nodes


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"small", at_most', '"tiny", at_most', "no earlier benchmark is named tiny"),
        ('"small", at_most', '"large", at_most', "no earlier benchmark is named large"),
        ('over = "hops", ', "", "over_benchmark without over"),
    ],
)
def test_a_ratio_to_nothing_is_refused(old: str, new: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        bench.read_benchmarks(COMPARED.replace(old, new))
