"""`railgun` commands as processes of their own, and a small network of relays for them to talk through.

Must not know: what any command does inside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.commands import Ran, check_schema

SECONDS_MAX = 60


def environment(home: Path) -> dict[str, str]:
    """A home of its own, none of the caller's settings, and the project's commands in front."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAILGUN_", "XDG_"))}
    path = f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"
    return kept | {"HOME": str(home), "PATH": path, "PYTHONUNBUFFERED": "1"}


class Running:
    """A command under way. Without a terminal: nobody can be asked for a passphrase."""

    def __init__(self, home: Path, words: tuple[str | Path, ...], *, asks: bool = False) -> None:
        self.log = home / f"{os.urandom(4).hex()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "railgun.cli.main", *map(str, words)],
                cwd=home,
                env=environment(home) | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
                stdin=subprocess.PIPE if asks else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def line(self) -> str:
        """The next line of its standard output; the test's own timeout bounds the wait."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it said nothing: {self.log.read_text()}"
        return line.rstrip("\n")

    def answer(self, text: str) -> None:
        """Type a line. Only where the command was started with ``asks``."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self, number: int = signal.SIGTERM) -> Ran:
        """Send a signal (0 for none) and wait for the end."""
        if number and self.process.poll() is None:
            self.process.send_signal(number)
        try:
            rest, _ = self.process.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return Ran(self.process.returncode, rest, self.log.read_text())


class Lab:
    """A directory with a `lan` network's file, and relays."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.running: list[Running] = []
        self.must("network", "create", "lab", "--kind", "lan", "--output", "lab.toml")

    def __call__(self, *words: str | Path, stdin: bytes | None = None) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "railgun.cli.main", *map(str, words)],
            cwd=self.home,
            env=environment(self.home) | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            input=stdin or b"",
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
            start_new_session=True,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def must(self, *words: str | Path, stdin: bytes | None = None) -> Ran:
        """Run a command that is to succeed."""
        ran = self(*words, stdin=stdin)
        assert ran.status == 0, f"{words}: {ran.out}{ran.err}"
        return ran

    def start(self, *words: str | Path, asks: bool = False) -> Running:
        """Start a command; whatever still runs is ended with the lab. ``asks``: it can be answered."""
        running = Running(self.home, words, asks=asks)
        self.running.append(running)
        return running

    def relay(self, name: str, *words: str) -> tuple[Running, dict[str, Any]]:
        """A relay with a new profile, and the object that it printed."""
        self.must("--profile", name, "init", "--relay")
        return self.start_relay(name, *words)

    def start_relay(self, name: str, *words: str) -> tuple[Running, dict[str, Any]]:
        """A relay with the profile that it has."""
        where = ("--network", "lab.toml", "--host", "127.0.0.1", "--port", "0")
        running = self.start("--profile", name, "node", *where, "--json", *words)
        started: dict[str, Any] = json.loads(running.line())
        check_schema("node", started)
        return running, started

    def relays(self, count: int) -> list[dict[str, Any]]:
        """Relays that know each other by way of the first."""
        _, first = self.relay("relay0")
        return [first, *(self.relay(f"relay{n}", "--bootstrap", first["contact"])[1] for n in range(1, count))]

    def member(self, name: str) -> None:
        """A member's profile that opens without a passphrase."""
        self.must("--profile", name, "init", "--no-passphrase", "--name", name.title())

    def close(self) -> None:
        """End all that runs."""
        for running in self.running:
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGTERM)
        with ExitStack() as closing:  # one that does not end keeps nobody else's pipes open
            for running in self.running:
                if running.process.stdout is not None and not running.process.stdout.closed:
                    closing.callback(running.end, 0)  # also one that ended by itself has its pipes still
