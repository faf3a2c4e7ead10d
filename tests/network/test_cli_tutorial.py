"""The tutorial's commands, typed into shells in the page's order.

`make setup` is not typed again: it made the environment that this test runs in.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-room.md"
BLOCK = re.compile(r"In (?:the|a) (first|second|third|fourth) terminal[^\n]*:\n\n```sh\n(.*?)```", re.DOTALL)
STAYS = "tail ops"

pytestmark = pytest.mark.processes


class Terminal:
    """A shell with what was typed into it."""

    def __init__(self, name: str, home: Path) -> None:
        self.log = home.parent / f"{name}.log"
        self._marks = 0
        with self.log.open("wb") as log:
            self._shell = subprocess.Popen(
                ["bash"],
                cwd=ROOT,
                # A passphrase is what a person would type at the prompt.
                env=environment(home) | {"RAILGUN_PASSPHRASE": f"{name}'s passphrase"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )

    def type(self, line: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(line + "\n")

    def run(self, line: str) -> str:
        """Type a line and wait for its end; fails unless it succeeds."""
        self._marks += 1
        self.type(f'{line}\necho "done {self._marks} $?"')
        out = []
        while not (found := self.read()).startswith(f"done {self._marks} "):
            out.append(found)
        assert found.endswith(" 0"), f"{line}: {''.join(out)}\n{self.log.read_text()}"
        return "\n".join(out)

    def read(self) -> str:
        assert self._shell.stdout is not None
        line = self._shell.stdout.readline()
        assert line, f"the shell ended: {self.log.read_text()}"
        return line.rstrip("\n")

    def interrupt(self) -> None:
        """Ctrl-C for the command in the foreground."""
        for child in _children(self._shell.pid):
            os.kill(child, signal.SIGINT)

    def close(self) -> None:
        for child in _children(self._shell.pid):
            os.kill(child, signal.SIGTERM)
        self._shell.communicate(timeout=30)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[dict[str, Terminal]]:
    home = tmp_path / "home"
    home.mkdir()
    opened = {name: Terminal(name, home) for name in ("first", "second", "third", "fourth")}
    try:
        yield opened
    finally:
        for terminal in opened.values():
            terminal.close()


def test_every_command_of_the_tutorial_works(terminals: dict[str, Terminal], tmp_path: Path) -> None:
    blocks = [(name, text.strip().splitlines()) for name, text in BLOCK.findall(PAGE.read_text())]
    assert len(blocks) == PAGE.read_text().count("```sh"), "a block without a terminal"
    shown: dict[str, str] = {}
    for name, lines in blocks[:-1]:
        for line in lines:
            if line == "make setup":
                continue
            if line.endswith(STAYS):
                terminals[name].type(line)
            else:
                shown[line] = terminals[name].run(line)
    assert "hello Ada" in terminals["second"].read()
    assert any("hello Bob" in terminals["third"].read() for _ in range(2))  # his own words come first
    assert "2 of 3 relays" in shown["railgun --profile bob send ops 'hello Ada'"] or "3 of 3 relays" in str(shown)
    assert "volunteers" in shown["railgun --profile ada status"]
    assert "seat" in shown["railgun --profile ada committee ops"]

    for name in ("second", "third"):
        terminals[name].interrupt()
    name, lines = blocks[-1]
    for line in lines:
        terminals[name].run(line)
    assert not (tmp_path / "home" / "railgun-tutorial").exists()
