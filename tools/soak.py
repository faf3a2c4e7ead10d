"""Runs every fuzz program for a while, one after another.

Owns: the loop behind `make soak`. Must not know: what a program feeds. A program is ``tests/fuzz/fuzz_*.py``: it hands
its arguments to atheris, and first puts valid inputs, made from the vectors and the codecs, into its corpus. What a
run adds to ``build/fuzz/<program>/`` stays for the next one. An input that ended a program stays as
``build/fuzz/<program>-crash-<hash>`` (or timeout, oom); to repeat it, name the file in place of the corpus::

    .venv/bin/python -m tests.fuzz.fuzz_<program> build/fuzz/<program>-crash-<hash>
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "tests" / "fuzz"
OUTPUT = ROOT / "build" / "fuzz"
INPUT_BYTES_MAX = 262_144
INPUT_SECONDS_MAX = 20
MEMORY_MEGABYTES_MAX = 1_024
GRACE_SECONDS = 120
"""A program may need this much longer than its share, to start and to finish its last input."""


def names() -> list[str]:
    """All programs."""
    return [path.stem.removeprefix("fuzz_") for path in sorted(PROGRAMS.glob("fuzz_*.py"))]


def command(name: str, seconds: int, output: Path) -> list[str]:
    """What runs one program."""
    return [
        sys.executable,
        "-m",
        f"tests.fuzz.fuzz_{name}",
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        "-len_control=0",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MEGABYTES_MAX}",
        f"-artifact_prefix={output}/{name}-",
        str(output / name),
    ]


def findings(name: str, output: Path) -> set[Path]:
    """Inputs that ended the program, of all runs."""
    return {path for kind in ("crash", "timeout", "oom") for path in output.glob(f"{name}-{kind}-*")}


def run(name: str, seconds: int, output: Path, arguments: list[str] | None = None) -> bool:
    """Whether the program ended well; what it says goes to ``<output>/<name>.log``. ``arguments``: to run instead."""
    (output / name).mkdir(parents=True, exist_ok=True)
    before = findings(name, output)
    log = output / f"{name}.log"
    print(f"soak: {name} for {seconds} s", flush=True)
    with log.open("wb") as file:
        try:
            ended = subprocess.run(
                arguments or command(name, seconds, output),
                cwd=ROOT,
                check=False,
                timeout=seconds + GRACE_SECONDS,
                stdout=file,
                stderr=subprocess.STDOUT,
            ).returncode
        except subprocess.TimeoutExpired:
            print(f"soak: {name} hangs; see {log}", file=sys.stderr)
            return False
    found = sorted(findings(name, output) - before)
    if ended == 0 and not found:
        return True
    text = log.read_text(errors="replace")
    print(text[-4_000:], file=sys.stderr)
    print(f"soak: {name} failed (exit {ended}), input kept: {', '.join(map(str, found)) or 'none'}", file=sys.stderr)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds-each", type=int, default=60, help="how long each program runs (default: 60)")
    parser.add_argument("program", nargs="*", help="run only these")
    arguments = parser.parse_args()
    known = names()
    unknown = [name for name in arguments.program if name not in known]
    if unknown or not known:
        print(f"soak: no fuzz program {', '.join(unknown)}; known are {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = arguments.program or known
    failed = [name for name in chosen if not run(name, arguments.seconds_each, OUTPUT)]
    print(f"soak: {len(chosen)} programs, {len(failed)} failed {' '.join(failed)}".rstrip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
