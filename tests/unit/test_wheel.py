"""The wheel: it builds without a network, installs, is typed, and carries the command and the licence."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 100


def run(*command: str | Path, cwd: Path) -> str:
    """What the command printed. A failure shows all of it."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_installs_and_is_typed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(ROOT / "railgun", source / "railgun", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", source, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("railgun-*-py3-none-any.whl")

    names = zipfile.ZipFile(wheel).namelist()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "railgun").rglob("*.py")}
    assert modules <= set(names), "a package is missing from the wheel"
    assert "railgun/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "tools", "signaling"))]

    offline = ("--quiet", "--no-index", "--no-deps")
    run(sys.executable, "-m", "pip", "install", *offline, "--target", target, wheel, cwd=tmp_path)
    program = "import sys; sys.path.insert(0, sys.argv[1]); import railgun; print(railgun.__file__)"
    assert run(sys.executable, "-I", "-c", program, target, cwd=tmp_path).startswith(str(target))
    entry_points = next(target.glob("railgun-*.dist-info")) / "entry_points.txt"
    assert "railgun = railgun.cli.main:main" in entry_points.read_text()
