"""The soak feeds every target, and notices a program that fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fuzz.program import PROGRAMS, targets_of
from tests.fuzz.targets import all_targets
from tests.fuzz.targets_machines import machine_targets
from tools import soak


def test_every_target_is_fed_by_a_program() -> None:
    fed = [target.name for name in PROGRAMS for target in targets_of(name)]
    assert set(fed) == {target.name for target in (*all_targets(), *machine_targets())}


def test_every_program_has_its_file_and_feeds_something() -> None:
    assert set(soak.names()) == set(PROGRAMS)
    for name in PROGRAMS:
        assert f'main("{name}")' in (soak.PROGRAMS / f"fuzz_{name}.py").read_text()
        assert 1 <= len(targets_of(name)) <= 256


@pytest.mark.parametrize(
    ("script", "well"),
    [
        ("pass", True),
        ("raise SystemExit(77)", False),
        ("import pathlib, sys; pathlib.Path(sys.argv[1], 'stub-crash-1').write_bytes(b'x')", False),
    ],
)
def test_a_program_that_fails_or_leaves_a_finding_fails_the_soak(script: str, well: bool, tmp_path: Path) -> None:
    assert soak.run("stub", 1, tmp_path, [sys.executable, "-c", script, str(tmp_path)]) is well
    assert (tmp_path / "stub.log").is_file()
