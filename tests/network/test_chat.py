"""Chats over real relays, each in a process of its own: in lines, through pipes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import SECONDS_MAX, Lab, environment

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[2]


class PlainChat:
    """`railgun chat --plain` with a pipe on each side. The test's own timeout bounds every wait."""

    def __init__(self, home: Path, *words: str) -> None:
        self.shown: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "railgun.cli.main", *words],
            cwd=home,
            env=environment(home) | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, pattern: str) -> re.Match[str]:
        """Read on to the first line in which ``pattern`` is found."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.shown.append(line.rstrip("\n"))
            if found := re.search(pattern, self.shown[-1]):
                return found
        raise AssertionError(f"{pattern!r} never came: {self.shown}")

    def end(self) -> int:
        """Close its input, and read and wait to the end."""
        rest, _ = self.process.communicate(timeout=SECONDS_MAX)
        self.shown += rest.splitlines()
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()


def open_room(lab: Lab) -> None:
    """Three relays, and Ada with a room."""
    contact = lab.relays(3)[0]["contact"]
    lab.member("ada")
    lab.member("bob")
    lab.must("--profile", "ada", "room", "create", "ops", "--network", "lab.toml", "--bootstrap", contact)


def test_two_people_chat_in_lines(lab: Lab) -> None:
    open_room(lab)
    ada = PlainChat(lab.home, "--profile", "ada", "chat", "ops", "--plain")
    chats = [ada]
    try:
        ada.until(r"\* ops \| 1 device")
        ada.type("/invite 2")
        link = ada.until(r"^railgun:\S+$")[0]
        assert sum("█" in line for line in ada.shown) > 10
        lab.must("--profile", "bob", "join", link, "--network", "lab.toml")
        bob = PlainChat(lab.home, "--profile", "bob", "chat", "ops", "--plain")
        chats.append(bob)
        bob.until(r"\* ops \| 2 devices")

        bob.type("hello \x1b[31mAda")
        bob.until(r"\[1\] sent, [23] of 3 seats")
        ada.until(r"^\[1\] \d\d:\d\d \w+: hello \\x1b\[31mAda$")
        ada.type("/reply 1 hi Bob")
        ada.until(r"\[2\] sent, [23] of 3 seats")
        bob.until(r'^\[2\] \d\d:\d\d \w+ to 1 "hello .*": hi Bob$')
        bob.type("/react 2 +1")
        ada.until(r"^\* \w+ reacts \+1 to 2$")
        ada.type("/who")
        ada.until("2 devices are in the room")
        ada.type("/committee")
        ada.until(r"3 relays have a seat; they change in \d+:\d\d")
        ada.type("/comittee")
        ada.until("did you mean /committee")

        complaint = lab("--profile", "ada", "chat", "ops", "--plain").complaint
        assert f"in use by process {ada.process.pid}" in complaint

        bob.type("/quit")
        assert bob.end() == 0
        assert bob.shown[-1] == "1 sent, 1 received."
        assert ada.end() == 0, ada.shown
        assert ada.shown[-1] == "1 sent, 2 received."
        assert not any("\x1b" in line for line in ada.shown + bob.shown)
    finally:
        for chat in chats:
            chat.close()
    # Once more from a pipe that ends at once: what was said before is shown, what is said now is sent.
    again = lab("--profile", "bob", "chat", "ops", "--plain", "--json", stdin=b"and bye" + os.linesep.encode())
    assert again.checked("chat") == {"room": "ops", "sent": 1, "received": 0}
    assert "hi Bob  (+1)" in again.err
