"""Runs every fuzz target for a while, one after another.

Owns: the loop behind `make soak`. Must not know: what a target feeds. A target is ``tests/fuzz/fuzz_*.py``: a
program that hands its arguments to atheris. Inputs worth starting from are in ``tests/fuzz/seeds/<target>/``; what a
run adds stays in ``build/fuzz/<target>/`` for the next one, as do findings.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "tests" / "fuzz"
INPUT_BYTES_MAX = 80_000
GRACE_SECONDS = 120
"""A target may need this much longer than its share, to start and to finish its last input."""


def run(target: Path, seconds: int) -> bool:
    """Whether the target ended well."""
    name = target.stem.removeprefix("fuzz_")
    corpus = ROOT / "build" / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = FUZZ / "seeds" / name
    options = [f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", "-timeout=10", "-rss_limit_mb=1024"]
    options.append(f"-artifact_prefix={corpus.parent}/{name}-")
    command = [sys.executable, str(target), *options, str(corpus), *([str(seeds)] if seeds.is_dir() else [])]
    print(f"soak: {target.stem} for {seconds} s", flush=True)
    try:
        return subprocess.run(command, cwd=ROOT, check=False, timeout=seconds + GRACE_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"soak: {target.stem} hangs", file=sys.stderr)
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds-each", type=int, default=60)
    seconds = parser.parse_args().seconds_each
    targets = sorted(FUZZ.glob("fuzz_*.py"))
    if not targets:
        print("soak: no fuzz targets in tests/fuzz", file=sys.stderr)
        return 2
    failed = [target.stem for target in targets if not run(target, seconds)]
    print(f"soak: {len(targets)} targets, {len(failed)} failed {failed or ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
