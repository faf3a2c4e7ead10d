"""Chats over real relays, each in a process of its own: in lines through pipes, and on the screen of a tmux."""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import shlex
import subprocess
import sys
import time
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


class Terminal:
    """`railgun` in a tmux of its own, 80 x 24. Every wait is for what the screen shows."""

    def __init__(self, home: Path, *words: str) -> None:
        self._socket = home / "tmux"
        self._env = environment(home) | {"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        self._env.pop("TMUX", None)
        changes = home / "changes"
        os.mkfifo(changes)
        # Open both ways: opening waits for nobody, and there is always somebody who reads.
        self._changes = os.open(changes, os.O_RDWR | os.O_NONBLOCK)
        command = shlex.join([sys.executable, "-m", "railgun.cli.main", *words])
        shell = f"{command}; echo left with $?; exec cat"
        self._tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(home), shell)
        self._tmux("pipe-pane", "-O", f"exec cat >{shlex.quote(str(changes))}")

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", "-S", str(self._socket), *words]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def until(self, pattern: str) -> str:
        """The first screen on which ``pattern`` is found."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            screen = self._tmux("capture-pane", "-p")
            if re.search(pattern, screen):
                return screen
            ready, _, _ = select.select([self._changes], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} never came:\n{screen}"
            os.read(self._changes, 65_536)

    def close(self) -> None:
        try:
            self._tmux("kill-server")
        finally:
            os.close(self._changes)


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


def send_a_file(lab: Lab, bob: PlainChat, ada: Terminal) -> None:
    """Both see how far it has come; what is saved is what was sent, under a name that was free."""
    data = os.urandom(1_000_000)
    (lab.home / "plan.pdf").write_bytes(data)
    bob.type("/send plan.pdf")
    ada.until(r"file plan.pdf: \[#+\.+\] [1-9]\d? % of 1.0 MB")
    ada.until(r"file plan.pdf, 1.0 MB: here, /save 4 saves it")
    bob.until(r"^\* \[4\] file plan.pdf, 1.0 MB: sent$")
    assert any(re.search(r"file plan.pdf: \[#+\.*\] \d+ % of 1.0 MB", line) for line in bob.shown)
    ada.type("/save 4")
    ada.press("Enter")
    ada.until(r"Saved plan \(1\).pdf")
    assert (lab.home / "plan (1).pdf").read_bytes() == data


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
        bob.until(r"\* ops \| 2 devices \| 3 seats, epoch ends in \d+:\d\d")
        ada.until(r"^\* ops \| 2 devices \| 3 seats")

        bob.type("hello \x1b[31mAda")
        bob.until(r"\[1\] sent, [23] of 3 seats")
        ada.until(r"^\[1\] \d\d:\d\d \w+: hello \\x1b\[31mAda$")
        ada.type("/reply 1 hi Bob")
        ada.until(r"\[2\] sent, [23] of 3 seats")
        bob.until(r'^\[2\] \d\d:\d\d \w+ to 1 "hello .*": hi Bob$')
        bob.type("/react 2 +1")
        ada.until(r"^\* \w+ reacts \+1 to 2$")
        bob.until(r"^\* you react \+1 to 2$")
        # What another command on the profile says is shown at once, can be edited and taken back.
        lab.must("--profile", "ada", "send", "ops", "from a script")
        ada.until(r"^\[3\] \d\d:\d\d you: from a script$")
        bob.until(r"^\[3\] \d\d:\d\d \w+: from a script$")
        ada.type("/edit 3 from me")
        ada.until(r"^\* you edit 3: from me \(edited\)$")
        bob.until(r"^\* \w+ edits 3: from me \(edited\)$")
        bob.type("/edit 3 no")
        bob.until("message 3 is somebody else's")
        ada.type("/delete 3")
        ada.until(r"^\* you delete 3$")
        bob.until(r"^\* \w+ deletes 3$")
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
        assert bob.shown[-1] == "1 sent, 4 received."
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


def test_two_people_chat_one_on_a_whole_screen(lab: Lab) -> None:
    open_room(lab)
    ada = Terminal(lab.home, "--profile", "ada", "chat", "ops")
    bob: PlainChat | None = None
    try:
        ada.until(r"ops \| 1 device \| 3 seats, epoch ends in \d+:\d\d")
        # Other commands on the profile ask the chat.
        status = lab("--profile", "ada", "status", "--json").checked("status")
        assert [room["name"] for room in status["rooms"]] == ["ops"]
        tail = lab.start("--profile", "ada", "tail", "ops", "--history", "5", "--count", "1", "--json")
        ada.press("F4")
        ada.until(r"(?s)railgun:.*needs \d+ columns and \d+ lines.*larger.*room invite [0-9a-f]{8} --qr")
        ada.resize(100, 60)
        ada.press("F4")
        screen = ada.until(r"(?s)Invite \(Esc: back\).*█.*railgun:.*F1 help")
        assert sum("█" in line for line in screen.splitlines()) > 10
        link_lines = screen[screen.index("railgun:") :].split("\n")
        whole = "".join(line.strip() for line in itertools.takewhile(str.strip, link_lines))
        lab.must("--profile", "bob", "join", whole, "--network", "lab.toml")
        ada.resize(80, 24)
        ada.press("Escape")
        ada.until(r"ops \| 2 devices")
        bob = PlainChat(lab.home, "--profile", "bob", "chat", "ops", "--plain")
        bob.until(r"\* ops \| 2 devices")

        bob.type("hello \x1b[31mAda")
        ada.until(r"\[1\] \d\d:\d\d \w+: hello \\x1b\[31mAda")
        followed = json.loads(tail.end(0).out)
        assert [message["text"] for message in followed["messages"]] == ["hello \x1b[31mAda"]
        ada.type("hi")
        bob.until(r"^\* \w+ is typing$")
        ada.press("Enter")
        ada.until(r"\[2\] \d\d:\d\d you: hi  \(sent, [23] of 3 seats\)")
        bob.until(r"\[2\] .*: hi$")
        ada.type("/react 1 +1")
        ada.press("Enter")
        ada.until(r"hello \\x1b\[31mAda  \(\+1\)")
        bob.type("/reply 2 " + "long " * 40)
        ada.until(r'(?s)to 2 "hi": long long.*\n    long long')
        ada.press("F3")
        ada.until(r"3 relays have a seat; they change in \d+:\d\d")
        ada.press("F2")
        ada.until("2 devices are in the room")
        ada.press("Escape")
        ada.until("you: hi")
        send_a_file(lab, bob, ada)
        ada.type("/quti")
        ada.press("Enter")
        ada.until("did you mean /quit")
        ada.press("C-c")
        ada.until(r"(?s)1 sent, 3 received\..*left with 0")
        assert bob.end() == 0
    finally:
        if bob is not None:
            bob.close()
        ada.close()
