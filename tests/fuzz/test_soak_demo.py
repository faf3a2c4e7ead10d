"""The soak judges a long run of the demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tools import soak

WELL: dict[str, Any] = dict.fromkeys(soak.NOTHING, 0) | {"rss_slope_kib_per_hour": 6_144.0}


def test_a_run_in_which_nothing_grew_is_well() -> None:
    assert soak.judge(WELL) == []
    assert soak.judge(WELL | {"rss_slope_kib_per_hour": -120.5}) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lost", 1),
        ("duplicated", 1),
        ("wrong_size_on_wire", 2),
        ("tasks_leaked", 1),
        ("descriptors_leaked", 1),
        ("rss_slope_kib_per_hour", 6_144.1),
    ],
)
def test_whatever_is_left_lost_or_not_measured_is_told(key: str, value: float) -> None:
    for wrong in (value, None):
        broken = soak.judge(WELL | {key: wrong})
        assert len(broken) == 1
        assert key in broken[0]


@pytest.mark.parametrize(
    ("script", "well"),
    [
        ("print(json.dumps(found))", True),
        ("print(json.dumps(found)); sys.exit(1)", False),
        ("print(json.dumps(found | {'lost': 2}))", False),
        ("print('no result')", False),
    ],
)
def test_the_commands_result_decides(script: str, well: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "DEMO_OUTPUT", tmp_path / "soak")
    program = f"import json, sys; found = {WELL!r}; {script}"
    assert soak.run_demo(1, [sys.executable, "-c", program]) is well


def test_the_command_is_one_that_the_demo_takes() -> None:
    from railgun.cli.parser import build_parser

    arguments = build_parser().parse_args(soak.demo_command(1_800)[3:])
    assert (arguments.churn_seconds, arguments.duration_seconds, arguments.messages) == (10, 1_800, 900)
