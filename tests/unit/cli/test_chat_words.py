"""What typed lines mean, and invites as blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from railgun.cli.chat.qr import QUIET_MODULES, qr_lines
from railgun.cli.chat.words import (
    CancelFile,
    Delete,
    Edit,
    Help,
    Invite,
    Quit,
    React,
    Reply,
    SaveFile,
    Say,
    SendFile,
    ShowCommittee,
    Who,
    parse_words,
)
from railgun.errors import UsageError
from railgun.limits import INVITE_USES_MAX, TEXT_BYTES_MAX
from tests.support.commands import Commands


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("", None),
        ("  \t", None),
        (" hello ", Say(" hello ")),
        ("//hello", Say("/hello")),
        ("/reply 3 yes and no", Reply(3, "yes and no")),
        ("/react 3 +1", React(3, "+1")),
        ("/react 3", React(3, "")),
        ("/edit 3 not so", Edit(3, "not so")),
        ("/delete 3", Delete(3)),
        ("/invite", Invite(1)),
        ("/invite 5", Invite(5)),
        ("/who", Who()),
        ("/committee", ShowCommittee()),
        ("/help ", Help()),
        ("/quit", Quit()),
    ],
)
def test_lines(line: str, meant: object) -> None:
    assert parse_words(line) == meant


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/comittee", "did you mean /committee"),
        ("/zzz", "/help shows"),
        ("/quit now", "takes nothing more"),
        ("/reply 3", "what is the answer"),
        ("/edit 3", "what is the new text"),
        ("/delete 3 now", "nothing more"),
        ("/delete x", "by its number"),
        ("/reply three yes", "whole number"),
        ("/react 0 x", "whole number"),
        ("/react ٣ x", "whole number"),
        ("/react 3 " + "x" * 65, "at most 64 bytes"),
        (f"/invite {INVITE_USES_MAX + 1}", "whole number"),
        ("x" * (TEXT_BYTES_MAX + 1), "send it in parts"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_mistakes_are_told(line: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_words(line)


@given(st.text())
def test_any_line_is_said_whole_unless_it_begins_with_a_slash(line: str) -> None:
    if not line.startswith("/") and line.strip():
        assert parse_words(line) == Say(line)
    assert line.strip() == "" or parse_words("/" + line if line.startswith("/") else "//" + line) is not None


def test_a_code_shows_every_module() -> None:
    lines = qr_lines("railgun:" + "A" * 200)
    code = segno.make_qr("railgun:" + "A" * 200, error="l", boost_error=False)
    dark = {
        (x, y) for y, row in enumerate(code.matrix_iter(border=QUIET_MODULES)) for x, dark in enumerate(row) if dark
    }
    halves = {" ": (True, True), "▄": (True, False), "▀": (False, True), "█": (False, False)}
    drawn = {
        (x, 2 * y + half)
        for y, line in enumerate(lines)
        for x, block in enumerate(line)
        for half in (0, 1)
        if halves[block][half]
    }
    assert drawn == dark


def test_json_needs_plain(railgun: Commands) -> None:
    assert "--plain" in railgun("chat", "ops", "--json").complaint


def test_files_are_named_by_path_and_by_number() -> None:
    assert parse_words("/send a b.txt") == SendFile(Path("a b.txt"))
    assert parse_words("/save 3") == SaveFile(3, Path())
    assert parse_words("/save 3 out dir") == SaveFile(3, Path("out dir"))
    assert parse_words("/cancel 3") == CancelFile(3)
    for line in ("/send", "/save", "/save x", "/cancel 3 4"):
        with pytest.raises(UsageError):
            parse_words(line)
