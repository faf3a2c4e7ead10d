"""The swarm's log: what ran stands in it, a torn line does not count, and what stands there need not run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from railgun.errors import ConfigurationError
from railgun.sim.swarm import log as logs
from railgun.sim.swarm import ranges
from railgun.sim.swarm.checks import Violation
from railgun.sim.swarm.log import PART_SEEDS, LogLine, SwarmLog, code_digest, parts_left, within
from railgun.sim.swarm.plan import SwarmOptions
from railgun.sim.swarm.ranges import run_range
from railgun.sim.swarm.scenario import SeedResult

NO_OPTIONS = SwarmOptions()


def line(first: int, last: int, flags: str = "", code: str = "c0de") -> LogLine:
    return LogLine(first, last, flags, code, "2026-11-20T12:00:00Z", 0, (), {"loss": 1}, ((98, 2),), 1.5)


@pytest.fixture
def seeds_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds in the order in which they ran, without their worlds. Seed 7 breaks a promise."""
    ran: list[int] = []

    def run_one(seed: int, options: SwarmOptions) -> SeedResult:
        ran.append(seed)
        found = (Violation("lost", "one message"),) if seed == 7 else ()
        return SeedResult(seed, found, ("loss",), (0.098, 1.2345), 6, 60.0, "")

    monkeypatch.setattr(ranges, "run_one", run_one)
    return ran


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    log = SwarmLog(tmp_path / "log")
    assert log.lines() == []
    written = [line(1, 50), line(51, 60, "--byzantine 4 --committee 5")]
    for each in written:
        log.append(each)
    assert log.lines() == written


def test_a_torn_line_does_not_count_and_spoils_nothing_that_follows(tmp_path: Path) -> None:
    log = SwarmLog(tmp_path / "log")
    log.append(line(1, 50))
    torn = log.path.read_bytes()[:40]
    with log.path.open("ab") as stream:
        stream.write(torn)
    assert log.lines() == [line(1, 50)]
    log.append(line(51, 100))
    assert log.lines() == [line(1, 50), line(51, 100)]


def test_a_file_that_is_none_is_refused_before_it_is_written_to(tmp_path: Path, seeds_run: list[int]) -> None:
    path = tmp_path / "notes"
    path.write_text("Notes\n")
    with pytest.raises(ConfigurationError, match="line 1 is none of a swarm's log"):
        run_range(1, 3, NO_OPTIONS, log=SwarmLog(path))
    assert (seeds_run, path.read_text()) == ([], "Notes\n")


@pytest.mark.parametrize(
    "content",
    [
        b"{}\n",
        b"Notes\n",
        b"Notes without an end",
        b'{"first": 1}\n',
        json.dumps({"first": 2, "last": 1}).encode() + b"\n",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        b"x" * (logs.LINE_BYTES_MAX + 2) + b"\n",
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="line 1 is"):
        SwarmLog(path).lines()


def test_counts_that_are_none_are_refused(tmp_path: Path) -> None:
    log = SwarmLog(tmp_path / "log")
    log.append(line(1, 50))
    whole = log.path.read_text()
    for good, bad in (('"first": 1', '"first": -1'), ('"violations": 0', '"violations": true'), ("[98, 2]", "[98]")):
        log.path.write_text(whole.replace(good, bad))
        with pytest.raises(ConfigurationError, match="line 1 is none"):
            log.lines()


def test_only_lines_of_the_same_flags_and_code_stand_for_seeds_and_none_twice(tmp_path: Path) -> None:
    log = SwarmLog(tmp_path / "log")
    for each in (line(51, 100), line(1, 50), line(20, 60), line(101, 110, "--break x"), line(101, 110, "", "other")):
        log.append(each)
    assert [(each.first, each.last) for each in log.of_the_same("", "c0de")] == [(1, 50), (51, 100)]


def test_what_is_left_are_the_gaps_in_parts() -> None:
    done = [line(10, 19), line(90, 99)]
    parts = [(part[0], part[-1]) for part in parts_left(done, 1, 160)]
    assert parts == [(1, 9), (20, 69), (70, 89), (100, 149), (150, 160)]
    assert list(parts_left([line(1, 160)], 1, 160)) == []
    assert within(done, 1, 95) == [line(10, 19)], "a line that reaches beyond is run again"


def test_a_range_that_was_stopped_goes_on_and_comes_to_the_same(tmp_path: Path, seeds_run: list[int]) -> None:
    log, told = SwarmLog(tmp_path / "log"), list[str]()
    run_range(1, PART_SEEDS, NO_OPTIONS, log=log)
    whole = run_range(1, 2 * PART_SEEDS, NO_OPTIONS, log=log, resume=True, tell=told.append)
    assert seeds_run == list(range(1, 2 * PART_SEEDS + 1)), "each seed once"
    assert (whole.seeds, whole.violations, whole.faults["loss"]) == (2 * PART_SEEDS, 1, 2 * PART_SEEDS)
    assert whole.delivery_ms == {"p50": 98.0, "p99": 1230.0, "max": 1230.0}
    assert told[0].startswith("seed 7: lost: one message; replay: ")
    assert told[1] == f"{PART_SEEDS} of {2 * PART_SEEDS} seeds have run before"
    again = run_range(1, 2 * PART_SEEDS, NO_OPTIONS, log=log, resume=True)
    assert len(seeds_run) == 2 * PART_SEEDS, "nothing is left to run"
    assert (again.seeds, again.violations, again.delivery_ms) == (whole.seeds, 1, whole.delivery_ms)


def test_other_flags_and_other_code_run_again(
    tmp_path: Path, seeds_run: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SwarmLog(tmp_path / "log")
    run_range(1, 3, NO_OPTIONS, log=log)
    run_range(1, 3, SwarmOptions(byzantine=1, committee_size=5), log=log, resume=True)
    monkeypatch.setattr(ranges, "code_digest", lambda: "another")
    run_range(1, 3, NO_OPTIONS, log=log, resume=True)
    assert seeds_run == [1, 2, 3] * 3
    assert [each.code for each in log.lines()] == [code_digest()] * 2 + ["another"]


def test_a_part_that_is_through_stands_in_the_log_when_a_later_one_fails(
    tmp_path: Path, seeds_run: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SwarmLog(tmp_path / "log")

    def interrupted(text: str) -> None:
        if len(seeds_run) > PART_SEEDS:
            raise KeyboardInterrupt

    monkeypatch.setattr(ranges, "PROGRESS_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run_range(1, 2 * PART_SEEDS, NO_OPTIONS, log=log, tell=interrupted)
    assert [(each.first, each.last) for each in log.lines()] == [(1, PART_SEEDS)]
