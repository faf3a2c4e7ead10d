"""Runs every fuzz program for a while, one after another, then a network for long, and judges what grew in it.

Owns: the loop behind `make soak`, the limits of a long run. Must not know: what a program feeds, how a demo measures.

The network is `railgun demo` with a relay that comes or goes every 10 s. Nothing may be lost or left behind, and once
settled no process may grow by more than 1 MiB in 10 minutes. What it said stays in ``build/soak/``.

A program is ``tests/fuzz/fuzz_*.py``: it hands its arguments to atheris, and first puts valid inputs, made from the
vectors and the codecs, into its corpus. What a run adds to ``build/fuzz/<program>/`` stays for the next one. An input
that ended a program stays as ``build/fuzz/<program>-crash-<hash>`` (or timeout, oom); to repeat it, name the file in
place of the corpus::

    .venv/bin/python -m tests.fuzz.fuzz_<program> build/fuzz/<program>-crash-<hash>
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "tests" / "fuzz"
OUTPUT = ROOT / "build" / "fuzz"
DEMO_OUTPUT = ROOT / "build" / "soak"
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


DEMO_SECONDS = 1_800
DEMO_START_SECONDS = 600
"""A demo may need this much longer than its duration, to start, drain and end."""
MESSAGES_A_SECOND = 0.5
MESSAGES_MAX = 10_000
RSS_SLOPE_KIB_PER_HOUR_MAX = 6 * 1024
"""1 MiB in 10 minutes."""
NOTHING = ("lost", "duplicated", "wrong_size_on_wire", "tasks_leaked", "descriptors_leaked")


def demo_command(seconds: int) -> list[str]:
    """A network in which relays come and go all the time."""
    messages = min(MESSAGES_MAX, max(1, round(seconds * MESSAGES_A_SECOND)))
    return [
        sys.executable,
        "-m",
        "railgun.cli.main",
        "demo",
        "--churn-seconds",
        "10",
        "--duration-seconds",
        str(seconds),
        "--messages",
        str(messages),
        "--evidence",
        str(DEMO_OUTPUT / "evidence"),
        "--json",
    ]


def judge(result: dict[str, Any]) -> list[str]:
    """What a demo's result says against it; what was not measured was not kept."""
    broken = [f"{key} is {result.get(key)}, not 0" for key in NOTHING if result.get(key) != 0]
    slope = result.get("rss_slope_kib_per_hour")
    if slope is None:
        broken.append("rss_slope_kib_per_hour was not measured: a demo of at least 1800 s, please")
    elif slope > RSS_SLOPE_KIB_PER_HOUR_MAX:
        broken.append(f"rss_slope_kib_per_hour is {slope}, above {RSS_SLOPE_KIB_PER_HOUR_MAX}")
    return broken


def run_demo(seconds: int, arguments: list[str] | None = None) -> bool:
    """Whether the network kept what is promised. ``arguments``: to run instead."""
    print(f"soak: a network with churn for {seconds} s", flush=True)
    DEMO_OUTPUT.mkdir(parents=True, exist_ok=True)
    try:
        ended = subprocess.run(
            arguments or demo_command(seconds),
            cwd=ROOT,
            check=False,
            timeout=seconds + DEMO_START_SECONDS,
            stdout=subprocess.PIPE,
        )
        result = json.loads(ended.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        print(f"soak: the network came to no result: {error}", file=sys.stderr)
        return False
    (DEMO_OUTPUT / "demo.json").write_text(json.dumps(result, indent=2) + "\n")
    broken = judge(result)
    if ended.returncode and not broken:
        broken.append(f"exit {ended.returncode}")
    for text in broken:
        print(f"soak: {text}; see {DEMO_OUTPUT}", file=sys.stderr)
    print(f"soak: rss {result.get('rss_slope_kib_per_hour')} KiB an hour, lost {result.get('lost')}")
    return not broken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds-each", type=int, default=60, help="how long each program runs (default: 60)")
    parser.add_argument(
        "--demo-seconds", type=int, default=DEMO_SECONDS, help="how long the network runs, 0 for not (default: 1800)"
    )
    parser.add_argument("program", nargs="*", help="run only these, and no network")
    arguments = parser.parse_args()
    known = names()
    unknown = [name for name in arguments.program if name not in known]
    if unknown or not known:
        print(f"soak: no fuzz program {', '.join(unknown)}; known are {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = arguments.program or known
    failed = [name for name in chosen if not run(name, arguments.seconds_each, OUTPUT)]
    print(f"soak: {len(chosen)} programs, {len(failed)} failed {' '.join(failed)}".rstrip())
    kept = not arguments.demo_seconds or bool(arguments.program) or run_demo(arguments.demo_seconds)
    return 1 if failed or not kept else 0


if __name__ == "__main__":
    sys.exit(main())
